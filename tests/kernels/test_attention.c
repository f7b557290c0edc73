/* attention: against softmax in double, over widths of heads, counts of tokens and strides; large scores, what is not
 * finite, threads, errors. */
#include "field.h"

static const struct attention_case {
    struct attention_params p;
    int64_t items, queries, keys;
    bool packed; /* q, k and v are parts of one product's rows */
    float size;  /* of q and k: what makes scores large */
    const char *reason;
} cases[] = {
    {{1, 1}, 1, 1, 1, false, 1, "one number"},
    {{1, 64}, 2, 1, 100, false, 1, "one query"},
    {{2, 48}, 1, 100, 1, false, 1, "one key: y is v"},
    {{3, 17}, 2, 5, 5, true, 1, "odd heads"},
    {{8, 64}, 1, 100, 100, true, 1, "a transformer's"},
    {{8, 48}, 2, 70, 130, false, 1, "across two branches"},
    {{2, 64}, 1, 300, 100, false, 3, "more queries than keys"},
    {{1, 256}, 1, 5, 300, false, 1, "the widest head"},
    {{4, 1}, 1, 100, 5, true, 1, "heads of one channel"},
    {{1, 17}, 3, 37, 61, false, 1, "counts of nothing's multiple"},
    {{2, 64}, 1, 20, 100, true, 40, "scores of thousands: one key takes all"},
    {{1, 1}, 1, 5, 300, false, 300, "scores of 90,000"},
    {{256, 2}, 1, 5, 7, true, 1, "the most heads"},
    {{2, 64}, 1, 70, 500, false, 1, "many keys"},
    {{1, 64}, 2, 3, 2700, true, 4, "a segment's, of three queries"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* q, k, v in fields of their own, or all in that of q. */
struct operands {
    struct field held[3], y;
    struct tokens q, k, v, out;
    float *dense[3];
};

static struct tokens tokens_of(const struct maps *m, int64_t from, int64_t stride)
{
    return (struct tokens){m->data + from, m->items, m->width, m->item_stride, stride};
}

static struct operands operands_of(const struct attention_case *c, uint64_t seed)
{
    const int64_t all = c->p.heads * c->p.width, counts[3] = {c->queries, c->keys, c->keys};
    const int64_t gap = c->queries < c->keys ? 4 : 3; /* floats by fours, and not */
    struct operands o = {0};
    for (int i = 0; i < 3; i++)
        o.dense[i] = noise_of(&seed, c->items * counts[i] * all, i < 2 ? c->size : 1);
    o.y = field_open(&(struct oracle_shape){c->items, 1, c->queries, all}, false, gap);
    o.out = tokens_of(&o.y.m, 0, all);
    struct tokens *const to[3] = {&o.q, &o.k, &o.v};
    const int64_t longer = c->queries > c->keys ? c->queries : c->keys;
    for (int i = 0; i < 3; i++) {
        const int64_t wide = c->packed ? 3 * all : all, from = c->packed ? i * all : 0;
        if (i == 0 || !c->packed)
            o.held[i] =
                field_open(&(struct oracle_shape){c->items, 1, c->packed ? longer : counts[i], wide}, false, gap);
        *to[i] = tokens_of(&o.held[c->packed ? 0 : i].m, from, wide);
        to[i]->count = counts[i];
        for (int64_t n = 0; n < c->items * counts[i] * all; n++)
            to[i]->data[n / all / counts[i] * to[i]->item_stride + n / all % counts[i] * wide + n % all] =
                o.dense[i][n];
    }
    return o;
}

static void operands_free(struct operands *o)
{
    for (int i = 0; i < 3; i++) {
        field_close(&o->held[i]);
        free(o->dense[i]);
    }
    field_close(&o->y);
}

/* q, k, v, y: tokens of o's fields, or of parts of them; y lies in `to`. */
static int run(struct exec *ex, const struct attention_params *p, const struct operands *o, const struct tokens of[4],
               const struct field *to)
{
    struct device_batch b = device_batch(ex);
    struct tokens on[4];
    struct maps held[3] = {{0}};
    for (int i = 0; i < 3; i++)
        if (o->held[i].memory)
            held[i] = device_maps(&b, &o->held[i], &o->held[i].m, true);
    const struct maps y = device_maps(&b, to, &to->m, true);
    for (int i = 0; i < 4; i++) {
        const int in = i < 3 && o->held[i].memory ? i : 0;
        on[i] = of[i];
        on[i].data = i < 3 ? held[in].data + (of[i].data - o->held[in].m.data) : y.data + (of[i].data - to->m.data);
    }
    return device_done(&b, attention(ex, p, &on[0], &on[1], &on[2], &on[3]));
}

static int run_all(struct exec *ex, const struct attention_params *p, const struct operands *o)
{
    return run(ex, p, o, (const struct tokens[]){o->q, o->k, o->v, o->out}, &o->y);
}

/* How much larger than 16 the largest score is: exp(s) of a score that is right to s*6e-8 errs by as much. */
static double excess(const struct attention_case *c, const struct operands *o)
{
    const int64_t all = c->p.heads * c->p.width;
    double most = 16;
    for (int64_t n = 0; n < c->items * c->queries * c->keys * c->p.heads; n++) {
        const int64_t head = n % c->p.heads, j = n / c->p.heads % c->keys, token = n / c->p.heads / c->keys;
        double score = 0;
        for (int64_t i = 0; i < c->p.width; i++)
            score += (double)o->dense[0][token * all + head * c->p.width + i] *
                     o->dense[1][(token / c->queries * c->keys + j) * all + head * c->p.width + i];
        most = fmax(most, fabs(score) / sqrt((double)c->p.width));
    }
    return most / 16;
}

TEST(attention_matches_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (int n = 0; n < CASES; n++) {
        const struct attention_case *const c = &cases[n];
        struct operands o = operands_of(c, (uint64_t)n);
        double *const want = malloc((size_t)field_positions(&o.y) * sizeof *want);
        REQUIRE(want);
        oracle_attention(&c->p, c->items, c->queries, c->keys, o.dense[0], o.dense[1], o.dense[2], want);
        CHECK_OK(run_all(ex, &c->p, &o));
        CHECK(exec_arena(ex)->used == 0);
        const double error = field_error(&o.y, want) / excess(c, &o);
        if (!(error <= 3e-6))
            printf("    %s: %.1e\n", c->reason, error);
        worst = compare_worst(worst, error);
        free(want);
        operands_free(&o);
    }
    printf("    attention: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 3e-6);
    exec_destroy(&ex);
}

/* On three threads, and of each item alone. */
TEST(attention_gives_equal_bits)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    for (int n = 0; n < CASES; n++) {
        const struct attention_case *const c = &cases[n];
        struct operands o = operands_of(c, (uint64_t)n);
        struct field again = field_open(&o.y.s, false, 0), alone = field_open(&o.y.s, false, 0);
        const struct tokens to = tokens_of(&again.m, 0, o.out.stride);
        CHECK_OK(run_all(ex, &c->p, &o));
        CHECK_OK(run(three, &c->p, &o, (const struct tokens[]){o.q, o.k, o.v, to}, &again));
        for (int64_t b = 0; b < c->items; b++) {
            struct tokens one[4] = {o.q, o.k, o.v, tokens_of(&alone.m, 0, o.out.stride)};
            for (int i = 0; i < 4; i++) {
                one[i].items = 1;
                one[i].data += b * one[i].item_stride;
            }
            CHECK_OK(run(ex, &c->p, &o, one, &alone));
        }
        const bool equal = field_equal(&o.y, &again) && field_equal(&o.y, &alone);
        if (!equal)
            printf("    %s\n", c->reason);
        CHECK(equal && field_intact(&again));
        field_close(&again);
        field_close(&alone);
        operands_free(&o);
    }
    exec_destroy(&three);
    exec_destroy(&ex);
}

/* A NaN in q is in that query's head, one in k in every query of its item and head, one in v in that channel of them.
 */
TEST(attention_keeps_nan_where_scores_have_it)
{
    const struct attention_case c = {{3, 17}, 2, 21, 35, false, 1, "a NaN"};
    struct exec *ex = subject_exec();
    for (int where = 0; where < 3; where++) {
        struct operands o = operands_of(&c, 1), bad = operands_of(&c, 1);
        struct tokens *const in[3] = {&bad.q, &bad.k, &bad.v};
        CHECK_OK(run_all(ex, &c.p, &o));
        in[where]->data[in[where]->item_stride + 9 * 51 + 17 + 4] = NAN; /* item 1, token 9, head 1, channel 4 */
        CHECK_OK(run_all(ex, &c.p, &bad));
        bool right = true;
        for (int64_t n = 0; n < 2 * 21 * 51; n++) {
            const int64_t b = n / 51 / 21, i = n / 51 % 21, head = n % 51 / 17;
            const float *const got = maps_row(&bad.y.m, b, 0) + i * 51 + n % 51;
            const bool holds = b == 1 && head == 1 && (where != 0 || i == 9) && (where != 2 || n % 51 == 17 + 4);
            right &= holds ? !!isnan(*got) : compare_bits(got, maps_row(&o.y.m, b, 0) + i * 51 + n % 51, sizeof *got);
        }
        CHECK(right);
        operands_free(&o);
        operands_free(&bad);
    }
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct attention_params p = c.p; \
        struct tokens q = o.q, k = o.k, v = o.v, y = o.out; \
        change; \
        CHECK_CODE(attention(ex, &p, &q, &k, &v, &y), code); \
        CHECK(field_untouched(&o.y)); \
    } while (0)

TEST(attention_refuses)
{
    const struct attention_case c = {{2, 3}, 2, 5, 4, false, 1, "to be refused"};
    struct exec *ex = subject_exec();
    struct operands o = operands_of(&c, 1);
    EXPECT(STATUS_ARGUMENT, p.heads = 0);
    EXPECT(STATUS_ARGUMENT, p.heads = 257);
    EXPECT(STATUS_ARGUMENT, p.width = 0);
    EXPECT(STATUS_ARGUMENT, p.width = 257);
    EXPECT(STATUS_ARGUMENT, q.data = NULL);
    EXPECT(STATUS_ARGUMENT, k.data = NULL);
    EXPECT(STATUS_ARGUMENT, v.data = NULL);
    EXPECT(STATUS_ARGUMENT, y.data = NULL);
    EXPECT(STATUS_ARGUMENT, y.data = q.data);
    EXPECT(STATUS_ARGUMENT, y.data = k.data);
    EXPECT(STATUS_ARGUMENT, y.data = v.data);
    EXPECT(STATUS_SHAPE, q.items--);
    EXPECT(STATUS_SHAPE, k.items--);
    EXPECT(STATUS_SHAPE, v.items--);
    EXPECT(STATUS_SHAPE, y.items--);
    EXPECT(STATUS_SHAPE, q.count--);
    EXPECT(STATUS_SHAPE, k.count--);
    EXPECT(STATUS_SHAPE, v.count--);
    EXPECT(STATUS_SHAPE, y.count--);
    EXPECT(STATUS_SHAPE, k.count = v.count = 0);
    EXPECT(STATUS_SHAPE, q.count = y.count = 0);
    EXPECT(STATUS_SHAPE, q.items = k.items = v.items = y.items = -1);
    EXPECT(STATUS_SHAPE, q.stride = 5);
    EXPECT(STATUS_SHAPE, y.stride = 5);
    EXPECT(STATUS_SHAPE, v.item_stride = -1);
    EXPECT(STATUS_SHAPE, y.item_stride = 0);
    EXPECT(STATUS_SHAPE, k.stride = INT64_C(1) << 60);
    struct tokens none[4] = {o.q, o.k, o.v, o.out};
    for (int i = 0; i < 4; i++)
        none[i].items = 0;
    CHECK_OK(attention(ex, &c.p, &none[0], &none[1], &none[2], &none[3]));
    CHECK(field_untouched(&o.y));
    CHECK_OK(run_all(ex, &c.p, &o));
    CHECK(!field_untouched(&o.y));
    operands_free(&o);
    exec_destroy(&ex);
}

/* Scratch that runs out, at each allocation in turn, where a twin takes any; what attention_work_bytes says is enough.
 */
TEST(attention_reports_failed_allocations)
{
    for (int n = 0; n < CASES; n += 2) {
        const struct attention_case *const c = &cases[n];
        struct exec *ex = n % 4 ? exec_of_threads(3) : subject_exec();
        struct arena *const arena = scratch_of(ex);
        const size_t most = attention_work_bytes(ex, &c->p, c->keys);
        struct operands o = operands_of(c, 1);
        int code = STATUS_NOMEM, failures = 0;
        for (long at = 1; code == STATUS_NOMEM && at < 20; at++) {
            arena->fail_at = arena->calls + at;
            code = run_all(ex, &c->p, &o);
            failures += code == STATUS_NOMEM;
            CHECK(arena->used == 0 && field_untouched(&o.y) == (code != STATUS_OK));
        }
        CHECK(code == STATUS_OK && failures >= (most > 0));
        CHECK((arena->high > 0) == (most > 0) && arena->high <= most);
        operands_free(&o);
        exec_destroy(&ex);
    }
}
