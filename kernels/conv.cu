/* conv and conv_transpose as products (product.cu): the taps along the width are one run of memory, and so are the two
 * positions that meet in `stride` outputs of a transposed convolution. Two and four channels of eight taps are runs of
 * one and two steps of k, so the first layers need no kernel of their own. */
#include "conv.h"

#include "conv_transpose.h"
#include "maps_check.h"
#include "product.cuh"

static int64_t run_length(const struct conv_params *p)
{
    return p->in * (p->dilation_w == 1 ? p->kernel_w : 1);
}

static int64_t run_count(const struct conv_params *p)
{
    return p->kernel_h * (p->dilation_w == 1 ? 1 : p->kernel_w);
}

static struct product_shape shape_of(const struct conv_params *p)
{
    const struct product_shape s = {run_count(p), run_length(p), p->out, p->activation == ACTIVATION_GLU, p->precision};
    return s;
}

extern "C" size_t conv_cuda_pack_bytes(const struct conv_params *p)
{
    const struct product_shape s = shape_of(p);
    return packed_bytes((size_t)product_floats(&s));
}

struct device_conv_weight {
    const struct conv_params *p;
    const float *weight;
};

/* k runs over taps of the height, of the width, channels. */
static float conv_weight(const void *context, int64_t k, int64_t n)
{
    const struct device_conv_weight *const w = (const struct device_conv_weight *)context;
    const int64_t c = k % w->p->in, tap = k / w->p->in, taps = w->p->kernel_h * w->p->kernel_w;
    return w->weight[(n * w->p->in + c) * taps + tap];
}

extern "C" void conv_cuda_pack(const struct conv_params *p, const float *weight, const float *bias, float *packed)
{
    const struct device_conv_weight w = {p, weight};
    const struct product_shape s = shape_of(p);
    product_pack(&s, conv_weight, &w, bias, p->out, packed);
}

static enum product_finish finish_of(enum activation a)
{
    return a == ACTIVATION_GELU ? PRODUCT_GELU : a == ACTIVATION_GLU ? PRODUCT_GLU : PRODUCT_NONE;
}

extern "C" int conv_cuda(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
                         const float *scale, const struct maps *add, const struct maps *y)
{
    struct device_product m = {};
    m.x = x->data;
    m.items = x->items;
    m.height = m.x_height = x->height;
    m.h_step = 1;
    m.width = y->width;
    m.x_item = x->item_stride;
    m.x_row = x->row_stride;
    m.x_step = p->stride_w * p->in;
    m.length = (int)run_length(p);
    m.panels = packed;
    m.out = p->out;
    m.precision = p->precision;
    m.finish = finish_of(p->activation);
    m.scale = scale;
    for (int64_t h = 0; h < p->kernel_h; h++)
        for (int64_t w = 0; w < (p->dilation_w == 1 ? 1 : p->kernel_w); w++) {
            const int64_t dh = h * p->dilation_h - p->pad_h;
            const struct device_segment s = {dh, dh * x->row_stride + (w * p->dilation_w - p->pad_w) * p->in};
            m.segment[m.segments++] = s;
        }
    product_to_maps(&m, y, add);
    return product_launch(ex, "conv", &m);
}

static struct product_shape transpose_shape_of(const struct conv_transpose_params *p)
{
    const struct product_shape s = {1, 2 * p->in, p->out * p->stride, false, p->precision};
    return s;
}

extern "C" size_t conv_transpose_cuda_pack_bytes(const struct conv_transpose_params *p)
{
    const struct product_shape s = transpose_shape_of(p);
    return packed_bytes((size_t)product_floats(&s));
}

struct device_transpose_weight {
    const struct conv_transpose_params *p;
    const float *weight;
};

/* Group j of `stride` outputs is made of positions j - 1 (the later half of the taps) and j. */
static float transpose_weight(const void *context, int64_t k, int64_t n)
{
    const struct device_transpose_weight *const w = (const struct device_transpose_weight *)context;
    const int64_t c = k % w->p->in, o = n % w->p->out;
    const int64_t tap = n / w->p->out + (k < w->p->in ? w->p->stride : 0);
    return w->weight[(c * w->p->out + o) * 2 * w->p->stride + tap];
}

extern "C" void conv_transpose_cuda_pack(const struct conv_transpose_params *p, const float *weight, const float *bias,
                                         float *packed)
{
    const struct device_transpose_weight w = {p, weight};
    const struct product_shape s = transpose_shape_of(p);
    product_pack(&s, transpose_weight, &w, bias, p->out, packed);
}

extern "C" int conv_transpose_cuda(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                                   const struct maps *x, const struct maps *add, const struct maps *y)
{
    struct device_product m = {};
    m.x = x->data;
    m.items = x->items;
    m.height = m.x_height = x->height;
    m.h_step = 1;
    m.width = x->width + 1;
    m.x_item = x->item_stride;
    m.x_row = x->row_stride;
    m.x_step = p->in;
    m.length = (int)(2 * p->in);
    m.segments = 1;
    m.segment[0].offset = -p->in;
    m.panels = packed;
    m.out = p->out * p->stride;
    m.precision = p->precision;
    m.finish = finish_of(p->activation);
    product_to_maps(&m, y, add);
    m.y_step = p->stride * p->out;
    m.y_shift = -(p->stride / 2) * p->out;
    return product_launch(ex, "conv_transpose", &m);
}
