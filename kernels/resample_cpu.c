#include "resample.h"

#include "ops.h"

int resample_cpu(struct exec *ex, const void *memory, const struct ragged *x, struct ragged *y)
{
    const struct resample_plan *const plan = memory;
    const struct resample_params p = {plan->down, plan->up};
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const struct piece piece = piece_of(x->piece, b);
        const float *const row = (const float *)x->data + x->offset[b];
        float *const out = (float *)y->data + y->offset[b];
        const int64_t first = resample_first(&p, piece), samples = ragged_length(x, b);
        for (int64_t i = 0; i < ragged_length(y, b); i++) {
            const int64_t n = first + i, from = n * plan->down / plan->up - plan->taps / 2 + 1 - piece.start;
            const float *const h = plan->taps_of + n * plan->down % plan->up * plan->taps;
            double sum = 0;
            for (int64_t k = from < 0 ? -from : 0; k < plan->taps && from + k < samples; k++)
                sum += (double)h[k] * row[from + k];
            out[i] = (float)sum;
        }
    }
    return STATUS_OK;
}
