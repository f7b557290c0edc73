/* time_stretch and phase_step: against sums of angles and quotients in double. */
#include "device_batch.h"
#include "subject.h"

static int run(struct exec *ex, const double *rate, const struct ragged *x, const struct ragged *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged x_there = device_ragged_in(&b, x);
    struct ragged y_there = device_ragged_out(&b, y);
    return device_done(&b, time_stretch(ex, rate, &x_there, &y_there));
}

static struct ragged spectra(const float *data, int32_t bins, const int64_t *offset, int64_t rows)
{
    return (struct ragged){.data = (void *)(uintptr_t)data,
                           .dtype = DTYPE_C64,
                           .channels = bins,
                           .offset = offset,
                           .rows = rows,
                           .total = offset[rows]};
}

/* A bin of the equation as it is in the paper: angles, the phase that a bin's own frequency adds, the rest of it
 * wrapped, and all of that summed. The hop changes nothing but rounding. */
static void oracle(const float *x, int64_t bins, int64_t f, int64_t frames, double rate, int64_t results, double *y)
{
    const long double turn = 2 * acosl(-1), own = 512 * turn * (long double)f / 2048;
    long double phase = 0;
    for (int64_t t = 0; t < results; t++) {
        const double s = (double)t * rate, part = s - floor(s);
        long double magnitude[2], angle[2];
        for (int k = 0; k < 2; k++) {
            const int64_t i = (int64_t)floor(s) + k;
            const long double re = i < frames ? x[(i * bins + f) * 2] : 0,
                              im = i < frames ? x[(i * bins + f) * 2 + 1] : 0;
            magnitude[k] = hypotl(re, im);
            angle[k] = magnitude[k] == 0 ? 0 : atan2l(im, re);
        }
        phase = t == 0 ? angle[0] : phase;
        const long double m = (1 - part) * magnitude[0] + part * magnitude[1];
        y[2 * t] = (double)(m * cosl(phase));
        y[2 * t + 1] = (double)(m * sinl(phase));
        const long double more = angle[1] - angle[0] - own;
        phase = fmodl(phase + own + (more - turn * roundl(more / turn)), turn);
    }
}

static const struct {
    double rate;
    int64_t frames;
    int32_t bins;
    const char *reason;
} cases[] = {
    {1, 50, 65, "as it is"},
    {1.25, 80, 1025, "faster"},
    {0.8, 60, 257, "slower; 0.8 is no double"},
    {2, 21, 64, "every second frame, and an odd one at the end"},
    {3.7, 100, 63, "frames left out"},
    {0.1, 12, 16, "ten for one"},
    {1000, 2500, 3, "fastest"},
    {0.001, 2, 5, "slowest"},
    {1.0000001, 20, 9, "hardly"},
    {1.5, 1, 130, "a frame"},
    {0.7, 0, 130, "none"},
};

static double error_of(struct exec *ex, double rate, int64_t frames, int32_t bins, uint64_t seed)
{
    const int64_t results = time_stretch_frames(rate, frames), xo[2] = {0, frames}, yo[2] = {0, results};
    float *const x = malloc((size_t)(frames * bins * 2 + 1) * sizeof *x);
    float *const got = calloc((size_t)(results * 2 + 1), sizeof *got);
    double *const want = calloc((size_t)(results * 2 + 1), sizeof *want), worst = 0;
    REQUIRE(x && got && want);
    subject_noise(&seed, x, frames * bins * 2);
    for (int64_t i = 0; i < frames * bins; i += 7) /* digital silence has no phase */
        x[2 * i] = x[2 * i + 1] = 0;
    struct guarded g = guarded_open(results * bins * 2);
    const struct ragged in = spectra(x, bins, xo, 1), out = spectra(g.data, bins, yo, 1);
    CHECK_OK(run(ex, &rate, &in, &out));
    CHECK(guarded_intact(&g));
    for (int64_t f = 0; f < bins && results; f += bins > 100 ? 41 : 1) {
        oracle(x, bins, f, frames, rate, results, want);
        for (int64_t t = 0; t < results; t++)
            memcpy(got + 2 * t, g.data + (t * bins + f) * 2, 2 * sizeof *got);
        worst = compare_worst(worst, compare_l2(got, want, 2 * results));
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
        const double error = error_of(ex, cases[c].rate, cases[c].frames, cases[c].bins, c);
        if (!(error <= 1e-6))
            printf("    %s: %.1e\n", cases[c].reason, error);
        worst = compare_worst(worst, error);
    }
    worst = compare_worst(worst, error_of(ex, 0.93, 10000, 5, 99)); /* phases do not drift */
    printf("    time_stretch: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&ex);
}

/* Of what one backend gives, also the emulated one: rows beside each other, each with its rate. */
TEST(rows_stand_alone)
{
    enum { BINS = 70, T = 300 };
    static const int64_t frames[] = {40, 0, 1, 90, 169};
    static const double rate[] = {1.1, 1.3, 0.5, 2.25, 0.77};
    struct exec *ex = subject_exec();
    static float x[T * BINS * 2];
    int64_t xo[6] = {0}, yo[6] = {0};
    uint64_t seed = 4;
    subject_noise(&seed, x, T * BINS * 2);
    for (int b = 0; b < 5; b++) {
        xo[b + 1] = xo[b] + frames[b];
        yo[b + 1] = yo[b] + time_stretch_frames(rate[b], frames[b]);
    }
    struct guarded g = guarded_open(yo[5] * BINS * 2);
    const struct ragged in = spectra(x, BINS, xo, 5), out = spectra(g.data, BINS, yo, 5);
    CHECK_OK(run(ex, rate, &in, &out));
    CHECK(guarded_intact(&g));
    for (int b = 0; b < 5; b++) {
        const int64_t one_x[2] = {0, frames[b]}, one_y[2] = {0, yo[b + 1] - yo[b]};
        struct guarded alone = guarded_open(one_y[1] * BINS * 2);
        const struct ragged from = spectra(x + xo[b] * BINS * 2, BINS, one_x, 1),
                            to = spectra(alone.data, BINS, one_y, 1);
        CHECK_OK(run(ex, rate + b, &from, &to));
        CHECK(compare_bits(alone.data, g.data + yo[b] * BINS * 2, (size_t)alone.n * sizeof(float)));
        guarded_close(&alone);
    }
    guarded_close(&g);
    exec_destroy(&ex);
}

/* More rows than one launch takes. */
TEST(many_rows)
{
    enum { ROWS = 600, BINS = 3 };
    static float x[ROWS * 2 * BINS * 2], y[ROWS * 3 * BINS * 2];
    static int64_t xo[ROWS + 1], yo[ROWS + 1];
    static double rate[ROWS];
    struct exec *ex = subject_exec();
    uint64_t seed = 2;
    subject_noise(&seed, x, (int64_t)(sizeof x / sizeof *x));
    for (int b = 0; b < ROWS; b++) {
        rate[b] = b % 2 ? 1 : 0.7;
        xo[b + 1] = xo[b] + 2;
        yo[b + 1] = yo[b] + time_stretch_frames(rate[b], 2);
    }
    const struct ragged in = spectra(x, BINS, xo, ROWS), out = spectra(y, BINS, yo, ROWS);
    CHECK_OK(run(ex, rate, &in, &out));
    for (int64_t b = 0; b < ROWS; b++)
        for (int64_t i = 0; i < BINS * 2; i++) /* a row begins as it did */
            CHECK(fabsf(y[yo[b] * BINS * 2 + i] - x[xo[b] * BINS * 2 + i]) <= 1e-6f);
    exec_destroy(&ex);
}

TEST(not_finite_stays_in_its_bin)
{
    enum { BINS = 20, T = 30, BAD = 11 };
    const double rate = 0.8;
    const int64_t results = time_stretch_frames(rate, T), xo[2] = {0, T}, yo[2] = {0, results};
    struct exec *ex = subject_exec();
    for (int c = 0; c < 2; c++) {
        float x[T * BINS * 2];
        uint64_t seed = 3;
        subject_noise(&seed, x, T * BINS * 2);
        x[(BAD * BINS + 7) * 2 + c] = c ? INFINITY : NAN;
        struct guarded g = guarded_open(results * BINS * 2);
        const struct ragged in = spectra(x, BINS, xo, 1), out = spectra(g.data, BINS, yo, 1);
        CHECK_OK(run(ex, &rate, &in, &out));
        for (int64_t i = 0; i < results * BINS; i++) {
            const int64_t t = i / BINS;
            const bool bad = i % BINS == 7 && (int64_t)((double)t * rate) + 1 >= BAD;
            CHECK(bad == !(isfinite(g.data[2 * i]) && isfinite(g.data[2 * i + 1])));
        }
        guarded_close(&g);
    }
    exec_destroy(&ex);
}

TEST(threads_change_nothing)
{
    enum { BINS = 300, T = 40 };
    if (subject_backend() != BACKEND_CPU)
        return; /* a device has threads of its own */
    static float x[T * BINS * 2];
    const double rate = 0.9;
    const int64_t results = time_stretch_frames(rate, T), xo[2] = {0, T}, yo[2] = {0, results};
    struct exec *one = subject_exec(), *three = NULL;
    CHECK_OK(
        exec_create(&(struct exec_options){.isa = subject_isa(), .threads = 3, .ops = ops_cpu(subject_isa())}, &three));
    REQUIRE(three);
    uint64_t seed = 8;
    subject_noise(&seed, x, T * BINS * 2);
    struct guarded g[2] = {guarded_open(results * BINS * 2), guarded_open(results * BINS * 2)};
    for (int k = 0; k < 2; k++) {
        const struct ragged in = spectra(x, BINS, xo, 1);
        struct ragged out = spectra(g[k].data, BINS, yo, 1);
        CHECK_OK(time_stretch(k ? three : one, &rate, &in, &out));
    }
    CHECK(compare_bits(g[0].data, g[1].data, (size_t)g[0].n * sizeof(float)) && isfinite(g[0].data[0]));
    guarded_close(&g[0]), guarded_close(&g[1]);
    exec_destroy(&one);
    exec_destroy(&three);
}

TEST(refused)
{
    struct exec *ex = subject_exec();
    float x[6 * 4 * 2] = {0}, y[6 * 4 * 2] = {0};
    const int64_t xo[3] = {0, 2, 6}, yo[3] = {0, 1, 5};
    const double rate[2] = {2, 1};
    const struct ragged in = spectra(x, 4, xo, 2);
    struct ragged out = spectra(y, 4, yo, 2), bad = in;
    CHECK_OK(run(ex, rate, &in, &out));
    static const double wrong[] = {0, -1, 1e-4, 1001, NAN, INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_CODE(time_stretch(ex, (const double[2]){2, wrong[i]}, &in, &out), STATUS_ARGUMENT);
    CHECK_CODE(time_stretch(ex, (const double[2]){2, 1.5}, &in, &out), STATUS_SHAPE);
    CHECK_CODE(time_stretch(ex, NULL, &in, &out), STATUS_ARGUMENT);
    bad.dtype = DTYPE_F32;
    CHECK_CODE(time_stretch(ex, rate, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.channels = 3;
    CHECK_CODE(time_stretch(ex, rate, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.data = NULL;
    CHECK_CODE(time_stretch(ex, rate, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.total = 5;
    CHECK_CODE(time_stretch(ex, rate, &bad, &out), STATUS_SHAPE);
    const struct piece part[2] = {{0, true, false}, {0, true, true}};
    bad = in, bad.piece = part;
    CHECK_CODE(time_stretch(ex, rate, &bad, &out), STATUS_SHAPE);
    float m[4] = {1, 1, 1, 1};
    CHECK_CODE(phase_step(ex, 0.5, -1, m, x, x, y), STATUS_SHAPE);
    CHECK_CODE(phase_step(ex, 1.5, 4, m, x, x, y), STATUS_ARGUMENT);
    CHECK_CODE(phase_step(ex, NAN, 4, m, x, x, y), STATUS_ARGUMENT);
    CHECK_CODE(phase_step(ex, 0.5, 4, NULL, x, x, y), STATUS_ARGUMENT);
    CHECK_CODE(phase_step(ex, 0.5, 4, m, NULL, x, y), STATUS_ARGUMENT);
    CHECK_CODE(phase_step(ex, 0.5, 4, m, x, x, NULL), STATUS_ARGUMENT);
    CHECK_OK(phase_step(ex, 0.5, 0, NULL, NULL, NULL, NULL));
    exec_destroy(&ex);
}

static double stepped(struct exec *ex, double ahead, int64_t n, bool with_before, bool in_place, uint64_t seed)
{
    float *const magnitude = malloc((size_t)n * sizeof(float)), *const now = malloc((size_t)n * 2 * sizeof(float));
    float *const before = malloc((size_t)n * 2 * sizeof(float));
    double *const want = malloc((size_t)n * 2 * sizeof *want);
    REQUIRE(magnitude && now && before && want);
    subject_noise(&seed, magnitude, n);
    subject_noise(&seed, now, 2 * n);
    subject_noise(&seed, before, 2 * n);
    for (int64_t i = 0; i < n; i++) {
        magnitude[i] = fabsf(magnitude[i]);
        for (int c = 0; c < 2 && i % 5 == 1; c++) /* nothing there, nearly nothing, and what takes itself away */
            now[2 * i + c] = i % 3 == 0 ? 0 : i % 3 == 1 ? 1e-38f : 0.5f * before[2 * i + c];
        const double re = now[2 * i] - (with_before ? ahead * before[2 * i] : 0);
        const double im = now[2 * i + 1] - (with_before ? ahead * before[2 * i + 1] : 0);
        want[2 * i] = magnitude[i] * re / (sqrt(re * re + im * im) + 0x1p-126);
        want[2 * i + 1] = magnitude[i] * im / (sqrt(re * re + im * im) + 0x1p-126);
    }
    struct guarded g = guarded_open(2 * n);
    if (in_place)
        memcpy(g.data, now, (size_t)n * 2 * sizeof *now);
    struct device_batch b = device_batch(ex);
    const size_t bytes = (size_t)n * sizeof(float);
    float *const y = device_out(&b, g.data, 2 * bytes);
    const float *const m = device_in(&b, magnitude, bytes), *const was = device_in(&b, before, 2 * bytes);
    const float *const is = in_place ? y : device_in(&b, now, 2 * bytes);
    CHECK_OK(device_done(&b, phase_step(ex, ahead, n, m, is, with_before ? was : NULL, y)));
    CHECK(guarded_intact(&g));
    const double error = compare_l2(g.data, want, 2 * n);
    guarded_close(&g);
    free(magnitude), free(now), free(before), free(want);
    return error;
}

TEST(steps_match_the_equation)
{
    struct exec *ex = subject_exec();
    static const int64_t sizes[] = {1, 7, 8192, 8193, 30001};
    double worst = 0;
    for (int s = 0; s < 5; s++)
        for (int k = 0; k < 4; k++)
            worst = compare_worst(worst, stepped(ex, k == 3 ? -1 : 0.5, sizes[s], k != 1, k == 2, (uint64_t)s));
    printf("    phase_step: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 2e-7);
    exec_destroy(&ex);
}
