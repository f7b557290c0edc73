/* A row for every operation, on one hour of stereo or what is made of it on the device, and for the jobs that several
 * operations make: medians by events, what must be moved and computed at least, and the bar where there is one. */
#include "bench.h"
#include "bench_device.h"

#include <math.h>
#include <string.h>

enum {
    N_FFT = 2048,
    BINS = N_FFT / 2 + 1,
    HOP = 512,
    MELS = 128,
    MFCC = 20,
    RATE = 44100,
    CHANNELS = 2,
    WARM = 2,
    ROUNDS_LEAST = 3
};
enum { DIMENSIONS = 128, NEAREST = 10, VECTORS = 100000, QUERIES = 1000 };
static const double ROW_SECONDS = 2.5, CALLS_SECONDS = 1e-3; /* rounds end with these, calls between events begin */

#define FRAMED .stft = {.frame = {N_FFT, HOP, true}}, .rate_hz = RATE
#define MEASURED \
    .p = {FRAMED,          .spectrogram = {2, false},  .mel = {MELS, 0, 0, false, true, true, 2}, \
          .rolloff = 0.85, .contrast = {6, 200, 0.02}, .poly_order = 1}

enum source { SAMPLES, STEREO, AT_48000, SPECTRA, BANDS };

struct row {
    struct gpu_case c;
    enum source source; /* rows of one source lie together: it is made once */
    const char *what;
    double bar; /* on an H200 */
};

static const struct row rows[] = {
    {{"spectrogram", SPECTRAL_SPECTROGRAM, MEASURED}, SAMPLES, "", 0},
    {{"centroid", SPECTRAL_CENTROID, MEASURED}, SAMPLES, "", 0},
    {{"bandwidth", SPECTRAL_BANDWIDTH, MEASURED}, SAMPLES, "", 0},
    {{"rolloff", SPECTRAL_ROLLOFF, MEASURED}, SAMPLES, "", 0},
    {{"flatness", SPECTRAL_FLATNESS, MEASURED}, SAMPLES, "", 0},
    {{"contrast", SPECTRAL_CONTRAST, MEASURED}, SAMPLES, "", 0},
    {{"flux", SPECTRAL_FLUX, MEASURED}, SAMPLES, "", 0},
    {{"poly", SPECTRAL_POLY, MEASURED}, SAMPLES, "", 0},
    {{"zero_crossing", GPU_CROSSING, MEASURED}, SAMPLES, "", 0},
    {{"waveform", GPU_WAVEFORM, .block = 256}, SAMPLES, "blocks of 256", 0},
    {{"level", .op = GPU_LEVEL}, SAMPLES, "", 0},
    {{"search1", GPU_SEARCH, .search = {.queries = 1}}, SAMPLES, "", 60e-6},
    {{"search", GPU_SEARCH, .search = {.queries = QUERIES}}, SAMPLES, "", 1.5e-3},
    {{"mixdown", GPU_MIXDOWN, .channels = CHANNELS}, STEREO, "", 0},
    {{"resample", GPU_RESAMPLE, .rates = {48000, RATE}}, AT_48000, "48,000 to 44,100 Hz", 3e-3},
    {{"istft", GPU_ISTFT, MEASURED, .channels = BINS}, SPECTRA, "", 0},
    {{"hpss", GPU_HPSS, .dtype = DTYPE_C64, .channels = BINS, .hpss = {31, 31, 2, 1, 1}}, SPECTRA, "31 x 31", 40e-3},
    {{"time_stretch", GPU_STRETCH, .dtype = DTYPE_C64, .channels = BINS, .rate = 1.25}, SPECTRA, "at 5/4", 0},
    {{"phase_step", GPU_PHASES, .dtype = DTYPE_C64, .channels = BINS}, SPECTRA, "of a third of the spectra", 0},
    {{"mfcc", GPU_MFCC, .channels = MELS, .mfcc = {MFCC, 0}}, BANDS, "20 of 128 bands", 0},
    {{"statistics", GPU_STATISTICS, .channels = MELS}, BANDS, "of 128 bands", 0},
    {{"decibel_peak", GPU_DECIBEL_PEAK, .channels = MELS}, BANDS, "of 128 bands", 0},
    {{"decibel_clip", GPU_DECIBEL_CLIP, .channels = MELS}, BANDS, "of 128 bands, in place", 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

void bench_begin(const struct bench_device *d, const struct bench_figures *f)
{
    printf(
        "{\"row\":\"%s\",\"what\":\"%s\",\"seconds\":%.9g,\"least\":%.9g,\"most\":%.9g,\"bytes\":%.0f,\"flops\":%.0f",
        f->name, f->what, f->seconds, f->least, f->most, f->bytes, f->flops);
    if (d->copy_rate > 0 && d->flop_rate > 0) {
        const double memory = f->bytes / d->copy_rate, arithmetic = f->flops / d->flop_rate;
        printf(",\"floor_memory\":%.9g,\"floor_arithmetic\":%.9g,\"share\":%.4g", memory, arithmetic,
               fmax(memory, arithmetic) / f->seconds);
    }
    if (d->info.copy_gbps > 0)
        printf(",\"share_of_datasheet\":%.4g", f->bytes / f->seconds / (1e9 * d->info.copy_gbps));
    if (f->bar > 0)
        printf(",\"bar\":%.9g", f->bar);
    if (f->bar > 0 && d->full)
        printf(",\"reached\":%s", f->seconds <= f->bar ? "true" : "false");
}

/* ---- one row ---- */

struct call {
    struct bench_device *d;
    const struct gpu_case *c;
    struct ragged x, y;
};

static int run_call(void *context)
{
    struct call *const k = context;
    if (k->c->op == GPU_DECIBEL_CLIP) /* alone, and in place; floors: what is there, as many as there are rows */
        return decibel_clip(k->d->ex, &k->x, k->d->x.data);
    return gpu_run(k->d->ex, k->c, &k->x, &k->y);
}

int bench_measure(struct bench_device *d, int (*body)(void *), void *context, struct bench_figures *f)
{
    const int calls = d->calls;
    const double began = bench_now();
    double seconds[ROUNDS_MOST] = {0}, warm = 0;
    int done = 0, code = STATUS_OK;
    for (int r = 0; r < WARM && !code; r++)
        code = bench_clock(d, body, context, &warm);
    if (calls > 1 && warm * calls < CALLS_SECONDS)
        d->calls = 10 * calls;
    while (done < d->rounds && !code && (done < ROUNDS_LEAST || bench_now() - began < ROW_SECONDS))
        code = bench_clock(d, body, context, &seconds[done++]);
    d->calls = calls;
    if (!code) {
        f->seconds = bench_median(seconds, done);
        f->least = seconds[0];
        f->most = seconds[done - 1];
    }
    return code;
}

void bench_end(const struct bench_device *d, const struct bench_figures *f)
{
    bench_begin(d, f);
    printf("}\n");
    fflush(stdout);
}

static void run_row(struct bench_device *d, const struct row *row, const struct ragged *x)
{
    struct gpu_case c = row->c;
    struct call k = {.d = d, .c = &c, .x = *x};
    int64_t offset[CHANNELS + 1];
    if (c.op == GPU_SEARCH) { /* the signal cut into vectors */
        const int64_t whole = d->x.total / DIMENSIONS, many = d->small && c.search.queries > 1 ? 10 : c.search.queries;
        const int64_t vectors = whole - many < VECTORS ? whole - many : VECTORS;
        c.search = (struct search_params){vectors, many, DIMENSIONS, NEAREST, SEARCH_DOT};
    }
    char what[80];
    snprintf(what, sizeof what, "%d of %lld x %d, %lld at once", (int)c.search.k, (long long)c.search.vectors,
             (int)c.search.dimensions, (long long)c.search.queries);
    struct ragged shape = gpu_result(&c, x, offset);
    struct bench_figures f = {.name = c.name,
                              .what = c.op == GPU_SEARCH ? what : row->what,
                              .bytes = gpu_bytes(&c, x, &shape),
                              .flops = gpu_flops(&c, x, &shape)};
    f.bar = row->bar;
    if (c.op == GPU_DECIBEL_CLIP)
        shape.channels = 1; /* nothing is written there */
    int code = batch_to_device(d->ex, &shape, &k.y);
    if (!code) {
        code = bench_measure(d, run_call, &k, &f);
        batch_release(d->ex, &k.y);
    }
    if (code)
        bench_not_run(c.name, status_message());
    else
        bench_end(d, &f);
}

/* ---- what the rows are measured on ---- */

struct input {
    struct ragged x;
    int64_t offset[CHANNELS + 1];
    bool borrowed; /* the data are those of the samples */
};

/* The samples as one row of as many channels as there are rows. */
static int make_stereo(struct bench_device *d, struct input *in)
{
    struct ragged shape = {.channels = 1, .offset = in->offset, .rows = 1, .total = 1};
    in->offset[0] = 0;
    in->offset[1] = 1;
    int code = batch_to_device(d->ex, &shape, &in->x);
    if (code)
        return code;
    const int64_t offset[2] = {0, d->x.total / CHANNELS};
    code = exec_device_api(d->ex)->copy_in(exec_stream(d->ex), (void *)(uintptr_t)in->x.offset_device, offset,
                                           sizeof offset);
    const int waited = exec_device_api(d->ex)->stream_wait(exec_stream(d->ex));
    exec_device_api(d->ex)->release(exec_device(d->ex), in->x.data);
    memcpy(in->offset, offset, sizeof offset);
    in->borrowed = true;
    in->x.data = d->x.data;
    in->x.channels = CHANNELS;
    in->x.total = offset[1];
    return code ? code : waited;
}

static int make_input(struct bench_device *d, enum source source, struct input *in)
{
    static const struct gpu_case made[] = {[AT_48000] = {"input", GPU_RESAMPLE, .rates = {RATE, 48000}},
                                           [SPECTRA] = {"input", SPECTRAL_STFT, MEASURED},
                                           [BANDS] = {"input", SPECTRAL_MEL, MEASURED}};
    *in = (struct input){.x = d->x, .borrowed = true};
    if (source == SAMPLES)
        return STATUS_OK;
    if (source == STEREO)
        return make_stereo(d, in);
    const struct ragged shape = gpu_result(&made[source], &d->x, in->offset);
    in->borrowed = false;
    int code = batch_to_device(d->ex, &shape, &in->x);
    if (code)
        return code;
    code = gpu_run(d->ex, &made[source], &d->x, &in->x);
    const int waited = exec_device_api(d->ex)->stream_wait(exec_stream(d->ex));
    return code ? code : waited;
}

static void release_input(struct bench_device *d, enum source source, struct input *in)
{
    if (in->borrowed)
        in->x.data = NULL;
    if (source != SAMPLES)
        batch_release(d->ex, &in->x);
}

/* ---- the default analysis, without decoding: one transform for all that is spectral, statistics of everything ---- */

enum { FEATURES = 10 };

struct analysis {
    struct bench_device *d;
    struct ragged y[FEATURES], described[FEATURES];
};

static const struct gpu_case features[FEATURES] = {
    {"mel", SPECTRAL_MEL, MEASURED},
    {"centroid", SPECTRAL_CENTROID, MEASURED},
    {"bandwidth", SPECTRAL_BANDWIDTH, MEASURED},
    {"rolloff", SPECTRAL_ROLLOFF, MEASURED},
    {"flatness", SPECTRAL_FLATNESS, MEASURED},
    {"contrast", SPECTRAL_CONTRAST, MEASURED},
    {"rms", GPU_RMS, MEASURED},
    {"peak", GPU_PEAK, MEASURED},
    {"zero_crossing", GPU_CROSSING, MEASURED},
    {"mfcc", GPU_MFCC, .channels = MELS, .mfcc = {MFCC, 0}}, /* of the first */
};

static int analyse(void *context)
{
    struct analysis *const a = context;
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    for (int i = 0; i < FEATURES; i++)
        if (features[i].op < SPECTRAL_OUTPUTS)
            out[features[i].op] = &a->y[i];
    int code = spectral(a->d->ex, &features[0].p, &a->d->x, out);
    for (int i = 0; i < FEATURES && !code; i++)
        if (features[i].op >= SPECTRAL_OUTPUTS)
            code = gpu_run(a->d->ex, &features[i], features[i].op == GPU_MFCC ? &a->y[0] : &a->d->x, &a->y[i]);
    for (int i = 0; i < FEATURES && !code; i++)
        code = statistics(a->d->ex, &a->y[i], 0, a->described[i].data);
    return code;
}

static void run_analysis(struct bench_device *d)
{
    static const char name[] = "default analysis";
    static const struct gpu_case transform = {"stft", SPECTRAL_STFT, MEASURED};
    static int64_t offset[FEATURES][CHANNELS + 1], rows_of[FEATURES][CHANNELS + 1];
    struct analysis a = {.d = d};
    struct bench_figures f = {.name = name, .what = "ten features and their statistics", .bar = 6e-3};
    int code = STATUS_OK;
    f.bytes = (double)batch_bytes(&d->x);
    for (int i = 0; i < FEATURES && !code; i++) {
        const struct ragged *const x = features[i].op == GPU_MFCC ? &a.y[0] : &d->x;
        const struct ragged y = gpu_result(&features[i], x, offset[i]);
        const struct gpu_case statistics_of = {"statistics", GPU_STATISTICS, .channels = y.channels};
        const struct ragged described = gpu_result(&statistics_of, &y, rows_of[i]);
        code = batch_to_device(d->ex, &y, &a.y[i]);
        code = code ? code : batch_to_device(d->ex, &described, &a.described[i]);
        f.bytes += 2 * (double)batch_bytes(&y) + (double)batch_bytes(&described); /* written, and read to describe */
        f.flops += gpu_flops(&features[i], x, &y) + gpu_flops(&statistics_of, &y, &described);
        if (i > 0 && features[i].op < SPECTRAL_OUTPUTS) /* all share one transform */
            f.flops -= gpu_flops(&transform, x, &y) + (double)(3 * BINS * y.total);
    }
    code = code ? code : bench_measure(d, analyse, &a, &f);
    for (int i = 0; i < FEATURES; i++) {
        batch_release(d->ex, &a.y[i]);
        batch_release(d->ex, &a.described[i]);
    }
    if (code)
        bench_not_run(name, status_message());
    else
        bench_end(d, &f);
}

void bench_rows(struct bench_device *d)
{
    struct input in;
    for (int i = 0; i < ROWS;) {
        const enum source source = rows[i].source;
        const int code = make_input(d, source, &in);
        for (; i < ROWS && rows[i].source == source; i++)
            if (code)
                bench_not_run(rows[i].c.name, status_message());
            else
                run_row(d, &rows[i], &in.x);
        release_input(d, source, &in);
    }
    run_analysis(d);
}
