/* hpss_split against the three operations on the whole signal. */
#include "hpss_split.h"
#include "istft.h"
#include "split.h"
#include "subject.h"

enum { STEMS = 3, WIDTH = STEMS * 2 };

/* Harmonic and percussive signals of one channel, [frames] each. */
static void whole(struct exec *ex, const struct hpss_split_params *p, const float *x, int64_t frames, float *out[2])
{
    const struct stft_params stft_p = {.frame = {p->n_fft, p->hop_samples, true}};
    const int64_t t = frame_count(&stft_p.frame, piece_of(NULL, 0), frames), bins = stft_bins(&stft_p);
    const int64_t offset[2] = {0, frames}, at[2] = {0, t};
    float *const spectra = malloc((size_t)(t * bins * 2 + 1) * sizeof(float) * 3);
    REQUIRE(spectra);
    struct ragged in = {.data = malloc((size_t)(frames + 1) * sizeof(float)),
                        .channels = 1,
                        .offset = offset,
                        .rows = 1,
                        .total = frames};
    REQUIRE(in.data);
    memcpy(in.data, x, (size_t)frames * sizeof *x);
    struct ragged s = {.data = spectra, .dtype = DTYPE_C64, .channels = (int32_t)bins, .offset = at, .rows = 1};
    s.total = t;
    struct ragged part[2] = {s, s};
    part[0].data = spectra + t * bins * 2;
    part[1].data = spectra + t * bins * 4;
    CHECK_OK(stft(ex, &stft_p, &in, &s));
    CHECK_OK(hpss(ex, &p->hpss, &s, &part[0], &part[1]));
    for (int k = 0; k < 2; k++) {
        struct ragged y = in;
        y.data = out[k];
        CHECK_OK(istft(ex, &stft_p, &part[k], &y));
    }
    free(in.data);
    free(spectra);
}

/* What the stems of x should be, [frames][3][2]. */
static float *wanted(const struct hpss_split_params *p, const float *x, int64_t frames)
{
    struct exec *ex = split_exec(1);
    float *const want = malloc((size_t)(frames + 1) * WIDTH * sizeof *want);
    float *out[2] = {malloc((size_t)(frames + 1) * sizeof(float)), malloc((size_t)(frames + 1) * sizeof(float))};
    REQUIRE(want && out[0] && out[1]);
    for (int c = 0; c < 2; c++) {
        float *const one = split_take(x, frames, 2, c);
        whole(ex, p, one, frames, out);
        for (int64_t i = 0; i < frames; i++) {
            want[i * WIDTH + c] = out[0][i];
            want[i * WIDTH + 2 + c] = out[1][i];
            want[i * WIDTH + 4 + c] = one[i] - out[0][i] - out[1][i];
        }
        free(one);
    }
    free(out[0]), free(out[1]);
    exec_destroy(&ex);
    return want;
}

/* The stems that come out, guarded. */
static struct guarded stems(const struct hpss_split_params *p, const float *x, int64_t frames, int64_t block,
                            int threads)
{
    struct exec *ex = split_exec(threads);
    struct guarded g = guarded_open(frames * WIDTH);
    struct split_out out = {.stems = g.data, .stem_count = STEMS, .room = frames, .fail_from = -1};
    struct separation *s = NULL;
    CHECK_OK(hpss_split_create(p, ex, split_emit, &out, &s));
    REQUIRE(s && s->stems == STEMS && strcmp(s->stem[2], "residual") == 0);
    CHECK_OK(split_run(s, x, frames, block));
    CHECK(out.frames == frames && guarded_intact(&g));
    separation_destroy(&s);
    CHECK(!s && exec_arena(ex)->used == 0);
    exec_destroy(&ex);
    return g;
}

static const struct {
    struct hpss_split_params p;
    int64_t frames, block;
    int threads;
    const char *reason;
} cases[] = {
    {{2048, 512, {31, 31, 2, 2, 2}}, 0, 1, 1, "nothing"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 1, 1, 1, "one sample"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 100, 1, 2, "less than a hop, sample by sample"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 1024, 1000, 1, "half a window"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 2047, 0, 2, "one short of a window"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 2048, 2048, 1, "a window"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 5 * 44100, 1 << 20, 2, "all at once: more than a block"},
    {{2048, 512, {31, 31, 2, 2, 2}}, 5 * 44100, 0, 1, "any sizes"},
    {{256, 64, {31, 31, 2, 2, 2}}, 2 * 256 * 64, 4096, 1, "exactly two blocks"},
    {{256, 64, {31, 31, 2, 2, 2}}, 2 * 256 * 64 + 1, 4097, 2, "one sample more"},
    {{256, 64, {31, 31, 2, 2, 2}}, 256 * 64 + 15 * 64, 777, 1, "ends within the context of the first block"},
    {{64, 16, {255, 3, 1, 1, 1}}, 10000, 0, 2, "a kernel as long as a block; no margins"},
    {{256, 64, {1, 5, 2, 3, 1}}, 40000, 5000, 1, "no context"},
    {{64, 3, {9, 9, INFINITY, 1, 2}}, 5000, 100, 2, "a hop that divides nothing; hard masks"},
    {{300, 75, {31, 31, 2, 2, 2}}, 50001, 0, 1, "a window that is no power of two"},
};

/* The scalar medians sort: of long signals they get the beginning, and several blocks with small windows only. */
static int64_t bearable(int64_t frames, int64_t n_fft)
{
    const int64_t most = n_fft > 1000 ? 8000 : 33000;
    return subject_isa() == ISA_SCALAR && frames > most ? most : frames;
}

TEST(whole_signal_at_once)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t n = bearable(cases[c].frames, cases[c].p.n_fft);
        float *const x = split_signal(n), *const want = wanted(&cases[c].p, x, n);
        struct guarded g = stems(&cases[c].p, x, n, cases[c].block, cases[c].threads);
        const bool same = compare_bits(g.data, want, (size_t)(n * WIDTH) * sizeof *want);
        if (!same)
            printf("    %s\n", cases[c].reason);
        CHECK(same);
        guarded_close(&g);
        free(want), free(x);
    }
}

static double energy(const float *x, int64_t frames, int width, int at)
{
    double sum = 0;
    for (int64_t i = 0; i < frames; i++)
        sum += (double)x[i * width + at] * x[i * width + at];
    return sum;
}

/* Bits as above, by the defaults; and a piano sustains. */
TEST(recordings)
{
    static const char *const names[] = {"music_stereo_44k.flac", "drums_tabla_stereo_44k.flac",
                                        "piano_a3_stereo_44k.mp3"};
    const struct hpss_split_params p = hpss_split_defaults();
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        int64_t n;
        float *const x = split_audio(names[k], &n);
        n = bearable(n, p.n_fft);
        float *const want = wanted(&p, x, n);
        struct guarded g = stems(&p, x, n, 4096, 2);
        CHECK(compare_bits(g.data, want, (size_t)(n * WIDTH) * sizeof *want));
        printf("    %s:", names[k]);
        for (int s = 0; s < STEMS; s++)
            printf(" %.1f dB", 10 * log10(energy(g.data, n, WIDTH, 2 * s) / energy(x, n, 2, 0)));
        printf("\n");
        if (strstr(names[k], "piano") && n > 100000) /* the first 8,000 samples are its attack */
            CHECK(energy(g.data, n, WIDTH, 0) > 100 * energy(g.data, n, WIDTH, 2));
        guarded_close(&g);
        free(want), free(x);
    }
}

/* A steady tone with clicks: each in its stem. */
TEST(tone_and_clicks)
{
    enum { N = 44100, EVERY = 11025 };
    float *const x = malloc(2 * N * sizeof *x);
    REQUIRE(x);
    for (int64_t i = 0; i < N; i++) {
        x[2 * i] = (float)(0.3 * sin(0.0627 * (double)i));
        x[2 * i + 1] = i % EVERY == EVERY / 2 ? 0.9f : 0;
    }
    const struct hpss_split_params p = hpss_split_defaults();
    struct guarded g = stems(&p, x, N, 0, 1);
    CHECK(energy(g.data, N, WIDTH, 0) > 0.98 * energy(x, N, 2, 0));
    CHECK(energy(g.data, N, WIDTH, 3) > 0.98 * energy(x, N, 2, 1));
    for (int64_t i = 0; i < N; i++) /* the other channel is another signal */
        for (int c = 0; c < 2; c++)
            CHECK_AT_MOST(fabs((double)g.data[i * WIDTH + c] + g.data[i * WIDTH + 2 + c] + g.data[i * WIDTH + 4 + c] -
                               x[2 * i + c]),
                          2e-7);
    guarded_close(&g);
    free(x);
}

TEST(damaged_samples_stay_alone)
{
    enum { N = 60000 };
    static const struct {
        int64_t at;
        float value;
    } bad[] = {{0, NAN}, {1000, INFINITY}, {31001, -INFINITY}, {31002, 2e9f}, {N - 1, NAN}};
    const struct hpss_split_params p = {256, 64, {31, 31, 2, 2, 2}};
    float *const x = split_signal(N), *const clean = split_signal(N);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        x[2 * bad[k].at + 1] = bad[k].value;
        clean[2 * bad[k].at + 1] = 0;
    }
    struct guarded g = stems(&p, x, N, 0, 2), want = stems(&p, clean, N, 5000, 1);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int s = 0; s < STEMS; s++) {
            const int64_t i = bad[k].at * WIDTH + 2 * s + 1;
            CHECK(isnan(g.data[i]));
            want.data[i] = g.data[i];
        }
    CHECK(compare_bits(g.data, want.data, (size_t)N * WIDTH * sizeof *g.data));
    guarded_close(&g), guarded_close(&want);
    free(x), free(clean);
}

TEST(silence_is_silence)
{
    enum { N = 30000 };
    float *const x = calloc(2 * N, sizeof *x);
    REQUIRE(x);
    const struct hpss_split_params p = {256, 64, {31, 31, 2, 2, 2}};
    struct guarded g = stems(&p, x, N, 0, 1);
    for (int64_t i = 0; i < (int64_t)N * WIDTH; i++)
        CHECK(g.data[i] == 0);
    guarded_close(&g);
    free(x);
}

TEST(refusals)
{
    static const struct {
        struct hpss_split_params p;
        const char *reason;
    } wrong[] = {
        {{2047, 512, {31, 31, 2, 2, 2}}, "odd window"},      {{62, 8, {31, 31, 2, 2, 2}}, "small window"},
        {{16386, 512, {31, 31, 2, 2, 2}}, "large window"},   {{2048, 0, {31, 31, 2, 2, 2}}, "no hop"},
        {{2048, 513, {31, 31, 2, 2, 2}}, "too large a hop"}, {{2048, 512, {30, 31, 2, 2, 2}}, "even kernel"},
        {{2048, 512, {31, 31, 2, 0.5, 2}}, "margin"},        {{2048, 512, {-9, 31, 2, 2, 2}}, "kernel"},
    };
    struct exec *ex = split_exec(1);
    struct split_out out = {.stem_count = STEMS, .fail_from = 0};
    struct separation *s = NULL;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
        CHECK_CODE(hpss_split_create(&wrong[k].p, ex, split_emit, &out, &s), STATUS_ARGUMENT);
    CHECK(!s);
    exec_arena(ex)->fail_at = exec_arena(ex)->calls + 1;
    const struct hpss_split_params p = {256, 64, {31, 31, 2, 2, 2}};
    CHECK_CODE(hpss_split_create(&p, ex, split_emit, &out, &s), subject_isa() == ISA_SCALAR ? STATUS_OK : STATUS_NOMEM);
    separation_destroy(&s);
    exec_arena(ex)->fail_at = 0;

    CHECK_OK(hpss_split_create(&p, ex, split_emit, &out, &s));
    const float x[2] = {1, 1};
    CHECK_CODE(separation_push(s, x, -1), STATUS_ARGUMENT);
    CHECK_OK(separation_push(s, x, 1));
    CHECK_CODE(separation_finish(s), STATUS_CANCELLED); /* emit's */
    CHECK_CODE(separation_finish(s), STATUS_ARGUMENT);
    CHECK_CODE(separation_push(s, x, 1), STATUS_ARGUMENT);
    separation_destroy(&s);
    separation_destroy(&s);

    CHECK_OK(hpss_split_create(&p, ex, split_emit, &out, &s));
    CHECK_OK(separation_push(s, x, 1));
    exec_arena(ex)->fail_at = exec_arena(ex)->calls + 1;
    CHECK_CODE(separation_finish(s), STATUS_NOMEM);
    separation_destroy(&s);
    exec_destroy(&ex);
}
