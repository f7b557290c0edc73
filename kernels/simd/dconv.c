/* dconv without its widest tensor: the second norm's mean and variance follow from the sums and the Gram matrix of what
 * the second product reads (hidden wide, a sixteenth of what it writes), so that product, norm, gate, scale and
 * residual are one pass over x.
 *
 *   mean(g) = sum_c(w_c.s + n*b_c)/(2C*n), sum(g^2) = sum_c(w_c' G w_c + 2 b_c w_c.s + n b_c^2),
 *   s the sums of a over the signal's n samples, G those of a a': with S = sum_c w_c, V = sum_c w_c w_c',
 *   t = sum_c b_c w_c they are S.s + n*B and <V, G> + 2 t.s + n*B2, and S, V, t, B, B2 are made when packing. */
#include "../dconv.h"
#include "../dconv_pack.h"
#include "network.h"
#include "product.h"
#include "rows.h"

#include <math.h>

enum { BLOCK = 2048 }; /* samples of a long signal that one thread sums */

/* Packed: panels of conv1 and zeros; gain1, shift1; panels of conv2; gain2, shift2 in their order; scale; then in
 * double S, t [h], V [h][h], B, B2. */
struct dconv_view {
    int64_t conv1, zeros, gain1, shift1, conv2, gain2, shift2, scale, doubles, floats;
};

static struct dconv_view view_of(const struct dconv_params *p)
{
    const int64_t c = p->channels, h = p->hidden, order = SIMD(panels_order_floats)(2 * c, true);
    struct dconv_view v = {0};
    v.zeros = v.conv1 + SIMD(panels_floats)(3 * c, h, false);
    v.gain1 = v.zeros + c;
    v.shift1 = v.gain1 + h;
    v.conv2 = v.shift1 + h;
    v.gain2 = v.conv2 + SIMD(panels_floats)(h, 2 * c, true);
    v.shift2 = v.gain2 + order;
    v.scale = v.shift2 + order;
    v.doubles = (v.scale + c + 1) / 2 * 2;
    v.floats = v.doubles + 2 * (h * h + 2 * h + 2);
    return v;
}

size_t SIMD(dconv_pack_bytes)(const struct dconv_params *p)
{
    return packed_bytes(view_of(p).floats);
}

struct dconv_weight {
    const float *weight;
    int64_t channels, taps;
};

static float weight_of(const void *context, int64_t k, int64_t n) /* k: tap, channel */
{
    const struct dconv_weight *const w = context;
    return w->weight[(n * w->channels + k % w->channels) * w->taps + k / w->channels];
}

void SIMD(dconv_pack)(const struct dconv_params *p, const struct dconv_weights *w, float *packed)
{
    const int64_t c = p->channels, h = p->hidden;
    const struct dconv_view v = view_of(p);
    const struct dconv_weight first = {w->conv1, c, 3}, second = {w->conv2, h, 1};
    SIMD(panels_pack)(3 * c, h, false, weight_of, &first, w->bias1, packed + v.conv1);
    memset(packed + v.zeros, 0, (size_t)c * sizeof *packed);
    memcpy(packed + v.gain1, w->gain1, (size_t)h * sizeof *packed);
    memcpy(packed + v.shift1, w->shift1, (size_t)h * sizeof *packed);
    SIMD(panels_pack)(h, 2 * c, true, weight_of, &second, w->bias2, packed + v.conv2);
    SIMD(panels_order)(2 * c, true, w->gain2, packed + v.gain2);
    SIMD(panels_order)(2 * c, true, w->shift2, packed + v.shift2);
    memcpy(packed + v.scale, w->scale, (size_t)c * sizeof *packed);
    dconv_pack_moments(p, w, (double *)(void *)(packed + v.doubles));
}

/* The narrow tensor a, dense [B][H][W][h], as signals: `signals` side by side (ALONG_HEIGHT: positions of the width),
 * `samples` long. */
struct narrow {
    const struct dconv_params *p;
    const double *moments; /* of the packed weights */
    const float *gain1, *shift1;
    float *a;
    int64_t groups;           /* independent stretches of memory: items, or items and rows */
    int64_t samples, signals; /* of each: a is [groups][samples][signals][h] */
    int64_t blocks;           /* that a group's samples, or its signals, are cut into */
    double *sum, *gram;       /* [groups][blocks or signals][..], merged into the first */
    float *norm;              /* [groups][signals][2] mean, rstd */
};

static void shape_of(const struct dconv_params *p, const struct maps *x, struct narrow *n)
{
    n->p = p;
    n->groups = p->along == ALONG_HEIGHT ? x->items : x->items * x->height;
    n->samples = p->along == ALONG_HEIGHT ? x->height : x->width;
    n->signals = p->along == ALONG_HEIGHT ? x->width : 1;
    n->blocks = n->signals > 1 ? n->signals : (n->samples + BLOCK - 1) / BLOCK;
}

size_t SIMD(dconv_work_bytes)(const struct dconv_params *p, const struct maps *x)
{
    struct narrow n = {0};
    shape_of(p, x, &n);
    const size_t parts = (size_t)(n.groups * n.blocks), h = (size_t)p->hidden;
    return arena_round((size_t)(x->items * x->height * x->width) * h * sizeof(float)) +
           arena_round(parts * 2 * h * sizeof(double)) + arena_round(parts * h * h * sizeof(double)) +
           arena_round((size_t)(n.groups * n.signals) * 2 * sizeof(float));
}

/* Part i: one signal of many, or one block of a single long one. */
struct part {
    float *a;
    int64_t samples, step; /* floats from sample to sample */
    double *sum, *gram;
};

static struct part part_of(const struct narrow *n, int64_t i)
{
    const int64_t h = n->p->hidden, group = i / n->blocks, block = i % n->blocks;
    float *const base = n->a + group * n->samples * n->signals * h;
    struct part t = {.sum = n->sum + i * 2 * h, .gram = n->gram + i * h * h, .step = n->signals * h};
    if (n->signals > 1) {
        t.a = base + block * h;
        t.samples = n->samples;
    } else {
        t.a = base + block * BLOCK * h;
        t.samples = n->samples - block * BLOCK < BLOCK ? n->samples - block * BLOCK : BLOCK;
    }
    return t;
}

/* Sums and sums of squares, of the whole part. */
static int part_sums(void *context, int64_t i)
{
    const struct narrow *const n = context;
    const struct part t = part_of(n, i);
    double sum = 0, squares = 0;
    for (int64_t s = 0; s < t.samples; s++) {
        const float *const a = t.a + s * t.step;
        float fsum = 0;
        double fsquares = 0;
        for (int64_t j = 0; j < n->p->hidden; j++) {
            fsum += a[j];
            fsquares += (double)a[j] * a[j];
        }
        sum += fsum;
        squares += fsquares;
    }
    t.sum[0] = sum;
    t.sum[1] = squares;
    return STATUS_OK;
}

/* Norm and GELU in place; then sums and the Gram matrix, a few samples in f32 and those in double. */
static int part_activate(void *context, int64_t i)
{
    enum { SOME = 32, WIDE = 64 };
    const struct narrow *const n = context;
    const int64_t h = n->p->hidden;
    const struct part t = part_of(n, i);
    const float *const norm = n->norm + (n->signals > 1 ? i : i / n->blocks) * 2;
    memset(t.sum, 0, (size_t)(2 * h) * sizeof *t.sum);
    memset(t.gram, 0, (size_t)(h * h) * sizeof *t.gram);
    const vf mean = vf_set(norm[0]), rstd = vf_set(norm[1]);
    for (int64_t s = 0; s < t.samples; s++) {
        float *const a = t.a + s * t.step;
        for (int64_t j = 0; j < h; j += LANES) {
            const int64_t width = h - j < LANES ? h - j : LANES;
            const vf u = (vf_load_part(a + j, width) - mean) * (rstd * vf_load_part(n->gain1 + j, width)) +
                         vf_load_part(n->shift1 + j, width);
            vf_store_part(a + j, vf_gelu(u), width);
        }
    }
    for (int64_t r = 0; r < h; r++)
        for (int64_t j = 0; j < h; j += WIDE) {
            const int64_t width = h - j < WIDE ? h - j : WIDE;
            for (int64_t s = 0; s < t.samples; s += SOME) {
                const int64_t end = s + SOME < t.samples ? s + SOME : t.samples;
                float gram[WIDE] = {0}, sum = 0;
                for (int64_t q = s; q < end; q++) {
                    const float *const a = t.a + q * t.step, factor = a[r];
                    sum += factor;
                    for (int64_t c = 0; c < width; c++)
                        gram[c] += factor * a[j + c];
                }
                for (int64_t c = 0; c < width; c++)
                    t.gram[r * h + j + c] += gram[c];
                t.sum[r] += j == 0 ? sum : 0;
            }
        }
    return STATUS_OK;
}

static void norm_from(double sum, double squares, double count, float norm[2])
{
    const double mean = sum / count, variance = squares / count - mean * mean;
    norm[0] = (float)mean;
    norm[1] = (float)(1 / sqrt((variance < 0 ? 0 : variance) + 1e-5));
}

/* Adds the blocks of a single long signal up, in their order. */
static void merge(const struct narrow *n, double *values, int64_t each)
{
    for (int64_t g = 0; g < n->groups && n->signals == 1; g++)
        for (int64_t b = 1; b < n->blocks; b++)
            for (int64_t j = 0; j < each; j++)
                values[g * n->blocks * each + j] += values[(g * n->blocks + b) * each + j];
}

static double *first_part(const struct narrow *n, double *values, int64_t each, int64_t signal)
{
    return values + (n->signals > 1 ? signal : signal * n->blocks) * each;
}

static void norms_of_first(const struct narrow *n)
{
    const int64_t h = n->p->hidden;
    merge(n, n->sum, 2 * h);
    for (int64_t s = 0; s < n->groups * n->signals; s++) {
        const double *const sum = first_part(n, n->sum, 2 * h, s);
        norm_from(sum[0], sum[1], (double)(n->samples * h), n->norm + 2 * s);
    }
}

static void norms_of_second(const struct narrow *n)
{
    const int64_t h = n->p->hidden;
    const double *const total = n->moments, *const cross = total + h, *const outer = cross + h,
                        *const bias = outer + h * h;
    merge(n, n->sum, 2 * h);
    merge(n, n->gram, h * h);
    for (int64_t s = 0; s < n->groups * n->signals; s++) {
        const double *const sum = first_part(n, n->sum, 2 * h, s), *const gram = first_part(n, n->gram, h * h, s);
        double value = (double)n->samples * bias[0], squares = (double)n->samples * bias[1];
        for (int64_t i = 0; i < h; i++) {
            value += total[i] * sum[i];
            squares += 2 * cross[i] * sum[i];
            for (int64_t j = 0; j < h; j++)
                squares += outer[i * h + j] * gram[i * h + j];
        }
        norm_from(value, squares, (double)(n->samples * 2 * n->p->channels), n->norm + 2 * s);
    }
}

/* a = conv1(x) */
static int narrow_product(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x,
                          float *a)
{
    const int64_t c = p->channels, h = p->hidden;
    const struct dconv_view v = view_of(p);
    struct product m = {.x = x->data,
                        .items = x->items,
                        .height = x->height,
                        .x_height = x->height,
                        .h_step = 1,
                        .width = x->width,
                        .x_item = x->item_stride,
                        .x_row = x->row_stride,
                        .x_step = c,
                        .length = c,
                        .zeros = packed + v.zeros,
                        .panels = packed + v.conv1,
                        .out = h,
                        .y_item = x->height * x->width * h,
                        .y_row = x->width * h,
                        .y_step = h,
                        .y_limit = x->width * h};
    m.y = a;
    for (int64_t tap = -1; tap <= 1; tap++) {
        const int64_t d = tap * p->dilation;
        m.segment[m.segments++] =
            p->along == ALONG_HEIGHT ? (struct segment){d, d * x->row_stride} : (struct segment){0, d * c};
    }
    return SIMD(product)(ex, &m);
}

/* x += scale * GLU(N2(conv2(a))) */
static int wide_product(struct exec *ex, const struct dconv_params *p, const float *packed, const struct narrow *n,
                        const struct maps *x)
{
    const int64_t c = p->channels, h = p->hidden, width = p->along == ALONG_HEIGHT ? n->signals : n->samples;
    const struct dconv_view v = view_of(p);
    const struct product m = {.x = n->a,
                              .items = x->items,
                              .height = x->height,
                              .x_height = x->height,
                              .h_step = 1,
                              .width = x->width,
                              .x_item = x->height * width * h,
                              .x_row = width * h,
                              .x_step = h,
                              .length = h,
                              .segments = 1,
                              .panels = packed + v.conv2,
                              .out = 2 * c,
                              .finish = FINISH_NORM_GLU,
                              .gain = packed + v.gain2,
                              .shift = packed + v.shift2,
                              .norm = n->norm,
                              .norm_item = 2 * (p->along == ALONG_HEIGHT ? x->width : x->height),
                              .norm_row = p->along == ALONG_HEIGHT ? 0 : 2,
                              .norm_step = p->along == ALONG_HEIGHT ? 2 : 0,
                              .scale = packed + v.scale,
                              .add = x->data,
                              .add_item = x->item_stride,
                              .add_row = x->row_stride,
                              .y = x->data,
                              .y_item = x->item_stride,
                              .y_row = x->row_stride,
                              .y_step = c,
                              .y_limit = x->width * c};
    return SIMD(product)(ex, &m);
}

int SIMD(dconv)(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x)
{
    const struct dconv_view v = view_of(p);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena), h = (size_t)p->hidden;
    struct narrow n = {.moments = (const double *)(const void *)(packed + v.doubles),
                       .gain1 = packed + v.gain1,
                       .shift1 = packed + v.shift1};
    shape_of(p, x, &n);
    const size_t parts = (size_t)(n.groups * n.blocks);
    int code = arena_alloc(arena, (size_t)(x->items * x->height * x->width) * h * sizeof *n.a, &n.a);
    code = code ? code : arena_alloc(arena, parts * 2 * h * sizeof *n.sum, &n.sum);
    code = code ? code : arena_alloc(arena, parts * h * h * sizeof *n.gram, &n.gram);
    code = code ? code : arena_alloc(arena, (size_t)(n.groups * n.signals) * 2 * sizeof *n.norm, &n.norm);
    code = code ? code : narrow_product(ex, p, packed, x, n.a);
    code = code ? code : exec_parallel(ex, (int64_t)parts, part_sums, &n);
    if (!code) {
        norms_of_first(&n);
        code = exec_parallel(ex, (int64_t)parts, part_activate, &n);
    }
    if (!code) {
        norms_of_second(&n);
        code = wide_product(ex, p, packed, &n, x);
    }
    arena_reset(arena, mark);
    return code;
}
