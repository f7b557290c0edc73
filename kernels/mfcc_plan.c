/* The plan of mfcc, for every backend. */
#include "mfcc.h"

#include <math.h>

static int64_t row_of(const struct mfcc_key *k)
{
    return (k->coefficients + MFCC_ROW - 1) / MFCC_ROW * MFCC_ROW;
}

static size_t head_bytes(void)
{
    return (sizeof(struct mfcc_plan) + 63) / 64 * 64;
}

size_t mfcc_plan_bytes(const void *key)
{
    const struct mfcc_key *const k = key;
    return head_bytes() + (size_t)(k->mels * row_of(k)) * sizeof(float);
}

int mfcc_plan_init(void *memory, const void *key)
{
    const struct mfcc_key *const k = key;
    float *const cosine = (float *)((char *)memory + head_bytes());
    const double m = (double)k->mels;
    *(struct mfcc_plan *)memory = (struct mfcc_plan){NULL, k->mels, k->coefficients, row_of(k), cosine};
    for (int64_t i = 0; i < k->mels; i++)
        for (int64_t c = 0; c < row_of(k); c++) {
            const double lift = k->lifter > 0 ? 1 + k->lifter / 2 * sin(M_PI * (double)(c + 1) / k->lifter) : 1;
            const double scale = lift * sqrt((c ? 2 : 1) / m);
            const double turn = M_PI * (double)c * (double)(2 * i + 1) / (2 * m);
            cosine[i * row_of(k) + c] = c < k->coefficients ? (float)(scale * cos(turn)) : 0;
        }
    return STATUS_OK;
}
