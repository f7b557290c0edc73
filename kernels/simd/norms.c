/* layer_norm, group_norm and moments. */
#include "../group_norm.h"
#include "../layer_norm.h"
#include "../moments.h"
#include "rows.h"

#include <math.h>

enum { SOME = 64 }; /* positions that a thread takes at once: of layer_norm, and of sums */

struct norm {
    const struct maps *x, *y, *add;
    const float *gain, *shift, *table;
    int64_t positions; /* of an item */
    int64_t blocks;    /* of an item */
    double *sum;       /* [items][blocks] */
    double *mean;      /* [items] */
    float *rstd;       /* [items] */
};

static float *position(const struct maps *m, int64_t item, int64_t at)
{
    return maps_row(m, item, at / m->width) + at % m->width * m->channels;
}

static struct norm norm_of(const struct maps *x, const struct maps *y)
{
    const int64_t positions = x->height * x->width;
    return (struct norm){.x = x, .y = y, .positions = positions, .blocks = (positions + SOME - 1) / SOME};
}

/* rest: of the mean, what did not fit into a float. */
static void normalise(const float *x, int64_t channels, float mean, float rest, float rstd, const struct norm *n,
                      const float *add, float *y)
{
    const vf m = vf_set(mean), d = vf_set(rest), r = vf_set(rstd);
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t width = channels - c < LANES ? channels - c : LANES;
        vf v = ((vf_load_part(x + c, width) - m) - d) * r * vf_load_part(n->gain + c, width) +
               vf_load_part(n->shift + c, width);
        v = add ? v + vf_load_part(add + c, width) : v;
        vf_store_part(y + c, v, width);
    }
}

static float total(const float *x, int64_t channels)
{
    vf sum = vf_set(0);
    for (int64_t c = 0; c < channels; c += LANES)
        sum += vf_load_part(x + c, channels - c < LANES ? channels - c : LANES);
    return vf_total(sum);
}

/* Sum of the differences from the mean, and of their squares. */
static void spread(const float *x, int64_t channels, float mean, float *sum, float *squares)
{
    vf first = vf_set(0), second = vf_set(0);
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t width = channels - c < LANES ? channels - c : LANES;
        vf difference = vf_load_part(x + c, width) - vf_set(mean);
        if (width < LANES) { /* lanes behind the last count as the mean */
            float d[LANES];
            vf_store(d, difference);
            difference = vf_load_part(d, width);
        }
        first += difference;
        second += difference * difference;
    }
    *sum = vf_total(first);
    *squares = vf_total(second);
}

static int layer_block(void *context, int64_t i)
{
    const struct norm *const n = context;
    const int64_t channels = n->x->channels, item = i / n->blocks, first = i % n->blocks * SOME;
    const int64_t end = first + SOME < n->positions ? first + SOME : n->positions;
    for (int64_t at = first; at < end; at++) {
        const float *const x = position(n->x, item, at);
        const float mean = total(x, channels) / (float)channels;
        float rest, squares;
        spread(x, channels, mean, &rest, &squares);
        rest /= (float)channels;
        const float variance = squares / (float)channels - rest * rest;
        normalise(x, channels, mean, rest, 1 / sqrtf((variance < 0 ? 0 : variance) + 1e-5F), n,
                  n->table ? n->table + at * channels : NULL, position(n->y, item, at));
    }
    return STATUS_OK;
}

int SIMD(layer_norm)(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
                     const struct maps *y)
{
    struct norm n = norm_of(x, y);
    n.gain = gain;
    n.shift = shift;
    n.table = add;
    return exec_parallel(ex, x->items * n.blocks, layer_block, &n);
}

/* ---- sums over a whole item: each block in double, blocks in their order ---- */

static int sum_block(void *context, int64_t i)
{
    const struct norm *const n = context;
    const int64_t item = i / n->blocks, first = i % n->blocks * SOME;
    const int64_t end = first + SOME < n->positions ? first + SOME : n->positions;
    double sum = 0;
    for (int64_t at = first; at < end; at++)
        sum += total(position(n->x, item, at), n->x->channels);
    n->sum[i] = sum;
    return STATUS_OK;
}

static int square_block(void *context, int64_t i)
{
    const struct norm *const n = context;
    const int64_t item = i / n->blocks, first = i % n->blocks * SOME;
    const int64_t end = first + SOME < n->positions ? first + SOME : n->positions;
    double sum = 0;
    for (int64_t at = first; at < end; at++) {
        float unused, squares;
        spread(position(n->x, item, at), n->x->channels, (float)n->mean[item], &unused, &squares);
        sum += squares;
    }
    n->sum[i] = sum;
    return STATUS_OK;
}

static double block_total(const struct norm *n, int64_t item)
{
    double sum = 0;
    for (int64_t b = 0; b < n->blocks; b++)
        sum += n->sum[item * n->blocks + b];
    return sum;
}

/* mean[] and in sum[item*blocks] the sum of squared differences. Differences are taken from the mean rounded to f32;
 * what that moves the sum by is taken off. */
static int item_moments(struct exec *ex, struct norm *n)
{
    const int64_t items = n->x->items;
    const double count = (double)(n->positions * n->x->channels);
    int code = arena_alloc(exec_arena(ex), (size_t)(items * n->blocks) * sizeof *n->sum, &n->sum);
    code = code ? code : arena_alloc(exec_arena(ex), (size_t)items * sizeof *n->mean, &n->mean);
    code = code ? code : arena_alloc(exec_arena(ex), (size_t)items * sizeof *n->rstd, &n->rstd);
    code = code ? code : exec_parallel(ex, items * n->blocks, sum_block, n);
    for (int64_t b = 0; b < items && !code; b++)
        n->mean[b] = block_total(n, b) / count;
    code = code ? code : exec_parallel(ex, items * n->blocks, square_block, n);
    for (int64_t b = 0; b < items && !code; b++) {
        const double off = n->mean[b] - (double)(float)n->mean[b];
        n->sum[b * n->blocks] = block_total(n, b) - count * off * off;
    }
    return code;
}

static int group_block(void *context, int64_t i)
{
    const struct norm *const n = context;
    const int64_t item = i / n->blocks, first = i % n->blocks * SOME;
    const int64_t end = first + SOME < n->positions ? first + SOME : n->positions;
    for (int64_t at = first; at < end; at++)
        normalise(position(n->x, item, at), n->x->channels, (float)n->mean[item],
                  (float)(n->mean[item] - (double)(float)n->mean[item]), n->rstd[item], n,
                  n->add ? position(n->add, item, at) : NULL, position(n->y, item, at));
    return STATUS_OK;
}

int SIMD(group_norm)(struct exec *ex, const float *gain, const float *shift, const struct maps *x,
                     const struct maps *add, const struct maps *y)
{
    const size_t mark = arena_mark(exec_arena(ex));
    struct norm n = norm_of(x, y);
    n.gain = gain;
    n.shift = shift;
    n.add = add;
    int code = item_moments(ex, &n);
    if (!code) {
        for (int64_t b = 0; b < x->items; b++)
            n.rstd[b] = (float)(1 / sqrt(n.sum[b * n.blocks] / (double)(n.positions * x->channels) + 1e-5));
        code = exec_parallel(ex, x->items * n.blocks, group_block, &n);
    }
    arena_reset(exec_arena(ex), mark);
    return code;
}

int SIMD(moments)(struct exec *ex, const struct maps *x, float *y)
{
    const size_t mark = arena_mark(exec_arena(ex));
    struct norm n = norm_of(x, NULL);
    const int code = item_moments(ex, &n);
    for (int64_t b = 0; b < x->items && !code; b++) {
        const double count = (double)(n.positions * x->channels);
        y[2 * b] = (float)n.mean[b];
        y[2 * b + 1] = count > 1 ? (float)sqrt(n.sum[b * n.blocks] / (count - 1)) : 0;
    }
    arena_reset(exec_arena(ex), mark);
    return code;
}
