/* What demucs_split saves and takes again: any state, also one that was not its own, is refused or does no harm. */
#include "demucs_split.h"
#include "exec.h"
#include "ops.h"
#include "seeded_network.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { FRAMES = 60000, BLOCK = 7000, VALUES = 8 };

/* Stands for the network: stems that hang on the samples. What is tested here is the state. */
static int copy_run(void *context, const struct htdemucs *net, const struct htdemucs_segment *s, int count,
                    const struct demucs_alive *alive)
{
    const int64_t segment = htdemucs_config(net)->segment;
    (void)context;
    (void)alive;
    for (int n = 0; n < count; n++)
        for (int64_t i = 0; i < segment; i++)
            for (int v = 0; v < VALUES; v++)
                s[n].stems[i * VALUES + v] = s[n].mix[2 * i + v % 2] * (float)(v + 1);
    return STATUS_OK;
}

static int add_up(void *context, const float *stems, int64_t frames)
{
    double *const sum = context;
    for (int64_t i = 0; i < frames * VALUES; i++)
        *sum += (double)stems[i];
    return STATUS_OK;
}

static struct htdemucs *small_network(void)
{
    struct htdemucs *net = NULL;
    struct exec *ex = NULL;
    const enum exec_isa isa = isa_best();
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex));
    CHECK_OK(seeded_network(SEEDED_SMALL, ex, &net));
    exec_destroy(&ex);
    REQUIRE(net);
    return net;
}

static struct separation *open_split(const struct htdemucs *net, int shifts, double *sum)
{
    struct separation *s = NULL;
    struct demucs_split_params p = {.bag = {.networks = 1, .network = {net}, .runner = {.run = copy_run}},
                                    .overlap = 0.25,
                                    .shifts = shifts,
                                    .seed = 5,
                                    .deviation = 1};
    for (int i = 0; i < 4; i++) {
        p.bag.wanted[i] = true;
        p.bag.weight[0][i] = 1;
    }
    CHECK_OK(demucs_split_create(&p, add_up, sum, &s));
    REQUIRE(s);
    return s;
}

static float noise(int64_t i)
{
    return (float)(i * 2654435761U % 1000) / 500 - 1;
}

static int push_from(struct separation *s, int64_t from, int64_t to)
{
    float x[2 * BLOCK];
    int code = STATUS_OK;
    for (int64_t at = from; at < to && !code; at += BLOCK) {
        const int64_t n = to - at < BLOCK ? to - at : BLOCK;
        for (int64_t i = 0; i < 2 * n; i++)
            x[i] = noise(2 * at + i);
        code = separation_push(s, x, n);
    }
    return code;
}

TEST(only_a_state_of_its_own_is_taken)
{
    enum { HEAD_WORDS = 7 + 4 * 3 }; /* of the struct: version to emitted, and the lanes that are in use, one more */
    static const int64_t changes[] = {1, -1, 1000, -1000, INT64_C(1) << 40, INT64_MIN};
    struct htdemucs *net = small_network();
    for (int shifts = 0; shifts <= 2; shifts += 2) {
        double sum = 0, again = 0;
        struct separation *s = open_split(net, shifts, &sum);
        CHECK_OK(push_from(s, 0, 5 * BLOCK));
        const size_t bytes = s->methods->state_bytes(s);
        int64_t *const state = malloc(bytes), *const changed = malloc(bytes);
        REQUIRE(state && changed);
        s->methods->save(s, state);
        sum = 0;
        CHECK_OK(push_from(s, 5 * BLOCK, FRAMES));
        CHECK_OK(separation_finish(s));
        separation_destroy(&s);
        s = open_split(net, shifts, &again);
        CHECK_OK(s->methods->restore(s, state, bytes));
        CHECK_OK(push_from(s, 5 * BLOCK, FRAMES));
        CHECK_OK(separation_finish(s));
        separation_destroy(&s);
        CHECK(sum != 0 && sum == again);
        int refused = 0, tried = 0;
        for (int word = 0; word < HEAD_WORDS; word++)
            for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
                memcpy(changed, state, bytes);
                changed[word] = (int64_t)((uint64_t)changed[word] + (uint64_t)changes[c]);
                s = open_split(net, shifts, &again);
                tried++;
                if (s->methods->restore(s, changed, bytes)) /* refused; else it must run to its end */
                    refused++;
                else
                    CHECK(push_from(s, 0, FRAMES) == STATUS_OK && separation_finish(s) == STATUS_OK);
                separation_destroy(&s);
            }
        CHECK(refused >= tried / 2);
        s = open_split(net, shifts, &again);
        CHECK_CODE(s->methods->restore(s, state, bytes - 1), STATUS_FORMAT);
        CHECK_CODE(s->methods->restore(s, state, 8), STATUS_FORMAT);
        separation_destroy(&s);
        free(state);
        free(changed);
    }
    htdemucs_unload(&net);
}
