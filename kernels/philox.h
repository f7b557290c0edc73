/* philox - random numbers by counting: each follows from (seed, stream, step, index) alone, so any thread makes any of
 * them, in any order, again and again.
 *
 *   equation     Philox 4x32-10: ten rounds of two 32-bit multiplications on a counter of 128 bits and a key of 64
 *   counter      index/4 (its 32 bits), stream, step (low word, then high); key: seed (low word, then high). Number
 *                `index` is word index mod 4 of that block
 *   limits       index below 2^34: 2^32 blocks of four
 *   numbers      philox_uniform: (word + 1/2)/2^32, never 0 or 1; philox_normal: Box-Muller of words 0 and 1, or 2 and
 *                3: sqrt(-2*ln u)*cos(2*pi*v) at even indices, .. *sin(..) at odd ones, in double; at most 6.8
 *   determinism  words are equal everywhere; normals to the last bits of the library's logarithm, cosine and sine:
 *                1e-6 relative as floats
 *   source       Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011); its known answers are in
 *                test_philox.c */
#ifndef PHILOX_H
#define PHILOX_H
#include "ragged.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static const int64_t PHILOX_MOST = INT64_C(1) << 34;

enum { PHILOX_ROUNDS = 10 };
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u /* of the key, from round to round: golden ratio, square root of 3 */
#define PHILOX_W1 0xBB67AE85u

struct philox {
    uint32_t word[4];
};

static inline HOST_DEVICE struct philox philox_block(struct philox counter, uint32_t key0, uint32_t key1)
{
    uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t a = (uint64_t)PHILOX_M0 * c0, b = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)a;
        key0 += PHILOX_W0;
        key1 += PHILOX_W1;
    }
    counter.word[0] = c0;
    counter.word[1] = c1;
    counter.word[2] = c2;
    counter.word[3] = c3;
    return counter;
}

/* The block of a counter of two words of 64 bits, for numbers that are counted otherwise. */
static inline HOST_DEVICE struct philox philox_counted(uint64_t seed, uint64_t low, uint64_t high)
{
    return philox_block((struct philox){{(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)}},
                        (uint32_t)seed, (uint32_t)(seed >> 32));
}

/* The four words of the block that number `index` is in. */
static inline HOST_DEVICE struct philox philox_at(uint64_t seed, uint32_t stream, uint64_t step, int64_t index)
{
    const struct philox counter = {{(uint32_t)((uint64_t)index >> 2), stream, (uint32_t)step, (uint32_t)(step >> 32)}};
    return philox_block(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
}

static inline HOST_DEVICE double philox_of_word(uint32_t word)
{
    return ((double)word + 0.5) / 4294967296.0;
}

static inline HOST_DEVICE double philox_uniform(uint64_t seed, uint32_t stream, uint64_t step, int64_t index)
{
    const struct philox p = philox_at(seed, stream, step, index);
    const uint32_t low = index & 1 ? p.word[1] : p.word[0], high = index & 1 ? p.word[3] : p.word[2];
    return philox_of_word(index & 2 ? high : low);
}

/* Cosine of 2*pi*v, or its sine. On a device without the table that large angles would need. */
static inline HOST_DEVICE double philox_turned(double v, bool sine)
{
#ifdef __CUDA_ARCH__
    return sine ? sinpi(2 * v) : cospi(2 * v);
#else
    return sine ? sin(6.283185307179586 * v) : cos(6.283185307179586 * v);
#endif
}

static inline HOST_DEVICE double philox_normal(uint64_t seed, uint32_t stream, uint64_t step, int64_t index)
{
    const struct philox p = philox_at(seed, stream, step, index);
    const double u = philox_of_word(index & 2 ? p.word[2] : p.word[0]);
    const double v = philox_of_word(index & 2 ? p.word[3] : p.word[1]);
    return sqrt(-2 * log(u)) * philox_turned(v, index & 1);
}

#endif
