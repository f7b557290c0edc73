/* rms, peak and zero_crossing against their oracles, and the frame arithmetic against counting one by one. */
#include "oracle.h"
#include "subject.h"

TEST(frame_counts_match_counting)
{
    uint64_t seed = 11;
    const struct piece whole = {0, true, true};
    for (int i = 0; i < 20000; i++) {
        const struct frame_params p = {1 + (int64_t)(test_random(&seed) % 40), 1 + (int64_t)(test_random(&seed) % 60),
                                       test_random(&seed) & 1};
        const int64_t n = (int64_t)(test_random(&seed) % 200);
        if (frame_count(&p, whole, n) != oracle_frames(&p, n)) {
            printf("    W %lld hop %lld centred %d n %lld\n", (long long)p.window_samples, (long long)p.hop_samples,
                   p.centred, (long long)n);
            REQUIRE(frame_count(&p, whole, n) == oracle_frames(&p, n));
        }
    }
}

TEST(reflection_mirrors_without_the_end)
{
    static const int64_t want[] = {4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0};
    for (int64_t i = -4; i < 9; i++)
        CHECK(frame_reflect(i, 5) == want[i + 4]);
}

enum { ROWS = 5 };
static const struct {
    struct frame_params p;
    int64_t samples[ROWS];
    float level; /* 0: noise, else a constant */
    const char *reason;
} cases[] = {
    {{2048, 512, true}, {0, 1, 2047, 2048, 100003}, 0, "librosa's defaults; empty, one sample, around one frame, many"},
    {{2048, 512, false}, {0, 1, 2047, 2048, 100003}, 0, "not centred: short rows give no frame"},
    {{1, 1, false}, {0, 1, 2, 3, 4}, 0, "smallest window"},
    {{5, 7, true}, {0, 1, 6, 7, 8}, 0, "hop longer than an odd window"},
    {{6, 7, true}, {0, 1, 6, 7, 8}, 0, "hop longer than an even window"},
    {{65536, 1, true}, {0, 1, 2, 100, 300}, 0, "largest window, smallest hop"},
    {{65536, 4096, true}, {0, 1, 65535, 65536, 200000}, 0.9f, "a constant, the worst case of a sum"},
    {{100, 33, true}, {1, 99, 100, 101, 5000}, 1e-20f, "squares that f32 would lose"},
};

static double want_of(enum subject_op op, const struct frame_params *p, const float *x, int64_t n, int64_t t)
{
    return op == SUBJECT_RMS    ? oracle_rms(p, x, n, t)
           : op == SUBJECT_PEAK ? oracle_peak(p, x, n, t)
                                : oracle_zero_crossing(p, x, n, t);
}

/* Worst relative error of the frames of a batch of all rows of a case. */
static double worst_of(struct exec *ex, enum subject_op op, size_t c)
{
    const struct subject s = {op, {.stft = {.frame = cases[c].p}}};
    int64_t xo[ROWS + 1] = {0}, yo[ROWS + 1];
    for (int b = 0; b < ROWS; b++)
        xo[b + 1] = xo[b] + cases[c].samples[b];
    uint64_t seed = 12 + c;
    float *const in = malloc((size_t)(xo[ROWS] + 1) * sizeof *in);
    subject_noise(&seed, in, xo[ROWS]);
    for (int64_t i = 0; i < xo[ROWS] && cases[c].level != 0; i++)
        in[i] = cases[c].level;
    const struct ragged x = {.data = in, .channels = 1, .offset = xo, .rows = ROWS, .total = xo[ROWS]};
    struct ragged y = subject_result(&s, &x, yo);
    struct guarded g = guarded_open(y.total);
    y.data = g.data;
    CHECK_OK(subject_run(ex, &s, &x, &y));
    CHECK(guarded_intact(&g));
    double worst = 0;
    for (int b = 0; b < ROWS; b++)
        for (int64_t t = 0; t<ragged_length(&y, b); t += cases[c].p.window_samples> 10000 ? 7 : 1) {
            const double want = want_of(op, &cases[c].p, in + xo[b], cases[c].samples[b], t);
            worst = compare_worst(worst, compare_relative(g.data[yo[b] + t], want));
        }
    guarded_close(&g);
    free(in);
    return worst;
}

TEST(frames_match_oracles)
{
    static const double limit[SUBJECTS] = {[SUBJECT_RMS] = 1e-6, [SUBJECT_PEAK] = 0, [SUBJECT_CROSSING] = 6e-8};
    struct exec *ex = subject_exec();
    for (enum subject_op op = SUBJECT_RMS; op <= SUBJECT_CROSSING; op++) {
        double worst = 0;
        for (size_t c = 0; subject_has(ex, (int)op) && c < sizeof cases / sizeof *cases; c++) {
            const double error = worst_of(ex, op, c);
            if (!(error <= limit[op]))
                printf("    %s case %zu (%s): %.1e\n", subject_name(op), c, cases[c].reason, error);
            worst = compare_worst(worst, error);
        }
        if (subject_has(ex, (int)op))
            printf("    %s: worst %.1e\n", subject_name(op), worst);
        CHECK_AT_MOST(worst, limit[op]);
    }
    exec_destroy(&ex);
}

TEST(what_counts_as_a_crossing)
{
    const float x[] = {1, -1, -0.0f, 0, -1e-10f, -1.1e-10f, -2, 2, 1e-10f, -INFINITY, NAN, -3};
    const struct subject s = {SUBJECT_CROSSING, {.stft = {.frame = {2, 1, false}}}};
    static const float want[] = {0.5f, 0.5f, 0, 0, 0.5f, 0, 0.5f, 0, 0.5f, 0.5f, 0.5f};
    struct exec *ex = subject_exec();
    if (!subject_has(ex, SUBJECT_CROSSING)) {
        exec_destroy(&ex);
        return;
    }
    struct guarded g = subject_row(ex, &s, x, 12, (struct piece){0, true, true});
    CHECK(g.n == 11);
    for (int i = 0; i < 11; i++)
        CHECK(g.data[i] == want[i]);
    guarded_close(&g);
    exec_destroy(&ex);
}

TEST(what_is_not_finite_stays_in_its_frames)
{
    struct exec *ex = subject_exec();
    for (enum subject_op op = SUBJECT_RMS; op <= SUBJECT_PEAK; op++) {
        if (!subject_has(ex, (int)op))
            continue;
        const struct subject s = {op, {.stft = {.frame = {4, 4, false}}}};
        const float x[] = {1, NAN, -INFINITY, 0, 1, -INFINITY, 0, 0, 1, 1, 1, 1};
        struct guarded g = subject_row(ex, &s, x, 12, (struct piece){0, true, true});
        CHECK(isnan(g.data[0]) && g.data[1] == INFINITY && g.data[2] == 1);
        guarded_close(&g);
    }
    exec_destroy(&ex);
}
