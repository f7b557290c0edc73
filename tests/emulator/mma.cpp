/* Fragments as the PTX manual draws them for m16n8k8 (tf32) and m16n8k16 (bf16): lane l is in group l/4 and is number
 * l%4 of it. Products are exact and summed in double with what c holds, then rounded once: the hardware's sums, which
 * drop bits below those of the largest summand, may lie a few units of f32 off. */
#include "mma.h"

#include <cstring>

static double number(unsigned bits)
{
    float f;
    std::memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* Element i of a lane's part of a (i < 8 / 4) or b (i < 4 / 2), and where it lies. */
static double element(const unsigned *part, emulator_mma_kind kind, int i)
{
    if (kind == MMA_TF32)
        return number(part[i] & 0xffffe000u); /* what is below 10 bits is not there */
    return number(part[i / 2] >> (i % 2 * 16) << 16);
}

void emulator_mma_warp(emulator_fragment *const lane[32])
{
    enum { ROWS = 16, COLUMNS = 8, DEEPEST = 16 };
    const emulator_mma_kind kind = lane[0]->kind;
    const bool half = kind == MMA_BF16;
    const int depth = half ? 16 : 8;
    double a[ROWS][DEEPEST], b[DEEPEST][COLUMNS];
    for (int l = 0; l < 32; l++) {
        const int group = l / 4, in = l % 4;
        for (int i = 0; i < (half ? 8 : 4); i++) {
            const int row = group + ((half ? i / 2 : i) % 2) * 8;
            const int k = half ? in * 2 + i % 2 + i / 4 * 8 : in + i / 2 * 4;
            a[row][k] = element(lane[l]->a, kind, i);
        }
        for (int i = 0; i < (half ? 4 : 2); i++)
            b[half ? in * 2 + i % 2 + i / 2 * 8 : in + i * 4][group] = element(lane[l]->b, kind, i);
    }
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) {
            const int row = l / 4 + i / 2 * 8, column = l % 4 * 2 + i % 2;
            double sum = lane[l]->c[i];
            for (int k = 0; k < depth; k++)
                sum += a[row][k] * b[k][column];
            lane[l]->c[i] = (float)sum;
        }
}
