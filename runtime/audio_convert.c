/* Floats to integers, and what keeps them within full scale. The order of operations is demucs's, where it says so. */
#include "audio_write.h"

#include <math.h>
#include <string.h>

static const char *const clip_names[] = {"rescale", "clamp", "none"};

int audio_clip_parse(const char *text, enum audio_clip *out)
{
    for (size_t i = 0; i < sizeof clip_names / sizeof *clip_names; i++)
        if (strcmp(text, clip_names[i]) == 0) {
            *out = (enum audio_clip)i;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT, "clip mode '%s': not one of rescale, clamp, none", text);
}

const char *audio_clip_name(enum audio_clip mode)
{
    return clip_names[mode];
}

float audio_peak(float peak, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float a = fabsf(x[i]);
        peak = a > peak ? a : peak;
    }
    return peak;
}

float audio_clip_divisor(enum audio_clip mode, float peak)
{
    const float scaled = 1.01f * peak;
    return mode == AUDIO_CLIP_RESCALE && scaled > 1 ? scaled : 1;
}

static inline float clamped(float x, float least, float most)
{
    return x < least ? least : x > most ? most : x;
}

void audio_clip(enum audio_clip mode, float divisor, float *x, size_t n)
{
    if (mode == AUDIO_CLIP_CLAMP)
        for (size_t i = 0; i < n; i++)
            x[i] = clamped(x[i], -0.99f, 0.99f);
    else if (divisor != 1)
        for (size_t i = 0; i < n; i++)
            x[i] /= divisor;
}

void audio_to_int16(enum audio_rounding rounding, const float *x, size_t n, int16_t *out)
{
    if (rounding == AUDIO_ROUND_DEMUCS)
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)(clamped(x[i], -1, 1) * 32767.0f);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)lrintf(clamped(x[i] * 32768.0f, -32768.0f, 32767.0f));
}

/* Full scale has 24 bits, which is what a float holds: the products are exact, or rounded as any product of floats. */
static inline int32_t to_24(enum audio_rounding rounding, float x)
{
    return rounding == AUDIO_ROUND_DEMUCS ? (int32_t)(clamped(x, -1, 1) * 8388607.0f)
                                          : (int32_t)lrintf(clamped(x * 8388608.0f, -8388608.0f, 8388607.0f));
}

void audio_to_int24(enum audio_rounding rounding, const float *x, size_t n, unsigned char *out)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t q = (uint32_t)to_24(rounding, x[i]);
        for (int b = 0; b < 3; b++)
            *out++ = (unsigned char)(q >> 8 * b);
    }
}

void audio_to_int32(enum audio_rounding rounding, const float *x, size_t n, int32_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = to_24(rounding, x[i]) * 256;
}

void audio_to_unit(const float *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = clamped(x[i], -1, 1);
}
