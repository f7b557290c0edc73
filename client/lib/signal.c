#include "ops.h"
#include "wavemill.h"

#include <stdlib.h>

struct wavemill {
    struct exec *exec;
    int64_t *offsets; /* of samples and of frames, for `rows` equal rows */
    int64_t rows;
};

int wavemill_open(int threads, const char *isa, struct wavemill **out)
{
    *out = NULL;
    enum exec_isa which = isa_best();
    int code = isa ? isa_parse(isa, &which) : STATUS_OK;
    struct wavemill *const w = code ? NULL : calloc(1, sizeof *w);
    if (!code && !w)
        code = fail(STATUS_NOMEM, "out of memory");
    if (!code)
        code = exec_create(&(struct exec_options){.threads = threads, .isa = which, .ops = ops_cpu(which)}, &w->exec);
    if (code)
        free(w);
    else
        *out = w;
    return code;
}

void wavemill_close(struct wavemill **w)
{
    if (!*w)
        return;
    exec_destroy(&(*w)->exec);
    free((*w)->offsets);
    free(*w);
    *w = NULL;
}

const char *wavemill_isa(const struct wavemill *w)
{
    return isa_name(exec_isa(w->exec));
}

struct wavemill_mel wavemill_mel_defaults(double sr)
{
    return (struct wavemill_mel){.spectrum = {.n_fft = 2048, .hop_length = 512, .center = 1},
                                 .sr = sr,
                                 .power = 2,
                                 .top_db = 80,
                                 .n_mels = 128,
                                 .slaney = 1};
}

static struct stft_params stft_of(const struct wavemill_spectrum *p)
{
    return (struct stft_params){.frame = {p->n_fft, p->hop_length, p->center != 0},
                                .win_length = p->win_length,
                                .window = (enum window_kind)p->window,
                                .pad = (enum pad_mode)p->pad_mode};
}

int64_t wavemill_frames(const struct wavemill_spectrum *p, int64_t n)
{
    const struct stft_params s = stft_of(p);
    if (p->n_fft < 1 || p->hop_length < 1 || n < 0)
        return -1;
    return frame_count(&s.frame, (struct piece){0, true, true}, n);
}

/* Equal rows of `from` elements, and of `to` in the result: x and y get their offsets, which stay in the engine. */
static int lay_out(struct wavemill *w, int64_t rows, int64_t from, int64_t to, struct ragged *x, struct ragged *y)
{
    const int64_t most = INT64_C(1) << 31;
    if (rows < 0 || from < 0 || to < 0 || rows > most ||
        (rows > 0 && (from > (INT64_C(1) << 44) / rows || to > (INT64_C(1) << 44) / rows)))
        return fail(STATUS_SHAPE, "%lld rows of %lld", (long long)rows, (long long)from);
    if (rows > w->rows || !w->offsets) {
        int64_t *const more = realloc(w->offsets, 2 * (size_t)(rows + 1) * sizeof *more);
        if (!more)
            return fail(STATUS_NOMEM, "out of memory");
        w->offsets = more;
        w->rows = rows;
    }
    int64_t *const a = w->offsets, *const b = w->offsets + rows + 1;
    for (int64_t i = 0; i <= rows; i++) {
        a[i] = i * from;
        b[i] = i * to;
    }
    x->offset = a;
    y->offset = b;
    x->rows = y->rows = rows;
    x->total = a[rows];
    y->total = b[rows];
    return STATUS_OK;
}

static int run(struct wavemill *w, const struct spectral_params *p, enum spectral_output o, const float *y,
               int64_t rows, int64_t n, struct ragged *out)
{
    struct ragged x = {.data = (void *)(uintptr_t)y, .channels = 1};
    struct ragged *outputs[SPECTRAL_OUTPUTS] = {0};
    const bool sound = p->stft.frame.window_samples > 0 && p->stft.frame.hop_samples > 0 && n >= 0;
    const int64_t frames = sound ? frame_count(&p->stft.frame, (struct piece){0, true, true}, n) : 0;
    out->dtype = o == SPECTRAL_STFT ? DTYPE_C64 : DTYPE_F32;
    out->channels = (int32_t)spectral_channels(p, o);
    outputs[o] = out;
    const int code = lay_out(w, rows, n, frames, &x, out);
    return code ? code : spectral(w->exec, p, &x, outputs); /* which refuses what is not sound */
}

/* NOLINTBEGIN(readability-non-const-parameter): results are written through ragged batches */

int wavemill_stft(struct wavemill *w, const struct wavemill_spectrum *p, const float *y, int64_t rows, int64_t n,
                  float *out)
{
    const struct spectral_params params = {.stft = stft_of(p)};
    struct ragged result = {.data = out};
    return run(w, &params, SPECTRAL_STFT, y, rows, n, &result);
}

int64_t wavemill_istft_samples(const struct wavemill_spectrum *p, int64_t frames)
{
    const struct stft_params s = stft_of(p);
    return p->n_fft < 1 || p->hop_length < 1 || frames < 0 ? -1 : istft_samples(&s, frames);
}

int wavemill_istft(struct wavemill *w, const struct wavemill_spectrum *p, const float *stft, int64_t rows,
                   int64_t frames, int64_t n, float *y)
{
    const struct stft_params params = stft_of(p);
    struct ragged x = {.data = (void *)(uintptr_t)stft, .dtype = DTYPE_C64, .channels = (int32_t)(p->n_fft / 2 + 1)};
    struct ragged out = {.data = y, .channels = 1};
    const int code = lay_out(w, rows, frames, n, &x, &out);
    return code ? code : istft(w->exec, &params, &x, &out);
}

static struct spectral_params mel_of(const struct wavemill_mel *p, bool decibels)
{
    struct spectral_params s = spectral_defaults(p->sr);
    s.stft = stft_of(&p->spectrum);
    s.mel = (struct mel_bands){.mels = p->n_mels,
                               .fmin_hz = p->fmin,
                               .fmax_hz = p->fmax,
                               .htk = p->htk != 0,
                               .slaney_norm = p->slaney != 0,
                               .log = decibels,
                               .power = p->power};
    return s;
}

/* Each row is clipped below its own maximum. */
static int clip(struct wavemill *w, struct ragged *bands, double top_db)
{
    int code = STATUS_OK;
    for (int64_t b = 0; b < bands->rows && !code && top_db >= 0; b++) {
        const int64_t offset[2] = {0, ragged_length(bands, b)};
        struct ragged row = {.data = (float *)bands->data + bands->offset[b] * bands->channels,
                             .channels = bands->channels,
                             .offset = offset,
                             .rows = 1,
                             .total = offset[1]};
        float least;
        code = decibel_peak(w->exec, &row, &least);
        least -= (float)top_db;
        code = code ? code : decibel_clip(w->exec, &row, &least);
    }
    return code;
}

int wavemill_mel(struct wavemill *w, const struct wavemill_mel *p, const float *y, int64_t rows, int64_t n, float *out)
{
    const struct spectral_params params = mel_of(p, p->decibels != 0);
    struct ragged result = {.data = out};
    const int code = run(w, &params, SPECTRAL_MEL, y, rows, n, &result);
    return code || !p->decibels ? code : clip(w, &result, p->top_db);
}

int wavemill_mfcc(struct wavemill *w, const struct wavemill_mel *p, int32_t n_mfcc, double lifter, const float *y,
                  int64_t rows, int64_t n, float *out)
{
    const struct spectral_params params = mel_of(p, true);
    const int64_t frames = wavemill_frames(&p->spectrum, n);
    if (n_mfcc < 1 || n_mfcc > p->n_mels || p->n_mels > 4096)
        return fail(STATUS_ARGUMENT, "mfcc: %d coefficients of %d bands", (int)n_mfcc, (int)p->n_mels);
    const size_t values = rows > 0 && frames > 0 ? (size_t)rows * (size_t)frames * (size_t)p->n_mels : 1;
    struct ragged bands = {.data = malloc(values * sizeof(float))};
    int code = bands.data ? STATUS_OK : fail(STATUS_NOMEM, "mfcc: %zu values", values);
    code = code ? code : run(w, &params, SPECTRAL_MEL, y, rows, n, &bands);
    code = code ? code : clip(w, &bands, p->top_db);
    if (!code) {
        struct ragged result = bands;
        result.data = out;
        result.channels = n_mfcc;
        code = mfcc(w->exec, &(struct mfcc_params){n_mfcc, lifter}, &bands, NULL, &result);
    }
    free(bands.data);
    return code;
}

int64_t wavemill_resample_samples(int64_t orig_sr, int64_t target_sr, int64_t n)
{
    const int64_t most = INT64_C(1) << 30;
    if (orig_sr < 1 || target_sr < 1 || orig_sr > most || target_sr > most || n < 0 || n > INT64_C(1) << 40)
        return -1;
    return resample_count(&(struct resample_params){orig_sr, target_sr}, (struct piece){0, true, true}, n);
}

int wavemill_resample(struct wavemill *w, int64_t orig_sr, int64_t target_sr, const float *y, int64_t rows, int64_t n,
                      float *out)
{
    struct ragged x = {.data = (void *)(uintptr_t)y, .channels = 1}, result = {.data = out, .channels = 1};
    const int64_t samples = wavemill_resample_samples(orig_sr, target_sr, n);
    const int code = lay_out(w, rows, n, samples < 0 ? 0 : samples, &x, &result);
    return code ? code : resample(w->exec, &(struct resample_params){orig_sr, target_sr}, &x, &result);
}

/* NOLINTEND(readability-non-const-parameter) */
