#include "separated.h"

#include "exec.h"
#include "networks.h"
#include "separation.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_FRAMES = 8192, ENCODE_FRAMES = 32768, CHANNELS = SEPARATION_CHANNELS };

static const double SILENT_RMS = 1e-5, MOST_DB = 120;

int separated_open(struct separated *s, const struct plan *plan, const struct spool *spool)
{
    *s = (struct separated){.plan = plan, .spool = spool};
    s->mixture = malloc(BLOCK_FRAMES * CHANNELS * sizeof *s->mixture);
    s->signals = malloc((size_t)ENCODE_FRAMES * CHANNELS * (size_t)plan->outputs * sizeof *s->signals);
    return s->mixture && s->signals ? STATUS_OK : fail(STATUS_NOMEM, "separate: out of memory");
}

void separated_close(struct separated *s)
{
    free(s->mixture);
    free(s->signals);
    s->mixture = s->signals = NULL;
}

/* Frames of lanes `from` to `to`, x [frames][stems][2] from the first of them on. Inlined, so that for all lanes these
 * are constants. */
__attribute__((always_inline)) static inline void take_lanes(struct separated *s, const float *x, const float *mixture,
                                                             float *signals, int from, int to)
{
    const struct plan *const p = s->plan;
    const int64_t width = (int64_t)p->stems * CHANNELS, outputs = (int64_t)p->outputs * CHANNELS;
    double rest[SEPARATED_LANES];
    for (int i = from; i < to; i++)
        rest[i] = (double)mixture[i - from];
    for (int i = from; i < to; i++)
        s->sums.mixture_square[i] += rest[i] * rest[i];
    for (int k = 0; k < p->stems; k++)
        for (int i = from; i < to; i++)
            rest[i] -= (double)x[(i - from) / CHANNELS * width + k * CHANNELS + i % CHANNELS];
    for (int i = from; i < to; i++)
        s->sums.residual_square[i] += rest[i] * rest[i];
    for (int o = 0; o < p->outputs; o++) {
        float sum[SEPARATED_LANES] = {0};
        for (uint32_t left = p->output[o].stems; left; left &= left - 1) {
            const float *const stem = x + __builtin_ctz(left) * CHANNELS;
            for (int i = from; i < to; i++)
                sum[i] += stem[(i - from) / CHANNELS * width + i % CHANNELS];
        }
        for (int i = from; i < to; i++) {
            const float size = fabsf(sum[i]); /* a NaN is found by its square */
            s->sums.output[o].square[i] += (double)sum[i] * (double)sum[i];
            s->sums.output[o].with_mixture[i] += (double)sum[i] * (double)mixture[i - from];
            s->sums.output[o].peak[i] = size > s->sums.output[o].peak[i] ? size : s->sums.output[o].peak[i];
            signals[(i - from) / CHANNELS * outputs + o * CHANNELS + i % CHANNELS] = sum[i];
        }
    }
}

/* Frame by frame up to the first that is a multiple of SEPARATED_FRAMES, then that many at once. */
static void take_block(struct separated *s, const float *x, int64_t frames)
{
    const int64_t width = (int64_t)s->plan->stems * CHANNELS, outputs = (int64_t)s->plan->outputs * CHANNELS;
    for (int64_t i = 0; i < frames;) {
        const int lane = (int)((s->emitted + i) % SEPARATED_FRAMES) * CHANNELS;
        const float *const mixture = s->mixture + i * CHANNELS;
        if (lane == 0 && frames - i >= SEPARATED_FRAMES) {
            take_lanes(s, x + i * width, mixture, s->signals + i * outputs, 0, SEPARATED_LANES);
            i += SEPARATED_FRAMES;
        } else {
            take_lanes(s, x + i * width, mixture, s->signals + i * outputs, lane, lane + CHANNELS);
            i++;
        }
    }
}

static double all_lanes(const double sums[SEPARATED_LANES])
{
    double all = 0;
    for (int i = 0; i < SEPARATED_LANES; i++)
        all += sums[i];
    return all;
}

static float peak_of(const struct separated *s, int output)
{
    float most = 0;
    for (int i = 0; i < SEPARATED_LANES; i++)
        most = s->sums.output[output].peak[i] > most ? s->sums.output[output].peak[i] : most;
    return most;
}

static int check_finite(const struct separated *s)
{
    bool finite = isfinite(all_lanes(s->sums.residual_square));
    for (int o = 0; o < s->plan->outputs; o++)
        finite = finite && isfinite(all_lanes(s->sums.output[o].square));
    if (finite)
        return STATUS_OK;
    return fail(STATUS_FORMAT, "%.80s gives numbers that are not finite near frame %" PRId64 " of this file",
                s->plan->model, s->emitted);
}

int separated_take(struct separated *s, const float *stems, int64_t frames)
{
    const int64_t width = (int64_t)s->plan->stems * CHANNELS;
    if (frames > s->spool->frames - s->emitted)
        return fail(STATUS_INTERNAL, "separate: more frames come out than went in");
    for (int64_t at = 0; at < frames;) {
        const int64_t n = frames - at < BLOCK_FRAMES ? frames - at : BLOCK_FRAMES;
        int code = spool_get_mixture(s->spool, s->emitted, s->mixture, n);
        if (code)
            return code;
        take_block(s, stems + at * width, n);
        code = check_finite(s);
        code = code ? code : spool_put(s->spool, s->emitted, s->signals, n);
        if (code)
            return code;
        s->emitted += n;
        at += n;
    }
    return STATUS_OK;
}

/* ---- encoding ---- */

struct encoding {
    struct separated *s;
    const struct separate_settings *settings;
    struct audio_writer *writers[BAG_STEMS_MOST];
    float *plain; /* [outputs][ENCODE_FRAMES][2] */
    int64_t frames;
    void (*progress)(void *context, double part);
    void *context;
    double part;
};

static int write_output(void *context, int64_t o)
{
    const struct encoding *const e = context;
    const int outputs = e->s->plan->outputs;
    float *const x = e->plain + o * ENCODE_FRAMES * CHANNELS;
    for (int64_t i = 0; i < e->frames; i++)
        memcpy(x + i * CHANNELS, e->s->signals + (i * outputs + o) * CHANNELS, CHANNELS * sizeof *x);
    audio_clip(e->settings->clip, audio_clip_divisor(e->settings->clip, peak_of(e->s, o)), x,
               (size_t)e->frames * CHANNELS);
    return audio_write(e->writers[o], x, e->frames);
}

static void wait_alive(void *context)
{
    const struct encoding *const e = context;
    if (e->progress)
        e->progress(e->context, e->part);
}

static int write_block(struct encoding *e, struct networks *threads, int64_t at)
{
    const struct demucs_alive alive = {wait_alive, e};
    int code = spool_get(e->s->spool, at, e->s->signals, e->frames);
    if (code)
        return code;
    code = exec_parallel(networks_begin_turn(threads, &alive), e->s->plan->outputs, write_output, e);
    networks_end_turn(threads);
    return code;
}

int separated_encode(struct separated *s, const struct separate_settings *settings, int64_t rate_hz, const int *fds,
                     struct networks *threads, void (*progress)(void *context, double part), void *context)
{
    struct encoding e = {.s = s, .settings = settings, .progress = progress, .context = context};
    e.plain = malloc((size_t)s->plan->outputs * ENCODE_FRAMES * CHANNELS * sizeof *e.plain);
    int code = e.plain ? STATUS_OK : fail(STATUS_NOMEM, "separate: out of memory");
    for (int o = 0; o < s->plan->outputs && !code; o++)
        code = audio_write_open(fds[o], &settings->format, (int)rate_hz, CHANNELS, s->spool->frames, &e.writers[o]);
    for (int64_t at = 0; at < s->spool->frames && !code; at += e.frames) {
        const int64_t left = s->spool->frames - at;
        e.frames = left < ENCODE_FRAMES ? left : ENCODE_FRAMES;
        code = write_block(&e, threads, at);
        e.part = (double)(at + e.frames) / (double)s->spool->frames;
        if (progress)
            progress(context, e.part);
    }
    for (int o = 0; o < s->plan->outputs; o++) {
        if (!e.writers[o])
            continue;
        if (!code)
            code = audio_write_close(&e.writers[o]);
        else if (audio_write_close(&e.writers[o])) /* the first reason is the one that counts */
            continue;
    }
    free(e.plain);
    return code;
}

/* ---- measures ---- */

/* Where a sample is cut off on its way into the file. */
static double limit_of(const struct separate_settings *s)
{
    if (s->clip == AUDIO_CLIP_CLAMP)
        return 0.99;
    const bool coded = s->format.container == AUDIO_MP3 || s->format.container == AUDIO_OGG;
    const bool holds_all = coded || s->format.sample == AUDIO_FLOAT32;
    return s->clip == AUDIO_CLIP_RESCALE || (holds_all && s->format.rounding == AUDIO_ROUND_NEAREST) ? INFINITY : 1;
}

void separated_measure(const struct separated *s, int output, const struct separate_settings *settings,
                       struct separated_measures *out)
{
    const double square = all_lanes(s->sums.output[output].square), mixture = all_lanes(s->sums.mixture_square);
    const double with = all_lanes(s->sums.output[output].with_mixture);
    out->peak = (double)peak_of(s, output);
    out->rms = s->spool->frames ? sqrt(square / (double)(s->spool->frames * CHANNELS)) : 0;
    out->si_sdr_db = NAN;
    if (square > 0 && mixture > 0) {
        const double of_mixture = with * with / mixture, other = square - of_mixture;
        out->si_sdr_db = of_mixture <= 0 ? -MOST_DB : other <= 0 ? MOST_DB : 10 * log10(of_mixture / other);
        out->si_sdr_db = fmax(-MOST_DB, fmin(MOST_DB, out->si_sdr_db));
    }
    out->verdict = out->rms < SILENT_RMS ? "silent" : out->peak > limit_of(settings) ? "clipped" : "ok";
}

double separated_residual(const struct separated *s)
{
    return s->spool->frames ? sqrt(all_lanes(s->sums.residual_square) / (double)(s->spool->frames * CHANNELS)) : 0;
}
