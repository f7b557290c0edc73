/* offload - what the threads of a compute child have for its device, packed into batches.
 *
 * A thread hands in a wish and waits for it. The former, a thread of this file, takes what waits and can go together
 * (the same operations and parameters), as much as one batch may hold: rows of any length, from as many files as there
 * are threads. It copies them into pinned memory and puts copy in, kernels and copy out into a stream; while that runs
 * it packs the next batch for the other stream. A batch has as many launches as one row would have.
 *
 *   memory       when the device's is exhausted, batches are halved until a single row does not fit beside nothing
 *                else; from then on the CPU computes. Both are logged, once
 *   errors       STATUS_DEVICE: the device is lost, to all who wait; STATUS_NOMEM of the host; those of the operations
 *   threads      wishes may come from any thread; results do not depend on what shares a batch */
#ifndef OFFLOAD_H
#define OFFLOAD_H
#include "ops.h"

struct offload;

/* What is wanted of the frames of x; results in host memory. NULL where nothing is. */
struct offload_frames {
    const struct spectral_params *p;
    const struct ragged *x; /* one row, f32, host memory */
    struct ragged *rms, *peak, *zero_crossing;
    struct ragged *spectral[SPECTRAL_OUTPUTS];
    float *loudest; /* the largest value of spectral[SPECTRAL_MEL], which must be wanted too */
};

/* What is wanted of a file's series of values: statistics.h of each, cepstra from clipped bands among them. */
struct offload_series {
    int64_t frames, block; /* block: as statistics() takes it */
    const float *logmel;   /* [frames][mels]; NULL: none */
    int32_t mels;
    float floor_db;       /* log-mel is clipped there */
    int32_t coefficients; /* of cepstra; 0: none. They need logmel */
    const float *joined;  /* [frames][width]; NULL: none */
    int32_t width;
    float *logmel_statistics, *mfcc_statistics, *joined_statistics; /* [STATISTICS][values]; NULL: not wanted */
};

/* Seconds of the device, and what it was asked, for one file. Of a batch a row counts the part that its bytes have of
 * the whole, and its share of the launches. */
struct offload_stages {
    double copy_in_s, compute_s, copy_out_s;
    uint64_t launches;
    char operations[128]; /* "rms,peak,mel"; "" when it did nothing */
};

/* Opens the device of `options`, whose memory_limit also sizes batches and scratch. STATUS_NOMEM: not even one batch's
 * scratch fits. */
int offload_create(const struct exec_options *options, struct offload **out) MUST_USE;
void offload_destroy(struct offload **o);

/* Does what the device can do of the wish and takes it out of the wish: what is left is the caller's. o NULL, or a
 * device without memory: nothing is taken. */
int offload_measure(struct offload *o, struct offload_frames *wish, struct offload_stages *stages) MUST_USE;

/* All of the wish, or nothing: *done tells. */
int offload_describe(struct offload *o, const struct offload_series *wish, bool *done,
                     struct offload_stages *stages) MUST_USE;

/* False where there is no device, or none any more. */
bool offload_works(const struct offload *o);
const char *offload_backend(const struct offload *o);

/* An exec on its device, for others to share that; of no use for anything else. */
struct exec *offload_exec(const struct offload *o);

/* Samples of all channels that a file should be decoded at once for it. */
int64_t offload_block_samples(const struct offload *o);

#endif
