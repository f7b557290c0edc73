#include "augment.h"

#include "philox.h"
#include "stretch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double KNEE_DB = 6, ATTACK_S = 0.0025, RELEASE_S = 0.1, FADE_S = 0.01;
enum { LOOK_BLOCKS = 11 }; /* of a millisecond, from now on */
static const uint64_t NOISE_BLOCKS = UINT64_C(1) << 63;

/* Samples that the rate drawn makes `samples` of. */
static int64_t needed(const struct augment_drawn *d)
{
    return (int64_t)ceil((double)d->samples * d->rate) + 1;
}

/* How much of n samples goes in. */
static int64_t taken(const struct augment_drawn *d, int64_t n)
{
    return d->samples && needed(d) < n ? needed(d) : n;
}

static int64_t stretched(const struct augment_drawn *d, int64_t n)
{
    return d->on[AUGMENT_STRETCH] ? stretch_samples(d->rate, n) : n;
}

int64_t augment_samples(const struct augment_drawn *d, int64_t n)
{
    return d->samples ? d->samples : stretched(d, n);
}

/* Gain in dB of a level in dB. */
static double knee(const struct augment_drawn *d, double level)
{
    const double over = level - d->threshold_db, slope = 1 / d->ratio - 1;
    if (2 * over <= -KNEE_DB)
        return 0;
    return slope * (2 * over >= KNEE_DB ? over : (over + KNEE_DB / 2) * (over + KNEE_DB / 2) / (2 * KNEE_DB));
}

static float peak_of(const float *y, int64_t count)
{
    float peak = 0;
    for (int64_t i = 0; i < count; i++)
        peak = fabsf(y[i]) > peak ? fabsf(y[i]) : peak;
    return peak;
}

static void compress(const struct augment_drawn *d, double rate_hz, int channels, int64_t n, float *y)
{
    const double down = exp(-1 / (ATTACK_S * rate_hz)), up = exp(-1 / (RELEASE_S * rate_hz));
    const int64_t block = llround(rate_hz / 1000), ahead = LOOK_BLOCKS * block;
    double gain = 0, to = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % block == 0) {
            const double peak = peak_of(y + i * channels, (n - i < ahead ? n - i : ahead) * channels);
            to = peak > 0 ? knee(d, 20 * log10(peak)) : 0;
        }
        gain = i == 0 ? to : to + (to < gain ? down : up) * (gain - to);
        const double factor = pow(10, gain / 20);
        for (int c = 0; c < channels; c++)
            y[i * channels + c] = (float)(y[i * channels + c] * factor);
    }
}

/* Four normal numbers of a block, by Box and Muller. */
static void normals(const struct augment_drawn *d, uint64_t block, double out[4])
{
    const struct philox r = philox_counted(d->seed, NOISE_BLOCKS + block, d->epoch << 32 | d->item);
    for (int i = 0; i < 4; i += 2) {
        const double far = sqrt(-2 * log((r.word[i] + 0.5) * 0x1p-32)), turn = 2 * M_PI * (r.word[i + 1] * 0x1p-32);
        out[i] = far * cos(turn);
        out[i + 1] = far * sin(turn);
    }
}

static void add_noise(const struct augment_drawn *d, int64_t count, float *y)
{
    double power = 0, some[4];
    for (int64_t i = 0; i < count; i++)
        power += (double)y[i] * y[i];
    const double deviation = count ? sqrt(power / (double)count) * pow(10, -d->noise_db / 20) : 0;
    for (int64_t i = 0; i < count && deviation > 0; i++) {
        if (i % 4 == 0)
            normals(d, (uint64_t)i / 4, some);
        y[i] = (float)(y[i] + deviation * some[i % 4]);
    }
}

static void mute(const struct augment_drawn *d, double rate_hz, int channels, int64_t n, float *y)
{
    for (int k = 0; k < d->mutes && n > 0; k++) {
        const int64_t from = (int64_t)(d->mute_at[k] * (double)n), left = n - from;
        const int64_t wish = llround(d->mute_s[k] * rate_hz), count = wish < left ? wish : left;
        memset(y + from * channels, 0, (size_t)(count * channels) * sizeof *y);
    }
}

/* The end of n samples that zeros are to follow. */
static void fade(double rate_hz, int channels, int64_t n, float *y)
{
    const int64_t wish = llround(FADE_S * rate_hz), count = wish < n ? wish : n;
    for (int64_t i = 0; i < count * channels; i++) {
        const int64_t left = count - i / channels;
        float *const v = y + (n - count) * channels + i;
        *v = (float)(*v * (double)left / (double)(count + 1));
    }
}

/* What has as many samples before as after, in place. */
static void change(const struct augment_drawn *d, double rate_hz, int channels, int64_t n, float *y)
{
    if (d->on[AUGMENT_COMPRESS])
        compress(d, rate_hz, channels, n, y);
    const double factor = pow(10, d->gain_db / 20) * (d->on[AUGMENT_POLARITY] ? -1 : 1);
    for (int64_t i = 0; i < n * channels && factor != 1; i++)
        y[i] = (float)(y[i] * factor);
    if (d->on[AUGMENT_NOISE])
        add_noise(d, n * channels, y);
    mute(d, rate_hz, channels, n, y);
}

static int check(const struct augment_drawn *d, double rate_hz, int channels, int64_t n, const float *x, const float *y)
{
    if (!(rate_hz >= 1000 && rate_hz <= 384000) || channels < 1 || channels > 2)
        return fail(STATUS_ARGUMENT, "augment: %d channels of %g Hz, allowed 1 or 2 of 1000 to 384000", channels,
                    rate_hz);
    if (n < 0 || taken(d, n) > INT64_C(1) << 32)
        return fail(STATUS_SHAPE, "augment: %lld samples", (long long)n);
    if ((n > 0 && !x) || (augment_samples(d, n) > 0 && !y))
        return fail(STATUS_ARGUMENT, "augment: no samples, or no buffer for the result");
    return STATUS_OK;
}

/* Only what is taken is looked at: a signal may be hours long. */
static int check_finite(int64_t first, int64_t count, int channels, const float *from)
{
    for (int64_t i = 0; i < count * channels; i++)
        if (!isfinite(from[i]))
            return fail(STATUS_ARGUMENT, "augment: sample %lld is not finite", (long long)(first + i / channels));
    return STATUS_OK;
}

int augment(struct exec *ex, const struct augment_drawn *d, double rate_hz, int channels, int64_t n, const float *x,
            float *y)
{
    int code = check(d, rate_hz, channels, n, x, y);
    if (code)
        return code;
    const int64_t in = taken(d, n), out = stretched(d, in), samples = augment_samples(d, n);
    const int64_t held = out < samples ? out : samples;
    const size_t frame = (size_t)channels * sizeof(float);
    const int64_t first = (int64_t)(d->crop * (double)(n - in + 1));
    const float *from = x + first * channels;
    code = check_finite(first, in, channels, from);
    if (code)
        return code;
    float *const work = malloc((size_t)(in + out + 1) * frame), *const longer = work ? work + in * channels : NULL;
    if (!work)
        return fail(STATUS_NOMEM, "augment: out of memory");
    if (d->on[AUGMENT_PITCH]) {
        code = stretch_pitch(ex, d->semitones, channels, in, from, work);
        from = work;
    }
    if (!code && d->on[AUGMENT_STRETCH]) {
        code = stretch_signal(ex, d->rate, channels, in, from, longer);
        from = longer;
    }
    if (!code && held > 0)
        memcpy(y, from, (size_t)held * frame);
    free(work);
    if (code)
        return code;
    if (held < samples) {
        fade(rate_hz, channels, held, y);
        memset(y + held * channels, 0, (size_t)(samples - held) * frame);
    }
    change(d, rate_hz, channels, held, y);
    return STATUS_OK;
}
