/* Runs that are begun before others are finished: each has the stems that it has alone, and on a device, whose emulator
 * does nothing before it is waited for, begin does not wait. What a network and its room take of a device. */
#include "device.h"
#include "test.h"
#include "tiny.h"

#include <stdlib.h>
#include <string.h>

enum { MIXES = 2 };

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

const struct device_api *WRAP(exec_device_api)(const struct exec *ex);
const struct device_api *REAL(exec_device_api)(const struct exec *ex);

static struct device_api counted;
static const struct device_api *real;
static int allocations, waits;

static int allocate(struct device *d, size_t bytes, void **out)
{
    allocations++;
    return real->allocate(d, bytes, out);
}

static int stream_wait(struct device_stream *s)
{
    waits++;
    return real->stream_wait(s);
}

static int event_wait(struct device_event *e)
{
    waits++;
    return real->event_wait(e);
}

const struct device_api *WRAP(exec_device_api)(const struct exec *ex)
{
    real = REAL(exec_device_api)(ex);
    if (!real)
        return NULL;
    counted = *real;
    counted.allocate = allocate;
    counted.stream_wait = stream_wait;
    counted.event_wait = event_wait;
    return &counted;
}

struct fixture {
    struct exec *ex;
    struct htdemucs *net;
    struct htdemucs_room *room;
    size_t bytes; /* of a segment's stems */
    float *mix[MIXES], *alone[MIXES], *stems[2 * MIXES];
};

static void open_fixture(struct fixture *f, int segments)
{
    f->ex = tiny_exec();
    f->net = tiny_network(f->ex);
    const int64_t frames = htdemucs_config(f->net)->segment;
    f->bytes = (size_t)(frames * TINY_VALUES) * sizeof(float);
    CHECK_OK(htdemucs_room_create(f->net, f->ex, segments, &f->room));
    for (int i = 0; i < 2 * MIXES; i++) {
        f->stems[i] = malloc(f->bytes);
        REQUIRE(f->stems[i]);
        memset(f->stems[i], 0xff, f->bytes);
    }
    for (int i = 0; i < MIXES; i++) {
        f->mix[i] = tiny_noise((uint32_t)(i + 1), frames);
        f->alone[i] = malloc(f->bytes);
        REQUIRE(f->alone[i]);
    }
}

static void close_fixture(struct fixture *f)
{
    for (int i = 0; i < 2 * MIXES; i++)
        free(f->stems[i]);
    for (int i = 0; i < MIXES; i++) {
        free(f->mix[i]);
        free(f->alone[i]);
    }
    htdemucs_room_destroy(&f->room);
    htdemucs_unload(&f->net);
    exec_destroy(&f->ex);
}

static bool untouched(const struct fixture *f, int stems)
{
    const unsigned char *const at = (const unsigned char *)f->stems[stems];
    for (size_t i = 0; i < f->bytes; i++)
        if (at[i] != 0xff)
            return false;
    return true;
}

static void check_stems(const struct fixture *f, int stems, int mix, int round)
{
    test_report(memcmp(f->stems[stems], f->alone[mix], f->bytes) == 0, __FILE__, __LINE__, "round %d: stems of %d",
                round, mix);
    memset(f->stems[stems], 0xff, f->bytes);
}

/* By themselves, the first with the operations one by one, the others recorded. */
static void run_alone(struct fixture *f)
{
    for (int i = 0; i < MIXES; i++)
        CHECK_OK(htdemucs_run(f->net, f->ex, f->room, &(struct htdemucs_segment){f->mix[i], f->alone[i]}, 1));
    CHECK(memcmp(f->alone[0], f->alone[1], f->bytes) != 0);
}

/* Mixture `mix` into stems `to`, begun; its memory is written to at once, which must not matter. */
static void begin(struct fixture *f, int which, int mix, int to)
{
    const size_t bytes = f->bytes / TINY_STEMS;
    float *const copy = malloc(bytes);
    REQUIRE(copy);
    memcpy(copy, f->mix[mix], bytes);
    CHECK_OK(htdemucs_begin(f->net, f->ex, f->room, which, &(struct htdemucs_segment){copy, f->stems[to]}, 1));
    memset(copy, 0xff, bytes);
    free(copy);
}

TEST(two_runs_in_flight)
{
    struct fixture f;
    open_fixture(&f, 2);
    run_alone(&f);
    begin(&f, 0, 1, 0);
    begin(&f, 1, 0, 1);
    CHECK(!exec_device(f.ex) || (untouched(&f, 0) && untouched(&f, 1)));
    CHECK_OK(htdemucs_finish(f.room, 0));
    check_stems(&f, 0, 1, 0);
    waits = 0;
    begin(&f, 0, 0, 2); /* its place is taken again before the other is finished */
    CHECK(waits == 0 && (!exec_device(f.ex) || untouched(&f, 2)));
    CHECK_OK(htdemucs_finish(f.room, 0));
    check_stems(&f, 2, 0, 1);
    CHECK_OK(htdemucs_finish(f.room, 1));
    check_stems(&f, 1, 0, 1);
    close_fixture(&f);
}

/* Two segments, and two more behind them. A device has such runs in test_htdemucs_batch.c: its emulator takes its time.
 */
TEST(runs_of_several_segments)
{
    struct fixture f;
    open_fixture(&f, 2);
    if (!exec_device(f.ex)) {
        const struct htdemucs_segment four[] = {
            {f.mix[0], f.stems[0]}, {f.mix[1], f.stems[1]}, {f.mix[1], f.stems[2]}, {f.mix[0], f.stems[3]}};
        run_alone(&f);
        for (int which = 0; which < HTDEMUCS_RUNS_MOST; which++)
            CHECK_OK(htdemucs_begin(f.net, f.ex, f.room, which, four + 2 * (ptrdiff_t)which, 2));
        for (int which = 0; which < HTDEMUCS_RUNS_MOST; which++)
            CHECK_OK(htdemucs_finish(f.room, which));
        for (int i = 0; i < 4; i++)
            check_stems(&f, i, i == 1 || i == 2, i);
    }
    close_fixture(&f);
}

TEST(what_is_begun_once_is_finished_once)
{
    struct fixture f;
    open_fixture(&f, 1);
    struct htdemucs *other = tiny_network(f.ex);
    const struct htdemucs_segment one = {f.mix[0], f.stems[0]};
    CHECK_CODE(htdemucs_finish(f.room, 0), STATUS_ARGUMENT);
    CHECK_CODE(htdemucs_finish(f.room, -1), STATUS_ARGUMENT);
    CHECK_CODE(htdemucs_finish(f.room, HTDEMUCS_RUNS_MOST), STATUS_ARGUMENT);
    CHECK_CODE(htdemucs_begin(f.net, f.ex, f.room, HTDEMUCS_RUNS_MOST, &one, 1), STATUS_ARGUMENT);
    CHECK_CODE(htdemucs_begin(f.net, f.ex, f.room, 0, &one, 2), STATUS_ARGUMENT);
    CHECK_CODE(htdemucs_begin(other, f.ex, f.room, 0, &one, 1), STATUS_ARGUMENT);
    CHECK_OK(htdemucs_begin(f.net, f.ex, f.room, 0, &one, 1));
    CHECK_CODE(htdemucs_begin(f.net, f.ex, f.room, 0, &one, 1), STATUS_ARGUMENT);
    CHECK(htdemucs_room_suits(f.room, f.net, 1) && !htdemucs_room_suits(f.room, other, 1));
    CHECK_CODE(htdemucs_room_use(other, f.ex, 1, f.room), STATUS_BUSY);
    CHECK_OK(htdemucs_finish(f.room, 0));
    CHECK_CODE(htdemucs_finish(f.room, 0), STATUS_ARGUMENT);
    memset(f.stems[0], 0xff, f.bytes);
    CHECK_OK(htdemucs_room_use(other, f.ex, 1, f.room));
    CHECK_OK(htdemucs_begin(other, f.ex, f.room, 1, &one, 1));
    htdemucs_room_destroy(&f.room);
    CHECK(untouched(&f, 0) == (exec_device(f.ex) != NULL));
    htdemucs_unload(&other);
    close_fixture(&f);
}

/* Weights, and a room with all activations; the operations' scratch is the exec's, made with it. */
TEST(two_allocations_of_a_device)
{
    struct fixture f = {.ex = tiny_exec()};
    struct device_counters before, after;
    if (!exec_device(f.ex)) {
        exec_destroy(&f.ex);
        return;
    }
    allocations = 0;
    exec_device_api(f.ex)->counters(exec_device(f.ex), &before);
    f.net = tiny_network(f.ex);
    CHECK_OK(htdemucs_room_create(f.net, f.ex, 4, &f.room));
    real->counters(exec_device(f.ex), &after);
    printf("    %d allocations, %llu bytes\n", allocations, (unsigned long long)(after.bytes_used - before.bytes_used));
    CHECK(allocations == 2);
    CHECK(after.bytes_used - before.bytes_used ==
          htdemucs_bytes(f.net) + htdemucs_room_bytes(htdemucs_config(f.net), 4));
    htdemucs_room_destroy(&f.room);
    htdemucs_unload(&f.net);
    real->counters(exec_device(f.ex), &after);
    CHECK(after.bytes_used == before.bytes_used);
    exec_destroy(&f.ex);
}
