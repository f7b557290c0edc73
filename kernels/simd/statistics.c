/* Statistics over frames, LANES columns at once.
 *
 * The median is found between thresholds, lane by lane: each pass over the frames counts the keys below three of them,
 * and what is left is the gap that holds the rank. The first three lie around the mean, the next where a straight line
 * through the gap's ends expects the rank; should that not converge, the gap's own ends and its middle are tried, so
 * that runs of equal values and any distribution end. Keys are integers in the order of the floats. */
#include "rows.h"
#include "select.h"

#include <math.h>

enum { BLOCK = 32 }; /* sums run over blocks, then over their sums: smaller errors */

/* What is known of the key of a rank: it lies in [lo, hi], `below` keys are less than lo, `through` are not above hi.
 */
struct gap {
    vi lo, hi, below, through;
};

/* #(key < p) keys lie below p. */
INLINE void gap_learn(struct gap *g, vi rank, vi p, vi count)
{
    const vi above = vi_select(vi_less(rank, count), vi_set(-1), vi_set(0)); /* the key lies below p */
    const vi down = above & vi_select(vi_less(p, (vi)((vu)g->hi + 1)), vi_set(-1), vi_set(0));
    const vi up = ~above & vi_select(vi_less(g->lo, p), vi_set(-1), vi_set(0));
    g->hi = ((p - 1) & down) | (g->hi & ~down);
    g->through = (count & down) | (g->through & ~down);
    g->lo = (p & up) | (g->lo & ~up);
    g->below = (count & up) | (g->below & ~up);
}

static void gap_split(struct gap *g, const vi *key, int64_t n, vi rank, const vi at[3])
{
    const vi a = vi_max(vi_min(at[0], g->hi), g->lo), b = vi_max(vi_min(at[1], g->hi), g->lo);
    const vi c = vi_max(vi_min(at[2], g->hi), g->lo);
    vi below_a = {0}, below_b = {0}, below_c = {0};
    for (int64_t i = 0; i < n; i++) {
        below_a = vi_count(vi_less(key[i], a), below_a);
        below_b = vi_count(vi_less(key[i], b), below_b);
        below_c = vi_count(vi_less(key[i], c), below_c);
    }
    gap_learn(g, rank, a, below_a);
    gap_learn(g, rank, b, below_b);
    gap_learn(g, rank, c, below_c);
}

/* Draws the ends to keys that are there: distances are unsigned, so keys on the other side of an end are the farthest.
 */
static void gap_shrink(struct gap *g, const vi *key, int64_t n)
{
    const vu lo = (vu)g->lo, hi = (vu)g->hi;
    vu up = hi - lo, down = up;
    for (int64_t i = 0; i < n; i++) {
        up = vu_min(up, (vu)key[i] - lo);
        down = vu_min(down, hi - (vu)key[i]);
    }
    g->lo = (vi)(lo + up);
    g->hi = (vi)(hi - down);
}

static bool gap_open(const struct gap *g)
{
    return vmask_bits(vi_less(g->lo, g->hi)) != 0;
}

/* Where the rank is expected, with its standard deviation to both sides, were the keys' values even in the gap. */
static void gap_expect(const struct gap *g, vi rank, vi at[3])
{
    const vf lo = value_of(g->lo), span = value_of(g->hi) - lo, keys = vf_of_int(g->through - g->below);
    const vf part = (vf_of_int(rank - g->below) + 0.5f) / keys;
    const vf middle = lo + span * part, away = span * vf_sqrt(part * (1 - part) / keys);
    at[0] = key_of(middle - away);
    at[1] = key_of(middle);
    at[2] = key_of(middle + away);
}

enum { ROUNDS_EXPECTED = 3 }; /* after which the ends and the middle are tried */

/* The middle of key [n]: the mean of the middle two when n is even. mean, deviation: of the values. */
static vf middle_of(const vi *key, int64_t n, vi least, vi most, vf mean, vf deviation)
{
    const vi rank = vi_set((int32_t)(n / 2));
    struct gap g = {least, most, vi_set(0), vi_set((int32_t)n)};
    vi at[3] = {key_of(mean - deviation * 0.25f), key_of(mean), key_of(mean + deviation * 0.25f)};
    for (int round = 0; gap_open(&g); round++) {
        gap_split(&g, key, n, rank, at);
        if (round > 0)
            gap_shrink(&g, key, n);
        gap_expect(&g, rank, at);
        if (round >= ROUNDS_EXPECTED) {
            at[0] = g.lo + 1;
            at[2] = g.hi;
        }
        if (round >= ROUNDS_EXPECTED && round % 2)
            at[1] = (g.lo >> 1) + (g.hi >> 1) + (g.lo & g.hi & 1) + 1;
    }
    const vf upper = value_of(g.lo);
    if (n % 2)
        return upper;
    vi before = least;
    for (int64_t i = 0; i < n; i++)
        before = vi_select(vi_less(key[i], g.lo), vi_max(before, key[i]), before);
    const vf lower = vf_select(vi_less(g.below, rank), upper, value_of(before)); /* else it is there twice */
    return (lower + upper) * 0.5f;
}

/* Sums of v [n], lane by lane: blocks in f32, their sums in double. Also the extremes. */
static vf mean_of(const vf *v, int64_t n, vf *least, vf *most)
{
    double sum[LANES] = {0};
    float out[LANES];
    *least = vf_set(INFINITY);
    *most = vf_set(-INFINITY);
    for (int64_t first = 0; first < n; first += BLOCK) {
        vf part = {0};
        for (int64_t i = first; i < n && i < first + BLOCK; i++) {
            part += v[i];
            *least = vf_min(*least, v[i]);
            *most = vf_max(*most, v[i]);
        }
        for (int l = 0; l < LANES; l++)
            sum[l] += part[l];
    }
    for (int l = 0; l < LANES; l++)
        out[l] = (float)(sum[l] / (double)n);
    return vf_load(out);
}

/* Mean squares of v - mean; v [n] becomes keys. */
static vf variance_of(vf *v, int64_t n, vf mean)
{
    double sum[LANES] = {0};
    float out[LANES];
    for (int64_t first = 0; first < n; first += BLOCK) {
        vf part = {0};
        for (int64_t i = first; i < n && i < first + BLOCK; i++) {
            part += (v[i] - mean) * (v[i] - mean);
            v[i] = (vf)key_of(v[i]);
        }
        for (int l = 0; l < LANES; l++)
            sum[l] += part[l];
    }
    for (int l = 0; l < LANES; l++)
        out[l] = (float)(sum[l] / (double)n);
    return vf_load(out);
}

/* Statistics of v [n] into out[STATISTIC_KINDS]; v becomes keys. */
static void describe(vf *v, int64_t n, vf *out)
{
    vf least, most;
    if (n == 0) {
        for (int k = 0; k < STATISTIC_KINDS; k++)
            out[k] = vf_set(NAN);
        return;
    }
    out[STATISTIC_MEAN] = mean_of(v, n, &least, &most);
    out[STATISTIC_VAR] = variance_of(v, n, out[STATISTIC_MEAN]);
    out[STATISTIC_MEDIAN] =
        middle_of((const vi *)v, n, key_of(least), key_of(most), out[STATISTIC_MEAN], vf_sqrt(out[STATISTIC_VAR]));
    out[STATISTIC_MIN] = least;
    out[STATISTIC_MAX] = most;
    const vmask number = vf_at_least(out[STATISTIC_MEAN], out[STATISTIC_MEAN]);
    for (int k = 0; k < STATISTIC_KINDS; k++)
        out[k] = vf_select(number, out[k], vf_set(NAN));
}

/* Columns c .. c + n - 1 of one row. */
static void describe_columns(const float *row, int64_t frames, int64_t columns, int64_t n, int64_t block, vf *v,
                             float *y)
{
    vf out[STATISTICS], last = {0};
    int64_t differences = 0;
    for (int64_t t = 0; t < frames; t++)
        v[t] = n == LANES ? vf_load(row + t * columns) : vf_load_part(row + t * columns, n);
    describe(v, frames, out);
    for (int64_t t = 0; t < frames; t++) {
        const vf now = n == LANES ? vf_load(row + t * columns) : vf_load_part(row + t * columns, n);
        if (t > 0 && (block == 0 || t % block != 0))
            v[differences++] = now - last;
        last = now;
    }
    describe(v, differences, out + STATISTIC_KINDS);
    for (int k = 0; k < STATISTICS; k++)
        vf_store_part(y + k * columns, out[k], n);
}

int SIMD(statistics)(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t columns = x->channels;
    int64_t longest = 0;
    vf *v;
    for (int64_t b = 0; b < x->rows; b++)
        longest = ragged_length(x, b) > longest ? ragged_length(x, b) : longest;
    const int code = arena_alloc(arena, (size_t)(longest ? longest : 1) * sizeof *v, &v);
    for (int64_t b = 0; b < x->rows && !code; b++)
        for (int64_t c = 0; c < columns; c += LANES)
            describe_columns((const float *)x->data + x->offset[b] * columns + c, ragged_length(x, b), columns,
                             columns - c < LANES ? columns - c : LANES, block, v, y + b * STATISTICS * columns + c);
    arena_reset(arena, mark);
    return code;
}
