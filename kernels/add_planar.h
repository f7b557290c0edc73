/* add_planar - one signal per channel added to signals whose channels lie side by side.
 *
 *   equation     y[b,0,n,r] = x[b,0,n,r] + planar[(b*R + r)*stride + n]
 *   shapes       x, y maps [B][1][N][R], y may be x; planar [B*R] f32 signals of N, `stride` >= N floats apart; margins
 *                of y are not touched
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise, and equal on all backends
 *   accuracy     one rounding; asserted in test_maps.c
 *   source       the equation */
#ifndef ADD_PLANAR_H
#define ADD_PLANAR_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int add_planar(struct exec *ex, const float *planar, int64_t stride, const struct maps *x,
               const struct maps *y) MUST_USE;

int add_planar_cpu(struct exec *ex, const float *planar, int64_t stride, const struct maps *x, const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
