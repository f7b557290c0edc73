/* philox - the words of ../philox.h, LANES blocks at once. Room-internal. */
#ifndef SIMD_PHILOX_H
#define SIMD_PHILOX_H
#include "../philox.h"
#include "simd.h"

typedef uint64_t vq __attribute__((vector_size(sizeof(vu))));

/* Both words of a*by, lane by lane. */
INLINE void vu_multiply(vu a, uint32_t by, vu *high, vu *low)
{
    const vq upper = (vq){0} + UINT64_C(0xffffffff00000000);
    const vu factor = (vu){0} + by;
    const vq even = (vq)vu_products(a, factor), odd = (vq)vu_products((vu)((vq)a >> 32), factor);
    *high = (vu)((odd & upper) | (even >> 32));
    *low = (vu)((even & ~upper) | (odd << 32));
}

/* Words of the blocks from `block` on, in the order of their numbers. */
INLINE void philox_words(uint64_t seed, uint32_t stream, uint64_t step, uint32_t block, uint32_t to[4 * LANES])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    vu c0, c1 = (vu){0} + stream, c2 = (vu){0} + (uint32_t)step, c3 = (vu){0} + (uint32_t)(step >> 32);
    for (int l = 0; l < LANES; l++)
        c0[l] = block + (uint32_t)l;
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        vu a_high, a_low, b_high, b_low;
        vu_multiply(c0, PHILOX_M0, &a_high, &a_low);
        vu_multiply(c2, PHILOX_M1, &b_high, &b_low);
        c0 = b_high ^ c1 ^ key0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ key1;
        c3 = a_low;
        key0 += PHILOX_W0;
        key1 += PHILOX_W1;
    }
    vu even[2], odd[2], out[4];
    vu_zip(c0, c2, &even[0], &even[1]);
    vu_zip(c1, c3, &odd[0], &odd[1]);
    vu_zip(even[0], odd[0], &out[0], &out[1]);
    vu_zip(even[1], odd[1], &out[2], &out[3]);
    memcpy(to, out, sizeof out);
}

#endif
