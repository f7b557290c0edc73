#include "activate.h"

#include "columns.h"
#include "maps_check.h"
#include "ops.h"
#include "philox.h"

size_t activate_work_bytes(const struct maps *x)
{
    const size_t of_items = (size_t)(x->items * x->channels) * sizeof(double);
    return columns_bytes(x, 2) + arena_round(2 * of_items) + arena_round(3 * of_items);
}

static int check_params(const char *op, const struct activate_params *p, const struct maps *x)
{
    if (p->groups < 0 || p->groups > x->channels || (p->groups > 0 && x->channels % p->groups != 0))
        return fail(STATUS_ARGUMENT, "%s: %lld groups of %lld channels", op, (long long)p->groups,
                    (long long)x->channels);
    if (p->kind < ACTIVATE_NONE || p->kind > ACTIVATE_LEAKY_RELU)
        return fail(STATUS_ARGUMENT, "%s: no activation %d", op, (int)p->kind);
    if (p->kind == ACTIVATE_LEAKY_RELU && !(p->slope >= 0 && p->slope <= 1))
        return fail(STATUS_ARGUMENT, "%s: slope %g, allowed 0 to 1", op, (double)p->slope);
    if (p->groups > 0 && !(p->epsilon > 0 && isfinite(p->epsilon)))
        return fail(STATUS_ARGUMENT, "%s: epsilon %g, allowed above 0", op, (double)p->epsilon);
    if (!(p->dropout >= 0 && p->dropout < 1))
        return fail(STATUS_ARGUMENT, "%s: dropout %g, allowed from 0 to below 1", op, (double)p->dropout);
    if (p->dropout > 0 && x->items * x->height * x->width * x->channels >= PHILOX_MOST)
        return fail(STATUS_SHAPE, "%s: dropout of %lld values, allowed fewer than 2^34", op,
                    (long long)(x->items * x->height * x->width * x->channels));
    return STATUS_OK;
}

static int check_memory(const char *op, const struct activate_params *p, const struct step_state *state,
                        const struct activate_norm *norm)
{
    if (p->dropout > 0 && (!state || (uintptr_t)state % _Alignof(struct step_state) != 0))
        return fail(STATUS_ARGUMENT, "%s: dropout, and no state on 8 bytes", op);
    if (p->groups > 0 && (!norm || !norm->gain || !norm->shift || !norm->statistics))
        return fail(STATUS_ARGUMENT, "%s: groups, and no gain, shift or statistics", op);
    return STATUS_OK;
}

int activate(struct exec *ex, const struct activate_params *p, const struct step_state *state,
             const struct activate_norm *norm, const struct maps *x, const struct maps *y)
{
    int code = maps_check("activate", "x", x, false);
    code = code ? code : maps_check("activate", "y", y, true);
    code = code ? code : maps_check_shape("activate", "y", x, y, x->channels);
    code = code ? code : check_params("activate", p, x);
    if (code || x->items == 0)
        return code;
    code = check_memory("activate", p, state, norm);
    return code ? code : OPS_CALL(ex, activate, ex, p, state, norm, x, y);
}

int activate_gradient(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                      const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                      const struct maps *dx, float *dgain, float *dshift)
{
    static const char op[] = "activate_gradient";
    int code = maps_check(op, "x", x, false);
    code = code ? code : maps_check(op, "dy", dy, false);
    code = code ? code : maps_check(op, "dx", dx, true);
    code = code ? code : maps_check_shape(op, "dy", x, dy, x->channels);
    code = code ? code : maps_check_shape(op, "dx", x, dx, x->channels);
    code = code ? code : check_params(op, p, x);
    if (!code && x->items == 0 && p->groups > 0)
        code = fail(STATUS_SHAPE, "%s: no items to sum over", op);
    if (code || x->items == 0)
        return code;
    code = check_memory(op, p, state, norm);
    if (!code && p->groups > 0 && (!dgain || !dshift))
        code = fail(STATUS_ARGUMENT, "%s: groups, and no buffer for the gradients of gain or shift", op);
    return code ? code : OPS_CALL(ex, activate_gradient, ex, p, state, norm, x, dy, dx, dgain, dshift);
}
