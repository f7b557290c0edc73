/* level and mixdown: oracles, pieces, what is not finite, errors. */
#include "device_batch.h"
#include "subject.h"

enum { ROWS = 4 };
static const int64_t lengths[ROWS] = {0, 1, 1000, 9321};

static int run_level(struct exec *ex, const struct ragged *x, struct level *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged in = device_ragged_in(&b, x);
    struct level *const out = device_out(&b, y, (size_t)x->rows * sizeof *y);
    return device_done(&b, level(ex, &in, out));
}

static int run_mixdown(struct exec *ex, const struct ragged *x, const struct ragged *y)
{
    struct device_batch b = device_batch(ex);
    const struct ragged in = device_ragged_in(&b, x);
    struct ragged out = device_ragged_out(&b, y);
    return device_done(&b, mixdown(ex, &in, &out));
}

static struct ragged batch_of(int64_t *offset, int32_t channels, uint64_t *seed)
{
    offset[0] = 0;
    for (int b = 0; b < ROWS; b++)
        offset[b + 1] = offset[b] + lengths[b];
    float *const x = malloc((size_t)offset[ROWS] * (size_t)channels * sizeof *x);
    subject_noise(seed, x, offset[ROWS] * channels);
    return (struct ragged){.data = x, .channels = channels, .offset = offset, .rows = ROWS, .total = offset[ROWS]};
}

TEST(level_matches_oracle)
{
    struct exec *ex = subject_exec();
    uint64_t seed = 61;
    double worst = 0;
    for (int32_t channels = 1; channels <= 3; channels++) {
        int64_t offset[ROWS + 1];
        const struct ragged x = batch_of(offset, channels, &seed);
        struct level y[ROWS];
        CHECK_OK(run_level(ex, &x, y));
        for (int b = 0; b < ROWS; b++) {
            const float *const row = (const float *)x.data + offset[b] * channels;
            long double sum = 0, squares = 0, magnitudes = 0;
            float most = 0;
            for (int64_t i = 0; i < lengths[b] * channels; i++) {
                sum += row[i];
                squares += (long double)row[i] * row[i];
                magnitudes += fabsf(row[i]);
                most = fmaxf(most, fabsf(row[i]));
            }
            const double gap = fabs((double)(y[b].sum - sum)), off = fabs((double)(y[b].sum_squares - squares));
            CHECK_AT_MOST(gap, 1e-12 * (double)magnitudes);
            CHECK_AT_MOST(off, 1e-12 * (double)squares);
            if (magnitudes > 0)
                worst = fmax(compare_worst(worst, gap / (double)magnitudes), off / (double)squares);
            CHECK(y[b].peak == most && y[b].first_not_finite == -1);
        }
        free(x.data);
    }
    printf("    level: worst %.1e\n", worst);
    exec_destroy(&ex);
}

TEST(level_of_pieces_joins)
{
    struct exec *ex = subject_exec();
    uint64_t seed = 62;
    float x[3000];
    subject_noise(&seed, x, 3000);
    x[2 * 700 + 1] = NAN;
    x[2 * 900] = -INFINITY;
    const int64_t one[] = {0, 1500}, cut[] = {0, 1, 600, 800, 1500};
    const struct piece pieces[] = {{0, true, false}, {1, false, false}, {600, false, false}, {800, false, true}};
    const struct ragged whole = {.data = x, .channels = 2, .offset = one, .rows = 1, .total = 1500};
    const struct ragged parts = {.data = x, .channels = 2, .offset = cut, .piece = pieces, .rows = 4, .total = 1500};
    struct level all, part[4];
    CHECK_OK(run_level(ex, &whole, &all));
    CHECK_OK(run_level(ex, &parts, part));
    CHECK(part[1].first_not_finite == -1 && part[3].first_not_finite == 900);
    for (int i = 1; i < 4; i++)
        level_join(&part[0], &part[i]);
    CHECK(all.first_not_finite == 700 && part[0].first_not_finite == 700);
    CHECK(all.peak == part[0].peak && isfinite(all.peak));
    CHECK_AT_MOST(fabs(all.sum - part[0].sum), 1e-12 * 1500);
    CHECK_AT_MOST(fabs(all.sum_squares - part[0].sum_squares), 1e-12 * all.sum_squares);
    exec_destroy(&ex);
}

TEST(mixdown_matches_mean)
{
    static const int32_t channels[] = {1, 2, 3, 7, 8, 9, 128, 129, 257, 1024};
    struct exec *ex = subject_exec();
    uint64_t seed = 63;
    double most = 0;
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++) {
        int64_t offset[ROWS + 1];
        const struct ragged x = batch_of(offset, channels[c], &seed);
        struct guarded g = guarded_open(x.total);
        struct ragged y = {.data = g.data, .channels = 1, .offset = offset, .rows = ROWS, .total = x.total};
        CHECK_OK(run_mixdown(ex, &x, &y));
        CHECK(guarded_intact(&g));
        double worst = 0;
        for (int64_t i = 0; i < x.total; i++) {
            double sum = 0, magnitudes = 0;
            for (int32_t k = 0; k < channels[c]; k++) {
                const double v = ((const float *)x.data)[i * channels[c] + k];
                sum += v;
                magnitudes += fabs(v);
            }
            worst = compare_worst(worst, fabs(g.data[i] - sum / channels[c]) / (magnitudes / channels[c]));
        }
        CHECK_AT_MOST(worst, channels[c] == 1 ? 0 : 1e-6);
        most = compare_worst(most, worst);
        guarded_close(&g);
        free(x.data);
    }
    printf("    mixdown: worst %.1e\n", most);
    exec_destroy(&ex);
}

TEST(level_refuses)
{
    struct exec *ex = subject_exec();
    float in[8] = {0};
    const int64_t good[] = {0, 4, 8}, falling[] = {0, 9, 8};
    const struct piece early[] = {{-1, false, true}, {0, true, true}};
    const struct ragged x = {.data = in, .channels = 1, .offset = good, .rows = 2, .total = 8};
    struct level y[2] = {{.peak = 7}};
    struct ragged bad = x;
    bad.channels = 0;
    CHECK_CODE(level(ex, &bad, y), STATUS_ARGUMENT);
    bad.channels = 1025;
    CHECK_CODE(level(ex, &bad, y), STATUS_ARGUMENT);
    bad = x, bad.dtype = DTYPE_I16;
    CHECK_CODE(level(ex, &bad, y), STATUS_ARGUMENT);
    bad = x, bad.data = NULL;
    CHECK_CODE(level(ex, &bad, y), STATUS_ARGUMENT);
    bad = x, bad.total = 7;
    CHECK_CODE(level(ex, &bad, y), STATUS_SHAPE);
    bad = x, bad.offset = falling;
    CHECK_CODE(level(ex, &bad, y), STATUS_SHAPE);
    bad = x, bad.piece = early;
    CHECK_CODE(level(ex, &bad, y), STATUS_SHAPE);
    CHECK(y[0].peak == 7);
    exec_destroy(&ex);
}

TEST(mixdown_refuses)
{
    struct exec *ex = subject_exec();
    float in[8] = {0}, out[4] = {7};
    const int64_t good[] = {0, 2, 4}, other[] = {0, 3, 4}, falling[] = {0, 5, 4};
    const struct ragged x = {.data = in, .channels = 2, .offset = good, .rows = 2, .total = 4};
    struct ragged y = {.data = out, .channels = 1, .offset = good, .rows = 2, .total = 4}, ybad = y, xbad = x;
    xbad.channels = 1025;
    CHECK_CODE(mixdown(ex, &xbad, &y), STATUS_ARGUMENT);
    xbad = x, xbad.data = NULL;
    CHECK_CODE(mixdown(ex, &xbad, &y), STATUS_ARGUMENT);
    ybad.channels = 2;
    CHECK_CODE(mixdown(ex, &x, &ybad), STATUS_ARGUMENT);
    ybad = y, ybad.rows = 1;
    CHECK_CODE(mixdown(ex, &x, &ybad), STATUS_SHAPE);
    ybad = y, ybad.offset = other;
    CHECK_CODE(mixdown(ex, &x, &ybad), STATUS_SHAPE);
    xbad = x, xbad.offset = falling;
    ybad = y, ybad.offset = falling;
    CHECK_CODE(mixdown(ex, &xbad, &ybad), STATUS_SHAPE);
    CHECK(out[0] == 7);
    exec_destroy(&ex);
}
