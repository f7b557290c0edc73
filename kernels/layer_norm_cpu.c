#include "layer_norm.h"

#include <math.h>

int layer_norm_cpu(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
                   const struct maps *y)
{
    const int64_t channels = x->channels;
    (void)ex;
    for (int64_t b = 0; b < x->items; b++)
        for (int64_t n = 0; n < x->height * x->width; n++) {
            const float *const in = maps_row(x, b, n / x->width) + n % x->width * channels;
            float *const out = maps_row(y, b, n / x->width) + n % x->width * channels;
            double mean = 0, squares = 0;
            for (int64_t c = 0; c < channels; c++)
                mean += in[c] / (double)channels;
            for (int64_t c = 0; c < channels; c++)
                squares += (in[c] - mean) * (in[c] - mean);
            const double deviation = sqrt(squares / (double)channels + 1e-5);
            for (int64_t c = 0; c < channels; c++)
                out[c] = (float)((in[c] - mean) / deviation * gain[c] + shift[c] +
                                 (add ? (double)add[n * channels + c] : 0));
        }
    return STATUS_OK;
}
