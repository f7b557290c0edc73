/* conv and conv_transpose as products: the taps along the width are one run of memory, and so are the two positions
 * that meet in `stride` outputs of a transposed convolution. */
#include "../conv_transpose.h"
#include "product.h"
#include "rows.h"

static int64_t run_length(const struct conv_params *p)
{
    return p->in * (p->dilation_w == 1 ? p->kernel_w : 1);
}

size_t SIMD(conv_pack_bytes)(const struct conv_params *p)
{
    const int64_t k = p->in * p->kernel_h * p->kernel_w;
    return packed_bytes(SIMD(panels_floats)(k, p->out, p->activation == ACTIVATION_GLU) + run_length(p));
}

struct conv_weight {
    const struct conv_params *p;
    const float *weight;
};

/* k runs over taps of the height, of the width, channels. */
static float conv_weight(const void *context, int64_t k, int64_t n)
{
    const struct conv_weight *const w = context;
    const int64_t c = k % w->p->in, tap = k / w->p->in, taps = w->p->kernel_h * w->p->kernel_w;
    return w->weight[(n * w->p->in + c) * taps + tap];
}

/* Behind the panels lie zeros, for rows outside. */
void SIMD(conv_pack)(const struct conv_params *p, const float *weight, const float *bias, float *packed)
{
    const bool gated = p->activation == ACTIVATION_GLU;
    const int64_t k = p->in * p->kernel_h * p->kernel_w;
    const struct conv_weight w = {p, weight};
    SIMD(panels_pack)(k, p->out, gated, conv_weight, &w, bias, packed);
    memset(packed + SIMD(panels_floats)(k, p->out, gated), 0, (size_t)run_length(p) * sizeof *packed);
}

static enum finish finish_of(enum activation a)
{
    return a == ACTIVATION_GELU ? FINISH_GELU : a == ACTIVATION_GLU ? FINISH_GLU : FINISH_NONE;
}

static void to_maps(struct product *m, const struct maps *y, const struct maps *add)
{
    m->y = y->data;
    m->y_item = y->item_stride;
    m->y_row = y->row_stride;
    m->y_step = y->channels;
    m->y_limit = y->width * y->channels;
    if (add) {
        m->add = add->data;
        m->add_item = add->item_stride;
        m->add_row = add->row_stride;
    }
}

int SIMD(conv)(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
               const float *scale, const struct maps *add, const struct maps *y)
{
    const int64_t k = p->in * p->kernel_h * p->kernel_w;
    struct product m = {.x = x->data,
                        .items = x->items,
                        .height = x->height,
                        .x_height = x->height,
                        .h_step = 1,
                        .width = y->width,
                        .x_item = x->item_stride,
                        .x_row = x->row_stride,
                        .x_step = p->stride_w * p->in,
                        .length = run_length(p),
                        .panels = packed,
                        .zeros = packed + SIMD(panels_floats)(k, p->out, p->activation == ACTIVATION_GLU),
                        .out = p->out,
                        .finish = finish_of(p->activation),
                        .scale = scale};
    for (int64_t h = 0; h < p->kernel_h; h++)
        for (int64_t w = 0; w < (p->dilation_w == 1 ? 1 : p->kernel_w); w++) {
            const int64_t dh = h * p->dilation_h - p->pad_h;
            m.segment[m.segments++] = (struct segment){dh, dh * x->row_stride + (w * p->dilation_w - p->pad_w) * p->in};
        }
    to_maps(&m, y, add);
    return SIMD(product)(ex, &m);
}

size_t SIMD(conv_transpose_pack_bytes)(const struct conv_transpose_params *p)
{
    return packed_bytes(SIMD(panels_floats)(2 * p->in, p->out * p->stride, false));
}

struct transpose_weight {
    const struct conv_transpose_params *p;
    const float *weight;
};

/* Group j of `stride` outputs is made of positions j - 1 (the later half of the taps) and j. */
static float transpose_weight(const void *context, int64_t k, int64_t n)
{
    const struct transpose_weight *const w = context;
    const int64_t c = k % w->p->in, o = n % w->p->out;
    const int64_t tap = n / w->p->out + (k < w->p->in ? w->p->stride : 0);
    return w->weight[(c * w->p->out + o) * 2 * w->p->stride + tap];
}

void SIMD(conv_transpose_pack)(const struct conv_transpose_params *p, const float *weight, const float *bias,
                               float *packed)
{
    const struct transpose_weight w = {p, weight};
    const int64_t out = p->out * p->stride, k = 2 * p->in;
    SIMD(panels_pack)(k, out, false, transpose_weight, &w, NULL, packed);
    float *panel = packed;
    for (int64_t n = 0; n < out; n += PANEL) { /* the bias repeats for each of the stride positions */
        const int64_t lanes = out - n > LANES ? PANEL : LANES;
        for (int64_t l = 0; l < lanes && n + l < out; l++)
            panel[l] = bias ? bias[(n + l) % p->out] : 0;
        panel += (k + 1) * lanes;
    }
}

int SIMD(conv_transpose)(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                         const struct maps *x, const struct maps *add, const struct maps *y)
{
    struct product m = {.x = x->data,
                        .items = x->items,
                        .height = x->height,
                        .x_height = x->height,
                        .h_step = 1,
                        .width = x->width + 1,
                        .x_item = x->item_stride,
                        .x_row = x->row_stride,
                        .x_step = p->in,
                        .length = 2 * p->in,
                        .segments = 1,
                        .segment = {{0, -p->in}},
                        .panels = packed,
                        .out = p->out * p->stride,
                        .finish = finish_of(p->activation)};
    to_maps(&m, y, add);
    m.y_step = p->stride * p->out;
    m.y_shift = -(p->stride / 2) * p->out;
    return SIMD(product)(ex, &m);
}
