/* The bands of mel, for every twin. */
#include "mel.h"

#include <math.h>

static const double SLANEY_LINEAR_HZ = 200.0 / 3; /* per mel, below 1000 Hz, which is 15 mels */
static const double SLANEY_BREAK_HZ = 1000;

static double hz_to_mel(double hz, bool htk)
{
    if (htk)
        return 2595.0 * log10(1.0 + hz / 700.0);
    if (hz < SLANEY_BREAK_HZ)
        return hz / SLANEY_LINEAR_HZ;
    return SLANEY_BREAK_HZ / SLANEY_LINEAR_HZ + log(hz / SLANEY_BREAK_HZ) / (log(6.4) / 27.0);
}

static double mel_to_hz(double mels, bool htk)
{
    const double break_mel = SLANEY_BREAK_HZ / SLANEY_LINEAR_HZ;
    if (htk)
        return 700.0 * (pow(10.0, mels / 2595.0) - 1.0);
    if (mels < break_mel)
        return SLANEY_LINEAR_HZ * mels;
    return SLANEY_BREAK_HZ * exp(log(6.4) / 27.0 * (mels - break_mel));
}

/* Corner i of the mels + 2 that the bands are made of. */
static double corner_hz(const struct mel_key *k, int64_t i)
{
    const double least = hz_to_mel(k->fmin_hz, k->htk), most = hz_to_mel(k->fmax_hz, k->htk);
    const double step = (most - least) / (double)(k->mels + 1);
    return mel_to_hz(i == k->mels + 1 ? most : least + (double)i * step, k->htk);
}

static double bin_hz(const struct mel_key *k, int64_t f)
{
    return (double)f * (1.0 / ((double)k->n_fft * (1.0 / k->rate_hz)));
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* A bin lies strictly inside two bands at most. */
static int64_t weights_most(const struct mel_key *k)
{
    return 2 * (k->n_fft / 2 + 1);
}

size_t mel_plan_bytes(const void *params)
{
    const struct mel_key *const k = params;
    return round_up(sizeof(struct mel_plan)) + round_up((size_t)k->mels * sizeof(struct mel_band)) +
           round_up((size_t)weights_most(k) * sizeof(float));
}

/* Weights of the band between three corners, from bin band->first on; rounded to f32 where librosa rounds. */
static int fill_band(const struct mel_key *k, const double corner[3], struct mel_band *band, float *weight)
{
    const int64_t bins = k->n_fft / 2 + 1;
    const double rise = corner[1] - corner[0], fall = corner[2] - corner[1];
    if (!(rise > 0 && fall > 0))
        return fail(STATUS_ARGUMENT, "mel: %lld bands from %g to %g Hz are too narrow to tell apart",
                    (long long)k->mels, k->fmin_hz, k->fmax_hz);
    const double norm = k->slaney_norm ? 2.0 / (corner[2] - corner[0]) : 1;
    while (band->first < bins && bin_hz(k, band->first) <= corner[0])
        band->first++;
    for (int64_t f = band->first; f < bins && bin_hz(k, f) < corner[2]; f++) {
        const double lower = (bin_hz(k, f) - corner[0]) / rise, upper = (corner[2] - bin_hz(k, f)) / fall;
        const float ramp = (float)(lower < upper ? lower : upper);
        weight[band->weight + band->count++] = (float)((double)ramp * norm);
    }
    return STATUS_OK;
}

int mel_plan_init(void *memory, const void *params)
{
    const struct mel_key *const k = params;
    struct mel_plan *const plan = memory;
    struct mel_band *const band = (struct mel_band *)((char *)memory + round_up(sizeof *plan));
    float *const weight = (float *)((char *)band + round_up((size_t)k->mels * sizeof *band));
    double corner[3] = {corner_hz(k, 0), corner_hz(k, 1), 0};
    struct mel_band next = {0, 0, 0};
    *plan = (struct mel_plan){band, weight};
    for (int64_t m = 0; m < k->mels; m++) {
        corner[2] = corner_hz(k, m + 2);
        band[m] = next;
        const int code = fill_band(k, corner, &band[m], weight);
        if (code)
            return code;
        next = (struct mel_band){band[m].first, 0, band[m].weight + band[m].count};
        corner[0] = corner[1];
        corner[1] = corner[2];
    }
    return STATUS_OK;
}
