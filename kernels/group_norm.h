/* group_norm - all of an item, positions and channels together, to mean 0 and variance 1; then gain and shift.
 *
 *   equation     y[b,i,j,c] = (x[b,i,j,c] - mean_b)/sqrt(var_b + 1e-5)*gain[c] + shift[c] + add[b,i,j,c], mean and
 *                biased variance over H, W and C; sums in double
 *   shapes       x, y maps [B][H][W][C], y may be x; gain, shift [C]; add maps of the same shape or NULL
 *   limits       channels 1 to 65536
 *   ownership    borrows all; scratch of group_norm_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 <= 1e-6 against oracle_group_norm; asserted in test_norms.c
 *   source       torch.nn.GroupNorm with one group */
#ifndef GROUP_NORM_H
#define GROUP_NORM_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

size_t group_norm_work_bytes(const struct maps *x);

/* Front: validates, then calls the twin of ex's backend. */
int group_norm(struct exec *ex, const float *gain, const float *shift, const struct maps *x, const struct maps *add,
               const struct maps *y) MUST_USE;

int group_norm_cpu(struct exec *ex, const float *gain, const float *shift, const struct maps *x, const struct maps *add,
                   const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
