/* conv2d and its data gradient as products: the taps along the width are one run of memory. */
#include "../conv2d.h"

#include "../conv2d_phases.h"
#include "conv2d_narrow.h"
#include "product.h"
#include "rows.h"
#include "winograd.h"

#include <string.h>

enum { PACK_ROWS = 1024 }; /* of k that one thread packs at once */

/* The product of one phase of the data gradient; of forward, phase 0. */
struct layout {
    int64_t runs, length, columns;
};

static struct layout layout_of(const struct conv2d_params *p, enum conv2d_way way, int64_t phase)
{
    if (way == CONV2D_FORWARD)
        return (struct layout){p->kernel_h, p->kernel_w * p->in, p->out};
    return (struct layout){conv2d_taps(p->kernel_h, p->stride_h, phase), conv2d_taps_w(p) * p->out,
                           p->stride_w * p->in};
}

static int64_t phases_of(const struct conv2d_params *p, enum conv2d_way way)
{
    return way == CONV2D_FORWARD ? 1 : p->stride_h;
}

static int64_t panels_of(const struct layout *l)
{
    return SIMD(panels_floats)(l->runs * l->length, l->columns, false);
}

/* Behind the panels of all phases lie zeros, for rows outside. */
static int64_t panels_before(const struct conv2d_params *p, enum conv2d_way way, int64_t phase)
{
    int64_t floats = 0;
    for (int64_t a = 0; a < phase; a++) {
        const struct layout l = layout_of(p, way, a);
        floats += panels_of(&l);
    }
    return floats;
}

size_t SIMD(conv2d_pack_bytes)(const struct conv2d_params *p, enum conv2d_way way)
{
    if (SIMD(winograd_takes)(p))
        return SIMD(winograd_pack_bytes)(p, way);
    if (way == CONV2D_DATA && SIMD(narrow_takes)(p))
        return SIMD(narrow_pack_bytes)(p);
    return packed_bytes(panels_before(p, way, phases_of(p, way)) + layout_of(p, way, 0).length);
}

struct packing {
    const struct conv2d_params *p;
    enum conv2d_way way;
    const float *weight, *bias;
    int64_t phase;
    struct layout layout;
    float *panels;
    int64_t slices; /* of a panel: PACK_ROWS of k each */
};

/* Rows [k, end) of a panel for forward: columns n on of the weights. */
static void pack_forward(const struct packing *m, int64_t n, int64_t lanes, int64_t k, int64_t end, float *to)
{
    const int64_t out = m->p->out, width = out - n < lanes ? out - n : lanes;
    for (; k < end; k++, to += lanes) {
        memcpy(to, m->weight + k * out + n, (size_t)width * sizeof *to);
        memset(to + width, 0, (size_t)(lanes - width) * sizeof *to);
    }
}

/* Where the weights lie that channel 0 of position `u` of run t brings to column n of a phase; NULL: a tap that the
 * kernel has not. */
static const float *tap_of(const struct packing *m, int64_t t, int64_t u, int64_t n)
{
    const struct conv2d_params *const p = m->p;
    const int64_t r = m->phase + p->stride_h * t, q = n / p->in + p->stride_w * (conv2d_taps_w(p) - 1 - u);
    if (n >= m->layout.columns || q >= p->kernel_w)
        return NULL;
    return m->weight + ((r * p->kernel_w + q) * p->in + n % p->in) * p->out;
}

/* The same for the data gradient: the weights turned round, as many columns at once as fit a vector. */
static void pack_data(const struct packing *m, int64_t n, int64_t lanes, int64_t k, int64_t end, float *to)
{
    static const float nothing[1];
    const int64_t out = m->p->out;
    while (k < end) {
        const int64_t t = k / m->layout.length, u = k % m->layout.length / out, o = k % out;
        const int64_t count = out - o < end - k ? out - o : end - k;
        for (int64_t l = 0; l < lanes; l += LANES) {
            const float *from[LANES];
            int64_t step[LANES];
            for (int64_t i = 0; i < LANES; i++) {
                const float *const tap = tap_of(m, t, u, n + l + i);
                from[i] = tap ? tap + o : nothing;
                step[i] = tap != NULL;
            }
            for (int64_t c = 0; c < count; c++)
                for (int64_t i = 0; i < LANES; i++)
                    to[c * lanes + l + i] = from[i][c * step[i]];
        }
        k += count;
        to += count * lanes;
    }
}

static int pack_slice(void *context, int64_t i)
{
    const struct packing *const m = context;
    const int64_t panel = i / m->slices, k = i % m->slices * PACK_ROWS, all = m->layout.runs * m->layout.length;
    const int64_t n = panel * PANEL, end = k + PACK_ROWS < all ? k + PACK_ROWS : all;
    const int64_t lanes = m->layout.columns - n > LANES ? PANEL : LANES;
    float *const to = m->panels + panel * PANEL * (all + 1); /* all panels before are whole */
    const int64_t period = m->way == CONV2D_FORWARD ? m->p->out : m->p->in;
    for (int64_t l = 0; k == 0 && l < lanes; l++) /* repeats for each position of a group */
        to[l] = m->bias && n + l < m->layout.columns ? m->bias[(n + l) % period] : 0;
    (m->way == CONV2D_FORWARD ? pack_forward : pack_data)(m, n, lanes, k, end, to + (k + 1) * lanes);
    return STATUS_OK;
}

int SIMD(conv2d_pack)(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                      const float *bias, float *packed)
{
    if (SIMD(winograd_takes)(p))
        return SIMD(winograd_pack)(ex, p, way, weight, bias, packed);
    if (way == CONV2D_DATA && SIMD(narrow_takes)(p)) {
        SIMD(narrow_pack)(p, weight, bias, packed);
        return STATUS_OK;
    }
    int code = STATUS_OK;
    for (int64_t a = 0; a < phases_of(p, way) && !code; a++) {
        struct packing m = {p, way, weight, bias, a, layout_of(p, way, a), packed, 0};
        m.slices = (m.layout.runs * m.layout.length + PACK_ROWS - 1) / PACK_ROWS;
        code = exec_parallel(ex, m.slices * ((m.layout.columns + PANEL - 1) / PANEL), pack_slice, &m);
        packed += panels_of(&m.layout);
    }
    memset(packed, 0, (size_t)layout_of(p, way, 0).length * sizeof *packed);
    return code;
}

int SIMD(conv2d)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                 const struct maps *y)
{
    if (SIMD(winograd_takes)(p))
        return SIMD(winograd)(ex, p, packed, x, y);
    struct product m = {.x = x->data,
                        .items = x->items,
                        .height = y->height,
                        .width = y->width,
                        .x_item = x->item_stride,
                        .x_row = p->stride_h * x->row_stride,
                        .x_step = p->stride_w * p->in,
                        .x_height = x->height,
                        .h_step = p->stride_h,
                        .length = p->kernel_w * p->in,
                        .panels = packed,
                        .zeros = packed + panels_before(p, CONV2D_FORWARD, 1),
                        .out = p->out,
                        .finish = FINISH_NONE,
                        .y = y->data,
                        .y_item = y->item_stride,
                        .y_row = y->row_stride,
                        .y_step = p->out,
                        .y_limit = y->width * p->out};
    for (int64_t r = 0; r < p->kernel_h; r++)
        m.segment[m.segments++] = (struct segment){r - p->pad_h, (r - p->pad_h) * x->row_stride - p->pad_w * p->in};
    return SIMD(product)(ex, &m);
}

int SIMD(conv2d_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                      const struct maps *x)
{
    if (SIMD(winograd_takes)(p))
        return SIMD(winograd_data)(ex, p, packed, y, x);
    if (SIMD(narrow_takes)(p))
        return SIMD(narrow_data)(ex, p, packed, y, x);
    const int64_t taps = conv2d_taps_w(p);
    int code = STATUS_OK;
    for (int64_t a = 0; a < p->stride_h && !code; a++) {
        const struct conv2d_phase f = conv2d_phase_of(p, a, x->height);
        struct product m = {.x = y->data,
                            .items = x->items,
                            .height = f.rows,
                            .width = conv2d_groups(p, x->width),
                            .x_item = y->item_stride,
                            .x_row = y->row_stride,
                            .x_step = p->out,
                            .x_height = y->height,
                            .h_step = 1,
                            .length = taps * p->out,
                            .panels = packed + panels_before(p, CONV2D_DATA, a),
                            .zeros = packed + panels_before(p, CONV2D_DATA, p->stride_h),
                            .out = p->stride_w * p->in,
                            .finish = FINISH_NONE,
                            .y = maps_row(x, 0, f.x_first),
                            .y_item = x->item_stride,
                            .y_row = p->stride_h * x->row_stride,
                            .y_step = p->stride_w * p->in,
                            .y_shift = -p->pad_w * p->in,
                            .y_limit = x->width * p->in};
        for (int64_t t = 0; t < f.taps; t++)
            m.segment[m.segments++] =
                (struct segment){f.y_first - t, (f.y_first - t) * y->row_stride - (taps - 1) * p->out};
        if (f.rows > 0)
            code = SIMD(product)(ex, &m);
    }
    return code;
}
