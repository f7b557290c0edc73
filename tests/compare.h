/* compare - the only tolerance code of the tests. Every verdict is written so that a NaN fails.
 *
 *   compare_l2        sqrt(sum (got - want)^2 / sum want^2); infinity when a value is not finite, or when want is all
 *                     zero and got is not
 *   compare_relative  |got - want| / |want|, by the same rules
 *   compare_worst     keeps the larger of two errors; a NaN counts as infinity
 *   struct guarded    an output of n floats between sentinels, filled with NaN: what is not written, or is written
 *                     outside, shows */
#ifndef COMPARE_H
#define COMPARE_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline double compare_worst(double worst, double error)
{
    return isnan(error) ? INFINITY : error > worst ? error : worst;
}

static inline double compare_l2(const float *got, const double *want, int64_t n)
{
    double error = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(got[i]) || !isfinite(want[i]))
            return INFINITY;
        error += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return error == 0 ? 0 : norm == 0 ? INFINITY : sqrt(error / norm);
}

static inline double compare_relative(float got, double want)
{
    return compare_l2(&got, &want, 1);
}

/* Equal bit for bit: also a NaN to itself, and not 0 to -0. */
static inline bool compare_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

enum { GUARD_FLOATS = 16 };
static const float GUARD_SENTINEL = 12345.678f;

struct guarded {
    float *block;
    float *data; /* [n] */
    int64_t n;
};

static inline struct guarded guarded_open(int64_t n)
{
    struct guarded g = {malloc((size_t)(n + 2 * GUARD_FLOATS) * sizeof(float)), NULL, n};
    if (!g.block)
        abort();
    g.data = g.block + GUARD_FLOATS;
    for (int64_t i = 0; i < n + 2 * GUARD_FLOATS; i++)
        g.block[i] = i < GUARD_FLOATS || i >= n + GUARD_FLOATS ? GUARD_SENTINEL : NAN;
    return g;
}

/* False when something was written outside. */
static inline bool guarded_intact(const struct guarded *g)
{
    bool ok = true;
    for (int64_t i = 0; i < GUARD_FLOATS; i++)
        ok &= g->block[i] == GUARD_SENTINEL && g->data[g->n + i] == GUARD_SENTINEL;
    return ok;
}

/* True when every value is still the NaN it was filled with. */
static inline bool guarded_untouched(const struct guarded *g)
{
    bool ok = guarded_intact(g);
    for (int64_t i = 0; i < g->n; i++)
        ok &= isnan(g->data[i]);
    return ok;
}

static inline void guarded_close(struct guarded *g)
{
    free(g->block);
    *g = (struct guarded){0};
}

#endif
