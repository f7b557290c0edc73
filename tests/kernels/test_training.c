/* column_sums, reconstruction, gradient_norm and adamw: against their equations in double, over shapes, margins and
 * threads; what a bad step leaves alone; their errors. */
#include "field.h"
#include "oracle_training.h"
#include "sums.h"

static const struct {
    struct oracle_shape s;
    bool margins;
    int64_t gap;
    const char *reason;
} shapes[] = {
    {{1, 1, 1, 1}, false, 0, "one number"},
    {{3, 5, 7, 3}, true, 2, "odd, margins"},
    {{2, 8, 32, 33}, false, 0, "more than a block of rows"},
    {{2, 1, 50, 260}, false, 3, "more channels than threads"},
    {{1, 2, 1100, 1}, true, 0, "one channel, rows cut by blocks"},
    {{1, 1, 20000, 1}, false, 0, "more than a span"},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double *doubles(int64_t n)
{
    double *const x = calloc((size_t)n, sizeof *x);
    REQUIRE(x);
    return x;
}

static int run_sums(struct exec *ex, const struct field *x, float *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps m = device_maps(&b, x, &x->m, true);
    float *const to = device_out(&b, y, (size_t)x->m.channels * sizeof *y);
    return device_done(&b, column_sums(ex, &m, to));
}

TEST(column_sums_match_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int n = 0; n < SHAPES; n++) {
        uint64_t seed = (uint64_t)n;
        const int64_t channels = shapes[n].s.channels;
        struct field x = field_open(&shapes[n].s, shapes[n].margins, shapes[n].gap);
        float *const dense = noise_of(&seed, field_positions(&x), 1), *const again = noise_of(&seed, channels, 1);
        struct guarded y = guarded_open(channels);
        double *const want = doubles(channels), *const size = doubles(channels);
        field_write(&x, dense);
        oracle_column_sums(&shapes[n].s, dense, want, size);
        CHECK_OK(run_sums(ex, &x, y.data));
        CHECK_OK(run_sums(three, &x, again));
        for (int64_t c = 0; c < channels; c++)
            worst = compare_worst(worst, fabs(y.data[c] - want[c]) / size[c]);
        CHECK(guarded_intact(&y) && field_intact(&x) && exec_arena(ex)->used == 0);
        CHECK(compare_bits(y.data, again, (size_t)channels * sizeof *again));
        CHECK(scratch_of(ex)->high <= column_sums_work_bytes(&x.m));
        scratch_of(ex)->high = 0;
        free(want);
        free(size);
        free(dense);
        free(again);
        guarded_close(&y);
        field_close(&x);
    }
    printf("    column_sums: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

static int run_reconstruction(struct exec *ex, float weight_l1, struct step_state *state, const struct field *y,
                              const struct field *x, const struct field *dy)
{
    struct device_batch b = device_batch(ex);
    struct step_state *const s = device_aligned(&b, state, sizeof *state, true);
    const struct maps ym = device_maps(&b, y, &y->m, true), xm = device_maps(&b, x, &x->m, true);
    const struct maps dym = dy == y ? ym : dy ? device_maps(&b, dy, &dy->m, true) : ym;
    const struct reconstruction_params p = {weight_l1};
    return device_done(&b, reconstruction(ex, &p, s, &ym, &xm, dy ? &dym : NULL));
}

TEST(reconstruction_matches_oracle)
{
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int n = 0; n < SHAPES; n++) {
        uint64_t seed = (uint64_t)n;
        struct field x = field_open(&shapes[n].s, false, 0);
        struct field y = field_open(&shapes[n].s, shapes[n].margins, shapes[n].gap);
        struct field dy = field_open(&shapes[n].s, shapes[n].margins, 0);
        const int64_t count = field_positions(&x);
        float *const of_x = noise_of(&seed, count, 1), *const of_y = noise_of(&seed, count, 1);
        double *const want = doubles(count);
        struct step_state state = {.reconstruction = NAN}, again = state, alone = state;
        of_y[0] = of_x[0]; /* where the sign is 0 */
        field_write(&x, of_x);
        field_write(&y, of_y);
        const double weight = n % 2 ? 0.25 : 0, loss = oracle_reconstruction(weight, count, of_y, of_x, want);
        CHECK_OK(run_reconstruction(ex, (float)weight, &state, &y, &x, &dy));
        worst = compare_worst(worst, loss > 0 ? fabs(state.reconstruction - loss) / loss : state.reconstruction);
        worst = compare_worst(worst, field_error(&dy, want));
        CHECK(field_intact(&x) && field_intact(&y) && field_intact(&dy) && exec_arena(ex)->used == 0);
        CHECK(scratch_of(ex)->high <= reconstruction_work_bytes(&y.m));
        CHECK_OK(run_reconstruction(ex, (float)weight, &alone, &y, &x, NULL));
        CHECK_OK(run_reconstruction(three, (float)weight, &again, &y, &x, &y)); /* dy in place of y */
        CHECK(alone.reconstruction == state.reconstruction && again.reconstruction == state.reconstruction);
        CHECK(field_equal(&y, &dy));
        free(want);
        free(of_x);
        free(of_y);
        field_close(&x);
        field_close(&y);
        field_close(&dy);
    }
    printf("    reconstruction: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

static int run_norm(struct exec *ex, struct step_state *state, const float *g, int64_t n)
{
    struct device_batch b = device_batch(ex);
    struct step_state *const s = device_aligned(&b, state, sizeof *state, true);
    const float *const at = device_in(&b, g, (size_t)n * sizeof *g);
    return device_done(&b, gradient_norm(ex, s, at, n));
}

TEST(gradient_norm_matches_oracle)
{
    static const int64_t counts[] = {1, 7, 1000, SUM_SPAN + 5, 3 * SUM_SPAN};
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t seed = (uint64_t)i;
        float *const g = noise_of(&seed, counts[i], i == 2 ? 1e-25F : i == 3 ? 1e25F : 1); /* squares no float holds */
        struct step_state state = {.clip = i % 2 ? 0.5 : INFINITY, .bad = 7}, again = state;
        const double want = oracle_norm(g, counts[i]);
        CHECK_OK(run_norm(ex, &state, g, counts[i]));
        CHECK_OK(run_norm(three, &again, g, counts[i]));
        worst = compare_worst(worst, fabs(state.gradient_norm - want) / want);
        const double factor = want > state.clip ? state.clip / want : 1;
        CHECK_AT_MOST(fabs(state.clip_factor - factor) / factor, 1e-12);
        CHECK(state.bad == 0 && again.gradient_norm == state.gradient_norm && exec_arena(ex)->used == 0);
        CHECK(scratch_of(ex)->high <= gradient_norm_work_bytes(counts[i]));
        free(g);
    }
    printf("    gradient_norm: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-12);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(a_step_that_is_not_finite_is_bad)
{
    struct exec *ex = subject_exec();
    for (int i = 0; i < 8; i++) {
        float g[3] = {1, 2, i == 1 ? NAN : i == 2 ? INFINITY : 2};
        struct step_state state = {.clip = 6,
                                   .reconstruction = i == 3   ? NAN
                                                     : i == 4 ? INFINITY
                                                              : 1,
                                   .kl = i == 5   ? NAN
                                         : i == 6 ? -INFINITY
                                                  : 1};
        g[0] = i == 7 ? 0 : 1;
        CHECK_OK(run_norm(ex, &state, g, 3));
        CHECK(state.bad == (i > 0 && i < 7));
    }
    float zero[2] = {0};
    struct step_state state = {.clip = 0};
    CHECK_OK(run_norm(ex, &state, zero, 2));
    CHECK(state.gradient_norm == 0 && state.clip_factor == 1 && state.bad == 0);
    exec_destroy(&ex);
}

/* ---- adamw ---- */

enum { PARAM, GRAD, M, V, EMA, BLOCKS };

struct trained {
    float *block[BLOCKS];
    int64_t n, spans;
    struct adamw_span span[3];
    struct step_state state;
};

static struct trained trained_of(int64_t n)
{
    uint64_t seed = (uint64_t)n;
    struct trained t = {.n = n, .spans = n > 10 ? 3 : 0};
    for (int i = 0; i < BLOCKS; i++)
        t.block[i] = noise_of(&seed, n, 1);
    for (int64_t i = 0; i < n; i++) {
        t.block[M][i] = t.block[V][i] = 0;
        t.block[EMA][i] = t.block[PARAM][i];
    }
    t.span[0] = (struct adamw_span){1, n / 3, 1};
    t.span[1] = (struct adamw_span){1 + n / 3, 2, 0}; /* right behind it */
    t.span[2] = (struct adamw_span){n - n / 4, n / 4, 0.5F};
    t.state = (struct step_state){.step = 0,
                                  .rate = 0.01,
                                  .weight_decay = 0.1,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .epsilon = 1e-8,
                                  .ema_decay = 0.99,
                                  .clip_factor = 0.7};
    return t;
}

static void trained_free(struct trained *t)
{
    for (int i = 0; i < BLOCKS; i++)
        free(t->block[i]);
}

static int run_step(struct exec *ex, struct trained *t)
{
    struct device_batch b = device_batch(ex);
    float *at[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        at[i] = device_out(&b, t->block[i], (size_t)t->n * sizeof(float));
    const struct adamw_span *const spans = device_aligned(&b, t->span, sizeof t->span, false);
    const struct step_state *const state = device_aligned(&b, &t->state, sizeof t->state, true);
    const struct adamw_blocks blocks = {at[PARAM], at[GRAD], at[M], at[V], at[EMA], t->n, spans, t->spans};
    return device_done(&b, adamw(ex, state, &blocks));
}

TEST(adamw_matches_oracle)
{
    static const int64_t counts[] = {1, 33, 1000, SUM_SPAN + 100};
    struct exec *ex = subject_exec(), *three = exec_of_threads(3);
    double worst = 0;
    for (int c = 0; c < 4; c++) {
        struct trained t = trained_of(counts[c]), other = trained_of(counts[c]);
        double *const all = doubles(4 * t.n);
        const struct oracle_adamw o = {all, all + t.n, all + 2 * t.n, all + 3 * t.n};
        uint64_t seed = 5;
        for (int64_t i = 0; i < t.n; i++)
            o.param[i] = o.ema[i] = t.block[PARAM][i];
        for (int step = 0; step < (c == 3 ? 2 : 10); step++) {
            float *const g = noise_of(&seed, t.n, 1);
            t.state.step = ++other.state.step;
            memcpy(t.block[GRAD], g, (size_t)t.n * sizeof *g);
            memcpy(other.block[GRAD], g, (size_t)t.n * sizeof *g);
            oracle_adamw(&t.state, t.span, t.spans, t.n, g, &o);
            CHECK_OK(run_step(ex, &t));
            CHECK_OK(run_step(three, &other));
            free(g);
        }
        const double *const want[BLOCKS] = {o.param, NULL, o.m, o.v, o.ema};
        for (int i = 0; i < BLOCKS; i++) {
            CHECK(compare_bits(t.block[i], other.block[i], (size_t)t.n * sizeof(float)));
            worst = want[i] ? compare_worst(worst, compare_l2(t.block[i], want[i], t.n)) : worst;
        }
        free(all);
        trained_free(&t);
        trained_free(&other);
    }
    printf("    adamw: worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&three);
    exec_destroy(&ex);
}

TEST(a_bad_step_writes_nothing)
{
    struct exec *ex = subject_exec();
    struct trained t = trained_of(1000), same = trained_of(1000);
    t.state.step = 1;
    t.state.bad = 1;
    t.block[GRAD][3] = same.block[GRAD][3] = NAN;
    CHECK_OK(run_step(ex, &t));
    for (int i = 0; i < BLOCKS; i++)
        CHECK(compare_bits(t.block[i], same.block[i], 1000 * sizeof(float)));
    t.state.bad = 0;
    CHECK_OK(run_step(ex, &t));
    CHECK(!compare_bits(t.block[PARAM], same.block[PARAM], 1000 * sizeof(float)) && isnan(t.block[M][3]));
    trained_free(&t);
    trained_free(&same);
    exec_destroy(&ex);
}

/* ---- errors ---- */

TEST(training_refuses_maps)
{
    struct exec *ex = subject_exec();
    const struct oracle_shape s = {2, 3, 4, 5};
    struct field f = field_open(&s, false, 0), to = field_open(&s, false, 0);
    struct step_state state = {.reconstruction = 7};
    struct reconstruction_params p = {0};
    struct maps y = f.m, dy = to.m;
    float sums[5] = {7};
    CHECK_CODE(column_sums(ex, &f.m, NULL), STATUS_ARGUMENT);
    y.width = 0;
    CHECK_CODE(column_sums(ex, &y, sums), STATUS_SHAPE);
    CHECK_CODE(reconstruction(ex, &p, &state, &y, &f.m, &dy), STATUS_SHAPE);
    y = f.m;
    y.data = NULL;
    CHECK_CODE(column_sums(ex, &y, sums), STATUS_ARGUMENT);
    CHECK_CODE(reconstruction(ex, &p, &state, &f.m, &y, &dy), STATUS_ARGUMENT);
    CHECK_CODE(reconstruction(ex, &p, NULL, &f.m, &f.m, &dy), STATUS_ARGUMENT);
    dy.height--;
    CHECK_CODE(reconstruction(ex, &p, &state, &f.m, &f.m, &dy), STATUS_SHAPE);
    dy = to.m;
    dy.row_stride = 3;
    CHECK_CODE(reconstruction(ex, &p, &state, &f.m, &f.m, &dy), STATUS_SHAPE);
    y = f.m;
    y.items = 0;
    CHECK_CODE(reconstruction(ex, &p, &state, &y, &y, NULL), STATUS_SHAPE);
    p.weight_l1 = NAN;
    CHECK_CODE(reconstruction(ex, &p, &state, &f.m, &f.m, &to.m), STATUS_ARGUMENT);
    p.weight_l1 = -1;
    CHECK_CODE(reconstruction(ex, &p, &state, &f.m, &f.m, &to.m), STATUS_ARGUMENT);
    CHECK(field_untouched(&to) && sums[0] == 7 && state.reconstruction == 7);
    field_close(&f);
    field_close(&to);
    exec_destroy(&ex);
}

TEST(training_refuses_blocks)
{
    struct exec *ex = subject_exec();
    float g[4] = {7, 7, 7, 7};
    struct step_state state = {.bad = 7};
    struct adamw_span span = {0, 4, 1};
    const struct adamw_blocks good = {g, g, g, g, g, 4, &span, 1};
    CHECK_CODE(gradient_norm(ex, &state, g, 0), STATUS_SHAPE);
    CHECK_CODE(gradient_norm(ex, &state, g, INT64_C(1) << 40), STATUS_SHAPE);
    CHECK_CODE(gradient_norm(ex, &state, NULL, 4), STATUS_ARGUMENT);
    CHECK_CODE(gradient_norm(ex, NULL, g, 4), STATUS_ARGUMENT);
    CHECK_CODE(adamw(ex, NULL, &good), STATUS_ARGUMENT);
    for (int i = 0; i < 10; i++) {
        struct adamw_blocks b = good;
        b.n = i == 0 ? 0 : i == 1 ? INT64_C(1) << 40 : 4;
        b.count = i == 2 ? -1 : i == 3 ? 1 << 20 : 1;
        b.param = i == 4 ? NULL : g;
        b.grad = i == 5 ? NULL : g;
        b.m = i == 6 ? NULL : g;
        b.v = i == 7 ? NULL : g;
        b.ema = i == 8 ? NULL : g;
        b.spans = i == 9 ? NULL : &span;
        CHECK_CODE(adamw(ex, &state, &b), i < 4 ? STATUS_SHAPE : STATUS_ARGUMENT);
    }
    CHECK(g[0] == 7 && state.bad == 7);
    exec_destroy(&ex);
}
