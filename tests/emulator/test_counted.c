/* What kernels ask of memory, counted access by access: device memory in whole
 * sectors, shared memory without conflicts but for those that the kernels' comments state. */
#include "device.h"
#include "device_batch.h"
#include "emulator.h"
#include "module.h"
#include "ops.h"
#include "subject.h"

#include <dlfcn.h>

static size_t (*sites)(const struct emulator_site **);
static void (*sites_clear)(void);
static void (*place_of)(const void *, char *, size_t);

static struct exec *counted_exec(void)
{
    struct exec *const ex = subject_exec();
    void *const module = dlopen(module_path(BACKEND_EMULATED), RTLD_NOW | RTLD_NOLOAD);
    REQUIRE(module);
    *(void **)&sites = dlsym(module, "emulator_sites");
    *(void **)&sites_clear = dlsym(module, "emulator_sites_clear");
    *(void **)&place_of = dlsym(module, "emulator_place_of");
    REQUIRE(sites && sites_clear && place_of);
    sites_clear();
    return ex;
}

struct tally {
    uint64_t global, global_least, shared, shared_least;
};

/* Adds up all places of the kernels that ran, and prints those that ask for more than they need. Sectors: one more per
 * request is alignment; what is more is a stride. */
static struct tally add_up(bool *coalesced)
{
    const struct emulator_site *site;
    const size_t n = sites(&site);
    struct tally t = {0};
    *coalesced = true;
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++) {
        const struct emulator_site *const s = &site[i];
        uint64_t *const moved = s->shared ? &t.shared : &t.global, *const least =
                                                                       s->shared ? &t.shared_least : &t.global_least;
        *moved += s->moved;
        *least += s->least;
        const bool strided = !s->shared && s->moved > s->least + s->requests;
        *coalesced &= !strided;
        if (strided || (s->shared && s->moved > s->least)) {
            char place[512];
            place_of(s->address, place, sizeof place);
            printf("    %s %s %s of %d bytes: %llu for %llu, %llu requests, %s\n", s->kernel,
                   s->shared ? "shared" : "device", s->write ? "write" : "read", s->bytes, (unsigned long long)s->moved,
                   (unsigned long long)s->least, (unsigned long long)s->requests, place);
        }
    }
    return t;
}

static const struct {
    int op;
    int64_t n, hop;
    double conflicts; /* most passes over the banks, per pass that is needed */
    const char *reason;
} cases[] = {
    {SPECTRAL_STFT, 64, 16, 1.45, "frames of a half-warp lie hop apart in the tile"},
    {SPECTRAL_STFT, 128, 32, 1.75, "the same"},
    {SPECTRAL_STFT, 256, 64, 1.25, "the same"},
    {SPECTRAL_STFT, 512, 128, 1.0, "none"},
    {SPECTRAL_STFT, 1024, 256, 1.0, "none"},
    {SPECTRAL_STFT, 2048, 512, 1.0, "none"},
    {SPECTRAL_STFT, 2048, 511, 1.15, "odd hop: samples one at a time, every second bank"},
    {SPECTRAL_STFT, 4096, 1024, 1.0, "none"},
    {SPECTRAL_STFT, 8192, 2048, 1.0, "none"},
    {SPECTRAL_STFT, 400, 160, 1.0, "cuFFT's size: no shared memory"},
    {SPECTRAL_MEL, 512, 128, 1.25, "bands begin where they begin"},
    {SPECTRAL_MEL, 2048, 512, 1.2, "the same"},
    {SPECTRAL_MEL, 8192, 2048, 1.5, "the same"},
    {SPECTRAL_MEL, 400, 160, 1.0, "a warp per band"},
    {SPECTRAL_FLUX, 64, 16, 1.35, "samples, as in the spectrum"},
    {SPECTRAL_FLUX, 2048, 512, 1.0, "none"},
    {SPECTRAL_FLUX, 8192, 2048, 1.0, "none, from round to round"},
    {SPECTRAL_FLUX, 400, 160, 1.0, "both spectra in whole sectors"},
    {SPECTRAL_POLY, 64, 16, 1.3, "samples, as in the spectrum"},
    {SPECTRAL_POLY, 2048, 512, 1.0, "none"},
    {SPECTRAL_POLY, 400, 160, 1.0, "none"},
    {SUBJECT_RMS, 2048, 512, 1.0, "no shared memory"},
    {SUBJECT_PEAK, 2048, 512, 1.0, "no shared memory"},
};

TEST(kernels_ask_for_whole_sectors_and_no_more_conflicts_than_they_say)
{
    enum { SAMPLES = 40000 };
    static float x[SAMPLES];
    uint64_t seed = 5;
    subject_noise(&seed, x, SAMPLES);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct exec *ex = counted_exec();
        struct subject s = {cases[c].op, spectral_defaults(44100)};
        bool coalesced;
        s.p.stft.frame = (struct frame_params){cases[c].n, cases[c].hop, true};
        s.p.mel.log = true;
        struct guarded g = subject_row(ex, &s, x, cases[c].n * 5, (struct piece){0, true, true});
        const struct tally t = add_up(&coalesced);
        const double conflicts = t.shared_least ? (double)t.shared / (double)t.shared_least : 1;
        printf("    %s %lld/%lld: sectors %.3f of the least, bank passes %.3f (%s)\n", subject_name(s.op),
               (long long)cases[c].n, (long long)cases[c].hop, (double)t.global / (double)t.global_least, conflicts,
               cases[c].reason);
        CHECK(coalesced);
        CHECK_AT_MOST(conflicts, cases[c].conflicts);
        guarded_close(&g);
        exec_destroy(&ex);
    }
}

/* sectors: most of them, per one that is needed; 0: one more per request. */
static void counted(const char *what, double sectors, double most)
{
    bool coalesced;
    const struct tally t = add_up(&coalesced);
    const double conflicts = t.shared_least ? (double)t.shared / (double)t.shared_least : 1;
    printf("    %s: sectors %.3f of the least, bank passes %.3f\n", what, (double)t.global / (double)t.global_least,
           conflicts);
    CHECK(sectors > 0 || coalesced);
    CHECK(sectors == 0 || (double)t.global <= sectors * (double)t.global_least);
    CHECK_AT_MOST(conflicts, most);
}

enum { VALUES = 70000 };
static float values[VALUES], results[VALUES];

TEST(resampling_reads_whole_sectors)
{
    static const struct {
        struct resample_params p;
        double conflicts;
    } ratios[] = {{{48000, 44100}, 1.85}, {{44100, 48000}, 1.05}, {{44100, 22050}, 2.0}, {{96000, 8000}, 1.0}};
    uint64_t seed = 6;
    subject_noise(&seed, values, VALUES);
    for (int c = 0; c < 4; c++) {
        struct exec *ex = counted_exec();
        const int64_t xo[2] = {0, 6000},
                      yo[2] = {0, resample_count(&ratios[c].p, (struct piece){0, true, true}, xo[1])};
        const struct ragged x = {.data = values, .channels = 1, .offset = xo, .rows = 1, .total = xo[1]};
        const struct ragged y = {.data = results, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
        struct device_batch b = device_batch(ex);
        const struct ragged in = device_ragged_in(&b, &x);
        struct ragged out = device_ragged_out(&b, &y);
        CHECK_OK(device_done(&b, resample(ex, &ratios[c].p, &in, &out)));
        counted("resample", 1.25, ratios[c].conflicts);
        exec_destroy(&ex);
    }
}

TEST(inverse_transforms_and_medians_read_whole_sectors)
{
    static const struct {
        int64_t n, hop;
        double conflicts;
    } sizes[] = {{64, 16, 1.25}, {128, 32, 1.5}, {256, 64, 1.5}, {512, 128, 1.0}, {2048, 512, 1.0}, {400, 100, 1.0}};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int c = 0; c <= SIZES; c++) {
        struct exec *ex = counted_exec();
        const bool inverse = c < SIZES;
        const struct stft_params p = {.frame = {inverse ? sizes[c].n : 256, inverse ? sizes[c].hop : 64, true}};
        const int64_t bins = stft_bins(&p), frames = 20, samples = istft_samples(&p, frames);
        const int64_t xo[2] = {0, frames}, yo[2] = {0, inverse ? samples : frames};
        const struct ragged x = {
            .data = values, .dtype = DTYPE_C64, .channels = (int32_t)bins, .offset = xo, .rows = 1, .total = frames};
        struct ragged y = {.data = results, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
        if (!inverse) {
            y.dtype = DTYPE_C64;
            y.channels = (int32_t)bins;
        }
        struct device_batch b = device_batch(ex);
        const struct ragged in = device_ragged_in(&b, &x);
        struct ragged out = device_ragged_out(&b, &y);
        const struct hpss_params h = {31, 31, 2, 1, 1};
        CHECK_OK(device_done(&b, inverse ? istft(ex, &p, &in, &out) : hpss(ex, &h, &in, &out, NULL)));
        counted(inverse ? "istft" : "hpss", 0, inverse ? sizes[c].conflicts : 1.02);
        exec_destroy(&ex);
    }
}

/* With a floor under some of the bands. */
TEST(cepstra_read_whole_sectors)
{
    static const struct {
        int32_t mels, k;
    } sizes[] = {{128, 20}, {40, 13}, {300, 40}};
    const float least = -20;
    uint64_t seed = 9;
    subject_noise(&seed, values, VALUES);
    for (int c = 0; c < 3; c++) {
        struct exec *ex = counted_exec();
        const int64_t offset[2] = {0, 50};
        const struct ragged x = {
            .data = values, .channels = sizes[c].mels, .offset = offset, .rows = 1, .total = offset[1]};
        const struct ragged y = {.data = results, .channels = sizes[c].k, .offset = offset, .rows = 1, .total = 50};
        struct device_batch b = device_batch(ex);
        const struct ragged in = device_ragged_in(&b, &x);
        const float *const floor_db = device_in(&b, &least, sizeof least);
        struct ragged out = device_ragged_out(&b, &y);
        CHECK_OK(device_done(&b, mfcc(ex, &(struct mfcc_params){sizes[c].k, 0}, &in, floor_db, &out)));
        counted("mfcc", 0, 1.0);
        exec_destroy(&ex);
    }
}

/* Long rows are cut into tiles; their counts in device memory are atomics, which are not counted here. */
TEST(statistics_read_whole_sectors)
{
    static const struct {
        int32_t columns;
        int64_t frames, block;
    } shapes[] = {{1, 150, 0}, {14, 150, 0}, {32, 150, 0}, {128, 150, 64}, {1, 5000, 0}, {14, 3000, 64}, {32, 2100, 0}};
    uint64_t seed = 11;
    subject_noise(&seed, values, VALUES);
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        struct exec *ex = counted_exec();
        const int32_t columns = shapes[c].columns;
        const int64_t offset[3] = {0, shapes[c].frames, shapes[c].frames + 1};
        const struct ragged x = {.data = values, .channels = columns, .offset = offset, .rows = 2, .total = offset[2]};
        struct device_batch b = device_batch(ex);
        const struct ragged in = device_ragged_in(&b, &x);
        float *const out = device_out(&b, results, 2 * STATISTICS * (size_t)columns * sizeof *results);
        CHECK_OK(device_done(&b, statistics(ex, &in, shapes[c].block, out)));
        counted("statistics", 0, 1.0);
        exec_destroy(&ex);
    }
}

/* Sectors: of many queries a request takes 64 bytes of each of two rows, and where rows begin within a sector, as they
 * do between these guards, a third one of each. Few queries read 128 bytes of a row. */
TEST(search_reads_whole_sectors)
{
    static const struct {
        struct search_params p;
        double sectors, conflicts;
    } shapes[] = {{{400, 1, 128, 10, SEARCH_DOT}, 1.05, 1.15}, {{150, 66, 128, 10, SEARCH_L2}, 1.5, 1.55},
                  {{100, 3, 20, 10, SEARCH_DOT}, 1.1, 1.45},   {{100, 18, 20, 10, SEARCH_DOT}, 1.5, 1.55},
                  {{700, 20, 4, 10, SEARCH_DOT}, 1.6, 1.5}, /* rows of half a sector */
                  {{2500, 2, 4, 100, SEARCH_DOT}, 1.15, 1.3}};
    static int64_t index[1000];
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        const struct search_params p = shapes[c].p;
        const size_t row = (size_t)p.dimensions * sizeof(float), found = (size_t)p.queries * (size_t)p.k;
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        const float *const vectors = device_in(&b, values, (size_t)p.vectors * row);
        const float *const queries = device_in(&b, values, (size_t)p.queries * row);
        int64_t *const to_index = device_out(&b, index, found * sizeof *index);
        float *const to_score = device_out(&b, results, found * sizeof *results);
        CHECK_OK(device_done(&b, search(ex, &p, vectors, queries, to_index, to_score)));
        counted("search", shapes[c].sectors, shapes[c].conflicts);
        exec_destroy(&ex);
    }
}
