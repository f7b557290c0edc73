/* istft: against a direct sum in double, and back from stft. */
#include "device_batch.h"
#include "oracle.h"
#include "subject.h"

static const struct {
    struct stft_params p;
    int64_t samples;
    double least_db; /* of istft(stft(x)); 0: windows do not overlap enough */
    const char *reason;
} cases[] = {
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_ZERO}, 10000, 120, "librosa's defaults"},
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_REFLECT}, 10000, 120, "reflected"},
    {{{512, 128, false}, 0, WINDOW_HAMMING, PAD_ZERO}, 5000, 120, "not centred"},
    {{{400, 100, true}, 300, WINDOW_HANN, PAD_ZERO}, 3000, 120, "a shorter window, radix 5"},
    {{{255, 64, true}, 0, WINDOW_HANN, PAD_ZERO}, 2000, 120, "odd"},
    {{{1154, 288, true}, 0, WINDOW_HANN, PAD_ZERO}, 5000, 120, "twice a prime"},
    {{{16, 4, true}, 0, WINDOW_HANN, PAD_ZERO}, 300, 120, "smallest"},
    {{{24, 6, true}, 0, WINDOW_BLACKMAN, PAD_ZERO}, 300, 120, "radix 3"},
    {{{64, 100, false}, 0, WINDOW_HAMMING, PAD_ZERO}, 1000, 0, "gaps between frames"},
    {{{64, 64, true}, 0, WINDOW_HANN, PAD_ZERO}, 1000, 0, "no overlap"},
    {{{65536, 16384, true}, 0, WINDOW_HANN, PAD_ZERO}, 100000, 120, "largest"},
};

static int run(struct exec *ex, const struct stft_params *p, const struct ragged *x, const struct ragged *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged x_there = device_ragged_in(&b, x);
    struct ragged y_there = device_ragged_out(&b, y);
    return device_done(&b, istft(ex, p, &x_there, &y_there));
}

static struct guarded back(struct exec *ex, const struct stft_params *p, const float *bins, int64_t frames,
                           int64_t samples)
{
    const int64_t xo[2] = {0, frames}, yo[2] = {0, samples};
    const struct ragged x = {.data = (void *)(uintptr_t)bins,
                             .dtype = DTYPE_C64,
                             .channels = (int32_t)stft_bins(p),
                             .offset = xo,
                             .rows = 1,
                             .total = frames};
    struct guarded g = guarded_open(samples);
    struct ragged y = {.data = g.data, .channels = 1, .offset = yo, .rows = 1, .total = samples};
    struct arena *const arena = exec_device(ex) ? exec_device_arena(ex) : exec_arena(ex);
    arena->high = 0;
    const int code = run(ex, p, &x, &y);
    if (code)
        printf("    %s\n", status_message());
    REQUIRE(code == STATUS_OK && guarded_intact(&g));
    CHECK(arena->used == 0 && arena->high <= istft_work_bytes(ex, p));
    return g;
}

TEST(back_from_stft)
{
    struct exec *ex = subject_exec();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct stft_params *const p = &cases[c].p;
        struct subject s = {SPECTRAL_STFT, {.stft = *p}};
        float *const x = malloc((size_t)cases[c].samples * sizeof *x);
        uint64_t seed = c;
        subject_noise(&seed, x, cases[c].samples);
        struct guarded spectra = subject_row(ex, &s, x, cases[c].samples, (struct piece){0, true, true});
        const int64_t frames = spectra.n / (2 * stft_bins(p)), held = istft_samples(p, frames);
        const int64_t n = held < cases[c].samples ? held : cases[c].samples;
        struct guarded y = back(ex, p, spectra.data, frames, n);
        double error = 0, signal = 0;
        const int64_t edge = p->frame.centred ? 0 : p->frame.window_samples; /* one window alone there: divided by ~0 */
        for (int64_t i = edge; i < n - edge; i++) {
            error += pow((double)y.data[i] - x[i], 2);
            signal += pow(x[i], 2);
        }
        const double db = 10 * log10(signal / error);
        if (cases[c].least_db > 0 && !(db >= cases[c].least_db))
            printf("    %s: %.1f dB\n", cases[c].reason, db);
        CHECK(cases[c].least_db == 0 || db >= cases[c].least_db);
        guarded_close(&spectra), guarded_close(&y);
        free(x);
    }
    exec_destroy(&ex);
}

/* y[s] from the equation, in double. Bins that no real signal has are in it too. */
static double oracle(const struct stft_params *p, const float *bins, int64_t frames, int64_t s)
{
    const int64_t n = p->frame.window_samples, f_count = stft_bins(p), pad = p->frame.centred ? n / 2 : 0;
    const struct stft_params plain = {.frame = {n, n, false}, .win_length = p->win_length, .window = p->window};
    float *const one = malloc((size_t)n * sizeof *one);
    double *const window = malloc((size_t)n * sizeof *window), sum = 0, norm = 0;
    for (int64_t i = 0; i < n; i++)
        one[i] = 1;
    oracle_frame(&plain, one, n, 0, window);
    for (int64_t t = 0; t < frames; t++) {
        const int64_t i = s + pad - t * p->frame.hop_samples;
        if (i < 0 || i >= n)
            continue;
        double v = 0;
        for (int64_t f = 0; f < f_count; f++) {
            const double turn = 2 * M_PI * (double)(f * i % n) / (double)n;
            const double re = bins[(t * f_count + f) * 2], im = bins[(t * f_count + f) * 2 + 1];
            const bool alone = f == 0 || 2 * f == n; /* has no mirror image */
            v += alone ? re * cos(turn) : 2 * (re * cos(turn) - im * sin(turn));
        }
        sum += v / (double)n * window[i];
        norm += window[i] * window[i];
    }
    free(one), free(window);
    return norm > 0x1p-126 ? sum / norm : sum;
}

TEST(samples_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t c = 2; c < 10; c++) {
        const struct stft_params *const p = &cases[c].p;
        const int64_t frames = 21, samples = istft_samples(p, frames) + 50, floats = frames * stft_bins(p) * 2;
        float *const bins = malloc((size_t)floats * sizeof *bins);
        uint64_t seed = c;
        subject_noise(&seed, bins, floats);
        struct guarded y = back(ex, p, bins, frames, samples);
        float got[200];
        double want[200];
        for (int64_t i = 0; i < 200; i++) {
            const int64_t at = i * (samples - 1) / 199;
            got[i] = y.data[at];
            want[i] = oracle(p, bins, frames, at);
        }
        const double error = compare_l2(got, want, 200);
        if (!(error <= 1e-6))
            printf("    %s: %.1e\n", cases[c].reason, error);
        CHECK_AT_MOST(error, 1e-6);
        worst = compare_worst(worst, error);
        guarded_close(&y);
        free(bins);
    }
    printf("    istft: worst %.1e\n", worst);
    exec_destroy(&ex);
}

/* What a frame reaches that is not finite is not either (NaN, or infinite on the CPU), and nothing else; in rows beside
 * each other, of any size. */
TEST(not_finite_frames_reach_their_samples)
{
    static const struct frame_params sizes[] = {{64, 16, true}, {512, 128, false}, {1024, 200, true}, {100, 25, true}};
    struct exec *ex = subject_exec();
    for (int c = 0; c < 4; c++) {
        const struct stft_params params = {.frame = sizes[c]}, *const p = &params;
        const int64_t n = p->frame.window_samples, hop = p->frame.hop_samples, bins = stft_bins(p), whole = 12;
        const int64_t length = istft_samples(p, whole), xo[3] = {0, whole, 2 * whole}, yo[3] = {0, length, 2 * length};
        float *const x = malloc((size_t)(2 * whole * bins * 2) * sizeof *x);
        struct guarded g = guarded_open(2 * length);
        uint64_t seed = (uint64_t)c;
        subject_noise(&seed, x, 2 * whole * bins * 2);
        x[(5 * bins + 7) * 2] = INFINITY;
        x[(16 * bins + 3) * 2 + 1] = NAN;
        const struct ragged in = {
            .data = x, .dtype = DTYPE_C64, .channels = (int32_t)bins, .offset = xo, .rows = 2, .total = 2 * whole};
        const struct ragged out = {.data = g.data, .channels = 1, .offset = yo, .rows = 2, .total = 2 * length};
        CHECK_OK(run(ex, p, &in, &out));
        CHECK(guarded_intact(&g));
        for (int64_t i = 0; i < 2 * length; i++) {
            const int64_t at = i % length + frame_pad(&p->frame), begin = (i < length ? 5 : 4) * hop;
            CHECK((at >= begin && at < begin + n) == !isfinite(g.data[i]));
        }
        guarded_close(&g);
        free(x);
    }
    exec_destroy(&ex);
}

/* Rows go to threads. */
TEST(threads_change_nothing)
{
    enum { BINS = 65, T = 70, SAMPLES = 2400 };
    if (subject_backend() != BACKEND_CPU)
        return; /* a device has threads of its own */
    struct exec *one = subject_exec(), *three = NULL;
    const struct exec_options options = {.isa = subject_isa(), .threads = 3, .ops = ops_cpu(subject_isa())};
    CHECK_OK(exec_create(&options, &three));
    REQUIRE(three);
    const struct stft_params p = {.frame = {128, 32, true}};
    const int64_t xo[6] = {0, 1, 1, 30, 60, T}, yo[6] = {0, 20, 21, 1000, 2000, SAMPLES};
    static float x[T * BINS * 2];
    uint64_t seed = 8;
    subject_noise(&seed, x, T * BINS * 2);
    struct guarded a = guarded_open(SAMPLES), b = guarded_open(SAMPLES);
    const struct ragged in = {.data = x, .dtype = DTYPE_C64, .channels = BINS, .offset = xo, .rows = 5, .total = T};
    struct ragged y = {.data = a.data, .channels = 1, .offset = yo, .rows = 5, .total = SAMPLES};
    CHECK_OK(istft(one, &p, &in, &y));
    y.data = b.data;
    CHECK_OK(istft(three, &p, &in, &y));
    CHECK(compare_bits(a.data, b.data, SAMPLES * sizeof(float)) && guarded_intact(&b) && isfinite(b.data[0]));
    CHECK(exec_arena(three)->used == 0 && exec_arena(three)->high <= 3 * istft_work_bytes(three, &p));
    guarded_close(&a), guarded_close(&b);
    exec_destroy(&one);
    exec_destroy(&three);
}

TEST(rows_and_errors)
{
    struct exec *ex = subject_exec();
    const struct stft_params p = {.frame = {16, 4, true}};
    float x[9 * 2 * 20], y[200], alone[200];
    uint64_t seed = 8;
    subject_noise(&seed, x, 9 * 2 * 20);
    const int64_t xo[4] = {0, 3, 3, 20}, yo[4] = {0, 8, 20, 80};
    const struct ragged in = {.data = x, .dtype = DTYPE_C64, .channels = 9, .offset = xo, .rows = 3, .total = 20};
    struct ragged out = {.data = y, .channels = 1, .offset = yo, .rows = 3, .total = 80};
    CHECK_OK(run(ex, &p, &in, &out));
    for (int i = 8; i < 20; i++)
        CHECK(y[i] == 0); /* no frame */
    const int64_t xa[2] = {0, 17}, ya[2] = {0, 60};
    const struct ragged last = {
        .data = x + 54, .dtype = DTYPE_C64, .channels = 9, .offset = xa, .rows = 1, .total = 17};
    struct ragged single = {.data = alone, .channels = 1, .offset = ya, .rows = 1, .total = 60};
    CHECK_OK(run(ex, &p, &last, &single));
    CHECK(compare_bits(alone, y + 20, 60 * sizeof *alone));
    struct ragged bad = in;
    bad.channels = 8;
    CHECK_CODE(istft(ex, &p, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.dtype = DTYPE_F32;
    CHECK_CODE(istft(ex, &p, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.total = 19;
    CHECK_CODE(istft(ex, &p, &bad, &out), STATUS_SHAPE);
    const struct piece part[3] = {{0, true, false}, {0, true, true}, {0, true, true}};
    bad = in, bad.piece = part;
    CHECK_CODE(istft(ex, &p, &bad, &out), STATUS_SHAPE);
    bad = in, bad.data = NULL;
    CHECK_CODE(istft(ex, &p, &bad, &out), STATUS_ARGUMENT);
    const struct stft_params wrong[] = {
        {.frame = {15, 4, true}}, {.frame = {16, 0, true}}, {.frame = {16, 4, true}, .win_length = 17}};
    for (int i = 0; i < 3; i++)
        CHECK_CODE(istft(ex, &wrong[i], &in, &out), STATUS_ARGUMENT);
    for (long at = 1, code = STATUS_NOMEM; code == STATUS_NOMEM && at < 20; at++) {
        struct arena *const arena = exec_device(ex) ? exec_device_arena(ex) : exec_arena(ex);
        arena->fail_at = arena->calls + at;
        code = run(ex, &p, &in, &out);
        CHECK(arena->used == 0 && (code == STATUS_OK || code == STATUS_NOMEM));
    }
    exec_destroy(&ex);
}
