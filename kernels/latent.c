#include "latent.h"

#include "maps_check.h"
#include "ops.h"
#include "philox.h"

static int check(const char *op, const struct latent_params *p, const struct step_state *state, bool whole)
{
    if (p->items < 1 || p->dims < 1 || p->dims > CHANNELS_MOST || p->items >= PHILOX_MOST / p->dims)
        return fail(STATUS_SHAPE, "%s: %lld items of %lld dimensions", op, (long long)p->items, (long long)p->dims);
    if (!state || (uintptr_t)state % _Alignof(struct step_state) != 0)
        return fail(STATUS_ARGUMENT, "%s: no state on 8 bytes", op);
    return whole ? STATUS_OK : fail(STATUS_ARGUMENT, "%s: a buffer is missing", op);
}

int latent(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h, float *z,
           float *kl)
{
    const int code = check("latent", p, state, h && z && kl);
    return code ? code : OPS_CALL(ex, latent, ex, p, state, h, z, kl);
}

int latent_gradient(struct exec *ex, const struct latent_params *p, const struct step_state *state, const float *h,
                    const float *kl, const float *dz, float *dh)
{
    const int code = check("latent_gradient", p, state, h && kl && dz && dh);
    return code ? code : OPS_CALL(ex, latent_gradient, ex, p, state, h, kl, dz, dh);
}
