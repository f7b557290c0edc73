/* activate and activate_gradient. Each block of positions (columns.h) is a thread's, or each item where there are as
 * many as threads: the sums are the same. */
#include "../activate.h"
#include "../columns.h"
#include "network.h"
#include "philox.h"
#include "rows.h"

#include <math.h>

enum { SOME = 1024 }; /* values whose words are made at once */

struct activated {
    const struct activate_params *p;
    const struct step_state *state;
    const struct activate_norm *norm;
    const struct maps *x, *y, *dy, *dx;
    struct columns cut;
    double *moments; /* [items][blocks][groups][2]: mean, and squares about it */
    float *sums;     /* [items][blocks][channels][2]: of du, and of du*xhat */
    double *item;    /* [items][channels][2]: the same of all its blocks */
    float *channel;  /* [items][OF_CHANNEL][channels] */
    int (*part)(const struct activated *a, int64_t item, int64_t block);
};

/* What each value of a channel is met with: all but the first two are of the gradient's last pass. */
enum { MEAN, RSTD, FACTOR, LESS, ALONG, OF_CHANNEL };

struct run {
    int64_t item, index, count; /* index: of its first value among all; values */
    const float *x, *dy;
    float *to;
};

static const float *of_channel(const struct activated *a, int64_t item, int what)
{
    return a->channel + (item * OF_CHANNEL + what) * a->x->channels;
}

INLINE vf load(const float *p, int64_t width)
{
    return width == LANES ? vf_load(p) : vf_load_part(p, width);
}

INLINE void store(float *p, vf v, int64_t width)
{
    if (width == LANES)
        vf_store(p, v);
    else
        vf_store_part(p, v, width);
}

static int64_t block_positions(const struct activated *a, int64_t block)
{
    const int64_t left = a->cut.positions - block * a->cut.each;
    return left < a->cut.each ? left : a->cut.each;
}

/* Of a block's positions from `at` on those that lie in one row. */
static int64_t in_row(const struct activated *a, int64_t at, int64_t end)
{
    const int64_t row = a->x->width - at % a->x->width;
    return row < end - at ? row : end - at;
}

static float *position(const struct maps *m, int64_t item, int64_t at)
{
    return maps_row(m, item, at / m->width) + at % m->width * m->channels;
}

/* ---- mean and squares ---- */

/* Sums of LANES channels over a block: of x - pivot, and of its squares. */
static void column_moments(const struct activated *a, int64_t item, int64_t block, int64_t c, vf pivot,
                           float sum[LANES], float squares[LANES])
{
    const int64_t channels = a->x->channels, width = channels - c < LANES ? channels - c : LANES;
    const int64_t begin = block * a->cut.each, end = begin + block_positions(a, block);
    vf s[4] = {0}, q[4] = {0};
    for (int64_t at = begin, n; at < end; at += n) {
        const float *x = position(a->x, item, at) + c;
        n = in_row(a, at, end);
        int64_t i = 0;
        for (; i + 4 <= n; i += 4)
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++, x += channels) {
                const vf d = load(x, width) - pivot;
                s[k] += d;
                q[k] += d * d;
            }
        for (; i < n; i++, x += channels) {
            const vf d = load(x, width) - pivot;
            s[0] += d;
            q[0] += d * d;
        }
    }
    vf_store(sum, (s[0] + s[1]) + (s[2] + s[3]));
    vf_store(squares, (q[0] + q[1]) + (q[2] + q[3]));
}

static int measure_block(const struct activated *a, int64_t item, int64_t block)
{
    const int64_t channels = a->x->channels, groups = a->p->groups, each = channels / groups;
    double *const m = a->moments + (item * a->cut.blocks + block) * groups * 2;
    const double n = (double)(block_positions(a, block) * each);
    float pivot[LANES] = {0}, sum[LANES], squares[LANES];
    memset(m, 0, (size_t)groups * 2 * sizeof *m);
    for (int64_t c = 0; c < channels; c += LANES) {
        column_moments(a, item, block, c, vf_set(0), sum, squares);
        for (int64_t k = c; k < channels && k < c + LANES; k++)
            m[k / each * 2] += sum[k - c] / n;
    }
    for (int64_t c = 0; c < channels; c += LANES) { /* again, about the mean, from the cache */
        for (int64_t k = c; k < channels && k < c + LANES; k++)
            pivot[k - c] = (float)m[k / each * 2];
        column_moments(a, item, block, c, vf_load(pivot), sum, squares);
        for (int64_t k = c; k < channels && k < c + LANES; k++)
            m[k / each * 2 + 1] += squares[k - c];
    }
    for (int64_t g = 0; g < groups; g++) {
        const double off = m[2 * g] - (double)(float)m[2 * g];
        m[2 * g + 1] -= n * off * off;
    }
    return STATUS_OK;
}

static void channels_of(const struct activated *a, int64_t item)
{
    const int64_t channels = a->x->channels, each = channels / a->p->groups;
    float *const to = a->channel + item * OF_CHANNEL * channels;
    for (int64_t c = 0; c < channels; c++) {
        const float *const s = a->norm->statistics + 2 * (item * a->p->groups + c / each);
        to[MEAN * channels + c] = s[0];
        to[RSTD * channels + c] = s[1];
    }
}

static void join_moments(const struct activated *a, int64_t item)
{
    const int64_t groups = a->p->groups, each = a->x->channels / groups, blocks = a->cut.blocks;
    for (int64_t g = 0; g < groups; g++) {
        const double *const m = a->moments + (item * blocks * groups + g) * 2;
        const double n = (double)(a->cut.positions * each);
        double mean = 0, squares = 0;
        for (int64_t k = 0; k < blocks; k++)
            mean += m[2 * k * groups] * (double)block_positions(a, k) * (double)each / n;
        for (int64_t k = 0; k < blocks; k++) {
            const double off = m[2 * k * groups] - mean;
            squares += m[2 * k * groups + 1] + (double)(block_positions(a, k) * each) * off * off;
        }
        float *const to = a->norm->statistics + 2 * (item * groups + g);
        to[0] = (float)mean;
        to[1] = (float)(1 / sqrt((squares < 0 ? 0 : squares) / n + (double)a->p->epsilon));
    }
    channels_of(a, item);
}

/* ---- values ---- */

struct words {
    uint32_t word[SOME + 4 * LANES];
    const uint32_t *first; /* of the run's part; NULL: nothing is dropped */
};

static void words_for(struct words *w, const struct activated *a, int64_t index, int64_t count)
{
    w->first = NULL;
    if (a->p->dropout == 0)
        return;
    const int64_t block = index / 4, skipped = index % 4;
    for (int64_t n = 0; n < skipped + count; n += (int64_t)4 * LANES)
        philox_words(a->state->seed, a->p->stream, a->state->step, (uint32_t)(block + n / 4), w->word + n);
    w->first = w->word + skipped;
}

INLINE vf kept(const struct words *w, const struct activated *a, int64_t at, vf v)
{
    if (!w->first)
        return v;
    vu word;
    memcpy(&word, w->first + at, sizeof word);
    const vmask dropped = vu_less(word, (vu){0} + activate_threshold(a->p));
    return vf_select(dropped, vf_set(0), v * vf_set(activate_scale(a->p)));
}

INLINE vf activation(const struct activate_params *p, vf u)
{
    if (p->kind == ACTIVATE_NONE)
        return u;
    return p->kind == ACTIVATE_SILU ? u * vf_sigmoid(u) : vf_select(vf_less(vf_set(0), u), u, u * vf_set(p->slope));
}

INLINE vf slope(const struct activate_params *p, vf u)
{
    if (p->kind == ACTIVATE_NONE)
        return vf_set(1);
    if (p->kind == ACTIVATE_LEAKY_RELU)
        return vf_select(vf_less(vf_set(0), u), vf_set(1), vf_set(p->slope));
    const vf gate = vf_sigmoid(u);
    return gate * (u * (1 - gate) + 1);
}

/* Values of one channel after the other from k on: as many as a vector holds, a position or a part has left. */
INLINE int64_t width_at(int64_t left, int64_t channels_left)
{
    const int64_t width = left < channels_left ? left : channels_left;
    return width < LANES ? width : LANES;
}

static void forward_run(const struct activated *a, const struct run *r)
{
    const int64_t channels = a->x->channels;
    const bool normed = a->p->groups > 0;
    const float *const mean = of_channel(a, r->item, MEAN), *const rstd = of_channel(a, r->item, RSTD);
    struct words w;
    int64_t c = 0;
    for (int64_t from = 0; from < r->count; from += SOME) {
        const int64_t n = r->count - from < SOME ? r->count - from : SOME;
        words_for(&w, a, r->index + from, n);
        for (int64_t k = 0, width; k < n; k += width) {
            width = width_at(n - k, normed ? channels - c : n);
            vf u = load(r->x + from + k, width);
            if (normed) {
                u = (u - load(mean + c, width)) * load(rstd + c, width) * load(a->norm->gain + c, width) +
                    load(a->norm->shift + c, width);
                c = c + width < channels ? c + width : 0;
            }
            store(r->to + from + k, kept(&w, a, k, activation(a->p, u)), width);
        }
    }
}

/* du in place of dx; sums NULL: that is all. */
static void slope_run(const struct activated *a, const struct run *r, float *sums)
{
    const int64_t channels = a->x->channels;
    const float *const mean = of_channel(a, r->item, MEAN), *const rstd = of_channel(a, r->item, RSTD);
    struct words w;
    int64_t c = 0;
    for (int64_t from = 0; from < r->count; from += SOME) {
        const int64_t n = r->count - from < SOME ? r->count - from : SOME;
        words_for(&w, a, r->index + from, n);
        for (int64_t k = 0, width; k < n; k += width) {
            width = width_at(n - k, sums ? channels - c : n);
            const vf x = load(r->x + from + k, width), dy = kept(&w, a, k, load(r->dy + from + k, width));
            if (!sums) {
                store(r->to + from + k, dy * slope(a->p, x), width);
                continue;
            }
            const vf xhat = (x - load(mean + c, width)) * load(rstd + c, width);
            const vf du = dy * slope(a->p, xhat * load(a->norm->gain + c, width) + load(a->norm->shift + c, width));
            store(r->to + from + k, du, width);
            store(sums + c, load(sums + c, width) + du, width);
            store(sums + channels + c, load(sums + channels + c, width) + du * xhat, width);
            c = c + width < channels ? c + width : 0;
        }
    }
}

/* dx from du. */
static void centre_run(const struct activated *a, const struct run *r)
{
    const int64_t channels = a->x->channels;
    const float *const of = of_channel(a, r->item, 0);
    int64_t c = 0;
    for (int64_t k = 0, width; k < r->count; k += width) {
        width = width_at(r->count - k, channels - c);
        const vf xhat =
            (load(r->x + k, width) - load(of + MEAN * channels + c, width)) * load(of + RSTD * channels + c, width);
        const vf du = load(r->to + k, width);
        store(r->to + k,
              du * load(of + FACTOR * channels + c, width) - load(of + LESS * channels + c, width) -
                  xhat * load(of + ALONG * channels + c, width),
              width);
        c = c + width < channels ? c + width : 0;
    }
}

/* ---- blocks, items ---- */

enum pass { FORWARD, SLOPE, CENTRE };

INLINE int runs_of(const struct activated *a, int64_t item, int64_t block, enum pass pass, float *sums)
{
    const int64_t begin = block * a->cut.each, end = begin + block_positions(a, block);
    for (int64_t at = begin, n; at < end; at += n) {
        n = in_row(a, at, end);
        const struct run r = {.item = item,
                              .index = (item * a->cut.positions + at) * a->x->channels,
                              .count = n * a->x->channels,
                              .x = position(a->x, item, at),
                              .dy = pass == SLOPE ? position(a->dy, item, at) : NULL,
                              .to = position(pass == FORWARD ? a->y : a->dx, item, at)};
        if (pass == FORWARD)
            forward_run(a, &r);
        else if (pass == SLOPE)
            slope_run(a, &r, sums);
        else
            centre_run(a, &r);
    }
    return STATUS_OK;
}

static int forward_block(const struct activated *a, int64_t item, int64_t block)
{
    return runs_of(a, item, block, FORWARD, NULL);
}

static int slope_block(const struct activated *a, int64_t item, int64_t block)
{
    float *const sums = a->p->groups ? a->sums + (item * a->cut.blocks + block) * a->x->channels * 2 : NULL;
    if (sums)
        memset(sums, 0, (size_t)a->x->channels * 2 * sizeof *sums);
    return runs_of(a, item, block, SLOPE, sums);
}

static int centre_block(const struct activated *a, int64_t item, int64_t block)
{
    return runs_of(a, item, block, CENTRE, NULL);
}

static void join_sums(const struct activated *a, int64_t item)
{
    const int64_t channels = a->x->channels, each = channels / a->p->groups;
    const double n = (double)(a->cut.positions * each);
    double *const all = a->item + item * channels * 2;
    float *const of = a->channel + item * OF_CHANNEL * channels;
    for (int64_t c = 0; c < 2 * channels; c++) {
        all[c] = 0;
        for (int64_t k = 0; k < a->cut.blocks; k++)
            all[c] += a->sums[(item * a->cut.blocks + k) * channels * 2 + c];
    }
    for (int64_t first = 0; first < channels; first += each) {
        double sum = 0, along = 0;
        for (int64_t c = first; c < first + each; c++) {
            sum += a->norm->gain[c] * all[c];
            along += a->norm->gain[c] * all[channels + c];
        }
        for (int64_t c = first; c < first + each; c++) {
            const double rstd = of[RSTD * channels + c];
            of[FACTOR * channels + c] = (float)(rstd * a->norm->gain[c]);
            of[LESS * channels + c] = (float)(rstd * sum / n);
            of[ALONG * channels + c] = (float)(rstd * along / n);
        }
    }
}

static int measure_item(void *context, int64_t item)
{
    const struct activated *const a = context;
    for (int64_t k = 0; k < a->cut.blocks; k++)
        measure_block(a, item, k);
    join_moments(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        forward_block(a, item, k);
    return STATUS_OK;
}

static int gradient_item(void *context, int64_t item)
{
    const struct activated *const a = context;
    channels_of(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        slope_block(a, item, k);
    join_sums(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        centre_block(a, item, k);
    return STATUS_OK;
}

static int block_of_part(void *context, int64_t i)
{
    const struct activated *const a = context;
    return a->part(a, i / a->cut.blocks, i % a->cut.blocks);
}

static int blocks_parallel(struct exec *ex, struct activated *a,
                           int (*part)(const struct activated *a, int64_t item, int64_t block))
{
    a->part = part;
    return exec_parallel(ex, a->x->items * a->cut.blocks, block_of_part, a);
}

static int forward(struct exec *ex, struct activated *a)
{
    if (a->p->groups == 0)
        return blocks_parallel(ex, a, forward_block);
    if (a->x->items >= exec_threads(ex))
        return exec_parallel(ex, a->x->items, measure_item, a);
    int code = blocks_parallel(ex, a, measure_block);
    for (int64_t b = 0; b < a->x->items && !code; b++)
        join_moments(a, b);
    return code ? code : blocks_parallel(ex, a, forward_block);
}

static int backward(struct exec *ex, struct activated *a)
{
    if (a->p->groups == 0)
        return blocks_parallel(ex, a, slope_block);
    if (a->x->items >= exec_threads(ex))
        return exec_parallel(ex, a->x->items, gradient_item, a);
    for (int64_t b = 0; b < a->x->items; b++)
        channels_of(a, b);
    int code = blocks_parallel(ex, a, slope_block);
    for (int64_t b = 0; b < a->x->items && !code; b++)
        join_sums(a, b);
    return code ? code : blocks_parallel(ex, a, centre_block);
}

int SIMD(activate)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                   const struct activate_norm *norm, const struct maps *x, const struct maps *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .y = y, .cut = columns_of(x)};
    int code = STATUS_OK;
    if (p->groups) {
        const int64_t values = x->items * a.cut.blocks * p->groups * 2, channels = x->items * x->channels * OF_CHANNEL;
        code = arena_alloc(arena, (size_t)values * sizeof *a.moments, &a.moments);
        code = code ? code : arena_alloc(arena, (size_t)channels * sizeof *a.channel, &a.channel);
    }
    code = code ? code : forward(ex, &a);
    arena_reset(arena, mark);
    return code;
}

int SIMD(activate_gradient)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                            const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                            const struct maps *dx, float *dgain, float *dshift)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t channels = x->channels, of_items = x->items * channels;
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .dy = dy, .dx = dx, .cut = columns_of(x)};
    int code = STATUS_OK;
    if (p->groups) {
        code = arena_alloc(arena, (size_t)(2 * of_items * a.cut.blocks) * sizeof *a.sums, &a.sums);
        code = code ? code : arena_alloc(arena, (size_t)(2 * of_items) * sizeof *a.item, &a.item);
        code = code ? code : arena_alloc(arena, (size_t)(OF_CHANNEL * of_items) * sizeof *a.channel, &a.channel);
    }
    code = code ? code : backward(ex, &a);
    for (int64_t c = 0; c < channels && p->groups && !code; c++) {
        double shift = 0, gain = 0;
        for (int64_t b = 0; b < x->items; b++) {
            shift += a.item[2 * b * channels + c];
            gain += a.item[(2 * b + 1) * channels + c];
        }
        dshift[c] = (float)shift;
        dgain[c] = (float)gain;
    }
    arena_reset(arena, mark);
    return code;
}
