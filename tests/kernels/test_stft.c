#include "oracle.h"
#include "subject.h"

#include <sys/mman.h>

enum { BINS_MOST = 300 }; /* of a large frame; the direct sum is slow */

static const struct {
    struct stft_params p;
    int64_t samples;
    const char *reason;
} cases[] = {
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_ZERO}, 10000, "librosa's defaults"},
    {{{2048, 512, false}, 0, WINDOW_HANN, PAD_ZERO}, 10000, "not centred"},
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_REFLECT}, 10000, "reflected"},
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_REFLECT}, 1025, "the shortest signal that reflects"},
    {{{16, 1, true}, 0, WINDOW_HANN, PAD_ZERO}, 50, "smallest transform and hop"},
    {{{16, 5, true}, 0, WINDOW_HANN, PAD_ZERO}, 1, "one sample"},
    {{{17, 3, true}, 0, WINDOW_HAMMING, PAD_REFLECT}, 100, "odd, prime, reflected"},
    {{{17, 40, true}, 0, WINDOW_HAMMING, PAD_REFLECT}, 300, "hop above n_fft"},
    {{{100, 33, true}, 0, WINDOW_BLACKMAN, PAD_ZERO}, 1000, "radix 5"},
    {{{255, 64, true}, 0, WINDOW_BARTLETT, PAD_ZERO}, 2000, "odd, Bluestein"},
    {{{400, 160, true}, 399, WINDOW_HANN, PAD_REFLECT}, 4000, "win_length one less: odd remainder on the right"},
    {{{512, 128, false}, 1, WINDOW_HANN, PAD_ZERO}, 2000, "window of one sample"},
    {{{512, 128, false}, 2, WINDOW_BARTLETT, PAD_ZERO}, 2000, "window of two samples"},
    {{{512, 700, false}, 401, WINDOW_HAMMING, PAD_ZERO}, 5000, "odd window in an even frame, gaps"},
    {{{513, 128, true}, 400, WINDOW_BLACKMAN, PAD_ZERO}, 2000, "even window in an odd frame"},
    {{{1153, 288, true}, 0, WINDOW_RECTANGULAR, PAD_ZERO}, 5000, "prime, no window"},
    {{{64, 16, true}, 0, WINDOW_HANN, PAD_ZERO}, 2000, "powers of two: 64"},
    {{{128, 31, true}, 0, WINDOW_HANN, PAD_REFLECT}, 2000, "128, odd hop"},
    {{{256, 64, false}, 0, WINDOW_HANN, PAD_ZERO}, 3000, "256"},
    {{{512, 513, true}, 0, WINDOW_HANN, PAD_REFLECT}, 9000, "512, hop just above"},
    {{{1024, 255, true}, 1000, WINDOW_HANN, PAD_ZERO}, 9000, "1024, odd hop, shorter window"},
    {{{4096, 1024, true}, 0, WINDOW_HANN, PAD_ZERO}, 9000, "4096"},
    {{{8192, 2048, true}, 0, WINDOW_HANN, PAD_REFLECT}, 20000, "8192"},
    {{{2 * 4093, 2048, true}, 0, WINDOW_HANN, PAD_REFLECT}, 9000, "twice a prime"},
    {{{65521, 30000, true}, 0, WINDOW_HANN, PAD_ZERO}, 70000, "largest prime"},
    {{{65535, 30000, true}, 0, WINDOW_HANN, PAD_ZERO}, 70000, "largest odd"},
    {{{65536, 40000, true}, 0, WINDOW_HANN, PAD_REFLECT}, 70000, "largest"},
};

static double worst_of(struct exec *ex, const struct stft_params *p, int64_t samples, uint64_t seed)
{
    const struct subject s = {SPECTRAL_STFT, {.stft = *p}};
    const int64_t bins = stft_bins(p), step = bins > BINS_MOST ? bins / BINS_MOST : 1, count = (bins - 1) / step + 1;
    float *const x = malloc((size_t)samples * sizeof *x), *const got = calloc((size_t)count * 2, sizeof *got);
    double *const want = calloc((size_t)count * 2, sizeof *want), worst = 0;
    subject_noise(&seed, x, samples);
    struct guarded g = subject_row(ex, &s, x, samples, (struct piece){0, true, true});
    const int64_t frames = oracle_frames(&p->frame, samples);
    CHECK(g.n == frames * bins * 2);
    for (int64_t t = 0; t < frames; t++) {
        oracle_stft(p, x, samples, t, 0, step, count, want);
        for (int64_t k = 0; k < count; k++)
            memcpy(got + 2 * k, g.data + (t * bins + k * step) * 2, 2 * sizeof *got);
        worst = compare_worst(worst, compare_l2(got, want, 2 * count));
    }
    guarded_close(&g);
    free(x), free(got), free(want);
    return worst;
}

TEST(frames_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const double error = worst_of(ex, &cases[c].p, cases[c].samples, 21 + c);
        if (!(error <= 1e-6))
            printf("    case %zu (%s): %.1e\n", c, cases[c].reason, error);
        worst = compare_worst(worst, error);
    }
    printf("    stft: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&ex);
}

/* But flux, which is a change: it is NaN to that frame and from it. Sizes go both ways on devices. */
TEST(a_frame_that_is_not_finite_is_nan_alone)
{
    enum { FRAMES = 4, LARGEST = 64 };
    struct exec *ex = subject_exec();
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int op = 0; op < SPECTRAL_OUTPUTS; op++)
        for (int i = 0; subject_has(ex, op) && i < 6; i++) {
            const int64_t n = i < 3 ? 16 : LARGEST;
            struct subject s = {op, spectral_defaults(8000)};
            s.p.stft = (struct stft_params){.frame = {n, n, false}};
            s.p.mel.mels = 20;
            s.p.contrast = (struct contrast_bands){1, 1000, 0.02};
            float x[FRAMES * LARGEST];
            uint64_t seed = 31;
            subject_noise(&seed, x, FRAMES * n);
            x[n] = bad[i % 3]; /* where the window is zero */
            struct guarded g = subject_row(ex, &s, x, FRAMES * n, (struct piece){0, true, true});
            const int64_t floats = subject_floats(&s), after = op == SPECTRAL_FLUX ? 2 : 1;
            CHECK(g.n == FRAMES * floats);
            for (int64_t k = 0; k < g.n; k++)
                CHECK((k / floats >= 1 && k / floats <= after) == !!isnan(g.data[k]));
            guarded_close(&g);
        }
    exec_destroy(&ex);
}

TEST(work_fits_what_is_documented)
{
    struct exec *ex = subject_exec();
    static const int64_t sizes[] = {16, 17, 2048, 65521, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct subject s = {SPECTRAL_STFT, {.stft = {.frame = {sizes[i], sizes[i], true}}}};
        const float x[1] = {1};
        struct arena *const arena = exec_device(ex) ? exec_device_arena(ex) : exec_arena(ex);
        arena->high = 0;
        struct guarded g = subject_row(ex, &s, x, 1, (struct piece){0, true, true});
        CHECK((arena->high > 0 || exec_device(ex)) && arena->high <= spectral_work_bytes(ex, &s.p));
        CHECK(arena->used == 0);
        guarded_close(&g);
    }
    exec_destroy(&ex);
}

/* Sample numbers beyond 32 bits: the signal is a mapping that nobody has written to, zero but for one page. */
TEST(more_than_two_to_the_31_samples)
{
    enum { HOP = 1 << 24, WINDOW = 2048 };
    const int64_t samples = (INT64_C(1) << 31) + 5, last = samples / HOP * HOP;
    struct exec *ex = subject_exec();
    float *const x = mmap(NULL, (size_t)samples * sizeof *x, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(x != MAP_FAILED);
    for (int64_t i = last - WINDOW / 2; i < samples; i++)
        x[i] = 0.5f;
    for (int op = SPECTRAL_STFT; op < SUBJECTS && exec_backend(ex) == BACKEND_CPU; op++) { /* 8 GB elsewhere */
        struct subject s = {op, spectral_defaults(44100)};
        s.p.stft.frame = (struct frame_params){WINDOW, HOP, true};
        struct guarded g = subject_row(ex, &s, x, samples, (struct piece){0, true, true});
        const int64_t floats = subject_floats(&s), frames = samples / HOP + 1;
        CHECK(g.n == frames * floats);
        bool silent = true;
        for (int64_t i = floats; i < 2 * floats; i++)
            silent &= g.data[i] == g.data[i + floats] || isnan(g.data[i]);
        CHECK(silent);
        if (op == SPECTRAL_STFT)
            CHECK(g.data[0] == 0 && g.data[(frames - 1) * floats] > 100);
        guarded_close(&g);
    }
    munmap(x, (size_t)samples * sizeof *x);
    exec_destroy(&ex);
}
