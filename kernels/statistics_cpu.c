#include "statistics.h"

#include "ops.h"

#include <math.h>

enum { LANES_MOST = 16 };

size_t statistics_work_bytes(int64_t frames)
{
    return (size_t)(frames ? frames : 1) * LANES_MOST * sizeof(float);
}

/* The element of rank k of v [n]; reorders v. Hoare's selection with the middle of three as the pivot. */
static float select_rank(float *v, int64_t n, int64_t k)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const float a = v[lo], b = v[lo + (hi - lo) / 2], c = v[hi];
        const float pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                const float swap = v[i];
                v[i++] = v[j];
                v[j--] = swap;
            }
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return v[k];
}

static float median(float *v, int64_t n)
{
    const float upper = select_rank(v, n, n / 2);
    if (n % 2)
        return upper;
    float lower = v[0]; /* the largest of those below, which selection has put in front */
    for (int64_t i = 1; i < n / 2; i++)
        lower = v[i] > lower ? v[i] : lower;
    return (lower + upper) / 2;
}

/* Statistics of v [n] into y[kind * columns]; reorders v. */
static void describe(float *v, int64_t n, float *y, int64_t columns)
{
    double sum = 0, squares = 0;
    float least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
        least = v[i] < least ? v[i] : least;
        most = v[i] > most ? v[i] : most;
    }
    if (n == 0 || isnan(sum)) {
        for (int k = 0; k < STATISTIC_KINDS; k++)
            y[k * columns] = NAN;
        return;
    }
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (v[i] - mean) * (v[i] - mean);
    y[STATISTIC_MEAN * columns] = (float)mean;
    y[STATISTIC_VAR * columns] = (float)(squares / (double)n);
    y[STATISTIC_MEDIAN * columns] = median(v, n);
    y[STATISTIC_MIN * columns] = least;
    y[STATISTIC_MAX * columns] = most;
}

int statistics_cpu(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t columns = x->channels;
    int64_t longest = 0;
    float *v;
    for (int64_t b = 0; b < x->rows; b++)
        longest = ragged_length(x, b) > longest ? ragged_length(x, b) : longest;
    const int code = arena_alloc(arena, statistics_work_bytes(longest), &v);
    for (int64_t b = 0; b < x->rows && !code; b++)
        for (int64_t c = 0; c < columns; c++) {
            const float *const row = (const float *)x->data + x->offset[b] * columns + c;
            const int64_t frames = ragged_length(x, b);
            float *const out = y + b * STATISTICS * columns + c;
            int64_t differences = 0;
            for (int64_t t = 0; t < frames; t++)
                v[t] = row[t * columns];
            describe(v, frames, out, columns);
            for (int64_t t = 1; t < frames; t++)
                if (block == 0 || t % block != 0)
                    v[differences++] = row[t * columns] - row[(t - 1) * columns];
            describe(v, differences, out + STATISTIC_KINDS * columns, columns);
        }
    arena_reset(arena, mark);
    return code;
}

int statistics(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    if (x->dtype != DTYPE_F32 || x->channels < 1 || x->channels > 65537)
        return fail(STATUS_ARGUMENT, "statistics: wants float32, 1 to 65537 values per frame");
    if (block < 0)
        return fail(STATUS_ARGUMENT, "statistics: blocks of %lld frames", (long long)block);
    if (x->rows < 0 || x->offset[0] != 0 || x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "statistics: %lld rows of %lld frames in all", (long long)x->rows,
                    (long long)x->total);
    for (int64_t b = 0; b < x->rows; b++)
        if (ragged_length(x, b) < 0 || ragged_length(x, b) > INT64_C(1) << 24 ||
            (x->piece && !(x->piece[b].first && x->piece[b].last)))
            return fail(STATUS_SHAPE, "statistics: row %lld has %lld frames, allowed 0 to 2^24 of a whole signal",
                        (long long)b, (long long)ragged_length(x, b));
    if ((x->total > 0 && !x->data) || (x->rows > 0 && !y))
        return fail(STATUS_ARGUMENT, "statistics: no buffer for the values or the results");
    return OPS_CALL(ex, statistics, ex, x, block, y);
}
