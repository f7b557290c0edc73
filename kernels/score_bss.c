/* BSS Eval: checks, scratch, frames, the order of the estimates. */
#include "score_parts.h"

#include <math.h>
#include <string.h>

static int64_t fft_size(const struct score_bss_params *p)
{
    int64_t n = 1024; /* sixteen times the filter: little is transformed twice, and a block stays in the caches */
    while (n < 16 * (int64_t)p->taps && n < FFT_MOST)
        n *= 2;
    return n;
}

int64_t score_bss_frames(const struct score_bss_params *p, int64_t samples)
{
    if (p->window_samples == 0 || p->window_samples > samples)
        return 1;
    return (samples - p->window_samples) / p->hop_samples + 1;
}

static struct score_slice frame_slice(const struct score_bss_params *p, int64_t samples, int64_t t)
{
    const bool one = p->window_samples == 0 || p->window_samples > samples ||
                     (!p->filters_of_whole && score_bss_frames(p, samples) < 2);
    const int64_t from = one ? 0 : t * p->hop_samples;
    return (struct score_slice){from, one ? samples : from + p->window_samples, 0};
}

int score_bss_check(const struct score_bss_params *p, int32_t channels)
{
    if (p->taps < 1 || p->taps > SCORE_TAPS_MOST)
        return fail(STATUS_ARGUMENT, "score: filters of %d taps, allowed 1 to %d", p->taps, SCORE_TAPS_MOST);
    if (p->sources < 1 || channels < 1 || channels > SCORE_CHANNELS_MOST ||
        (int64_t)p->sources * channels > SCORE_UNKNOWNS_MOST / p->taps)
        return fail(STATUS_ARGUMENT, "score: %d sources of %d channels and %d taps, allowed %d in all", p->sources,
                    channels, p->taps, SCORE_UNKNOWNS_MOST);
    if (p->permute && p->sources > SCORE_PERMUTED_MOST)
        return fail(STATUS_ARGUMENT, "score: the best order of %d sources, at most %d", p->sources,
                    SCORE_PERMUTED_MOST);
    if (p->window_samples < 0 || (p->window_samples > 0 && p->hop_samples < 1))
        return fail(STATUS_ARGUMENT, "score: windows of %lld samples every %lld", (long long)p->window_samples,
                    (long long)p->hop_samples);
    return STATUS_OK;
}

/* The next piece of the scratch, or only its size where there is no scratch yet. */
static void *take(unsigned char *base, size_t *used, int64_t count, size_t bytes)
{
    void *const at = base ? base + *used : NULL;
    *used += ((size_t)count * bytes + 63) / 64 * 64;
    return at;
}

size_t score_lay_out(struct score_work *w, unsigned char *base)
{
    const int64_t taps = w->p.taps, all = w->all, n = all * taps, blocks = (n + SCORE_BLOCK - 1) / SCORE_BLOCK;
    const int64_t between = all * (all + 1) / 2, own = all * w->pairs * w->channels;
    const int64_t correlated = between + all * all, filtered = all * all + own;
    size_t used = 0;
    w->plan = take(base, &used, 1, fft_plan_bytes(w->fft));
    w->fft_work = take(base, &used, 1, fft_work_bytes(w->fft));
    w->time = take(base, &used, 2 * w->fft, sizeof *w->time);
    w->spectra = take(base, &used, 3 * all * w->bins, sizeof *w->spectra);
    w->products = take(base, &used, (correlated > filtered ? correlated : filtered) * w->bins, sizeof *w->products);
    w->filters = w->products; /* products are used up before there are filters */
    w->own = w->filters ? w->filters + all * all * w->bins : NULL;
    w->between = take(base, &used, between * (2 * taps - 1), sizeof *w->between);
    w->with = take(base, &used, all * n, sizeof *w->with);
    w->matrix.data = take(base, &used, SCORE_BLOCK * SCORE_BLOCK * (blocks * (blocks + 1) / 2), sizeof *w->matrix.data);
    w->rhs = take(base, &used, n * all, sizeof *w->rhs);
    w->scratch = take(base, &used, n * all, sizeof *w->scratch);
    w->gain = take(base, &used, all, sizeof *w->gain);
    w->remains = take(base, &used, n, sizeof *w->remains);
    w->order = take(base, &used, n, sizeof *w->order);
    w->sums = take(base, &used, (int64_t)w->p.sources * w->pairs, sizeof *w->sums);
    return used;
}

struct score_work score_shape(const struct score_bss_params *p, int32_t channels)
{
    struct score_work w = {.p = *p, .channels = channels, .all = p->sources * channels, .fft = fft_size(p)};
    w.pairs = p->permute ? p->sources : 1;
    w.bins = w.fft / 2 + 1;
    return w;
}

size_t score_bss_work_bytes(const struct score_bss_params *p, int32_t channels)
{
    if (score_bss_check(p, channels))
        return 0;
    struct score_work w = score_shape(p, channels);
    return score_lay_out(&w, NULL);
}

static bool is_silent(const struct score_signal *x, struct score_slice slice)
{
    for (int64_t i = slice.begin * x->channels; i < slice.end * x->channels; i++)
        if (x->data[i] != 0)
            return false;
    return true;
}

static bool has_silence(const struct score_work *w, struct score_slice slice)
{
    for (int32_t j = 0; j < w->p.sources; j++)
        if (is_silent(&w->reference[j], slice) || is_silent(&w->estimate[j], slice))
            return true;
    return false;
}

static double sir_of(const struct score_sums *s)
{
    return score_decibel(s->filtered, s->interf);
}

void score_result(const struct score_sums *s, int32_t estimate, struct score_bss *y)
{
    *y = (struct score_bss){.sdr = score_decibel(s->truth, s->error),
                            .isr = score_decibel(s->truth, s->spatial),
                            .sir = sir_of(s),
                            .sar = score_decibel(s->all, s->artifact),
                            .sdr_filt = score_decibel(s->filtered, s->rest),
                            .estimate = estimate};
}

struct search {
    const double *sir; /* [estimate][reference] */
    int32_t count, order[SCORE_PERMUTED_MOST], best[SCORE_PERMUTED_MOST];
    bool used[SCORE_PERMUTED_MOST], found;
    double most;
};

/* Tries all estimates that are left for reference j, in order; `sum` is what those before it gave. */
static void place(struct search *x, int32_t j, double sum)
{
    if (j == x->count) {
        if (!x->found || sum > x->most) {
            memcpy(x->best, x->order, sizeof x->best);
            x->most = sum;
            x->found = true;
        }
        return;
    }
    for (int32_t q = 0; q < x->count; q++) {
        if (x->used[q])
            continue;
        x->used[q] = true;
        x->order[j] = q;
        place(x, j + 1, sum + x->sir[q * x->count + j]);
        x->used[q] = false;
    }
}

/* Order of the estimates, the best by the SIR of one frame, or of all that are not silent. */
static void choose_order(struct score_work *w, int64_t samples, int64_t from, int64_t to, int32_t *order)
{
    double sir[SCORE_PERMUTED_MOST * SCORE_PERMUTED_MOST] = {0};
    for (int64_t t = from; t < to; t++) {
        const struct score_slice slice = frame_slice(&w->p, samples, t);
        if (has_silence(w, slice))
            continue;
        score_measure(w, slice);
        for (int32_t i = 0; i < w->p.sources * w->p.sources; i++)
            sir[i] += sir_of(&w->sums[i]);
    }
    struct search x = {.sir = sir, .count = w->p.sources};
    place(&x, 0, 0);
    memcpy(order, x.best, (size_t)w->p.sources * sizeof *order);
}

static void frame_of(struct score_work *w, struct score_slice slice, const int32_t *order, struct score_bss *y)
{
    score_measure(w, slice);
    for (int32_t j = 0; j < w->p.sources; j++) {
        const int32_t q = order ? order[j] : j;
        score_result(&w->sums[q * w->pairs + (w->pairs == 1 ? 0 : j)], q, &y[j]);
    }
}

static void frames_of(struct score_work *w, int64_t samples, struct score_bss *y)
{
    const int64_t frames = score_bss_frames(&w->p, samples);
    const struct score_slice whole = {0, samples, 0};
    int32_t best[SCORE_PERMUTED_MOST], *const order = w->p.permute ? best : NULL;
    const bool once = w->p.filters_of_whole && !has_silence(w, whole);
    if (once) {
        score_correlate(w, whole);
        score_solve(w);
        if (order)
            choose_order(w, samples, 0, frames, order);
    }
    for (int64_t t = 0; t < frames; t++, y += w->p.sources) {
        const struct score_slice slice = frame_slice(&w->p, samples, t);
        if (has_silence(w, slice)) {
            for (int32_t j = 0; j < w->p.sources; j++)
                y[j] = (struct score_bss){NAN, NAN, NAN, NAN, NAN, order && once ? order[j] : j};
            continue;
        }
        if (!once) {
            score_correlate(w, slice);
            score_solve(w);
            if (order)
                choose_order(w, samples, t, t + 1, order);
        }
        frame_of(w, slice, order, y);
    }
}

int score_bss(const struct score_bss_params *p, const struct score_signal *reference,
              const struct score_signal *estimate, void *work, struct score_bss *y)
{
    int code = score_bss_check(p, reference->channels);
    for (int32_t j = 0; !code && j < p->sources; j++) {
        code = score_check("reference", j, &reference[j], reference);
        if (!code)
            code = score_check("estimate", j, &estimate[j], reference);
    }
    if (code)
        return code;
    struct score_work w = score_shape(p, reference->channels);
    score_lay_out(&w, work);
    w.reference = reference;
    w.estimate = estimate;
    code = fft_plan_init(w.plan, w.fft);
    if (code)
        return code;
    frames_of(&w, reference->samples, y);
    return STATUS_OK;
}
