/* The operations that are measured, with what arithmetic and memory allow at best. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_FFT = 2048, HOP = 512, MELS = 128, MFCC = 20, TO_RATE = 44100 };

static struct spectral_params params(const struct signal *s)
{
    struct spectral_params p = spectral_defaults(s->rate_hz);
    p.mel.log = true;
    return p;
}

static int64_t frames(const struct signal *s)
{
    const struct frame_params f = {N_FFT, HOP, true};
    return frame_count(&f, (struct piece){0, true, true}, s->count);
}

static int64_t bins(void)
{
    return N_FFT / 2 + 1;
}

/* Window, real transform (2.5 n log2 n) and squares of every frame. */
static double transform_flops(const struct signal *s)
{
    return (double)frames(s) * (N_FFT + 2.5 * N_FFT * log2(N_FFT) + 3.0 * (double)bins());
}

static double samples_bytes(const struct signal *s)
{
    return (double)s->count * sizeof(float);
}

static int one_output(struct exec *ex, const struct signal *s, enum spectral_output o, void *output)
{
    const struct spectral_params p = params(s);
    const int64_t xo[2] = {0, s->count}, yo[2] = {0, frames(s)};
    const struct ragged x = {.data = s->samples, .channels = 1, .offset = xo, .rows = 1, .total = s->count};
    struct ragged y = {.data = output,
                       .dtype = o == SPECTRAL_STFT ? DTYPE_C64 : DTYPE_F32,
                       .channels = (int32_t)spectral_channels(&p, o),
                       .offset = yo,
                       .rows = 1,
                       .total = yo[1]};
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    out[o] = &y;
    return spectral(ex, &p, &x, out);
}

static int run_stft(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return one_output(ex, s, SPECTRAL_STFT, output);
}

static size_t spectrum_bytes(const struct signal *s)
{
    return (size_t)(frames(s) * bins()) * 2 * sizeof(float);
}

static double stft_bytes(const struct signal *s)
{
    return samples_bytes(s) + (double)spectrum_bytes(s);
}

static int run_logmel(struct exec *ex, const struct signal *s, void *output, void *input)
{
    const int64_t offset[2] = {0, frames(s)};
    struct ragged y = {.data = output, .channels = MELS, .offset = offset, .rows = 1, .total = offset[1]};
    float peak = 0;
    (void)input;
    int code = one_output(ex, s, SPECTRAL_MEL, output);
    code = code ? code : decibel_peak(ex, &y, &peak);
    peak -= 80;
    return code ? code : decibel_clip(ex, &y, &peak);
}

static size_t mel_bytes(const struct signal *s)
{
    return (size_t)(frames(s) * (MELS + MFCC)) * sizeof(float);
}

static double logmel_flops(const struct signal *s)
{
    return transform_flops(s) + (double)frames(s) * 4.0 * (double)bins(); /* a bin lies in two bands at most */
}

static double logmel_bytes(const struct signal *s)
{
    return samples_bytes(s) + (double)(frames(s) * MELS) * sizeof(float);
}

static int run_mfcc(struct exec *ex, const struct signal *s, void *output, void *input)
{
    const int64_t offset[2] = {0, frames(s)};
    struct ragged x = {.data = output, .channels = MELS, .offset = offset, .rows = 1, .total = offset[1]}, y = x;
    y.data = (float *)output + frames(s) * MELS;
    y.channels = MFCC;
    const int code = run_logmel(ex, s, output, input);
    return code ? code : mfcc(ex, &(struct mfcc_params){MFCC, 0}, &x, NULL, &y);
}

static double mfcc_flops(const struct signal *s)
{
    return logmel_flops(s) + (double)frames(s) * 2.0 * MELS * MFCC;
}

static int run_centroid(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return one_output(ex, s, SPECTRAL_CENTROID, output);
}

static int run_contrast(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return one_output(ex, s, SPECTRAL_CONTRAST, output);
}

static int framed(struct exec *ex, const struct signal *s, void *output, bool crossings)
{
    const struct frame_params f = {N_FFT, HOP, true};
    const int64_t xo[2] = {0, s->count}, yo[2] = {0, frames(s)};
    const struct ragged x = {.data = s->samples, .channels = 1, .offset = xo, .rows = 1, .total = s->count};
    struct ragged y = {.data = output, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
    return crossings ? zero_crossing(ex, &f, &x, &y) : rms(ex, &f, &x, &y);
}

static int run_rms(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return framed(ex, s, output, false);
}

static int run_zcr(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return framed(ex, s, output, true);
}

static double framed_flops(const struct signal *s)
{
    return (double)frames(s) * 2 * N_FFT;
}

static size_t few_bytes(const struct signal *s)
{
    return (size_t)frames(s) * 16 * sizeof(float);
}

static int make_spectrum(struct exec *ex, const struct signal *s, void **input)
{
    *input = malloc(spectrum_bytes(s) + sizeof(float));
    return *input ? run_stft(ex, s, *input, NULL) : fail(STATUS_NOMEM, "out of memory");
}

static int run_istft(struct exec *ex, const struct signal *s, void *output, void *input)
{
    const struct stft_params p = params(s).stft;
    const int64_t xo[2] = {0, frames(s)}, yo[2] = {0, istft_samples(&p, frames(s))};
    const struct ragged x = {
        .data = input, .dtype = DTYPE_C64, .channels = (int32_t)bins(), .offset = xo, .rows = 1, .total = xo[1]};
    struct ragged y = {.data = output, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
    return istft(ex, &p, &x, &y);
}

static size_t signal_bytes(const struct signal *s)
{
    return (size_t)(s->count + N_FFT) * sizeof(float);
}

static int run_hpss(struct exec *ex, const struct signal *s, void *output, void *input)
{
    const int64_t offset[2] = {0, frames(s)};
    const struct ragged x = {.data = input,
                             .dtype = DTYPE_C64,
                             .channels = (int32_t)bins(),
                             .offset = offset,
                             .rows = 1,
                             .total = offset[1]};
    struct ragged h = x, p = x;
    h.data = output;
    p.data = (char *)output + spectrum_bytes(s);
    return hpss(ex, &(struct hpss_params){31, 31, 2, 1, 1}, &x, &h, &p);
}

static size_t twice_spectrum_bytes(const struct signal *s)
{
    return 2 * spectrum_bytes(s);
}

/* Two medians of 31 by exchange of one value in a row that is in order: 30 steps of four operations each. */
static double hpss_flops(const struct signal *s)
{
    return (double)(frames(s) * bins()) * (2.0 * 30 * 4 + 20);
}

static double hpss_bytes(const struct signal *s)
{
    return 3.0 * (double)spectrum_bytes(s);
}

static int run_resample(struct exec *ex, const struct signal *s, void *output, void *input)
{
    const struct resample_params p = {s->rate_hz, TO_RATE};
    const struct piece whole = {0, true, true};
    const int64_t xo[2] = {0, s->count}, yo[2] = {0, resample_count(&p, whole, s->count)};
    const struct ragged x = {.data = s->samples, .channels = 1, .offset = xo, .rows = 1, .total = s->count};
    struct ragged y = {.data = output, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
    (void)input;
    return resample(ex, &p, &x, &y);
}

static double resample_flops(const struct signal *s)
{
    const struct resample_params p = {s->rate_hz, TO_RATE};
    const struct resample_key k = resample_key(&p);
    return 2.0 * (double)resample_taps(&k) * (double)s->count * TO_RATE / s->rate_hz;
}

static double twice_samples_bytes(const struct signal *s)
{
    return 2 * samples_bytes(s);
}

/* The signal cut into vectors, and queries that lie half a vector off. */
enum { DIMENSIONS = 128, NEAREST = 10, QUERIES = 1000 };

static struct search_params search_of(const struct signal *s, int64_t queries)
{
    const int64_t whole = s->count / DIMENSIONS, vectors = whole < 100000 ? whole : 100000;
    return (struct search_params){vectors, queries < vectors ? queries : vectors - 1, DIMENSIONS, NEAREST, SEARCH_DOT};
}

static int searched(struct exec *ex, const struct signal *s, int64_t queries, void *output)
{
    const struct search_params p = search_of(s, queries);
    int64_t *const index = output;
    return search(ex, &p, s->samples, s->samples + DIMENSIONS / 2, index, (float *)(index + p.queries * p.k));
}

static int run_search(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return searched(ex, s, QUERIES, output);
}

static int run_search_one(struct exec *ex, const struct signal *s, void *output, void *input)
{
    (void)input;
    return searched(ex, s, 1, output);
}

static size_t search_bytes(const struct signal *s)
{
    (void)s;
    return (size_t)QUERIES * NEAREST * (sizeof(int64_t) + sizeof(float));
}

static double search_flops(const struct signal *s)
{
    const struct search_params p = search_of(s, QUERIES);
    return 2.0 * (double)p.vectors * (double)p.queries * DIMENSIONS;
}

static double search_one_flops(const struct signal *s)
{
    return 2.0 * (double)search_of(s, 1).vectors * DIMENSIONS;
}

const struct case_ bench_cases[] = {
    {"stft",
     "complex spectra",
     44100,
     {"librosa", "torch"},
     run_stft,
     spectrum_bytes,
     NULL,
     transform_flops,
     stft_bytes},
    {"istft",
     "signal from spectra",
     44100,
     {"librosa", "torch"},
     run_istft,
     signal_bytes,
     make_spectrum,
     transform_flops,
     stft_bytes},
    {"logmel",
     "128 mel bands in dB",
     44100,
     {"librosa", "torch"},
     run_logmel,
     mel_bytes,
     NULL,
     logmel_flops,
     logmel_bytes},
    {"mfcc", "20 cepstral coefficients", 44100, {"librosa"}, run_mfcc, mel_bytes, NULL, mfcc_flops, logmel_bytes},
    {"centroid",
     "spectral centroid",
     44100,
     {"librosa"},
     run_centroid,
     few_bytes,
     NULL,
     transform_flops,
     samples_bytes},
    {"contrast",
     "spectral contrast",
     44100,
     {"librosa"},
     run_contrast,
     few_bytes,
     NULL,
     transform_flops,
     samples_bytes},
    {"rms", "RMS per frame", 44100, {"librosa"}, run_rms, few_bytes, NULL, framed_flops, samples_bytes},
    {"zcr", "zero crossings per frame", 44100, {"librosa"}, run_zcr, few_bytes, NULL, framed_flops, samples_bytes},
    {"hpss",
     "harmonic and percussive spectra",
     44100,
     {"librosa"},
     run_hpss,
     twice_spectrum_bytes,
     make_spectrum,
     hpss_flops,
     hpss_bytes},
    {"resample",
     "48 to 44.1 kHz",
     48000,
     {"soxr", "libsamplerate"},
     run_resample,
     signal_bytes,
     NULL,
     resample_flops,
     twice_samples_bytes},
    {"search",
     "10 nearest of 100,000 x 128, 1,000 queries",
     44100,
     {"numpy"},
     run_search,
     search_bytes,
     NULL,
     search_flops,
     samples_bytes},
    {"search1",
     "10 nearest of 100,000 x 128, one query",
     44100,
     {"numpy"},
     run_search_one,
     search_bytes,
     NULL,
     search_one_flops,
     samples_bytes},
};
const int bench_case_count = sizeof bench_cases / sizeof *bench_cases;
