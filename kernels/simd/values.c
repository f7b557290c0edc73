/* What is computed from finished features: clips in dB, cepstral coefficients. */
#include "rows.h"

#include <math.h>

int SIMD(decibel_peak)(struct exec *ex, const struct ragged *x, float *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b] * x->channels;
        const int64_t n = ragged_length(x, b) * x->channels;
        vf most = vf_set(-INFINITY);
        float peak = -INFINITY;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            most = vf_max(vf_load(row + i), most); /* a NaN on the left is passed over */
        for (int l = 0; l < LANES; l++)
            peak = most[l] > peak ? most[l] : peak;
        for (; i < n; i++)
            peak = row[i] > peak ? row[i] : peak;
        y[b] = peak;
    }
    return STATUS_OK;
}

int SIMD(decibel_clip)(struct exec *ex, struct ragged *x, const float *floor_db)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        float *const row = (float *)x->data + x->offset[b] * x->channels;
        const int64_t n = ragged_length(x, b) * x->channels;
        const vf least = vf_set(floor_db[b]);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            vf_store(row + i, vf_max(least, vf_load(row + i))); /* a NaN on the right comes through */
        for (; i < n; i++)
            row[i] = row[i] < floor_db[b] ? floor_db[b] : row[i];
    }
    return STATUS_OK;
}

enum {
    FRAMES = 4, /* that share a load of the cosines */
    BLOCK = 32  /* sums run over blocks, then over their sums: smaller errors */
};

/* Coefficients of up to FRAMES frames. */
static void cepstra(const struct mfcc_plan *p, const float *const in[FRAMES], int n, float least, float *out)
{
    for (int64_t c = 0; c < p->coefficients; c += LANES) {
        vf sum[FRAMES] = {{0}};
        for (int64_t first = 0; first < p->mels; first += BLOCK) {
            const int64_t end = first + BLOCK < p->mels ? first + BLOCK : p->mels;
            vf part[FRAMES] = {{0}};
            for (int64_t i = first; i < end; i++) {
                const vf cosine = vf_load(p->cosine + i * p->row + c);
#pragma GCC unroll 4
                for (int f = 0; f < FRAMES; f++)
                    part[f] += cosine * (in[f][i] < least ? least : in[f][i]);
            }
            for (int f = 0; f < FRAMES; f++)
                sum[f] += part[f];
        }
        for (int f = 0; f < n; f++) {
            const int64_t left = p->coefficients - c;
            vf_store_part(out + f * p->coefficients + c, sum[f], left < LANES ? left : LANES);
        }
    }
}

int SIMD(mfcc)(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
               struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++)
        for (int64_t t = x->offset[b]; t < x->offset[b + 1]; t += FRAMES) {
            const float *in[FRAMES];
            const int64_t left = x->offset[b + 1] - t;
            for (int f = 0; f < FRAMES; f++)
                in[f] = (const float *)x->data + (t + (f < left ? f : 0)) * plan->mels;
            cepstra(plan, in, left < FRAMES ? (int)left : FRAMES, floor_db ? floor_db[b] : -INFINITY,
                    (float *)y->data + t * plan->coefficients);
        }
    return STATUS_OK;
}
