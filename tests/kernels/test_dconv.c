/* dconv: what it adds against the oracle, along both axes; threads, neighbours, what is not finite; its errors. */
#include "field.h"

static const struct dconv_case {
    struct dconv_params p;
    int64_t items, height, width, gap;
    bool margins;
    const char *reason;
} cases[] = {
    {{1, 1, 1, ALONG_HEIGHT}, 1, 2, 1, 0, false, "the smallest with a variance"},
    {{1, 1, 2, ALONG_WIDTH}, 1, 1, 1, 0, true, "one sample: all taps but one are zeros"},
    {{48, 6, 1, ALONG_HEIGHT}, 1, 21, 16, 0, false, "an encoder's first, frames down"},
    {{48, 6, 2, ALONG_HEIGHT}, 2, 17, 5, 3, true, "dilated, rows with margins"},
    {{48, 6, 1, ALONG_WIDTH}, 1, 1, 300, 0, true, "of a signal"},
    {{96, 12, 2, ALONG_WIDTH}, 2, 1, 77, 11, true, "the second, dilated"},
    {{17, 33, 1, ALONG_WIDTH}, 1, 3, 40, 0, true, "odd, and wider inside"},
    {{33, 7, 2, ALONG_HEIGHT}, 1, 40, 19, 0, false, "odd, with 19 signals side by side"},
    {{2, 4, 1, ALONG_HEIGHT}, 3, 5, 33, 0, false, "few channels"},
    {{6, 2, 2, ALONG_WIDTH}, 1, 4, 2, 0, true, "signals shorter than the kernel"},
    {{16, 16, 1, ALONG_HEIGHT}, 1, 1, 8, 0, false, "one sample each, down"},
    {{384, 48, 1, ALONG_HEIGHT}, 1, 12, 4, 0, false, "the last encoder's"},
    {{4, 2, 1, ALONG_WIDTH}, 1, 1, 5000, 0, true, "a long signal"},
};
enum { CASES = sizeof cases / sizeof *cases };

struct branch {
    struct dconv_params p;
    float *weights[9], *packed;
    struct dconv_weights w;
};

static struct branch branch_of(struct exec *ex, const struct dconv_params *p, uint64_t seed)
{
    struct branch b = {.p = *p};
    const int64_t c = p->channels, h = p->hidden;
    const int64_t counts[9] = {h * c * 3, h, h, h, 2 * c * h, 2 * c, 2 * c, 2 * c, c};
    const float sizes[9] = {1 / sqrtf((float)c), 1, 1, 1, 1 / sqrtf((float)h), 1, 1, 1, 2};
    for (int i = 0; i < 9; i++)
        b.weights[i] = noise_of(&seed, counts[i], sizes[i]);
    b.w = (struct dconv_weights){b.weights[0], b.weights[1], b.weights[2], b.weights[3], b.weights[4],
                                 b.weights[5], b.weights[6], b.weights[7], b.weights[8]};
    b.packed = packed_of(dconv_pack_bytes(ex, p));
    CHECK_OK(dconv_pack(ex, p, &b.w, b.packed));
    return b;
}

static int run(struct exec *ex, const struct branch *b, const struct field *x, const struct maps *m)
{
    struct device_batch batch = device_batch(ex);
    const struct maps there = device_maps(&batch, x, m, true);
    const float *const packed = device_aligned(&batch, b->packed, dconv_pack_bytes(ex, &b->p), false);
    return device_done(&batch, dconv(ex, &b->p, packed, &there));
}

static void branch_free(struct branch *b)
{
    for (int i = 0; i < 9; i++)
        free(b->weights[i]);
    free(b->packed);
}

static struct field field_of(const struct dconv_case *c, uint64_t seed)
{
    struct field x =
        field_open(&(struct oracle_shape){c->items, c->height, c->width, c->p.channels}, c->margins, c->gap);
    field_noise(&x, &seed, 1);
    return x;
}

TEST(dconv_adds_what_the_oracle_does)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int n = 0; n < CASES; n++) {
        const struct dconv_case *const c = &cases[n];
        struct branch b = branch_of(ex, &c->p, (uint64_t)n);
        struct field x = field_of(c, 77 + (uint64_t)n);
        const int64_t size = field_positions(&x);
        float *const was = malloc((size_t)size * sizeof *was), *const is = malloc((size_t)size * sizeof *is);
        double *const want = malloc((size_t)size * sizeof *want);
        REQUIRE(was && is && want);
        field_read(&x, was);
        oracle_dconv(&c->p, &x.s, &b.w, was, want);
        CHECK_OK(run(ex, &b, &x, &x.m));
        CHECK(exec_arena(ex)->used == 0 && field_intact(&x));
        field_read(&x, is);
        for (int64_t i = 0; i < size; i++) /* the difference of two close floats is exact */
            is[i] -= was[i];
        const double error = compare_l2(is, want, size);
        if (!(error <= 5e-6))
            printf("    %s: %.1e\n", c->reason, error);
        worst = compare_worst(worst, error);
        free(was);
        free(is);
        free(want);
        field_close(&x);
        branch_free(&b);
    }
    printf("    dconv: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 5e-6);
    exec_destroy(&ex);
}

/* On three threads, and of each item alone. */
TEST(dconv_gives_equal_bits)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (int n = 0; n < CASES; n++) {
        const struct dconv_case *const c = &cases[n];
        struct branch b = branch_of(ex, &c->p, (uint64_t)n);
        struct field x = field_of(c, 5), again = field_of(c, 5), alone = field_of(c, 5);
        CHECK_OK(run(ex, &b, &x, &x.m));
        CHECK_OK(run(three, &b, &again, &again.m));
        for (int64_t i = 0; i < c->items; i++) {
            struct maps one = alone.m;
            one.items = 1;
            one.data = maps_row(&alone.m, i, 0);
            CHECK_OK(run(ex, &b, &alone, &one));
        }
        const bool equal = field_equal(&x, &again) && field_equal(&x, &alone);
        if (!equal)
            printf("    %s\n", c->reason);
        CHECK(equal);
        field_close(&x);
        field_close(&again);
        field_close(&alone);
        branch_free(&b);
    }
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* A NaN makes its whole signal NaN, for the means hold it; the others keep their bits. */
TEST(dconv_keeps_nan_in_its_signal)
{
    struct exec *ex = subject_exec();
    for (int along = ALONG_HEIGHT; along <= ALONG_WIDTH; along++) {
        const struct dconv_case c = {{17, 5, 1, (enum along)along}, 2, 6, 21, 0, true, "a NaN"};
        struct branch b = branch_of(ex, &c.p, 1);
        struct field x = field_of(&c, 5), bad = field_of(&c, 5);
        CHECK_OK(run(ex, &b, &x, &x.m));
        maps_row(&bad.m, 1, 4)[18 * 17 + 3] = NAN;
        CHECK_OK(run(ex, &b, &bad, &bad.m));
        bool right = true;
        for (int64_t at = 0; at < 2 * 6 * 21; at++) {
            const int64_t item = at / 21 / 6, i = at / 21 % 6, j = at % 21;
            const bool holds = item == 1 && (along == ALONG_HEIGHT ? j == 18 : i == 4);
            for (int64_t k = 0; k < 17; k++) {
                const float *const got = maps_row(&bad.m, item, i) + j * 17 + k;
                right &= holds ? !!isnan(*got) : compare_bits(got, maps_row(&x.m, item, i) + j * 17 + k, sizeof *got);
            }
        }
        CHECK(right && field_intact(&bad));
        field_close(&x);
        field_close(&bad);
        branch_free(&b);
    }
    exec_destroy(&ex);
}

/* Silence has no variance: what is left is made of the shifts, and finite. */
TEST(dconv_of_silence_is_finite)
{
    struct exec *ex = subject_exec();
    const struct dconv_case c = {{6, 3, 2, ALONG_WIDTH}, 1, 2, 30, 0, true, "silence"};
    struct branch b = branch_of(ex, &c.p, 2);
    for (int64_t i = 0; i < 3; i++)
        b.weights[1][i] = 0.25F; /* of equal values */
    CHECK_OK(dconv_pack(ex, &c.p, &b.w, b.packed));
    struct field x = field_of(&c, 1);
    float *const zeros = calloc((size_t)field_positions(&x), sizeof *zeros);
    double *const want = malloc((size_t)field_positions(&x) * sizeof *want);
    REQUIRE(zeros && want);
    field_write(&x, zeros);
    oracle_dconv(&c.p, &x.s, &b.w, zeros, want);
    CHECK_OK(run(ex, &b, &x, &x.m));
    CHECK_AT_MOST(field_error(&x, want), 5e-6);
    free(zeros);
    free(want);
    field_close(&x);
    branch_free(&b);
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct dconv_params p = c.p; \
        struct maps m = x.m; \
        const float *packed = b.packed; \
        change; \
        CHECK_CODE(dconv(ex, &p, packed, &m), code); \
        CHECK(field_equal(&x, &was) && field_intact(&x)); \
    } while (0)

TEST(dconv_refuses)
{
    struct exec *ex = subject_exec();
    const struct dconv_case c = {{6, 3, 2, ALONG_WIDTH}, 2, 2, 9, 0, true, "to be refused"};
    struct branch b = branch_of(ex, &c.p, 2);
    struct field x = field_of(&c, 1), was = field_of(&c, 1);
    EXPECT(STATUS_ARGUMENT, p.channels = 0);
    EXPECT(STATUS_ARGUMENT, p.channels = 8193);
    EXPECT(STATUS_ARGUMENT, p.hidden = 0);
    EXPECT(STATUS_ARGUMENT, p.hidden = 1025);
    EXPECT(STATUS_ARGUMENT, p.dilation = 0);
    EXPECT(STATUS_ARGUMENT, p.dilation = 3);
    EXPECT(STATUS_ARGUMENT, p.along = (enum along)2);
    EXPECT(STATUS_ARGUMENT, packed = NULL);
    EXPECT(STATUS_ARGUMENT, packed++);
    EXPECT(STATUS_ARGUMENT, m.data = NULL);
    EXPECT(STATUS_SHAPE, m.channels--);
    EXPECT(STATUS_SHAPE, m.items = -1);
    EXPECT(STATUS_SHAPE, m.height = 0);
    EXPECT(STATUS_SHAPE, m.width = 0);
    EXPECT(STATUS_SHAPE, m.row_stride--); /* no margins */
    EXPECT(STATUS_SHAPE, m.item_stride = 0);
    EXPECT(STATUS_OK, m.items = 0);
    for (int i = 0; i < 9; i++) {
        const float *list[9];
        struct dconv_weights w;
        memcpy(list, b.weights, sizeof list);
        list[i] = NULL;
        memcpy(&w, list, sizeof w);
        CHECK_CODE(dconv_pack(ex, &c.p, &w, b.packed), STATUS_ARGUMENT);
    }
    CHECK_CODE(dconv_pack(ex, &c.p, &b.w, NULL), STATUS_ARGUMENT);
    CHECK(dconv_pack_bytes(ex, &c.p) > 0 && dconv_pack_bytes(ex, &c.p) % 64 == 0);
    field_close(&x);
    field_close(&was);
    branch_free(&b);
    exec_destroy(&ex);
}

/* Scratch that runs out, at each allocation in turn, leaves x as it was; what dconv_work_bytes says is enough. */
TEST(dconv_reports_failed_allocations)
{
    for (int n = 0; n < 5; n++) {
        const struct dconv_case *const c = &cases[n];
        struct exec *ex = n % 2 ? exec_of_threads(3) : subject_exec();
        struct arena *const arena = exec_device(ex) ? exec_device_arena(ex) : exec_arena(ex);
        struct branch b = branch_of(ex, &c->p, 2);
        struct field x = field_of(c, 1), was = field_of(c, 1);
        int code = STATUS_NOMEM, failures = 0;
        for (long at = 1; code == STATUS_NOMEM && at < 20; at++) {
            arena->fail_at = arena->calls + at;
            code = run(ex, &b, &x, &x.m);
            failures += code == STATUS_NOMEM;
            CHECK(arena->used == 0 && (code == STATUS_OK || field_equal(&x, &was)));
        }
        CHECK(code == STATUS_OK && failures >= 1);
        CHECK(arena->high > 0 && arena->high <= dconv_work_bytes(ex, &c->p, &x.m));
        field_close(&x);
        field_close(&was);
        branch_free(&b);
        exec_destroy(&ex);
    }
}
