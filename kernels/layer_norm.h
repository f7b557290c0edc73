/* layer_norm - each position's channels to mean 0 and variance 1, then gain and shift.
 *
 *   equation     y[b,n,c] = (x[b,n,c] - mean)/sqrt(var + 1e-5)*gain[c] + shift[c] + add[n,c], mean and biased variance
 *                over the channels of (b, n), both computed from differences, not from squares
 *   shapes       x, y maps [B][H][W][C], y may be x; gain, shift [C]; add [H*W][C] f32 (position codes) or NULL
 *   limits       channels 1 to 65536
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 <= 1e-6 against oracle_layer_norm; asserted in test_norms.c
 *   source       torch.nn.LayerNorm */
#ifndef LAYER_NORM_H
#define LAYER_NORM_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int layer_norm(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
               const struct maps *y) MUST_USE;

int layer_norm_cpu(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
                   const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
