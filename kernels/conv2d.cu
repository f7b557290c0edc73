/* conv2d and its data gradient as products (product.cu), the latter one for each phase of the strides
 * (conv2d_phases.h).
 *
 * A linear layer with a long sum and few outputs is one tile or two: such sums are cut into parts, packed as products
 * of their own, which the device makes beside each other into scratch and adds in their order; or, where there are
 * positions enough to fill it, one after the other onto y. The bits are the same. */
#include "conv2d.h"

#include "conv2d.cuh"
#include "conv2d_phases.h"
#include "conv2d_weight.cuh"
#include "maps_check.h"

enum {
    BLOCKS = 132, /* that parts make of tiles, */
    PART = 256,   /* of at least so many of k, */
    LONG = 2048,  /* where there are so many */
    JOIN_THREADS = 128
};
static const int64_t PARTS_FLOATS = 4 << 20; /* of all parts together */

int64_t conv2d_parts(const struct conv2d_params *p, enum conv2d_way way)
{
    const int64_t k = way == CONV2D_FORWARD ? p->in : p->out, n = way == CONV2D_FORWARD ? p->out : p->in;
    if (p->kernel_h * p->kernel_w > 1 || k < LONG)
        return 1;
    int64_t parts = BLOCKS / product_tiles(n, false);
    parts = parts < k / PART ? parts : k / PART;
    while (parts > 1 && k % (parts * PRODUCT_STEP) != 0)
        parts--;
    return parts < 1 ? 1 : parts;
}

struct product_shape conv2d_shape(const struct conv2d_params *p, enum conv2d_way way, int64_t phase)
{
    const struct product_shape forward = {p->kernel_h, p->kernel_w * p->in, p->out, false, p->precision};
    const int64_t parts = conv2d_parts(p, way);
    if (parts > 1) {
        const struct product_shape part = {1, (way == CONV2D_FORWARD ? p->in : p->out) / parts,
                                           way == CONV2D_FORWARD ? p->out : p->in, false, p->precision};
        return part;
    }
    const struct product_shape data = {conv2d_taps(p->kernel_h, p->stride_h, phase), conv2d_taps_w(p) * p->out,
                                       p->stride_w * p->in, false, p->precision};
    return way == CONV2D_FORWARD ? forward : data;
}

int64_t conv2d_products(const struct conv2d_params *p, enum conv2d_way way)
{
    const int64_t parts = conv2d_parts(p, way);
    return parts > 1 ? parts : way == CONV2D_FORWARD ? 1 : p->stride_h;
}

int64_t conv2d_panels_before(const struct conv2d_params *p, enum conv2d_way way, int64_t phase)
{
    int64_t floats = 0;
    for (int64_t a = 0; a < phase; a++) {
        const struct product_shape s = conv2d_shape(p, way, a);
        floats += product_floats(&s);
    }
    return floats;
}

extern "C" size_t conv2d_cuda_pack_bytes(const struct conv2d_params *p, enum conv2d_way way)
{
    return packed_bytes((size_t)conv2d_panels_before(p, way, conv2d_products(p, way)));
}

struct device_conv2d_join {
    const float *from; /* [parts][positions][columns] */
    int64_t parts, all;
    struct maps y;
};

/* A thread per output. occupancy: 16 blocks of 128 threads */
static __global__ void __launch_bounds__(JOIN_THREADS, DEVICE_BLOCKS(JOIN_THREADS, 16))
    conv2d_join_kernel(struct device_conv2d_join j)
{
    const int64_t i = (int64_t)blockIdx.x * JOIN_THREADS + threadIdx.x;
    int64_t at, h;
    if (i >= j.all)
        return;
    float sum = j.from[i];
#pragma unroll 8
    for (int64_t part = 1; part < j.parts; part++)
        sum += j.from[part * j.all + i];
    const int64_t b = divided(divided(i, j.y.width * j.y.channels, &at), j.y.height, &h);
    j.y.data[b * j.y.item_stride + h * j.y.row_stride + at] = sum;
}

/* Floats of all parts side by side for so many positions; 0: none, or more than there is scratch for. */
static int64_t parts_floats(const struct conv2d_params *p, enum conv2d_way way, int64_t positions)
{
    const int64_t parts = conv2d_parts(p, way), n = way == CONV2D_FORWARD ? p->out : p->in;
    return parts > 1 && positions <= PARTS_FLOATS / (parts * n) ? parts * positions * n : 0;
}

extern "C" size_t conv2d_cuda_work_bytes(const struct conv2d_params *p, const struct maps *y)
{
    const int64_t positions = y->items * y->height * y->width;
    const int64_t forward = parts_floats(p, CONV2D_FORWARD, positions), data = parts_floats(p, CONV2D_DATA, positions);
    const size_t products = arena_round((size_t)(forward > data ? forward : data) * sizeof(float));
    const size_t weight = conv2d_weight_bytes(p, y);
    return products > weight ? products : weight;
}

/* All parts of m, each with the next `length` of k, to `from` and from there to y. */
static int launch_beside(struct exec *ex, const char *op, struct device_product *m, float *from, const struct maps *y)
{
    const struct maps dense = maps_of(from, y->items, y->height, y->width, y->channels, false);
    struct device_conv2d_join j = {};
    j.from = from;
    j.parts = m->parts;
    j.all = m->y_part = y->items * dense.item_stride;
    j.y = *y;
    product_to_maps(m, &dense, NULL);
    const int code = product_launch(ex, op, m);
    if (code)
        return code;
    LAUNCH(conv2d_join_kernel, (unsigned)((j.all + JOIN_THREADS - 1) / JOIN_THREADS), JOIN_THREADS, 0,
           device_launch_stream(ex), j);
    return device_launched(op);
}

/* One after the other, onto y. */
static int launch_apart(struct exec *ex, const char *op, struct device_product *m, const struct maps *y)
{
    const int64_t parts = m->parts;
    int code = STATUS_OK;
    m->parts = 1;
    for (int64_t i = 0; i < parts && !code; i++, m->x += m->x_part, m->panels += m->panels_part) {
        product_to_maps(m, y, i ? y : NULL);
        code = product_launch(ex, op, m);
    }
    return code;
}

/* m with all but where it goes to; positions: of conv2d's y, which scratch was asked for by. */
static int launch_parts(struct exec *ex, const char *op, const struct conv2d_params *p, enum conv2d_way way,
                        struct device_product *m, const struct maps *y, int64_t positions)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct product_shape s = conv2d_shape(p, way, 0);
    const int64_t own = y->items * y->height * y->width, floats = own <= positions ? parts_floats(p, way, own) : 0;
    float *from;
    m->parts = conv2d_parts(p, way);
    m->length = (int)(m->x_part = s.length);
    m->panels_part = product_floats(&s);
    if (floats == 0)
        return launch_apart(ex, op, m, y);
    int code = arena_alloc(arena, (size_t)floats * sizeof(float), &from);
    code = code ? code : launch_beside(ex, op, m, from, y);
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code;
}

extern "C" int conv2d_cuda(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                           const struct maps *y)
{
    struct device_product m = {};
    m.x = x->data;
    m.items = x->items;
    m.height = y->height;
    m.width = y->width;
    m.x_item = x->item_stride;
    m.x_row = p->stride_h * x->row_stride;
    m.x_step = p->stride_w * p->in;
    m.x_height = x->height;
    m.h_step = p->stride_h;
    m.length = (int)(p->kernel_w * p->in);
    m.panels = packed;
    m.out = p->out;
    m.precision = p->precision;
    for (int64_t r = -p->pad_h; r < p->kernel_h - p->pad_h; r++) {
        const struct device_segment s = {r, r * x->row_stride - p->pad_w * p->in};
        m.segment[m.segments++] = s;
    }
    if (conv2d_parts(p, CONV2D_FORWARD) > 1)
        return launch_parts(ex, "conv2d", p, CONV2D_FORWARD, &m, y, y->items * y->height * y->width);
    product_to_maps(&m, y, NULL);
    return product_launch(ex, "conv2d", &m);
}

static int data_phase(struct exec *ex, const struct conv2d_params *p, int64_t phase, const float *packed,
                      const struct maps *y, const struct maps *x)
{
    const struct conv2d_phase f = conv2d_phase_of(p, phase, x->height);
    const int64_t taps = conv2d_taps_w(p);
    struct device_product m = {};
    m.x = y->data;
    m.items = x->items;
    m.height = f.rows;
    m.width = conv2d_groups(p, x->width);
    m.x_item = y->item_stride;
    m.x_row = y->row_stride;
    m.x_step = p->out;
    m.x_height = y->height;
    m.h_step = 1;
    m.length = (int)(taps * p->out);
    m.panels = packed + conv2d_panels_before(p, CONV2D_DATA, phase);
    m.out = p->stride_w * p->in;
    m.precision = p->precision;
    for (int64_t r = f.y_first; r > f.y_first - f.taps; r--) {
        const struct device_segment s = {r, r * y->row_stride - (taps - 1) * p->out};
        m.segment[m.segments++] = s;
    }
    if (conv2d_parts(p, CONV2D_DATA) > 1)
        return launch_parts(ex, "conv2d_data", p, CONV2D_DATA, &m, x, y->items * y->height * y->width);
    product_to_maps(&m, x, NULL);
    m.y = maps_row(x, 0, f.x_first);
    m.y_row = p->stride_h * x->row_stride;
    m.y_step = p->stride_w * p->in;
    m.y_shift = -p->pad_w * p->in;
    return f.rows > 0 ? product_launch(ex, "conv2d_data", &m) : (int)STATUS_OK;
}

extern "C" int conv2d_data_cuda(struct exec *ex, const struct conv2d_params *p, const float *packed,
                                const struct maps *y, const struct maps *x)
{
    int code = STATUS_OK;
    for (int64_t a = 0; a < p->stride_h && !code; a++)
        code = data_phase(ex, p, a, packed, y, x);
    return code;
}
