#include "conv_transpose.h"

#include "activations.h"
#include "maps_check.h"

#include <string.h>

static int64_t weights_of(const struct conv_transpose_params *p)
{
    return p->in * p->out * 2 * p->stride;
}

size_t conv_transpose_pack_bytes_cpu(const struct conv_transpose_params *p)
{
    return packed_bytes((size_t)(weights_of(p) + p->out));
}

/* As PyTorch has them, bias behind weights. */
void conv_transpose_pack_cpu(const struct conv_transpose_params *p, const float *weight, const float *bias,
                             float *packed)
{
    const int64_t weights = weights_of(p);
    memcpy(packed, weight, (size_t)weights * sizeof *packed);
    for (int64_t o = 0; o < p->out; o++)
        packed[weights + o] = bias ? bias[o] : 0;
}

/* u of position n and channel o: two positions of the row reach it. */
static double sum_at(const struct conv_transpose_params *p, const float *packed, const float *row, int64_t width,
                     int64_t n, int64_t o)
{
    const int64_t at = n + p->stride / 2, last = at / p->stride;
    double sum = packed[weights_of(p) + o];
    for (int64_t j = last - 1; j <= last; j++)
        for (int64_t c = 0; j >= 0 && j < width && c < p->in; c++)
            sum += (double)packed[(c * p->out + o) * 2 * p->stride + at - j * p->stride] * row[j * p->in + c];
    return sum;
}

int conv_transpose_cpu(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                       const struct maps *x, const struct maps *add, const struct maps *y)
{
    (void)ex;
    for (int64_t b = 0; b < y->items; b++)
        for (int64_t i = 0; i < y->height; i++)
            for (int64_t n = 0; n < y->width; n++) {
                float *const out = maps_row(y, b, i) + n * y->channels;
                const float *const more = add ? maps_row(add, b, i) + n * y->channels : NULL;
                for (int64_t o = 0; o < p->out; o++) {
                    double v = sum_at(p, packed, maps_row(x, b, i), x->width, n, o);
                    v = p->activation == ACTIVATION_GELU ? activation_gelu(v) : v;
                    out[o] = (float)(v + (more ? (double)more[o] : 0));
                }
            }
    return STATUS_OK;
}
