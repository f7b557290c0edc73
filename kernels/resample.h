/* resample - change of the sample rate of a ragged batch of mono signals by a polyphase filter.
 *
 *   equation     up/down = rate_out/rate_in in lowest terms; y[n] = sum_k h[phase][k] * x[i - K/2 + 1 + k] with
 *                i = floor(n*down/up), phase = n*down mod up; samples outside the signal count as 0. h is a sinc
 *                under a Kaiser window, each phase scaled to the sum 1. With f = min(1, up/down) the filter passes to
 *                0.914*f*rate_in/2, is -6 dB at 0.957 of f*rate_in/2 and stops from there on, by 150 dB: nothing
 *                folds back
 *   shapes       x ragged [B][N_b] f32 in; y ragged [B][resample_count()] f32 out
 *   pieces       a row that is a piece gives the samples whose whole filter it holds; consecutive pieces that share
 *                resample_overlap() samples give every one, wherever the cuts fall, bit-equal. A whole signal of N
 *                samples gives ceil(N*up/down)
 *   units        those of x; sample n of y is at the time n/rate_out of the signal's first sample
 *   limits       rates 1 to 2^30, whole; ratio 1:1000 to 1000:1; up * K <= 2^25 coefficients (128 MiB), which all
 *                pairs of common rates keep, and pairs of large rates without a common factor do not
 *   not finite   a NaN or an infinity makes the samples NaN or infinite whose filter holds it
 *   ownership    borrows all; scratch of a few filters' length from exec's arena, given back; the plan stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     error <= 1e-6 of the largest |x| under the filter, against oracle_resample in double; stopband and
 *                passband as above, measured in test_resample.c
 *   source       Kaiser's formulas, e.g. Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5; lengths as
 *                librosa 0.11 resample */
#ifndef RESAMPLE_H
#define RESAMPLE_H
#include "ragged.h"
#include "status.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct resample_params {
    int64_t rate_in, rate_out; /* Hz */
};

struct resample_key { /* no padding: keys compare byte by byte */
    int64_t up, down;
};

struct resample_plan {
    int64_t up, down;
    int64_t taps;         /* K, even */
    const float *taps_of; /* [up][K] */
};

enum { RESAMPLE_TAPS_MOST = 1 << 25 };

/* Lowest terms, and how long the filter is. */
struct resample_key resample_key(const struct resample_params *p);
int64_t resample_taps(const struct resample_key *k);

/* Number, in the whole signal, of the first sample that a piece gives: floor(n*down/up) - K/2 + 1 >= start, so
 * n*down >= (start + K/2 - 1)*up. */
static inline HOST_DEVICE int64_t resample_first_of(int64_t up, int64_t down, int64_t taps, struct piece piece)
{
    return piece.first ? 0 : ((piece.start + taps / 2 - 1) * up + down - 1) / down;
}

/* Samples that consecutive pieces must share. */
int64_t resample_overlap(const struct resample_params *p);
/* Number, in the whole signal, of the first sample that a piece gives, and how many it gives. */
int64_t resample_first(const struct resample_params *p, struct piece piece);
int64_t resample_count(const struct resample_params *p, struct piece piece, int64_t samples);

/* The filter of one phase [K]. */
void resample_phase(const struct resample_key *k, int64_t phase, float *h);

/* The plan of the scalar twin. */
size_t resample_plan_bytes(const void *key);
int resample_plan_init(void *plan, const void *key);

/* Front: validates, then calls the twin of ex's backend. */
int resample(struct exec *ex, const struct resample_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int resample_cpu(struct exec *ex, const void *plan, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
