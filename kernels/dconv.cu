/* dconv on CUDA, without its widest tensor, as in simd/dconv.c: the second norm's mean and variance follow from the
 * sums and the Gram matrix of what the second product reads.
 *
 *   launches  product to a, sums of its parts, norm and GELU in place, Gram matrices of its parts, norm, product from a
 *   parts     512 samples of a signal, whatever the others are; merged in their order, in double
 *   memory    reads x twice and writes it once; a, an eighth of x, is written twice and read three times, and lies in
 *             the second cache. Signals side by side (ALONG_HEIGHT) take `hidden` floats out of each row */
#include "dconv.cuh"
#include "dconv_pack.h"

#include "maps_check.h"
#include "product.cuh"

#include <string.h>

/* ---- packing, on the host ---- */

/* Packed: tiles of conv1; gain1, shift1; tiles of conv2; gain2, shift2 in their order; scale; then in double S, t [h],
 * V [h][h], B, B2: sums over the columns c of conv2 of w, b w, w w', b, b^2. */
struct dconv_layout {
    int64_t conv1, gain1, shift1, conv2, gain2, shift2, scale, doubles, floats;
};

static int64_t on_lines(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct product_shape first_of(const struct dconv_params *p)
{
    const struct product_shape s = {3, p->channels, p->hidden, false, PRECISION_F32};
    return s;
}

static struct product_shape second_of(const struct dconv_params *p)
{
    const struct product_shape s = {1, p->hidden, 2 * p->channels, true, PRECISION_F32};
    return s;
}

static struct dconv_layout layout_of(const struct dconv_params *p)
{
    const int64_t c = p->channels, h = p->hidden, order = product_order_floats(2 * c, true);
    const struct product_shape first = first_of(p), second = second_of(p);
    struct dconv_layout v = {};
    v.gain1 = v.conv1 + on_lines(product_floats(&first));
    v.shift1 = v.gain1 + h;
    v.conv2 = on_lines(v.shift1 + h);
    v.gain2 = v.conv2 + product_floats(&second);
    v.shift2 = v.gain2 + order;
    v.scale = v.shift2 + order;
    v.doubles = on_lines(v.scale + c);
    v.floats = v.doubles + 2 * (h * h + 2 * h + 2);
    return v;
}

extern "C" size_t dconv_cuda_pack_bytes(const struct dconv_params *p)
{
    return packed_bytes((size_t)layout_of(p).floats);
}

struct device_dconv_weight {
    const float *weight;
    int64_t channels, taps;
};

static float weight_of(const void *context, int64_t k, int64_t n) /* k: tap, channel */
{
    const struct device_dconv_weight *const w = (const struct device_dconv_weight *)context;
    return w->weight[(n * w->channels + k % w->channels) * w->taps + k / w->channels];
}

extern "C" void dconv_cuda_pack(const struct dconv_params *p, const struct dconv_weights *w, float *packed)
{
    const int64_t c = p->channels, h = p->hidden;
    const struct dconv_layout v = layout_of(p);
    const struct product_shape first = first_of(p), second = second_of(p);
    const struct device_dconv_weight narrow = {w->conv1, c, 3}, wide = {w->conv2, h, 1};
    memset(packed, 0, dconv_cuda_pack_bytes(p));
    product_pack(&first, weight_of, &narrow, w->bias1, h, packed + v.conv1);
    memcpy(packed + v.gain1, w->gain1, (size_t)h * sizeof *packed);
    memcpy(packed + v.shift1, w->shift1, (size_t)h * sizeof *packed);
    product_pack(&second, weight_of, &wide, w->bias2, 2 * c, packed + v.conv2);
    product_order(2 * c, true, w->gain2, packed + v.gain2);
    product_order(2 * c, true, w->shift2, packed + v.shift2);
    memcpy(packed + v.scale, w->scale, (size_t)c * sizeof *packed);
    dconv_pack_moments(p, w, (double *)(void *)(packed + v.doubles));
}

/* ---- launches ---- */

static void shape_of(const struct dconv_params *p, const struct maps *x, struct device_narrow *n)
{
    const bool down = p->along == ALONG_HEIGHT;
    n->groups = down ? x->items : x->items * x->height;
    n->samples = down ? x->height : x->width;
    n->signals = down ? x->width : 1;
    n->parts = (n->samples + DCONV_PART - 1) / DCONV_PART;
    n->hidden = (int)p->hidden;
    n->wide = 2 * p->channels;
}

struct dconv_scratch {
    size_t a, sums, grams, norm;
};

static struct dconv_scratch scratch_of(const struct device_narrow *n)
{
    const size_t signals = (size_t)(n->groups * n->signals), h = (size_t)n->hidden;
    const struct dconv_scratch s = {
        signals * (size_t)n->samples * h * sizeof(float), signals * (size_t)n->parts * 2 * sizeof(double),
        signals * (size_t)n->parts * (h + 1) * h * sizeof(double), signals * 2 * sizeof(float)};
    return s;
}

extern "C" size_t dconv_cuda_work_bytes(const struct dconv_params *p, const struct maps *x)
{
    struct device_narrow n = {};
    shape_of(p, x, &n);
    const struct dconv_scratch s = scratch_of(&n);
    return arena_round(s.a) + arena_round(s.sums) + arena_round(s.grams) + arena_round(s.norm);
}

/* a = conv1(x) */
static int narrow_product(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x,
                          float *a)
{
    const int64_t c = p->channels, h = p->hidden;
    struct device_product m = {};
    const struct maps to = maps_of(a, x->items, x->height, x->width, h, false);
    m.x = x->data;
    m.items = x->items;
    m.height = m.x_height = x->height;
    m.h_step = 1;
    m.width = x->width;
    m.x_item = x->item_stride;
    m.x_row = x->row_stride;
    m.x_step = c;
    m.length = (int)c;
    m.panels = packed + layout_of(p).conv1;
    m.out = h;
    for (int64_t tap = -1; tap <= 1; tap++) {
        const int64_t d = tap * p->dilation;
        const struct device_segment down = {d, d * x->row_stride}, along = {0, d * c};
        m.segment[m.segments++] = p->along == ALONG_HEIGHT ? down : along;
    }
    product_to_maps(&m, &to, NULL);
    return product_launch(ex, "dconv", &m);
}

/* x += scale * GLU(N2(conv2(a))) */
static int wide_product(struct exec *ex, const struct dconv_params *p, const float *packed,
                        const struct device_narrow *n, const struct maps *x)
{
    const bool down = p->along == ALONG_HEIGHT;
    const struct dconv_layout v = layout_of(p);
    struct device_product m = {};
    m.x = n->a;
    m.items = x->items;
    m.height = m.x_height = x->height;
    m.h_step = 1;
    m.width = x->width;
    m.x_item = x->height * x->width * p->hidden;
    m.x_row = x->width * p->hidden;
    m.x_step = p->hidden;
    m.length = (int)p->hidden;
    m.segments = 1;
    m.panels = packed + v.conv2;
    m.out = 2 * p->channels;
    m.finish = PRODUCT_NORM_GLU;
    m.gain = packed + v.gain2;
    m.shift = packed + v.shift2;
    m.norm = n->norm;
    m.norm_item = 2 * (down ? x->width : x->height);
    m.norm_row = down ? 0 : 2;
    m.norm_step = down ? 2 : 0;
    m.scale = packed + v.scale;
    product_to_maps(&m, x, x);
    return product_launch(ex, "dconv", &m);
}

extern "C" int dconv_cuda(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x)
{
    const struct dconv_layout v = layout_of(p);
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct device_narrow n = {};
    n.gain1 = packed + v.gain1;
    n.shift1 = packed + v.shift1;
    n.moments = (const double *)(const void *)(packed + v.doubles);
    shape_of(p, x, &n);
    const struct dconv_scratch s = scratch_of(&n);
    int code = arena_alloc(arena, s.a, &n.a);
    code = code ? code : arena_alloc(arena, s.sums, &n.sums);
    code = code ? code : arena_alloc(arena, s.grams, &n.grams);
    code = code ? code : arena_alloc(arena, s.norm, &n.norm);
    code = code ? code : narrow_product(ex, p, packed, x, n.a);
    code = code ? code : dconv_statistics(ex, &n);
    code = code ? code : wide_product(ex, p, packed, &n, x);
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code;
}
