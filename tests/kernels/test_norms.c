/* layer_norm, group_norm, moments: against two passes in double, over shapes, strides, threads, offsets that dwarf the
 * deviation, what is not finite; their errors. */
#include "field.h"

enum { ADD = 1, ADD_ROW = 2 /* one row for all: group_norm only */, IN_PLACE = 4, MARGINS = 8 };

static const struct norm_case {
    struct oracle_shape s;
    int64_t gap;
    int with;
    float offset; /* of x, whose noise is in [-1, 1) */
    const char *reason;
} cases[] = {
    {{1, 1, 1, 1}, 0, 0, 0, "one number: its variance is 0"},
    {{2, 1, 1, 2}, 3, ADD, 0, "two"},
    {{1, 1, 5, 17}, 0, IN_PLACE, 0, "odd channels"},
    {{2, 8, 33, 48}, 0, ADD, 0, "positions and codes"},
    {{1, 1, 100, 512}, 0, IN_PLACE | ADD, 0, "tokens of a transformer"},
    {{3, 5, 7, 33}, 11, MARGINS, 0.5F, "rows with margins"},
    {{2, 7, 16, 6}, 0, MARGINS | ADD, -3, "few channels"},
    {{1, 300, 3, 4}, 0, ADD_ROW, 0, "many short rows"},
    {{1, 1, 3000, 7}, 0, 0, 100, "a long row, far from zero"},
    {{2, 1, 1500, 16}, 5, ADD, 0, "longer than any tile, with a gap"},
    {{1, 2, 3, 1000}, 0, 0, 0, "many channels"},
    {{2, 2, 31, 96}, 0, IN_PLACE | MARGINS, 0, "in place, with margins"},
    {{1, 1, 3, 2500}, 0, ADD, 2, "more channels than registers hold"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* A case's operands; `add` is dense [items][height][width][channels], the first item being layer_norm's codes. */
struct operands {
    float *gain, *shift, *add, *x_dense;
    struct field x, y, added;
    const struct maps *to, *more;
};

static struct operands operands_of(const struct norm_case *c, uint64_t seed)
{
    struct operands o = {.gain = noise_of(&seed, c->s.channels, 1), .shift = noise_of(&seed, c->s.channels, 1)};
    const int64_t row = c->s.width * c->s.channels;
    o.x = field_open(&c->s, (c->with & MARGINS) != 0, c->gap);
    o.y = field_open(&c->s, (c->with & MARGINS) != 0, c->gap ? 2 : 0);
    const int64_t n = field_positions(&o.x);
    o.x_dense = noise_of(&seed, n, 1);
    o.add = noise_of(&seed, n, 1);
    for (int64_t i = 0; i < n; i++) {
        o.x_dense[i] += c->offset;
        o.add[i] = c->with & ADD_ROW ? o.add[i % row] : o.add[i];
    }
    field_write(&o.x, o.x_dense);
    o.added = field_open(&c->s, false, c->gap ? 1 : 4);
    field_write(&o.added, o.add);
    if (c->with & ADD_ROW)
        o.added.m.item_stride = o.added.m.row_stride = 0;
    if (!(c->with & (ADD | ADD_ROW))) {
        free(o.add);
        o.add = NULL;
    }
    return o;
}

/* Pointers into o, which must not move any more. */
static void settle(struct operands *o, const struct norm_case *c)
{
    o->to = c->with & IN_PLACE ? &o->x.m : &o->y.m;
    o->more = o->add ? &o->added.m : NULL;
}

static void operands_free(struct operands *o)
{
    free(o->gain);
    free(o->shift);
    free(o->add);
    free(o->x_dense);
    field_close(&o->x);
    field_close(&o->y);
    field_close(&o->added);
}

typedef int run_function(struct exec *ex, const struct operands *o);
typedef void oracle_function(const struct oracle_shape *s, const float *gain, const float *shift, const float *add,
                             const float *x, double *y);

/* What a run works on, in the memory of its exec. */
struct placed {
    const float *gain, *shift;
    struct maps x, y;
};

static struct placed placed_of(struct device_batch *b, const struct operands *o)
{
    const size_t channels = (size_t)o->x.s.channels * sizeof(float);
    struct placed p = {.gain = device_aligned(b, o->gain, channels, false)};
    p.shift = device_aligned(b, o->shift, channels, false);
    p.x = device_maps(b, &o->x, &o->x.m, true);
    p.y = o->to == &o->x.m ? p.x : device_maps(b, &o->y, o->to, true);
    return p;
}

static int run_layer(struct exec *ex, const struct operands *o)
{
    struct device_batch b = device_batch(ex);
    const struct placed p = placed_of(&b, o);
    const float *const add = device_aligned(&b, o->add, (size_t)field_positions(&o->x) * sizeof *add, false);
    return device_done(&b, layer_norm(ex, p.gain, p.shift, add, &p.x, &p.y));
}

static int run_group(struct exec *ex, const struct operands *o)
{
    struct device_batch b = device_batch(ex);
    const struct placed p = placed_of(&b, o);
    const struct maps add = o->more ? device_maps(&b, &o->added, o->more, true) : p.x;
    return device_done(&b, group_norm(ex, p.gain, p.shift, &p.x, o->more ? &add : NULL, &p.y));
}

static int run_moments(struct exec *ex, const struct field *x, float *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps m = device_maps(&b, x, &x->m, true);
    float *const to = device_out(&b, y, (size_t)x->m.items * 2 * sizeof *y);
    return device_done(&b, moments(ex, &m, to));
}

/* All cases, on one thread and on three. */
static void match(const char *name, run_function *run, oracle_function *oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int n = 0; n < CASES; n++) {
        const struct norm_case *const c = &cases[n];
        struct operands o = operands_of(c, (uint64_t)n), other = operands_of(c, (uint64_t)n);
        double *const want = malloc((size_t)field_positions(&o.x) * sizeof *want);
        REQUIRE(want);
        settle(&o, c);
        settle(&other, c);
        oracle(&c->s, o.gain, o.shift, o.add, o.x_dense, want);
        CHECK_OK(run(ex, &o));
        CHECK_OK(run(three, &other));
        const double error = field_error(c->with & IN_PLACE ? &o.x : &o.y, want);
        if (!(error <= 1e-6))
            printf("    %s, %s: %.1e\n", name, c->reason, error);
        worst = compare_worst(worst, error);
        CHECK(field_intact(&o.x) && field_intact(&o.added) && exec_arena(ex)->used == 0);
        CHECK(c->with & IN_PLACE ? field_equal(&o.x, &other.x) : field_equal(&o.y, &other.y));
        free(want);
        operands_free(&o);
        operands_free(&other);
    }
    printf("    %s: worst %.1e\n", name, worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(layer_norm_matches_oracle)
{
    match("layer_norm", run_layer, oracle_layer_norm);
}

TEST(group_norm_matches_oracle)
{
    match("group_norm", run_group, oracle_group_norm);
}

TEST(moments_match_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int n = 0; n < CASES; n++) {
        const struct norm_case *const c = &cases[n];
        struct operands o = operands_of(c, (uint64_t)n);
        double want[6];
        float again[6];
        struct guarded got = guarded_open(2 * c->s.items);
        oracle_moments(&c->s, o.x_dense, want);
        CHECK_OK(run_moments(ex, &o.x, got.data));
        CHECK_OK(run_moments(three, &o.x, again));
        CHECK(guarded_intact(&got) && field_intact(&o.x) && exec_arena(ex)->used == 0);
        CHECK(compare_bits(got.data, again, (size_t)(2 * c->s.items) * sizeof *again));
        for (int64_t i = 0; i < 2 * c->s.items; i++) {
            /* of the deviation; a mean that dwarfs it keeps its own last bit */
            const double of = fmax(want[i | 1], fabs(want[i]) / 8);
            const double error = got.data[i] == want[i] ? 0 : fabs(got.data[i] - want[i]) / of;
            if (!(error <= 1e-6))
                printf("    moments, %s: %.1e\n", c->reason, error);
            worst = compare_worst(worst, error);
        }
        guarded_close(&got);
        operands_free(&o);
    }
    printf("    moments: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* So many that a device makes its chunks longer, in rows whose ends are no multiple of anything. */
TEST(moments_of_many_values_match_oracle)
{
    const struct oracle_shape s = {1, 3, 22, 65001};
    struct exec *ex = subject_exec();
    struct field x = field_open(&s, false, 0);
    uint64_t seed = 3;
    float *const dense = noise_of(&seed, field_positions(&x), 1);
    double want[2];
    float got[2];
    field_write(&x, dense);
    oracle_moments(&s, dense, want);
    CHECK_OK(run_moments(ex, &x, got));
    CHECK_AT_MOST(fabs(got[0] - want[0]) / want[1], 1e-6);
    CHECK_AT_MOST(fabs(got[1] - want[1]) / want[1], 1e-6);
    free(dense);
    field_close(&x);
    exec_destroy(&ex);
}

/* Each item alone has the bits that it has among others; a NaN stays in its position, or in its item. */
TEST(norms_keep_items_apart)
{
    static const struct norm_case c = {{3, 4, 29, 17}, 5, 0, 0, "three items"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1), bad = operands_of(&c, 1);
    struct field alone = field_open(&c.s, false, 0);
    run_function *const runs[2] = {run_layer, run_group};
    float of[6], spoilt[6];
    settle(&o, &c);
    settle(&bad, &c);
    maps_row(&bad.x.m, 1, 2)[5 * 17 + 3] = NAN;
    for (int way = 0; way < 2; way++) {
        CHECK_OK(runs[way](ex, &o));
        CHECK_OK(runs[way](ex, &bad));
        for (int64_t b = 0; b < 3; b++) {
            struct operands one = o; /* a view of one item; nothing is owned */
            one.x.m.items = 1;
            one.x.m.data = maps_row(&o.x.m, b, 0);
            one.y = alone;
            one.y.m.items = 1;
            one.y.m.data = maps_row(&alone.m, b, 0);
            settle(&one, &c);
            CHECK_OK(runs[way](ex, &one));
        }
        CHECK(field_equal(&o.y, &alone));
        bool right = true;
        for (int64_t n = 0; n < 3 * 4 * 29 * 17; n++) {
            const int64_t b = n / 17 / 29 / 4, i = n / 17 / 29 % 4, k = n % (17 * 29);
            const bool holds = b == 1 && (way || (i == 2 && k / 17 == 5));
            const float *const got = maps_row(&bad.y.m, b, i) + k;
            right &= holds ? !!isnan(*got) : compare_bits(got, maps_row(&o.y.m, b, i) + k, sizeof *got);
        }
        CHECK(right);
    }
    CHECK_OK(run_moments(ex, &o.x, of));
    CHECK_OK(run_moments(ex, &bad.x, spoilt));
    for (int64_t b = 0; b < 3; b++) {
        struct field x = o.x;
        float one[2];
        x.m.items = 1;
        x.m.data = maps_row(&o.x.m, b, 0);
        CHECK_OK(run_moments(ex, &x, one));
        CHECK(compare_bits(one, of + 2 * b, sizeof one));
        CHECK(b == 1 ? isnan(spoilt[2]) && isnan(spoilt[3]) : compare_bits(of + 2 * b, spoilt + 2 * b, sizeof one));
    }
    field_close(&alone);
    operands_free(&o);
    operands_free(&bad);
    exec_destroy(&ex);
}

#define EXPECT(code, layer, change) \
    do { \
        struct maps x = o.x.m, y = o.y.m, add = o.added.m; \
        const float *gain = o.gain, *shift = o.shift; \
        change; \
        CHECK_CODE(group_norm(ex, gain, shift, &x, &add, &y), code); \
        if (layer) \
            CHECK_CODE(layer_norm(ex, gain, shift, o.add, &x, &y), code); \
        CHECK(field_untouched(&o.y)); \
    } while (0)

TEST(norms_refuse)
{
    static const struct norm_case c = {{2, 3, 4, 5}, 0, ADD, 0, "to be refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    EXPECT(STATUS_ARGUMENT, true, gain = NULL);
    EXPECT(STATUS_ARGUMENT, true, shift = NULL);
    EXPECT(STATUS_ARGUMENT, true, x.data = NULL);
    EXPECT(STATUS_ARGUMENT, true, y.data = NULL);
    EXPECT(STATUS_SHAPE, true, x.items--);
    EXPECT(STATUS_SHAPE, true, x.height--);
    EXPECT(STATUS_SHAPE, true, y.width--);
    EXPECT(STATUS_SHAPE, true, y.channels--);
    EXPECT(STATUS_SHAPE, true, x.channels = y.channels = 0);
    EXPECT(STATUS_SHAPE, true, x.channels = y.channels = add.channels = 65537);
    EXPECT(STATUS_SHAPE, true, y.row_stride--);
    EXPECT(STATUS_SHAPE, true, y.item_stride = 0);
    EXPECT(STATUS_SHAPE, true, x.row_stride = -20);
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(norms_refuse_what_is_added)
{
    static const struct norm_case c = {{2, 3, 4, 5}, 0, ADD, 0, "to be refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    struct maps none = o.x.m;
    none.items = 0;
    none.data = NULL;
    CHECK_OK(layer_norm(ex, o.gain, o.shift, NULL, &none, &none));
    CHECK_OK(group_norm(ex, o.gain, o.shift, &none, NULL, &none));
    CHECK(field_untouched(&o.y));
    EXPECT(STATUS_SHAPE, false, add.width--);
    EXPECT(STATUS_SHAPE, false, add.item_stride = -1);
    EXPECT(STATUS_ARGUMENT, false, add.data = NULL);
    settle(&o, &c);
    CHECK_OK(run_layer(ex, &o));
    CHECK_OK(run_group(ex, &o));
    CHECK(!field_untouched(&o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(moments_refuse)
{
    struct exec *ex = subject_exec();
    struct field f = field_open(&(struct oracle_shape){2, 3, 4, 5}, false, 0);
    float y[4] = {7, 7, 7, 7};
    struct maps x = f.m;
    CHECK_CODE(moments(ex, &x, NULL), STATUS_ARGUMENT);
    x.data = NULL;
    CHECK_CODE(moments(ex, &x, y), STATUS_ARGUMENT);
    x = f.m;
    x.width = 0;
    CHECK_CODE(moments(ex, &x, y), STATUS_SHAPE);
    x = f.m;
    x.item_stride = -1;
    CHECK_CODE(moments(ex, &x, y), STATUS_SHAPE);
    x.items = 0;
    x.item_stride = 0;
    CHECK_OK(moments(ex, &x, y));
    CHECK(y[0] == 7 && y[3] == 7);
    field_close(&f);
    exec_destroy(&ex);
}

/* Scratch that runs out, at each allocation in turn, where a twin takes any; what the sizes say is enough. */
TEST(norms_report_failed_allocations)
{
    for (int n = 0; n < CASES; n++) {
        const struct norm_case *const c = &cases[n];
        for (int way = 0; way < 2 && !(c->with & IN_PLACE); way++) {
            struct exec *ex = n % 2 ? exec_of_threads(3) : subject_exec();
            struct arena *const arena = scratch_of(ex);
            struct operands o = operands_of(c, 1);
            struct guarded g = guarded_open(2 * c->s.items);
            int code = STATUS_NOMEM;
            settle(&o, c);
            for (long at = 1; code == STATUS_NOMEM && at < 20; at++) {
                arena->fail_at = arena->calls + at;
                code = way ? run_moments(ex, &o.x, g.data) : run_group(ex, &o);
                CHECK(arena->used == 0);
                CHECK((way ? guarded_untouched(&g) : field_untouched(&o.y)) == (code != STATUS_OK));
            }
            CHECK(code == STATUS_OK);
            CHECK(arena->high <= (way ? moments_work_bytes(&o.x.m) : group_norm_work_bytes(&o.x.m)));
            guarded_close(&g);
            operands_free(&o);
            exec_destroy(&ex);
        }
    }
}
