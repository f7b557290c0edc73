/* What is computed from finished features, against plain sums in double. */
#include "device_batch.h"
#include "subject.h"

static const int64_t lengths[] = {1, 2, 3, 15, 16, 17, 64, 65, 1000};
static const int32_t widths[] = {1, 7, 8, 16, 20, 128, 131};
enum { LENGTHS = sizeof lengths / sizeof *lengths, WIDTHS = sizeof widths / sizeof *widths };

static float *values(uint64_t seed, int64_t n)
{
    float *const x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = -40 + 40 * test_noise(&seed) + (test_random(&seed) % 4 == 0 ? 0 : 5 * test_noise(&seed));
    return x;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The five of v [n]; sorts v. */
static void oracle_describe(double *v, int64_t n, double out[STATISTIC_KINDS])
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    for (int64_t i = 0; i < n; i++)
        squares += pow(v[i] - sum / (double)n, 2);
    qsort(v, (size_t)n, sizeof *v, rising);
    out[STATISTIC_MEAN] = sum / (double)n;
    out[STATISTIC_VAR] = squares / (double)n;
    out[STATISTIC_MEDIAN] = (v[(n - 1) / 2] + v[n / 2]) / 2;
    out[STATISTIC_MIN] = v[0];
    out[STATISTIC_MAX] = v[n - 1];
}

static int run_statistics(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged in = device_ragged_in(&b, x);
    float *const out = device_out(&b, y, (size_t)(x->rows * STATISTICS * x->channels) * sizeof *y);
    return device_done(&b, statistics(ex, &in, block, out));
}

static int run_mfcc(struct exec *ex, const struct mfcc_params *p, const struct ragged *x, const float *least,
                    const struct ragged *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged in = device_ragged_in(&b, x);
    struct ragged out = device_ragged_out(&b, y);
    const float *const floor_db = device_in(&b, least, (size_t)x->rows * sizeof *least);
    return device_done(&b, mfcc(ex, p, &in, floor_db, &out));
}

static int run_peak(struct exec *ex, const struct ragged *x, float *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged in = device_ragged_in(&b, x);
    float *const out = device_out(&b, y, (size_t)x->rows * sizeof *y);
    return device_done(&b, decibel_peak(ex, &in, out));
}

static int run_clip(struct exec *ex, const struct ragged *x, const float *least)
{
    struct device_batch b = device_batch(ex);
    struct ragged out = device_ragged_out(&b, x);
    const float *const floor_db = device_in(&b, least, (size_t)x->rows * sizeof *least);
    return device_done(&b, decibel_clip(ex, &out, floor_db));
}

/* In units of the tolerance of statistics.h. */
static double worst_of(const double *want, const float *got, int64_t columns, double largest)
{
    double worst = 0;
    for (int k = 0; k < STATISTIC_KINDS; k++) {
        const double tolerance = k == STATISTIC_VAR    ? 1e-5 * want[k] + 1e-12 * largest * largest
                                 : k == STATISTIC_MEAN ? 2e-7 * largest
                                                       : 6e-8 * fabs(want[k]);
        const double gap = fabs(got[k * columns] - want[k]);
        worst = compare_worst(worst, gap == 0 ? 0 : gap / tolerance);
    }
    return worst;
}

static double statistics_error(struct exec *ex, int64_t frames, int32_t columns, int64_t block, uint64_t seed)
{
    float *const x = values(seed, frames * columns);
    double *const v = malloc((size_t)frames * sizeof *v), worst = 0;
    const int64_t offset[2] = {0, frames};
    const struct ragged in = {.data = x, .channels = columns, .offset = offset, .rows = 1, .total = frames};
    struct guarded g = guarded_open((int64_t)STATISTICS * columns);
    CHECK_OK(run_statistics(ex, &in, block, g.data));
    CHECK(guarded_intact(&g) && exec_arena(ex)->used == 0);
    for (int64_t c = 0; c < columns; c++) {
        double want[STATISTIC_KINDS];
        int64_t n = 0;
        for (int64_t t = 0; t < frames; t++)
            v[t] = x[t * columns + c];
        oracle_describe(v, frames, want);
        worst = compare_worst(worst, worst_of(want, g.data + c, columns, 85));
        for (int64_t t = 1; t < frames; t++)
            if (block == 0 || t % block)
                v[n++] = x[t * columns + c] - x[(t - 1) * columns + c];
        if (n)
            oracle_describe(v, n, want);
        for (int k = 0; n == 0 && k < STATISTIC_KINDS; k++)
            worst = isnan(g.data[(STATISTIC_KINDS + k) * columns + c]) ? worst : INFINITY;
        if (n)
            worst = compare_worst(worst, worst_of(want, g.data + STATISTIC_KINDS * columns + c, columns, 170));
    }
    guarded_close(&g);
    free(x), free(v);
    return worst;
}

TEST(statistics_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int i = 0; i < LENGTHS; i++)
        for (int k = 0; k < WIDTHS; k++)
            for (int64_t block = 0; block < 65; block += 64) {
                const double error = statistics_error(ex, lengths[i], widths[k], block, (uint64_t)(i * 100 + k));
                if (!(error <= 1))
                    printf("    %lld frames of %d, blocks of %lld: %.2g times the tolerance\n", (long long)lengths[i],
                           (int)widths[k], (long long)block, error);
                worst = compare_worst(worst, error);
            }
    printf("    statistics: %.2f of the tolerance\n", worst);
    CHECK_AT_MOST(worst, 1);
    exec_destroy(&ex);
}

/* Equal values, both zeros, values around zero, a NaN in one column, rows of a batch, an empty row. */
TEST(statistics_of_odd_columns)
{
    enum { T = 40, C = 5 };
    struct exec *ex = subject_exec();
    float x[2 * T * C], y[3 * STATISTICS * C];
    for (int t = 0; t < 2 * T; t++) {
        x[t * C] = 3;
        x[t * C + 1] = t % 2 ? 0.0f : -0.0f;
        x[t * C + 2] = (float)(t % T) - 19.5f;
        x[t * C + 3] = t == T + 7 ? NAN : 1;
        x[t * C + 4] = t % T == 0 ? 1e-38f : -1e-38f;
    }
    const int64_t offset[4] = {0, T, T, 2 * T};
    const struct ragged in = {.data = x, .channels = C, .offset = offset, .rows = 3, .total = 2 * T};
    CHECK_OK(run_statistics(ex, &in, 0, y));
    const float *const first = y, *const none = y + STATISTICS * C, *const last = y + 2 * STATISTICS * C;
    for (int k = 0; k < STATISTICS * C; k++) {
        CHECK(isnan(none[k]));
        CHECK(k % C == 3 ? !!isnan(last[k]) : compare_bits(first + k, last + k, sizeof *first));
    }
    CHECK(first[STATISTIC_MEAN * C] == 3 && first[STATISTIC_VAR * C] == 0 && first[STATISTIC_MEDIAN * C] == 3);
    CHECK(first[STATISTIC_MEDIAN * C + 1] == 0 && first[STATISTIC_MEDIAN * C + 2] == 0);
    CHECK(first[STATISTIC_MIN * C + 2] == -19.5f && first[STATISTIC_MAX * C + 2] == 19.5f);
    CHECK(first[(STATISTIC_KINDS + STATISTIC_MEDIAN) * C + 2] == 1);
    CHECK(first[STATISTIC_MEDIAN * C + 4] == -1e-38f);
    exec_destroy(&ex);
}

TEST(mfcc_matches_oracle)
{
    static const struct {
        int64_t frames;
        int32_t mels, k;
        double lifter, floor_db;
    } cases[] = {
        {7, 128, 20, 0, -40}, {4, 40, 13, 22, -1000}, {1, 16, 16, 0, -30}, {9, 5, 1, 2, -30}, {3, 300, 40, 0, -20}};
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t m = cases[c].mels, k = cases[c].k, offset[2] = {0, cases[c].frames};
        float *const x = values(c, cases[c].frames * m);
        const float least = (float)cases[c].floor_db;
        struct guarded g = guarded_open(cases[c].frames * k);
        const struct ragged in = {.data = x, .channels = (int32_t)m, .offset = offset, .rows = 1, .total = offset[1]};
        struct ragged out = {.data = g.data, .channels = (int32_t)k, .offset = offset, .rows = 1, .total = offset[1]};
        CHECK_OK(run_mfcc(ex, &(struct mfcc_params){(int32_t)k, cases[c].lifter}, &in, &least, &out));
        CHECK(guarded_intact(&g));
        for (int64_t t = 0; t < cases[c].frames; t++)
            for (int64_t i = 0; i < k; i++) {
                double sum = 0, norm = 0;
                for (int64_t j = 0; j < m; j++) {
                    const double v = fmax(x[t * m + j], cases[c].floor_db);
                    sum += v * cos(M_PI * (double)i * (double)(2 * j + 1) / (2 * (double)m));
                    norm += v * v;
                }
                const double lift =
                    cases[c].lifter > 0 ? 1 + cases[c].lifter / 2 * sin(M_PI * (double)(i + 1) / cases[c].lifter) : 1;
                sum *= lift * sqrt((i ? 2 : 1) / (double)m);
                worst = compare_worst(worst, fabs(g.data[t * k + i] - sum) / (1e-6 * sqrt(norm) * fmax(lift, 1)));
            }
        guarded_close(&g);
        free(x);
    }
    printf("    mfcc: %.2f of the tolerance\n", worst);
    CHECK_AT_MOST(worst, 1);
    exec_destroy(&ex);
}

TEST(decibels_are_clipped_below_the_peak)
{
    enum { C = 3, N = 50 };
    struct exec *ex = subject_exec();
    float *const x = values(3, (int64_t)N * C), want[N * C], peak[3];
    const int64_t offset[4] = {0, 20, 20, N};
    x[7] = NAN;
    memcpy(want, x, sizeof want);
    struct ragged in = {.data = x, .channels = C, .offset = offset, .rows = 3, .total = N};
    CHECK_OK(run_peak(ex, &in, peak));
    float most[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (int i = 0; i < N * C; i++)
        most[i < 20 * C ? 0 : 2] = fmaxf(most[i < 20 * C ? 0 : 2], x[i]);
    CHECK(compare_bits(peak, most, sizeof peak));
    const float least[3] = {peak[0] - 20, 0, peak[2] - 50};
    CHECK_OK(run_clip(ex, &in, least));
    double worst = 0;
    for (int i = 0; i < N * C; i++) {
        const float clipped = fmaxf(want[i], least[i < 20 * C ? 0 : 2]);
        CHECK(isnan(want[i]) ? !!isnan(x[i]) : x[i] == clipped);
        worst = isnan(want[i]) ? worst : compare_worst(worst, compare_relative(x[i], clipped));
    }
    printf("    decibel_peak: worst %.1e\n    decibel_clip: worst %.1e\n",
           compare_worst(compare_relative(peak[0], most[0]), compare_relative(peak[2], most[2])), worst);
    free(x);
    exec_destroy(&ex);
}

TEST(fronts_refuse_what_the_headers_forbid)
{
    struct exec *ex = subject_exec();
    float x[8] = {0}, y[STATISTICS * 2], least[1] = {0};
    const int64_t offset[2] = {0, 4}, falling[3] = {0, 4, 2};
    const struct ragged good = {.data = x, .channels = 2, .offset = offset, .rows = 1, .total = 4};
    struct ragged bad[7];
    for (int i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].dtype = DTYPE_I16;
    bad[1].channels = 0;
    bad[2].channels = 65538;
    bad[3].data = NULL;
    bad[4].total = 3;
    bad[5].rows = -1;
    bad[6] = (struct ragged){.data = x, .channels = 2, .offset = falling, .rows = 2, .total = 2};
    for (int i = 0; i < 7; i++) {
        const int code = i < 4 ? STATUS_ARGUMENT : STATUS_SHAPE;
        struct ragged out = {.data = y, .channels = 1, .offset = offset, .rows = 1, .total = 4};
        CHECK_CODE(statistics(ex, &bad[i], 0, y), code);
        CHECK_CODE(decibel_peak(ex, &bad[i], y), code);
        CHECK_CODE(decibel_clip(ex, &bad[i], least), code);
        CHECK_CODE(mfcc(ex, &(struct mfcc_params){1, 0}, &bad[i], NULL, &out), code);
    }
    struct ragged out = {.data = y, .channels = 1, .offset = offset, .rows = 1, .total = 4};
    const struct piece part = {0, true, false};
    struct ragged piece = good;
    piece.piece = &part;
    CHECK_CODE(statistics(ex, &piece, 0, y), STATUS_SHAPE);
    CHECK_CODE(statistics(ex, &good, -1, y), STATUS_ARGUMENT);
    CHECK_CODE(statistics(ex, &good, 0, NULL), STATUS_ARGUMENT);
    CHECK_CODE(mfcc(ex, &(struct mfcc_params){3, 0}, &good, NULL, &out), STATUS_ARGUMENT);
    CHECK_CODE(mfcc(ex, &(struct mfcc_params){1, NAN}, &good, NULL, &out), STATUS_ARGUMENT);
    CHECK_CODE(mfcc(ex, &(struct mfcc_params){2, 0}, &good, NULL, &out), STATUS_ARGUMENT);
    CHECK_OK(run_mfcc(ex, &(struct mfcc_params){1, 0}, &good, NULL, &out));
    if (exec_backend(ex) == BACKEND_CPU) { /* devices need no scratch for it */
        exec_arena(ex)->fail_at = exec_arena(ex)->calls + 1;
        CHECK_CODE(statistics(ex, &good, 0, y), STATUS_NOMEM);
    }
    exec_destroy(&ex);
}
