#include "bandwidth.h"
#include "centroid.h"
#include "contrast.h"
#include "flatness.h"
#include "flux.h"
#include "mel.h"
#include "ops.h"
#include "poly.h"
#include "rolloff.h"
#include "spectral_frame.h"
#include "spectrogram.h"
#include "spectrum.h"

#include <math.h>
#include <string.h>

double spectral_power(struct fft_complex z, double power)
{
    const double square = z.re * z.re + z.im * z.im;
    return power == 2 ? square : power == 1 ? sqrt(square) : pow(square, power / 2);
}

static void stft_frame(const struct spectral_frame *f, float *out)
{
    for (int64_t i = 0; i < f->bins; i++) {
        out[2 * i] = (float)f->spectrum[i].re;
        out[2 * i + 1] = (float)f->spectrum[i].im;
    }
}

static spectral_emit *const emit[SPECTRAL_OUTPUTS] = {
    [SPECTRAL_STFT] = stft_frame,
    [SPECTRAL_SPECTROGRAM] = spectrogram_frame,
    [SPECTRAL_MEL] = mel_frame,
    [SPECTRAL_CENTROID] = centroid_frame,
    [SPECTRAL_BANDWIDTH] = bandwidth_frame,
    [SPECTRAL_ROLLOFF] = rolloff_frame,
    [SPECTRAL_FLATNESS] = flatness_frame,
    [SPECTRAL_CONTRAST] = contrast_frame,
    [SPECTRAL_FLUX] = flux_frame,
    [SPECTRAL_POLY] = poly_frame,
};

/* Scratch of one worker. */
struct bench {
    double *samples;               /* [n] of the frame */
    struct fft_complex *spectrum;  /* [F] */
    float *magnitude[2], *scratch; /* [F] */
    void *work;                    /* of the transform */
};

struct batch {
    const struct spectral_params *p;
    const struct spectral_plans *plans;
    const struct ragged *x;
    struct ragged *const *out;
    struct bench *bench; /* per worker */
};

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

size_t spectral_scalar_work_bytes(const struct spectral_params *p)
{
    const size_t n = (size_t)p->stft.frame.window_samples, bins = n / 2 + 1;
    return round_up(n * sizeof(double)) + round_up(bins * sizeof(struct fft_complex)) +
           3 * round_up(bins * sizeof(float)) + round_up(fft_work_bytes((int64_t)n)) + round_up(sizeof(struct bench));
}

static int bench_open(struct arena *a, const struct spectral_params *p, struct bench *b)
{
    const size_t n = (size_t)p->stft.frame.window_samples, bins = n / 2 + 1;
    int code = arena_alloc(a, n * sizeof *b->samples, &b->samples);
    code = code ? code : arena_alloc(a, bins * sizeof *b->spectrum, &b->spectrum);
    for (int i = 0; i < 2 && !code; i++)
        code = arena_alloc(a, bins * sizeof(float), &b->magnitude[i]);
    code = code ? code : arena_alloc(a, bins * sizeof(float), &b->scratch);
    return code ? code : arena_alloc(a, fft_work_bytes((int64_t)n), &b->work);
}

/* The windowed frame that begins at `from`, counted from the row's first sample; false when a sample is not finite. */
static bool load(const struct stft_params *p, const double *window, const float *row, int64_t samples, int64_t from,
                 double *frame)
{
    const int64_t n = p->frame.window_samples;
    const bool reflect = p->pad == PAD_REFLECT;
    double probe = 0; /* becomes NaN with the first NaN or infinity */
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = from + i;
        const bool inside = at >= 0 && at < samples;
        const double v = inside ? row[at] : reflect ? row[frame_reflect(at, samples)] : 0;
        probe += v * 0;
        frame[i] = v * window[i];
    }
    return probe == 0;
}

/* Spectrum and magnitudes of frame t of row b; NaN throughout when a sample is not finite. */
static bool transform(const struct batch *c, const struct bench *s, int64_t b, int64_t t, float *magnitude)
{
    const struct spectrum_plan *const plan = c->plans->stft;
    const struct frame_params *const frame = &c->p->stft.frame;
    const int64_t from = frame_from(frame, piece_of(c->x->piece, b)) + t * frame->hop_samples;
    const float *const row = (const float *)c->x->data + c->x->offset[b];
    const bool finite = load(&c->p->stft, plan->window, row, ragged_length(c->x, b), from, s->samples);
    if (finite)
        fft_real_forward(plan->fft, s->samples, s->spectrum, s->work);
    for (int64_t i = 0; i < stft_bins(&c->p->stft); i++)
        magnitude[i] = finite ? (float)spectral_power(s->spectrum[i], 1) : NAN;
    return finite;
}

static float *place_of(const struct ragged *y, int64_t row, int64_t t)
{
    const int64_t floats = (int64_t)y->channels * (y->dtype == DTYPE_C64 ? 2 : 1);
    return (float *)y->data + (y->offset[row] + t) * floats;
}

static void write_frame(const struct batch *c, const struct spectral_frame *f, bool finite, int64_t row, int64_t t)
{
    for (enum spectral_output o = 0; o < SPECTRAL_OUTPUTS; o++) {
        struct ragged *const y = c->out[o];
        if (!y)
            continue;
        float *const out = place_of(y, row, t);
        if (finite)
            emit[o](f, out);
        else
            for (int64_t i = 0; i < (int64_t)y->channels * (y->dtype == DTYPE_C64 ? 2 : 1); i++)
                out[i] = NAN;
    }
}

static int run_span(void *context, const struct spectral_span *span)
{
    const struct batch *const c = context;
    struct bench *const s = &c->bench[span->worker];
    struct spectral_frame f = {
        .p = c->p, .plans = c->plans, .bins = stft_bins(&c->p->stft), .spectrum = s->spectrum, .scratch = s->scratch};
    const bool begins = piece_of(c->x->piece, span->row).first;
    if (c->out[SPECTRAL_FLUX] && span->first > 0) {
        transform(c, s, span->row, span->first - 1, s->magnitude[1]);
        f.previous = s->magnitude[1];
    }
    for (int64_t i = 0; i < span->count; i++) {
        const int64_t t = span->first + i;
        const bool finite = transform(c, s, span->row, t, s->magnitude[i % 2]);
        f.magnitude = s->magnitude[i % 2];
        f.first = begins && t == 0;
        write_frame(c, &f, finite, span->row, t);
        f.previous = f.magnitude;
    }
    return STATUS_OK;
}

int spectral_cpu(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                 const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS])
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct batch c = {.p = p, .plans = plans, .x = x, .out = out};
    int code = arena_alloc(arena, (size_t)exec_threads(ex) * sizeof *c.bench, &c.bench);
    for (int i = 0; i < exec_threads(ex) && !code; i++)
        code = bench_open(arena, p, &c.bench[i]);
    if (!code)
        code = spectral_spread(ex, x, &p->stft.frame, run_span, &c);
    arena_reset(arena, mark);
    return code;
}
