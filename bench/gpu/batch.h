/* batch - ragged batches in device memory, and the operations that the GPU programs run on them. */
#ifndef BATCH_H
#define BATCH_H
#include "device.h"
#include "ops.h"

/* A device with an operation's table behind it: "cuda" or "emulated", device 0. */
int batch_open(const char *backend, struct exec **out) MUST_USE;

/* The same batch on the device; where data is NULL, room for it, cleared. Waits for the copies. */
int batch_to_device(struct exec *ex, const struct ragged *host, struct ragged *out) MUST_USE;
void batch_release(struct exec *ex, struct ragged *device);
size_t batch_bytes(const struct ragged *r); /* of the data */

/* `bytes` of the data from byte `from` on, to the host; waits for all that the stream has. */
int batch_read(struct exec *ex, const struct ragged *device, size_t from, size_t bytes, void *out) MUST_USE;

enum gpu_op { GPU_STFT = 0, GPU_MEL = 1, GPU_RMS = 2, GPU_PEAK = 3 };

struct gpu_case {
    const char *name;
    enum gpu_op op;
    struct spectral_params p;
    enum dtype dtype; /* of x */
};

/* The shape of the result for x; offset has room for rows + 1 and is filled. */
struct ragged gpu_result(const struct gpu_case *c, const struct ragged *x, int64_t *offset);

int gpu_run(struct exec *ex, const struct gpu_case *c, const struct ragged *x, struct ragged *y) MUST_USE;

/* Noise in [-0.5, 0.5) from a seed, as samples of a type. */
void gpu_noise(uint32_t seed, enum dtype dtype, int64_t samples, void *out);

#endif
