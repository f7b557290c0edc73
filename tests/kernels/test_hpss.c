/* hpss against medians by counting, in double. */
#include "device_batch.h"
#include "subject.h"

static const struct {
    struct hpss_params p;
    int64_t frames, bins;
    const char *reason;
} cases[] = {
    {{31, 31, 2, 1, 1}, 50, 65, "librosa's defaults"},
    {{31, 31, 2, 1, 1}, 300, 40, "more frames than a chunk"},
    {{31, 31, 2, 1, 1}, 5, 7, "smaller than the kernels: mirrored again and again"},
    {{1, 1, 2, 1, 1}, 4, 17, "kernels of one: halves"},
    {{3, 255, 1, 2, 3}, 20, 33, "power 1, margins"},
    {{17, 5, 1.5, 1, 1}, 33, 16, "any power"},
    {{7, 9, INFINITY, 1, 1}, 18, 31, "all to the larger"},
    {{31, 31, 2, 1, 1}, 1, 1, "one value"},
    {{5, 5, 2, 1.5, 1}, 16, 1025, "many bins"},
};

static int run(struct exec *ex, const struct hpss_params *p, const struct ragged *x, const struct ragged *harmonic,
               const struct ragged *percussive)
{
    struct device_batch b = device_batch(ex);
    struct ragged h = {0}, q = {0};
    const struct ragged there = device_ragged_in(&b, x);
    if (harmonic)
        h = device_ragged_out(&b, harmonic);
    if (percussive)
        q = device_ragged_out(&b, percussive);
    return device_done(&b, hpss(ex, p, &there, harmonic ? &h : NULL, percussive ? &q : NULL));
}

static double median(const double *m, int64_t first, int64_t stride, int64_t i, int64_t n, int kernel)
{
    double v[255];
    for (int k = 0; k < kernel; k++) {
        int64_t at = i - kernel / 2 + k;
        while (at < 0 || at >= n)
            at = at < 0 ? -1 - at : 2 * n - 1 - at;
        v[k] = m[first + at * stride];
    }
    for (int k = 0; k < kernel; k++) {
        int below = 0, equal = 0;
        for (int j = 0; j < kernel; j++) {
            below += v[j] < v[k];
            equal += v[j] == v[k];
        }
        if (below <= kernel / 2 && kernel / 2 < below + equal)
            return v[k];
    }
    return NAN;
}

static double part(double u, double v, double power, bool split)
{
    if (fmax(u, v) < 0x1p-126)
        return split ? 0.5 : 0;
    return isinf(power) ? u > v : 1 / (1 + pow(v / u, power));
}

static double error_of(struct exec *ex, size_t c, bool silent_half)
{
    const struct hpss_params *const p = &cases[c].p;
    const int64_t frames = cases[c].frames, bins = cases[c].bins, n = frames * bins, offset[2] = {0, frames};
    float *const x = malloc((size_t)n * 2 * sizeof *x);
    double *const m = calloc((size_t)n, sizeof *m), *const want = calloc((size_t)n * 2, sizeof *want), worst = 0;
    uint64_t seed = c;
    subject_noise(&seed, x, 2 * n);
    for (int64_t i = 0; i < 2 * n && silent_half; i++)
        x[i] = i < n ? 0 : x[i];
    for (int64_t i = 0; i < n; i++)
        m[i] = sqrtf(x[2 * i] * x[2 * i] + x[2 * i + 1] * x[2 * i + 1]);
    struct guarded g[2] = {guarded_open(2 * n), guarded_open(2 * n)};
    const struct ragged in = {
        .data = x, .dtype = DTYPE_C64, .channels = (int32_t)bins, .offset = offset, .rows = 1, .total = frames};
    struct ragged h = in, q = in;
    h.data = g[0].data;
    q.data = g[1].data;
    exec_arena(ex)->high = 0;
    CHECK_OK(run(ex, p, &in, &h, &q));
    CHECK(exec_arena(ex)->high <= hpss_work_bytes(p, bins) && exec_arena(ex)->used == 0);
    const bool split = p->margin_harmonic == 1 && p->margin_percussive == 1;
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < n; i++) {
            const double along_t = median(m, i % bins, bins, i / bins, frames, p->kernel_time);
            const double along_f = median(m, i / bins * bins, 1, i % bins, bins, p->kernel_frequency);
            const double share = k ? part(along_f, along_t * p->margin_percussive, p->power, split)
                                   : part(along_t, along_f * p->margin_harmonic, p->power, split);
            want[2 * i] = x[2 * i] * share;
            want[2 * i + 1] = x[2 * i + 1] * share;
        }
        worst = compare_worst(worst, compare_l2(g[k].data, want, 2 * n));
        CHECK(guarded_intact(&g[k]));
        guarded_close(&g[k]);
    }
    free(x), free(m), free(want);
    return worst;
}

TEST(parts_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int silent = 0; silent < 2; silent++) {
            const double error = error_of(ex, c, silent);
            if (!(error <= 1e-5))
                printf("    %s%s: %.1e\n", cases[c].reason, silent ? ", half silent" : "", error);
            worst = compare_worst(worst, error);
        }
    printf("    hpss: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-5);
    exec_destroy(&ex);
}

TEST(rows_stand_alone)
{
    enum { F = 20, T = 60 };
    struct exec *ex = subject_exec();
    static float x[T * F * 2], all[T * F * 2], alone[T * F * 2];
    uint64_t seed = 4;
    subject_noise(&seed, x, T * F * 2);
    x[45 * F * 2 + 3] = INFINITY; /* in the last row */
    const struct hpss_params p = {5, 7, 2, 1, 1};
    const int64_t offset[4] = {0, 30, 30, T}, one[2] = {0, 30};
    const struct ragged in = {.data = x, .dtype = DTYPE_C64, .channels = F, .offset = offset, .rows = 3, .total = T};
    struct ragged out = in;
    out.data = all;
    CHECK_OK(run(ex, &p, &in, &out, NULL));
    struct ragged first = in, single = in;
    first.offset = single.offset = one;
    first.rows = single.rows = 1;
    first.total = single.total = 30;
    single.data = alone;
    CHECK_OK(run(ex, &p, &first, &single, NULL));
    CHECK(compare_bits(all, alone, (size_t)30 * F * 2 * sizeof *all));
    for (int i = 30 * F * 2; i < T * F * 2; i++)
        CHECK(isnan(all[i]));
    CHECK_OK(run(ex, &p, &first, NULL, &single));
    CHECK_OK(run(ex, &p, &first, NULL, NULL));
    exec_destroy(&ex);
}

/* Parts of a batch go to threads wherever their rows end. */
TEST(threads_change_nothing)
{
    enum { F = 37, T = 700, FLOATS = T * F * 2 };
    if (subject_backend() != BACKEND_CPU)
        return; /* a device has threads of its own */
    struct exec *one = subject_exec(), *five = NULL;
    const struct exec_options options = {.isa = subject_isa(), .threads = 5, .ops = ops_cpu(subject_isa())};
    CHECK_OK(exec_create(&options, &five));
    float *const x = malloc(FLOATS * sizeof *x);
    struct guarded a[2] = {guarded_open(FLOATS), guarded_open(FLOATS)};
    struct guarded b[2] = {guarded_open(FLOATS), guarded_open(FLOATS)};
    uint64_t seed = 5;
    REQUIRE(x && five);
    subject_noise(&seed, x, FLOATS);
    const struct hpss_params p = {31, 31, 2, 2, 2};
    const int64_t offset[6] = {0, 1, 1, 400, 410, T};
    const struct ragged in = {.data = x, .dtype = DTYPE_C64, .channels = F, .offset = offset, .rows = 5, .total = T};
    for (int damaged = 0; damaged < 2; damaged++) {
        struct ragged h = in, q = in;
        x[200 * F * 2] = damaged ? NAN : 1; /* in the row of 399 frames, which several threads share */
        h.data = a[0].data, q.data = a[1].data;
        CHECK_OK(hpss(one, &p, &in, &h, &q));
        h.data = b[0].data, q.data = b[1].data;
        CHECK_OK(hpss(five, &p, &in, &h, &q));
        for (int k = 0; k < 2; k++) {
            CHECK(compare_bits(a[k].data, b[k].data, FLOATS * sizeof *x) && guarded_intact(&b[k]));
            CHECK(isfinite(b[k].data[0]) && isfinite(b[k].data[FLOATS - 1]));
            CHECK(isnan(b[k].data[1 * F * 2]) == damaged && isnan(b[k].data[399 * F * 2]) == damaged);
        }
    }
    for (int k = 0; k < 2; k++)
        guarded_close(&a[k]), guarded_close(&b[k]);
    free(x);
    exec_destroy(&one);
    exec_destroy(&five);
}

TEST(front_refuses)
{
    struct exec *ex = subject_exec();
    float x[80] = {0}, y[80];
    const int64_t offset[2] = {0, 4}, other[2] = {0, 3};
    const struct ragged in = {.data = x, .dtype = DTYPE_C64, .channels = 10, .offset = offset, .rows = 1, .total = 4};
    struct ragged out = in, bad;
    out.data = y;
    const struct hpss_params good = {3, 3, 2, 1, 1};
    const struct hpss_params wrong[] = {{2, 3, 2, 1, 1},   {3, 0, 2, 1, 1},   {257, 3, 2, 1, 1}, {3, 3, 0, 1, 1},
                                        {3, 3, NAN, 1, 1}, {3, 3, 2, 0.9, 1}, {3, 3, 2, 1, NAN}, {3, 3, 9, 1, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_CODE(hpss(ex, &wrong[i], &in, &out, NULL), STATUS_ARGUMENT);
    bad = in, bad.dtype = DTYPE_F32;
    CHECK_CODE(hpss(ex, &good, &bad, &out, NULL), STATUS_ARGUMENT);
    bad = in, bad.total = 3;
    CHECK_CODE(hpss(ex, &good, &bad, &out, NULL), STATUS_SHAPE);
    bad = out, bad.channels = 9;
    CHECK_CODE(hpss(ex, &good, &in, &bad, NULL), STATUS_ARGUMENT);
    bad = out, bad.offset = other, bad.total = 3;
    CHECK_CODE(hpss(ex, &good, &in, NULL, &bad), STATUS_SHAPE);
    const struct piece piece = {0, true, false};
    bad = in, bad.piece = &piece;
    CHECK_CODE(hpss(ex, &good, &bad, &out, NULL), STATUS_SHAPE);
    CHECK_OK(run(ex, &good, &in, &out, NULL));
    if (subject_backend() != BACKEND_CPU) {
        exec_device_arena(ex)->fail_at = exec_device_arena(ex)->calls + 1;
        CHECK_CODE(run(ex, &good, &in, &out, NULL), STATUS_NOMEM);
    }
    for (long at = 1; at <= 5 && subject_isa() != ISA_SCALAR; at++) {
        exec_arena(ex)->fail_at = exec_arena(ex)->calls + at;
        CHECK_CODE(hpss(ex, &good, &in, &out, NULL), STATUS_NOMEM);
        CHECK(exec_arena(ex)->used == 0);
    }
    exec_destroy(&ex);
}
