/* mirror - signals with their channels side by side as one signal per channel, mirrored beyond both ends.
 *
 *   equation     y[b*C + c][i] = x[b,0,r(i - before),c]; r(p) = -p for p < 0, 2*(N - 1) - p for p >= N, else p: the
 *                ends are not repeated
 *   shapes       x maps [B][1][N][C] in; y [B*C][samples] f32 out
 *   limits       N >= 2; 0 <= before <= N - 1; samples >= 1, samples - before - N <= N - 1: mirrored once, not again
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise
 *   accuracy     exact; asserted in test_maps.c
 *   source       numpy.pad(mode="reflect") */
#ifndef MIRROR_H
#define MIRROR_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int mirror(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y) MUST_USE;

int mirror_cpu(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y);

#ifdef __cplusplus
}
#endif
#endif
