/* augment: that each change does what it says, and that what is drawn decides. */
#include "augment.h"
#include "philox.h"
#include "split.h"
#include "stretch.h"
#include "subject.h"

enum { RATE = 44100 };

static const double LOSS_DB = 1.25; /* of a tone in a phase vocoder, ours and librosa's alike */

static struct exec *any_exec(int threads)
{
    return subject_backend() == BACKEND_CPU ? split_exec(threads) : subject_exec();
}

static float *sine(double hz, int channels, int64_t n)
{
    float *const x = malloc((size_t)(n + 1) * (size_t)channels * sizeof *x);
    REQUIRE(x);
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < channels; c++)
            x[i * channels + c] = (float)(0.5 * sin(2 * M_PI * hz * (double)i / RATE + c));
    return x;
}

/* Between rising crossings of zero, away from the ends. */
static double pitch_of(const float *x, int channels, int64_t n)
{
    double first = -1, last = -1;
    int64_t periods = -1;
    for (int64_t i = n / 8; i < n - n / 8; i++) {
        const double a = x[i * channels], b = x[(i + 1) * channels];
        if (a < 0 && b >= 0) {
            last = (double)i - a / (b - a);
            first = periods < 0 ? last : first;
            periods++;
        }
    }
    return RATE * (double)periods / (last - first);
}

static double power_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum / (double)n;
}

static struct augment_drawn nothing(void)
{
    return (struct augment_drawn){.seed = 5, .rate = 1, .ratio = 1};
}

static struct guarded augmented(const struct augment_drawn *d, int channels, int64_t n, const float *x)
{
    struct exec *ex = any_exec(2);
    struct guarded g = guarded_open(augment_samples(d, n) * channels);
    CHECK_OK(augment(ex, d, RATE, channels, n, x, g.data));
    CHECK(guarded_intact(&g));
    for (int64_t i = 0; i < g.n; i++)
        if (!isfinite(g.data[i])) {
            CHECK(isfinite(g.data[i]));
            break;
        }
    exec_destroy(&ex);
    return g;
}

TEST(philox_known_answers)
{
    static const struct {
        uint64_t seed, low, high;
        uint32_t want[4];
    } known[] = {{0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                 {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                 {UINT64_C(0x299f31d0a4093822),
                  UINT64_C(0x85a308d3243f6a88),
                  UINT64_C(0x0370734413198a2e),
                  {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct philox got = philox_counted(known[i].seed, known[i].low, known[i].high);
        CHECK(compare_bits(got.word, known[i].want, sizeof got.word));
    }
}

TEST(pitch_moves_by_semitones)
{
    enum { N = RATE };
    static const double semitones[] = {-12, -5, -0.5, 0, 3, 7.5, 12};
    float *const x = sine(440, 2, N);
    for (size_t k = 0; k < sizeof semitones / sizeof *semitones; k++) {
        struct augment_drawn d = nothing();
        d.on[AUGMENT_PITCH] = true;
        d.semitones = semitones[k];
        struct guarded g = augmented(&d, 2, N, x);
        CHECK(g.n == 2 * N);
        for (int c = 0; c < 2; c++) {
            const double hz = pitch_of(g.data + c, 2, N), want = 440 * exp2(semitones[k] / 12);
            CHECK_AT_MOST(fabs(hz / want - 1), 0.003);
        }
        CHECK_AT_MOST(fabs(10 * log10(power_of(g.data + N, N / 2) / power_of(x + N, N / 2))), LOSS_DB);
        guarded_close(&g);
    }
    free(x);
}

/* Every pitch within 0.2 %, and parts that keep the filters small. */
TEST(fractions_are_near)
{
    for (int half = -48; half <= 48; half++) {
        int64_t up = 0, down = 0;
        stretch_fraction(half / 2.0, &up, &down);
        CHECK(up >= 1 && down >= 1 && up <= 512 && down <= 512);
        CHECK_AT_MOST(fabs((double)up / (double)down / exp2(half / 24.0) - 1), 0.002);
    }
}

TEST(stretching_changes_length_and_no_pitch)
{
    enum { N = RATE };
    static const double rates[] = {0.5, 0.83, 1, 1.25, 2};
    float *const x = sine(440, 1, N);
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        struct augment_drawn d = nothing();
        d.on[AUGMENT_STRETCH] = true;
        d.rate = rates[k];
        struct guarded g = augmented(&d, 1, N, x);
        CHECK(g.n == llround(N / rates[k]));
        CHECK_AT_MOST(fabs(pitch_of(g.data, 1, g.n) / 440 - 1), 0.003);
        CHECK_AT_MOST(fabs(10 * log10(power_of(g.data + g.n / 4, g.n / 2) / power_of(x + N / 4, N / 2))), LOSS_DB);
        guarded_close(&g);
    }
    free(x);
}

TEST(gain_and_polarity_are_exact)
{
    enum { N = 10000 };
    float *const x = sine(300, 2, N);
    struct augment_drawn d = nothing();
    d.on[AUGMENT_GAIN] = d.on[AUGMENT_POLARITY] = true;
    d.gain_db = -6.5;
    struct guarded g = augmented(&d, 2, N, x);
    for (int64_t i = 0; i < g.n; i++)
        CHECK(g.data[i] == (float)(x[i] * -pow(10, -6.5 / 20)));
    guarded_close(&g);
    d.on[AUGMENT_GAIN] = false, d.gain_db = 0;
    g = augmented(&d, 2, N, x);
    for (int64_t i = 0; i < g.n; i++)
        CHECK(g.data[i] == -x[i]);
    guarded_close(&g);
    free(x);
}

TEST(noise_is_as_far_below)
{
    enum { N = 100000 };
    float *const x = sine(300, 2, N), *const rest = malloc(2 * N * sizeof *rest);
    for (int db = 0; db <= 60; db += 20) {
        struct augment_drawn d = nothing();
        d.on[AUGMENT_NOISE] = true;
        d.noise_db = db;
        struct guarded g = augmented(&d, 2, N, x);
        double product = 0, fourth = 0;
        for (int64_t i = 0; i < 2 * N; i++)
            rest[i] = g.data[i] - x[i];
        const double power = power_of(rest, 2 * N);
        for (int64_t i = 0; i < 2 * N; i++) {
            product += i ? rest[i] * (double)rest[i - 1] / power : 0;
            fourth += pow(rest[i], 4) / (power * power);
        }
        CHECK_AT_MOST(fabs(10 * log10(power_of(x, 2 * N) / power) - db), 0.05);
        CHECK_AT_MOST(fabs(product) / (2 * N), 0.01);   /* white */
        CHECK_AT_MOST(fabs(fourth / (2 * N) - 3), 0.1); /* Gaussian */
        guarded_close(&g);
    }
    struct augment_drawn d = nothing();
    d.on[AUGMENT_NOISE] = true;
    struct guarded g = augmented(&d, 2, N, x);
    for (int k = 0; k < 3; k++) { /* seed, epoch and item each make another */
        struct augment_drawn other = d;
        *(k == 0 ? &other.seed : k == 1 ? &other.epoch : &other.item) += 1;
        struct guarded h = augmented(&other, 2, N, x);
        CHECK(!compare_bits(g.data, h.data, (size_t)g.n * sizeof *x));
        guarded_close(&h);
    }
    guarded_close(&g);
    memset(x, 0, 2 * N * sizeof *x);
    g = augmented(&d, 2, N, x);
    CHECK(power_of(g.data, g.n) == 0);
    guarded_close(&g);
    free(x), free(rest);
}

static double crest_of(const float *x, int64_t n)
{
    double peak = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fmax(peak, fabsf(x[i]));
    return peak / sqrt(power_of(x, n));
}

TEST(compression_takes_crest)
{
    enum { N = 4 * RATE };
    float *const x = sine(300, 1, N);
    for (int64_t i = 0; i < N; i++)
        x[i] *= i / 11025 % 8 == 0 ? 1.8f : 0.1f; /* bursts of -0.9 dB over -26 dB */
    struct augment_drawn d = nothing();
    d.on[AUGMENT_COMPRESS] = true;
    d.threshold_db = -20;
    d.ratio = 4;
    struct guarded g = augmented(&d, 1, N, x);
    CHECK_AT_MOST(crest_of(g.data, N), 0.9 * crest_of(x, N));
    for (int64_t i = 8000; i < 11025; i++) { /* in the burst: peaks of 0.9 are 19.1 dB over and come out 4.8 over */
        const double want = x[i] * pow(10, -19.085 * 0.75 / 20);
        CHECK_AT_MOST(fabs(g.data[i] - want), 0.01 * fabs(want) + 1e-6);
    }
    for (int64_t i = 40000; i < 43600; i++) /* long after it: below threshold and knee */
        CHECK_AT_MOST(fabsf(g.data[i] - x[i]), 0.01 * fabsf(x[i]) + 1e-7);
    guarded_close(&g);
    d.ratio = 1;
    g = augmented(&d, 1, N, x);
    CHECK(compare_bits(g.data, x, N * sizeof *x));
    guarded_close(&g);
    free(x);
}

TEST(mutes_are_where_they_were_drawn)
{
    enum { N = 20000 };
    float *const x = sine(300, 2, N);
    for (int64_t i = 0; i < 2 * N; i++)
        x[i] += 2; /* no zeros of its own */
    struct augment_drawn d = nothing();
    d.on[AUGMENT_MUTE] = true;
    d.mutes = 2;
    d.mute_at[0] = 0.25, d.mute_s[0] = 1000.0 / RATE;
    d.mute_at[1] = 0.999, d.mute_s[1] = 1;
    struct guarded g = augmented(&d, 2, N, x);
    for (int64_t i = 0; i < 2 * N; i++) {
        const bool muted = (i / 2 >= 5000 && i / 2 < 6000) || i / 2 >= 19980;
        CHECK(g.data[i] == (muted ? 0 : x[i]));
    }
    guarded_close(&g);
    free(x);
}

TEST(crops_and_zeros_behind)
{
    enum { N = 5000, FADE = 441 };
    float *const x = sine(300, 2, N);
    struct augment_drawn d = nothing();
    d.samples = 1000;
    static const double places[] = {0, 0.4, 0x1.fffffffffffffp-1};
    for (int k = 0; k < 3; k++) {
        d.crop = places[k];
        struct guarded g = augmented(&d, 2, N, x);
        const int64_t first = (int64_t)(places[k] * (N - 1001 + 1));
        CHECK(g.n == 2000 && compare_bits(g.data, x + 2 * first, 2000 * sizeof *x));
        guarded_close(&g);
    }
    d.samples = 8000;
    struct guarded g = augmented(&d, 2, N, x);
    CHECK(compare_bits(g.data, x, 2 * (size_t)(N - FADE) * sizeof *x));
    for (int64_t i = 2 * (N - FADE); i < 2 * N; i++) {
        const int64_t left = N - i / 2;
        CHECK_AT_MOST(fabs(g.data[i] - x[i] * (double)left / (FADE + 1)), 1e-6);
    }
    for (int64_t i = 2 * N; i < g.n; i++)
        CHECK(g.data[i] == 0);
    guarded_close(&g);
    d.on[AUGMENT_STRETCH] = true; /* faster: more of the signal goes in */
    d.rate = 2, d.samples = 2000, d.crop = 0;
    g = augmented(&d, 2, N, x);
    CHECK(g.n == 4000 && power_of(g.data + 3900, 100) > 0.01);
    guarded_close(&g);
    free(x);
}

TEST(draws_keep_to_ranges_and_chances)
{
    enum { DRAWS = 4000 };
    struct augment_params p = augment_defaults();
    int on[AUGMENT_KINDS] = {0}, mutes[AUGMENT_MUTES + 1] = {0};
    double rates = 0;
    for (int k = 0; k < AUGMENT_KINDS; k++)
        p.chance[k] = 0.1 + 0.1 * k;
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct augment_drawn d;
        CHECK_OK(augment_draw(&p, 7, i % 10, i, &d));
        for (int k = 0; k < AUGMENT_KINDS; k++)
            on[k] += d.on[k];
        CHECK(d.on[AUGMENT_PITCH] ? d.semitones >= -4 && d.semitones <= 4 && floor(2 * d.semitones) == 2 * d.semitones
                                  : d.semitones == 0);
        CHECK(d.on[AUGMENT_STRETCH] ? d.rate >= 0.8 && d.rate <= 1.25 : d.rate == 1);
        CHECK(d.on[AUGMENT_GAIN] ? d.gain_db >= -12 && d.gain_db <= 6 : d.gain_db == 0);
        CHECK(d.on[AUGMENT_NOISE] ? d.noise_db >= 20 && d.noise_db <= 60 : d.noise_db == 0);
        CHECK(d.on[AUGMENT_COMPRESS] ? d.ratio >= 2 && d.ratio <= 6 && d.threshold_db >= -30 && d.threshold_db <= -12
                                     : d.ratio == 1);
        CHECK(d.crop >= 0 && d.crop < 1 && (d.mutes > 0) == d.on[AUGMENT_MUTE] && d.mutes <= 2);
        for (int m = 0; m < d.mutes; m++)
            CHECK(d.mute_at[m] >= 0 && d.mute_at[m] < 1 && d.mute_s[m] >= 0.01 && d.mute_s[m] <= 0.2);
        mutes[d.mutes]++;
        rates += d.on[AUGMENT_STRETCH] ? d.rate : 0;
    }
    for (int k = 0; k < AUGMENT_KINDS; k++) /* four deviations */
        CHECK_AT_MOST(fabs(on[k] / (double)DRAWS - p.chance[k]), 4 * sqrt(0.25 / DRAWS));
    CHECK_AT_MOST(fabs(rates / on[AUGMENT_STRETCH] - 1.025), 4 * 0.13 / sqrt(on[AUGMENT_STRETCH]));
    CHECK(mutes[1] > DRAWS / 4 && mutes[2] > DRAWS / 4);
}

/* A chance of one kind changes no other. */
TEST(kinds_draw_apart)
{
    struct augment_params p = augment_defaults();
    p.chance[AUGMENT_GAIN] = p.chance[AUGMENT_NOISE] = p.chance[AUGMENT_MUTE] = 1;
    struct augment_drawn with, without;
    CHECK_OK(augment_draw(&p, 3, 1, 1, &with));
    p.chance[AUGMENT_GAIN] = 0;
    CHECK_OK(augment_draw(&p, 3, 1, 1, &without));
    CHECK(with.gain_db != 0 && without.gain_db == 0 && with.noise_db == without.noise_db && with.crop == without.crop);
    CHECK(with.mutes == without.mutes && with.mute_at[0] == without.mute_at[0]);
}

TEST(seeds_decide_and_threads_do_not)
{
    enum { N = 30000 };
    float *const x = split_signal(N);
    struct augment_params p = augment_defaults();
    for (int k = 0; k < AUGMENT_KINDS; k++)
        p.chance[k] = 1;
    p.samples = 20000;
    struct augment_drawn d[4];
    CHECK_OK(augment_draw(&p, 1, 2, 3, &d[0]));
    CHECK_OK(augment_draw(&p, 2, 2, 3, &d[1]));
    CHECK_OK(augment_draw(&p, 1, 3, 3, &d[2]));
    CHECK_OK(augment_draw(&p, 1, 2, 4, &d[3]));
    struct guarded first = augmented(&d[0], 2, N, x);
    for (int k = 0; k < 4; k++) {
        struct exec *ex = any_exec(k == 0 ? 3 : 1);
        struct guarded g = guarded_open(2 * p.samples);
        CHECK_OK(augment(ex, &d[k], RATE, 2, N, x, g.data));
        CHECK(compare_bits(g.data, first.data, (size_t)g.n * sizeof *x) == (k == 0));
        for (int l = 0; l < k; l++)
            CHECK(d[k].gain_db != d[l].gain_db && d[k].crop != d[l].crop);
        guarded_close(&g);
        exec_destroy(&ex);
    }
    guarded_close(&first);
    free(x);
}

TEST(listed_as_text)
{
    struct augment_params p = augment_defaults();
    struct augment_drawn d;
    char text[2048], small[40];
    p.chance[AUGMENT_GAIN] = p.chance[AUGMENT_MUTE] = 1;
    p.samples = 77;
    CHECK_OK(augment_draw(&p, UINT64_MAX, 9, 12, &d));
    CHECK_OK(augment_text(&d, text, sizeof text));
    CHECK(strncmp(text, "{\"seed\":18446744073709551615,\"epoch\":9,\"item\":12,\"on\":[\"gain\",\"mute\"],", 70) == 0);
    const char *const gain = strstr(text, "\"gain_db\":"), *const at = strstr(text, "\"mute_at\":[");
    REQUIRE(gain && at);
    CHECK(strtod(gain + 10, NULL) == d.gain_db && strtod(at + 11, NULL) == d.mute_at[0]);
    CHECK(strstr(text, "\"samples\":77}") && strlen(text) < 1024);
    CHECK_CODE(augment_text(&d, small, sizeof small), STATUS_SHAPE);
    for (int k = 0; k < AUGMENT_KINDS; k++)
        d.on[k] = true;
    d.mutes = AUGMENT_MUTES;
    for (int i = 0; i < AUGMENT_MUTES; i++)
        d.mute_at[i] = d.mute_s[i] = -1.2345678901234567e-100;
    CHECK_OK(augment_text(&d, text, sizeof text));
    CHECK(strstr(text, "\"samples\":77}"));
}

TEST(refused)
{
    enum { N = 3000 };
    struct exec *ex = any_exec(1);
    float *const x = sine(300, 1, N), y[N];
    struct augment_drawn d = nothing();
    x[N - 1] = NAN;
    CHECK_CODE(augment(ex, &d, RATE, 1, N, x, y), STATUS_ARGUMENT);
    x[N - 1] = -INFINITY;
    CHECK_CODE(augment(ex, &d, RATE, 1, N, x, y), STATUS_ARGUMENT);
    d.samples = N - 2; /* the crop ends before it */
    CHECK_OK(augment(ex, &d, RATE, 1, N, x, y));
    d.crop = 0.999999; /* and here with it */
    CHECK_CODE(augment(ex, &d, RATE, 1, N, x, y), STATUS_ARGUMENT);
    d = nothing();
    x[N - 1] = 0;
    CHECK_OK(augment(ex, &d, RATE, 1, N, x, y));
    CHECK_OK(augment(ex, &d, RATE, 1, 0, NULL, NULL));
    CHECK_CODE(augment(ex, &d, RATE, 3, N / 3, x, y), STATUS_ARGUMENT);
    CHECK_CODE(augment(ex, &d, NAN, 1, N, x, y), STATUS_ARGUMENT);
    CHECK_CODE(augment(ex, &d, RATE, 1, -1, x, y), STATUS_SHAPE);
    CHECK_CODE(augment(ex, &d, RATE, 1, N, NULL, y), STATUS_ARGUMENT);
    CHECK_CODE(stretch_signal(ex, 5, 1, N, x, y), STATUS_ARGUMENT);
    CHECK_CODE(stretch_signal(ex, NAN, 1, N, x, y), STATUS_ARGUMENT);
    CHECK_CODE(stretch_pitch(ex, 25, 1, N, x, y), STATUS_ARGUMENT);
    CHECK_CODE(stretch_pitch(ex, NAN, 1, N, x, y), STATUS_ARGUMENT);
    CHECK_CODE(stretch_pitch(ex, 1, 1, STRETCH_SAMPLES + 1, x, y), STATUS_SHAPE);
    d.on[AUGMENT_STRETCH] = d.on[AUGMENT_PITCH] = true; /* of little and nothing */
    d.rate = 1.5, d.semitones = 5;
    for (int n = 0; n < 5; n++) {
        CHECK(augment_samples(&d, n) <= n);
        CHECK_OK(augment(ex, &d, RATE, 1, n, x, y));
    }
    struct augment_params p = augment_defaults();
    p.chance[0] = 1.1;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.chance[3] = NAN;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.rate.most = 5;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.semitones.least = NAN;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.gain_db = (struct augment_range){3, 2};
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.mutes = AUGMENT_MUTES + 1;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults(), p.samples = -1;
    CHECK_CODE(augment_draw(&p, 1, 1, 1, &d), STATUS_ARGUMENT);
    p = augment_defaults();
    CHECK_CODE(augment_draw(&p, 1, UINT64_C(1) << 32, 1, &d), STATUS_ARGUMENT);
    free(x);
    exec_destroy(&ex);
}
