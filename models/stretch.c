#include "stretch.h"

#include "exec_memory.h"
#include "istft.h"
#include "resample.h"
#include "time_stretch.h"

#include <stdlib.h>

enum { CHANNELS = 2, PARTS = 512 };
enum table { SAMPLES, FRAMES, STRETCHED, LONGER, PITCHED, TABLES };

static const struct stft_params windows = {.frame = {2048, 512, true}};

struct stretching {
    struct exec *ex;
    struct exec_memory memory;
    double rate[CHANNELS];
    int64_t up, down; /* equal: the pitch stays */
    int64_t n, channels;
    int64_t offset[TABLES][CHANNELS + 1];
    const int64_t *offset_there;
    float *x, *spectra, *stretched, *longer, *pitched;
};

void stretch_fraction(double semitones, int64_t *up, int64_t *down)
{
    const double ratio = exp2(semitones / 12);
    double least = INFINITY;
    for (int64_t q = 1; q <= PARTS; q++) {
        const int64_t p = llround(ratio * (double)q);
        const double error = fabs((double)p / (double)q - ratio);
        if (p >= 1 && p <= PARTS && error < least) {
            least = error;
            *up = p;
            *down = q;
        }
    }
}

static struct ragged rows_of(const struct stretching *s, enum table t, enum dtype dtype, float *data, int64_t channels)
{
    return (struct ragged){.data = data,
                           .dtype = dtype,
                           .channels = (int32_t)channels,
                           .offset = s->offset[t],
                           .offset_device = s->offset_there ? s->offset_there + t * (CHANNELS + 1) : NULL,
                           .rows = s->channels,
                           .total = s->offset[t][s->channels]};
}

static float *cut(const struct stretching *s, int64_t floats, size_t *used)
{
    float *const at = s->memory.data ? (float *)(void *)((char *)s->memory.data + *used) : NULL;
    *used += arena_round((size_t)floats * sizeof *at);
    return at;
}

/* Called twice: without memory it only says how much. */
static size_t places(struct stretching *s)
{
    const int64_t bins = stft_bins(&windows), last = s->channels;
    size_t used = arena_round(sizeof s->offset);
    s->x = cut(s, s->offset[SAMPLES][last], &used);
    s->spectra = cut(s, s->offset[FRAMES][last] * bins * 2, &used);
    s->stretched = cut(s, s->offset[STRETCHED][last] * bins * 2, &used);
    s->longer = cut(s, s->offset[LONGER][last], &used);
    s->pitched = cut(s, s->up == s->down ? 0 : s->offset[PITCHED][last], &used);
    return used;
}

static int lay_out(struct stretching *s, int64_t longer)
{
    const struct piece whole = piece_of(NULL, 0);
    const struct resample_params back = {s->up, s->down};
    int64_t lengths[TABLES] = {[SAMPLES] = s->n, [LONGER] = longer};
    lengths[FRAMES] = frame_count(&windows.frame, whole, s->n);
    lengths[STRETCHED] = time_stretch_frames(s->rate[0], lengths[FRAMES]);
    lengths[PITCHED] = resample_count(&back, whole, longer);
    for (int t = 0; t < TABLES; t++)
        for (int64_t c = 0; c <= s->channels; c++)
            s->offset[t][c] = c * lengths[t];
    const int code = exec_memory_allocate(s->ex, places(s), &s->memory);
    if (code)
        return code;
    (void)places(s);
    s->offset_there = exec_device(s->ex) ? s->memory.data : NULL;
    return exec_memory_put(s->ex, s->memory.data, s->offset, sizeof s->offset);
}

static int transform(struct stretching *s)
{
    const int64_t bins = stft_bins(&windows);
    const struct ragged x = rows_of(s, SAMPLES, DTYPE_F32, s->x, 1);
    struct ragged spectra = rows_of(s, FRAMES, DTYPE_C64, s->spectra, bins);
    struct ragged stretched = rows_of(s, STRETCHED, DTYPE_C64, s->stretched, bins);
    struct ragged longer = rows_of(s, LONGER, DTYPE_F32, s->longer, 1);
    struct ragged pitched = rows_of(s, PITCHED, DTYPE_F32, s->pitched, 1);
    int code = stft(s->ex, &windows, &x, &spectra);
    code = code ? code : time_stretch(s->ex, s->rate, &spectra, &stretched);
    code = code ? code : istft(s->ex, &windows, &stretched, &longer);
    if (code || s->up == s->down)
        return code;
    return resample(s->ex, &(struct resample_params){s->up, s->down}, &longer, &pitched);
}

/* x [n][channels] through it, and the first m samples of each channel into y [m][channels]. */
static int run(struct stretching *s, int64_t longer, int64_t m, const float *x, float *y)
{
    const int64_t channels = s->channels, most = s->n > m ? s->n : m;
    float *const rows = malloc((size_t)(most * channels) * sizeof *rows);
    int code = rows ? lay_out(s, longer) : fail(STATUS_NOMEM, "stretch: out of memory");
    for (int64_t i = 0; i < s->n * channels && !code; i++)
        rows[i % channels * s->n + i / channels] = x[i];
    code = code ? code : exec_memory_put(s->ex, s->x, rows, (size_t)(s->n * channels) * sizeof *rows);
    code = code ? code : transform(s);
    const float *const from = s->up == s->down ? s->longer : s->pitched;
    const int64_t row = s->offset[s->up == s->down ? LONGER : PITCHED][1];
    for (int64_t c = 0; c < channels && !code; c++)
        code = exec_memory_get(s->ex, rows + c * m, from + c * row, (size_t)m * sizeof *rows);
    for (int64_t i = 0; i < m * channels && !code; i++)
        y[i] = rows[i % channels * m + i / channels];
    exec_memory_release(&s->memory);
    free(rows);
    return code;
}

static int check(int channels, int64_t n, const float *x, const float *y)
{
    if (channels < 1 || channels > CHANNELS || n < 0 || n > STRETCH_SAMPLES)
        return fail(STATUS_SHAPE, "stretch: %lld samples of %d channels, allowed 0 to 2^24 of 1 or 2", (long long)n,
                    channels);
    return n > 0 && (!x || !y) ? fail(STATUS_ARGUMENT, "stretch: no samples, or no buffer for the result") : STATUS_OK;
}

int stretch_signal(struct exec *ex, double rate, int channels, int64_t n, const float *x, float *y)
{
    const int code = check(channels, n, x, y);
    if (code)
        return code;
    if (!(rate >= 0.25 && rate <= 4))
        return fail(STATUS_ARGUMENT, "stretch: rate %g, allowed 1/4 to 4", rate);
    const int64_t m = stretch_samples(rate, n);
    struct stretching s = {.ex = ex, .rate = {rate, rate}, .up = 1, .down = 1, .n = n, .channels = channels};
    return m == 0 ? STATUS_OK : run(&s, m, m, x, y);
}

int stretch_pitch(struct exec *ex, double semitones, int channels, int64_t n, const float *x, float *y)
{
    const int code = check(channels, n, x, y);
    if (code || n == 0)
        return code;
    if (!(semitones >= -24 && semitones <= 24))
        return fail(STATUS_ARGUMENT, "stretch: %g semitones, allowed -24 to 24", semitones);
    struct stretching s = {.ex = ex, .n = n, .channels = channels};
    stretch_fraction(semitones, &s.up, &s.down);
    s.rate[0] = s.rate[1] = (double)s.down / (double)s.up;
    return run(&s, (n * s.up + s.down - 1) / s.down, n, x, y);
}
