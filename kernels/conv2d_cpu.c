#include "conv2d.h"
#include "maps_check.h"

#include <string.h>

size_t conv2d_pack_bytes_cpu(const struct conv2d_params *p, enum conv2d_way way)
{
    return packed_bytes((size_t)(conv2d_weights(p) + (way == CONV2D_FORWARD ? p->out : p->in)));
}

/* As they are, bias behind weights. */
int conv2d_pack_cpu(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                    const float *bias, float *packed)
{
    const int64_t weights = conv2d_weights(p), n = way == CONV2D_FORWARD ? p->out : p->in;
    (void)ex;
    memcpy(packed, weight, (size_t)weights * sizeof *packed);
    for (int64_t o = 0; o < n; o++)
        packed[weights + o] = bias ? bias[o] : 0;
    return STATUS_OK;
}

/* Of y[b,i,j,o]. */
static double forward_at(const struct conv2d_params *p, const float *packed, const struct maps *x, const int64_t at[3],
                         int64_t o)
{
    double sum = packed[conv2d_weights(p) + o];
    for (int64_t r = 0; r < p->kernel_h; r++) {
        const int64_t i = at[1] * p->stride_h + r - p->pad_h;
        if (i < 0 || i >= x->height)
            continue;
        for (int64_t q = 0; q < p->kernel_w; q++) { /* in the row or its margins */
            const float *const from = maps_row(x, at[0], i) + (at[2] * p->stride_w + q - p->pad_w) * p->in;
            const float *const w = packed + (r * p->kernel_w + q) * p->in * p->out + o;
            for (int64_t c = 0; c < p->in; c++)
                sum += (double)w[c * p->out] * from[c];
        }
    }
    return sum;
}

int conv2d_cpu(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
               const struct maps *y)
{
    (void)ex;
    for (int64_t b = 0; b < y->items; b++)
        for (int64_t i = 0; i < y->height; i++)
            for (int64_t j = 0; j < y->width; j++)
                for (int64_t o = 0; o < p->out; o++)
                    maps_row(y, b, i)[j * p->out + o] = (float)forward_at(p, packed, x, (const int64_t[3]){b, i, j}, o);
    return STATUS_OK;
}

/* The position of y that meets position r of x in tap k; false: none. */
static bool meets(int64_t r, int64_t pad, int64_t k, int64_t stride, int64_t *at)
{
    const int64_t twice = r + pad - k;
    *at = twice / stride;
    return twice >= 0 && twice % stride == 0;
}

/* Of x[b,r,s,c]. */
static double data_at(const struct conv2d_params *p, const float *packed, const struct maps *y, const int64_t at[3],
                      int64_t c)
{
    double sum = packed[conv2d_weights(p) + c];
    for (int64_t r = 0; r < p->kernel_h; r++)
        for (int64_t q = 0; q < p->kernel_w; q++) {
            int64_t i, j;
            if (!meets(at[1], p->pad_h, r, p->stride_h, &i) || !meets(at[2], p->pad_w, q, p->stride_w, &j) ||
                i >= y->height)
                continue;
            const float *const from = maps_row(y, at[0], i) + j * p->out; /* in the row or the margin behind it */
            const float *const w = packed + ((r * p->kernel_w + q) * p->in + c) * p->out;
            for (int64_t o = 0; o < p->out; o++)
                sum += (double)w[o] * from[o];
        }
    return sum;
}

int conv2d_data_cpu(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                    const struct maps *x)
{
    (void)ex;
    for (int64_t b = 0; b < x->items; b++)
        for (int64_t i = 0; i < x->height; i++)
            for (int64_t j = 0; j < x->width; j++)
                for (int64_t c = 0; c < p->in; c++)
                    maps_row(x, b, i)[j * p->in + c] = (float)data_at(p, packed, y, (const int64_t[3]){b, i, j}, c);
    return STATUS_OK;
}

size_t conv2d_work_bytes_cpu(const struct conv2d_params *p, const struct maps *y)
{
    (void)p, (void)y;
    return 0;
}

/* Of w[p,q,c,o], at: p, q, c. */
static double weight_at(const struct conv2d_params *p, const struct maps *x, const struct maps *y, const int64_t at[3],
                        int64_t o)
{
    double sum = 0;
    for (int64_t b = 0; b < y->items; b++)
        for (int64_t i = 0; i < y->height; i++) {
            const int64_t r = i * p->stride_h + at[0] - p->pad_h;
            if (r < 0 || r >= x->height)
                continue;
            const float *const from = maps_row(x, b, r) + (at[1] - p->pad_w) * p->in + at[2];
            for (int64_t j = 0; j < y->width; j++)
                sum += (double)from[j * p->stride_w * p->in] * maps_row(y, b, i)[j * p->out + o];
        }
    return sum;
}

int conv2d_weight_cpu(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                      float *gradient)
{
    (void)ex;
    for (int64_t r = 0; r < p->kernel_h; r++)
        for (int64_t q = 0; q < p->kernel_w; q++)
            for (int64_t c = 0; c < p->in; c++)
                for (int64_t o = 0; o < p->out; o++)
                    *gradient++ = (float)weight_at(p, x, y, (const int64_t[3]){r, q, c}, o);
    return STATUS_OK;
}
