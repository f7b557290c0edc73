#include "mel.h"

#include "ops.h"
#include "spectrum.h"

#include <math.h>
#include <string.h>

struct band {
    int64_t first, count; /* bins */
    int64_t weight;       /* index of the first weight */
};

struct mel_plan {
    const void *spectrum; /* struct spectrum_plan */
    const struct band *band;
    const float *weight;
};

struct mel_frame { /* what a frame is turned into values with */
    const struct mel_params *p;
    const struct mel_plan *plan;
};

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
    return (double)f * (1.0 / ((double)k->stft.n_fft * (1.0 / k->rate_hz)));
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* A bin lies strictly inside two bands at most. */
static int64_t weights_most(const struct mel_key *k)
{
    return 2 * (k->stft.n_fft / 2 + 1);
}

size_t mel_plan_bytes(const void *params)
{
    const struct mel_key *const k = params;
    return round_up(sizeof(struct mel_plan)) + round_up((size_t)k->mels * sizeof(struct band)) +
           round_up((size_t)weights_most(k) * sizeof(float)) + stft_plan_bytes(&k->stft);
}

/* Weights of the band between three corners, from bin band->first on; rounded to f32 where librosa rounds. */
static int fill_band(const struct mel_key *k, const double corner[3], struct band *band, float *weight)
{
    const int64_t bins = k->stft.n_fft / 2 + 1;
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
    struct band *const band = (struct band *)((char *)memory + round_up(sizeof *plan));
    float *const weight = (float *)((char *)band + round_up((size_t)k->mels * sizeof *band));
    void *const spectrum = (char *)weight + round_up((size_t)weights_most(k) * sizeof *weight);
    double corner[3] = {corner_hz(k, 0), corner_hz(k, 1), 0};
    struct band next = {0, 0, 0};
    *plan = (struct mel_plan){spectrum, band, weight};
    for (int64_t m = 0; m < k->mels; m++) {
        corner[2] = corner_hz(k, m + 2);
        band[m] = next;
        const int code = fill_band(k, corner, &band[m], weight);
        if (code)
            return code;
        next = (struct band){band[m].first, 0, band[m].weight + band[m].count};
        corner[0] = corner[1];
        corner[1] = corner[2];
    }
    return stft_plan_init(spectrum, &k->stft);
}

static double power_of(struct fft_complex z, double power)
{
    const double square = z.re * z.re + z.im * z.im;
    return power == 2 ? square : power == 1 ? sqrt(square) : pow(square, power / 2);
}

static void emit_bands(const void *context, struct fft_complex *spectrum, int64_t bins, float *out)
{
    const struct mel_frame *const c = context;
    double *const power = (double *)spectrum; /* in place: value f is written after bin f was read */
    (void)bins;
    for (int64_t f = 0; f < bins; f++)
        power[f] = power_of(spectrum[f], c->p->power);
    for (int64_t m = 0; m < c->p->mels; m++) {
        const struct band b = c->plan->band[m];
        const float *const w = c->plan->weight + b.weight;
        double sum = 0;
        for (int64_t i = 0; i < b.count; i++)
            sum += w[i] * power[b.first + i];
        out[m] = (float)(c->p->log ? 10 * log10(sum < 1e-10 ? 1e-10 : sum) : sum);
    }
}

int mel_cpu(struct exec *ex, const struct mel_params *p, const void *plan, const struct ragged *x, struct ragged *y)
{
    const struct mel_frame context = {p, plan};
    return spectrum_each(ex, &p->stft, context.plan->spectrum, x, y, emit_bands, &context);
}

static int check(const struct mel_params *p)
{
    if (p->mels < 1 || p->mels > 4096)
        return fail(STATUS_ARGUMENT, "mel: %d bands, allowed 1 to 4096", (int)p->mels);
    if (!(p->rate_hz > 0 && p->rate_hz <= 1e9))
        return fail(STATUS_ARGUMENT, "mel: rate of %g Hz, allowed above 0 to 1e9", p->rate_hz);
    const double most = p->fmax_hz == 0 ? p->rate_hz / 2 : p->fmax_hz;
    if (!(p->fmin_hz >= 0 && p->fmin_hz < most && most <= p->rate_hz / 2))
        return fail(STATUS_ARGUMENT, "mel: bands from %g to %g Hz, allowed 0 to rate/2 = %g, rising", p->fmin_hz, most,
                    p->rate_hz / 2);
    if (!(p->power > 0 && p->power <= 8))
        return fail(STATUS_ARGUMENT, "mel: power %g, allowed above 0 to 8", p->power);
    return STATUS_OK;
}

int mel(struct exec *ex, const struct mel_params *p, const struct ragged *x, struct ragged *y)
{
    const void *plan;
    int code = check(p);
    code = code ? code : spectrum_check("mel", &p->stft, x, y, DTYPE_F32, p->mels);
    if (code)
        return code;
    struct mel_key key = {.stft = spectrum_key(&p->stft), .mels = p->mels, .rate_hz = p->rate_hz};
    key.fmin_hz = p->fmin_hz == 0 ? 0 : p->fmin_hz; /* no -0: keys compare byte by byte */
    key.fmax_hz = p->fmax_hz == 0 ? p->rate_hz / 2 : p->fmax_hz;
    key.htk = p->htk;
    key.slaney_norm = p->slaney_norm;
    code = exec_plan(ex, exec_ops(ex)->mel_plan, &key, &plan);
    return code ? code : exec_ops(ex)->mel(ex, p, plan, x, y);
}
