/* clear_margins, mirror, standardize, unstandardize, add_maps, add_planar: every value by its place, in place and into
 * other strides, on one thread and on three; what is not finite, errors. */
#include "field.h"

enum { IN_PLACE = 1, X_MARGINS = 2, Y_MARGINS = 4, REPEATED = 8 /* one row of b for all: add_maps only */ };

static const struct maps_case {
    struct oracle_shape s;
    int64_t gap; /* between items of x; y has none */
    int with;
    const char *reason;
} cases[] = {
    {{1, 1, 1, 1}, 0, 0, "one number"},
    {{2, 1, 5, 3}, 3, 0, "odd channels, and a gap"},
    {{3, 4, 7, 5}, 1, X_MARGINS | Y_MARGINS, "odd everything, with margins"},
    {{2, 1, 1111, 8}, 0, IN_PLACE | X_MARGINS, "in place, on 16 bytes"},
    {{1, 70, 3, 4}, 0, Y_MARGINS | REPEATED, "many short rows, to margins"},
    {{2, 2, 31, 96}, 4, X_MARGINS | REPEATED, "from margins"},
    {{1, 1, 8195, 2}, 0, IN_PLACE, "a row longer than what a thread takes, three floats more"},
    {{2, 1, 601, 21}, 2, Y_MARGINS, "more channels than a tile has"},
    {{1, 1, 530, 12}, 0, 0, "as many channels as six stems have"},
    {{3, 1, 1024, 4}, 0, IN_PLACE, "whole tiles"},
};
enum { CASES = sizeof cases / sizeof *cases };
static const float EPSILON = 1e-5F;

enum op { STANDARDIZE, UNSTANDARDIZE, ADD_MAPS, ADD_MAPS_TO_B, ADD_PLANAR, OPS };
static const char *const names[OPS] = {"standardize", "unstandardize", "add_maps", "add_maps", "add_planar"};

struct operands {
    struct field x, b, y;
    float *moments, *planar, *x_dense, *b_dense;
    int64_t stride, planar_floats;
    bool in_place;
};

static struct operands operands_of(const struct maps_case *c, uint64_t seed)
{
    struct operands o = {.stride = c->s.width + 3, .in_place = (c->with & IN_PLACE) != 0};
    o.x = field_open(&c->s, (c->with & X_MARGINS) != 0, c->gap);
    o.y = field_open(&c->s, (c->with & Y_MARGINS) != 0, 0);
    o.b = field_open(&c->s, (c->with & Y_MARGINS) != 0, c->gap + 4);
    const int64_t n = field_positions(&o.x), row = c->s.width * c->s.channels;
    o.x_dense = noise_of(&seed, n, 3);
    o.b_dense = noise_of(&seed, n, 1);
    o.moments = noise_of(&seed, 2 * c->s.items, 1);
    o.planar_floats = c->s.items * c->s.channels * o.stride;
    o.planar = noise_of(&seed, o.planar_floats, 1);
    for (int64_t b = 0; b < c->s.items; b++)
        o.moments[2 * b + 1] = fabsf(o.moments[2 * b + 1]) + 0.1F;
    for (int64_t i = 0; i < n && c->with & REPEATED; i++)
        o.b_dense[i] = o.b_dense[i % row];
    field_write(&o.x, o.x_dense);
    field_write(&o.b, o.b_dense);
    return o;
}

static void operands_free(struct operands *o)
{
    field_close(&o->x);
    field_close(&o->b);
    field_close(&o->y);
    free(o->moments);
    free(o->planar);
    free(o->x_dense);
    free(o->b_dense);
}

/* Where the result goes. */
static struct field *result_of(struct operands *o, enum op op)
{
    return op == ADD_MAPS_TO_B ? &o->b : o->in_place ? &o->x : &o->y;
}

static int run(struct exec *ex, enum op op, struct operands *o, bool repeated)
{
    struct device_batch batch = device_batch(ex);
    const struct maps x = device_maps(&batch, &o->x, &o->x.m, true), b = device_maps(&batch, &o->b, &o->b.m, true);
    const struct maps other = device_maps(&batch, &o->y, &o->y.m, true);
    const struct maps y = op == ADD_MAPS_TO_B ? b : o->in_place ? x : other;
    const size_t two = (size_t)o->x.s.items * 2 * sizeof(float), all = (size_t)o->planar_floats * sizeof(float);
    const float *const m = device_aligned(&batch, o->moments, two, false);
    const float *const planar = device_aligned(&batch, o->planar, all, false);
    struct maps same = b;
    if (repeated && op == ADD_MAPS)
        same.item_stride = same.row_stride = 0;
    return device_done(&batch, op == STANDARDIZE     ? standardize(ex, m, EPSILON, &x, &y)
                               : op == UNSTANDARDIZE ? unstandardize(ex, m, &x, &y)
                               : op == ADD_PLANAR    ? add_planar(ex, planar, o->stride, &x, &y)
                                                     : add_maps(ex, &x, &same, &y));
}

/* How far value i of the dense result is from the equation, relative to what the roundings are of. */
static double error_of(const struct operands *o, enum op op, int64_t i, float got)
{
    const struct oracle_shape *const s = &o->x.s;
    const int64_t item = i / (s->height * s->width * s->channels);
    const int64_t n = i / s->channels % s->width, r = i % s->channels; /* add_planar's, with one row */
    const double x = o->x_dense[i], mean = o->moments[2 * item], deviation = o->moments[2 * item + 1];
    const double more = op == ADD_PLANAR ? o->planar[(item * s->channels + r) * o->stride + n] : o->b_dense[i];
    const double want = op == STANDARDIZE     ? (x - mean) / (deviation + (double)EPSILON)
                        : op == UNSTANDARDIZE ? x * deviation + mean
                                              : x + more;
    const double of = fabs(want) + (op == UNSTANDARDIZE ? fabs(x * deviation) : 0);
    return got == want ? 0 : fabs(got - want) / of;
}

static double match(struct exec *ex, struct exec *three, enum op op, const struct maps_case *c, uint64_t seed)
{
    struct operands o = operands_of(c, seed), again = operands_of(c, seed);
    struct field *const y = result_of(&o, op);
    const int64_t n = field_positions(y);
    float *const got = noise_of(&seed, n, 1);
    const bool repeated = (c->with & REPEATED) != 0;
    double worst = 0;
    CHECK_OK(run(ex, op, &o, repeated));
    CHECK_OK(run(three, op, &again, repeated));
    CHECK(field_intact(&o.x) && field_intact(&o.b) && field_intact(&o.y));
    CHECK(y == &o.y || field_untouched(&o.y));
    CHECK(field_equal(y, result_of(&again, op)));
    field_read(y, got);
    for (int64_t i = 0; i < n; i++)
        worst = compare_worst(worst, error_of(&o, op, i, got[i]));
    free(got);
    operands_free(&o);
    operands_free(&again);
    return worst;
}

TEST(values_match_the_equations)
{
    static const double bound[OPS] = {2.4e-7, 6e-8, 6e-8, 6e-8, 6e-8}; /* four roundings; one of each part */
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (enum op op = 0; op < OPS; op++) {
        double worst = 0;
        for (int n = 0; n < CASES; n++) {
            if (op == ADD_PLANAR && cases[n].s.height > 1)
                continue;
            const double error = match(ex, three, op, &cases[n], (uint64_t)n);
            if (!(error <= bound[op]))
                printf("    %s, %s: %.1e\n", names[op], cases[n].reason, error);
            worst = compare_worst(worst, error);
        }
        printf("    %s: worst %.1e\n", names[op], worst);
        CHECK_AT_MOST(worst, bound[op]);
    }
    CHECK(exec_arena(ex)->used == 0);
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* A NaN stays in its place; one among the moments takes its item, and no other. */
TEST(nan_stays_in_its_place)
{
    static const struct maps_case c = {{3, 1, 40, 6}, 5, X_MARGINS, "three items"};
    enum { EACH = 40 * 6, AT = 17 * 6 + 4 };
    struct exec *ex = subject_exec();
    for (enum op op = 0; op < OPS; op++)
        for (int which = 0; which < 2; which++) {
            struct operands o = operands_of(&c, 5);
            struct field *const y = result_of(&o, op);
            const bool whole = which && op <= UNSTANDARDIZE;
            float got[3 * EACH];
            bool right = true;
            if (whole)
                o.moments[2 + (op == UNSTANDARDIZE)] = NAN;
            else if (!which)
                maps_row(&o.x.m, 1, 0)[AT] = NAN;
            else if (op == ADD_PLANAR)
                o.planar[(1 * 6 + 4) * o.stride + 17] = NAN;
            else
                maps_row(&o.b.m, 1, 0)[AT] = NAN;
            CHECK_OK(run(ex, op, &o, false));
            field_read(y, got);
            for (int64_t i = 0; i < 3 * EACH; i++)
                right &= !!isnan(got[i]) == (i / EACH == 1 && (whole || i % EACH == AT));
            CHECK(right);
            operands_free(&o);
        }
    exec_destroy(&ex);
}

/* Margins hold anything before; with `every_second`, so do the rows between, which are left alone. */
TEST(margins_become_zeros)
{
    static const struct {
        struct oracle_shape s;
        int64_t gap;
        bool every_second;
        const char *reason;
    } margins[] = {
        {{1, 1, 1, 1}, 0, false, "one position"},        {{2, 3, 7, 5}, 3, false, "odd everything"},
        {{1, 140, 2, 3}, 0, false, "many rows"},         {{3, 2, 9, 48}, 0, false, "as a network has them"},
        {{2, 6, 4, 2}, 1, true, "every second of rows"}, {{1, 1, 3000, 2}, 0, false, "one long row"},
        {{1, 2, 2, 1000}, 0, false, "of many channels"},
    };
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (size_t n = 0; n < sizeof margins / sizeof *margins; n++)
        for (int way = 0; way < 2; way++) {
            struct field f = field_open(&margins[n].s, true, margins[n].gap);
            const int64_t before = MAPS_BEFORE * f.s.channels, after = MAPS_AFTER * f.s.channels;
            const int64_t length = f.s.width * f.s.channels;
            struct maps m = f.m;
            if (margins[n].every_second) {
                m.height /= 2;
                m.row_stride *= 2;
            }
            for (int64_t row = 0; row < m.items * m.height; row++)
                for (int64_t i = -before; i < length + after; i++)
                    if (i < 0 || i >= length)
                        maps_row(&m, row / m.height, row % m.height)[i] = i % 3 ? 7 : NAN;
            for (int64_t row = 0; row < m.items * m.height && margins[n].every_second; row++)
                for (int64_t i = -before; i < length + after; i++) {
                    maps_row(&m, row / m.height, row % m.height)[m.row_stride / 2 + i] = 5;
                    f.before[maps_row(&m, row / m.height, row % m.height) - f.memory + m.row_stride / 2 + i] = 5;
                }
            struct device_batch b = device_batch(way ? three : ex);
            const struct maps there = device_maps(&b, &f, &m, true);
            CHECK_OK(device_done(&b, clear_margins(way ? three : ex, &there)));
            if (!field_untouched(&f))
                printf("    clear_margins, %s\n", margins[n].reason);
            CHECK(field_untouched(&f)); /* as field_open made it: zeros, and NaN in positions */
            field_close(&f);
        }
    printf("    clear_margins: worst 0\n"); /* or the test has failed */
    exec_destroy(&three);
    exec_destroy(&ex);
}

static const struct mirror_case {
    int64_t items, n, channels, before, samples, gap;
    bool margins;
    const char *reason;
} mirrors[] = {
    {1, 2, 1, 1, 4, 0, false, "two samples, mirrored as far as they go"},
    {2, 5, 3, 4, 13, 2, true, "as far as they go"},
    {1, 100, 2, 0, 37, 0, false, "a part, nothing before"},
    {1, 100, 2, 50, 20, 0, false, "only what lies before"},
    {2, 100, 2, 99, 101, 1, false, "the last mirrored, and two samples"},
    {3, 1500, 2, 700, 2900, 0, true, "three stereo signals"},
    {1, 9000, 1, 1000, 17500, 0, false, "longer than what a thread takes"},
    {1, 7000, 2, 6999, 20998, 3, false, "back, forward and back"},
    {2, 130, 21, 64, 300, 0, false, "more channels than a tile has"},
};

static int run_mirror(struct exec *ex, const struct mirror_case *c, const struct field *x, struct guarded *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps from = device_maps(&b, x, &x->m, false);
    float *const to = device_aligned(&b, y->data, (size_t)y->n * sizeof *y->data, true);
    return device_done(&b, mirror(ex, c->before, &from, c->samples, to));
}

TEST(mirrored_signals_match_the_equation)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (size_t n = 0; n < sizeof mirrors / sizeof *mirrors; n++) {
        const struct mirror_case *const c = &mirrors[n];
        const struct oracle_shape s = {c->items, 1, c->n, c->channels};
        struct field x = field_open(&s, c->margins, c->gap);
        struct guarded y = guarded_open(c->items * c->channels * c->samples), again = guarded_open(y.n);
        uint64_t seed = n;
        bool right = true;
        field_noise(&x, &seed, 1);
        x.m.data[0] = NAN; /* wherever it goes, its bits do */
        CHECK_OK(run_mirror(ex, c, &x, &y));
        CHECK_OK(run_mirror(three, c, &x, &again));
        CHECK(guarded_intact(&y) && guarded_intact(&again) && field_intact(&x));
        CHECK(compare_bits(y.data, again.data, (size_t)y.n * sizeof *y.data));
        for (int64_t k = 0; k < y.n; k++) {
            const int64_t row = k / c->samples, period = 2 * (c->n - 1);
            const int64_t p = (k % c->samples - c->before + 2 * period) % period;
            const float *const from = maps_row(&x.m, row / c->channels, 0) + row % c->channels;
            right &= compare_bits(&y.data[k], from + (p < c->n ? p : period - p) * c->channels, sizeof(float));
        }
        if (!right)
            printf("    mirror, %s\n", c->reason);
        CHECK(right);
        field_close(&x);
        guarded_close(&y);
        guarded_close(&again);
    }
    printf("    mirror: worst 0\n"); /* or the test has failed */
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* What fronts are given, for a case to spoil. */
struct given {
    struct maps x, b, y;
    const float *moments, *planar;
    float epsilon;
    int64_t stride;
};

static struct given given_of(const struct operands *o)
{
    return (struct given){o->x.m, o->b.m, o->y.m, o->moments, o->planar, EPSILON, o->stride};
}

static int call(struct exec *ex, enum op op, const struct given *g)
{
    return op == STANDARDIZE     ? standardize(ex, g->moments, g->epsilon, &g->x, &g->y)
           : op == UNSTANDARDIZE ? unstandardize(ex, g->moments, &g->x, &g->y)
           : op == ADD_MAPS      ? add_maps(ex, &g->x, &g->b, &g->y)
           : op == ADD_MAPS_TO_B ? add_maps(ex, &g->b, &g->x, &g->y)
                                 : add_planar(ex, g->planar, g->stride, &g->x, &g->y);
}

#define EACH(code, change) \
    do { \
        struct given g = given_of(&o); \
        change; \
        for (enum op op = 0; op < OPS; op++) \
            CHECK_CODE(call(ex, op, &g), code); \
    } while (0)
#define ONE(op, code, change) \
    do { \
        struct given g = given_of(&o); \
        change; \
        CHECK_CODE(call(ex, op, &g), code); \
    } while (0)

TEST(values_refuse)
{
    static const struct maps_case c = {{2, 1, 4, 5}, 0, X_MARGINS, "to be refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    EACH(STATUS_ARGUMENT, g.x.data = NULL);
    EACH(STATUS_ARGUMENT, g.y.data = NULL);
    EACH(STATUS_SHAPE, g.x.items--);
    EACH(STATUS_SHAPE, g.x.width--);
    EACH(STATUS_SHAPE, g.y.width--);
    EACH(STATUS_SHAPE, g.y.channels--);
    EACH(STATUS_SHAPE, g.x.channels = g.b.channels = g.y.channels = 0);
    EACH(STATUS_SHAPE, g.y.item_stride = 0);
    EACH(STATUS_SHAPE, g.x.row_stride = -20);
    struct given none = given_of(&o);
    none.x.items = none.b.items = none.y.items = 0;
    none.x.data = none.b.data = none.y.data = NULL;
    none.moments = none.planar = NULL;
    EACH(STATUS_OK, g = none);
    CHECK(field_untouched(&o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(values_refuse_what_is_their_own)
{
    static const struct maps_case c = {{2, 1, 4, 5}, 0, X_MARGINS, "to be refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    ONE(ADD_MAPS, STATUS_SHAPE, g.b.channels--);
    ONE(ADD_MAPS, STATUS_ARGUMENT, g.b.data = NULL);
    ONE(STANDARDIZE, STATUS_ARGUMENT, g.moments = NULL);
    ONE(UNSTANDARDIZE, STATUS_ARGUMENT, g.moments = NULL);
    ONE(STANDARDIZE, STATUS_ARGUMENT, g.epsilon = -1e-5F);
    ONE(STANDARDIZE, STATUS_ARGUMENT, g.epsilon = NAN);
    ONE(STANDARDIZE, STATUS_ARGUMENT, g.epsilon = INFINITY);
    ONE(ADD_PLANAR, STATUS_ARGUMENT, g.planar = NULL);
    ONE(ADD_PLANAR, STATUS_SHAPE, g.stride = 3);
    ONE(ADD_PLANAR, STATUS_SHAPE, g.stride = INT64_MAX);
    struct given two = given_of(&o);
    two.x.width = two.y.width = two.x.height = two.y.height = 2;
    two.x.row_stride = two.y.row_stride = 10;
    ONE(ADD_PLANAR, STATUS_SHAPE, g = two);
    CHECK(field_untouched(&o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

TEST(margins_refuse)
{
    struct exec *ex = subject_exec();
    struct field with = field_open(&(struct oracle_shape){2, 3, 4, 5}, true, 0);
    struct field without = field_open(&(struct oracle_shape){2, 3, 4, 5}, false, 0);
    struct maps m = without.m;
    CHECK_CODE(clear_margins(ex, &m), STATUS_SHAPE);
    m = with.m;
    m.row_stride--;
    CHECK_CODE(clear_margins(ex, &m), STATUS_SHAPE);
    m = with.m;
    m.item_stride--; /* the last margin of an item would be the next one's first */
    CHECK_CODE(clear_margins(ex, &m), STATUS_SHAPE);
    m = with.m;
    m.width = 0;
    CHECK_CODE(clear_margins(ex, &m), STATUS_SHAPE);
    m = with.m;
    m.data = NULL;
    CHECK_CODE(clear_margins(ex, &m), STATUS_ARGUMENT);
    m.items = 0;
    CHECK_OK(clear_margins(ex, &m));
    CHECK(field_untouched(&with) && field_untouched(&without));
    field_close(&with);
    field_close(&without);
    exec_destroy(&ex);
}

TEST(mirror_refuses)
{
    static const struct {
        int64_t n, height, before, samples;
        int code;
        const char *reason;
    } spoilt[] = {
        {1, 1, 0, 1, STATUS_SHAPE, "one sample mirrors nothing"},
        {5, 2, 0, 5, STATUS_SHAPE, "two rows"},
        {5, 1, 5, 5, STATUS_SHAPE, "mirrored twice before"},
        {5, 1, -1, 5, STATUS_SHAPE, "begins after its begin"},
        {5, 1, 2, 12, STATUS_SHAPE, "mirrored twice behind"},
        {5, 1, 2, INT64_MAX, STATUS_SHAPE, "that many"},
        {5, 1, 2, 0, STATUS_SHAPE, "no samples"},
        {0, 1, 0, 5, STATUS_SHAPE, "no signal"},
    };
    struct exec *ex = subject_exec();
    struct field x = field_open(&(struct oracle_shape){2, 2, 5, 3}, false, 0);
    struct guarded y = guarded_open(2 * 3 * 12);
    for (size_t c = 0; c < sizeof spoilt / sizeof *spoilt; c++) {
        struct maps m = x.m;
        m.width = spoilt[c].n;
        m.height = spoilt[c].height;
        const int code = mirror(ex, spoilt[c].before, &m, spoilt[c].samples, y.data);
        if (code != spoilt[c].code)
            printf("    %s: %s\n", spoilt[c].reason, status_name(code));
        CHECK(code == spoilt[c].code);
    }
    struct maps m = x.m;
    m.height = 1;
    CHECK_CODE(mirror(ex, 2, &m, 8, NULL), STATUS_ARGUMENT);
    m.data = NULL;
    CHECK_CODE(mirror(ex, 2, &m, 8, y.data), STATUS_ARGUMENT);
    m.items = 0;
    CHECK_OK(mirror(ex, 2, &m, 8, NULL));
    CHECK(guarded_untouched(&y));
    field_close(&x);
    guarded_close(&y);
    exec_destroy(&ex);
}
