#include "moments.h"

#include <math.h>

int moments_cpu(struct exec *ex, const struct maps *x, float *y)
{
    const int64_t row = x->width * x->channels, n = x->height * row;
    (void)ex;
    for (int64_t b = 0; b < x->items; b++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < x->height; i++)
            for (int64_t k = 0; k < row; k++)
                sum += maps_row(x, b, i)[k];
        const double mean = sum / (double)n;
        for (int64_t i = 0; i < x->height; i++)
            for (int64_t k = 0; k < row; k++) {
                const double gap = maps_row(x, b, i)[k] - mean;
                squares += gap * gap;
            }
        y[2 * b] = (float)mean;
        y[2 * b + 1] = n > 1 ? (float)sqrt(squares / (double)(n - 1)) : 0;
    }
    return STATUS_OK;
}
