/* activate and activate_gradient - norm, activation and dropout of a layer in one, and back.
 *
 *   equation     u = gain[c]*(x[b,i,j,c] - mean[b,g])*rstd[b,g] + shift[c], y = keep*act(u), with groups of
 *                channels/groups neighbouring channels, mean and biased variance of a group over its channels and all
 *                positions, rstd = 1/sqrt(variance + epsilon); groups 0: u = x. act: none, SiLU (u/(1 + exp(-u))) or
 *                leaky ReLU (u, below 0 slope*u). keep: 0 where number n of philox.h's stream at the state's step is
 *                below dropout*2^32, else 1/(1 - dropout); n = ((b*H + i)*W + j)*C + c
 *   gradient     du = dy*keep*act'(u) (of leaky ReLU at 0: slope), dshift[c] = sum du, dgain[c] = sum du*xhat, over
 *                items and positions; dx = rstd*(du*gain - mean_g(du*gain) - xhat*mean_g(du*gain*xhat))
 *   shapes       x, y, dy, dx maps [B][H][W][C], y may be x, dx may be dy, each with margins or without; gain, shift,
 *                dgain, dshift [C]; statistics [B][groups][2] f32: mean and rstd, which activate writes and
 *                activate_gradient reads. Gradients are overwritten, margins never written
 *   limits       0 <= groups <= channels <= 65536, channels a multiple of groups; epsilon > 0; 0 <= dropout < 1 (0 when
 *                evaluating); with dropout fewer than 2^34 values; 0 <= slope <= 1
 *   ownership    borrows all; scratch of activate_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (results untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads; y, dx and statistics whatever the other items,
 *                but for dropout, which counts from the first
 *   accuracy     relative L2 against oracle_activate: y 1e-6, gradients 2e-6; asserted in test_activate.c. Of x whose
 *                mean exceeds its deviation n times, n times as much; of two values in a group dx is what
 *                rounding leaves
 *   source       torch.nn.GroupNorm, SiLU, LeakyReLU, Dropout; its masks are others */
#ifndef ACTIVATE_H
#define ACTIVATE_H
#include "maps.h"
#include "status.h"
#include "step_state.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum activate_kind { ACTIVATE_NONE, ACTIVATE_SILU, ACTIVATE_LEAKY_RELU };

struct activate_params {
    int64_t groups; /* 0: no norm */
    enum activate_kind kind;
    float slope;   /* of leaky ReLU, 0.2 in the networks here; others ignore it */
    float epsilon; /* 1e-5 in the networks here */
    float dropout; /* share of values that become 0 */
    uint32_t stream;
};

struct activate_norm {
    const float *gain, *shift;
    float *statistics;
};

/* Below this a word of philox.h drops its value. */
static inline uint32_t activate_threshold(const struct activate_params *p)
{
    return (uint32_t)((double)p->dropout * 4294967296.0);
}

/* What is multiplied where nothing is dropped. */
static inline float activate_scale(const struct activate_params *p)
{
    return (float)(1 / (1 - (double)p->dropout));
}

size_t activate_work_bytes(const struct maps *x); /* of either */

/* Fronts: validate, then call the twin of ex's backend. norm: NULL with no groups; state: NULL without dropout. */
int activate(struct exec *ex, const struct activate_params *p, const struct step_state *state,
             const struct activate_norm *norm, const struct maps *x, const struct maps *y) MUST_USE;
int activate_gradient(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                      const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                      const struct maps *dx, float *dgain, float *dshift) MUST_USE;

int activate_cpu(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                 const struct activate_norm *norm, const struct maps *x, const struct maps *y);
int activate_gradient_cpu(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                          const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                          const struct maps *dx, float *dgain, float *dshift);

#ifdef __cplusplus
}
#endif
#endif
