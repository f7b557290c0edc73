/* Other work beside networks: what it takes is counted with theirs, on the CPU and on the emulated device; turns that
 * go round, and signs of life of who waits for one. */
#include "device.h"
#include "exec_memory.h"
#include "full_device.h"
#include "networks_state.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

enum { MIB = 1 << 20 };

static int rooms_destroyed;

void WRAP(htdemucs_room_destroy)(struct htdemucs_room **room);
void REAL(htdemucs_room_destroy)(struct htdemucs_room **room);
void WRAP(htdemucs_room_destroy)(struct htdemucs_room **room)
{
    rooms_destroyed += *room != NULL;
    REAL(htdemucs_room_destroy)(room);
}

/* Who waits is asked for signs of life; the second gives something back. */
struct patience {
    struct networks *networks;
    struct networks_part *part;
    const struct htdemucs *net;
    int calls;
};

static void alive(void *context)
{
    struct patience *const p = context;
    REQUIRE(++p->calls < 5); /* else it waits for what will not come */
    if (p->calls < 2)
        return;
    if (p->part)
        networks_end_work(p->networks, p->part);
    if (p->net)
        networks_release(p->networks, p->net);
    p->part = NULL;
    p->net = NULL;
}

static struct networks_work work(size_t host_mib, size_t device_mib)
{
    return (struct networks_work){.name = "work",
                                  .host = host_mib * MIB,
                                  .device = device_mib * MIB,
                                  .beside = MIB,
                                  .scratch = 4 * MIB,
                                  .precision = PRECISION_TF32};
}

static int take(struct networks *n, int fd, struct patience *p, const struct htdemucs **out)
{
    struct networks_place place;
    const struct networks_wanted w = {.fds = &fd, .count = 1, .name = "one", .alive = p ? alive : NULL, .context = p};
    return networks_take(n, &w, out, &place);
}

TEST(work_on_the_cpu_is_counted_together)
{
    struct networks *n = NULL;
    struct networks_part a, b;
    struct networks_work w = work(40, 0), more = work(30, 0);
    CHECK_OK(networks_create(2, 60 * MIB, NULL, &n));
    REQUIRE(n && !networks_device(n));
    CHECK_OK(networks_begin_work(n, &w, &a));
    CHECK(a.exec == networks_exec(n) && !a.place.on_device && a.place.precision == PRECISION_F32);
    CHECK_CODE(networks_begin_work(n, &more, &b), STATUS_BUSY);
    CHECK(strstr(status_message(), "30 MiB") && strstr(status_message(), "40 of 60") && !b.exec);
    struct patience p = {.networks = n, .part = &a};
    more.alive = w.alive = (struct demucs_alive){alive, &p};
    CHECK_OK(networks_begin_work(n, &more, &b));
    CHECK(p.calls == 2 && !a.exec && b.exec);
    w.host = 61 * MIB;
    CHECK_CODE(networks_begin_work(n, &w, &a), STATUS_NOMEM);
    CHECK(strstr(status_message(), "61 MiB") && strstr(status_message(), "there are 60") && p.calls == 2);
    w.host = 30 * MIB; /* beside the other: all that there is */
    CHECK_OK(networks_begin_work(n, &w, &a));
    networks_end_work(n, &a);
    networks_end_work(n, &b);
    networks_destroy(&n);
}

/* Each time that it is asked nothing of the one is held while the other is waited for. */
static void alive_with_neither(void *context)
{
    struct patience *const p = context;
    const bool on_device = p->part && p->part->place.on_device;
    CHECK(p->networks->promised == (p->part ? p->part->host : 0));
    CHECK(p->networks->device->promised == (on_device ? p->part->bytes : 0));
    alive(context);
}

TEST(work_takes_memory_of_both_or_of_neither)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    struct networks_part first, part;
    device.memory_limit = 300 * MIB;
    CHECK_OK(networks_create(2, 60 * MIB, &device, &n));
    for (int i = 0; i < 2; i++) {
        struct networks_work w = work(40, 200);
        w.on_cpu = i == 0; /* the host lacks memory, then the device */
        CHECK_OK(networks_begin_work(n, &w, &first));
        struct patience p = {.networks = n, .part = &first};
        w = work(40, 200);
        w.beside = 30 * MIB;
        w.alive = (struct demucs_alive){alive_with_neither, &p};
        CHECK_OK(networks_begin_work(n, &w, &part));
        CHECK(p.calls == 2 && part.place.on_device && n->promised == 30 * MIB && n->device->promised == 200 * MIB);
        networks_end_work(n, &part);
        CHECK(n->promised == 0 && n->device->promised == 0 && n->parts == 0 && n->device->parts == 0);
    }
    networks_destroy(&n);
}

static void begin_without_host(void *context)
{
    struct networks_work w = work(90, 100);
    struct networks_part part;
    w.beside = 70 * MIB;
    CHECK_CODE(networks_begin_work(context, &w, &part), STATUS_NOMEM);
    CHECK(strstr(status_message(), "70 MiB are wanted, there are 60") && !part.exec);
}

/* The CPU would want more of it: it is not tried, and nothing is said of it. */
TEST(a_host_without_memory_is_no_full_device)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    device.memory_limit = 300 * MIB;
    CHECK_OK(networks_create(2, 60 * MIB, &device, &n));
    CHECK(full_times_said("the cpu computes", begin_without_host, n) == 0);
    networks_destroy(&n);
}

static void begin_too_large(void *context)
{
    const struct networks_work w = work(30, 350);
    struct networks_part part;
    CHECK_OK(networks_begin_work(context, &w, &part));
    CHECK(!part.place.on_device && part.place.precision == PRECISION_F32 && part.exec == networks_exec(context));
    networks_end_work(context, &part);
}

/* 300 MiB, of which the networks' own scratch takes 65. */
TEST(work_on_a_device_has_its_own_exec)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    struct networks_part part[3];
    struct networks_work w = work(30, 100);
    struct exec_memory m = {0};
    device.memory_limit = 300 * MIB;
    CHECK_OK(networks_create(2, 200 * MIB, &device, &n));
    REQUIRE(n && networks_device(n));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(networks_begin_work(n, &w, &part[i]));
        CHECK(part[i].place.on_device && part[i].place.precision == PRECISION_TF32 && part[i].device[0]);
        REQUIRE(part[i].exec && exec_device(part[i].exec) && part[i].exec != networks_device(n));
    }
    CHECK(part[0].exec != part[1].exec);
    CHECK_OK(exec_memory_allocate(part[0].exec, 96 * MIB, &m)); /* what was promised is there */
    exec_memory_release(&m);
    CHECK_CODE(networks_begin_work(n, &w, &part[2]), STATUS_BUSY); /* it waits for the device, as it fits there alone */
    struct patience p = {.networks = n, .part = &part[0]};
    w.alive = (struct demucs_alive){alive, &p};
    CHECK_OK(networks_begin_work(n, &w, &part[2]));
    CHECK(p.calls == 2 && part[2].place.on_device);
    networks_end_work(n, &part[1]);
    networks_end_work(n, &part[2]);
    CHECK(full_times_said("the cpu computes: work: 350 MiB of the device's memory are wanted, 235 are left",
                          begin_too_large, n) == 1);
    w.on_cpu = true;
    CHECK_OK(networks_begin_work(n, &w, &part[0]));
    CHECK(!part[0].place.on_device);
    networks_end_work(n, &part[0]);
    networks_destroy(&n);
}

/* Though nobody has promised anything there is less: the CPU, not a wait without end. */
TEST(a_device_that_others_fill_is_not_waited_for)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    struct networks_part part;
    struct networks_work w = work(30, 200);
    struct patience p = {0};
    struct exec_memory m = {0};
    w.alive = (struct demucs_alive){alive, &p};
    device.memory_limit = 300 * MIB;
    CHECK_OK(networks_create(2, 200 * MIB, &device, &n));
    CHECK_OK(networks_begin_work(n, &w, &part));
    CHECK(part.place.on_device && p.calls == 0);
    CHECK_OK(exec_memory_allocate(part.exec, 50 * MIB, &m)); /* nobody counts it */
    const struct device_api *const api = exec_device_api(part.exec);
    struct device *const of = exec_device(part.exec);
    networks_end_work(n, &part);
    CHECK_OK(networks_begin_work(n, &w, &part));
    CHECK(!part.place.on_device && p.calls == 0);
    networks_end_work(n, &part);
    CHECK(n->promised == 0 && n->parts == 0 && n->device->promised == 0); /* also what it had beside the device */
    api->release(of, m.data);
    networks_destroy(&n);
}

/* Memory for one network, which is held then; what it takes is the implementation's matter. */
static struct networks *with_room_for_one(int fd, size_t *bytes, const struct htdemucs **net)
{
    for (*bytes = 1 << 16; *bytes < (size_t)1 << 32; *bytes += *bytes / 16) {
        struct networks *n = NULL;
        CHECK_OK(networks_create(2, *bytes, NULL, &n));
        if (n && take(n, fd, NULL, net) == STATUS_OK)
            return n;
        networks_destroy(&n);
    }
    REQUIRE(!"no such size");
    return NULL;
}

TEST(networks_and_work_wait_for_each_other)
{
    const int a = full_network("a", false);
    const struct htdemucs *net = NULL;
    struct networks_part part;
    size_t bytes;
    struct networks *n = with_room_for_one(a, &bytes, &net);
    struct networks_work w = work(0, 0);
    w.host = bytes / 4 * 3;
    CHECK_CODE(networks_begin_work(n, &w, &part), STATUS_BUSY); /* it is held */
    struct patience p = {.networks = n, .net = net};
    w.alive = (struct demucs_alive){alive, &p};
    CHECK_OK(networks_begin_work(n, &w, &part));
    CHECK(p.calls == 2);
    CHECK_CODE(take(n, a, NULL, &net), STATUS_BUSY); /* not STATUS_NOMEM: work ends */
    p = (struct patience){.networks = n, .part = &part};
    CHECK_OK(take(n, a, &p, &net));
    CHECK(p.calls == 2 && !part.exec);
    networks_release(n, net);
    w.alive.tell = NULL; /* nobody holds it: it goes at once */
    CHECK_OK(networks_begin_work(n, &w, &part));
    networks_end_work(n, &part);
    networks_destroy(&n);
    close(a);
}

static bool is_loaded(const struct networks *n)
{
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net)
            return true;
    return false;
}

static void alive_with_network(void *context)
{
    CHECK(is_loaded(((struct patience *)context)->networks));
    alive(context);
}

/* A network that nobody holds goes where that makes the difference, and else is there for the next song. */
TEST(networks_go_only_where_it_helps)
{
    const int a = full_network("a", false);
    const struct htdemucs *net = NULL;
    struct networks_part first, second, third;
    size_t bytes;
    struct networks *n = with_room_for_one(a, &bytes, &net);
    networks_destroy(&n);
    CHECK_OK(networks_create(2, 4 * bytes, NULL, &n));
    CHECK_OK(take(n, a, NULL, &net));
    networks_release(n, net);
    struct networks_work w = {.name = "work", .host = bytes / 2 * 5};
    CHECK_OK(networks_begin_work(n, &w, &first));
    w.host = bytes * 2;
    CHECK_CODE(networks_begin_work(n, &w, &second), STATUS_BUSY);
    CHECK(is_loaded(n));
    struct patience p = {.networks = n, .part = &first};
    w.alive = (struct demucs_alive){alive_with_network, &p};
    CHECK_OK(networks_begin_work(n, &w, &second));
    CHECK(p.calls == 2 && is_loaded(n));
    w.host = bytes / 2 * 3;
    CHECK_OK(networks_begin_work(n, &w, &third));
    CHECK(p.calls == 2 && !is_loaded(n));
    networks_end_work(n, &third);
    networks_end_work(n, &second);
    networks_destroy(&n);
    close(a);
}

struct between {
    struct networks *networks;
    struct networks_part *part;
    void *other; /* of the device, that nobody counts */
    int fd, calls;
};

/* Somebody uses the network while other work waits for memory; in the end that has it. */
static void use_network(void *context)
{
    struct between *const b = context;
    struct networks_place place;
    const struct htdemucs *net = NULL;
    const struct networks_wanted wanted = {.fds = &b->fd, .count = 1, .name = "one"};
    REQUIRE(++b->calls < 5);
    CHECK(!b->part->exec || is_loaded(b->networks->device) == (b->calls > 1)); /* it went once, for nothing */
    CHECK_OK(networks_take(b->networks, &wanted, &net, &place));
    CHECK(place.on_device);
    networks_release(b->networks, net);
    if (b->calls < 3)
        return;
    struct exec *const ex = b->networks->device->exec;
    exec_device_api(ex)->release(exec_device(ex), b->other);
    networks_end_work(b->networks, b->part);
}

/* What others have of a device is known when it is asked for: for nothing a network goes once, not with every try. */
TEST(networks_do_not_go_again_and_again)
{
    struct exec_options device = full_device_options();
    struct networks *n = NULL;
    struct networks_part first, second;
    struct networks_work w = work(8, 100);
    device.memory_limit = 300 * MIB;
    CHECK_OK(networks_create(2, 200 * MIB, &device, &n));
    n->device->memory = SIZE_MAX;
    struct between b = {.networks = n, .part = &first, .fd = full_network("a", false)};
    CHECK_OK(networks_begin_work(n, &w, &first));
    struct exec *const ex = n->device->exec; /* of its 100 MiB the first work has only its scratch so far */
    CHECK_OK(exec_device_api(ex)->allocate(exec_device(ex), 130 * MIB, &b.other));
    use_network(&b);
    b.calls = 0;
    w = work(8, 110);
    w.alive = (struct demucs_alive){use_network, &b};
    CHECK_OK(networks_begin_work(n, &w, &second));
    CHECK(b.calls == 3 && second.place.on_device);
    networks_end_work(n, &second);
    networks_destroy(&n);
    close(b.fd);
}

/* Who trains has a turn nearly always, and runs in no room; a segment in flight does. */
TEST(a_room_stays_while_somebody_runs_in_it)
{
    const int a = full_network("a", false);
    const struct htdemucs *net = NULL;
    struct networks_part part = {.device = ""};
    size_t bytes;
    struct networks *n = with_room_for_one(a, &bytes, &net);
    const struct demucs_runner runner = networks_runner(n);
    const size_t floats = (size_t)htdemucs_config(net)->segment * 2;
    float *const mix = calloc(floats, sizeof *mix), *const stems = calloc(floats * STEMS, sizeof *stems);
    const struct htdemucs_segment segment = {.mix = mix, .stems = stems};
    const struct demucs_alive nobody = {0};
    CHECK_OK(runner.run(runner.context, net, &segment, 1, &nobody));
    networks_release(n, net);
    const struct networks_work w = {.name = "work", .host = bytes / 4 * 3};
    const int before = rooms_destroyed;
    networks_begin_turn(n, NULL);
    n->flights++;
    CHECK_CODE(networks_begin_work(n, &w, &part), STATUS_BUSY);
    CHECK(!networks_let_room_go(n) && rooms_destroyed == before);
    n->flights--;
    CHECK_OK(networks_begin_work(n, &w, &part));
    CHECK(rooms_destroyed == before + 1);
    networks_end_turn(n);
    networks_end_work(n, &part);
    networks_destroy(&n);
    free(mix);
    free(stems);
    close(a);
}

/* ---- turns ---- */

struct loop {
    struct networks *networks;
    atomic_int turns;
    atomic_bool stop;
};

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void *go_round(void *context)
{
    struct loop *const l = context;
    networks_begin_turn(l->networks, NULL);
    while (!atomic_load(&l->stop)) {
        sleep_ms(2);
        atomic_fetch_add(&l->turns, 1);
        networks_pass_turn(l->networks, NULL);
    }
    networks_end_turn(l->networks);
    return NULL;
}

/* One that takes turn after turn lets another have its own: two turns later at most, the one that was running and the
 * one that began before it was seen. */
TEST(turns_are_passed_on)
{
    struct loop l = {.networks = full_make(false)};
    pthread_t id;
    REQUIRE(pthread_create(&id, NULL, go_round, &l) == 0);
    while (atomic_load(&l.turns) < 3)
        sleep_ms(1);
    int worst = 0;
    for (int i = 0; i < 20; i++) {
        const int before = atomic_load(&l.turns);
        networks_begin_turn(l.networks, NULL);
        const int waited = atomic_load(&l.turns) - before;
        worst = waited > worst ? waited : worst;
        networks_end_turn(l.networks);
        sleep_ms(3);
    }
    CHECK_AT_MOST(worst, 2);
    atomic_store(&l.stop, true);
    pthread_join(id, NULL);
    networks_destroy(&l.networks);
}

static void count(void *context)
{
    (*(int *)context)++;
}

static void *have_a_turn(void *context)
{
    networks_begin_turn(context, NULL);
    sleep_ms(2500);
    networks_end_turn(context);
    return NULL;
}

TEST(who_waits_for_a_turn_is_alive)
{
    struct networks *n = full_make(false);
    pthread_t id;
    int calls = 0;
    REQUIRE(pthread_create(&id, NULL, have_a_turn, n) == 0);
    sleep_ms(200);
    const struct demucs_alive a = {count, &calls};
    networks_begin_turn(n, &a);
    CHECK(calls >= 2);
    networks_end_turn(n);
    pthread_join(id, NULL);
    networks_destroy(&n);
}
