/* conv: against sums in double, over shapes, margins, threads, what is not finite; their errors. */
#include "conv_operands.h"

#include <stddef.h>

static const struct conv_case cases[] = {
    {{1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 1, 1, 1, 1, false, 0, 0, "one number"},
    {{1, 2, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GLU, 0}, 1, 1, 3, 3, false, 0, BIAS, "the smallest GLU"},
    {{2, 2, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 2, 3, 5, 5, false, 3, BIAS, "two channels"},
    {{4, 6, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 1, 2, 33, 33, true, 0, BIAS | SCALE, "less than a vector, with margins"},
    {{7, 17, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 3, 2, 19, 19, false, 5, BIAS | ADD, "odd channels"},
    {{48, 96, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GLU, 0}, 1, 4, 37, 37, true, 0, BIAS, "an encoder's rewrite"},
    {{96, 33, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 2, 1, 50, 50, false, 0, BIAS | SCALE | ADD, "all that follows"},
    {{300, 50, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 1, 1, 41, 41, false, 0, BIAS, "a long sum"},
    {{700, 7, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 1, 1, 9, 9, false, 0, 0, "a longer one, without bias"},
    {{33, 66, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GLU, 0}, 1, 3, 21, 21, false, 1, BIAS | SCALE | ADD, "GLU of odd halves"},
    {{16, 34, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GLU, 0}, 1, 1, 64, 64, false, 0, BIAS | IN_PLACE, "GLU, added in place"},
    {{2, 14, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GLU, 0}, 1, 1, 100, 100, false, 0, BIAS, "halves of seven"},
    {{16, 16, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 2, 2, 40, 40, false, 0, IN_PLACE | SCALE, "a residual branch"},
    {{17, 48, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 2, 7, 11, 11, false, 0, BIAS | ADD_ROW | SCALE, "an embedding of the width"},
    {{6, 4, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 1, 2, 30, 30, false, 0, BIAS | OUT_MARGINS, "into rows with margins"},
    {{2, 48, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0},
     1,
     2,
     64,
     16,
     true,
     0,
     BIAS,
     "the first of an encoder of signals"},
    {{4, 48, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}, 2, 3, 61, 16, true, 9, BIAS | OUT_MARGINS, "a width of 61"},
    {{48, 96, 1, 8, 4, 1, 1, 0, 2, 0, 0}, 1, 2, 132, 33, true, 0, BIAS, "the second"},
    {{96, 17, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}, 1, 1, 30, 7, true, 0, BIAS | ADD, "odd channels, stride 4"},
    {{7, 33, 1, 8, 4, 1, 1, 0, 0, 0, 0}, 1, 1, 40, 9, false, 0, BIAS, "stride 4 without margins"},
    {{1, 16, 1, 8, 4, 1, 1, 0, 2, 0, 0}, 1, 1, 4, 1, true, 0, 0, "one position that hangs over both ends"},
    {{1, 7, 1, 4, 3, 1, 1, 0, 1, 0, 0}, 1, 2, 25, 9, true, 0, BIAS, "stride 3"},
    {{2, 6, 1, 1, 4, 1, 1, 0, 0, 0, 0}, 1, 1, 17, 5, false, 0, BIAS, "every fourth position"},
    {{48, 96, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 0}, 1, 5, 13, 13, true, 0, BIAS, "a decoder's rewrite"},
    {{7, 17, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GELU, 0}, 2, 4, 9, 9, true, 2, BIAS | SCALE | ADD, "3 x 3, odd"},
    {{16, 33, 3, 3, 1, 1, 1, 1, 1, 0, 0}, 1, 1, 10, 10, true, 0, BIAS, "3 x 3 of one row: two fall outside"},
    {{4, 4, 3, 3, 1, 1, 2, 1, 2, 0, 0}, 1, 3, 12, 12, true, 0, BIAS, "3 x 3, dilated along the width"},
    {{17, 6, 1, 3, 1, 1, 1, 0, 1, 0, 0}, 3, 2, 29, 29, true, 0, BIAS, "width 3"},
    {{48, 6, 1, 3, 1, 1, 2, 0, 2, ACTIVATION_GELU, 0}, 1, 2, 45, 45, true, 0, BIAS, "width 3, dilation 2"},
    {{33, 16, 1, 3, 1, 1, 2, 0, 0, 0, 0}, 1, 1, 20, 16, false, 0, 0, "dilated, without margins"},
    {{48, 12, 3, 1, 1, 2, 1, 2, 0, 0, 0}, 1, 7, 15, 15, false, 0, BIAS, "height 3, dilation 2"},
    {{6, 7, 3, 1, 1, 1, 1, 1, 0, ACTIVATION_GELU, 0}, 2, 2, 3, 3, false, 0, BIAS, "height 3"},
    {{2, 4, 16, 1, 1, 1, 1, 8, 0, 0, 0}, 1, 20, 3, 3, false, 0, BIAS, "the tallest kernel"},
    {{2, 4, 1, 16, 2, 1, 1, 0, 2, 0, 0}, 1, 2, 40, 15, true, 0, BIAS, "the widest"},
    {{1, 4, 1, 4, 1, 1, 16, 0, 0, 0, 0}, 1, 1, 60, 12, false, 0, 0, "the widest dilation"},
    {{3, 96, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 1, 1, 1, 1, false, 0, BIAS | SCALE | ADD, "one position"},
    {{512, 520, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 1, 1, 67, 67, false, 0, BIAS, "tokens of a transformer"},
    {{48, 96, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}, 1, 9, 512, 128, true, 0, BIAS, "frames of a segment"},
    {{48, 12, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 0}, 1, 40, 70, 70, true, 0, BIAS, "many rows"},
};
enum { CASES = sizeof cases / sizeof *cases };

static int run(struct exec *ex, const struct operands *o, const struct conv_case *c, const struct maps *added,
               const struct field *y)
{
    return operands_conv(ex, o, c, &o->x.m, added, y, &y->m);
}

TEST(conv_matches_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int n = 0; n < CASES; n++) {
        const struct conv_case *const c = &cases[n];
        struct operands o = operands_of(ex, c, (uint64_t)n);
        const int64_t size = field_positions(&o.y);
        double *const want = malloc((size_t)size * sizeof *want);
        float *const x = malloc((size_t)field_positions(&o.x) * sizeof *x);
        REQUIRE(want && x);
        field_read(&o.x, x);
        oracle_conv(&c->p, &o.x.s, c->out_width, o.weight, c->with & BIAS ? o.bias : NULL, x,
                    c->with & SCALE ? o.scale : NULL, o.add_dense, want);
        CHECK_OK(run(ex, &o, c, operands_added(&o, &o.y, c->with), &o.y));
        const double error = field_error(&o.y, want);
        if (!(error <= 2e-6))
            printf("    %s: %.1e\n", c->reason, error);
        CHECK(field_intact(&o.x) && field_intact(&o.add));
        worst = compare_worst(worst, error);
        free(want);
        free(x);
        operands_free(&o);
    }
    printf("    conv: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 2e-6);
    exec_destroy(&ex);
}

/* Tensor cores are as exact as what they are given: against the oracle of rounded weights and inputs. The CPU has none,
 * and its bits are those of f32. */
TEST(conv_multiplies_in_other_precisions)
{
    struct exec *ex = subject_exec();
    double worst[3] = {0};
    for (int n = 0; n < 2 * CASES; n++) {
        struct conv_case c = cases[n / 2];
        const enum precision precision = c.p.precision = n % 2 ? PRECISION_BF16 : PRECISION_TF32;
        struct operands o = operands_of(ex, &c, (uint64_t)n);
        const bool cpu = subject_backend() == BACKEND_CPU;
        const enum precision rounded = cpu ? PRECISION_F32 : precision;
        double *const want = malloc((size_t)field_positions(&o.y) * sizeof *want);
        float *const x = malloc((size_t)field_positions(&o.x) * sizeof *x);
        REQUIRE(want && x);
        field_read(&o.x, x);
        operands_round(x, field_positions(&o.x), rounded);
        operands_round(o.weight, c.p.out * c.p.in * c.p.kernel_h * c.p.kernel_w, rounded);
        oracle_conv(&c.p, &o.x.s, c.out_width, o.weight, c.with & BIAS ? o.bias : NULL, x,
                    c.with & SCALE ? o.scale : NULL, o.add_dense, want);
        CHECK_OK(run(ex, &o, &c, operands_added(&o, &o.y, c.with), &o.y));
        const double error = field_error(&o.y, want);
        if (!(error <= 1e-5))
            printf("    %s, precision %d: %.1e\n", c.reason, (int)precision, error);
        worst[precision] = compare_worst(worst[precision], error);
        free(want);
        free(x);
        operands_free(&o);
    }
    printf("    of rounded weights and inputs, at most %.1e in TF32 and %.1e in bfloat16\n", worst[PRECISION_TF32],
           worst[PRECISION_BF16]);
    CHECK_AT_MOST(worst[PRECISION_TF32], 1e-5);
    CHECK_AT_MOST(worst[PRECISION_BF16], 1e-5);
    exec_destroy(&ex);
}

/* On three threads, and of each item alone. */
TEST(conv_gives_equal_bits)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (int n = 0; n < CASES; n++) {
        const struct conv_case *const c = &cases[n];
        if (c->with & IN_PLACE)
            continue;
        struct operands o = operands_of(ex, c, (uint64_t)n);
        struct field again = field_open(&o.y.s, false, 0), alone = field_open(&o.y.s, false, 0);
        CHECK_OK(run(ex, &o, c, operands_added(&o, &o.y, c->with), &o.y));
        CHECK_OK(run(three, &o, c, operands_added(&o, &o.y, c->with), &again));
        for (int64_t b = 0; b < c->items; b++) {
            struct maps x = o.x.m, y = alone.m, add = o.add.m;
            x.items = y.items = add.items = 1;
            x.data = maps_row(&o.x.m, b, 0);
            y.data = maps_row(&alone.m, b, 0);
            add.data = maps_row(&o.add.m, b, 0);
            CHECK_OK(operands_conv(ex, &o, c, &x, o.add_dense ? &add : NULL, &alone, &y));
        }
        const bool equal = field_equal(&o.y, &again) && field_equal(&o.y, &alone);
        if (!equal)
            printf("    %s\n", c->reason);
        CHECK(equal && field_intact(&again) && field_intact(&alone));
        field_close(&again);
        field_close(&alone);
        operands_free(&o);
    }
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* A NaN in x is in the positions whose taps hold it, and changes no bit of the others. */
TEST(conv_takes_nan_where_sums_do)
{
    static const struct conv_case spoilt[] = {
        {{7, 17, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}, 2, 3, 19, 19, false, 0, BIAS, "1 x 1"},
        {{4, 48, 1, 8, 4, 1, 1, 0, 2, 0, 0}, 2, 3, 64, 16, true, 0, BIAS, "stride 4"},
        {{16, 34, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 0}, 2, 5, 13, 13, true, 0, BIAS, "3 x 3"},
        {{6, 7, 3, 1, 1, 2, 1, 2, 0, 0, 0}, 2, 7, 9, 9, false, 0, BIAS, "height 3, dilation 2"},
    };
    struct exec *ex = subject_exec();
    for (size_t n = 0; n < sizeof spoilt / sizeof *spoilt; n++) {
        const struct conv_case *const c = &spoilt[n];
        const struct conv_params *const p = &c->p;
        struct operands o = operands_of(ex, c, n);
        struct field bad = field_open(&o.y.s, false, 0);
        const int64_t i = 2, j = 8;
        CHECK_OK(run(ex, &o, c, NULL, &o.y));
        maps_row(&o.x.m, 1, i)[j * p->in + p->in / 2] = NAN;
        CHECK_OK(run(ex, &o, c, NULL, &bad));
        bool right = true;
        for (int64_t at = 0; at < field_positions(&bad) / bad.s.channels; at++) {
            const int64_t b = at / c->out_width / c->height, row = at / c->out_width % c->height;
            const int64_t column = at % c->out_width;
            const int64_t r = i - row + p->pad_h, q = j - column * p->stride_w + p->pad_w;
            const bool holds = b == 1 && r >= 0 && r % p->dilation_h == 0 && r / p->dilation_h < p->kernel_h &&
                               q >= 0 && q < p->kernel_w;
            const float *const got = maps_row(&bad.m, b, row) + column * bad.s.channels;
            const float *const was = maps_row(&o.y.m, b, row) + column * bad.s.channels;
            for (int64_t k = 0; k < bad.s.channels; k++)
                right &= holds ? !!isnan(got[k]) : compare_bits(got + k, was + k, sizeof *got);
        }
        if (!right)
            printf("    %s\n", c->reason);
        CHECK(right);
        field_close(&bad);
        operands_free(&o);
    }
    exec_destroy(&ex);
}

static const struct conv_case refused = {
    {4, 6, 1, 3, 1, 1, 1, 0, 1, ACTIVATION_GLU, 0}, 2, 3, 8, 8, true, 0, BIAS | ADD, "to be refused"};

TEST(conv_refuses_parameters)
{
    static const struct {
        size_t field;
        int64_t value;
    } bad[] = {
#define OF(name, value) {offsetof(struct conv_params, name), (value)}
        OF(in, 0),        OF(in, 65537),     OF(out, 0),         OF(out, 65538),    OF(out, 7),
        OF(kernel_h, 0),  OF(kernel_h, 17),  OF(kernel_w, 0),    OF(kernel_w, 17),  OF(stride_w, 0),
        OF(stride_w, 17), OF(dilation_h, 0), OF(dilation_h, 17), OF(dilation_w, 0), OF(dilation_w, 17),
        OF(pad_h, -1),    OF(pad_h, 241),    OF(pad_w, -1),      OF(pad_w, 241),
#undef OF
    };
    struct exec *ex = subject_exec();
    struct operands o = operands_of(ex, &refused, 1);
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        struct conv_params p = o.p;
        *(int64_t *)(void *)((char *)&p + bad[n].field) = bad[n].value;
        CHECK_CODE(conv(ex, &p, o.packed, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
        CHECK_CODE(conv_pack(ex, &p, o.weight, NULL, o.packed), STATUS_ARGUMENT);
    }
    struct conv_params p = o.p;
    p.activation = (enum activation)3;
    CHECK_CODE(conv(ex, &p, o.packed, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
    p = o.p;
    p.precision = (enum precision)3;
    CHECK_CODE(conv(ex, &p, o.packed, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
    p = o.p;
    p.kernel_h = 6; /* 18 taps that do not lie side by side */
    p.dilation_w = 2;
    CHECK_CODE(conv(ex, &p, o.packed, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
    CHECK_CODE(conv(ex, &o.p, NULL, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
    CHECK_CODE(conv(ex, &o.p, o.packed + 1, &o.x.m, NULL, NULL, &o.y.m), STATUS_ARGUMENT);
    CHECK_CODE(conv_pack(ex, &o.p, NULL, NULL, o.packed), STATUS_ARGUMENT);
    CHECK_CODE(conv_pack(ex, &o.p, o.weight, NULL, o.packed + 1), STATUS_ARGUMENT);
    CHECK(conv_pack_bytes(ex, &o.p) % 64 == 0 && conv_pack_bytes(ex, &o.p) > 0);
    CHECK(field_untouched(&o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct maps x = o.x.m, y = o.y.m, add = o.add.m; \
        change; \
        CHECK_CODE(conv(ex, &o.p, o.packed, &x, NULL, &add, &y), code); \
        CHECK(field_untouched(&o.y)); \
    } while (0)

TEST(conv_refuses_shapes)
{
    struct exec *ex = subject_exec();
    struct operands o = operands_of(ex, &refused, 1);
    EXPECT(STATUS_SHAPE, x.channels++);
    EXPECT(STATUS_SHAPE, y.channels++);
    EXPECT(STATUS_SHAPE, add.channels--);
    EXPECT(STATUS_SHAPE, x.items--);
    EXPECT(STATUS_SHAPE, add.items--);
    EXPECT(STATUS_SHAPE, y.height--);
    EXPECT(STATUS_SHAPE, add.height--);
    EXPECT(STATUS_SHAPE, add.width--);
    EXPECT(STATUS_SHAPE, x.items = y.items = add.items = -1);
    EXPECT(STATUS_SHAPE, x.height = y.height = add.height = 0);
    EXPECT(STATUS_SHAPE, y.width = add.width = 0);
    EXPECT(STATUS_SHAPE, x.width = 0);
    EXPECT(STATUS_SHAPE, y.width = INT64_C(1) << 32);
    EXPECT(STATUS_SHAPE, x.width = x.height = INT64_C(1) << 31);
    EXPECT(STATUS_SHAPE, x.row_stride = -x.row_stride);
    EXPECT(STATUS_SHAPE, x.item_stride = -1);
    EXPECT(STATUS_SHAPE, add.item_stride = INT64_C(1) << 60);
    EXPECT(STATUS_SHAPE, y.row_stride--);      /* rows that share memory */
    EXPECT(STATUS_SHAPE, y.item_stride = 0);   /* items that do */
    EXPECT(STATUS_SHAPE, y.item_stride -= 15); /* as do these, for the gap has 7 */
    EXPECT(STATUS_SHAPE, x.row_stride--);      /* no margins: the taps lie outside */
    EXPECT(STATUS_SHAPE, y.width = add.width = 13; y.row_stride = 39; y.item_stride = 117); /* past the margins */
    EXPECT(STATUS_ARGUMENT, x.data = NULL);
    EXPECT(STATUS_ARGUMENT, y.data = NULL);
    EXPECT(STATUS_ARGUMENT, add.data = NULL);
    EXPECT(STATUS_ARGUMENT, y.data = x.data);
    struct conv_params wide = o.p;
    wide.pad_w = MAPS_BEFORE + 1;
    CHECK_CODE(conv(ex, &wide, o.packed, &o.x.m, NULL, NULL, &o.y.m), STATUS_SHAPE);
    struct maps none[2] = {o.x.m, o.y.m};
    none[0].items = none[1].items = 0;
    none[0].data = none[1].data = NULL;
    CHECK_OK(conv(ex, &o.p, o.packed, &none[0], NULL, NULL, &none[1]));
    CHECK(field_untouched(&o.y));
    CHECK_OK(run(ex, &o, &refused, &o.add.m, &o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

/* Positions that may lie in any order: items of a row side by side. */
TEST(conv_writes_interleaved_items)
{
    struct exec *ex = subject_exec();
    const struct conv_case c = {{5, 8, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 3, 4, 6, 6, false, 0, BIAS, "interleaved"};
    struct operands o = operands_of(ex, &c, 2);
    struct field woven = field_open(&(struct oracle_shape){1, 4, 3 * 6, 8}, false, 0);
    CHECK_OK(run(ex, &o, &c, NULL, &o.y));
    struct maps y = o.y.m;
    y.data = woven.m.data;
    y.item_stride = 6 * 8;
    y.row_stride = 3 * 6 * 8;
    CHECK_OK(operands_conv(ex, &o, &c, &o.x.m, NULL, &woven, &y));
    for (int64_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < 4; i++)
            CHECK(compare_bits(maps_row(&y, b, i), maps_row(&o.y.m, b, i), 6 * 8 * sizeof(float)));
    CHECK(field_intact(&woven));
    field_close(&woven);
    operands_free(&o);
    exec_destroy(&ex);
}
