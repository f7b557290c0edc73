/* What is computed from finished features, against plain sums in double. */
#include "device_batch.h"
#include "subject.h"

static float *values(uint64_t seed, int64_t n)
{
    float *const x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = -40 + 40 * test_noise(&seed) + (test_random(&seed) % 4 == 0 ? 0 : 5 * test_noise(&seed));
    return x;
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
