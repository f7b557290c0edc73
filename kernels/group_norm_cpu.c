#include "group_norm.h"

#include <math.h>

static void norm_of(const struct maps *x, int64_t b, double *mean, double *deviation)
{
    const int64_t row = x->width * x->channels;
    const double n = (double)(x->height * row);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < x->height; i++)
        for (int64_t k = 0; k < row; k++)
            sum += maps_row(x, b, i)[k];
    *mean = sum / n;
    for (int64_t i = 0; i < x->height; i++)
        for (int64_t k = 0; k < row; k++) {
            const double gap = maps_row(x, b, i)[k] - *mean;
            squares += gap * gap;
        }
    *deviation = sqrt(squares / n + 1e-5);
}

int group_norm_cpu(struct exec *ex, const float *gain, const float *shift, const struct maps *x, const struct maps *add,
                   const struct maps *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->items; b++) {
        double mean, deviation;
        norm_of(x, b, &mean, &deviation);
        for (int64_t i = 0; i < x->height; i++)
            for (int64_t k = 0; k < x->width * x->channels; k++) {
                const int64_t c = k % x->channels;
                maps_row(y, b, i)[k] = (float)((maps_row(x, b, i)[k] - mean) / deviation * gain[c] + shift[c] +
                                               (add ? (double)maps_row(add, b, i)[k] : 0));
            }
    }
    return STATUS_OK;
}
