/* search against scores in double, over shapes, ties, what is not finite, threads. */
#include "device_batch.h"
#include "subject.h"

struct data {
    struct search_params p;
    float *vectors, *queries;
};

static struct data data_of(struct search_params p, uint64_t seed)
{
    struct data d = {.p = p};
    const int64_t v = p.vectors * p.dimensions, q = p.queries * p.dimensions;
    d.vectors = malloc((size_t)(v + 1) * sizeof(float));
    d.queries = malloc((size_t)(q + 1) * sizeof(float));
    REQUIRE(d.vectors && d.queries);
    subject_noise(&seed, d.vectors, v);
    subject_noise(&seed, d.queries, q);
    return d;
}

static void data_free(struct data *d)
{
    free(d->vectors);
    free(d->queries);
}

static struct exec *exec_of(int threads)
{
    struct exec *ex = NULL;
    const struct exec_options options = {.threads = threads, .isa = subject_isa(), .ops = ops_cpu(subject_isa())};
    CHECK_OK(exec_create(&options, &ex));
    REQUIRE(ex);
    return ex;
}

static int run(struct exec *ex, const struct data *d, int64_t *index, float *score)
{
    struct device_batch b = device_batch(ex);
    const size_t results = (size_t)d->p.queries * (size_t)d->p.k, row = (size_t)d->p.dimensions * sizeof(float);
    const float *const vectors = device_in(&b, d->vectors, (size_t)d->p.vectors * row);
    const float *const queries = device_in(&b, d->queries, (size_t)d->p.queries * row);
    int64_t *const to_index = device_out(&b, index, results * sizeof *index);
    float *const to_score = device_out(&b, score, results * sizeof *score);
    const int code = device_done(&b, search(ex, &d->p, vectors, queries, to_index, to_score));
    CHECK(exec_arena(ex)->used == 0);
    return code;
}

struct results {
    int64_t *index;
    struct guarded score;
};

static struct results results_of(struct exec *ex, const struct data *d)
{
    const int64_t n = d->p.queries * d->p.k;
    struct results r = {malloc((size_t)(n + 1) * sizeof(int64_t)), guarded_open(n)};
    REQUIRE(r.index);
    r.index[n] = 12345;
    CHECK_OK(run(ex, d, r.index, r.score.data));
    CHECK(guarded_intact(&r.score) && r.index[n] == 12345);
    return r;
}

static void results_free(struct results *r)
{
    free(r->index);
    guarded_close(&r->score);
}

/* Of one vector, larger is better; *scale: what its error is relative to. */
static double oracle_key(const struct data *d, int64_t v, int64_t q, double *scale)
{
    double sum = 0;
    *scale = 0;
    for (int64_t i = 0; i < d->p.dimensions; i++) {
        const double x = d->vectors[v * d->p.dimensions + i], y = d->queries[q * d->p.dimensions + i];
        const double term = d->p.measure == SEARCH_L2 ? -(x - y) * (x - y) : x * y;
        sum += term;
        *scale += fabs(term);
    }
    return sum;
}

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* One query's worst error in units of the tolerance: of each score against its own vector's, of each rank's score
 * against the oracle's of that rank; infinity for an index that is twice there, or an order that is none. */
static double query_error(const struct data *d, int64_t q, const int64_t *index, const float *score)
{
    const double sign = d->p.measure == SEARCH_L2 ? -1 : 1;
    double *const key = malloc((size_t)(d->p.vectors + 1) * sizeof *key), worst = 0, scale, widest = 0;
    char *const seen = calloc((size_t)d->p.vectors + 1, 1);
    REQUIRE(key && seen);
    for (int64_t v = 0; v < d->p.vectors; v++) {
        key[v] = oracle_key(d, v, q, &scale);
        widest = fmax(widest, scale);
    }
    for (int64_t i = 0; i < d->p.k; i++) {
        const int64_t v = index[i];
        if (i >= d->p.vectors) {
            worst = v == -1 && isnan(score[i]) ? worst : INFINITY;
            continue;
        }
        if (v < 0 || v >= d->p.vectors || seen[v]++) {
            worst = INFINITY;
            break;
        }
        oracle_key(d, v, q, &scale);
        worst = compare_worst(worst, fabs(sign * score[i] - key[v]) / (2e-6 * scale + 1e-37));
        if (i > 0 && (sign * score[i] > sign * score[i - 1] || (score[i] == score[i - 1] && v < index[i - 1])))
            worst = INFINITY;
    }
    qsort(key, (size_t)d->p.vectors, sizeof *key, falling);
    for (int64_t i = 0; i < d->p.k && i < d->p.vectors; i++)
        worst = compare_worst(worst, fabs(sign * score[i] - key[i]) / (2e-6 * widest + 1e-37));
    free(key);
    free(seen);
    return worst;
}

static const struct search_params shapes[] = {
    {1, 1, 1, 1, SEARCH_DOT},      {3, 2, 1, 5, SEARCH_L2},        {0, 3, 4, 2, SEARCH_DOT},
    {33, 13, 7, 3, SEARCH_L2},     {100, 1, 16, 10, SEARCH_DOT},   {65, 5, 17, 64, SEARCH_L2},
    {130, 3, 128, 10, SEARCH_L2},  {300, 14, 31, 7, SEARCH_DOT},   {64, 2, 129, 1, SEARCH_DOT},
    {40, 2, 1000, 9, SEARCH_L2},   {17, 1, 4096, 3, SEARCH_DOT},   {1500, 2, 3, 1024, SEARCH_L2},
    {700, 3, 2, 1024, SEARCH_DOT}, {2000, 25, 20, 10, SEARCH_DOT}, {265000, 1, 2, 6, SEARCH_L2},
};

TEST(search_finds_what_the_oracle_does)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        struct data d = data_of(shapes[s], s);
        struct results r = results_of(ex, &d);
        double error = 0;
        for (int64_t q = 0; q < d.p.queries; q++)
            error = compare_worst(error, query_error(&d, q, r.index + q * d.p.k, r.score.data + q * d.p.k));
        if (!(error <= 1))
            printf("    %lld vectors of %d, k %d: %.2g of the tolerance\n", (long long)d.p.vectors, (int)d.p.dimensions,
                   (int)d.p.k, error);
        worst = compare_worst(worst, error);
        results_free(&r);
        data_free(&d);
    }
    printf("    search: %.3f of the tolerance\n", worst);
    CHECK_AT_MOST(worst, 1);
    exec_destroy(&ex);
}

/* Every third vector the same, and zeros: the lowest indices of equals, in order. */
TEST(search_breaks_ties_by_index)
{
    struct exec *ex = subject_exec();
    for (int measure = SEARCH_DOT; measure <= SEARCH_L2; measure++) {
        struct data d = data_of((struct search_params){300, 2, 9, 150, (enum search_measure)measure}, 7);
        for (int64_t i = 0; i < 300 * 9; i++)
            d.vectors[i] = i / 9 % 3 == 1 ? d.queries[i % 9] : 0;
        for (int64_t i = 0; i < 9; i++)
            d.queries[9 + i] = 0;
        struct results r = results_of(ex, &d);
        for (int64_t i = 0; i < 150; i++) {
            const int64_t rest = i - 100;
            CHECK(r.index[i] == (i < 100 ? 3 * i + 1 : rest / 2 * 3 + rest % 2 * 2));
            if (measure == SEARCH_DOT)
                CHECK(r.index[150 + i] == i && r.score.data[150 + i] == 0);
            else
                CHECK(r.index[150 + i] == i / 2 * 3 + i % 2 * 2 && r.score.data[150 + i] == 0);
        }
        results_free(&r);
        data_free(&d);
    }
    exec_destroy(&ex);
}

TEST(search_never_ranks_a_nan)
{
    struct exec *ex = subject_exec();
    for (int measure = SEARCH_DOT; measure <= SEARCH_L2; measure++) {
        struct data d = data_of((struct search_params){50, 3, 5, 50, (enum search_measure)measure}, 8);
        d.vectors[7 * 5 + 2] = NAN;
        d.vectors[9 * 5] = INFINITY;
        d.queries[5 + 4] = NAN;
        d.queries[0] = 0.5f;
        d.queries[10] = -0.5f;
        struct results r = results_of(ex, &d);
        for (int64_t i = 0; i < 50; i++) {
            CHECK(r.index[i] != 7 && r.index[100 + i] != 7);
            CHECK(r.index[50 + i] == -1 && isnan(r.score.data[50 + i]));
        }
        CHECK(r.index[49] == -1 && isnan(r.score.data[49]) && r.index[48] >= 0);
        CHECK(r.index[measure == SEARCH_DOT ? 0 : 48] == 9 && isinf(r.score.data[measure == SEARCH_DOT ? 0 : 48]));
        CHECK(r.index[148] == 9 && isinf(r.score.data[148])); /* -inf is a number, and the last */
        results_free(&r);
        data_free(&d);
    }
    exec_destroy(&ex);
}

/* A query's results are the same bits alone, among others, with fewer results, and on two threads. */
TEST(search_gives_equal_bits)
{
    struct exec *ex = subject_exec();
    struct exec *two = exec_backend(ex) == BACKEND_CPU ? exec_of(2) : NULL;
    for (int round = 0; round < 6; round++) {
        const int measure = round % 2 ? SEARCH_L2 : SEARCH_DOT;
        struct data d = data_of((struct search_params){1111, 29, 150, 12, (enum search_measure)measure}, 9);
        for (int64_t i = 0; round / 2 == 1 && i < 1111 * 150; i++) /* some products, and some sums, go to infinity */
            d.vectors[i] *= i % 4 ? 3e37F : 3e38F;
        for (int64_t i = 150; round / 2 == 2 && i < 1111 * 150; i++) /* scores that lie within each other's rounding */
            d.vectors[i] = d.vectors[i % 150] * (1 + 1.2e-7F * (float)(((uint32_t)i * 2654435761U >> 16) % 3));
        struct results all = results_of(ex, &d);
        if (two) {
            struct results r = results_of(two, &d);
            CHECK(compare_bits(all.index, r.index, 29 * 12 * sizeof *r.index));
            CHECK(compare_bits(all.score.data, r.score.data, 29 * 12 * sizeof(float)));
            results_free(&r);
        }
        for (int64_t q = 0; q < 29; q += 7) {
            struct data one = d;
            one.queries = d.queries + q * 150;
            one.p.queries = q < 21 ? 1 + q % 3 : 1; /* the last have none behind them */
            one.p.k = 5;
            struct results r = results_of(ex, &one);
            CHECK(compare_bits(all.index + q * 12, r.index, 5 * sizeof *r.index));
            CHECK(compare_bits(all.score.data + q * 12, r.score.data, 5 * sizeof(float)));
            results_free(&r);
        }
        results_free(&all);
        data_free(&d);
    }
    exec_destroy(&two);
    exec_destroy(&ex);
}

/* The scores' bits do not depend on how many queries there are: few take a way of their own. */
TEST(search_gives_equal_bits_to_any_number_of_queries)
{
    enum { N = 150, Q = 82, K = 7 };
    static const int64_t counts[] = {1, 2, 3, 5, 9, 16, 64, 65};
    static const int32_t dimensions[] = {31, 130, 257};
    struct exec *ex = subject_exec();
    for (int i = 0; i < 6; i++) {
        struct data d = data_of((struct search_params){N, Q, dimensions[i / 2], K, i % 2 ? SEARCH_L2 : SEARCH_DOT},
                                90 + (uint64_t)i);
        struct results all = results_of(ex, &d);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct data some = d;
            some.p.queries = counts[c];
            struct results r = results_of(ex, &some);
            CHECK(compare_bits(all.index, r.index, (size_t)counts[c] * K * sizeof *r.index));
            CHECK(compare_bits(all.score.data, r.score.data, (size_t)counts[c] * K * sizeof(float)));
            results_free(&r);
        }
        results_free(&all);
        data_free(&d);
    }
    exec_destroy(&ex);
}

/* Of `values` scores that come again and again, in rising or falling order or mixed: the k best, equal ones by index.
 */
static void check_order(struct exec *ex, struct search_params p, int64_t values, int order)
{
    struct data d = data_of(p, 1);
    int64_t *const want = malloc((size_t)p.k * sizeof *want), n = 0;
    REQUIRE(want);
    for (int64_t i = 0; i < p.vectors; i++) {
        const int64_t mixed = i * 226817 % values; /* two of the 20 best of 264,000 come after 2^18 */
        d.vectors[i] = (float)(order == 0  ? mixed
                               : order > 0 ? i * values / p.vectors
                                           : values - 1 - i * values / p.vectors);
    }
    for (int64_t q = 0; q < p.queries; q++)
        d.queries[q] = (float)(5 - q % 5); /* products that are exact */
    for (int64_t v = values - 1; v >= 0 && n < p.k; v--)
        for (int64_t i = 0; i < p.vectors && n < p.k; i++)
            if (d.vectors[i] == (float)v)
                want[n++] = i;
    for (; n < p.k; n++)
        want[n] = -1;
    struct results r = results_of(ex, &d);
    bool same = true;
    for (int64_t i = 0; i < p.queries * p.k; i++) {
        const int64_t v = want[i % p.k];
        same &= r.index[i] == v &&
                (v < 0 ? !!isnan(r.score.data[i]) : r.score.data[i] == d.vectors[v] * d.queries[i / p.k]);
    }
    CHECK(same);
    results_free(&r);
    data_free(&d);
    free(want);
}

/* What a device keeps of one block, or slab, of vectors bounds the next: equal scores on both sides of such edges. */
TEST(search_keeps_the_order_across_blocks)
{
    static const struct {
        struct search_params p;
        int64_t values;
    } cases[] = {{{5000, 1, 1, 10, SEARCH_DOT}, 1},     {{5000, 2, 1, 300, SEARCH_DOT}, 3},
                 {{6200, 3, 1, 256, SEARCH_DOT}, 6200}, {{4097, 1, 1, 1024, SEARCH_DOT}, 40},
                 {{2048, 1, 1, 1, SEARCH_DOT}, 2048},   {{2049, 1, 1, 257, SEARCH_DOT}, 2},
                 {{5000, 17, 1, 12, SEARCH_DOT}, 5000}, {{600, 1, 1, 1024, SEARCH_DOT}, 7},
                 {{3, 770, 1, 1024, SEARCH_DOT}, 2},    {{264000, 2, 1, 20, SEARCH_DOT}, 264000}};
    struct exec *ex = subject_exec();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int order = -1; order <= 1; order++)
            check_order(ex, cases[c].p, cases[c].values, order);
    exec_destroy(&ex);
}

TEST(search_refuses)
{
    static const struct search_params good = {2, 1, 3, 2, SEARCH_DOT};
    struct exec *ex = subject_exec();
    const float x[6] = {0}, q[3] = {0};
    int64_t index[2] = {7, 7};
    float score[2] = {7, 7};
    struct search_params bad[9];
    for (int i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].vectors = -1;
    bad[1].vectors = INT64_C(1) << 31;
    bad[2].queries = -1;
    bad[3].queries = INT64_C(1) << 31;
    bad[4].dimensions = 0;
    bad[5].dimensions = 4097;
    bad[6].k = 0;
    bad[7].k = 1025;
    bad[8].measure = (enum search_measure)2;
    for (int i = 0; i < 9; i++)
        CHECK_CODE(search(ex, &bad[i], x, q, index, score), STATUS_ARGUMENT);
    CHECK_CODE(search(ex, &good, NULL, q, index, score), STATUS_ARGUMENT);
    CHECK_CODE(search(ex, &good, x, NULL, index, score), STATUS_ARGUMENT);
    CHECK_CODE(search(ex, &good, x, q, NULL, score), STATUS_ARGUMENT);
    CHECK_CODE(search(ex, &good, x, q, index, NULL), STATUS_ARGUMENT);
    struct search_params none = good;
    none.queries = 0;
    CHECK_OK(search(ex, &none, x, NULL, NULL, NULL));
    struct arena *const arena = exec_backend(ex) == BACKEND_CPU ? exec_arena(ex) : exec_device_arena(ex);
    arena->fail_at = arena->calls + 1;
    CHECK_CODE(search(ex, &good, x, q, index, score), STATUS_NOMEM);
    CHECK(index[0] == 7 && score[1] == 7 && arena->used == 0);
    CHECK(exec_backend(ex) != BACKEND_CPU || search_work_bytes(&good, 1) > 0);
    exec_destroy(&ex);
}
