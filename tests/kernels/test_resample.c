/* resample: against a direct sum in double, across cuts, and its response as the header promises it. */
#include "device_batch.h"
#include "subject.h"

static const struct {
    int64_t in, out, samples;
    const char *reason;
} cases[] = {
    {48000, 44100, 3000, "147/160"},
    {44100, 48000, 3000, "160/147"},
    {44100, 22050, 3000, "halved: one phase"},
    {22050, 44100, 1000, "doubled"},
    {8000, 96000, 300, "twelve times"},
    {96000, 8000, 9000, "a twelfth"},
    {35467, 44100, 500, "no common factor"},
    {48000, 48000, 400, "the same rate"},
    {48000, 44100, 1, "one sample"},
    {1000000, 1000, 3000, "the smallest ratio"},
    {3, 2, 1000, "small rates"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The filter from its definition, on its own. */
static double tap(const struct resample_params *p, int64_t n, int64_t i, double *sum)
{
    const double ratio = (double)p->rate_in / (double)p->rate_out, f = ratio > 1 ? 1 / ratio : 1;
    const struct resample_key k = resample_key(p);
    const double taps = (double)resample_taps(&k), beta = 0.1102 * (150 - 8.7);
    const int64_t whole = n * k.down / k.up;
    const double at = (double)whole + (double)(n * k.down % k.up) / (double)k.up;
    const double t = (double)i - at, edge = 2 * t / taps, x = M_PI * 0.957 * f * t;
    double bessel[2] = {1, 1};
    for (int way = 0; way < 2; way++) {
        const double z = way ? beta : beta * sqrt(fmax(0, 1 - edge * edge));
        double term = 1;
        for (int j = 1; j < 200; j++) {
            term *= z / 2 / j * (z / 2 / j);
            bessel[way] += term;
        }
    }
    const double v = fabs(edge) >= 1 ? 0 : bessel[0] / bessel[1] * (x == 0 ? 1 : sin(x) / x);
    *sum += v;
    return v;
}

static double oracle(const struct resample_params *p, const float *x, int64_t samples, int64_t n)
{
    const struct resample_key k = resample_key(p);
    const int64_t half = resample_taps(&k) / 2, centre = n * k.down / k.up;
    double all = 0, y = 0;
    for (int64_t i = centre - half + 1; i <= centre + half; i++) {
        const double h = tap(p, n, i, &all);
        y += i >= 0 && i < samples ? h * x[i] : 0;
    }
    return y / all;
}

/* The samples of one piece, guarded. */
static struct guarded run(struct exec *ex, const struct resample_params *p, const float *x, int64_t samples,
                          struct piece piece)
{
    const int64_t xo[2] = {0, samples}, yo[2] = {0, resample_count(p, piece, samples)};
    const struct ragged in = {
        .data = (void *)(uintptr_t)x, .channels = 1, .offset = xo, .piece = &piece, .rows = 1, .total = samples};
    struct guarded g = guarded_open(yo[1]);
    struct ragged out = {.data = g.data, .channels = 1, .offset = yo, .rows = 1, .total = yo[1]};
    struct device_batch b = device_batch(ex);
    const struct ragged x_there = device_ragged_in(&b, &in);
    struct ragged y_there = device_ragged_out(&b, &out);
    const int code = device_done(&b, resample(ex, p, &x_there, &y_there));
    if (code)
        printf("    %s\n", status_message());
    REQUIRE(code == STATUS_OK && guarded_intact(&g));
    return g;
}

TEST(samples_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int c = 0; c < CASES; c++) {
        const struct resample_params p = {cases[c].in, cases[c].out};
        uint64_t seed = (uint64_t)c;
        float *const x = malloc((size_t)cases[c].samples * sizeof *x);
        double error = 0;
        subject_noise(&seed, x, cases[c].samples);
        struct guarded g = run(ex, &p, x, cases[c].samples, (struct piece){0, true, true});
        CHECK(g.n == (int64_t)ceil((double)cases[c].samples * (double)cases[c].out / (double)cases[c].in));
        for (int64_t n = 0; n < g.n; n += 1 + g.n / 150)
            error = compare_worst(error, fabs(g.data[n] - oracle(&p, x, cases[c].samples, n)) / 0.5);
        if (!(error <= 1e-6))
            printf("    %s: %.1e\n", cases[c].reason, error);
        worst = compare_worst(worst, error);
        guarded_close(&g);
        free(x);
    }
    printf("    resample: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&ex);
}

TEST(any_cut_gives_equal_samples)
{
    enum { N = 6000 };
    struct exec *ex = subject_exec();
    static float x[N];
    uint64_t seed = 3;
    subject_noise(&seed, x, N);
    for (int round = 0; round < (subject_backend() == BACKEND_EMULATED ? 16 : 60); round++) {
        const struct resample_params p = {cases[round % 8].in, cases[round % 8].out};
        struct guarded whole = run(ex, &p, x, N, (struct piece){0, true, true});
        int64_t next = 0, start = 0;
        bool ok = true;
        for (int64_t end = 0; end < N;) {
            end = start + resample_overlap(&p) + 1 + (int64_t)(test_random(&seed) % 900);
            end = end > N ? N : end;
            const struct piece piece = {start, start == 0, end == N};
            struct guarded part = run(ex, &p, x + start, end - start, piece);
            const int64_t first = resample_first(&p, piece);
            ok &= part.n == 0 || (first <= next && first + part.n <= whole.n);
            ok = ok && memcmp(part.data, whole.data + first, (size_t)part.n * sizeof(float)) == 0;
            next = part.n ? first + part.n : next;
            guarded_close(&part);
            start = end - resample_overlap(&p);
            start = start < 0 ? 0 : start;
        }
        CHECK(ok && next == whole.n);
        guarded_close(&whole);
    }
    exec_destroy(&ex);
}

/* Samples of a tone, and those at either end that are not looked at: fewer where threads are emulated one by one. */
static int tone_samples(void)
{
    return subject_backend() == BACKEND_EMULATED ? 9000 : 40000;
}

static int tone_skip(void)
{
    return tone_samples() / 5;
}

/* Amplitude of a tone behind the resampler in dB, by its projection under a Hann window. */
static double gain_of_tone(struct exec *ex, const struct resample_params *p, double hz)
{
    static float x[40000];
    const int samples = tone_samples();
    for (int i = 0; i < samples; i++)
        x[i] = (float)sin(2 * M_PI * hz * i / (double)p->rate_in);
    struct guarded g = run(ex, p, x, samples, (struct piece){0, true, true});
    const int64_t skip = tone_skip() * p->rate_out / p->rate_in, n = g.n - 2 * skip;
    double re = 0, im = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        const double w = 0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)n);
        const double turn = 2 * M_PI * hz * (double)(skip + i) / (double)p->rate_out;
        re += w * g.data[skip + i] * cos(turn);
        im += w * g.data[skip + i] * sin(turn);
        norm += w;
    }
    guarded_close(&g);
    return 20 * log10(2 * hypot(re, im) / norm);
}

/* Level of a tone behind the resampler, in dB below the tone. */
static double level_of_tone(struct exec *ex, const struct resample_params *p, double hz)
{
    static float x[40000];
    const int samples = tone_samples();
    for (int i = 0; i < samples; i++)
        x[i] = (float)sin(2 * M_PI * hz * i / (double)p->rate_in);
    struct guarded g = run(ex, p, x, samples, (struct piece){0, true, true});
    double sum = 0;
    const int64_t skip = tone_skip() * p->rate_out / p->rate_in;
    for (int64_t i = skip; i < g.n - skip; i++)
        sum += (double)g.data[i] * g.data[i];
    const double mean = sum / (double)(g.n - 2 * skip);
    guarded_close(&g);
    return 10 * log10(fmax(2 * mean, 1e-30));
}

TEST(response_is_what_the_header_says)
{
    struct exec *ex = subject_exec();
    static const struct resample_params ratios[] = {{48000, 44100}, {44100, 48000}, {96000, 44100}, {44100, 16000}};
    for (int i = 0; i < 4; i++) {
        const struct resample_params *const p = &ratios[i];
        const double nyquist = fmin((double)p->rate_in, (double)p->rate_out) / 2, top = (double)p->rate_in / 2;
        double ripple = 0, stop = -200;
        for (int step = 1; step <= 11; step++)
            ripple = fmax(ripple, fabs(gain_of_tone(ex, p, (0.0615 + 0.0775 * step) * nyquist)));
        CHECK_AT_MOST(fabs(gain_of_tone(ex, p, 0.957 * nyquist) + 6.02), 0.1);
        for (int step = 0; step < 8 && p->rate_in > p->rate_out; step++)
            stop = fmax(stop, level_of_tone(ex, p, nyquist + 0.999 * (top - nyquist) * step / 8));
        printf("    %lld -> %lld: ripple %.1e dB, stopband %.1f dB\n", (long long)p->rate_in, (long long)p->rate_out,
               ripple, p->rate_in > p->rate_out ? stop : 0);
        CHECK_AT_MOST(ripple, 1e-4);
        if (p->rate_in > p->rate_out)
            CHECK_AT_MOST(stop, -140); /* float32 samples end near there: the filter alone is at -150 */
    }
    exec_destroy(&ex);
}

/* What a tone leaves beside itself: the images that a lower rate's band has in a higher one. */
TEST(a_tone_stays_alone)
{
    enum { N = 30000 };
    struct exec *ex = subject_exec();
    static float x[N];
    const struct resample_params p = {44100, 48000};
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(2 * M_PI * 9999 * i / 44100.0);
    struct guarded g = run(ex, &p, x, N, (struct piece){0, true, true});
    double error = 0, signal = 0;
    for (int64_t i = 2000; i < g.n - 2000; i++) {
        const double want = sin(2 * M_PI * 9999 * (double)i / 48000);
        error += (g.data[i] - want) * (g.data[i] - want);
        signal += want * want;
    }
    printf("    signal to error %.1f dB\n", 10 * log10(signal / error));
    CHECK(10 * log10(signal / error) >= 135);
    guarded_close(&g);
    exec_destroy(&ex);
}

/* Rows of a batch, one of them empty, one with a NaN and one with an infinity: each as it is alone. */
TEST(rows_stand_alone)
{
    enum { ROWS = 5, N = 2600 };
    static const struct resample_params ratios[] = {{48000, 44100}, {44100, 22050}, {8000, 24000}, {96000, 8000}};
    static float x[N];
    const int64_t xo[ROWS + 1] = {0, 700, 700, 1500, 1501, N};
    struct exec *ex = subject_exec();
    uint64_t seed = 6;
    subject_noise(&seed, x, N);
    x[1000] = NAN;
    x[2000] = INFINITY;
    for (int c = 0; c < 4; c++) {
        const struct resample_params *const p = &ratios[c];
        const struct resample_key key = resample_key(p);
        int64_t yo[ROWS + 1] = {0};
        for (int b = 0; b < ROWS; b++)
            yo[b + 1] = yo[b] + resample_count(p, (struct piece){0, true, true}, xo[b + 1] - xo[b]);
        struct guarded g = guarded_open(yo[ROWS]);
        const struct ragged in = {.data = x, .channels = 1, .offset = xo, .rows = ROWS, .total = N};
        const struct ragged out = {.data = g.data, .channels = 1, .offset = yo, .rows = ROWS, .total = yo[ROWS]};
        struct device_batch batch = device_batch(ex);
        const struct ragged x_there = device_ragged_in(&batch, &in);
        struct ragged y_there = device_ragged_out(&batch, &out);
        CHECK_OK(device_done(&batch, resample(ex, p, &x_there, &y_there)));
        CHECK(guarded_intact(&g));
        for (int b = 0; b < ROWS; b++) {
            struct guarded one = run(ex, p, x + xo[b], xo[b + 1] - xo[b], (struct piece){0, true, true});
            CHECK(compare_bits(one.data, g.data + yo[b], (size_t)one.n * sizeof(float)));
            guarded_close(&one);
        }
        /* The row with the NaN: where the filter holds it, and there alone. Vectors read a few samples beyond. */
        for (int64_t n = 0; n < yo[3] - yo[2] && subject_isa() == ISA_SCALAR; n++) {
            const int64_t from = n * key.down / key.up - resample_taps(&key) / 2 + 1;
            const bool held = from <= 300 && 300 < from + resample_taps(&key);
            CHECK(held == (isnan(g.data[yo[2] + n]) != 0));
        }
        guarded_close(&g);
    }
    exec_destroy(&ex);
}

TEST(front_refuses)
{
    static const struct {
        int64_t in, out;
        const char *reason;
    } bad[] = {{0, 1, "no rate"},
               {1, 0, "no rate"},
               {-8000, 8000, "negative"},
               {1, 1001, "over 1:1000"},
               {1001, 1, "over 1000:1"},
               {1, 1000000, "1:1e6"},
               {INT64_C(1) << 31, 1 << 30, "over 2^30"},
               {1000003, 999983, "two primes: too many filters"}};
    struct exec *ex = subject_exec();
    float x[10] = {0}, y[100];
    const int64_t offset[2] = {0, 10}, wrong[2] = {0, 9}, twice[2] = {0, 20};
    const struct ragged in = {.data = x, .channels = 1, .offset = offset, .rows = 1, .total = 10};
    struct ragged out = {.data = y, .channels = 1, .offset = twice, .rows = 1, .total = 20};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_CODE(resample(ex, &(struct resample_params){bad[i].in, bad[i].out}, &in, &out), STATUS_ARGUMENT);
    const struct resample_params p = {8000, 16000};
    struct device_batch b = device_batch(ex);
    const struct ragged x_there = device_ragged_in(&b, &in);
    struct ragged y_there = device_ragged_out(&b, &out);
    CHECK_OK(device_done(&b, resample(ex, &p, &x_there, &y_there)));
    struct ragged spoiled = in;
    spoiled.channels = 2;
    CHECK_CODE(resample(ex, &p, &spoiled, &out), STATUS_ARGUMENT);
    spoiled = in, spoiled.data = NULL;
    CHECK_CODE(resample(ex, &p, &spoiled, &out), STATUS_ARGUMENT);
    spoiled = in, spoiled.total = 9;
    CHECK_CODE(resample(ex, &p, &spoiled, &out), STATUS_SHAPE);
    spoiled = in, spoiled.offset = wrong, spoiled.total = 9;
    CHECK_CODE(resample(ex, &p, &spoiled, &out), STATUS_SHAPE);
    const struct piece piece = {5, true, true};
    spoiled = in, spoiled.piece = &piece;
    CHECK_CODE(resample(ex, &p, &spoiled, &out), STATUS_SHAPE);
    if (subject_isa() != ISA_SCALAR) {
        exec_arena(ex)->fail_at = exec_arena(ex)->calls + 1;
        CHECK_CODE(resample(ex, &p, &in, &out), STATUS_NOMEM);
    }
    exec_destroy(&ex);
}
