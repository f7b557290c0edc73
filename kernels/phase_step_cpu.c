#include "ops.h"
#include "phase_step_values.h"

int phase_step_cpu(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                   const float *before, float *y)
{
    struct phase_step_call k = {ahead, n, magnitude, now, before, NULL};
    k.y = y;
    return exec_parallel(ex, phase_step_turns(n), phase_step_some, &k);
}

int phase_step(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now, const float *before,
               float *y)
{
    if (n < 0 || n > INT64_C(1) << 40)
        return fail(STATUS_SHAPE, "phase_step: %lld values, allowed 0 to 2^40", (long long)n);
    if (!(ahead >= -1 && ahead <= 1))
        return fail(STATUS_ARGUMENT, "phase_step: %g ahead, allowed -1 to 1", ahead);
    if (n > 0 && (!magnitude || !now || !y))
        return fail(STATUS_ARGUMENT, "phase_step: no magnitudes, no spectrum, or no buffer for the result");
    return n == 0 ? STATUS_OK : OPS_CALL(ex, phase_step, ex, ahead, n, magnitude, now, before, y);
}
