/* A whole step of training on the state alone: it learns, and on a device one recorded graph is every step. */
#include "device.h"
#include "subject.h"

enum {
    ITEMS = 2,
    CHANNELS = 8,
    POSITIONS = 12,
    VALUES = ITEMS * POSITIONS * CHANNELS,
    DIMS = 4,
    LATENT = ITEMS * DIMS
};
enum { BLOCK = 2 * CHANNELS + 2 * LATENT }; /* of parameters: gain, shift, and what the latent is made of */

/* What lies in the exec's memory: floats, and their views follow from where they are. */
struct memory {
    struct step_state state;
    float param[BLOCK], grad[BLOCK], m[BLOCK], v[BLOCK], ema[BLOCK];
    float x[VALUES], wanted[VALUES], y[VALUES], statistics[ITEMS * 2 * 2], sums[CHANNELS];
    float z[LATENT], dz[LATENT], kl[DIMS];
};

struct trainer {
    struct exec *ex;
    struct memory *at;
};

static struct memory began(void)
{
    struct memory m = {.state = {.seed = 9,
                                 .rate = 0.05,
                                 .beta = 0.1,
                                 .clip = 1,
                                 .weight_decay = 0.01,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .epsilon = 1e-8,
                                 .ema_decay = 0.9}};
    uint64_t seed = 3;
    subject_noise(&seed, m.x, VALUES);
    for (int i = 0; i < VALUES; i++)
        m.wanted[i] = 0.5F * m.x[i] + 0.25F;
    for (int i = 0; i < BLOCK; i++)
        m.param[i] = m.ema[i] = i < CHANNELS ? 1 : i < 2 * CHANNELS ? 0 : 0.5F;
    return m;
}

static struct trainer trainer_open(void)
{
    struct trainer t = {.ex = subject_exec()};
    void *block = NULL;
    if (exec_device(t.ex))
        CHECK_OK(exec_device_api(t.ex)->allocate(exec_device(t.ex), sizeof *t.at, &block));
    else
        block = calloc(1, sizeof *t.at);
    REQUIRE(block);
    t.at = block;
    return t;
}

static void trainer_close(struct trainer *t)
{
    if (exec_device(t->ex))
        exec_device_api(t->ex)->release(exec_device(t->ex), t->at);
    else
        free(t->at);
    exec_destroy(&t->ex);
}

static void write_to(const struct trainer *t, void *to, const void *from, size_t bytes)
{
    if (!exec_device(t->ex)) {
        memcpy(to, from, bytes);
        return;
    }
    CHECK_OK(exec_device_api(t->ex)->copy_in(exec_stream(t->ex), to, from, bytes));
    CHECK_OK(exec_device_api(t->ex)->stream_wait(exec_stream(t->ex)));
}

static struct memory read_of(const struct trainer *t)
{
    struct memory m;
    if (!exec_device(t->ex))
        return *t->at;
    CHECK_OK(exec_device_api(t->ex)->copy_out(exec_stream(t->ex), &m, t->at, sizeof m));
    CHECK_OK(exec_device_api(t->ex)->stream_wait(exec_stream(t->ex)));
    return m;
}

/* Every row of training once. */
static int step(const struct trainer *t)
{
    struct memory *const m = t->at;
    float *const dgain = m->grad, *const dshift = dgain + CHANNELS, *const dh = dshift + CHANNELS;
    const struct activate_params layer = {2, ACTIVATE_SILU, 0, 1e-5F, 0.1F, 1};
    const struct latent_params point = {ITEMS, DIMS, 2, true};
    const struct reconstruction_params squares = {0};
    const struct activate_norm norm = {m->param, m->param + CHANNELS, m->statistics};
    const struct maps x = maps_of(m->x, ITEMS, 3, POSITIONS / 3, CHANNELS, false);
    const struct maps y = maps_of(m->y, ITEMS, 3, POSITIONS / 3, CHANNELS, false);
    const struct maps wanted = maps_of(m->wanted, ITEMS, 3, POSITIONS / 3, CHANNELS, false);
    const float *const h = m->param + 2 * CHANNELS;
    const struct adamw_blocks blocks = {m->param, m->grad, m->m, m->v, m->ema, BLOCK, NULL, 0};
    int code = latent(t->ex, &point, &m->state, h, m->z, m->kl);
    code = code ? code : activate(t->ex, &layer, &m->state, &norm, &x, &y);
    code = code ? code : reconstruction(t->ex, &squares, &m->state, &y, &wanted, &y);
    code = code ? code : column_sums(t->ex, &y, m->sums);
    code = code ? code : activate_gradient(t->ex, &layer, &m->state, &norm, &x, &y, &y, dgain, dshift);
    code = code ? code : latent_gradient(t->ex, &point, &m->state, h, m->kl, m->dz, dh);
    code = code ? code : gradient_norm(t->ex, &m->state, m->grad, BLOCK);
    return code ? code : adamw(t->ex, &m->state, &blocks);
}

static void tell(const struct trainer *t, struct memory *m, uint64_t number)
{
    m->state.step = number;
    write_to(t, &t->at->state, &m->state, STEP_STATE_TOLD);
}

TEST(a_step_learns)
{
    struct trainer t = trainer_open();
    struct memory m = began(), after = m;
    double first = 0, first_kl = 0;
    write_to(&t, t.at, &m, sizeof m);
    for (uint64_t i = 1; i <= 60; i++) {
        tell(&t, &m, i);
        CHECK_OK(step(&t));
        after = i == 1 || i == 60 ? read_of(&t) : after;
        first = i == 1 ? after.state.reconstruction : first;
        first_kl = i == 1 ? after.state.kl : first_kl;
    }
    CHECK(after.state.bad == 0 && first > 0 && first_kl > 0);
    CHECK_AT_MOST(after.state.reconstruction, 0.5 * first);
    CHECK_AT_MOST(after.state.kl, 0.5 * first_kl);
    trainer_close(&t);
}

/* The same bits as steps that were launched one by one; the CPU has no graphs. */
TEST(a_graph_is_every_step)
{
    struct trainer one = trainer_open(), all = trainer_open();
    const struct device_api *const api = exec_device_api(all.ex);
    struct device_graph *graph = NULL;
    struct memory m = began();
    write_to(&one, one.at, &m, sizeof m);
    write_to(&all, all.at, &m, sizeof m);
    if (api) {
        CHECK_OK(api->graph_begin(exec_stream(all.ex)));
        CHECK_OK(step(&all));
        CHECK_OK(api->graph_end(exec_stream(all.ex), &graph));
    }
    for (uint64_t i = 1; i <= 3; i++) {
        tell(&one, &m, i);
        tell(&all, &m, i);
        CHECK_OK(step(&one));
        CHECK_OK(api ? api->graph_launch(graph, exec_stream(all.ex)) : step(&all));
        const struct memory a = read_of(&one), b = read_of(&all);
        CHECK(compare_bits(&a, &b, sizeof a) && a.state.bad == 0 && a.state.step == i);
        CHECK(!compare_bits(a.param, m.param, sizeof a.param));
    }
    if (api)
        api->graph_destroy(&graph);
    trainer_close(&one);
    trainer_close(&all);
}
