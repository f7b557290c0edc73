/* What is computed from finished features: clips in dB, cepstral coefficients, statistics over frames. */
#include "rows.h"
#include "select.h"

#include <math.h>

int SIMD(decibel_peak)(struct exec *ex, const struct ragged *x, float *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b] * x->channels;
        const int64_t n = ragged_length(x, b) * x->channels;
        vf most = vf_set(-INFINITY);
        float peak = -INFINITY;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            most = vf_max(vf_load(row + i), most); /* a NaN on the left is passed over */
        for (int l = 0; l < LANES; l++)
            peak = most[l] > peak ? most[l] : peak;
        for (; i < n; i++)
            peak = row[i] > peak ? row[i] : peak;
        y[b] = peak;
    }
    return STATUS_OK;
}

int SIMD(decibel_clip)(struct exec *ex, struct ragged *x, const float *floor_db)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        float *const row = (float *)x->data + x->offset[b] * x->channels;
        const int64_t n = ragged_length(x, b) * x->channels;
        const vf least = vf_set(floor_db[b]);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            vf_store(row + i, vf_max(least, vf_load(row + i))); /* a NaN on the right comes through */
        for (; i < n; i++)
            row[i] = row[i] < floor_db[b] ? floor_db[b] : row[i];
    }
    return STATUS_OK;
}

enum {
    FRAMES = 4, /* that share a load of the cosines */
    BLOCK = 32  /* sums run over blocks, then over their sums: smaller errors */
};

/* Coefficients of up to FRAMES frames. */
static void cepstra(const struct mfcc_plan *p, const float *const in[FRAMES], int n, float least, float *out)
{
    for (int64_t c = 0; c < p->coefficients; c += LANES) {
        vf sum[FRAMES] = {{0}};
        for (int64_t first = 0; first < p->mels; first += BLOCK) {
            const int64_t end = first + BLOCK < p->mels ? first + BLOCK : p->mels;
            vf part[FRAMES] = {{0}};
            for (int64_t i = first; i < end; i++) {
                const vf cosine = vf_load(p->cosine + i * p->row + c);
#pragma GCC unroll 4
                for (int f = 0; f < FRAMES; f++)
                    part[f] += cosine * (in[f][i] < least ? least : in[f][i]);
            }
            for (int f = 0; f < FRAMES; f++)
                sum[f] += part[f];
        }
        for (int f = 0; f < n; f++) {
            const int64_t left = p->coefficients - c;
            vf_store_part(out + f * p->coefficients + c, sum[f], left < LANES ? left : LANES);
        }
    }
}

int SIMD(mfcc)(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
               struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++)
        for (int64_t t = x->offset[b]; t < x->offset[b + 1]; t += FRAMES) {
            const float *in[FRAMES];
            const int64_t left = x->offset[b + 1] - t;
            for (int f = 0; f < FRAMES; f++)
                in[f] = (const float *)x->data + (t + (f < left ? f : 0)) * plan->mels;
            cepstra(plan, in, left < FRAMES ? (int)left : FRAMES, floor_db ? floor_db[b] : -INFINITY,
                    (float *)y->data + t * plan->coefficients);
        }
    return STATUS_OK;
}

/* The middle of key [n]: the mean of the middle two when n is even. */
static vf middle(const vi *key, int64_t n, vi least, vi most)
{
    const int64_t half = n / 2;
    const vf rank = vf_set((float)half);
    const vi found = select_rank(key, n, rank, least, most);
    const vf upper = value_of(found);
    if (n % 2)
        return upper;
    vi before = least;
    vf below = {0};
    for (int64_t i = 0; i < n; i++) {
        const vmask is = vi_less(key[i], found);
        below = vf_add_where(is, below, vf_set(1));
        before = vi_select(is, vi_select(vi_less(before, key[i]), key[i], before), before);
    }
    const vf lower = vf_select(vf_at_least(below, rank), value_of(before), upper); /* else it is there twice */
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
    out[STATISTIC_MEDIAN] = middle((const vi *)v, n, key_of(least), key_of(most));
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
