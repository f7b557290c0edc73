#include "latent.h"

#include "exec.h"
#include "philox.h"

struct drawn {
    const struct latent_params *p;
    const struct step_state *state;
    const float *h, *dz;
    float *z, *kl, *dh;
};

static double noise(const struct drawn *l, int64_t n)
{
    return l->p->noise ? philox_normal(l->state->seed, l->p->stream, l->state->step, n) : 0;
}

/* A dimension of all items. */
static int draw(void *context, int64_t d)
{
    const struct drawn *const l = context;
    double sum = 0;
    for (int64_t b = 0; b < l->p->items; b++) {
        const double mean = l->h[2 * b * l->p->dims + d];
        const double lv = latent_clamped(l->h[(2 * b + 1) * l->p->dims + d]);
        l->z[b * l->p->dims + d] = (float)(mean + exp(lv / 2) * noise(l, b * l->p->dims + d));
        sum += latent_divergence(mean, lv);
    }
    l->kl[d] = (float)(sum / (double)l->p->items);
    return STATUS_OK;
}

/* NOLINTBEGIN(readability-non-const-parameter): what it is given goes to threads in a struct */
int latent_cpu(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h, float *z,
               float *kl)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct drawn l = {.p = p, .state = state, .h = h, .z = z, .kl = kl};
    const int code = exec_parallel(ex, p->dims, draw, &l);
    double sum = 0;
    for (int64_t d = 0; d < p->dims; d++)
        sum += kl[d] < state->kl_floor ? state->kl_floor : kl[d];
    state->kl = sum;
    return code;
}

static int gradient(void *context, int64_t b)
{
    const struct drawn *const l = context;
    for (int64_t d = 0; d < l->p->dims; d++) {
        const double mean = l->h[2 * b * l->p->dims + d], logvar = l->h[(2 * b + 1) * l->p->dims + d];
        const double lv = latent_clamped(logvar), dz = l->dz[b * l->p->dims + d];
        const double w = (double)l->kl[d] <= l->state->kl_floor ? 0 : l->state->beta / (double)l->p->items;
        const double whole = dz * noise(l, b * l->p->dims + d) * exp(lv / 2) / 2 + w * expm1(lv) / 2;
        l->dh[2 * b * l->p->dims + d] = (float)(dz + w * mean);
        l->dh[(2 * b + 1) * l->p->dims + d] = (float)(logvar < LATENT_LEAST || logvar > LATENT_MOST ? 0 : whole);
    }
    return STATUS_OK;
}

/* NOLINTBEGIN(readability-non-const-parameter): what it is given goes to threads in a struct */
int latent_gradient_cpu(struct exec *ex, const struct latent_params *p, const struct step_state *state, const float *h,
                        const float *kl, const float *dz, float *dh)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct drawn l = {p, state, h, dz, NULL, (float *)kl, dh};
    return exec_parallel(ex, p->items, gradient, &l);
}
