/* mma - tensor cores: the warp's product of 16 x K by K x 8 added to 16 x 8, with the fragments of PTX's mma.sync. */
#ifndef EMULATOR_MMA_H
#define EMULATOR_MMA_H
#include "lanes.h"

enum emulator_mma_kind { MMA_TF32, MMA_BF16 };

/* What a lane holds: rows of a, columns of b, sums. */
struct emulator_fragment {
    emulator_mma_kind kind;
    unsigned a[4], b[2];
    float c[4];
};

/* Of all 32 lanes of a warp; c of each is replaced. */
void emulator_mma_warp(emulator_fragment *const lane[32]);

inline void emulator_mma(site s, emulator_mma_kind kind, float *c, const unsigned *a, const unsigned *b)
{
    emulator_fragment f = {kind, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
    emulator_warp(s, WARP_MMA, 0xffffffffu, (std::uint64_t)(std::uintptr_t)&f, kind, 32);
    for (int i = 0; i < 4; i++)
        c[i] = f.c[i];
}

#define mma_tf32(c, a, b) emulator_mma(SITE("mma_tf32"), MMA_TF32, c, a, b)
#define mma_bf16(c, a, b) emulator_mma(SITE("mma_bf16"), MMA_BF16, c, a, b)

/* cvt.rna.tf32: 10 bits of mantissa, halves away from zero. */
static inline unsigned tf32_of(float x)
{
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

/* cvt.rn.bf16: 7 bits, halves to even. */
static inline unsigned emulator_bf16(float x)
{
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fffu;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

/* Two in one register, `low` in its lower half. */
static inline unsigned bf16_pair(float low, float high)
{
    return emulator_bf16(high) << 16 | emulator_bf16(low);
}

#endif
