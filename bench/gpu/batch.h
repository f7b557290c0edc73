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

enum gpu_op { /* the spectral ones are enum spectral_output */
              GPU_RMS = SPECTRAL_OUTPUTS,
              GPU_PEAK,
              GPU_CROSSING,
              GPU_WAVEFORM,
              GPU_LEVEL,
              GPU_MIXDOWN,
              GPU_DECIBEL_PEAK,
              GPU_DECIBEL_CLIP, /* of a copy of one band, below each row's value among the first of all */
              GPU_MFCC,
              GPU_STATISTICS,
              GPU_ISTFT,
              GPU_HPSS, /* both parts, one after the other */
              GPU_RESAMPLE,
              GPU_STRETCH,
              GPU_PHASES, /* x: a third of its frames as they are now, a third before, then magnitudes */
              GPU_SEARCH, /* for queries that follow the vectors in x; indices, then scores */
              GPU_OPS
};

struct gpu_case {
    const char *name;
    int op; /* enum spectral_output or enum gpu_op */
    struct spectral_params p;
    enum dtype dtype; /* of x */
    int32_t channels; /* of x; 0: one */
    int64_t block;    /* of waveform and statistics */
    struct mfcc_params mfcc;
    struct hpss_params hpss;
    struct resample_params rates;
    struct search_params search;
    double rate; /* of stretch */
};

/* The shape of the result for x; offset has room for rows + 1 and is filled. What is no batch of floats
 * comes as one, so many floats long. */
struct ragged gpu_result(const struct gpu_case *c, const struct ragged *x, int64_t *offset);

int gpu_run(struct exec *ex, const struct gpu_case *c, const struct ragged *x, struct ragged *y) MUST_USE;

/* What a case asks for at least, for the figures that are printed. Floating-point operations of its equation, a
 * multiply-add counted as two; what a way of computing adds to it is not counted. Bytes that are read and written once,
 * a decibel_clip alone and in place. */
double gpu_flops(const struct gpu_case *c, const struct ragged *x, const struct ragged *y);
double gpu_bytes(const struct gpu_case *c, const struct ragged *x, const struct ragged *y);

/* Noise in [-0.5, 0.5) from a seed, as samples of a type. */
void gpu_noise(uint32_t seed, enum dtype dtype, int64_t samples, void *out);

#endif
