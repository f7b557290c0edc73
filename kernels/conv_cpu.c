#include "conv.h"

#include "activations.h"
#include "maps_check.h"

#include <string.h>

static int64_t weights_of(const struct conv_params *p)
{
    return p->out * p->in * p->kernel_h * p->kernel_w;
}

size_t conv_pack_bytes_cpu(const struct conv_params *p)
{
    return packed_bytes((size_t)(weights_of(p) + p->out));
}

/* As PyTorch has them, bias behind weights. */
void conv_pack_cpu(const struct conv_params *p, const float *weight, const float *bias, float *packed)
{
    const int64_t weights = weights_of(p);
    memcpy(packed, weight, (size_t)weights * sizeof *packed);
    for (int64_t o = 0; o < p->out; o++)
        packed[weights + o] = bias ? bias[o] : 0;
}

/* u of one position and channel. */
static double sum_at(const struct conv_params *p, const float *packed, const struct maps *x, const int64_t at[3],
                     int64_t o)
{
    const float *const w = packed + o * p->in * p->kernel_h * p->kernel_w;
    double sum = packed[weights_of(p) + o];
    for (int64_t r = 0; r < p->kernel_h; r++) {
        const int64_t i = at[1] + r * p->dilation_h - p->pad_h;
        if (i < 0 || i >= x->height)
            continue;
        for (int64_t q = 0; q < p->kernel_w; q++) {
            const int64_t j = at[2] * p->stride_w + q * p->dilation_w - p->pad_w; /* in the row or its margins */
            const float *const in = maps_row(x, at[0], i) + j * p->in;
            for (int64_t c = 0; c < p->in; c++)
                sum += (double)w[(c * p->kernel_h + r) * p->kernel_w + q] * in[c];
        }
    }
    return sum;
}

static double value_at(const struct conv_params *p, const float *packed, const struct maps *x, const int64_t at[3],
                       int64_t o)
{
    const double u = sum_at(p, packed, x, at, o);
    if (p->activation == ACTIVATION_GELU)
        return activation_gelu(u);
    if (p->activation == ACTIVATION_GLU)
        return activation_glu(u, sum_at(p, packed, x, at, p->out / 2 + o));
    return u;
}

int conv_cpu(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
             const float *scale, const struct maps *add, const struct maps *y)
{
    (void)ex;
    for (int64_t b = 0; b < y->items; b++)
        for (int64_t i = 0; i < y->height; i++)
            for (int64_t j = 0; j < y->width; j++) {
                float *const out = maps_row(y, b, i) + j * y->channels;
                const float *const more = add ? maps_row(add, b, i) + j * y->channels : NULL;
                for (int64_t o = 0; o < y->channels; o++) {
                    const double v = value_at(p, packed, x, (const int64_t[3]){b, i, j}, o);
                    out[o] = (float)(v * (scale ? (double)scale[o] : 1) + (more ? (double)more[o] : 0));
                }
            }
    return STATUS_OK;
}
