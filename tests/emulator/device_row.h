/* device_row - what tests of the device's interface and of its operations begin with: the emulated module, its
 * settings, an exec on it, and one row of samples that lies on it. */
#ifndef DEVICE_ROW_H
#define DEVICE_ROW_H
#include "device.h"
#include "emulator.h"
#include "module.h"
#include "ops.h"

const struct module *emulated_module(void);
struct emulator_settings *emulated_settings(void); /* of the loaded module: what it claims to be, and when it fails */

/* One thread, an arena of 1 MiB. limit: of the device's memory, 0: none; shared: NULL, or whose device it takes. */
struct exec *emulated_exec(uint64_t limit, struct exec *shared);

/* A batch of one row on the device: samples, offsets, results; frames of 64 samples, side by side. */
struct device_row {
    struct exec *ex;
    void *memory;
    float *x, *y;
    int64_t offset_x[2], offset_y[2];
    struct ragged in, out;
};
extern const struct frame_params device_row_frames;

struct device_row device_row_open(struct exec *ex, int64_t samples);
void device_row_settle(struct device_row *b); /* makes in and out, which point into b: it must not move any more */
void device_row_close(struct device_row *b);

void device_row_fill(struct device_row *b, float value); /* 640 samples */
float device_row_first(struct device_row *b);            /* of the results */

#endif
