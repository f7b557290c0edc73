/* reconstruction - how far an output lies from what it should be, and the gradient of that.
 *
 *   equation     state->reconstruction = mean over all values of (y - x)^2 + weight_l1*|y - x|,
 *                dy = (2*(y - x) + weight_l1*sign(y - x))/n, the sign of 0 being 0
 *   shapes       y, x maps [B][H][W][C] in, with margins or without; dy maps of the same shape out, overwritten, may be
 *                y; NULL: only the loss
 *   limits       weight_l1 >= 0, finite; at least one item
 *   ownership    borrows all; scratch of reconstruction_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (results untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend, whatever the threads
 *   accuracy     loss relative 1e-6, dy relative L2 1e-6 against oracle_reconstruction; asserted in test_training.c
 *   source       torch.nn.functional.mse_loss and l1_loss, reduction mean */
#ifndef RECONSTRUCTION_H
#define RECONSTRUCTION_H
#include "maps.h"
#include "status.h"
#include "step_state.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct reconstruction_params {
    float weight_l1; /* 0: squares alone */
};

size_t reconstruction_work_bytes(const struct maps *y);

/* Front: validates, then calls the twin of ex's backend. */
int reconstruction(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                   const struct maps *y, const struct maps *x, const struct maps *dy) MUST_USE;

int reconstruction_cpu(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                       const struct maps *y, const struct maps *x, const struct maps *dy);

#ifdef __cplusplus
}
#endif
#endif
