/* oracle_training - slow references in double for the operations of training, from the equations of the headers; maps
 * are dense [items][height][width][channels] here. What is random takes its numbers from philox.h, whose known answers
 * are in test_philox.c. */
#ifndef ORACLE_TRAINING_H
#define ORACLE_TRAINING_H
#include "oracle_network.h"

/* What absolute values sum to goes into size, which errors are taken of. */
void oracle_column_sums(const struct oracle_shape *s, const float *x, double *y, double *size);

/* dy NULL: y alone. gain, shift, dgain, dshift NULL without groups. */
void oracle_activate(const struct activate_params *p, const struct step_state *state, const struct oracle_shape *s,
                     const float *gain, const float *shift, const float *x, double *y, const float *dy, double *dx,
                     double *dgain, double *dshift);

/* Returns the divergence with its floor. */
double oracle_latent(const struct latent_params *p, const struct step_state *state, const float *h, double *z,
                     double *kl);
void oracle_latent_gradient(const struct latent_params *p, const struct step_state *state, const float *h,
                            const double *kl, const float *dz, double *dh);

/* Returns the loss. */
double oracle_reconstruction(double weight_l1, int64_t n, const float *y, const float *x, double *dy);

double oracle_norm(const float *g, int64_t n);

/* One step; every block in double. */
struct oracle_adamw {
    double *param, *m, *v, *ema;
};
void oracle_adamw(const struct step_state *state, const struct adamw_span *spans, int64_t count, int64_t n,
                  const float *grad, const struct oracle_adamw *b);

#endif
