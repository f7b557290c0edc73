/* What is done to phases, in double: the scalar twins' loops, compiled for the vectors of this instruction set. */
#include "../phase_step_values.h"
#include "../time_stretch_bins.h"
#include "rows.h"

int SIMD(time_stretch)(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y)
{
    struct stretch_call k = stretch_call_of(rate, x, y);
    return exec_parallel(ex, x->rows * k.blocks, stretch_some, &k);
}

int SIMD(phase_step)(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                     const float *before, float *y)
{
    struct phase_step_call k = {ahead, n, magnitude, now, before, NULL};
    k.y = y;
    return exec_parallel(ex, phase_step_turns(n), phase_step_some, &k);
}
