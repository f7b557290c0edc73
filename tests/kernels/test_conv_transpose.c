/* conv_transpose: against sums in double, over shapes, threads, what is not finite; its errors. */
#include "conv_operands.h"

static const struct transpose_case {
    struct conv_transpose_params p;
    int64_t items, height, width, out_width, gap;
    int with;
    const char *reason;
} transposes[] = {
    {{1, 1, 1, 0, 0}, 1, 1, 1, 1, 0, 0, "one number"},
    {{3, 5, 1, 0, 0}, 1, 2, 9, 9, 0, BIAS, "stride 1: a kernel of two"},
    {{2, 4, 2, ACTIVATION_GELU, 0}, 2, 3, 7, 14, 5, BIAS, "stride 2"},
    {{6, 7, 3, 0, 0}, 1, 2, 5, 15, 0, BIAS | ADD, "stride 3"},
    {{48, 4, 4, 0, 0}, 1, 3, 16, 64, 0, BIAS, "the last of a decoder"},
    {{96, 48, 4, ACTIVATION_GELU, 0}, 1, 2, 21, 84, 0, BIAS, "the one before it"},
    {{17, 33, 4, ACTIVATION_GELU, 0}, 2, 2, 10, 37, 3, BIAS | ADD, "odd channels, trimmed to 37 of 40"},
    {{16, 2, 4, 0, 0}, 1, 1, 1, 3, 0, BIAS, "one position, three wanted"},
    {{7, 16, 4, 0, 0}, 1, 1, 100, 397, 0, BIAS | OUT_MARGINS, "a long row, into margins"},
    {{4, 6, 4, ACTIVATION_GELU, 0}, 2, 4, 12, 48, 0, BIAS | ADD_ROW, "one row added to all"},
    {{2, 8, 4, 0, 0}, 1, 2, 12, 48, 0, IN_PLACE, "added in place, without bias"},
    {{5, 3, 16, 0, 0}, 1, 1, 4, 64, 0, BIAS, "the largest stride"},
    {{400, 20, 4, 0, 0}, 1, 1, 11, 44, 0, BIAS, "a long sum"},
};
enum { TRANSPOSES = sizeof transposes / sizeof *transposes };

/* As a convolution's, with the shapes of this one. */
static struct operands transpose_operands(struct exec *ex, const struct transpose_case *c, uint64_t seed)
{
    const struct conv_case like = {{c->p.in, c->p.out, 1, 1, 1, 1, 1, 0, 0, 0, 0},
                                   c->items,
                                   c->height,
                                   c->width,
                                   c->out_width,
                                   true,
                                   c->gap,
                                   c->with,
                                   c->reason};
    struct operands o = operands_of(ex, &like, seed);
    free(o.weight);
    free(o.packed);
    o.weight = noise_of(&seed, c->p.in * c->p.out * 2 * c->p.stride, 2 / sqrtf((float)(2 * c->p.in)));
    o.packed_bytes = conv_transpose_pack_bytes(ex, &c->p);
    o.packed = packed_of(o.packed_bytes);
    CHECK_OK(conv_transpose_pack(ex, &c->p, o.weight, c->with & BIAS ? o.bias : NULL, o.packed));
    return o;
}

static int run_transpose(struct exec *ex, const struct operands *o, const struct transpose_case *c,
                         const struct maps *added, const struct field *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps from = device_maps(&b, &o->x, &o->x.m, false), result = device_maps(&b, y, &y->m, true);
    const struct maps more = added && added != &y->m ? device_maps(&b, &o->add, added, false) : result;
    const float *const packed = device_aligned(&b, o->packed, o->packed_bytes, false);
    return device_done(&b, conv_transpose(ex, &c->p, packed, &from, added ? &more : NULL, &result));
}

TEST(conv_transpose_matches_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int n = 0; n < TRANSPOSES; n++) {
        const struct transpose_case *const c = &transposes[n];
        struct operands o = transpose_operands(ex, c, (uint64_t)n);
        double *const want = malloc((size_t)field_positions(&o.y) * sizeof *want);
        float *const x = malloc((size_t)field_positions(&o.x) * sizeof *x);
        REQUIRE(want && x);
        field_read(&o.x, x);
        oracle_conv_transpose(&c->p, &o.x.s, c->out_width, o.weight, c->with & BIAS ? o.bias : NULL, x, o.add_dense,
                              want);
        CHECK_OK(run_transpose(ex, &o, c, operands_added(&o, &o.y, c->with), &o.y));
        const double error = field_error(&o.y, want);
        if (!(error <= 2e-6))
            printf("    %s: %.1e\n", c->reason, error);
        worst = compare_worst(worst, error);
        if (!(c->with & IN_PLACE)) {
            struct field again = field_open(&o.y.s, true, 0);
            CHECK_OK(run_transpose(three, &o, c, operands_added(&o, &o.y, c->with), &again));
            CHECK(field_equal(&o.y, &again) && field_intact(&again));
            field_close(&again);
        }
        CHECK(field_intact(&o.x) && field_intact(&o.add) && exec_arena(ex)->used == 0);
        free(want);
        free(x);
        operands_free(&o);
    }
    printf("    conv_transpose: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 2e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(conv_transpose_multiplies_in_other_precisions)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int n = 0; n < 2 * TRANSPOSES; n++) {
        struct transpose_case c = transposes[n / 2];
        c.p.precision = n % 2 ? PRECISION_BF16 : PRECISION_TF32;
        struct operands o = transpose_operands(ex, &c, (uint64_t)n);
        const enum precision rounded = subject_backend() == BACKEND_CPU ? PRECISION_F32 : c.p.precision;
        double *const want = malloc((size_t)field_positions(&o.y) * sizeof *want);
        float *const x = malloc((size_t)field_positions(&o.x) * sizeof *x);
        REQUIRE(want && x);
        field_read(&o.x, x);
        operands_round(x, field_positions(&o.x), rounded);
        operands_round(o.weight, c.p.in * c.p.out * 2 * c.p.stride, rounded);
        oracle_conv_transpose(&c.p, &o.x.s, c.out_width, o.weight, c.with & BIAS ? o.bias : NULL, x, o.add_dense, want);
        CHECK_OK(run_transpose(ex, &o, &c, operands_added(&o, &o.y, c.with), &o.y));
        const double error = field_error(&o.y, want);
        if (!(error <= 1e-5))
            printf("    %s, precision %d: %.1e\n", c.reason, (int)c.p.precision, error);
        worst = compare_worst(worst, error);
        free(want);
        free(x);
        operands_free(&o);
    }
    printf("    of rounded weights and inputs, at most %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-5);
    exec_destroy(&ex);
}

/* Each position of x reaches 2*stride positions of its row; the other items keep their bits. */
TEST(conv_transpose_takes_nan_where_sums_do)
{
    struct exec *ex = subject_exec();
    const struct transpose_case c = {{6, 7, 4, 0, 0}, 2, 2, 9, 36, 0, BIAS, "a NaN"};
    struct operands o = transpose_operands(ex, &c, 3);
    struct field bad = field_open(&o.y.s, false, 0);
    CHECK_OK(run_transpose(ex, &o, &c, NULL, &o.y));
    maps_row(&o.x.m, 1, 1)[5 * 6 + 3] = NAN;
    CHECK_OK(run_transpose(ex, &o, &c, NULL, &bad));
    for (int64_t row = 0; row < 4; row++)
        for (int64_t n = 0; n < 36; n++) {
            const float *const got = maps_row(&bad.m, row / 2, row % 2) + n * 7;
            const float *const was = maps_row(&o.y.m, row / 2, row % 2) + n * 7;
            for (int64_t k = 0; k < 7; k++)
                CHECK(row == 3 && n >= 18 && n < 26 ? !!isnan(got[k]) : compare_bits(got + k, was + k, sizeof *got));
        }
    field_close(&bad);
    operands_free(&o);
    exec_destroy(&ex);
}

#define EXPECT_TRANSPOSE(code, change) \
    do { \
        struct conv_transpose_params p = c.p; \
        struct maps x = o.x.m, y = o.y.m, add = o.add.m; \
        const float *packed = o.packed; \
        change; \
        CHECK_CODE(conv_transpose(ex, &p, packed, &x, &add, &y), code); \
        CHECK(field_untouched(&o.y)); \
    } while (0)

TEST(conv_transpose_refuses)
{
    struct exec *ex = subject_exec();
    const struct transpose_case c = {{4, 6, 4, 0, 0}, 2, 3, 5, 20, 0, BIAS | ADD, "to be refused"};
    struct operands o = transpose_operands(ex, &c, 4);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.in = 0);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.in = 65537);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.out = 0);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.out = 65537);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.stride = 0);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.stride = 17);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.activation = ACTIVATION_GLU);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.activation = (enum activation)3);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, p.precision = (enum precision)3);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, packed = NULL);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, packed++);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, x.data = NULL);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, y.data = NULL);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, add.data = NULL);
    EXPECT_TRANSPOSE(STATUS_ARGUMENT, y.data = x.data);
    EXPECT_TRANSPOSE(STATUS_SHAPE, x.channels++);
    EXPECT_TRANSPOSE(STATUS_SHAPE, y.channels++);
    EXPECT_TRANSPOSE(STATUS_SHAPE, y.items--);
    EXPECT_TRANSPOSE(STATUS_SHAPE, add.height--);
    EXPECT_TRANSPOSE(STATUS_SHAPE, add.width--);
    EXPECT_TRANSPOSE(STATUS_SHAPE, x.row_stride--); /* no margins */
    EXPECT_TRANSPOSE(STATUS_SHAPE, x.width--);      /* 20 positions of four */
    EXPECT_TRANSPOSE(STATUS_SHAPE, y.row_stride--);
    EXPECT_TRANSPOSE(STATUS_SHAPE, y.width = add.width = 0);
    struct conv_transpose_params bad = c.p;
    bad.stride = 0;
    CHECK_CODE(conv_transpose_pack(ex, &bad, o.weight, NULL, o.packed), STATUS_ARGUMENT);
    CHECK_CODE(conv_transpose_pack(ex, &c.p, NULL, NULL, o.packed), STATUS_ARGUMENT);
    CHECK_CODE(conv_transpose_pack(ex, &c.p, o.weight, NULL, NULL), STATUS_ARGUMENT);
    CHECK(conv_transpose_pack_bytes(ex, &c.p) % 64 == 0 && conv_transpose_pack_bytes(ex, &c.p) > 0);
    CHECK_OK(run_transpose(ex, &o, &c, &o.add.m, &o.y));
    operands_free(&o);
    exec_destroy(&ex);
}
