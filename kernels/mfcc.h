/* mfcc - mel-frequency cepstral coefficients from a finished log-mel spectrogram.
 *
 *   equation     y[t,k] = l[k] * s[k] * sum_m max(x[t,m], floor[b]) * cos(pi * k * (2*m + 1) / (2*M)),
 *                s[0] = sqrt(1/M), else sqrt(2/M); l[k] = 1 + lifter/2 * sin(pi * (k + 1) / lifter), 1 when
 *                lifter is 0
 *   shapes       x ragged [B][T_b][M] f32 in, y ragged [B][T_b][K] f32 out, offsets count frames and are equal;
 *                floor [B] f32 in the memory of the exec, or NULL: no clip
 *   pieces       any part of a signal's frames, once the floor is known: that takes the maximum over the whole signal
 *                (decibel.h), so the coefficients are a second pass
 *   units        x in dB, y the same times sqrt(M)
 *   limits       1 <= K <= M <= 4096; lifter >= 0
 *   not finite   a NaN in a frame makes all its coefficients NaN
 *   ownership    borrows all; no workspace; the plan (the cosines) stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     error <= 1e-6 of the norm of the frame, against oracle_mfcc; asserted in test_values.c
 *   source       librosa 0.11 feature.mfcc (dct_type 2, norm "ortho", n_mfcc 20, lifter 0) */
#ifndef MFCC_H
#define MFCC_H
#include "ragged.h"
#include "status.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct mfcc_params {
    int32_t coefficients; /* K */
    double lifter;
};

struct mfcc_key { /* no padding: keys compare byte by byte */
    int64_t mels, coefficients;
    double lifter;
};

enum { MFCC_ROW = 16 }; /* rows of the plan are filled up with zeros to a multiple */

struct mfcc_plan {
    const void *device;              /* where a device's copy lies; set by exec_plan */
    int64_t mels, coefficients, row; /* row: coefficients, rounded up */
    const float *cosine;             /* [mels][row]; in the host's memory, but as far from the plan in a copy */
};

size_t mfcc_plan_bytes(const void *key);
int mfcc_plan_init(void *plan, const void *key);

/* Front: validates, then calls the twin of ex's backend. */
int mfcc(struct exec *ex, const struct mfcc_params *p, const struct ragged *x, const float *floor_db,
         struct ragged *y) MUST_USE;

int mfcc_cpu(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
             struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
