#include "measure.h"
#include "rows.h"
#include "spectral_frame.h"
#include "transform.h"

#include <math.h>

/* Scratch of one worker. */
struct bench {
    void *work;      /* of the transform */
    vf *spectrum;    /* [bins][2]; NULL unless the spectrum itself is asked for */
    vf *power;       /* [bins] */
    vf *magnitude;   /* [bins] */
    vf *values;      /* [bins, or more where an output has more] what is about to be written */
    float *previous; /* [bins] magnitudes of the frame before the next */
    float *rows;     /* [LANES][2*bins, rounded up] of a large result; NULL unless spectra are asked for */
    float *edges;    /* [LANES][n]: frames that reach outside the row */
};

struct batch {
    const struct spectral_params *p;
    const struct spectral_plans *plans;
    const struct ragged *x;
    struct ragged *const *out;
    bool magnitudes, powers, surveyed; /* does an output want them */
    struct bench *bench;
};

/* Frames t + skip .. t + count - 1 of a row, in lanes skip .. count - 1; a skipped one is there for flux only. */
struct lanes {
    int64_t row, t;
    int skip, count;
    uint32_t bad; /* lanes whose frame is not finite */
};

static int64_t most_values(const struct spectral_params *p)
{
    int64_t most = stft_bins(&p->stft) > p->mel.mels ? stft_bins(&p->stft) : p->mel.mels;
    return most > 2 * (CONTRAST_BANDS_MOST + 1) ? most : 2 * (CONTRAST_BANDS_MOST + 1);
}

/* Floats of a row of spectra in scratch. */
static size_t row_floats(size_t bins)
{
    return (2 * bins + LANES - 1) / LANES * LANES;
}

static int bench_open(struct arena *a, const struct spectral_params *p, bool spectrum, bool spectrogram,
                      struct bench *b)
{
    const size_t n = (size_t)p->stft.frame.window_samples, bins = n / 2 + 1;
    int code = arena_alloc(a, SIMD(transform_work_bytes)((int64_t)n), &b->work);
    if (!code && spectrum)
        code = arena_alloc(a, 2 * bins * sizeof(vf), &b->spectrum);
    if (!code && (spectrum || spectrogram))
        code = arena_alloc(a, LANES * row_floats(bins) * sizeof(float), &b->rows);
    code = code ? code : arena_alloc(a, bins * sizeof(vf), &b->power);
    code = code ? code : arena_alloc(a, bins * sizeof(vf), &b->magnitude);
    code = code ? code : arena_alloc(a, (size_t)most_values(p) * sizeof(vf), &b->values);
    code = code ? code : arena_alloc(a, bins * sizeof(float), &b->previous);
    return code ? code : arena_alloc(a, LANES * n * sizeof(float), &b->edges);
}

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

size_t SIMD(spectral_work_bytes)(const struct spectral_params *p)
{
    const size_t n = (size_t)p->stft.frame.window_samples, bins = n / 2 + 1;
    return round_up(SIMD(transform_work_bytes)((int64_t)n)) + round_up(2 * bins * sizeof(vf)) +
           round_up(LANES * row_floats(bins) * sizeof(float)) + 2 * round_up(bins * sizeof(vf)) +
           round_up((size_t)most_values(p) * sizeof(vf)) + round_up(bins * sizeof(float)) +
           round_up(LANES * n * sizeof(float)) + round_up(sizeof(struct bench));
}

/* A frame that reaches outside its row, padded. */
static const float *padded(const struct stft_params *p, const float *row, int64_t samples, int64_t from, float *out)
{
    const bool reflect = p->pad == PAD_REFLECT;
    for (int64_t i = 0; i < p->frame.window_samples; i++) {
        const int64_t at = from + i;
        const bool inside = at >= 0 && at < samples;
        out[i] = inside ? row[at] : reflect ? row[frame_reflect(at, samples)] : 0;
    }
    return out;
}

/* Lanes that hold no frame repeat the last that does. */
static void find_frames(const struct batch *c, const struct bench *s, const struct lanes *l, const float **frame)
{
    const struct frame_params *const f = &c->p->stft.frame;
    const int64_t samples = ragged_length(c->x, l->row);
    const float *const row = (const float *)c->x->data + c->x->offset[l->row];
    int64_t from = frame_from(f, piece_of(c->x->piece, l->row)) + l->t * f->hop_samples;
    for (int i = 0; i < LANES; i++, from += f->hop_samples) {
        if (i >= l->count)
            frame[i] = frame[l->count - 1]; /* there is at least one */
        else if (from >= 0 && from + f->window_samples <= samples)
            frame[i] = row + from;
        else
            frame[i] = padded(&c->p->stft, row, samples, from, s->edges + i * f->window_samples);
    }
}

enum { STREAM_BYTES = 8 << 20 }; /* results larger than this leave the caches before anybody reads them */

/* Results that fit no cache are put together in scratch and go past the caches, a row at a time: written in place they
 * would first be read, and sixteen rows at once. */
static bool write_streaming(const struct bench *s, const struct ragged *y, const struct lanes *l, const vf *v,
                            int64_t count)
{
    float *const out = (float *)y->data + (y->offset[l->row] + l->t) * count;
    const int64_t row = (count + LANES - 1) / LANES * LANES;
    if (!s->rows || y->total * count * (int64_t)sizeof(float) < STREAM_BYTES)
        return false;
    for (int64_t first = 0; first < count; first += LANES) {
        vf block[LANES];
        for (int64_t i = 0; i < LANES; i++)
            block[i] = v[first + i < count ? first + i : count - 1];
        vf_transpose(block);
        for (int i = l->skip; i < l->count; i++)
            vf_store(s->rows + i * row + first, block[i]);
    }
    for (int i = l->skip; i < l->count; i++)
        vf_stream(out + i * count, s->rows + i * row, count);
    return true;
}

/* The columns of v [count] of all lanes that are to be written, as rows of y. */
static void write_columns(const struct ragged *y, const struct lanes *l, const vf *v, int64_t count)
{
    float *const out = (float *)y->data + (y->offset[l->row] + l->t) * count;
    for (int64_t first = 0; first < count; first += LANES) {
        const int64_t n = count - first < LANES ? count - first : LANES;
        vf block[LANES];
        for (int64_t i = 0; i < n; i++)
            block[i] = v[first + i];
        for (int64_t i = n; i < LANES; i++)
            block[i] = vf_set(0);
        vf_transpose(block);
        if (n == LANES)
            for (int i = l->skip; i < l->count; i++)
                vf_store(out + i * count + first, block[i]);
        else
            for (int i = l->skip; i < l->count; i++)
                vf_store_part(out + i * count + first, block[i], n);
    }
}

static void write_value(const struct ragged *y, const struct lanes *l, vf v)
{
    float lanes[LANES];
    vf_store(lanes, v);
    memcpy((float *)y->data + y->offset[l->row] + l->t + l->skip, lanes + l->skip,
           (size_t)(l->count - l->skip) * sizeof *lanes);
}

static void write_nan(const struct ragged *y, const struct lanes *l)
{
    const int64_t floats = (int64_t)y->channels * (y->dtype == DTYPE_C64 ? 2 : 1);
    for (int i = l->skip; i < l->count; i++)
        if (l->bad >> i & 1)
            for (int64_t k = 0; k < floats; k++)
                ((float *)y->data)[(y->offset[l->row] + l->t + i) * floats + k] = NAN;
}

/* Frames before which the row holds none have no change: 0 at the signal's beginning, unknown at a piece's. */
static void write_flux(const struct batch *c, const struct bench *s, const struct measure *m, const struct lanes *l)
{
    const struct ragged *const y = c->out[SPECTRAL_FLUX];
    write_value(y, l, SIMD(measure_flux)(m, s->previous));
    if (l->t + l->skip == 0)
        ((float *)y->data)[y->offset[l->row]] = piece_of(c->x->piece, l->row).first ? 0 : NAN;
    for (int64_t i = 0; i < m->bins; i++)
        s->previous[i] = ((const float *)(m->magnitude + i))[l->count - 1];
}

static void write_outputs(const struct batch *c, const struct bench *s, const struct measure *m, const struct lanes *l)
{
    struct ragged *const *const out = c->out;
    if (s->spectrum) /* which is there when SPECTRAL_STFT is asked for */
        if (!write_streaming(s, out[SPECTRAL_STFT], l, s->spectrum, 2 * m->bins))
            write_columns(out[SPECTRAL_STFT], l, s->spectrum, 2 * m->bins);
    if (out[SPECTRAL_SPECTROGRAM]) {
        const struct spectrogram_params *const g = &c->p->spectrogram;
        SIMD(measure_power)(m, g->db ? 2 : g->power, s->values);
        for (int64_t i = 0; g->db && i < m->bins; i++)
            s->values[i] = vf_decibels(s->values[i]);
        if (!write_streaming(s, out[SPECTRAL_SPECTROGRAM], l, s->values, m->bins))
            write_columns(out[SPECTRAL_SPECTROGRAM], l, s->values, m->bins);
    }
    if (out[SPECTRAL_CENTROID])
        write_value(out[SPECTRAL_CENTROID], l, SIMD(measure_centroid)(m));
    if (out[SPECTRAL_BANDWIDTH])
        write_value(out[SPECTRAL_BANDWIDTH], l, SIMD(measure_bandwidth)(m));
    if (out[SPECTRAL_ROLLOFF])
        write_value(out[SPECTRAL_ROLLOFF], l, SIMD(measure_rolloff)(m));
    if (out[SPECTRAL_FLATNESS])
        write_value(out[SPECTRAL_FLATNESS], l, SIMD(measure_flatness)(m));
    if (out[SPECTRAL_CONTRAST]) {
        SIMD(measure_contrast)(m, s->values);
        write_columns(out[SPECTRAL_CONTRAST], l, s->values, 2 * m->plans->contrast->bands);
    }
    if (out[SPECTRAL_FLUX])
        write_flux(c, s, m, l);
    if (out[SPECTRAL_POLY]) {
        SIMD(measure_poly)(m, s->values);
        write_columns(out[SPECTRAL_POLY], l, s->values, m->plans->poly->order + 1);
    }
}

static void write_mel(const struct batch *c, const struct bench *s, const struct measure *m, const struct lanes *l)
{
    const double power = c->p->mel.power;
    const vf *energy = power == 1 ? s->magnitude : s->power;
    if (power != 1 && power != 2) { /* in place of the transform's scratch, which is free now */
        SIMD(measure_power)(m, power, s->work);
        energy = s->work;
    }
    SIMD(measure_mel)(m, energy, s->values);
    write_columns(c->out[SPECTRAL_MEL], l, s->values, c->p->mel.mels);
}

static void run_lanes(const struct batch *c, struct bench *s, struct lanes *l)
{
    const struct transform_plan *const plan = c->plans->stft;
    struct measure m = {
        .p = c->p, .plans = c->plans, .bins = stft_bins(&c->p->stft), .power = s->power, .magnitude = s->magnitude};
    const float *frame[LANES];
    find_frames(c, s, l, frame);
    if (s->spectrum) {
        l->bad = SIMD(transform_spectrum)(plan, frame, s->spectrum, s->work);
        for (int64_t i = 0; c->powers && i < m.bins; i++)
            s->power[i] = s->spectrum[2 * i] * s->spectrum[2 * i] + s->spectrum[2 * i + 1] * s->spectrum[2 * i + 1];
    } else {
        l->bad = SIMD(transform_power)(plan, frame, s->power, s->work);
    }
    if (c->surveyed)
        m.survey = SIMD(measure_survey)(&m, s->magnitude);
    else if (c->magnitudes)
        for (int64_t i = 0; i < m.bins; i++)
            s->magnitude[i] = vf_sqrt(s->power[i]);
    for (int i = 0; c->magnitudes && l->bad && i < LANES; i++)
        if (l->bad >> i & 1)
            for (int64_t k = 0; k < m.bins; k++)
                ((float *)(s->magnitude + k))[i] = NAN;
    if (c->out[SPECTRAL_MEL])
        write_mel(c, s, &m, l);
    write_outputs(c, s, &m, l);
    for (enum spectral_output o = 0; l->bad && o < SPECTRAL_OUTPUTS; o++)
        if (c->out[o])
            write_nan(c->out[o], l);
}

static int run_span(void *context, const struct spectral_span *span)
{
    const struct batch *const c = context;
    struct bench *const s = &c->bench[span->worker];
    const int64_t end = span->first + span->count;
    const bool lead = c->out[SPECTRAL_FLUX] && span->first > 0; /* the frame before, for its magnitudes */
    struct lanes l = {.row = span->row, .t = span->first - lead, .skip = lead};
    if (c->out[SPECTRAL_FLUX])
        memset(s->previous, 0, (size_t)stft_bins(&c->p->stft) * sizeof *s->previous);
    for (; l.t < end; l.t += LANES, l.skip = 0) {
        l.count = end - l.t < LANES ? (int)(end - l.t) : LANES;
        run_lanes(c, s, &l);
    }
    return STATUS_OK;
}

static bool wants_magnitudes(const struct spectral_params *p, struct ragged *const out[SPECTRAL_OUTPUTS])
{
    return out[SPECTRAL_CENTROID] || out[SPECTRAL_BANDWIDTH] || out[SPECTRAL_ROLLOFF] || out[SPECTRAL_CONTRAST] ||
           out[SPECTRAL_FLUX] || out[SPECTRAL_POLY] || (out[SPECTRAL_MEL] && p->mel.power == 1) ||
           (out[SPECTRAL_SPECTROGRAM] && p->spectrogram.power == 1);
}

int SIMD(spectral)(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                   const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS])
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct batch c = {.p = p, .plans = plans, .x = x, .out = out, .magnitudes = wants_magnitudes(p, out)};
    for (enum spectral_output o = SPECTRAL_SPECTROGRAM; o < SPECTRAL_OUTPUTS; o++)
        c.powers |= out[o] != NULL;
    c.surveyed = out[SPECTRAL_CENTROID] || out[SPECTRAL_BANDWIDTH] || out[SPECTRAL_ROLLOFF] || out[SPECTRAL_FLATNESS];
    int code = arena_alloc(arena, (size_t)exec_threads(ex) * sizeof *c.bench, &c.bench);
    for (int i = 0; i < exec_threads(ex) && !code; i++) {
        c.bench[i] = (struct bench){0};
        code = bench_open(arena, p, out[SPECTRAL_STFT] != NULL, out[SPECTRAL_SPECTROGRAM] != NULL, &c.bench[i]);
    }
    if (!code)
        code = spectral_spread(ex, x, &p->stft.frame, run_span, &c);
    vf_stream_end();
    arena_reset(arena, mark);
    return code;
}
