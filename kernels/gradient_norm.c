#include "gradient_norm.h"

#include "ops.h"
#include "sums.h"

size_t gradient_norm_work_bytes(int64_t n)
{
    const size_t spans = (size_t)sum_spans(n);
    return arena_round((spans > SUM_BLOCKS ? spans : SUM_BLOCKS) * sizeof(double));
}

int gradient_norm(struct exec *ex, struct step_state *state, const float *g, int64_t n)
{
    if (n < 1 || n >= INT64_C(1) << 40)
        return fail(STATUS_SHAPE, "gradient_norm: %lld gradients", (long long)n);
    if (!g || !state || (uintptr_t)state % _Alignof(struct step_state) != 0)
        return fail(STATUS_ARGUMENT, "gradient_norm: no gradients, or no state on 8 bytes");
    return OPS_CALL(ex, gradient_norm, ex, state, g, n);
}
