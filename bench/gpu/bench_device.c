/* bench_device --baseline LIBRARY [--backend cuda|emulated] [--samples N] [--rounds R] [--calls C] - how long the
 * operations take on a device, with their input there, beside the baseline of baseline.h: alternating, by events,
 * several calls between two events so that launching hides behind running. Then every other operation alone, what the
 * device can do at best, copies from the host, and launches.
 *
 * One line of JSON per measurement, written as soon as it is there; {"row":..,"not_run":..} where there is none.
 * Exit status: 0, 2 usage, 4 no device, 5 nothing could be measured. */
#include "bench_device.h"

#include "baseline.h"
#include "bench.h"
#include "module.h"

#include <dlfcn.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_FFT = 2048, HOP = 512, MELS = 128, RATE = 44100, CHANNELS = 2, WARM = 2, CHUNK = 4096, PROBED = 64 };

#define FRAMED .stft = {.frame = {N_FFT, HOP, true}}

/* What has a baseline, or is so simple that torch has it in a line. The others: bench_rows.c. */
static const struct gpu_case cases[] = {
    {"log-mel", SPECTRAL_MEL, .p = {FRAMED, .rate_hz = RATE, .mel = {MELS, 0, 0, false, true, true, 2}}},
    {"stft", SPECTRAL_STFT, .p = {FRAMED}},
    {"rms", GPU_RMS, .p = {FRAMED}},
    {"peak", GPU_PEAK, .p = {FRAMED}},
};
enum { CASES = sizeof cases / sizeof *cases };
static const double bars[CASES] = {2e-3, 1.75e-3, 0, 0}; /* seconds, for one hour of stereo on an H200 */

struct sides { /* one case on both sides */
    struct bench_device *d;
    const struct gpu_case *c;
    struct ragged y;
    double ours[ROUNDS_MOST], whole[ROUNDS_MOST], chunked[ROUNDS_MOST];
    double difference; /* relative L2 between both results; NaN: not compared */
};

void bench_not_run(const char *row, const char *why)
{
    printf("{\"row\":\"%s\",\"not_run\":\"", row);
    for (; *why; why++)
        if (*why == '"' || *why == '\\')
            printf("\\%c", *why);
        else if ((unsigned char)*why >= ' ')
            putchar(*why);
    printf("\"}\n");
    fflush(stdout);
}

int bench_clock(struct bench_device *d, int (*body)(void *), void *context, double *seconds)
{
    const struct device_api *const api = d->api;
    int code = api->event_record(d->from, exec_stream(d->ex));
    for (int i = 0; i < d->calls && !code; i++)
        code = body(context);
    code = code ? code : api->event_record(d->to, exec_stream(d->ex));
    code = code ? code : api->event_wait(d->to);
    code = code ? code : api->event_elapsed(d->from, d->to, seconds);
    *seconds /= d->calls;
    return code;
}

static int call(void *context)
{
    struct sides *const s = context;
    return gpu_run(s->d->ex, s->c, &s->d->x, &s->y);
}

/* ---- beside the baseline ---- */

static bool has_baseline(const struct sides *s)
{
    return s->d->baseline && (s->c->op == SPECTRAL_MEL || s->c->op == SPECTRAL_STFT);
}

static int baseline_fails(const struct bench_device *d)
{
    return fail(STATUS_INTERNAL, "baseline: %s", d->baseline_api->message());
}

/* Frames from the beginning, the seam of the rows and the end. */
static int compare(struct sides *s)
{
    const bool bands = s->c->op == SPECTRAL_MEL;
    const int64_t frames = s->y.total, floats = bands ? MELS : N_FFT + 2;
    const int64_t count = frames < PROBED ? frames : PROBED, from[] = {0, (frames - count) / 2, frames - count};
    const size_t bytes = (size_t)(count * floats) * sizeof(float);
    float *const a = malloc(bytes), *const b = malloc(bytes);
    double square = 0, wrong = 0;
    int code = a && b ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (int i = 0; i < 3 && !code; i++) {
        code = batch_read(s->d->ex, &s->y, (size_t)(from[i] * floats) * sizeof(float), bytes, a);
        if (!code && s->d->baseline_api->read(s->d->baseline, bands, from[i], count, b))
            code = baseline_fails(s->d);
        for (int64_t k = 0; k < count * floats && !code; k++) {
            square += (double)a[k] * a[k];
            wrong += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
        }
    }
    s->difference = sqrt(wrong / square);
    free(a);
    free(b);
    return code;
}

static int measure(struct sides *s)
{
    struct bench_device *const d = s->d;
    const bool bands = s->c->op == SPECTRAL_MEL, both = has_baseline(s);
    const int64_t most = both ? d->baseline_api->frames_most(d->baseline) : 0;
    s->difference = NAN;
    for (int r = -WARM; r < d->rounds; r++) {
        double ours = 0, whole = 0, chunked = 0;
        const int code = bench_clock(d, call, s, &ours);
        if (code)
            return code;
        if (both && (d->baseline_api->run(d->baseline, bands, most < CHUNK ? most : CHUNK, d->calls, &chunked) ||
                     d->baseline_api->run(d->baseline, bands, most, d->calls, &whole)))
            return baseline_fails(d);
        if (r >= 0) {
            s->ours[r] = ours;
            s->whole[r] = whole;
            s->chunked[r] = chunked;
        }
    }
    return both ? compare(s) : STATUS_OK;
}

/* ---- limits ---- */

static void print_case(struct sides *s)
{
    const struct bench_device *const d = s->d;
    const struct bench_figures f = {.name = s->c->name,
                                    .what = "",
                                    .seconds = bench_median(s->ours, d->rounds),
                                    .least = s->ours[0],
                                    .most = s->ours[d->rounds - 1],
                                    .bytes = gpu_bytes(s->c, &d->x, &s->y),
                                    .flops = gpu_flops(s->c, &d->x, &s->y),
                                    .bar = bars[s->c - cases]};
    bench_begin(d, &f);
    printf(",\"frames\":%lld", (long long)s->y.total);
    if (has_baseline(s)) {
        const double whole = bench_median(s->whole, d->rounds), chunked = bench_median(s->chunked, d->rounds);
        printf(",\"baseline\":%.9g,\"baseline_chunked\":%.9g,\"difference\":%.3g", whole, chunked, s->difference);
    }
    printf("}\n");
    fflush(stdout);
}

static void run_case(struct bench_device *d, const struct gpu_case *c)
{
    static struct sides s;
    int64_t offset[CHANNELS + 1];
    const struct ragged shape = gpu_result(c, &d->x, offset);
    s.d = d;
    s.c = c;
    int code = batch_to_device(d->ex, &shape, &s.y);
    if (!code) {
        code = measure(&s);
        if (!code)
            print_case(&s);
        batch_release(d->ex, &s.y);
    }
    if (code)
        bench_not_run(c->name, status_message());
}

static void measure_limits(struct bench_device *d)
{
    const bool tiny = d->small;
    const struct baseline_api *const b = d->baseline_api;
    if (!b) {
        bench_not_run("limits", d->baseline_why);
        return;
    }
    if (b->copy_rate(tiny ? 1 << 16 : (uint64_t)1 << 30, tiny ? 2 : 20, &d->copy_rate) ||
        b->flop_rate(tiny ? 1 : 32 * d->info.multiprocessors, tiny ? 16 : 1 << 14, tiny ? 2 : 20, &d->flop_rate)) {
        d->copy_rate = d->flop_rate = 0;
        bench_not_run("limits", b->message());
        return;
    }
    printf("{\"row\":\"limits\",\"copy_bytes_per_s\":%.4g,\"flops_per_s\":%.4g}\n", d->copy_rate, d->flop_rate);
    fflush(stdout);
}

/* ---- set-up ---- */

static void print_device(const struct bench_device *d)
{
    printf("{\"row\":\"device\",\"name\":\"%s\",\"capability\":\"%d.%d\",\"multiprocessors\":%d,\"memory_bytes\":%llu,"
           "\"copy_gbps\":%.4g,\"driver\":%d,\"runtime\":%d,\"targets\":\"%s\",\"samples\":%lld,\"channels\":%d,"
           "\"rounds\":%d,\"calls\":%"
           "d}\n",
           d->info.name, d->info.major, d->info.minor, d->info.multiprocessors,
           (unsigned long long)d->info.memory_bytes, d->info.copy_gbps, d->info.driver_version, d->info.runtime_version,
           d->targets, (long long)(d->x.total / CHANNELS), CHANNELS, d->rounds, d->calls);
    fflush(stdout);
}

static int open_device(struct bench_device *d, const char *backend)
{
    const struct module *module = NULL;
    int code = batch_open(backend, &d->ex);
    if (code)
        return code;
    code = module_load(exec_backend(d->ex), &module);
    if (code)
        return code;
    const struct device_api *const api = module->device;
    d->api = api;
    d->targets = module->targets;
    code = api->describe(0, &d->info);
    code = code ? code : api->event_create(exec_device(d->ex), &d->from);
    return code ? code : api->event_create(exec_device(d->ex), &d->to);
}

/* Both sides get the same samples. */
static int make_input(struct bench_device *d, int64_t samples, float *x, const int64_t *offset)
{
    const struct ragged host = {
        .data = x, .channels = 1, .offset = offset, .rows = CHANNELS, .total = CHANNELS * samples};
    if (!x)
        return fail(STATUS_NOMEM, "out of memory: %lld samples", (long long)(CHANNELS * samples));
    gpu_noise(1, DTYPE_F32, CHANNELS * samples, x);
    return batch_to_device(d->ex, &host, &d->x);
}

/* The largest result of ours lies beside it, and not every byte is to be had: hence what it leaves. */
static void open_baseline(struct bench_device *d, const char *path, int64_t samples, const float *x)
{
    void *const library = dlopen(path, RTLD_NOW | RTLD_LOCAL),
                *symbol = library ? dlsym(library, BASELINE_SYMBOL) : NULL;
    baseline_function *function = NULL;
    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast from data to code */
    if (!function) {
        snprintf(d->baseline_why, sizeof d->baseline_why, "no baseline: %s", dlerror());
        return;
    }
    const int64_t frames = samples / HOP + 1;
    const uint64_t spectra = (uint64_t)(CHANNELS * frames) * (N_FFT + 2) * sizeof(float);
    const uint64_t used = 2 * (uint64_t)(CHANNELS * samples) * sizeof(float) + spectra + d->info.memory_bytes / 16;
    const struct baseline_params p = {
        N_FFT,    HOP,     MELS, RATE,
        CHANNELS, samples, x,    d->info.memory_bytes > used ? (d->info.memory_bytes - used) / 4 * 3 : 0};
    d->baseline_api = function();
    if (d->baseline_api->open(&p, &d->baseline)) {
        snprintf(d->baseline_why, sizeof d->baseline_why, "%s", d->baseline_api->message());
        d->baseline = NULL;
    }
}

static int run(struct bench_device *d, const char *backend, const char *baseline, int64_t samples)
{
    const int64_t offset[CHANNELS + 1] = {0, samples, 2 * samples};
    int code = open_device(d, backend);
    float *const x = code ? NULL : malloc((size_t)(CHANNELS * samples) * sizeof *x);
    code = code ? code : make_input(d, samples, x, offset);
    if (!code) {
        print_device(d);
        open_baseline(d, baseline, samples, x);
        measure_limits(d);
        if (!d->baseline)
            bench_not_run("baseline", d->baseline_why);
        for (int i = 0; i < CASES; i++)
            run_case(d, &cases[i]);
        if (d->baseline) /* its memory is needed now */
            d->baseline_api->close(&d->baseline);
        bench_rows(d);
        bench_networks(d);
        batch_release(d->ex, &d->x);
        bench_copies(d);
        bench_launches(d);
    }
    free(x);
    if (d->api) {
        d->api->event_destroy(&d->from);
        d->api->event_destroy(&d->to);
    }
    exec_destroy(&d->ex);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"backend", required_argument, NULL, 'b'}, {"baseline", required_argument, NULL, 'l'},
        {"samples", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
        {"calls", required_argument, NULL, 'c'},   {0}};
    static struct bench_device d = {.rounds = 21, .calls = 4};
    const char *backend = "cuda", *baseline = "";
    int64_t samples = (int64_t)RATE * 3600;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'b':
            backend = optarg;
            break;
        case 'l':
            baseline = optarg;
            break;
        case 's':
            samples = strtoll(optarg, NULL, 10);
            break;
        case 'r':
            d.rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 'c':
            d.calls = (int)strtol(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (samples < N_FFT || samples > INT64_C(1) << 30 || d.rounds < 1 || d.rounds > ROUNDS_MOST || d.calls < 1) {
        fprintf(stderr, "bench_device: %d to 2^30 samples, 1 to %d rounds, calls from 1 on\n", N_FFT, ROUNDS_MOST);
        return 2;
    }
    d.small = samples < 1 << 20;
    d.full = samples == (int64_t)RATE * 3600;
    const int code = run(&d, backend, baseline, samples);
    if (code)
        fprintf(stderr, "bench_device: %s\n", status_message());
    return code == STATUS_UNSUPPORTED ? 4 : code ? 5 : 0;
}
