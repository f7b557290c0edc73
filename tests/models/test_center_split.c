/* center_split against its equation on the whole signal in double, and against what a listener expects. */
#include "center_split.h"
#include "split.h"
#include "subject.h"

enum { STEMS = 2, WIDTH = STEMS * 2 };

static struct guarded stems(const struct center_split_params *p, const float *x, int64_t frames, int64_t block,
                            int threads)
{
    struct exec *ex = split_exec(threads);
    struct guarded g = guarded_open(frames * WIDTH);
    struct split_out out = {.stems = g.data, .stem_count = STEMS, .room = frames, .fail_from = -1};
    struct separation *s = NULL;
    CHECK_OK(center_split_create(p, ex, split_emit, &out, &s));
    REQUIRE(s && s->stems == STEMS && strcmp(s->stem[0], "center") == 0);
    CHECK_OK(split_run(s, x, frames, block));
    CHECK(out.frames == frames && guarded_intact(&g));
    separation_destroy(&s);
    CHECK(!s && exec_arena(ex)->used == 0);
    exec_destroy(&ex);
    return g;
}

/* Windowed frame t of a signal, transformed by definition: X[f], f <= n/2. */
static void spectrum(const double *x, int64_t frames, int64_t n, int64_t hop, int64_t t, double *out)
{
    for (int64_t f = 0; f <= n / 2; f++) {
        double re = 0, im = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = t * hop - n / 2 + i;
            const double v = at >= 0 && at < frames ? x[at] * (0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)n)) : 0;
            re += v * cos(2 * M_PI * (double)(f * i % n) / (double)n);
            im -= v * sin(2 * M_PI * (double)(f * i % n) / (double)n);
        }
        out[2 * f] = re;
        out[2 * f + 1] = im;
    }
}

/* Frame t of r * M, back in time and windowed, added to sum and norm. */
static void add_back(const double *m, const double *r, int64_t frames, int64_t n, int64_t hop, int64_t t, double *sum,
                     double *norm)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = t * hop - n / 2 + i;
        const double w = 0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)n);
        double v = 0;
        for (int64_t f = 0; f <= n / 2; f++) {
            const double turn = 2 * M_PI * (double)(f * i % n) / (double)n;
            v += (f == 0 || f == n / 2 ? 1 : 2) * r[f] * (m[2 * f] * cos(turn) - m[2 * f + 1] * sin(turn));
        }
        if (at >= 0 && at < frames) {
            sum[at] += w * v / (double)n;
            norm[at] += w * w;
        }
    }
}

static double power_of(const double *x, int64_t f)
{
    return x[2 * f] * x[2 * f] + x[2 * f + 1] * x[2 * f + 1];
}

/* The center of x, [frames]. */
static double *oracle(const float *x, int64_t frames, int64_t n, int64_t hop)
{
    const int64_t count = frames / hop + 1, row = n + 2;
    double *const block = calloc((size_t)(4 * frames + 2 * count * row + n), sizeof *block);
    REQUIRE(block);
    double *const mid = block, *const side = mid + frames, *const sum = side + frames, *const norm = sum + frames;
    double *const m = norm + frames, *const s = m + count * row, *const r = s + count * row;
    for (int64_t i = 0; i < frames; i++) {
        mid[i] = ((double)x[2 * i] + x[2 * i + 1]) / 2;
        side[i] = ((double)x[2 * i] - x[2 * i + 1]) / 2;
    }
    for (int64_t t = 0; t < count; t++) {
        spectrum(mid, frames, n, hop, t, m + t * row);
        spectrum(side, frames, n, hop, t, s + t * row);
    }
    for (int64_t t = 0; t < count; t++) {
        for (int64_t f = 0; f <= n / 2; f++) {
            double a = 0, b = 0;
            for (int64_t u = t > 0 ? t - 1 : 0; u <= t + 1 && u < count; u++) {
                a += power_of(m + u * row, f);
                b += power_of(s + u * row, f);
            }
            r[f] = a > 0 ? fmin(1, sqrt(b / a)) : 1;
        }
        add_back(m + t * row, r, frames, n, hop, t, sum, norm);
    }
    double *const c = malloc((size_t)(frames + 1) * sizeof *c);
    REQUIRE(c);
    for (int64_t i = 0; i < frames; i++)
        c[i] = mid[i] - sum[i] / norm[i];
    free(block);
    return c;
}

TEST(equation)
{
    static const struct {
        struct center_split_params p;
        int64_t frames;
        const char *reason;
    } cases[] = {{{64, 16}, 1, "one sample"},
                 {{64, 16}, 33, "half a window"},
                 {{64, 16}, 9000, "several blocks"},
                 {{100, 7}, 2500, "odd sizes"},
                 {{256, 64}, 3000, "many bins"}};
    double worst = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t n = cases[c].frames;
        float *const x = split_signal(n);
        double *const want = oracle(x, n, cases[c].p.n_fft, cases[c].p.hop_samples);
        struct guarded g = stems(&cases[c].p, x, n, 0, 2);
        float *const center = split_take(g.data, n, WIDTH, 0), *const right = split_take(g.data, n, WIDTH, 1);
        const double error = compare_l2(center, want, n);
        if (!(error <= 2e-5))
            printf("    %s: %.1e\n", cases[c].reason, error);
        worst = compare_worst(worst, error);
        CHECK(compare_bits(center, right, (size_t)n * sizeof *center));
        guarded_close(&g);
        free(center), free(right), free(want), free(x);
    }
    printf("    center_split: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 2e-5);
}

/* Wherever blocks are cut and on however many threads: the same bits, and center + sides is the mixture. */
TEST(cuts)
{
    static const int64_t lengths[] = {0, 1, 100, 2048, 4095, 4096, 300000, 262144, 262145};
    const struct center_split_params p = center_split_defaults();
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const int64_t n = lengths[k];
        float *const x = split_signal(n);
        struct guarded g = stems(&p, x, n, 1 << 20, 1), other = stems(&p, x, n, 0, 2);
        CHECK(compare_bits(g.data, other.data, (size_t)n * WIDTH * sizeof *x));
        guarded_close(&other);
        if (n > 200000) { /* what comes first does not hang on what follows: a shorter signal begins alike */
            other = stems(&p, x, 200000, 4096, 2);
            CHECK(compare_bits(g.data, other.data, (size_t)(200000 - 3 * 4096) * WIDTH * sizeof *x));
            guarded_close(&other);
        }
        for (int64_t i = 0; i < n; i++)
            for (int c = 0; c < 2; c++)
                CHECK_AT_MOST(fabs((double)g.data[i * WIDTH + c] + g.data[i * WIDTH + 2 + c] - x[2 * i + c]), 6e-8);
        guarded_close(&g);
        free(x);
    }
}

static double energy(const float *x, int64_t frames, int width, int at)
{
    double sum = 0;
    for (int64_t i = 0; i < frames; i++)
        sum += (double)x[i * width + at] * x[i * width + at];
    return sum;
}

/* One source at two amplitudes: the smaller of them is in the center, but not of opposite signs. */
TEST(one_source_anywhere)
{
    static const struct {
        double left, right, center;
    } cases[] = {{1, 1, 1},     {1, 0, 0},     {0, 1, 0},      {1, -1, 0},
                 {1, 0.5, 0.5}, {0.3, 1, 0.3}, {0.7, -0.2, 0}, {-0.8, -0.6, -0.6}};
    int64_t n;
    float *const x = split_audio("music_stereo_44k.flac", &n);
    const struct center_split_params p = center_split_defaults();
    float *const mix = malloc((size_t)n * 2 * sizeof *mix);
    double *const want = malloc((size_t)n * sizeof *want);
    REQUIRE(mix && want);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int64_t i = 0; i < n; i++) {
            mix[2 * i] = (float)cases[k].left * x[2 * i];
            mix[2 * i + 1] = (float)cases[k].right * x[2 * i];
            want[i] = cases[k].center * x[2 * i];
        }
        struct guarded g = stems(&p, mix, n, 10000, 2);
        float *const center = split_take(g.data, n, WIDTH, 0);
        if (cases[k].center == 0)
            CHECK_AT_MOST(energy(center, n, 1, 0), 1e-10 * energy(x, n, 2, 0)); /* -100 dB */
        else
            CHECK_AT_MOST(compare_l2(center, want, n), 1e-5);
        for (int64_t i = 0; i < n && cases[k].left == cases[k].right; i++)
            CHECK(center[i] == mix[2 * i] && g.data[i * WIDTH + 2] == 0 && g.data[i * WIDTH + 3] == 0);
        guarded_close(&g);
        free(center);
    }
    free(want), free(mix), free(x);
}

/* Piano in the middle, drums left, music right and in both: the center is nearer to the piano than the mixture is. */
TEST(mixture_of_recordings)
{
    int64_t n, m;
    float *const piano = split_audio("piano_a3_stereo_44k.mp3", &n), *const drums =
                                                                         split_audio("drums_tabla_stereo_44k.flac", &m);
    n = n < m ? n : m;
    float *const mix = malloc((size_t)n * 2 * sizeof *mix);
    REQUIRE(mix);
    for (int64_t i = 0; i < n; i++) {
        mix[2 * i] = piano[2 * i] + drums[2 * i];
        mix[2 * i + 1] = piano[2 * i] + 0.1f * drums[2 * i];
    }
    const struct center_split_params p = center_split_defaults();
    struct guarded g = stems(&p, mix, n, 0, 2);
    double before = 0, after = 0;
    for (int64_t i = 0; i < n; i++) {
        before += pow(((double)mix[2 * i] + mix[2 * i + 1]) / 2 - piano[2 * i], 2);
        after += pow((double)g.data[i * WIDTH] - piano[2 * i], 2);
    }
    printf("    piano in the middle: %.1f dB better than the sum of both channels\n", 10 * log10(before / after));
    CHECK(after < 0.1 * before);
    guarded_close(&g);
    free(mix), free(piano), free(drums);
}

TEST(damaged_samples_stay_alone)
{
    enum { N = 40000 };
    static const struct {
        int64_t at;
        int channel;
        float value;
    } bad[] = {{0, 0, NAN}, {1000, 1, INFINITY}, {1001, 0, -INFINITY}, {20000, 1, -2e9f}, {N - 1, 0, NAN}};
    const struct center_split_params p = {256, 64};
    float *const x = split_signal(N), *const clean = split_signal(N);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        x[2 * bad[k].at + bad[k].channel] = bad[k].value;
        clean[2 * bad[k].at] = clean[2 * bad[k].at + 1] = 0;
    }
    struct guarded g = stems(&p, x, N, 0, 2), want = stems(&p, clean, N, 5000, 1);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int64_t i = bad[k].at * WIDTH; i < (bad[k].at + 1) * WIDTH; i++) {
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
    const struct center_split_params p = {256, 64};
    struct guarded g = stems(&p, x, N, 0, 1);
    for (int64_t i = 0; i < (int64_t)N * WIDTH; i++)
        CHECK(g.data[i] == 0);
    guarded_close(&g);
    free(x);
}

TEST(refusals)
{
    static const struct center_split_params wrong[] = {{4095, 1024}, {62, 8},      {16386, 8},
                                                       {4096, 0},    {4096, 1025}, {-4, -1}};
    struct exec *ex = split_exec(1);
    struct split_out out = {.stem_count = STEMS, .fail_from = 0};
    struct separation *s = NULL;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
        CHECK_CODE(center_split_create(&wrong[k], ex, split_emit, &out, &s), STATUS_ARGUMENT);
    CHECK(!s);
    const struct center_split_params p = {256, 64};
    const float x[2] = {1, 1};
    CHECK_OK(center_split_create(&p, ex, split_emit, &out, &s));
    CHECK_CODE(separation_push(s, x, -1), STATUS_ARGUMENT);
    CHECK_OK(separation_push(s, x, 1));
    CHECK_CODE(separation_finish(s), STATUS_CANCELLED); /* emit's */
    CHECK_CODE(separation_finish(s), STATUS_ARGUMENT);
    CHECK_CODE(separation_push(s, x, 1), STATUS_ARGUMENT);
    separation_destroy(&s);

    CHECK_OK(center_split_create(&p, ex, split_emit, &out, &s));
    CHECK_OK(separation_push(s, x, 1));
    exec_arena(ex)->fail_at = exec_arena(ex)->calls + 1;
    CHECK_CODE(separation_finish(s), STATUS_NOMEM);
    separation_destroy(&s);
    exec_destroy(&ex);
}
