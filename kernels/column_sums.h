/* column_sums - the sum of each channel over all items and positions: the gradient of a bias.
 *
 *   equation     y[c] = sum over b, i, j of x[b,i,j,c]
 *   shapes       x maps [B][H][W][C] in; y [C] f32 out, overwritten; zeros of no items
 *   limits       channels 1 to 65536
 *   ownership    borrows all; scratch of column_sums_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads
 *   accuracy     1e-6 of the sum of absolute values, against oracle_column_sums; asserted in test_training.c
 *   source       torch.Tensor.sum over all but the channels */
#ifndef COLUMN_SUMS_H
#define COLUMN_SUMS_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

size_t column_sums_work_bytes(const struct maps *x);

/* Front: validates, then calls the twin of ex's backend. */
int column_sums(struct exec *ex, const struct maps *x, float *y) MUST_USE;

int column_sums_cpu(struct exec *ex, const struct maps *x, float *y);

#ifdef __cplusplus
}
#endif
#endif
