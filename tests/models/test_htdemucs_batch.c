/* Segments in one run: each of them has the bits that it has alone, whatever stands beside it and however many threads
 * there are. */
#include "device.h"
#include "exec.h"
#include "htdemucs.h"
#include "module.h"
#include "ops.h"
#include "seeded_network.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { SEGMENTS = 5, THREADS = 3 };

struct segments {
    float *mix[SEGMENTS], *stems[SEGMENTS], *alone[SEGMENTS];
    size_t wave, all; /* floats of a mixture, of its stems */
};

static enum exec_isa isa_wanted(void)
{
    const char *const name = getenv("WAVEMILL_TEST_ISA");
    enum exec_isa isa = isa_best();
    if (name)
        CHECK_OK(isa_parse(name, &isa));
    return isa;
}

static bool on_device(void)
{
    const char *const name = getenv("WAVEMILL_TEST_BACKEND");
    return name && strcmp(name, "emulated") == 0;
}

static struct exec *make_exec(int threads)
{
    struct exec *ex = NULL;
    struct exec_options o = {.threads = threads, .isa = isa_wanted()};
    if (on_device()) {
        o.backend = BACKEND_EMULATED;
        CHECK_OK(module_load(o.backend, &o.module));
        REQUIRE(o.module);
    } else {
        o.ops = ops_cpu(o.isa);
    }
    CHECK_OK(exec_create(&o, &ex));
    REQUIRE(ex);
    return ex;
}

static struct htdemucs *small_network(struct exec *ex)
{
    struct htdemucs *net = NULL;
    CHECK_OK(seeded_network(SEEDED_SMALL, ex, &net));
    REQUIRE(net);
    return net;
}

/* Noise of another level in each; the fourth is silence, the last a single impulse. */
static void make_segments(const struct htdemucs *net, struct segments *s)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    uint32_t state = 1;
    s->wave = (size_t)c->segment * 2;
    s->all = s->wave * (size_t)c->stems;
    for (int n = 0; n < SEGMENTS; n++) {
        s->mix[n] = calloc(s->wave, sizeof(float));
        s->stems[n] = calloc(s->all, sizeof(float));
        s->alone[n] = calloc(s->all, sizeof(float));
        REQUIRE(s->mix[n] && s->stems[n] && s->alone[n]);
        for (size_t i = 0; i < s->wave && n < 3; i++) {
            state = state * 1664525U + 1013904223U;
            s->mix[n][i] = ((float)(state >> 8) / 8388608.0F - 1) * (float)(n + 1);
        }
    }
    s->mix[4][s->wave / 3] = 1;
}

/* A device has one exec, its network's; on the CPU one of so many threads. */
static void run(const struct htdemucs *net, struct exec *of_net, int threads, int room_for,
                const struct htdemucs_segment *segments, int count)
{
    struct exec *own = on_device() ? NULL : make_exec(threads), *const ex = own ? own : of_net;
    struct htdemucs_room *room = NULL;
    CHECK_OK(htdemucs_room_create(net, ex, room_for, &room));
    CHECK_OK(htdemucs_run(net, ex, room, segments, count));
    htdemucs_room_destroy(&room);
    exec_destroy(&own);
}

/* In one room: run, recorded and played, played again with other input. */
static void recorded(const struct htdemucs *net, struct exec *ex, const struct segments *s)
{
    struct htdemucs_room *room = NULL;
    struct device_counters before, after;
    CHECK_OK(htdemucs_room_create(net, ex, 1, &room));
    exec_device_api(ex)->counters(exec_device(ex), &before);
    for (int i = 0; i < 3; i++) {
        const int n = i % 2;
        memset(s->stems[n], 0xff, s->all * sizeof(float));
        CHECK_OK(htdemucs_run(net, ex, room, &(struct htdemucs_segment){s->mix[n], s->stems[n]}, 1));
        test_report(memcmp(s->stems[n], s->alone[n], s->all * sizeof(float)) == 0, __FILE__, __LINE__, "run %d", i);
    }
    exec_device_api(ex)->counters(exec_device(ex), &after);
    CHECK(after.graph_launches - before.graph_launches == 2);
    htdemucs_room_destroy(&room);
}

TEST(each_segment_has_the_bits_that_it_has_alone)
{
    struct exec *ex = make_exec(1);
    struct htdemucs *net = small_network(ex);
    struct segments s;
    static const struct {
        int count, room_for, threads;
        int which[SEGMENTS];
    } cases[] = {
        {2, 2, 1, {0, 1}},                /* two */
        {2, 2, THREADS, {1, 0}},          /* in the other order, on threads */
        {2, 4, 1, {2, 0}},                /* in a room for more */
        {3, 3, 1, {3, 2, 4}},             /* beside silence */
        {5, 5, THREADS, {0, 1, 2, 3, 4}}, /* all */
        {1, 5, 1, {4}},                   /* one in a room for five */
    };
    make_segments(net, &s);
    /* On a device, whose emulator takes seconds for a segment, the first case: two of them. */
    const size_t count = on_device() ? 1 : sizeof cases / sizeof *cases;
    for (int n = 0; n < (on_device() ? 2 : SEGMENTS); n++)
        run(net, ex, 1, 1, &(struct htdemucs_segment){s.mix[n], s.alone[n]}, 1);
    CHECK(memcmp(s.alone[0], s.alone[1], s.all * sizeof(float)) != 0);
    for (size_t i = 0; i < count; i++) {
        struct htdemucs_segment segments[SEGMENTS];
        for (int k = 0; k < cases[i].count; k++) {
            const int n = cases[i].which[k];
            memset(s.stems[n], 0xff, s.all * sizeof(float));
            segments[k] = (struct htdemucs_segment){s.mix[n], s.stems[n]};
        }
        run(net, ex, cases[i].threads, cases[i].room_for, segments, cases[i].count);
        for (int k = 0; k < cases[i].count; k++)
            test_report(memcmp(s.stems[cases[i].which[k]], s.alone[cases[i].which[k]], s.all * sizeof(float)) == 0,
                        __FILE__, __LINE__, "case %zu, segment %d", i, cases[i].which[k]);
    }
    if (on_device())
        recorded(net, ex, &s);
    for (int n = 0; n < SEGMENTS; n++) {
        free(s.mix[n]);
        free(s.stems[n]);
        free(s.alone[n]);
    }
    htdemucs_unload(&net);
    exec_destroy(&ex);
}

TEST(as_many_as_there_is_room_for)
{
    struct exec *ex = make_exec(1);
    struct htdemucs *net = small_network(ex);
    struct htdemucs_room *room = NULL;
    const struct htdemucs_config *const c = htdemucs_config(net);
    const struct htdemucs_segment none[HTDEMUCS_SEGMENTS_MOST + 1] = {{NULL, NULL}};
    CHECK(htdemucs_room_create(net, ex, 0, &room) == STATUS_ARGUMENT && !room);
    CHECK(htdemucs_room_create(net, ex, HTDEMUCS_SEGMENTS_MOST + 1, &room) == STATUS_ARGUMENT && !room);
    CHECK(htdemucs_room_bytes(c, 3) > 2 * htdemucs_room_bytes(c, 1));
    CHECK_OK(htdemucs_room_create(net, ex, 2, &room));
    CHECK(htdemucs_run(net, ex, room, none, 0) == STATUS_ARGUMENT);
    CHECK(htdemucs_run(net, ex, room, none, 3) == STATUS_ARGUMENT);
    CHECK_OK(htdemucs_room_use(net, ex, 1, room)); /* stays a room for two */
    CHECK(htdemucs_run(net, ex, room, none, 3) == STATUS_ARGUMENT);
    CHECK_OK(htdemucs_room_use(net, ex, 2, room));
    CHECK(htdemucs_room_use(net, ex, 3, room) == STATUS_NOMEM);
    htdemucs_room_destroy(&room);
    htdemucs_unload(&net);
    exec_destroy(&ex);
}
