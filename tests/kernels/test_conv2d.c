/* conv2d, its data gradient and its weight gradient: each against sums in double, over shapes, precisions, threads,
 * what is not finite; their errors. */
#include "conv_operands.h"
#include "device.h"

#include <string.h>

static const struct conv2d_case {
    struct conv2d_params p;
    int64_t items, height, width, out_height, out_width, gap;
    bool bias;
    const char *reason;
} cases[] = {
    {{1, 1, 1, 1, 1, 1, 0, 0, 0}, 1, 1, 1, 1, 1, 0, true, "one number"},
    {{37, 19, 1, 1, 1, 1, 0, 0, 0}, 9, 1, 1, 1, 1, 0, true, "a linear layer, odd sizes"},
    {{515, 33, 1, 1, 1, 1, 0, 0, 0}, 3, 1, 1, 1, 1, 0, false, "a long sum, without bias"},
    {{1, 32, 4, 4, 2, 2, 1, 1, 0}, 2, 16, 20, 8, 10, 0, true, "the first of a network"},
    {{32, 64, 4, 4, 2, 2, 1, 1, 0}, 2, 8, 8, 4, 4, 5, true, "halved both ways"},
    {{3, 5, 4, 4, 2, 2, 1, 1, 0}, 2, 7, 9, 3, 4, 3, true, "odd sizes: a row and a column that no output takes"},
    {{6, 16, 3, 3, 1, 1, 1, 1, 0}, 1, 5, 6, 5, 6, 0, true, "stride 1"},
    {{16, 48, 3, 3, 1, 1, 1, 1, 0}, 3, 4, 17, 4, 17, 0, false, "stride 1, three vectors"},
    {{5, 7, 4, 4, 4, 2, 0, 1, 0}, 2, 12, 8, 3, 4, 0, true, "stride 4 x 2, nothing beside the height"},
    {{2, 3, 5, 3, 3, 2, 2, 1, 0}, 1, 11, 9, 4, 5, 0, true, "kernels that strides do not divide"},
    {{4, 2, 1, 6, 1, 3, 0, 2, 0}, 2, 3, 12, 3, 4, 0, true, "along the width only"},
    {{4, 2, 6, 1, 3, 1, 2, 0, 0}, 2, 12, 3, 4, 3, 0, true, "along the height only"},
    {{8, 31, 2, 2, 2, 2, 0, 0, 0}, 1, 6, 6, 3, 3, 0, true, "kernels side by side"},
    {{1, 3, 16, 16, 16, 16, 0, 0, 0}, 1, 32, 32, 2, 2, 0, true, "the largest stride"},
    {{2, 4, 16, 3, 1, 1, 15, 1, 0}, 1, 4, 6, 4, 6, 0, true, "the longest kernel, higher than what it reads"},
    {{7, 40, 4, 4, 2, 2, 1, 1, 0}, 3, 34, 64, 17, 32, 0, true, "several blocks of positions"},
    {{2, 3, 4, 4, 2, 2, 1, 1, 0}, 2, 96, 96, 48, 48, 0, true, "two parts of positions, summed apart"},
    {{1, 33, 4, 4, 2, 2, 1, 1, 0}, 2, 48, 96, 24, 48, 0, true, "the first of a network, many parts of positions"},
    {{20, 70, 3, 3, 1, 1, 1, 1, 0}, 1, 9, 16, 9, 16, 0, true, "more inputs and outputs than a tile has"},
    {{4096, 20, 1, 1, 1, 1, 0, 0, 0}, 3, 1, 5, 1, 5, 3, true, "a linear layer whose sum is cut into parts"},
    {{9, 4096, 1, 1, 1, 1, 0, 0, 0}, 2, 2, 3, 2, 3, 3, true, "the same of the data gradient"},
    {{9, 4096, 1, 1, 1, 1, 0, 0, 0}, 2, 2, 3, 1, 3, 0, true, "parts one after the other: more rows in x"},
    {{1, 16, 4, 4, 2, 2, 1, 1, 0}, 2, 37, 141, 18, 70, 3, true, "one input, more groups than a block has"},
    {{1, 18, 3, 4, 2, 3, 2, 1, 0}, 2, 9, 12, 5, 4, 0, true, "one input, taps that some phases have not"},
    {{2, 17, 2, 4, 1, 2, 0, 2, 0}, 2, 8, 9, 7, 5, 0, false, "two inputs, stride 1 x 2"},
    {{32, 32, 4, 4, 2, 2, 1, 1, 0}, 2, 16, 16, 8, 8, 5, true, "whole tiles of 4 x 4 outputs"},
    {{31, 32, 4, 4, 2, 2, 1, 1, 0}, 2, 8, 8, 4, 4, 0, true, "one channel less than tiles are taken for"},
    {{33, 31, 4, 4, 2, 2, 1, 1, 0}, 2, 8, 8, 4, 4, 0, true, "one output less than tiles are taken for"},
    {{48, 37, 4, 4, 2, 2, 1, 1, 0}, 3, 19, 23, 9, 11, 3, true, "cut tiles, channels that fill no vector"},
    {{33, 50, 4, 4, 2, 2, 0, 0, 0}, 2, 18, 12, 8, 5, 0, false, "tiles without padding"},
    {{35, 64, 4, 4, 2, 2, 3, 2, 0}, 2, 9, 7, 6, 4, 2, true, "tiles with much padding"},
    {{32, 36, 4, 4, 2, 2, 1, 1, 0}, 2, 6, 8, 3, 4, 0, true, "lower than a tile"},
    {{34, 36, 4, 4, 2, 2, 1, 1, 0}, 2, 21, 8, 6, 4, 0, true, "rows of x that no output takes"},
    {{128, 160, 4, 4, 2, 2, 1, 1, 0}, 1, 16, 16, 8, 8, 0, true, "tiles, sums in several chains"},
};
enum { CASES = sizeof cases / sizeof *cases };

struct pair {
    struct field x, y;
    float *weight, *bias;
};

static struct pair pair_of(const struct conv2d_case *c, uint64_t seed)
{
    struct pair o;
    o.x = field_open(&(struct oracle_shape){c->items, c->height, c->width, c->p.in}, true, c->gap);
    o.y = field_open(&(struct oracle_shape){c->items, c->out_height, c->out_width, c->p.out}, true, c->gap);
    o.weight = noise_of(&seed, conv2d_weights(&c->p), 1);
    o.bias = noise_of(&seed, c->p.in > c->p.out ? c->p.in : c->p.out, 1);
    field_noise(&o.x, &seed, 1);
    field_noise(&o.y, &seed, 1);
    return o;
}

static void pair_free(struct pair *o)
{
    field_close(&o->x);
    field_close(&o->y);
    free(o->weight);
    free(o->bias);
}

/* Forward from x or, for the data gradient, from y into `to`, packed on the exec. */
static int run(struct exec *ex, const struct conv2d_case *c, enum conv2d_way way, const struct pair *o,
               const struct field *to)
{
    const struct field *const from = way == CONV2D_FORWARD ? &o->x : &o->y;
    const size_t bytes = conv2d_pack_bytes(ex, &c->p, way);
    const int64_t biases = way == CONV2D_FORWARD ? c->p.out : c->p.in;
    float *const memory = packed_of(bytes);
    struct device_batch b = device_batch(ex);
    const struct maps in = device_maps(&b, from, &from->m, false), out = device_maps(&b, to, &to->m, true);
    float *const packed = device_aligned(&b, memory, bytes, true);
    const float *const w = device_aligned(&b, o->weight, (size_t)conv2d_weights(&c->p) * sizeof(float), false);
    const float *const bias = c->bias ? device_aligned(&b, o->bias, (size_t)biases * sizeof(float), false) : NULL;
    int code = conv2d_pack(ex, &c->p, way, w, bias, packed);
    if (!code)
        code = way == CONV2D_FORWARD ? conv2d(ex, &c->p, packed, &in, &out) : conv2d_data(ex, &c->p, packed, &in, &out);
    code = device_done(&b, code);
    free(memory);
    return code;
}

static int run_weight(struct exec *ex, const struct conv2d_case *c, const struct pair *o, float *gradient)
{
    struct device_batch b = device_batch(ex);
    const struct maps x = device_maps(&b, &o->x, &o->x.m, false), y = device_maps(&b, &o->y, &o->y.m, false);
    float *const to = device_aligned(&b, gradient, (size_t)conv2d_weights(&c->p) * sizeof(float), true);
    return device_done(&b, conv2d_weight(ex, &c->p, &x, &y, to));
}

/* The CPU takes all precisions for f32. */
static enum precision rounding_of(const struct conv2d_case *c)
{
    return subject_backend() == BACKEND_CPU ? PRECISION_F32 : c->p.precision;
}

static double limit_of(const struct conv2d_case *c)
{
    return c->p.precision == PRECISION_F32 ? 2e-6 : 1e-5;
}

static float *rounded_of(const float *from, int64_t n, enum precision precision)
{
    float *const to = malloc((size_t)n * sizeof *to);
    REQUIRE(to);
    memcpy(to, from, (size_t)n * sizeof *to);
    operands_round(to, n, precision);
    return to;
}

static void check_way(struct exec *ex, struct exec *three, const struct conv2d_case *c, enum conv2d_way way,
                      const struct pair *o, double *worst)
{
    const struct field *const like = way == CONV2D_FORWARD ? &o->y : &o->x, *const from =
                                                                                way == CONV2D_FORWARD ? &o->x : &o->y;
    struct field out = field_open(&like->s, true, c->gap), again = field_open(&like->s, false, 0);
    double *const want = malloc((size_t)field_positions(&out) * sizeof *want);
    float *const in = malloc((size_t)field_positions(from) * sizeof *in);
    REQUIRE(want && in);
    field_read(from, in);
    operands_round(in, field_positions(from), rounding_of(c));
    float *const weight = rounded_of(o->weight, conv2d_weights(&c->p), rounding_of(c));
    if (way == CONV2D_FORWARD)
        oracle_conv2d(&c->p, &o->x.s, c->out_height, c->out_width, weight, c->bias ? o->bias : NULL, in, want);
    else
        oracle_conv2d_data(&c->p, &o->x.s, c->out_height, c->out_width, weight, c->bias ? o->bias : NULL, in, want);
    CHECK_OK(run(ex, c, way, o, &out));
    CHECK_OK(run(three, c, way, o, &again));
    const double error = field_error(&out, want);
    if (!(error <= limit_of(c)))
        printf("    %s, way %d, precision %d: %.1e\n", c->reason, (int)way, (int)c->p.precision, error);
    *worst = compare_worst(*worst, error);
    CHECK(field_equal(&out, &again) && field_intact(&out) && field_intact(&again));
    field_close(&out);
    field_close(&again);
    free(weight);
    free(want);
    free(in);
}

static void check_weight(struct exec *ex, struct exec *three, const struct conv2d_case *c, const struct pair *o,
                         double *worst)
{
    const int64_t n = conv2d_weights(&c->p);
    double *const want = malloc((size_t)n * sizeof *want);
    float *const got = malloc((size_t)n * sizeof *got), *const again = malloc((size_t)n * sizeof *again);
    float *const x = malloc((size_t)field_positions(&o->x) * sizeof *x);
    float *const y = malloc((size_t)field_positions(&o->y) * sizeof *y);
    REQUIRE(want && got && again && x && y);
    field_read(&o->x, x);
    field_read(&o->y, y);
    operands_round(x, field_positions(&o->x), rounding_of(c));
    operands_round(y, field_positions(&o->y), rounding_of(c));
    oracle_conv2d_weight(&c->p, &o->x.s, c->out_height, c->out_width, x, y, want);
    for (int64_t i = 0; i < n; i++)
        got[i] = again[i] = NAN;
    CHECK_OK(run_weight(ex, c, o, got));
    CHECK_OK(run_weight(three, c, o, again));
    const double error = compare_l2(got, want, n);
    if (!(error <= limit_of(c)))
        printf("    %s, weights, precision %d: %.1e\n", c->reason, (int)c->p.precision, error);
    *worst = compare_worst(*worst, error);
    CHECK(compare_bits(got, again, (size_t)n * sizeof *got));
    free(want);
    free(got);
    free(again);
    free(x);
    free(y);
}

/* What the CPU multiplies in tiles (winograd.h): a device has no such way, and emulated these take minutes. */
static bool is_for_tiles(const struct conv2d_params *p)
{
    return p->kernel_h == 4 && p->kernel_w == 4 && p->stride_h == 2 && p->stride_w == 2 && p->in >= 31 &&
           p->out >= 31 && !(p->in == 32 && p->out == 64);
}

/* All cases in a precision: of forward, data gradient, weight gradient. */
static void check_cases(enum precision precision, double worst[3])
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (int n = 0; n < CASES; n++) {
        struct conv2d_case c = cases[n];
        if (subject_backend() != BACKEND_CPU && is_for_tiles(&c.p))
            continue;
        c.p.precision = precision;
        struct pair o = pair_of(&c, (uint64_t)n + 1);
        check_way(ex, three, &c, CONV2D_FORWARD, &o, &worst[0]);
        check_way(ex, three, &c, CONV2D_DATA, &o, &worst[1]);
        check_weight(ex, three, &c, &o, &worst[2]);
        CHECK(field_intact(&o.x) && field_intact(&o.y) && exec_arena(ex)->used == 0);
        pair_free(&o);
    }
    for (int i = 0; i < 3; i++)
        CHECK_AT_MOST(worst[i], precision == PRECISION_F32 ? 2e-6 : 1e-5);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(conv2d_matches_oracle)
{
    double worst[3] = {0};
    check_cases(PRECISION_F32, worst);
    printf("    conv2d: worst %.1e\n", worst[0]);
    printf("    conv2d_data: worst %.1e\n", worst[1]);
    printf("    conv2d_weight: worst %.1e\n", worst[2]);
}

/* Tensor cores are as exact as what they are given: against the oracle of rounded factors. The CPU has none. */
TEST(conv2d_multiplies_in_other_precisions)
{
    for (int i = PRECISION_TF32; i <= PRECISION_BF16; i++) {
        double worst[3] = {0};
        check_cases((enum precision)i, worst);
        printf("    of rounded factors, precision %d: at most %.1e, data gradient %.1e, weight gradient %.1e\n", i,
               worst[0], worst[1], worst[2]);
    }
}

/* More tiles than a thread takes at once, and than the weight gradient transforms at once. */
TEST(conv2d_takes_many_tiles)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    const struct conv2d_case c = {{32, 33, 4, 4, 2, 2, 1, 1, 0}, 2, 122, 118, 61, 59, 0, true, "many tiles"};
    double worst[3] = {0};
    struct pair o = pair_of(&c, 9);
    if (subject_backend() == BACKEND_CPU && subject_isa() != ISA_SCALAR) {
        check_way(ex, three, &c, CONV2D_FORWARD, &o, &worst[0]);
        check_way(ex, three, &c, CONV2D_DATA, &o, &worst[1]);
        check_weight(ex, three, &c, &o, &worst[2]);
    }
    for (int i = 0; i < 3; i++)
        CHECK_AT_MOST(worst[i], 2e-6);
    pair_free(&o);
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* As many tiles as leave a device parts that are longer than what it places at once. */
TEST(conv2d_weight_takes_long_parts)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    struct conv2d_case c = {{48, 5632, 1, 1, 1, 1, 0, 0, 0}, 1, 1, 600, 1, 600, 0, false, "long parts"};
    for (int i = PRECISION_F32; i <= PRECISION_TF32; i++) {
        double worst = 0;
        c.p.precision = (enum precision)i;
        struct pair o = pair_of(&c, 9);
        check_weight(ex, three, &c, &o, &worst);
        CHECK_AT_MOST(worst, limit_of(&c));
        pair_free(&o);
    }
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* A sum over nothing. */
TEST(conv2d_weight_of_no_items_is_zero)
{
    struct exec *ex = subject_exec();
    const struct conv2d_params p = {3, 5, 4, 4, 2, 2, 1, 1, PRECISION_F32};
    const struct maps x = maps_of(NULL, 0, 8, 8, 3, true), y = maps_of(NULL, 0, 4, 4, 5, true);
    float gradient[16 * 3 * 5];
    for (int i = 0; i < 16 * 3 * 5; i++)
        gradient[i] = NAN;
    struct device_batch b = device_batch(ex);
    float *const to = device_aligned(&b, gradient, sizeof gradient, true);
    CHECK_OK(device_done(&b, conv2d_weight(ex, &p, &x, &y, to)));
    for (int i = 0; i < 16 * 3 * 5; i++)
        CHECK(gradient[i] == 0);
    exec_destroy(&ex);
}

struct recording {
    struct field forward, data;
    float *gradient;
    struct maps x, y, to_y, to_x;
    float *weight, *packed[2], *to_gradient;
};

static int record(struct exec *ex, const struct conv2d_params *p, const struct recording *r)
{
    int code = conv2d_pack(ex, p, CONV2D_FORWARD, r->weight, NULL, r->packed[0]);
    code = code ? code : conv2d_pack(ex, p, CONV2D_DATA, r->weight, NULL, r->packed[1]);
    code = code ? code : conv2d(ex, p, r->packed[0], &r->x, &r->to_y);
    code = code ? code : conv2d_data(ex, p, r->packed[1], &r->y, &r->to_x);
    return code ? code : conv2d_weight(ex, p, &r->x, &r->y, r->to_gradient);
}

/* A graph takes the weights that are there when it runs, so that a step of a training can be one. */
static void run_recorded(struct exec *ex, const struct conv2d_case *c, struct pair *o, struct recording *r)
{
    const struct device_api *const api = exec_device_api(ex);
    const size_t bytes[2] = {conv2d_pack_bytes(ex, &c->p, CONV2D_FORWARD), conv2d_pack_bytes(ex, &c->p, CONV2D_DATA)};
    const size_t weights = (size_t)conv2d_weights(&c->p) * sizeof(float);
    float *const memory[2] = {packed_of(bytes[0]), packed_of(bytes[1])}, *const before = calloc(1, weights);
    struct device_batch b = device_batch(ex);
    struct device_graph *graph = NULL;
    REQUIRE(before);
    r->x = device_maps(&b, &o->x, &o->x.m, false);
    r->y = device_maps(&b, &o->y, &o->y.m, false);
    r->to_y = device_maps(&b, &r->forward, &r->forward.m, true);
    r->to_x = device_maps(&b, &r->data, &r->data.m, true);
    r->weight = device_aligned(&b, before, weights, false);
    r->to_gradient = device_aligned(&b, r->gradient, weights, true);
    for (int i = 0; i < 2; i++)
        r->packed[i] = device_aligned(&b, memory[i], bytes[i], true);
    CHECK_OK(api->graph_begin(exec_stream(ex)));
    CHECK_OK(record(ex, &c->p, r));
    CHECK_OK(api->graph_end(exec_stream(ex), &graph));
    CHECK_OK(api->copy_in(exec_stream(ex), r->weight, o->weight, weights));
    CHECK_OK(device_done(&b, api->graph_launch(graph, exec_stream(ex))));
    api->graph_destroy(&graph);
    free(memory[0]);
    free(memory[1]);
    free(before);
}

TEST(conv2d_is_recorded)
{
    struct exec *ex = subject_exec();
    struct conv2d_case c = {{7, 40, 4, 4, 2, 2, 1, 1, 0}, 2, 24, 24, 12, 12, 0, false, "recorded"};
    for (int i = PRECISION_F32; i <= PRECISION_BF16 && exec_device_api(ex); i++) {
        c.p.precision = (enum precision)i;
        const size_t bytes = (size_t)conv2d_weights(&c.p) * sizeof(float);
        struct pair o = pair_of(&c, 3);
        struct field y = field_open(&o.y.s, true, 0), x = field_open(&o.x.s, true, 0);
        struct recording r = {.forward = field_open(&o.y.s, true, 0), .data = field_open(&o.x.s, true, 0)};
        float *const gradient = malloc(bytes);
        r.gradient = malloc(bytes);
        REQUIRE(gradient && r.gradient);
        run_recorded(ex, &c, &o, &r);
        CHECK_OK(run(ex, &c, CONV2D_FORWARD, &o, &y));
        CHECK_OK(run(ex, &c, CONV2D_DATA, &o, &x));
        CHECK_OK(run_weight(ex, &c, &o, gradient));
        CHECK(field_equal(&y, &r.forward) && field_equal(&x, &r.data) && compare_bits(gradient, r.gradient, bytes));
        field_close(&y);
        field_close(&x);
        field_close(&r.forward);
        field_close(&r.data);
        free(gradient);
        free(r.gradient);
        pair_free(&o);
    }
    exec_destroy(&ex);
}

/* Parts of a long sum beside each other, and one after the other where x has more positions than y: the same bits. */
TEST(conv2d_adds_parts_in_one_order)
{
    struct exec *ex = subject_exec();
    const struct conv2d_case low = {{9, 4096, 1, 1, 1, 1, 0, 0, 0}, 2, 1, 3, 1, 3, 0, true, "one row"};
    const struct conv2d_case high = {{9, 4096, 1, 1, 1, 1, 0, 0, 0}, 2, 2, 3, 1, 3, 0, true, "and another"};
    struct pair o = pair_of(&high, 3);
    struct field one = field_open(&(struct oracle_shape){2, 1, 3, 9}, false, 0), two = field_open(&o.x.s, false, 0);
    CHECK_OK(run(ex, &low, CONV2D_DATA, &o, &one));
    CHECK_OK(run(ex, &high, CONV2D_DATA, &o, &two));
    for (int64_t b = 0; b < 2; b++)
        CHECK(compare_bits(maps_row(&one.m, b, 0), maps_row(&two.m, b, 0), 27 * sizeof(float)));
    field_close(&one);
    field_close(&two);
    pair_free(&o);
    exec_destroy(&ex);
}

/* What lies in the middle of an item reaches the positions that take it, and no other item. */
TEST(conv2d_takes_nan_where_sums_do)
{
    struct exec *ex = subject_exec();
    const struct conv2d_case c = {{3, 5, 4, 4, 2, 2, 1, 1, 0}, 2, 8, 8, 4, 4, 0, true, "a NaN"};
    struct pair o = pair_of(&c, 3);
    struct field was = field_open(&o.y.s, false, 0), bad = field_open(&o.y.s, false, 0);
    CHECK_OK(run(ex, &c, CONV2D_FORWARD, &o, &was));
    maps_row(&o.x.m, 1, 3)[4 * 3 + 1] = NAN; /* taps 0 to 3 of rows 2i - 1 to 2i + 2 */
    CHECK_OK(run(ex, &c, CONV2D_FORWARD, &o, &bad));
    for (int64_t n = 0; n < 2 * 4 * 4 * 5; n++) {
        const int64_t b = n / 80, i = n / 20 % 4, j = n / 5 % 4, k = n % 5;
        const float *const got = maps_row(&bad.m, b, i) + j * 5 + k, *const before = maps_row(&was.m, b, i) + j * 5 + k;
        const bool reached = b == 1 && (i == 1 || i == 2) && (j == 1 || j == 2);
        CHECK(reached ? !!isnan(*got) : compare_bits(got, before, sizeof *got));
    }
    field_close(&was);
    field_close(&bad);
    pair_free(&o);
    exec_destroy(&ex);
}

/* In tiles: what takes it is not finite, and no bit of another item changes. */
TEST(conv2d_keeps_nan_in_its_item)
{
    struct exec *ex = subject_exec();
    const struct conv2d_case c = {{32, 32, 4, 4, 2, 2, 1, 1, 0}, 3, 16, 16, 8, 8, 0, true, "a NaN"};
    struct pair o = pair_of(&c, 3);
    struct field was = field_open(&o.y.s, false, 0), bad = field_open(&o.y.s, false, 0);
    CHECK_OK(run(ex, &c, CONV2D_FORWARD, &o, &was));
    maps_row(&o.x.m, 1, 7)[8 * 32 + 1] = NAN;
    CHECK_OK(run(ex, &c, CONV2D_FORWARD, &o, &bad));
    for (int64_t b = 0; b < 3; b += 2)
        CHECK(compare_bits(maps_row(&bad.m, b, 0), maps_row(&was.m, b, 0), 64 * 32 * sizeof(float)));
    for (int64_t i = 3; i < 5; i++) /* taps 0 to 3 of 2i - 1 to 2i + 2 */
        for (int64_t n = 3 * 32; n < 5 * 32; n++)
            CHECK(isnan(maps_row(&bad.m, 1, i)[n]));
    field_close(&was);
    field_close(&bad);
    pair_free(&o);
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct conv2d_params p = c.p; \
        struct maps x = o.x.m, y = out.m; \
        float *packed = memory; \
        change; \
        CHECK_CODE(conv2d(ex, &p, packed, &x, &y), code); \
        CHECK(field_untouched(&out)); \
    } while (0)

TEST(conv2d_refuses_what_does_not_fit)
{
    struct exec *ex = subject_exec();
    const struct conv2d_case c = {{3, 5, 4, 4, 2, 2, 1, 1, 0}, 2, 8, 8, 4, 4, 0, true, "errors"};
    struct pair o = pair_of(&c, 3);
    struct field out = field_open(&o.y.s, true, 0);
    float *const memory = packed_of(conv2d_pack_bytes(ex, &c.p, CONV2D_FORWARD));
    EXPECT(STATUS_ARGUMENT, p.in = 0);
    EXPECT(STATUS_ARGUMENT, p.out = 65537);
    EXPECT(STATUS_ARGUMENT, p.kernel_h = 17);
    EXPECT(STATUS_ARGUMENT, p.kernel_w = 0);
    EXPECT(STATUS_ARGUMENT, p.stride_h = 5);
    EXPECT(STATUS_ARGUMENT, p.stride_w = 0);
    EXPECT(STATUS_ARGUMENT, p.pad_h = 4);
    EXPECT(STATUS_ARGUMENT, p.pad_w = -1);
    EXPECT(STATUS_ARGUMENT, p.precision = 9);
    EXPECT(STATUS_ARGUMENT, packed = NULL);
    EXPECT(STATUS_ARGUMENT, packed++);
    EXPECT(STATUS_ARGUMENT, y.data = x.data);
    EXPECT(STATUS_SHAPE, p.in = 4);
    EXPECT(STATUS_SHAPE, y.channels = 4);
    EXPECT(STATUS_SHAPE, y.items = 1);
    EXPECT(STATUS_SHAPE, p.pad_w = 3);
    EXPECT(STATUS_SHAPE, y.width = 7);
    CHECK_CODE(conv2d_pack(ex, &c.p, CONV2D_FORWARD, NULL, NULL, memory), STATUS_ARGUMENT);
    CHECK_CODE(conv2d_pack(ex, &c.p, (enum conv2d_way)2, o.weight, NULL, memory), STATUS_ARGUMENT);
    CHECK_CODE(conv2d_weight(ex, &c.p, &o.x.m, &o.y.m, NULL), STATUS_ARGUMENT);
    struct maps wide = o.x.m;
    wide.width = 20;
    CHECK_CODE(conv2d_data(ex, &c.p, memory, &o.y.m, &wide), STATUS_SHAPE);
    const struct conv2d_params far = {3, 5, 4, 16, 2, 2, 1, 1, PRECISION_F32};
    CHECK_CODE(conv2d_data(ex, &far, memory, &o.y.m, &o.x.m), STATUS_SHAPE);
    free(memory);
    field_close(&out);
    pair_free(&o);
    exec_destroy(&ex);
}
