/* device_check [--backend cuda|emulated] [--samples N] [--own-sizes] - every operation that devices have, on a ragged
 * batch with pieces and an empty row: twice on one exec, with other work in between and into memory that held something
 * else, and once on another exec. All bits must be equal, and the results must be numbers that differ.
 *
 * It never forks, so compute-sanitizer sees all of it. --own-sizes leaves out the sizes that go through cuFFT, whose
 * last batch holds frames that nobody asked for and nobody has written: initcheck would report what is harmless.
 *
 * One line of JSON per case. Exit status: 0, 1 a case fails, 2 usage, 4 no device, 5 anything else. */
#include "batch.h"
#include "network.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, PASSES = 3, NETWORK_SHARE = 16 /* of the samples, which are enough for a segment on a GPU */ };

#define STFT(n, hop, padding) .p = {.stft = {.frame = {(n), (hop), true}, .pad = (padding)}}
#define BANDS(n, hop, padding, count) \
    .p = {.stft = {.frame = {(n), (hop), true}, .pad = (padding)}, \
          .rate_hz = 44100, \
          .mel = {.mels = (count), .slaney_norm = true, .log = true, .power = 2}}
#define MEASURED(n, hop) \
    .p = {.stft = {.frame = {(n), (hop), true}}, \
          .rate_hz = 44100, \
          .spectrogram = {2, true}, \
          .rolloff = 0.85, \
          .contrast = {6, 200, 0.02}, \
          .poly_order = 1}
#define HALF(n) ((n) / 2 + 1)

static const struct gpu_case cases[] = {
    {"stft 2048/512", SPECTRAL_STFT, STFT(2048, 512, PAD_ZERO)},
    {"log-mel 2048/512/128", SPECTRAL_MEL, BANDS(2048, 512, PAD_ZERO, 128)},
    {"log-mel 2048/512/128 of int16", SPECTRAL_MEL, BANDS(2048, 512, PAD_REFLECT, 128), DTYPE_I16},
    {"log-mel 1024/256/40", SPECTRAL_MEL, BANDS(1024, 256, PAD_REFLECT, 40)},
    {"stft 64/16", SPECTRAL_STFT, STFT(64, 16, PAD_REFLECT)},
    {"stft 8192/2000", SPECTRAL_STFT, STFT(8192, 2000, PAD_ZERO)},
    {"spectrogram 2048/512", SPECTRAL_SPECTROGRAM, MEASURED(2048, 512)},
    {"centroid 2048/512", SPECTRAL_CENTROID, MEASURED(2048, 512)},
    {"bandwidth 1024/300", SPECTRAL_BANDWIDTH, MEASURED(1024, 300)},
    {"rolloff 2048/512", SPECTRAL_ROLLOFF, MEASURED(2048, 512)},
    {"flatness 512/128", SPECTRAL_FLATNESS, MEASURED(512, 128)},
    {"contrast 2048/512", SPECTRAL_CONTRAST, MEASURED(2048, 512)},
    {"flux 2048/512", SPECTRAL_FLUX, MEASURED(2048, 512)},
    {"poly 2048/512", SPECTRAL_POLY, MEASURED(2048, 512)},
    {"rms 2048/512", GPU_RMS, STFT(2048, 512, PAD_ZERO)},
    {"peak 2048/512", GPU_PEAK, STFT(2048, 512, PAD_ZERO)},
    {"zero crossings 2048/512", GPU_CROSSING, STFT(2048, 512, PAD_ZERO)},
    {"waveform, 1000", GPU_WAVEFORM, .block = 1000},
    {"waveform, 20000", GPU_WAVEFORM, .block = 20000},
    {"level", .op = GPU_LEVEL},
    {"mixdown of 2", GPU_MIXDOWN, .channels = 2},
    {"mixdown of 11", GPU_MIXDOWN, .channels = 11},
    {"largest decibel", GPU_DECIBEL_PEAK, .channels = 40},
    {"clipped decibels", .op = GPU_DECIBEL_CLIP},
    {"mfcc 20 of 128", GPU_MFCC, .channels = 128, .mfcc = {20, 0}},
    {"statistics of 1", .op = GPU_STATISTICS},
    {"statistics of 40, blocks of 64", GPU_STATISTICS, .channels = 40, .block = 64},
    {"istft 2048/512", GPU_ISTFT, STFT(2048, 512, PAD_ZERO), DTYPE_C64, HALF(2048)},
    {"istft 256/64", GPU_ISTFT, STFT(256, 64, PAD_ZERO), DTYPE_C64, HALF(256)},
    {"hpss 31 x 31 of 257 bins", GPU_HPSS, .dtype = DTYPE_C64, .channels = 257, .hpss = {31, 31, 2, 1, 1}},
    {"time_stretch of 257 bins", GPU_STRETCH, .dtype = DTYPE_C64, .channels = 257, .rate = 1.25},
    {"phase_step", GPU_PHASES, .dtype = DTYPE_C64, .channels = 33},
    {"resample 48000 to 44100", GPU_RESAMPLE, .rates = {48000, 44100}},
    {"resample 96000 to 8000", GPU_RESAMPLE, .rates = {96000, 8000}},
    {"search, 10 of 300", GPU_SEARCH, .search = {300, 70, 128, 10, SEARCH_DOT}},
    {"search, 3 of 5000 by distance", GPU_SEARCH, .search = {5000, 2, 9, 3, SEARCH_L2}},
    {"log-mel 400/160/40", SPECTRAL_MEL, BANDS(400, 160, PAD_ZERO, 40)},
    {"centroid 400/160", SPECTRAL_CENTROID, MEASURED(400, 160)},
    {"stft 1153/300", SPECTRAL_STFT, STFT(1153, 300, PAD_REFLECT)},
    {"istft 400/160", GPU_ISTFT, STFT(400, 160, PAD_ZERO), DTYPE_C64, HALF(400)},
};

static bool is_own_size(const struct gpu_case *c)
{
    const int64_t n = c->p.stft.frame.window_samples;
    return (c->op >= SPECTRAL_OUTPUTS && c->op != GPU_ISTFT) || (n & (n - 1)) == 0;
}

/* Outputs of the spectral row may have no twin on devices; every other row on batches has one. */
static bool is_there(const struct exec *ex, const struct gpu_case *c)
{
    return c->op >= SPECTRAL_OUTPUTS || (exec_ops(ex)->spectral_outputs >> c->op & 1);
}

/* One result on the host; old: what its memory on the device held before. */
static int once(struct exec *ex, const struct gpu_case *c, const struct ragged *host, const void *old, void *out)
{
    struct ragged x, y;
    int64_t offset[ROWS + 1];
    struct ragged shape = gpu_result(c, host, offset);
    shape.data = (void *)(uintptr_t)old;
    int code = batch_to_device(ex, host, &x);
    if (code)
        return code;
    code = batch_to_device(ex, &shape, &y);
    if (!code) {
        code = gpu_run(ex, c, &x, &y);
        const int read = batch_read(ex, &y, 0, batch_bytes(&y), out);
        code = code ? code : read;
        batch_release(ex, &y);
    }
    batch_release(ex, &x);
    return code;
}

/* Levels, whose padding is nobody's. */
static void tidy(const struct gpu_case *c, int64_t rows, void *y)
{
    struct level *const l = y;
    for (int64_t b = 0; b < rows && c->op == GPU_LEVEL; b++) {
        const struct level had = l[b];
        memset(&l[b], 0, sizeof l[b]);
        l[b].sum_squares = had.sum_squares;
        l[b].sum = had.sum;
        l[b].peak = had.peak;
        l[b].first_not_finite = had.first_not_finite;
    }
}

/* Whether they are numbers, more than one. */
static bool plausible(const struct gpu_case *c, const void *result, size_t bytes)
{
    const float *const y = result;
    const struct level *const l = result;
    bool differ = false;
    for (size_t i = 0; i < bytes / sizeof *l && c->op == GPU_LEVEL; i++) {
        if (!isfinite(l[i].sum) || !isfinite(l[i].sum_squares) || l[i].first_not_finite != -1)
            return false;
        differ |= l[i].peak != l[0].peak;
    }
    for (size_t i = 0; i < bytes / sizeof *y && c->op != GPU_LEVEL; i++) {
        if (!isfinite(y[i]))
            return false;
        differ |= y[i] != y[0];
    }
    return differ;
}

static int passes(struct exec *const ex[2], const struct gpu_case *c, const struct ragged *x, int64_t floats, char *y,
                  size_t bytes)
{
    gpu_noise(7, c->dtype, floats, x->data);
    int code = once(ex[0], c, x, NULL, y);
    code = code ? code : once(ex[0], c, x, y, y + bytes);
    gpu_noise(8, c->dtype, floats, x->data); /* other work, and what the third pass finds in its memory */
    code = code ? code : once(ex[1], c, x, NULL, y + 2 * bytes);
    gpu_noise(7, c->dtype, floats, x->data);
    return code ? code : once(ex[1], c, x, y + 2 * bytes, y + 2 * bytes);
}

/* Audio comes in pieces, one of them empty; features and spectra are whole. */
static int check_case(struct exec *const ex[2], const struct gpu_case *c, int64_t samples, bool *failed)
{
    static const struct piece piece[ROWS] = {{0, true, true},         {0, true, true}, {0, true, false},
                                             {1000003, false, false}, {0, true, true}, {99991, false, true}};
    const bool cut = c->channels == 0 && c->op != GPU_STATISTICS && c->op != SPECTRAL_FLUX;
    const int32_t channels = c->channels ? c->channels : 1;
    const int64_t total = samples / channels / (c->dtype == DTYPE_C64 ? 2 : 1), part = total / 5;
    const int64_t empty = cut ? 0 : part / 3 + 1;
    const int64_t offset[ROWS + 1] = {0, part, part + empty, 2 * part + part / 2, 3 * part, 4 * part + 1, total};
    struct ragged x = {.dtype = c->dtype,
                       .channels = channels,
                       .offset = offset,
                       .piece = cut ? piece : NULL,
                       .rows = ROWS,
                       .total = total};
    int64_t *const to = malloc((size_t)(ROWS + 1) * sizeof *to);
    x.data = malloc((size_t)samples * sizeof(float));
    if (!to || !x.data) {
        free(to);
        free(x.data);
        return fail(STATUS_NOMEM, "out of memory");
    }
    const struct ragged shape = gpu_result(c, &x, to);
    const size_t bytes = batch_bytes(&shape);
    char *const y = malloc(PASSES * bytes + 1);
    const int code = y ? passes(ex, c, &x, samples, y, bytes) : fail(STATUS_NOMEM, "out of memory");
    if (!code) {
        for (int i = 0; i < PASSES; i++)
            tidy(c, shape.total, y + (size_t)i * bytes);
        const bool equal = memcmp(y, y + bytes, bytes) == 0 && memcmp(y, y + 2 * bytes, bytes) == 0;
        const bool numbers = plausible(c, y, bytes);
        printf("{\"case\":\"%s\",\"rows\":%lld,\"bytes\":%zu,\"equal\":%s,\"numbers\":%s}\n", c->name,
               (long long)shape.total, bytes, equal ? "true" : "false", numbers ? "true" : "false");
        fflush(stdout);
        *failed |= !equal || !numbers;
    }
    free(x.data);
    free(y);
    free(to);
    return code;
}

/* ---- what networks are made of, without a batch ---- */

static int network_once(struct exec *ex, const char *name, int64_t samples, char **out, size_t *bytes)
{
    struct network *n;
    int code = network_open(&n, ex, name, samples);
    if (code)
        return code;
    *bytes = network_result_bytes(n);
    *out = malloc(*bytes);
    code = *out ? network_run(n) : fail(STATUS_NOMEM, "out of memory");
    if (!code)
        code = network_read(n, *out);
    network_close(&n);
    return code;
}

/* A row that the device has not is none to check. */
static int check_network(struct exec *const ex[2], const char *name, int64_t samples, bool *failed)
{
    static const struct gpu_case floats = {.op = GPU_RMS};
    char *y[PASSES] = {NULL};
    size_t bytes = 0;
    int code = STATUS_OK;
    for (int i = 0; i < PASSES && !code; i++)
        code = network_once(ex[i == 2], name, samples, &y[i], &bytes);
    if (!code) {
        const bool equal = memcmp(y[0], y[1], bytes) == 0 && memcmp(y[0], y[2], bytes) == 0;
        const bool numbers = plausible(&floats, y[0], bytes);
        printf("{\"case\":\"%s\",\"rows\":1,\"bytes\":%zu,\"equal\":%s,\"numbers\":%s}\n", name, bytes,
               equal ? "true" : "false", numbers ? "true" : "false");
        fflush(stdout);
        *failed |= !equal || !numbers;
    }
    for (int i = 0; i < PASSES; i++)
        free(y[i]);
    return code == STATUS_UNSUPPORTED ? STATUS_OK : code;
}

static int run(const char *backend, int64_t samples, bool own_sizes, bool *failed)
{
    struct exec *ex[2] = {NULL, NULL};
    int code = batch_open(backend, &ex[0]);
    code = code ? code : batch_open(backend, &ex[1]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !code; i++)
        if ((!own_sizes || is_own_size(&cases[i])) && is_there(ex[0], &cases[i]))
            code = check_case(ex, &cases[i], samples, failed);
    const char *name;
    for (int i = 0; (name = network_name(i)) && !code; i++)
        code = check_network(ex, name, samples / NETWORK_SHARE, failed);
    exec_destroy(&ex[1]);
    exec_destroy(&ex[0]);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"backend", required_argument, NULL, 'b'},
                                            {"samples", required_argument, NULL, 's'},
                                            {"own-sizes", no_argument, NULL, 'o'},
                                            {0}};
    const char *backend = "cuda";
    int64_t samples = 5000000;
    bool own_sizes = false, failed = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b')
            backend = optarg;
        else if (o == 's')
            samples = strtoll(optarg, NULL, 10);
        else if (o == 'o')
            own_sizes = true;
        else
            return 2;
    }
    if (samples < 50000 || samples > 100000000) { /* first rows must hold half a window of 8192 */
        fprintf(stderr, "device_check: --samples of 50000 to 100000000\n");
        return 2;
    }
    const int code = run(backend, samples, own_sizes, &failed);
    if (code)
        fprintf(stderr, "device_check: %s\n", status_message());
    return code == STATUS_UNSUPPORTED ? 4 : code ? 5 : failed ? 1 : 0;
}
