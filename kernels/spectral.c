#include "spectral.h"

#include "contrast.h"
#include "mel.h"
#include "ops.h"
#include "poly.h"
#include "rolloff.h"
#include "spectral_frame.h"
#include "spectrogram.h"
#include "spectrum.h"

static const char *const names[SPECTRAL_OUTPUTS] = {"stft",    "spectrogram", "mel",      "centroid", "bandwidth",
                                                    "rolloff", "flatness",    "contrast", "flux",     "poly"};

const char *spectral_name(enum spectral_output o)
{
    return names[o];
}

bool spectral_params_equal(const struct spectral_params *a, const struct spectral_params *b)
{
    const struct stft_params *const s = &a->stft, *const t = &b->stft;
    const struct mel_bands *const m = &a->mel, *const n = &b->mel;
    const bool frames = s->frame.window_samples == t->frame.window_samples &&
                        s->frame.hop_samples == t->frame.hop_samples && s->frame.centred == t->frame.centred &&
                        s->win_length == t->win_length && s->window == t->window && s->pad == t->pad;
    const bool bands = m->mels == n->mels && m->fmin_hz == n->fmin_hz && m->fmax_hz == n->fmax_hz && m->htk == n->htk &&
                       m->slaney_norm == n->slaney_norm && m->log == n->log && m->power == n->power;
    return frames && bands && a->rate_hz == b->rate_hz && a->spectrogram.power == b->spectrogram.power &&
           a->spectrogram.db == b->spectrogram.db && a->rolloff == b->rolloff &&
           a->contrast.bands == b->contrast.bands && a->contrast.fmin_hz == b->contrast.fmin_hz &&
           a->contrast.quantile == b->contrast.quantile && a->poly_order == b->poly_order;
}

static bool needs_rate(enum spectral_output o)
{
    return o == SPECTRAL_MEL || o == SPECTRAL_CENTROID || o == SPECTRAL_BANDWIDTH || o == SPECTRAL_ROLLOFF ||
           o == SPECTRAL_CONTRAST || o == SPECTRAL_POLY;
}

static int check_own(const struct spectral_params *p, enum spectral_output o)
{
    if (needs_rate(o) && !(p->rate_hz > 0 && p->rate_hz <= 1e9))
        return fail(STATUS_ARGUMENT, "%s: rate of %g Hz, allowed above 0 to 1e9", names[o], p->rate_hz);
    switch (o) {
    case SPECTRAL_SPECTROGRAM:
        return spectrogram_check(p);
    case SPECTRAL_MEL:
        return mel_check(p);
    case SPECTRAL_ROLLOFF:
        return rolloff_check(p);
    case SPECTRAL_CONTRAST:
        return contrast_check(p);
    case SPECTRAL_POLY:
        return poly_check(p);
    default:
        return STATUS_OK;
    }
}

static int check(const struct exec *ex, const struct spectral_params *p, const struct ragged *x,
                 struct ragged *const out[SPECTRAL_OUTPUTS])
{
    int code = STATUS_OK;
    for (enum spectral_output o = 0; o < SPECTRAL_OUTPUTS && !code; o++) {
        if (!out[o])
            continue;
        code = check_own(p, o);
        code = code ? code
                    : spectrum_check(names[o], &p->stft, x, out[o], o == SPECTRAL_STFT ? DTYPE_C64 : DTYPE_F32,
                                     spectral_channels(p, o), exec_backend(ex) != BACKEND_CPU);
    }
    return code;
}

/* Plans of what is asked for. Each is kept in exec's cache under its own parameters. */
static int make_plans(struct exec *ex, const struct spectral_params *p, struct ragged *const out[SPECTRAL_OUTPUTS],
                      struct spectral_plans *plans)
{
    const struct ops *const ops = exec_ops(ex);
    const struct stft_key stft_key = spectrum_key(&p->stft);
    const void *plan;
    int code = exec_plan(ex, ops->stft_plan, &stft_key, &plans->stft);
    if (!code && out[SPECTRAL_MEL]) {
        const struct mel_key key = mel_key(p);
        code = exec_plan(ex, ops->mel_plan, &key, &plan);
        plans->mel = code ? NULL : plan;
    }
    if (!code && out[SPECTRAL_CONTRAST]) {
        const struct contrast_key key = contrast_key(p);
        code = exec_plan(ex, ops->contrast_plan, &key, &plan);
        plans->contrast = code ? NULL : plan;
    }
    if (!code && out[SPECTRAL_POLY]) {
        const struct poly_key key = {p->stft.frame.window_samples, p->rate_hz, p->poly_order};
        code = exec_plan(ex, ops->poly_plan, &key, &plan);
        plans->poly = code ? NULL : plan;
    }
    return code;
}

size_t spectral_work_bytes(const struct exec *ex, const struct spectral_params *p)
{
    return exec_ops(ex)->spectral_work_bytes(p);
}

int spectral(struct exec *ex, const struct spectral_params *p, const struct ragged *x,
             struct ragged *const out[SPECTRAL_OUTPUTS])
{
    struct spectral_plans plans = {0};
    int code = check(ex, p, x, out);
    for (enum spectral_output o = 0; o < SPECTRAL_OUTPUTS && !code; o++)
        if (out[o] && !(exec_ops(ex)->spectral_outputs >> o & 1))
            code = fail(STATUS_UNSUPPORTED, "%s: not on %s", names[o], backend_name(exec_backend(ex)));
    code = code ? code : make_plans(ex, p, out, &plans);
    return code ? code : OPS_CALL(ex, spectral, ex, p, &plans, x, out);
}

int stft(struct exec *ex, const struct stft_params *p, const struct ragged *x, struct ragged *y)
{
    const struct spectral_params params = {.stft = *p};
    struct ragged *out[SPECTRAL_OUTPUTS] = {[SPECTRAL_STFT] = y};
    return spectral(ex, &params, x, out);
}

struct spread {
    const struct ragged *x;
    const struct frame_params *frame;
    int64_t frames; /* of the whole batch */
    int workers;
    int (*body)(void *context, const struct spectral_span *span);
    void *context;
};

/* The part of worker i: frames [frames*i/workers, frames*(i+1)/workers) of the batch, row by row. */
static int spread_part(void *context, int64_t i)
{
    const struct spread *const s = context;
    const int64_t begin = s->frames * i / s->workers, end = s->frames * (i + 1) / s->workers;
    int code = STATUS_OK;
    for (int64_t b = 0, at = 0; b < s->x->rows && at < end && !code; b++) {
        const int64_t count = frame_count(s->frame, piece_of(s->x->piece, b), ragged_length(s->x, b));
        const int64_t lo = begin > at ? begin - at : 0, hi = end - at < count ? end - at : count;
        if (lo < hi)
            code = s->body(s->context, &(struct spectral_span){b, lo, hi - lo, (int)i});
        at += count;
    }
    return code;
}

int spectral_spread(struct exec *ex, const struct ragged *x, const struct frame_params *frame,
                    int (*body)(void *context, const struct spectral_span *span), void *context)
{
    struct spread s = {.x = x, .frame = frame, .workers = exec_threads(ex), .body = body, .context = context};
    for (int64_t b = 0; b < x->rows; b++)
        s.frames += frame_count(frame, piece_of(x->piece, b), ragged_length(x, b));
    return s.workers == 1 ? spread_part(&s, 0) : exec_parallel(ex, s.workers, spread_part, &s);
}
