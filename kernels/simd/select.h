/* select - the value of a given rank among many vectors, lane by lane. Room-internal.
 *
 *   method   keys are integers in the order of the floats. The key is found from its highest bit on, two bits per pass,
 *            as the largest that has at most `rank` keys below it: no branch depends on the data */
#ifndef SELECT_H
#define SELECT_H
#include "simd.h"

/* Integers in the order of the floats, and back. */
INLINE vi key_of(vf v)
{
    return (vi)v ^ (((vi)v >> 31) & 0x7fffffff);
}

INLINE vf value_of(vi key)
{
    return (vf)(key ^ ((key >> 31) & 0x7fffffff));
}

/* The key of rank `rank` (from 0, a whole number in each lane) of key [n]; all keys lie from least to most. */
INLINE vi select_rank(const vi *key, int64_t n, vf rank, vi least, vi most)
{
    const vi spread = least ^ most;
    const vf one = vf_set(1);
    uint32_t any = 0;
    for (int l = 0; l < LANES; l++)
        any |= (uint32_t)spread[l];
    int bit = (any ? 31 - __builtin_clz(any) : 0) | 1; /* this one and the next below it are found first */
    vi found = bit == 31 ? vi_set(INT32_MIN) : least & vi_set(-(int32_t)(2U << bit));
    vf below = {0}, below_end = vf_set((float)n); /* keys below `found`, and below what can still be found */
    for (; bit >= 0; bit -= 2) {
        if (!vmask_bits(vf_less(below + one, below_end))) /* one key is left in each lane */
            break;
        const uint32_t quarter = 1U << (bit - 1);
        const vi a = (vi)((vu)found + quarter), b = (vi)((vu)found + 2 * quarter), c = (vi)((vu)found + 3 * quarter);
        vf below_a = {0}, below_b = {0}, below_c = {0};
        for (int64_t i = 0; i < n; i++) {
            below_a = vf_add_where(vi_less(key[i], a), below_a, one);
            below_b = vf_add_where(vi_less(key[i], b), below_b, one);
            below_c = vf_add_where(vi_less(key[i], c), below_c, one);
        }
        const vmask from_a = vf_at_least(rank, below_a), from_b = vf_at_least(rank, below_b);
        const vmask from_c = vf_at_least(rank, below_c);
        found = vi_select(from_c, c, vi_select(from_b, b, vi_select(from_a, a, found)));
        below_end = vf_select(from_c, below_end, vf_select(from_b, below_c, vf_select(from_a, below_b, below_a)));
        below = vf_select(from_c, below_c, vf_select(from_b, below_b, vf_select(from_a, below_a, below)));
    }
    vi first = most; /* the first key from there on */
    for (int64_t i = 0; i < n; i++)
        first = vi_select(vi_less(key[i], found), first, vi_min(first, key[i]));
    return first;
}

#endif
