/* philox - random numbers by counting: each follows from seed and counter alone, so they are the same in any order and
 * on any thread.
 *
 *   equation     Philox 4x32-10: ten rounds on a counter of 128 bits under a key of 64
 *   counter      low (its low word, then high), high (the same); key: seed (the same)
 *   source       Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011) */
#ifndef PHILOX_H
#define PHILOX_H
#include <stdint.h>

struct philox4 {
    uint32_t v[4];
};

static inline struct philox4 philox4x32(uint64_t seed, uint64_t counter_low, uint64_t counter_high)
{
    uint32_t c[4] = {(uint32_t)counter_low, (uint32_t)(counter_low >> 32), (uint32_t)counter_high,
                     (uint32_t)(counter_high >> 32)};
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                                  (uint32_t)a};
        for (int i = 0; i < 4; i++)
            c[i] = next[i];
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return (struct philox4){{c[0], c[1], c[2], c[3]}};
}

#endif
