/* mixdown - mean of the channels of a ragged batch: interleaved audio to mono.
 *
 *   equation     y[i] = (1/C) * sum_c x[i,c], all in f32; the order of the sum is numpy's (see source)
 *   shapes       x ragged [B][N_b][C] f32 in; y ragged [B][N_b] f32 out, the same offsets
 *   pieces       sample by sample: any cut gives the same samples, bit-equal; no overlap is needed
 *   units        linear, full scale 1.0 in and out
 *   limits       1 <= C <= 1024; C = 1 copies; x and y do not overlap
 *   not finite   a NaN or an infinity in any channel goes through the sum as in f32 arithmetic
 *   ownership    borrows all; no workspace
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_NOMEM, STATUS_DEVICE (y undefined)
 *   determinism  bitwise on every backend, whatever else is in the batch
 *   accuracy     bit-equal to numpy on the layout below; relative error <= 1e-6 of the mean magnitude against
 *                a mean in double; asserted in parity_librosa.py and test_level.c
 *   source       librosa 0.11 to_mono of what librosa.load reads: np.mean over axis 0 of a [C][N] view of interleaved
 *                f32 */
#ifndef MIXDOWN_H
#define MIXDOWN_H
#include "ragged.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int mixdown(struct exec *ex, const struct ragged *x, struct ragged *y) MUST_USE;

int mixdown_cpu(struct exec *ex, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
