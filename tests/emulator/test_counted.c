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

/* Rows of networks, as networks have them: on 16 bytes, and channels by fours. */
enum { NETWORK_TOKENS = 70, NETWORK_CHANNELS = 192 };

static struct maps placed(struct device_batch *b, float *memory, bool back)
{
    const size_t bytes = maps_bytes(1, 1, NETWORK_TOKENS, NETWORK_CHANNELS, false);
    return maps_tokens(device_aligned(b, memory, bytes, back), 1, NETWORK_TOKENS, NETWORK_CHANNELS);
}

TEST(norms_read_whole_sectors)
{
    uint64_t seed = 13;
    subject_noise(&seed, values, VALUES);
    for (int row = 0; row < 3; row++) {
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        float *const w = device_aligned(&b, values, NETWORK_CHANNELS * sizeof *w, false);
        const struct maps x = placed(&b, values, false), y = placed(&b, results, true);
        static float described[2];
        float *const two = device_out(&b, described, sizeof described);
        static const char *const names[] = {"layer_norm", "group_norm", "moments"};
        CHECK_OK(device_done(&b, row == 0   ? layer_norm(ex, w, w, NULL, &x, &y)
                                 : row == 1 ? group_norm(ex, w, w, &x, &x, &y)
                                            : moments(ex, &x, two)));
        counted(names[row], 0, 1.0);
        exec_destroy(&ex);
    }
}

/* Reads of fours meet no bank twice, nor do two groups that write their weights; rows of 12 fours are copied by warps
 * that reach into a third one. */
TEST(attention_reads_whole_sectors)
{
    static const struct {
        int64_t heads, width;
        double conflicts;
    } shapes[] = {{3, 64, 1.0}, {4, 48, 1.02}, {6, 32, 1.0}, {2, 96, 1.0}, {1, 192, 1.0}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        const struct attention_params p = {shapes[c].heads, shapes[c].width};
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        const struct maps x = placed(&b, values, false), y = placed(&b, results, true);
        const struct tokens in = {x.data, 1, NETWORK_TOKENS, x.item_stride, NETWORK_CHANNELS};
        const struct tokens out = {y.data, 1, NETWORK_TOKENS, y.item_stride, NETWORK_CHANNELS};
        CHECK_OK(device_done(&b, attention(ex, &p, &in, &in, &in, &out)));
        counted("attention", 0, shapes[c].conflicts);
        exec_destroy(&ex);
    }
}

TEST(spectra_and_maps_are_whole_sectors)
{
    static const struct {
        int64_t channels, width;
        double conflicts;
    } shapes[] = {{1, 600, 1.0}, {2, 600, 1.0}, {3, 300, 1.7}, {8, 200, 1.0}, {20, 70, 1.5}};
    for (size_t c = 0; c < 2 * (sizeof shapes / sizeof *shapes); c++) {
        const int64_t channels = shapes[c / 2].channels, width = shapes[c / 2].width, frames = 2;
        const struct complex_maps_params p = {width + 1, 0, 0, 2, 1};
        const size_t bytes = (size_t)(channels * frames * (width + 1) * 2) * sizeof(float);
        const bool there = c % 2 == 0;
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        float *const x = device_aligned(&b, there ? values : results, bytes, !there);
        float *const memory = device_aligned(&b, there ? results : values, bytes, there);
        const struct maps y = maps_of(memory, 1, frames, width, 2 * channels, false);
        CHECK_OK(device_done(&b, there ? maps_from_complex(ex, &p, x, &y) : complex_from_maps(ex, &p, &y, x)));
        counted(there ? "maps_from_complex" : "complex_from_maps", 0, shapes[c / 2].conflicts);
        exec_destroy(&ex);
    }
}

enum { PACKED_MOST = 60000 };
static _Alignas(64) float packed[PACKED_MOST];

static void count_conv(const struct conv_params *p, const struct maps *of, const struct maps *to, const char *what,
                       double sectors, double conflicts)
{
    struct exec *ex = counted_exec();
    struct device_batch b = device_batch(ex);
    struct maps x = *of, y = *to;
    REQUIRE(conv_pack_bytes(ex, p) <= sizeof packed);
    CHECK_OK(conv_pack(ex, p, values, NULL, packed));
    x.data = (float *)device_aligned(&b, values, VALUES * sizeof *values, false) + (of->data - values);
    y.data = device_aligned(&b, results, VALUES * sizeof *results, true);
    const float *const weights = device_aligned(&b, packed, sizeof packed, false);
    CHECK_OK(device_done(&b, conv(ex, p, weights, &x, NULL, NULL, &y)));
    counted(what, sectors, conflicts);
    exec_destroy(&ex);
}

/* Sectors: the weights of a tile are read by each block. Conflicts: see product.cu and product_mma.cu; what is left
 * over is 48 columns, whose warps hold parts of three rows. */
TEST(products_read_whole_sectors)
{
    static const struct {
        struct conv_params p;
        int64_t height, width, out_width;
        double sectors, conflicts;
        const char *what;
    } shapes[] = {
        {{48, 96, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}, 2, 300, 75, 1.05, 1.2, "conv, stride 4"},
        {{48, 96, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 1}, 2, 300, 75, 1.05, 1.2, "the same in TF32"},
        {{48, 96, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 2}, 2, 300, 75, 1.05, 1.2, "the same in bfloat16"},
        {{16, 128, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 0}, 5, 60, 60, 1.05, 1.2, "conv, 3 x 3 and GLU"},
        {{16, 128, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 1}, 5, 60, 60, 1.05, 1.2, "the same in TF32"},
        {{2, 48, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}, 1, 1200, 300, 1.05, 1.2, "conv of two channels"},
        {{96, 12, 1, 3, 1, 1, 1, 0, 1, ACTIVATION_NONE, 0}, 1, 300, 300, 1.7, 1.2, "conv to twelve channels"},
    };
    uint64_t seed = 13;
    subject_noise(&seed, values, VALUES);
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        const struct conv_params *const p = &shapes[c].p;
        const struct maps x = maps_of(values, 1, shapes[c].height, shapes[c].width, p->in, true);
        const int64_t channels = p->activation == ACTIVATION_GLU ? p->out / 2 : p->out;
        const struct maps y = maps_of(results, 1, shapes[c].height, shapes[c].out_width, channels, false);
        count_conv(p, &x, &y, shapes[c].what, shapes[c].sectors, shapes[c].conflicts);
    }
}

/* Conflicts: the zeros of rows outside x, written beside what is copied. */
TEST(conv2d_reads_whole_sectors)
{
    static const struct {
        struct conv2d_params p;
        int64_t height, width;
        double sectors, conflicts;
    } shapes[] = {{{16, 48, 4, 4, 2, 2, 1, 1, 0}, 24, 40, 1.05, 1.05},
                  {{1, 32, 4, 4, 2, 2, 1, 1, 0}, 48, 100, 1.05, 1.05}};
    uint64_t seed = 14;
    subject_noise(&seed, values, VALUES);
    for (int n = 0; n < 6; n++) {
        struct conv2d_params p = shapes[n / 3].p;
        p.precision = (enum precision)(n % 3);
        const int64_t h = shapes[n / 3].height, w = shapes[n / 3].width;
        struct maps x = maps_of(values, 1, h, w, p.in, true), y = maps_of(values, 1, h / 2, w / 2, p.out, true);
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        float *const memory = device_aligned(&b, values, VALUES * sizeof *values, false);
        float *const to = device_aligned(&b, results, VALUES * sizeof *results, true);
        x.data = memory + (x.data - values);
        y.data = memory + (y.data - values);
        REQUIRE(conv2d_pack_bytes(ex, &p, CONV2D_FORWARD) + conv2d_pack_bytes(ex, &p, CONV2D_DATA) <= sizeof results);
        CHECK_OK(conv2d_pack(ex, &p, CONV2D_FORWARD, memory, NULL, to));
        CHECK_OK(conv2d_pack(ex, &p, CONV2D_DATA, memory, NULL, to + VALUES / 32 * 16));
        CHECK_OK(conv2d_weight(ex, &p, &x, &y, to));
        CHECK_OK(device_done(&b, STATUS_OK));
        counted("conv2d_pack, conv2d_weight", shapes[n / 3].sectors, shapes[n / 3].conflicts);
        exec_destroy(&ex);
    }
}

/* Of sums over parts of signals; a signal's samples lie together here. */
TEST(dconv_reads_whole_sectors)
{
    const struct dconv_params p = {48, 6, 1, ALONG_WIDTH};
    const struct dconv_weights w = {values, values, values, values, values, values, values, values, values};
    struct exec *ex = counted_exec();
    struct device_batch b = device_batch(ex);
    struct maps x = maps_of(NULL, 1, 1, 700, 48, true);
    REQUIRE(dconv_pack_bytes(ex, &p) <= sizeof packed);
    CHECK_OK(dconv_pack(ex, &p, &w, packed));
    x.data = (float *)device_aligned(&b, values, VALUES * sizeof *values, true) + 2 * 48;
    const float *const weights = device_aligned(&b, packed, sizeof packed, false);
    CHECK_OK(device_done(&b, dconv(ex, &p, weights, &x)));
    counted("dconv", 1.3, 1.2);
    exec_destroy(&ex);
}

/* Between signals and channels, channels that are no power of two share banks, and a tile of 16 of 21 has rows that lie
 * apart; backwards, each position of three begins in its own sector. */
TEST(elementwise_rows_read_whole_sectors)
{
    static const struct {
        int64_t channels, width;
        double sectors, conflicts;
    } shapes[] = {{1, 2000, 1.1, 1.0}, {2, 1500, 1.2, 1.01}, {3, 900, 1.2, 1.5},
                  {8, 500, 1.1, 1.0},  {16, 200, 1.0, 1.0},  {21, 200, 1.45, 1.35}};
    for (size_t c = 0; c < 6 * (sizeof shapes / sizeof *shapes); c++) {
        static const char *const names[] = {"clear_margins", "mirror",   "standardize",
                                            "unstandardize", "add_maps", "add_planar"};
        const int64_t channels = shapes[c / 6].channels, width = shapes[c / 6].width;
        const size_t bytes = maps_bytes(1, 1, width, channels, true);
        struct exec *ex = counted_exec();
        struct device_batch b = device_batch(ex);
        float *const from = device_aligned(&b, values, bytes, false), *const to =
                                                                          device_aligned(&b, results, bytes, true);
        const struct maps x = maps_tokens(from, 1, width, channels), y = maps_tokens(to, 1, width, channels);
        const struct maps m = maps_of(to, 1, 1, width, channels, true);
        CHECK_OK(device_done(&b, c % 6 == 0   ? clear_margins(ex, &m)
                                 : c % 6 == 1 ? mirror(ex, width / 2, &x, width, to)
                                 : c % 6 == 2 ? standardize(ex, from, 1, &x, &y)
                                 : c % 6 == 3 ? unstandardize(ex, from, &x, &y)
                                 : c % 6 == 4 ? add_maps(ex, &x, &x, &y)
                                              : add_planar(ex, from, width, &x, &y)));
        const bool transposed = c % 6 == 1 || c % 6 == 5;
        counted(names[c % 6], transposed ? shapes[c / 6].sectors : 0, transposed ? shapes[c / 6].conflicts : 1);
        exec_destroy(&ex);
    }
}
