/* Segments that are asked for together on a device: two batches in flight, of one song and of several, none lost and
 * none mixed up. The device is emulated; where only turns matter, a stand-in runs in place of the network. */
#include "module.h"
#include "networks.h"
#include "test.h"
#include "tiny.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

enum { SONGS = 4, ASKS = 12, TOGETHER = 8 };

int WRAP(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count);
int REAL(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count);
int WRAP(htdemucs_finish)(struct htdemucs_room *room, int which);
int REAL(htdemucs_finish)(struct htdemucs_room *room, int which);
void WRAP(htdemucs_room_destroy)(struct htdemucs_room **room);
void REAL(htdemucs_room_destroy)(struct htdemucs_room **room);

static struct {
    bool stands_in;
    int too_many;              /* so many segments find no memory; 0: all do */
    bool breaks;               /* a run that has begun fails */
    size_t floats;             /* of a mixture */
    struct networks *networks; /* on a device: whose CPU has turns while a run is in flight */
    struct {
        struct htdemucs_segment segment[HTDEMUCS_SEGMENTS_MOST];
        int count;
    } run[HTDEMUCS_RUNS_MOST];
    atomic_int flights, most, largest, segments, refused;
} seen;

static void forget(void)
{
    memset(&seen, 0, sizeof seen);
}

static void raise_to(atomic_int *most, int value)
{
    for (int now = atomic_load(most); value > now && !atomic_compare_exchange_weak(most, &now, value);)
        ;
}

int WRAP(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count)
{
    int code = STATUS_OK;
    if (!seen.stands_in) {
        code = REAL(htdemucs_begin)(net, ex, room, which, segments, count);
    } else if (seen.too_many && count >= seen.too_many) {
        atomic_fetch_add(&seen.refused, 1);
        return fail(STATUS_NOMEM, "stand-in: %d segments", count);
    } else {
        REQUIRE(which >= 0 && which < HTDEMUCS_RUNS_MOST && seen.run[which].count == 0);
        REQUIRE(htdemucs_room_suits(room, net, count));
        memcpy(seen.run[which].segment, segments, (size_t)count * sizeof *segments);
        seen.run[which].count = count;
    }
    atomic_fetch_add(&seen.segments, code ? 0 : count);
    raise_to(&seen.largest, count);
    raise_to(&seen.most, atomic_fetch_add(&seen.flights, !code) + !code);
    return code;
}

/* Stem v of the stand-in is v + 1 times the mixture. */
int WRAP(htdemucs_finish)(struct htdemucs_room *room, int which)
{
    int code = STATUS_OK;
    if (!seen.stands_in) {
        code = REAL(htdemucs_finish)(room, which);
    } else {
        usleep(500);
        if (seen.networks) { /* who encodes has a turn on the CPU meanwhile */
            networks_begin_turn(seen.networks, NULL);
            networks_end_turn(seen.networks);
        }
        for (int n = 0; n < seen.run[which].count; n++)
            for (size_t i = 0; i < seen.floats; i++)
                for (int v = 0; v < TINY_STEMS; v++)
                    seen.run[which].segment[n].stems[i * TINY_STEMS + (size_t)v] =
                        seen.run[which].segment[n].mix[i] * (float)(v + 1);
        seen.run[which].count = 0;
        code = seen.breaks ? fail(STATUS_DEVICE, "stand-in: lost") : STATUS_OK;
    }
    atomic_fetch_sub(&seen.flights, 1);
    return code;
}

/* Nobody takes the room from under a run. */
void WRAP(htdemucs_room_destroy)(struct htdemucs_room **room)
{
    REQUIRE(!*room || atomic_load(&seen.flights) == 0);
    REAL(htdemucs_room_destroy)(room);
}

struct fixture {
    struct networks *networks;
    const struct htdemucs *net;
    struct demucs_runner runner;
    size_t floats; /* of a mixture */
};

static void open_fixture(struct fixture *f, bool on_device)
{
    struct exec_options device = {.backend = BACKEND_EMULATED, .threads = 1};
    struct networks_place place = {.on_device = !on_device};
    const int fd = tiny_file();
    forget();
    CHECK_OK(module_load(BACKEND_EMULATED, &device.module));
    CHECK_OK(networks_create(2, SIZE_MAX, on_device ? &device : NULL, &f->networks));
    REQUIRE(f->networks);
    CHECK_OK(
        networks_take(f->networks, &(struct networks_wanted){.fds = &fd, .count = 1, .name = "tiny"}, &f->net, &place));
    REQUIRE(f->net && place.on_device == on_device);
    f->runner = networks_runner(f->networks);
    f->floats = (size_t)htdemucs_config(f->net)->segment * 2;
    seen.floats = f->floats;
    seen.networks = on_device ? f->networks : NULL;
    (void)close(fd);
}

static void close_fixture(struct fixture *f)
{
    f->runner.give_back(f->runner.context, f->net);
    networks_destroy(&f->networks);
    CHECK(atomic_load(&seen.flights) == 0);
}

static int ask(const struct fixture *f, const struct htdemucs_segment *segments, int count)
{
    const struct demucs_alive nobody = {NULL, NULL};
    return f->runner.run(f->runner.context, f->net, segments, count, &nobody);
}

/* With the network itself: two segments of a song, of which the second begins before the first has ended. */
TEST(a_song_has_two_runs_in_flight)
{
    struct fixture f;
    open_fixture(&f, true);
    float *mix[2], *alone[2], *stems[2];
    for (int i = 0; i < 2; i++) {
        mix[i] = tiny_noise((uint32_t)(i + 1), (int64_t)(f.floats / 2));
        alone[i] = malloc(f.floats * TINY_STEMS * sizeof(float));
        stems[i] = malloc(f.floats * TINY_STEMS * sizeof(float));
        REQUIRE(alone[i] && stems[i]);
    }
    CHECK(f.runner.most == TOGETHER && f.runner.together(f.runner.context, f.net) == 2);
    CHECK_OK(ask(&f, (const struct htdemucs_segment[]){{mix[0], stems[0]}, {mix[1], stems[1]}}, 2));
    CHECK(atomic_load(&seen.most) == 2);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(ask(&f, &(struct htdemucs_segment){mix[i], alone[i]}, 1));
        CHECK(memcmp(stems[i], alone[i], f.floats * TINY_STEMS * sizeof(float)) == 0);
    }
    CHECK(memcmp(alone[0], alone[1], f.floats * TINY_STEMS * sizeof(float)) != 0);
    for (int i = 0; i < 2; i++) {
        free(mix[i]);
        free(alone[i]);
        free(stems[i]);
    }
    close_fixture(&f);
}

struct song {
    const struct fixture *f;
    uint32_t seed;
    int asked, code, wrong;
};

static void *sing(void *context)
{
    struct song *const s = context;
    struct htdemucs_segment segments[TOGETHER];
    float *mix[TOGETHER], *stems[TOGETHER];
    const size_t floats = s->f->floats;
    for (int i = 0; i < TOGETHER; i++) {
        mix[i] = tiny_noise(s->seed * TOGETHER + (uint32_t)i, (int64_t)(floats / 2));
        stems[i] = malloc(floats * TINY_STEMS * sizeof(float));
        REQUIRE(stems[i]);
        segments[i] = (struct htdemucs_segment){mix[i], stems[i]};
    }
    for (int n = 0; n < ASKS && !s->code; n++) {
        const int count = (int)(s->seed + (uint32_t)n * 3) % TOGETHER + 1;
        for (int i = 0; i < count; i++)
            memset(stems[i], 0xff, floats * TINY_STEMS * sizeof(float));
        s->code = ask(s->f, segments, count);
        s->asked += count;
        for (int i = 0; i < count && !s->code; i++)
            for (size_t at = 0; at < floats * TINY_STEMS; at++)
                s->wrong += !(stems[i][at] == mix[i][at / TINY_STEMS] * (float)(at % TINY_STEMS + 1));
    }
    for (int i = 0; i < TOGETHER; i++) {
        free(mix[i]);
        free(stems[i]);
    }
    return NULL;
}

/* Songs in threads of their own, with the stand-in; the segments that they have asked for. */
static int sing_together(const struct fixture *f, int code)
{
    pthread_t threads[SONGS];
    struct song songs[SONGS];
    int asked = 0;
    for (int i = 0; i < SONGS; i++) {
        songs[i] = (struct song){.f = f, .seed = (uint32_t)i};
        REQUIRE(pthread_create(&threads[i], NULL, sing, &songs[i]) == 0);
    }
    for (int i = 0; i < SONGS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(songs[i].code == code && songs[i].wrong == 0);
        asked += songs[i].asked;
    }
    printf("    %d segments, at most %d in a run, %d runs in flight\n", asked, atomic_load(&seen.largest),
           atomic_load(&seen.most));
    return asked;
}

TEST(songs_in_flight_are_not_mixed_up)
{
    struct fixture f;
    open_fixture(&f, true);
    seen.stands_in = true;
    CHECK(sing_together(&f, STATUS_OK) == atomic_load(&seen.segments));
    CHECK(atomic_load(&seen.most) == HTDEMUCS_RUNS_MOST);
    CHECK(atomic_load(&seen.largest) == TOGETHER);
    CHECK(f.runner.together(f.runner.context, f.net) == TOGETHER); /* they are quick */
    close_fixture(&f);
}

/* A batch that finds no memory runs one by one, and later ones are smaller. */
TEST(a_batch_without_memory_is_smaller)
{
    struct fixture f;
    open_fixture(&f, true);
    seen.stands_in = true;
    seen.too_many = 5;
    CHECK(sing_together(&f, STATUS_OK) == atomic_load(&seen.segments));
    CHECK(atomic_load(&seen.refused) == 1);
    CHECK(atomic_load(&seen.largest) >= 2 && atomic_load(&seen.largest) < 5);
    close_fixture(&f);
}

TEST(a_run_that_fails_in_flight_ends_its_songs)
{
    struct fixture f;
    open_fixture(&f, true);
    seen.stands_in = seen.breaks = true;
    sing_together(&f, STATUS_DEVICE);
    close_fixture(&f);
}

/* The CPU is asked for one at a time, and has one run at a time, whatever it is asked for. */
TEST(on_the_cpu_one_run_at_a_time)
{
    struct fixture f;
    open_fixture(&f, false);
    CHECK(f.runner.most <= 1 && f.runner.together(f.runner.context, f.net) == 1);
    seen.stands_in = true;
    CHECK(sing_together(&f, STATUS_OK) == atomic_load(&seen.segments));
    CHECK(atomic_load(&seen.most) == 1);
    close_fixture(&f);
}
