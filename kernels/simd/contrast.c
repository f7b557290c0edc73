/* Peaks and valleys of bands of LANES spectra. Sixteen values at a time are put in order by a network without branches;
 * the sixteen largest and the sixteen smallest so far take over what is beyond them. */
#include "measure.h"
#include "select.h"

#include <math.h>

enum { SET = 16 };

/* Batcher's network for sixteen, and its last stage, which orders what rises and then falls. */
static const unsigned char sort_steps[63][2] = {
    {0, 1},   {2, 3},  {4, 5},  {6, 7},   {8, 9},   {10, 11}, {12, 13}, {14, 15}, {0, 2},   {1, 3},   {4, 6},
    {5, 7},   {8, 10}, {9, 11}, {12, 14}, {13, 15}, {1, 2},   {5, 6},   {9, 10},  {13, 14}, {0, 4},   {1, 5},
    {2, 6},   {3, 7},  {8, 12}, {9, 13},  {10, 14}, {11, 15}, {2, 4},   {3, 5},   {10, 12}, {11, 13}, {1, 2},
    {3, 4},   {5, 6},  {9, 10}, {11, 12}, {13, 14}, {0, 8},   {1, 9},   {2, 10},  {3, 11},  {4, 12},  {5, 13},
    {6, 14},  {7, 15}, {4, 8},  {5, 9},   {6, 10},  {7, 11},  {2, 4},   {3, 5},   {6, 8},   {7, 9},   {10, 12},
    {11, 13}, {1, 2},  {3, 4},  {5, 6},   {7, 8},   {9, 10},  {11, 12}, {13, 14}};
static const unsigned char merge_steps[32][2] = {
    {0, 8},   {1, 9},   {2, 10}, {3, 11},  {4, 12},  {5, 13}, {6, 14}, {7, 15},  {0, 4},   {1, 5},  {2, 6},
    {3, 7},   {8, 12},  {9, 13}, {10, 14}, {11, 15}, {0, 2},  {1, 3},  {4, 6},   {5, 7},   {8, 10}, {9, 11},
    {12, 14}, {13, 15}, {0, 1},  {2, 3},   {4, 5},   {6, 7},  {8, 9},  {10, 11}, {12, 13}, {14, 15}};

INLINE void order(vf v[SET], const unsigned char step[2])
{
    const vf low = vf_min(v[step[0]], v[step[1]]);
    v[step[1]] = vf_max(v[step[0]], v[step[1]]);
    v[step[0]] = low;
}

INLINE void sort(vf v[SET])
{
#pragma GCC unroll 63
    for (int i = 0; i < 63; i++)
        order(v, sort_steps[i]);
}

INLINE void merge(vf v[SET])
{
#pragma GCC unroll 32
    for (int i = 0; i < 32; i++)
        order(v, merge_steps[i]);
}

/* One value more: the least of those that are kept goes, or the value itself. v rises. */
INLINE void keep_larger(vf v[SET], vf x)
{
    x = vf_max(v[0], x);
#pragma GCC unroll 15
    for (int k = 1; k < SET; k++) {
        v[k - 1] = vf_min(v[k], x);
        x = vf_max(v[k], x);
    }
    v[SET - 1] = x;
}

INLINE void keep_smaller(vf v[SET], vf x)
{
    x = vf_min(v[SET - 1], x);
#pragma GCC unroll 15
    for (int k = SET - 1; k > 0; k--) {
        v[k] = vf_max(v[k - 1], x);
        x = vf_min(v[k - 1], x);
    }
    v[0] = x;
}

/* Means of the `take` largest and smallest of n vectors, lane by lane; take <= SET, take <= n. */
static void means_by_order(const vf *v, int64_t n, int64_t take, vf *largest, vf *smallest)
{
    vf top[SET], bottom[SET];
    int64_t i = 0;
    for (int k = 0; k < SET; k++) {
        top[k] = vf_set(-INFINITY);
        bottom[k] = vf_set(INFINITY);
    }
    for (; i + SET <= n; i += SET) {
        vf set[SET];
        memcpy(set, v + i, sizeof set);
        sort(set);
#pragma GCC unroll 16
        for (int k = 0; k < SET; k++) { /* the larger half of both, and the smaller half: each rises, then falls */
            top[k] = vf_max(top[k], set[SET - 1 - k]);
            bottom[k] = vf_min(bottom[k], set[SET - 1 - k]);
        }
        merge(top);
        merge(bottom);
    }
    for (; i < n; i++) {
        keep_larger(top, v[i]);
        keep_smaller(bottom, v[i]);
    }
    vf high = top[SET - 1], low = bottom[0];
    for (int64_t k = 1; k < take; k++) {
        high += top[SET - 1 - k];
        low += bottom[k];
    }
    *largest = high / (float)take;
    *smallest = low / (float)take;
}

/* The same for one: most bands. */
static void most_and_least(const vf *v, int64_t n, vf *largest, vf *smallest)
{
    vf high = v[0], low = v[0];
    for (int64_t i = 1; i < n; i++) {
        high = vf_max(high, v[i]);
        low = vf_min(low, v[i]);
    }
    *largest = high;
    *smallest = low;
}

/* The same for any number: the value of the last rank that counts, what lies beyond it, and equal ones to fill up. */
static void means_by_rank(const struct contrast_band *b, const vf *v, vf *largest, vf *smallest)
{
    const vf take = vf_set((float)b->take), one = vf_set(1);
    vf least = v[0], most = v[0], above = {0}, below = {0}, high = {0}, low = {0};
    for (int64_t i = 1; i < b->count; i++) {
        least = vf_min(least, v[i]);
        most = vf_max(most, v[i]);
    }
    const vi *const key = (const vi *)v; /* magnitudes are not negative: their bits are in order */
    const vf top = (vf)select_rank(key, b->count, vf_set((float)(b->count - b->take)), (vi)least, (vi)most);
    const vf bottom = (vf)select_rank(key, b->count, vf_set((float)(b->take - 1)), (vi)least, (vi)most);
    for (int64_t first = 0; first < b->count; first += BLOCK_BINS) {
        vf part = {0}, other = {0};
        for (int64_t i = first; i < b->count && i < first + BLOCK_BINS; i++) {
            const vmask is_above = vf_less(top, v[i]), is_below = vf_less(v[i], bottom);
            part = vf_add_where(is_above, part, v[i]);
            above = vf_add_where(is_above, above, one);
            other = vf_add_where(is_below, other, v[i]);
            below = vf_add_where(is_below, below, one);
        }
        high += part;
        low += other;
    }
    *largest = (high + (take - above) * top) / take;
    *smallest = (low + (take - below) * bottom) / take;
}

static void band_extremes(const struct measure *m, const struct contrast_band *b, vf *largest, vf *smallest)
{
    const vf *const v = m->magnitude + b->first;
    if (b->take == 1)
        most_and_least(v, b->count, largest, smallest);
    else if (b->take <= SET)
        means_by_order(v, b->count, b->take, largest, smallest);
    else
        means_by_rank(b, v, largest, smallest);
}

void SIMD(measure_contrast)(const struct measure *m, vf *out)
{
    const struct contrast_plan *const plan = m->plans->contrast;
    for (int64_t k = 0; k < plan->bands; k++) {
        vf largest = vf_set(NAN), smallest = vf_set(NAN);
        if (plan->band[k].count)
            band_extremes(m, &plan->band[k], &largest, &smallest);
        out[k] = plan->band[k].count ? vf_decibels(largest) : largest;
        out[plan->bands + k] = plan->band[k].count ? vf_decibels(smallest) : smallest;
    }
}
