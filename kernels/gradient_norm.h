/* gradient_norm - the length of all gradients together, what they are multiplied by to be clipped, and whether the step
 * is to be thrown away.
 *
 *   equation     state->gradient_norm = sqrt(sum g^2), in double; clip_factor = clip/norm where norm > clip, else 1;
 *                bad = 1 where the norm, the reconstruction or the divergence in the state is not finite, else 0
 *   shapes       g [n] f32, one flat block of all gradients
 *   limits       1 <= n < 2^40
 *   ownership    borrows all, in the exec's memory; scratch of gradient_norm_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (state untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend, whatever the threads
 *   accuracy     relative 1e-12 against oracle_norm; asserted in test_training.c
 *   source       torch.nn.utils.clip_grad_norm_, without its 1e-6 below the line */
#ifndef GRADIENT_NORM_H
#define GRADIENT_NORM_H
#include "ragged.h"
#include "status.h"
#include "step_state.h"

#include <math.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

size_t gradient_norm_work_bytes(int64_t n);

/* Of the sum of squares, into the state. */
static inline HOST_DEVICE void gradient_norm_found(struct step_state *state, double squares)
{
    const double norm = sqrt(squares), infinity = (double)INFINITY;
    state->gradient_norm = norm;
    state->clip_factor = norm > state->clip ? state->clip / norm : 1;
    state->bad = !(norm < infinity && fabs(state->reconstruction) < infinity && fabs(state->kl) < infinity);
}

/* Front: validates, then calls the twin of ex's backend. */
int gradient_norm(struct exec *ex, struct step_state *state, const float *g, int64_t n) MUST_USE;

int gradient_norm_cpu(struct exec *ex, struct step_state *state, const float *g, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
