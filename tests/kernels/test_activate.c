/* activate and activate_gradient: against their equations in double, over groups, activations, dropout, margins, places
 * and threads; their errors. */
#include "field.h"
#include "oracle_training.h"

enum { IN_PLACE = 1, MARGINS = 2 };

static const struct activate_case {
    struct oracle_shape s;
    struct activate_params p;
    int with;
    float offset; /* of x, whose noise is in [-1, 1) */
    const char *reason;
} cases[] = {
    {{2, 8, 8, 32}, {8, ACTIVATE_SILU, 0, 1e-5F, 0, 0}, 0, 0, "many positions, few channels"},
    {{2, 3, 5, 64}, {8, ACTIVATE_SILU, 0, 1e-5F, 0.25F, 3}, MARGINS, 0.5F, "margins and dropout"},
    {{1, 2, 3, 256}, {32, ACTIVATE_LEAKY_RELU, 0.2F, 1e-5F, 0, 0}, IN_PLACE, 0, "few positions, many channels"},
    {{3, 5, 7, 6}, {3, ACTIVATE_SILU, 0, 1e-3F, 0.5F, 1}, IN_PLACE | MARGINS, -1, "no vector's multiple, in place"},
    {{2, 4, 9, 17}, {17, ACTIVATE_NONE, 0, 1e-5F, 0.1F, 0}, 0, 0, "a group for each of odd channels"},
    {{2, 11, 3, 5}, {1, ACTIVATE_LEAKY_RELU, 0.01F, 1e-5F, 0, 0}, MARGINS, 0, "one group"},
    {{2, 5, 7, 3}, {0, ACTIVATE_SILU, 0, 0, 0.3F, 9}, MARGINS, 0, "no norm"},
    {{1, 3, 4, 8}, {0, ACTIVATE_LEAKY_RELU, 0.2F, 0, 0, 0}, IN_PLACE, 0, "no norm, in place"},
    {{1, 1, 3, 4}, {2, ACTIVATE_SILU, 0, 1e-5F, 0, 0}, 0, 0, "six numbers in a group"},
    {{1, 2, 600, 4}, {2, ACTIVATE_SILU, 0, 1e-5F, 0.25F, 0}, 0, 0, "more than a block, rows cut by it"},
    {{1, 1, 37, 520}, {4, ACTIVATE_SILU, 0, 1e-5F, 0, 0}, 0, 3, "more channels than threads, three blocks"},
    {{1, 2, 3, 1030}, {0, ACTIVATE_SILU, 0, 0, 0.5F, 2}, 0, 0, "words of several parts"},
};
enum { CASES = sizeof cases / sizeof *cases };

static const struct step_state told = {.seed = UINT64_C(0x1234567890abcdef), .step = (UINT64_C(5) << 32) + 3};

struct operands {
    struct field x, y, dy, dx;
    float *gain, *shift, *x_dense, *dy_dense, *statistics, *dgain, *dshift;
    struct step_state state;
    bool in_place;
};

static struct operands operands_of(const struct activate_case *c, uint64_t seed)
{
    struct operands o = {.state = told, .in_place = (c->with & IN_PLACE) != 0};
    const bool margins = (c->with & MARGINS) != 0;
    o.x = field_open(&c->s, margins, 3);
    o.y = field_open(&c->s, margins, 0);
    o.dy = field_open(&c->s, false, 4);
    o.dx = field_open(&c->s, margins, 0);
    const int64_t n = field_positions(&o.x), channels = c->s.channels;
    o.x_dense = noise_of(&seed, n, 1);
    for (int64_t i = 0; i < n; i++)
        o.x_dense[i] += c->offset;
    o.dy_dense = noise_of(&seed, n, 1);
    field_write(&o.x, o.x_dense);
    field_write(&o.dy, o.dy_dense);
    o.gain = noise_of(&seed, channels, 1);
    o.shift = noise_of(&seed, channels, 1);
    o.dgain = noise_of(&seed, channels, 1);
    o.dshift = noise_of(&seed, channels, 1);
    o.statistics = noise_of(&seed, c->s.items * (c->p.groups + 1) * 2, 1);
    return o;
}

static void operands_free(struct operands *o)
{
    float *const all[] = {o->gain, o->shift, o->x_dense, o->dy_dense, o->statistics, o->dgain, o->dshift};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    field_close(&o->x);
    field_close(&o->y);
    field_close(&o->dy);
    field_close(&o->dx);
}

/* There and back. In place, y takes the place of a copy of x, and dx that of dy. */
static int run(struct exec *ex, const struct activate_case *c, struct operands *o)
{
    struct device_batch b = device_batch(ex);
    const size_t channels = (size_t)c->s.channels * sizeof(float);
    const size_t statistics = (size_t)(c->s.items * c->p.groups * 2) * sizeof(float);
    const struct step_state *const state = device_aligned(&b, &o->state, sizeof o->state, false);
    const struct activate_norm norm = {device_aligned(&b, o->gain, channels, false),
                                       device_aligned(&b, o->shift, channels, false),
                                       device_aligned(&b, o->statistics, statistics + 8, true)};
    const struct activate_norm *const with = c->p.groups ? &norm : NULL;
    float *const dgain = device_aligned(&b, o->dgain, channels, true);
    float *const dshift = device_aligned(&b, o->dshift, channels, true);
    if (o->in_place) {
        field_write(&o->y, o->x_dense);
        field_write(&o->dx, o->dy_dense);
    }
    const struct maps x = device_maps(&b, &o->x, &o->x.m, true), y = device_maps(&b, &o->y, &o->y.m, true);
    const struct maps dy = device_maps(&b, &o->dy, &o->dy.m, true), dx = device_maps(&b, &o->dx, &o->dx.m, true);
    const struct step_state *const drops = c->p.dropout > 0 ? state : NULL;
    int code = activate(ex, &c->p, drops, with, o->in_place ? &y : &x, &y);
    code = code ? code
                : activate_gradient(ex, &c->p, drops, with, &x, o->in_place ? &dx : &dy, &dx, with ? dgain : NULL,
                                    with ? dshift : NULL);
    return device_done(&b, code);
}

struct wanted {
    double *y, *dx, *dgain, *dshift;
};

static struct wanted wanted_of(const struct activate_case *c, const struct operands *o)
{
    const size_t n = (size_t)field_positions(&o->x), channels = (size_t)c->s.channels;
    struct wanted w = {calloc(n, sizeof(double)), calloc(n, sizeof(double)), calloc(channels, sizeof(double)),
                       calloc(channels, sizeof(double))};
    REQUIRE(w.y && w.dx && w.dgain && w.dshift);
    oracle_activate(&c->p, &o->state, &c->s, o->gain, o->shift, o->x_dense, w.y, o->dy_dense, w.dx, w.dgain, w.dshift);
    return w;
}

static void wanted_free(struct wanted *w)
{
    free(w->y);
    free(w->dx);
    free(w->dgain);
    free(w->dshift);
}

TEST(activate_matches_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0, worst_back = 0;
    for (int n = 0; n < CASES; n++) {
        const struct activate_case *const c = &cases[n];
        struct operands o = operands_of(c, (uint64_t)n), other = operands_of(c, (uint64_t)n);
        struct wanted w = wanted_of(c, &o);
        CHECK_OK(run(ex, c, &o));
        CHECK_OK(run(three, c, &other));
        const double error = field_error(&o.y, w.y);
        double back = field_error(&o.dx, w.dx);
        if (c->p.groups) {
            back = compare_worst(back, compare_l2(o.dgain, w.dgain, c->s.channels));
            back = compare_worst(back, compare_l2(o.dshift, w.dshift, c->s.channels));
        }
        if (!(error <= 1e-6 && back <= 2e-6))
            printf("    %s: %.1e, %.1e\n", c->reason, error, back);
        worst = compare_worst(worst, error);
        worst_back = compare_worst(worst_back, back);
        CHECK(field_intact(&o.x) && field_intact(&o.y) && field_intact(&o.dy) && field_intact(&o.dx));
        CHECK(field_equal(&o.y, &other.y) && field_equal(&o.dx, &other.dx) && exec_arena(ex)->used == 0);
        const size_t bytes = (size_t)c->s.channels * sizeof(float);
        CHECK(compare_bits(o.dgain, other.dgain, bytes) && compare_bits(o.dshift, other.dshift, bytes));
        CHECK(compare_bits(o.statistics, other.statistics, (size_t)(c->s.items * c->p.groups * 2) * sizeof(float)));
        wanted_free(&w);
        operands_free(&o);
        operands_free(&other);
    }
    printf("    activate: worst %.1e\n", worst);
    printf("    activate_gradient: worst %.1e\n", worst_back);
    CHECK_AT_MOST(worst, 1e-6);
    CHECK_AT_MOST(worst_back, 2e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* Values are dropped where the oracle drops them, neither more nor fewer; another step drops others. */
TEST(activate_drops_by_the_step)
{
    static const struct activate_case c = {{2, 9, 11, 13}, {0, ACTIVATE_NONE, 0, 0, 0.4F, 5}, 0, 0, "counted"};
    struct exec *ex = subject_exec();
    int64_t dropped[2] = {0}, both = 0;
    struct operands o[2] = {operands_of(&c, 1), operands_of(&c, 1)};
    const int64_t n = field_positions(&o[0].x);
    float *const y = malloc((size_t)n * 2 * sizeof *y);
    REQUIRE(y);
    o[1].state.step++;
    for (int k = 0; k < 2; k++) {
        struct wanted w = wanted_of(&c, &o[k]);
        CHECK_OK(run(ex, &c, &o[k]));
        field_read(&o[k].y, y + k * n);
        bool right = true;
        for (int64_t i = 0; i < n; i++) {
            right &= (y[k * n + i] == 0) == (w.y[i] == 0);
            dropped[k] += y[k * n + i] == 0;
        }
        CHECK(right);
        wanted_free(&w);
    }
    for (int64_t i = 0; i < n; i++)
        both += y[i] == 0 && y[n + i] == 0;
    const double deviation = sqrt((double)n * 0.16 * 0.84);
    CHECK_AT_MOST(fabs((double)both - 0.16 * (double)n), 5 * deviation);
    CHECK_AT_MOST(fabs((double)dropped[0] - 0.4 * (double)n), 5 * sqrt((double)n * 0.24));
    free(y);
    operands_free(&o[0]);
    operands_free(&o[1]);
    exec_destroy(&ex);
}

/* An item has the bits among others that it has alone, and a NaN in it stays in it. */
TEST(activate_keeps_items_apart)
{
    static const struct activate_case c = {{3, 4, 9, 24}, {6, ACTIVATE_SILU, 0, 1e-5F, 0, 0}, 0, 0, "three items"};
    static const struct activate_case lone = {{1, 4, 9, 24}, {6, ACTIVATE_SILU, 0, 1e-5F, 0, 0}, 0, 0, "one item"};
    struct exec *ex = subject_exec();
    struct operands all = operands_of(&c, 2), bad = operands_of(&c, 2), one = operands_of(&lone, 2);
    const int64_t n = field_positions(&one.x);
    field_write(&one.x, all.x_dense + 2 * n);
    field_write(&one.dy, all.dy_dense + 2 * n);
    memcpy(one.gain, all.gain, 24 * sizeof(float));
    memcpy(one.shift, all.shift, 24 * sizeof(float));
    maps_row(&bad.x.m, 1, 2)[31] = NAN;
    CHECK_OK(run(ex, &c, &all));
    CHECK_OK(run(ex, &c, &bad));
    CHECK_OK(run(ex, &lone, &one));
    float *const y = malloc((size_t)n * 12 * sizeof *y);
    REQUIRE(y);
    field_read(&all.y, y);
    field_read(&all.dx, y + 3 * n);
    field_read(&bad.y, y + 6 * n);
    field_read(&bad.dx, y + 9 * n);
    for (int64_t k = 0; k < 2; k++) {
        float *const mine = malloc((size_t)n * sizeof *mine);
        REQUIRE(mine);
        field_read(k ? &one.dx : &one.y, mine);
        CHECK(compare_bits(mine, y + (3 * k + 2) * n, (size_t)n * sizeof *mine));
        for (int64_t b = 0; b < 3; b += 2)
            CHECK(compare_bits(y + (3 * k + b) * n, y + (6 + 3 * k + b) * n, (size_t)n * sizeof *y));
        bool spoilt = true; /* the group of channel 31 % 24 */
        for (int64_t i = 0; i < n; i++)
            spoilt &= i % 24 / 4 == 1 ? !!isnan(y[(7 + 3 * k) * n + i]) : true;
        CHECK(spoilt);
        free(mine);
    }
    free(y);
    operands_free(&all);
    operands_free(&bad);
    operands_free(&one);
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct activate_params p = c.p; \
        struct activate_norm norm = {o.gain, o.shift, o.statistics}; \
        const struct step_state *state = &o.state; \
        struct maps x = o.x.m, y = o.y.m, dy = o.dy.m, dx = o.dx.m; \
        change; \
        CHECK_CODE(activate(ex, &p, state, &norm, &x, &y), code); \
        CHECK_CODE(activate_gradient(ex, &p, state, &norm, &x, &dy, &dx, o.dgain, o.dshift), code); \
        CHECK(field_untouched(&o.y) && field_untouched(&o.dx)); \
    } while (0)

TEST(activate_refuses)
{
    static const struct activate_case c = {{2, 3, 4, 6}, {3, ACTIVATE_SILU, 0, 1e-5F, 0.5F, 0}, 0, 0, "refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    EXPECT(STATUS_ARGUMENT, p.groups = 4);
    EXPECT(STATUS_ARGUMENT, p.groups = -1);
    EXPECT(STATUS_ARGUMENT, p.groups = 12);
    EXPECT(STATUS_ARGUMENT, p.kind = (enum activate_kind)3);
    EXPECT(STATUS_ARGUMENT, (p.kind = ACTIVATE_LEAKY_RELU, p.slope = NAN));
    EXPECT(STATUS_ARGUMENT, (p.kind = ACTIVATE_LEAKY_RELU, p.slope = 1.5F));
    EXPECT(STATUS_ARGUMENT, p.epsilon = 0);
    EXPECT(STATUS_ARGUMENT, p.epsilon = NAN);
    EXPECT(STATUS_ARGUMENT, p.dropout = 1);
    EXPECT(STATUS_ARGUMENT, p.dropout = NAN);
    EXPECT(STATUS_ARGUMENT, p.dropout = -0.1F);
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(activate_refuses_memory)
{
    static const struct activate_case c = {{2, 3, 4, 6}, {3, ACTIVATE_SILU, 0, 1e-5F, 0.5F, 0}, 0, 0, "refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    EXPECT(STATUS_ARGUMENT, state = NULL);
    EXPECT(STATUS_ARGUMENT, state = (const struct step_state *)((const char *)state + 4));
    EXPECT(STATUS_ARGUMENT, norm.gain = NULL);
    EXPECT(STATUS_ARGUMENT, norm.shift = NULL);
    EXPECT(STATUS_ARGUMENT, norm.statistics = NULL);
    EXPECT(STATUS_ARGUMENT, x.data = NULL);
    EXPECT(STATUS_ARGUMENT, y.data = dx.data = NULL);
    EXPECT(STATUS_SHAPE, x.items--);
    EXPECT(STATUS_SHAPE, y.width = dx.width = 3);
    EXPECT(STATUS_SHAPE, y.row_stride = dx.row_stride = 5);
    EXPECT(STATUS_SHAPE, (x.items = y.items = dy.items = dx.items = INT64_C(1) << 29,
                          x.item_stride = y.item_stride = dy.item_stride = dx.item_stride = 72));
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(activate_refuses_what_is_missing)
{
    static const struct activate_case c = {{2, 3, 4, 6}, {3, ACTIVATE_SILU, 0, 1e-5F, 0.5F, 0}, 0, 0, "refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    const struct activate_norm norm = {o.gain, o.shift, o.statistics};
    CHECK_CODE(activate(ex, &c.p, &o.state, NULL, &o.x.m, &o.y.m), STATUS_ARGUMENT);
    CHECK_CODE(activate_gradient(ex, &c.p, &o.state, &norm, &o.x.m, &o.dy.m, &o.dx.m, NULL, o.dshift), STATUS_ARGUMENT);
    CHECK_CODE(activate_gradient(ex, &c.p, &o.state, &norm, &o.x.m, &o.dy.m, &o.dx.m, o.dgain, NULL), STATUS_ARGUMENT);
    struct maps none = o.x.m;
    none.items = 0;
    CHECK_OK(activate(ex, &c.p, NULL, NULL, &none, &none));
    CHECK_CODE(activate_gradient(ex, &c.p, &o.state, &norm, &none, &none, &none, o.dgain, o.dshift), STATUS_SHAPE);
    CHECK(field_untouched(&o.y) && field_untouched(&o.dx));
    operands_free(&o);
    exec_destroy(&ex);
}

/* Scratch that runs out, at each allocation in turn; what activate_work_bytes says is enough. */
TEST(activate_reports_failed_allocations)
{
    static const int some[] = {0, 3, 6, 10};
    for (int n = 0; n < 4; n++) {
        const struct activate_case *const c = &cases[some[n]];
        struct exec *ex = n % 2 ? exec_of_threads(3) : subject_exec();
        struct arena *const arena = scratch_of(ex);
        int code = STATUS_NOMEM;
        for (long call = 1; call <= 8 && code; call++) {
            struct operands o = operands_of(c, 1);
            arena->calls = 0;
            arena->fail_at = call;
            code = run(ex, c, &o);
            if (code)
                CHECK_CODE(code, STATUS_NOMEM);
            operands_free(&o);
        }
        CHECK_OK(code);
        struct operands o = operands_of(c, 1);
        arena->fail_at = 0;
        arena->high = 0;
        CHECK_OK(run(ex, c, &o));
        CHECK(arena->used == 0 && arena->high <= activate_work_bytes(&o.x.m));
        operands_free(&o);
        exec_destroy(&ex);
    }
}
