/* offload - framed operations of one piece on the worker's device, beside what its thread does meanwhile.
 *
 * offload_begin puts the piece into pinned memory, then copy in, kernels and copy out into the stream, and returns;
 * offload_end waits and hands the results over. Buffers grow to the largest piece and stay for the next file.
 *
 *   memory       when the device's is exhausted, this thread computes on the CPU from then on, and says so once
 *   errors       STATUS_DEVICE: the device is lost; STATUS_NOMEM of the host; those of the operations */
#ifndef OFFLOAD_H
#define OFFLOAD_H
#include "ops.h"

struct offload;

/* What is wanted of x; results in host memory. NULL where nothing is. */
struct offload_wish {
    const struct spectral_params *p;
    const struct ragged *x; /* one row, f32, host memory */
    struct ragged *rms, *peak;
    struct ragged *spectral[SPECTRAL_OUTPUTS];
};

/* Seconds of the device, and what it was asked, since they were last taken. */
struct offload_stages {
    double copy_in_s, compute_s, copy_out_s;
    uint64_t launches;
    char operations[128]; /* "rms,peak,mel"; "" when it did nothing */
};

int offload_create(struct exec *device_exec, struct offload **out) MUST_USE;
void offload_destroy(struct offload **o);

/* Begins what the device can do of the wishes and takes it out of them: what is left is the caller's. x may change as
 * soon as this returns. o NULL: nothing is taken. */
int offload_begin(struct offload *o, struct offload_wish *w) MUST_USE;

/* The results are where the wishes wanted them; nothing begun: returns at once. */
int offload_end(struct offload *o) MUST_USE;

/* Hands the stages over and begins them anew. */
struct offload_stages offload_take_stages(struct offload *o);

/* False where there is no device, or none any more. */
bool offload_works(const struct offload *o);
const char *offload_backend(const struct offload *o);

#endif
