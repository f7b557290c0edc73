/* moments - mean and standard deviation of each item.
 *
 *   equation     mean[b] = sum(x[b])/n, deviation[b] = sqrt(sum((x[b] - mean[b])^2)/(n - 1)), over H, W and C together,
 *                n = H*W*C; sums in double; deviation 0 for n = 1
 *   shapes       x maps [B][H][W][C] in; y [B][2] f32 out: mean, deviation
 *   ownership    borrows all; scratch of moments_work_bytes() from exec's arena, given back. y lies in the exec's
 *                memory as x does; nothing waits for it, so a graph may hold it
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative 1e-6 of the deviation against oracle_moments; asserted in test_norms.c
 *   source       torch.Tensor.mean and std (unbiased) */
#ifndef MOMENTS_H
#define MOMENTS_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum { MOMENTS_CHUNK = 4096, MOMENTS_CHUNKS = 1024 }; /* on a device: values of a chunk at least; chunks of an item */

size_t moments_work_bytes(const struct maps *x);

/* Front: validates, then calls the twin of ex's backend. */
int moments(struct exec *ex, const struct maps *x, float *y) MUST_USE;

int moments_cpu(struct exec *ex, const struct maps *x, float *y);

#ifdef __cplusplus
}
#endif
#endif
