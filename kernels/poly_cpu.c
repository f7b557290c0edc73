#include "poly.h"

#include "spectral_frame.h"

int poly_check(const struct spectral_params *p)
{
    if (p->poly_order < 0 || p->poly_order > POLY_ORDER_MOST || p->poly_order >= stft_bins(&p->stft))
        return fail(STATUS_ARGUMENT, "poly: order %d, allowed 0 to %d and below the number of bins", (int)p->poly_order,
                    POLY_ORDER_MOST);
    return STATUS_OK;
}

void poly_finish(const struct poly_plan *plan, const double *dots, float *out)
{
    for (int64_t i = 0; i <= plan->order; i++) {
        double sum = 0;
        for (int64_t j = 0; j <= plan->order; j++)
            sum += plan->powers[i * (plan->order + 1) + j] * dots[j];
        out[i] = (float)sum;
    }
}

void poly_frame(const struct spectral_frame *f, float *out)
{
    const struct poly_plan *const plan = f->plans->poly;
    double dots[POLY_ORDER_MOST + 1] = {0};
    for (int64_t j = 0; j <= plan->order; j++)
        for (int64_t i = 0; i < f->bins; i++)
            dots[j] += (double)plan->basis[j * f->bins + i] * f->magnitude[i];
    poly_finish(plan, dots, out);
}
