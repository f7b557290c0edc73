/* dconv_pack - what packed weights of dconv have on every backend that never makes its widest tensor: moments of the
 * second product's weights, from which the second norm's mean and variance follow.
 *
 *   shapes    to [h*h + 2*h + 2] f64, h = p->hidden: column sums [h] of conv2 [2*channels][h], its products with bias2
 *             [h], its Gram matrix [h][h], then the bias's sum and sum of squares
 *   errors    none
 *   source    simd/dconv.c, whose comment has the equation */
#ifndef DCONV_PACK_H
#define DCONV_PACK_H
#include "dconv.h"

#include <string.h>

static inline void dconv_pack_moments(const struct dconv_params *p, const struct dconv_weights *w, double *to)
{
    const int64_t h = p->hidden;
    double *const sum = to, *const cross = to + h, *const gram = to + 2 * h, *const bias = gram + h * h;
    memset(to, 0, (size_t)(h * h + 2 * h + 2) * sizeof *to);
    for (int64_t c = 0; c < 2 * p->channels; c++) {
        const float *const row = w->conv2 + c * h;
        for (int64_t i = 0; i < h; i++) {
            sum[i] += row[i];
            cross[i] += (double)w->bias2[c] * row[i];
            for (int64_t j = 0; j < h; j++)
                gram[i * h + j] += (double)row[i] * row[j];
        }
        bias[0] += w->bias2[c];
        bias[1] += (double)w->bias2[c] * w->bias2[c];
    }
}

#endif
