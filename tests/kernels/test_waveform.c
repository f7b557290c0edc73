/* waveform: against plain sums, and across cuts. */
#include "device_batch.h"
#include "subject.h"

enum { N = 5000 };

static struct guarded run(struct exec *ex, int64_t block, const float *x, int64_t samples, struct piece piece)
{
    const int64_t xo[2] = {0, samples}, yo[2] = {0, waveform_count(block, piece, samples)};
    const struct ragged in = {
        .data = (void *)(uintptr_t)x, .channels = 1, .offset = xo, .piece = &piece, .rows = 1, .total = samples};
    struct guarded g = guarded_open(3 * yo[1]);
    struct ragged out = {.data = g.data, .channels = 3, .offset = yo, .rows = 1, .total = yo[1]};
    struct device_batch b = device_batch(ex);
    const struct ragged x_there = device_ragged_in(&b, &in);
    struct ragged y_there = device_ragged_out(&b, &out);
    REQUIRE(device_done(&b, waveform(ex, block, &x_there, &y_there)) == STATUS_OK && guarded_intact(&g));
    return g;
}

TEST(blocks_match_sums)
{
    static const int64_t blocks[] = {1, 2, 15, 16, 17, 256, 1000, 5000, 6000, 1 << 24};
    struct exec *ex = subject_exec();
    float x[N];
    uint64_t seed = 2;
    double worst = 0;
    subject_noise(&seed, x, N);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct guarded g = run(ex, blocks[i], x, N, (struct piece){0, true, true});
        CHECK(g.n == 3 * ((N + blocks[i] - 1) / blocks[i]));
        for (int64_t t = 0; t < g.n / 3; t++) {
            long double sum = 0;
            float least = INFINITY, most = -INFINITY;
            const int64_t end = (t + 1) * blocks[i] < N ? (t + 1) * blocks[i] : N;
            for (int64_t k = t * blocks[i]; k < end; k++) {
                sum += (long double)x[k] * x[k];
                least = fminf(least, x[k]);
                most = fmaxf(most, x[k]);
            }
            const double rms = (double)sqrtl(sum / (long double)(end - t * blocks[i]));
            CHECK(g.data[3 * t] == least && g.data[3 * t + 1] == most);
            CHECK_AT_MOST(compare_relative(g.data[3 * t + 2], rms), 1e-6);
            worst = compare_worst(worst, compare_relative(g.data[3 * t + 2], rms));
        }
        guarded_close(&g);
    }
    printf("    waveform: worst %.1e\n", worst);
    exec_destroy(&ex);
}

TEST(any_cut_gives_equal_blocks)
{
    struct exec *ex = subject_exec();
    float x[N];
    uint64_t seed = 5;
    subject_noise(&seed, x, N);
    for (int round = 0; round < 60; round++) {
        const int64_t block = 1 + (int64_t)(test_random(&seed) % 300);
        struct guarded whole = run(ex, block, x, N, (struct piece){0, true, true});
        int64_t next = 0, start = 0;
        bool ok = true;
        for (int64_t end = 0; end < N; start = end - (block - 1)) {
            end = start + block + (int64_t)(test_random(&seed) % 700);
            end = end > N ? N : end;
            const struct piece piece = {start, start == 0, end == N};
            struct guarded part = run(ex, block, x + start, end - start, piece);
            const int64_t first = waveform_first(block, piece);
            ok &= part.n == 0 || first <= next;
            ok = ok && memcmp(part.data, whole.data + 3 * first, (size_t)part.n * sizeof(float)) == 0;
            next = part.n ? first + part.n / 3 : next;
            guarded_close(&part);
        }
        CHECK(ok && 3 * next == whole.n);
        guarded_close(&whole);
    }
    exec_destroy(&ex);
}

TEST(odd_values_and_errors)
{
    struct exec *ex = subject_exec();
    float x[64] = {0}, y[12];
    x[3] = NAN;
    x[20] = INFINITY;
    x[40] = -INFINITY;
    struct guarded g = run(ex, 16, x, 64, (struct piece){0, true, true});
    for (int k = 0; k < 3; k++)
        CHECK(isnan(g.data[k]) && g.data[9 + k] == 0);
    CHECK(g.data[4] == INFINITY && g.data[5] == INFINITY && g.data[6] == -INFINITY && g.data[8] == INFINITY);
    guarded_close(&g);
    const int64_t xo[2] = {0, 64}, yo[2] = {0, 4}, few[2] = {0, 3};
    const struct ragged in = {.data = x, .channels = 1, .offset = xo, .rows = 1, .total = 64};
    struct ragged out = {.data = y, .channels = 3, .offset = yo, .rows = 1, .total = 4}, bad;
    CHECK_CODE(waveform(ex, 0, &in, &out), STATUS_ARGUMENT);
    CHECK_CODE(waveform(ex, (1 << 24) + 1, &in, &out), STATUS_ARGUMENT);
    bad = in, bad.channels = 2;
    CHECK_CODE(waveform(ex, 16, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.data = NULL;
    CHECK_CODE(waveform(ex, 16, &bad, &out), STATUS_ARGUMENT);
    bad = in, bad.total = 63;
    CHECK_CODE(waveform(ex, 16, &bad, &out), STATUS_SHAPE);
    bad = out, bad.offset = few, bad.total = 3;
    CHECK_CODE(waveform(ex, 16, &in, &bad), STATUS_SHAPE);
    const struct piece piece = {1, true, true};
    bad = in, bad.piece = &piece;
    CHECK_CODE(waveform(ex, 16, &bad, &out), STATUS_SHAPE);
    exec_destroy(&ex);
}
