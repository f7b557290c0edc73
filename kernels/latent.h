/* latent and latent_gradient - a point drawn from the normal distribution that an encoder gives, what that distribution
 * costs, and back.
 *
 *   equation     h[b] = mean [L], logvar [L]; lv = logvar clamped to [-30, 20]; z = mean + exp(lv/2)*e, e number b*L + d
 *                of philox.h's normal stream at the state's step, or 0 without noise;
 *                kl[d] = mean over b of (mean^2 + exp(lv) - 1 - lv)/2, state->kl = sum over d of max(kl[d], kl_floor)
 *   gradient     of what dz is the gradient of, plus beta*state->kl: dmean = dz + w*mean/B,
 *                dlogvar = dz*e*exp(lv/2)/2 + w*(exp(lv) - 1)/2/B, 0 where logvar was clamped; w = beta where
 *                kl[d] > kl_floor, else 0
 *   shapes       h, dh [B][2L]; z, dz [B][L]; kl [L]; dense f32; all results are overwritten, none may overlap
 *   limits       1 <= B, 1 <= L <= 65536, B*L below 2^34
 *   ownership    borrows all, in the exec's memory; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (results untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend, whatever the threads
 *   accuracy     relative L2 <= 1e-6 against oracle_latent; asserted in test_latent.c
 *   source       Kingma and Welling, Auto-Encoding Variational Bayes, appendix B; the floor: Kingma et al., Improved
 *                Variational Inference with Inverse Autoregressive Flow, per dimension */
#ifndef LATENT_H
#define LATENT_H
#include "ragged.h"
#include "status.h"
#include "step_state.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct latent_params {
    int64_t items, dims; /* B, L */
    uint32_t stream;
    bool noise; /* false: z = mean */
};

#define LATENT_LEAST (-30.0)
#define LATENT_MOST 20.0

/* NaN stays. */
static inline HOST_DEVICE double latent_clamped(double logvar)
{
    return logvar < LATENT_LEAST ? LATENT_LEAST : logvar > LATENT_MOST ? LATENT_MOST : logvar;
}

static inline HOST_DEVICE double latent_divergence(double mean, double lv)
{
    return (mean * mean + expm1(lv) - lv) / 2;
}

/* Fronts: validate, then call the twin of ex's backend. */
int latent(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h, float *z,
           float *kl) MUST_USE;
int latent_gradient(struct exec *ex, const struct latent_params *p, const struct step_state *state, const float *h,
                    const float *kl, const float *dz, float *dh) MUST_USE;

int latent_cpu(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h, float *z,
               float *kl);
int latent_gradient_cpu(struct exec *ex, const struct latent_params *p, const struct step_state *state, const float *h,
                        const float *kl, const float *dz, float *dh);

#ifdef __cplusplus
}
#endif
#endif
