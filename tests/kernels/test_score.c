/* SDR of the MDX challenge and SI-SDR: figures that can be worked out by hand, silence, and every error. */
#include "compare.h"
#include "score.h"
#include "test.h"

enum { MOST = 8 };
#define DELTA 1e-7

static struct score_signal signal_of(const float *data, int64_t samples, int32_t channels)
{
    return (struct score_signal){data, samples, channels};
}

/* |got - want| in dB; 0 for the same infinity, infinity for anything else that is not finite. */
static double gap(double got, double want)
{
    return got == want ? 0 : compare_worst(0, fabs(got - want));
}

static const struct {
    const char *reason;
    float s[MOST], e[MOST];
    int64_t samples;
    double truth, error; /* sums of squares */
} mdx_cases[] = {
    {"half an error in one of four", {1, 1, 1, 1}, {1, 1, 1, 0.5F}, 4, 4, 0.25},
    {"twice as loud: the error is as large as the signal", {1, -1, 1, -1}, {2, -2, 2, -2}, 4, 4, 4},
    {"silent estimate: 0 dB", {1, 2, 3, 4}, {0}, 4, 30, 30},
    {"silent reference: far below 0 dB", {0}, {1, 0, 0, 0}, 4, 0, 1},
    {"both silent: 0 dB, by the delta", {0}, {0}, 4, 0, 0},
    {"perfect: bounded by the delta", {1, 0, 0, 0}, {1, 0, 0, 0}, 4, 1, 0},
    {"one sample", {3}, {2}, 1, 9, 1},
    {"inverted", {1, 2}, {-1, -2}, 2, 5, 20},
};

TEST(sdr_mdx_is_as_by_hand)
{
    for (size_t c = 0; c < sizeof mdx_cases / sizeof *mdx_cases; c++)
        for (int32_t channels = 1; channels <= (mdx_cases[c].samples % 2 ? 1 : 2); channels++) {
            const int64_t samples = mdx_cases[c].samples / channels;
            const struct score_signal s = signal_of(mdx_cases[c].s, samples, channels);
            const struct score_signal e = signal_of(mdx_cases[c].e, samples, channels);
            double db = NAN;
            CHECK_OK(score_sdr_mdx(&s, &e, &db));
            const double want = 10 * log10((mdx_cases[c].truth + DELTA) / (mdx_cases[c].error + DELTA));
            printf("    %s: %.9f dB\n", mdx_cases[c].reason, db);
            CHECK_AT_MOST(gap(db, want), 1e-9);
        }
}

static const struct {
    const char *reason;
    float s[MOST], e[MOST];
    int64_t samples;
    int32_t channels;
    struct score_si_sdr_params p;
    double ratio; /* of energies */
} si_cases[] = {
    {"scaled: perfect", {1, -2, 3}, {-2, 4, -6}, 3, 1, {false, false}, INFINITY},
    {"orthogonal: nothing of it", {1, 0}, {0, 1}, 2, 1, {false, false}, 0},
    {"a = 1/2, target 1/2, rest 1/2", {1, 1}, {1, 0}, 2, 1, {false, false}, 1},
    {"a = 3, target 9, rest 16", {1, 0}, {3, 4}, 2, 1, {false, false}, 9.0 / 16},
    {"an offset is an error", {1, -1}, {2, 0}, 2, 1, {false, false}, 1},
    {"but not with zero_mean", {1, -1}, {2, 0}, 2, 1, {true, false}, INFINITY},
    {"offset of the reference, zero_mean", {6, 4, 5, 5}, {1, -1, 2, -2}, 4, 1, {true, false}, 1.0 / 4},
    /* channels (1, 0) and (0, 2) beside (3, 4) and (1, 2): a = (3 + 4) / 5, target 49/5, rest 30 - 49/5 */
    {"one scale for all channels", {1, 0, 0, 2}, {3, 1, 4, 2}, 2, 2, {false, false}, 9.8 / 20.2},
    /* 9/16 and 4/1, geometric mean 3/2 */
    {"each channel its own", {1, 0, 0, 2}, {3, 1, 4, 2}, 2, 2, {false, true}, 1.5},
    /* means 2 and 1 leave (1, -1), (1, -1) beside (1, -1), (3, -3): a = 2, target 16, rest 4 */
    {"means by channel", {3, 2, 1, 0}, {6, 8, 4, 2}, 2, 2, {true, false}, 4},
    {"silent reference", {0, 0}, {1, 2}, 2, 1, {false, false}, NAN},
    {"silent estimate", {1, 2}, {0, 0}, 2, 1, {false, false}, NAN},
    {"a constant is silent without its mean", {1, 1}, {1, 2}, 2, 1, {true, false}, NAN},
    {"one silent channel, together", {1, 0, 0, 0}, {3, 0, 4, 0}, 2, 2, {false, false}, 9.0 / 16},
    {"one silent channel, each its own", {1, 0, 0, 0}, {3, 0, 4, 0}, 2, 2, {false, true}, NAN},
};

TEST(si_sdr_is_as_by_hand)
{
    for (size_t c = 0; c < sizeof si_cases / sizeof *si_cases; c++) {
        const struct score_signal s = signal_of(si_cases[c].s, si_cases[c].samples, si_cases[c].channels);
        const struct score_signal e = signal_of(si_cases[c].e, si_cases[c].samples, si_cases[c].channels);
        double db = 12345;
        CHECK_OK(score_si_sdr(&si_cases[c].p, &s, &e, &db));
        printf("    %s: %.9f dB\n", si_cases[c].reason, db);
        if (isnan(si_cases[c].ratio))
            CHECK(isnan(db));
        else
            CHECK_AT_MOST(gap(db, 10 * log10(si_cases[c].ratio)), 1e-9);
    }
}

/* A tone and a weak one beside it, 100 dB apart and orthogonal over whole periods: what a difference of sums in float,
 * or of large sums in double, would lose. */
TEST(a_hundred_decibels_over_a_long_signal)
{
    enum { SAMPLES = 1 << 20 };
    float *const s = malloc(SAMPLES * sizeof *s), *const e = malloc(SAMPLES * sizeof *e);
    REQUIRE(s && e);
    long double cross = 0, square = 0, rest = 0, error = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        s[i] = (float)sin(2 * M_PI * 1000 * (double)i / SAMPLES);
        e[i] = (float)(0.25 * s[i] + 0.25e-5 * sin(2 * M_PI * 30000 * (double)i / SAMPLES));
        cross += (long double)s[i] * e[i];
        square += (long double)s[i] * s[i];
        error += ((long double)s[i] - e[i]) * ((long double)s[i] - e[i]);
    }
    const long double scale = cross / square;
    for (int64_t i = 0; i < SAMPLES; i++)
        rest += (scale * s[i] - e[i]) * (scale * s[i] - e[i]);
    const struct score_signal truth = signal_of(s, SAMPLES, 1), found = signal_of(e, SAMPLES, 1);
    const struct score_si_sdr_params plain = {false, false};
    double db = NAN;
    CHECK_OK(score_si_sdr(&plain, &truth, &found, &db));
    printf("    SI-SDR %.9f dB\n", db);
    CHECK_AT_MOST(gap(db, (double)(10 * log10l(scale * scale * square / rest))), 1e-9);
    CHECK_AT_MOST(fabs(db - 100), 0.2);
    CHECK_OK(score_sdr_mdx(&truth, &found, &db));
    CHECK_AT_MOST(gap(db, (double)(10 * log10l((square + DELTA) / (error + DELTA)))), 1e-9);
    free(s), free(e);
}

TEST(errors_leave_the_result_alone)
{
    const float good[MOST] = {1, 2, 3, 4}, bad[MOST] = {1, 2, NAN, 4}, loud[MOST] = {1, 2, 3, INFINITY};
    const struct score_signal s = signal_of(good, 4, 1);
    const struct {
        const char *reason;
        struct score_signal s, e;
        int code;
    } cases[] = {
        {"no samples", signal_of(good, 0, 1), signal_of(good, 0, 1), STATUS_SHAPE},
        {"no channels", signal_of(good, 4, 0), signal_of(good, 4, 0), STATUS_SHAPE},
        {"too many channels", signal_of(good, 1, 65), signal_of(good, 1, 65), STATUS_SHAPE},
        {"a shorter estimate", s, signal_of(good, 3, 1), STATUS_SHAPE},
        {"another number of channels", s, signal_of(good, 4, 2), STATUS_SHAPE},
        {"a NaN in the estimate", s, signal_of(bad, 4, 1), STATUS_ARGUMENT},
        {"a NaN in the reference", signal_of(bad, 4, 1), s, STATUS_ARGUMENT},
        {"an infinity", s, signal_of(loud, 4, 1), STATUS_ARGUMENT},
    };
    const struct score_si_sdr_params plain = {false, false};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double db = 12345;
        CHECK_CODE(score_sdr_mdx(&cases[c].s, &cases[c].e, &db), cases[c].code);
        CHECK_CODE(score_si_sdr(&plain, &cases[c].s, &cases[c].e, &db), cases[c].code);
        printf("    %s: %s\n", cases[c].reason, status_message());
        CHECK(db == 12345);
    }
    CHECK(strstr(status_message(), "estimate 0 is not finite at sample 3") != NULL);
}
