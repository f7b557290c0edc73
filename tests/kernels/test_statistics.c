/* statistics against plain sums in double, over lengths, widths, blocks and odd columns; the same bits in any batch. */
#include "device_batch.h"
#include "subject.h"

static const int64_t lengths[] = {1, 2, 3, 15, 16, 17, 64, 65, 1000};
static const int32_t widths[] = {1, 7, 8, 16, 20, 128, 131};
enum { LENGTHS = sizeof lengths / sizeof *lengths, WIDTHS = sizeof widths / sizeof *widths };

enum { TILE = 2048 }; /* frames that a device cuts longer rows into */

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

/* Rows that end about the edges of tiles, and blocks that lie across them. */
TEST(statistics_of_long_rows_match_oracle)
{
    static const struct {
        int64_t frames;
        int32_t columns;
        int64_t block;
    } cases[] = {{TILE - 1, 3, 0},      {TILE, 3, 0},           {TILE + 1, 1, 0},       {TILE + 1, 3, 0},
                 {2 * TILE, 14, 64},    {2 * TILE + 1, 2, 100}, {2 * TILE + 1, 33, 0},  {3 * TILE + 77, 1, 1000},
                 {3 * TILE + 77, 5, 1}, {TILE + 129, 40, 7},    {TILE + 16, 8, 1 << 20}};
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double error = statistics_error(ex, cases[i].frames, cases[i].columns, cases[i].block, 50 + i);
        if (!(error <= 1))
            printf("    %lld frames of %d, blocks of %lld: %.2g times the tolerance\n", (long long)cases[i].frames,
                   (int)cases[i].columns, (long long)cases[i].block, error);
        worst = compare_worst(worst, error);
    }
    printf("    long rows: %.2f of the tolerance\n", worst);
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

/* In rows of several tiles: what the short ones have, medians between many equal values, all magnitudes. */
TEST(statistics_of_odd_long_columns)
{
    enum { T = 2 * TILE + 40, C = 9 };
    struct exec *ex = subject_exec();
    float *const x = malloc((size_t)T * C * sizeof *x), y[STATISTICS * C];
    double *const v = malloc(T * sizeof *v);
    uint64_t seed = 77;
    for (int t = 0; t < T; t++) {
        float *const row = x + (ptrdiff_t)t * C;
        row[0] = 3;
        row[1] = t % 2 ? 0.0f : -0.0f;
        row[2] = t < T / 2 ? 1 : 2; /* the middle two differ, both many times there */
        row[3] = t == TILE + 7 ? NAN : 1;
        row[4] = t % 2 ? -7 : t == 50 ? 1e30f : 5;
        row[5] = (float)(t % T) - (T - 1) / 2.0f;
        row[6] = ldexpf(test_noise(&seed), (int)(test_random(&seed) % 120) - 100);
        row[7] = t == 0 ? -3 : t == T - 1 ? 9 : 4;
        row[8] = (float)(test_random(&seed) % 3);
    }
    const int64_t offset[2] = {0, T};
    const struct ragged in = {.data = x, .channels = C, .offset = offset, .rows = 1, .total = T};
    CHECK_OK(run_statistics(ex, &in, 0, y));
    for (int c = 0; c < C; c++)
        for (int side = 0; side < 2; side++) {
            const float *const got = y + side * STATISTIC_KINDS * C + c;
            double want[STATISTIC_KINDS];
            for (int t = side; t < T; t++)
                v[t - side] = side ? x[t * C + c] - x[(t - 1) * C + c] : x[t * C + c];
            if (c == 3) {
                for (int k = 0; k < STATISTIC_KINDS; k++)
                    CHECK(isnan(got[k * C]));
                continue;
            }
            oracle_describe(v, T - side, want);
            CHECK(got[STATISTIC_MEDIAN * C] == (float)want[STATISTIC_MEDIAN]);
            CHECK(got[STATISTIC_MIN * C] == (float)want[STATISTIC_MIN]);
            CHECK(got[STATISTIC_MAX * C] == (float)want[STATISTIC_MAX]);
        }
    CHECK(y[STATISTIC_MEAN * C] == 3 && y[STATISTIC_VAR * C] == 0 && y[STATISTIC_MEDIAN * C + 2] == 1.5f);
    CHECK(y[(STATISTIC_KINDS + STATISTIC_VAR) * C + 5] == 0 && y[(STATISTIC_KINDS + STATISTIC_MEDIAN) * C + 5] == 1);
    free(x), free(v);
    exec_destroy(&ex);
}

/* Each row alone gives the bits that it has among the others. */
static void check_alone(struct exec *ex, const struct ragged *all, int64_t block, int64_t every)
{
    const size_t each = STATISTICS * (size_t)all->channels;
    struct guarded together = guarded_open(all->rows * (int64_t)each), alone = guarded_open((int64_t)each);
    CHECK_OK(run_statistics(ex, all, block, together.data));
    for (int64_t b = 0; b < all->rows; b += every) {
        const int64_t offset[2] = {0, ragged_length(all, b)};
        const float *const from = (const float *)all->data + all->offset[b] * all->channels;
        const struct ragged one = {
            .data = (void *)from, .channels = all->channels, .offset = offset, .rows = 1, .total = offset[1]};
        CHECK_OK(run_statistics(ex, &one, block, alone.data));
        CHECK(compare_bits(alone.data, together.data + (size_t)b * each, each * sizeof(float)));
    }
    CHECK(guarded_intact(&together) && guarded_intact(&alone));
    guarded_close(&together);
    guarded_close(&alone);
}

TEST(statistics_give_equal_bits_in_any_batch)
{
    static const int64_t frames[] = {0, 1, TILE - 1, TILE + 1, TILE, 2, 2 * TILE, 0, 2 * TILE + 1, 300};
    static const int32_t columns[] = {3, 35};
    enum { ROWS = sizeof frames / sizeof *frames };
    struct exec *ex = subject_exec();
    int64_t offset[ROWS + 1] = {0};
    for (int b = 0; b < ROWS; b++)
        offset[b + 1] = offset[b] + frames[b];
    for (int c = 0; c < 2; c++) {
        float *const x = values((uint64_t)c + 5, offset[ROWS] * columns[c]);
        const struct ragged in = {
            .data = x, .channels = columns[c], .offset = offset, .rows = ROWS, .total = offset[ROWS]};
        check_alone(ex, &in, c == 0 ? 0 : 100, 1);
        free(x);
    }
    exec_destroy(&ex);
}

/* More long rows than one group of launches has. */
TEST(statistics_of_many_long_rows)
{
    enum { ROWS = 67 };
    struct exec *ex = subject_exec();
    int64_t offset[ROWS + 1] = {0};
    for (int b = 0; b < ROWS; b++)
        offset[b + 1] = offset[b] + (b % 13 == 12 ? 5 : TILE + 1 + b);
    float *const x = values(8, offset[ROWS]);
    const struct ragged in = {.data = x, .channels = 1, .offset = offset, .rows = ROWS, .total = offset[ROWS]};
    check_alone(ex, &in, 0, 11);
    free(x);
    exec_destroy(&ex);
}

TEST(statistics_of_long_rows_want_scratch)
{
    struct exec *ex = subject_exec();
    const int64_t offset[3] = {0, 10, TILE + 11};
    float *const x = values(9, offset[2]), y[2 * STATISTICS];
    const struct ragged in = {.data = x, .channels = 1, .offset = offset, .rows = 2, .total = offset[2]};
    struct arena *const arena = exec_backend(ex) == BACKEND_CPU ? exec_arena(ex) : exec_device_arena(ex);
    memset(y, 0x5a, sizeof y);
    const float untouched = y[0];
    arena->fail_at = arena->calls + 1;
    CHECK_CODE(run_statistics(ex, &in, 0, y), STATUS_NOMEM);
    for (int i = 0; i < 2 * STATISTICS; i++)
        CHECK(compare_bits(&y[i], &untouched, sizeof untouched));
    CHECK(arena->used == 0);
    CHECK_OK(run_statistics(ex, &in, 0, y));
    CHECK(arena->used == 0);
    free(x);
    exec_destroy(&ex);
}
