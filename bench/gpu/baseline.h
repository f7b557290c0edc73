/* baseline - what the fused kernels have to beat: the same job as separate kernels around cuFFT, every stage through
 * device memory. Also what the device can do at best, measured: copies and multiply-adds.
 *
 * A library of its own with memory and a stream of its own, loaded by bench_device: cuFFT's planning and its choice of
 * kernels are then those that any program gets. It takes equal rows, one after the other, centred frames, zeros
 * outside, Hann windows, Slaney bands, decibels. Calls return 0, or anything else and message() says why. */
#ifndef BASELINE_H
#define BASELINE_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct baseline;

struct baseline_params {
    int64_t n_fft, hop, mels;
    double rate_hz;
    int64_t rows, samples;  /* of each row */
    const float *x;         /* host, rows * samples */
    uint64_t scratch_bytes; /* of device memory, beside x */
};

struct baseline_api {
    int (*open)(const struct baseline_params *p, struct baseline **out);
    void (*close)(struct baseline **b);
    int64_t (*frames_most)(const struct baseline *b); /* that scratch has room for at once */

    /* `calls` times over, `chunk` frames at a time from stage to stage; seconds of one, by events. */
    int (*run)(struct baseline *b, bool bands, int64_t chunk, int calls, double *seconds);
    /* Frames of the last run: 2 * bins floats each, or with bands `mels`. */
    int (*read)(struct baseline *b, bool bands, int64_t first, int64_t count, float *out);

    int (*copy_rate)(uint64_t bytes, int rounds, double *bytes_per_second); /* read and written, within the device */
    int (*flop_rate)(int blocks, int turns, int rounds, double *flops_per_second); /* f32, a multiply-add counts two */
    const char *(*message)(void);
};

/* The exported symbol. */
typedef const struct baseline_api *baseline_function(void);
#define BASELINE_SYMBOL "wavemill_baseline"

#ifdef __cplusplus
}
#endif
#endif
