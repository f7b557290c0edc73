#include "adamw.h"

#include "ops.h"

int adamw(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks)
{
    if (blocks->n < 1 || blocks->n >= INT64_C(1) << 40 || blocks->count < 0 || blocks->count >= 1 << 20)
        return fail(STATUS_SHAPE, "adamw: %lld parameters, %lld spans", (long long)blocks->n, (long long)blocks->count);
    if (!state || (uintptr_t)state % _Alignof(struct step_state) != 0)
        return fail(STATUS_ARGUMENT, "adamw: no state on 8 bytes");
    if (!blocks->param || !blocks->grad || !blocks->m || !blocks->v || !blocks->ema ||
        (blocks->count > 0 && !blocks->spans))
        return fail(STATUS_ARGUMENT, "adamw: a block is missing");
    return OPS_CALL(ex, adamw, ex, state, blocks);
}
