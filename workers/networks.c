#include "networks.h"

#include "device.h"
#include "exec.h"
#include "log.h"
#include "ops.h"
#include "safetensors.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { HELD_MOST = 32, MESSAGE = 320, LOADER_BYTES = 1 << 20, TENSOR_CORES_MAJOR = 8 };

/* What a turn may take, of more than one segment. Where one keeps all threads busy for long, more gain nothing
 * (measured: full size, two threads: 1.0 times as fast; small networks 1.2). */
static const double TURN_S = 2;

/* Segments of one song that a device is asked for at once, and of one run there: more fill no device better. */
enum { TOGETHER_MOST = 8 };

struct held {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    enum precision precision;
    struct htdemucs *net;
    int holders;
    uint64_t used; /* when, by the count of takes */
};

/* A segment that a song's thread waits for. */
struct wish {
    const struct htdemucs *net;
    struct htdemucs_segment segment;
    bool taken, done;
    int code;
    char message[MESSAGE];
    struct wish *next;
};

struct networks {
    struct networks *device;    /* the same on a device; NULL: there is none, or this is it */
    struct exec *exec, *loader; /* loader: on a device, so that a run and a load do not share a stream */
    size_t limit;
    atomic_bool told;     /* that a network did not fit on the device */
    bool rounds;          /* a device with tensor cores */
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t less;  /* somebody has given a network back */
    struct held held[HELD_MOST];
    uint64_t takes;

    bool turn;                       /* somebody has the exec and the room */
    pthread_cond_t turned;           /* nobody has */
    struct wish *wishes;             /* in the order in which they came */
    double segment_s;                /* of the last run, for each segment */
    double finished_s;               /* when that ended */
    bool flying[HTDEMUCS_RUNS_MOST]; /* runs of the room that are begun and not finished */
    int flights;                     /* of them there are */
    int most;                        /* segments that a run had memory for; 0: not known */
    struct htdemucs_room *room;
    size_t room_bytes;
};

/* Every thread of the pool has begun when all have met here. */
static int meet(void *barrier, int64_t unused)
{
    (void)unused;
    pthread_barrier_wait(barrier);
    return STATUS_OK;
}

static struct networks *make(size_t limit)
{
    struct networks *const n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->less, NULL);
    pthread_cond_init(&n->turned, NULL);
    n->limit = limit;
    return n;
}

/* Without memory for it networks run on the CPU, as when there is no device. */
static int create_on_device(const struct exec_options *device, struct networks **out)
{
    struct networks *n = make(device->memory_limit ? (size_t)device->memory_limit : SIZE_MAX);
    if (!n)
        return fail(STATUS_NOMEM, "networks: out of memory");
    struct exec_options o = *device;
    o.threads = 1;
    int code = exec_create(&o, &n->exec);
    o.shared = n->exec;
    o.device_arena_bytes = LOADER_BYTES;
    code = code ? code : exec_create(&o, &n->loader);
    struct device_info info;
    n->rounds = !code && (exec_device_api(n->exec)->describe(o.device, &info) || info.major >= TENSOR_CORES_MAJOR);
    if (!code) {
        *out = n;
        return STATUS_OK;
    }
    networks_destroy(&n);
    if (code != STATUS_NOMEM)
        return code;
    log_warn("networks run on the cpu: %s", status_message());
    return STATUS_OK;
}

int networks_create(int threads, size_t bytes, const struct exec_options *device, struct networks **out)
{
    const enum exec_isa isa = isa_best();
    pthread_barrier_t barrier;
    struct networks *n = make(bytes);
    if (!n)
        return fail(STATUS_NOMEM, "networks: out of memory");
    int code = exec_create(&(struct exec_options){.threads = threads, .isa = isa, .ops = ops_cpu(isa)}, &n->exec);
    if (!code) {
        pthread_barrier_init(&barrier, NULL, (unsigned)threads);
        code = exec_parallel(n->exec, threads, meet, &barrier);
        pthread_barrier_destroy(&barrier);
    }
    if (!code && device)
        code = create_on_device(device, &n->device);
    if (code)
        networks_destroy(&n);
    else
        *out = n;
    return code;
}

void networks_destroy(struct networks **n)
{
    if (!*n)
        return;
    networks_destroy(&(*n)->device);
    for (int i = 0; i < HELD_MOST; i++)
        htdemucs_unload(&(*n)->held[i].net);
    htdemucs_room_destroy(&(*n)->room);
    exec_destroy(&(*n)->loader);
    exec_destroy(&(*n)->exec);
    pthread_mutex_destroy(&(*n)->lock);
    pthread_cond_destroy(&(*n)->less);
    pthread_cond_destroy(&(*n)->turned);
    free(*n);
    *n = NULL;
}

static bool is_file(const struct held *h, const struct stat *s, enum precision precision)
{
    return h->net && h->precision == precision && h->device == s->st_dev && h->inode == s->st_ino &&
           h->size == s->st_size && h->changed.tv_sec == s->st_ctim.tv_sec && h->changed.tv_nsec == s->st_ctim.tv_nsec;
}

/* Weights, and the largest room that any of them will want. */
static size_t loaded(const struct networks *n, size_t room)
{
    size_t bytes = 0;
    room = room > n->room_bytes ? room : n->room_bytes;
    for (int i = 0; i < HELD_MOST; i++) {
        if (!n->held[i].net)
            continue;
        const size_t wanted = htdemucs_room_bytes(htdemucs_config(n->held[i].net), 1);
        bytes += htdemucs_bytes(n->held[i].net);
        room = wanted > room ? wanted : room;
    }
    return bytes + room;
}

/* Lets the one go that nobody holds and that was used longest ago; false: there is none. */
static bool let_go(struct networks *n)
{
    struct held *oldest = NULL;
    for (int i = 0; i < HELD_MOST; i++) {
        struct held *const h = &n->held[i];
        if (h->net && h->holders == 0 && (!oldest || h->used < oldest->used))
            oldest = h;
    }
    if (!oldest)
        return false;
    htdemucs_unload(&oldest->net);
    n->most = 0;
    return true;
}

/* Somebody works in the room. */
static bool is_in_use(const struct networks *n)
{
    return n->turn || n->flights > 0;
}

static void drop_room(struct networks *n)
{
    htdemucs_room_destroy(&n->room);
    n->room_bytes = 0;
}

/* The room is made anew when it is too small. With the lock; in a turn that is alone in it, or while nobody has one. */
static int make_room(struct networks *n, const struct htdemucs *net, int segments)
{
    const size_t bytes = htdemucs_room_bytes(htdemucs_config(net), segments);
    if (n->room && n->room_bytes >= bytes)
        return htdemucs_room_use(net, n->exec, segments, n->room);
    drop_room(n);
    const int code = htdemucs_room_create(net, n->exec, segments, &n->room);
    n->room_bytes = code ? 0 : bytes;
    return code;
}

/* Makes room for weights and activations; STATUS_BUSY: not beside what is held now. */
static int check_room(struct networks *n, size_t weights, size_t room, const char *name)
{
    if (weights + room > n->limit)
        return fail(STATUS_NOMEM, "%s: takes %zu MiB of memory, %zu are allowed (wavemill-worker --memory-limit)", name,
                    (weights + room) >> 20, n->limit >> 20);
    while (loaded(n, room) + weights > n->limit) {
        if (let_go(n))
            continue;
        if (is_in_use(n) || !n->room)
            return fail(STATUS_BUSY, "%s: no memory beside the models in use", name);
        drop_room(n); /* it may have been made for several segments */
    }
    return STATUS_OK;
}

/* Half floats become floats, in panels that are padded: before they are packed nobody knows it better. */
static size_t weights_at_most(const struct stat *s)
{
    return (size_t)s->st_size * 9 / 4;
}

static int read_network(struct networks *n, int fd, const char *name, const struct stat *s, enum precision precision,
                        struct htdemucs **out)
{
    struct safetensors *file = NULL;
    struct htdemucs_config c = {0};
    int code = safetensors_open(fd, name, &file);
    if (code)
        return code;
    const char *const kwargs = safetensors_metadata(file, "kwargs");
    code = kwargs ? htdemucs_config_parse(kwargs, name, &c)
                  : fail(STATUS_FORMAT, "%s: no kwargs among the metadata: not exported by demucs 4.1", name);
    code = code ? code : check_room(n, weights_at_most(s), htdemucs_room_bytes(&c, 1), name);
    code = code ? code : htdemucs_load(file, name, precision, n->loader ? n->loader : n->exec, out);
    safetensors_close(&file);
    return code;
}

static bool anybody_holds(const struct networks *n)
{
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net && n->held[i].holders)
            return true;
    return false;
}

/* The room may have been made for many segments. */
static bool let_room_go(struct networks *n)
{
    if (is_in_use(n) || !n->room)
        return false;
    drop_room(n);
    return true;
}

/* What a device has is known when it is asked for: networks that nobody holds go until there is enough. A room for a
 * segment is part of it, so that no song begins that has none. */
static int read_for_device(struct networks *n, int fd, const char *name, const struct stat *s, enum precision precision,
                           struct htdemucs **out)
{
    int code = read_network(n, fd, name, s, precision, out);
    while (code == STATUS_NOMEM && (let_go(n) || let_room_go(n)))
        code = read_network(n, fd, name, s, precision, out);
    while (!code && !is_in_use(n) && (code = make_room(n, *out, 1)) == STATUS_NOMEM && let_go(n))
        code = STATUS_OK;
    if (!code)
        return STATUS_OK;
    htdemucs_unload(out);
    return code == STATUS_NOMEM && anybody_holds(n) ? fail(STATUS_BUSY, "%s: no memory on the device now", name) : code;
}

/* With the list locked: who else wants the same network waits for it, and does not load it a second time. */
static int load(struct networks *n, int fd, const char *name, const struct stat *s, enum precision precision,
                struct held **out)
{
    struct htdemucs *net = NULL;
    int code =
        n->loader ? read_for_device(n, fd, name, s, precision, &net) : read_network(n, fd, name, s, precision, &net);
    if (code)
        return code;
    for (int tries = 0; tries < 2; tries++) {
        for (int i = 0; i < HELD_MOST; i++)
            if (!n->held[i].net) {
                n->held[i] = (struct held){s->st_dev, s->st_ino, s->st_size, s->st_ctim, precision, net, 0, 0};
                *out = &n->held[i];
                return STATUS_OK;
            }
        if (!let_go(n))
            break;
    }
    htdemucs_unload(&net);
    return fail(STATUS_BUSY, "%s: %d models are in use", name, HELD_MOST);
}

/* A second at most. */
static void wait_a_while(struct networks *n, pthread_cond_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_cond_timedwait(what, &n->lock, &until);
}

static int take(struct networks *n, int fd, const char *name, enum precision precision, void (*alive)(void *context),
                void *context, const struct htdemucs **out)
{
    struct stat s;
    struct held *found = NULL;
    int code = STATUS_OK;
    if (fstat(fd, &s))
        return fail(STATUS_IO, "%s: %s", name, strerror(errno));
    if (s.st_size < 0 || (uint64_t)s.st_size > n->limit)
        return fail(STATUS_NOMEM, "%s: %lld MiB, %zu are allowed (wavemill-worker --memory-limit)", name,
                    (long long)(s.st_size >> 20), n->limit >> 20);
    pthread_mutex_lock(&n->lock);
    for (;;) {
        for (int i = 0; i < HELD_MOST && !found; i++)
            found = is_file(&n->held[i], &s, precision) ? &n->held[i] : NULL;
        code = found ? STATUS_OK : load(n, fd, name, &s, precision, &found);
        if (code != STATUS_BUSY || !alive)
            break;
        wait_a_while(n, &n->less); /* until somebody gives something back */
        pthread_mutex_unlock(&n->lock);
        alive(context);
        pthread_mutex_lock(&n->lock);
    }
    if (!code) {
        found->holders++;
        found->used = ++n->takes;
        *out = found->net;
    }
    pthread_mutex_unlock(&n->lock);
    return code;
}

static bool holds(struct networks *n, const struct htdemucs *net)
{
    bool found = false;
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < HELD_MOST; i++)
        found = found || n->held[i].net == net;
    pthread_mutex_unlock(&n->lock);
    return found;
}

/* Where a network that was taken is. */
static struct networks *place_of(struct networks *n, const struct htdemucs *net)
{
    return n->device && holds(n->device, net) ? n->device : n;
}

bool networks_on_device(struct networks *n, const struct htdemucs *net)
{
    return place_of(n, net) != n;
}

int networks_take(struct networks *n, int fd, const char *name, enum precision precision, void (*alive)(void *context),
                  void *context, const struct htdemucs **out)
{
    if (n->device && !n->device->rounds)
        precision = PRECISION_F32;
    int code = n->device ? take(n->device, fd, name, precision, alive, context, out) : STATUS_NOMEM;
    if (code != STATUS_NOMEM && code != STATUS_BUSY)
        return code;
    if (n->device && !atomic_exchange(&n->told, true))
        log_warn("the cpu computes: %s", status_message());
    return take(n, fd, name, PRECISION_F32, alive, context, out);
}

void networks_release(struct networks *n, const struct htdemucs *net)
{
    n = place_of(n, net);
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net == net)
            n->held[i].holders--;
    pthread_cond_broadcast(&n->less);
    pthread_mutex_unlock(&n->lock);
}

struct exec *networks_exec(struct networks *n)
{
    return n->exec;
}

/* With the lock, as the next two. */
static void begin_turn(struct networks *n)
{
    while (n->turn)
        pthread_cond_wait(&n->turned, &n->lock);
    n->turn = true;
}

static void end_turn(struct networks *n)
{
    n->turn = false;
    pthread_cond_broadcast(&n->turned);
}

struct exec *networks_begin_turn(struct networks *n)
{
    pthread_mutex_lock(&n->lock);
    begin_turn(n);
    pthread_mutex_unlock(&n->lock);
    return n->exec;
}

void networks_end_turn(struct networks *n)
{
    pthread_mutex_lock(&n->lock);
    end_turn(n);
    pthread_mutex_unlock(&n->lock);
}

/* ---- batches ---- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What runs together: begun by a thread that has a wish in it, and finished by the same. */
struct batch {
    struct wish *wish[HTDEMUCS_SEGMENTS_MOST];
    int count, which;
    double began;
};

/* How many of the segments that wait for a network run now, 0: none, as the room must be another for them and is in
 * use. On a device not all that wait at first: while they run the others are copied in. */
static int choose(const struct networks *n, const struct htdemucs *net)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    int waiting = 0, count = n->segment_s > 0 ? (int)fmin(TURN_S / n->segment_s, HTDEMUCS_SEGMENTS_MOST) : 1;
    for (const struct wish *w = n->wishes; w; w = w->next)
        waiting += !w->taken && w->net == net;
    if (n->loader && n->flights == 0)
        waiting = (waiting + 1) / 2;
    count = waiting < count ? waiting : count;
    count = n->loader && count > TOGETHER_MOST ? TOGETHER_MOST : count;
    count = n->most && n->most < count ? n->most : count;
    while (count > 1 && loaded(n, htdemucs_room_bytes(c, count)) > n->limit)
        count--;
    count = count > 1 ? count : 1;
    return n->flights == 0 || htdemucs_room_suits(n->room, net, count) ? count : 0;
}

/* `own` and what came first of the others. */
static void gather(struct networks *n, struct wish *own, int count, struct batch *b)
{
    *b = (struct batch){.wish = {own}, .count = 1};
    for (struct wish *w = n->wishes; w && b->count < count; w = w->next)
        if (w != own && !w->taken && w->net == own->net)
            b->wish[b->count++] = w;
    for (int i = 0; i < b->count; i++)
        b->wish[i]->taken = true;
    while (n->flying[b->which])
        b->which++;
    n->flying[b->which] = true;
    n->flights++;
}

/* In a turn, without the lock. */
static int enter_room(struct networks *n, const struct htdemucs *net, int segments)
{
    pthread_mutex_lock(&n->lock);
    int code = make_room(n, net, segments);
    while (code == STATUS_NOMEM && n->loader && let_go(n))
        code = make_room(n, net, segments);
    pthread_mutex_unlock(&n->lock);
    return code;
}

/* In a turn, without the lock. *flies: it is to be finished; else it has ended, one by one. */
static int begin_batch(struct networks *n, const struct batch *b, bool *flies)
{
    struct htdemucs_segment segments[HTDEMUCS_SEGMENTS_MOST];
    const struct htdemucs *const net = b->wish[0]->net;
    for (int i = 0; i < b->count; i++)
        segments[i] = b->wish[i]->segment;
    int code = enter_room(n, net, b->count);
    code = code ? code : htdemucs_begin(net, n->exec, n->room, b->which, segments, b->count);
    *flies = !code;
    if (code != STATUS_NOMEM || b->count == 1)
        return code;
    pthread_mutex_lock(&n->lock);
    n->most = b->count / 2;
    pthread_mutex_unlock(&n->lock);
    code = STATUS_OK;
    for (int i = 0; i < b->count && !code; i++) {
        code = enter_room(n, net, 1);
        code = code ? code : htdemucs_begin(net, n->exec, n->room, b->which, &segments[i], 1);
        code = code ? code : htdemucs_finish(n->room, b->which);
    }
    return code;
}

static void remove_wish(struct networks *n, const struct wish *gone)
{
    struct wish **at = &n->wishes;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
}

/* Whoever waits for them hears of it. With the lock, as what follows. */
static void end_batch(struct networks *n, const struct batch *b, int code)
{
    const double now = now_s(), from = b->began > n->finished_s ? b->began : n->finished_s;
    n->segment_s = (now - from) / b->count;
    n->finished_s = now;
    for (int i = 0; i < b->count; i++) {
        b->wish[i]->code = code;
        if (code)
            snprintf(b->wish[i]->message, MESSAGE, "%s", status_message());
        b->wish[i]->done = true;
    }
    n->flying[b->which] = false;
    n->flights--;
    pthread_cond_broadcast(&n->turned);
}

/* Gives the lock back while it waits. */
static void finish_batch(struct networks *n, const struct batch *b)
{
    pthread_mutex_unlock(&n->lock);
    const int code = htdemucs_finish(n->room, b->which);
    pthread_mutex_lock(&n->lock);
    end_batch(n, b, code);
}

/* Begins own, and what can go with it: gives the lock back for as long as that takes, on the CPU until all is done.
 * Whether it flies now. */
static bool lead(struct networks *n, struct wish *own, int count, struct batch *b)
{
    bool flies;
    begin_turn(n);
    gather(n, own, count, b);
    pthread_mutex_unlock(&n->lock);
    b->began = now_s();
    const int code = begin_batch(n, b, &flies);
    pthread_mutex_lock(&n->lock);
    if (!flies)
        end_batch(n, b, code);
    else if (!n->loader)
        finish_batch(n, b);
    end_turn(n);
    return flies && n->loader;
}

/* The first that nobody has taken; NULL: there is none. */
static struct wish *untaken(struct wish *own, int count)
{
    for (int i = 0; i < count; i++)
        if (!own[i].taken)
            return &own[i];
    return NULL;
}

static bool all_done(const struct wish *own, int count)
{
    for (int i = 0; i < count; i++)
        if (!own[i].done)
            return false;
    return true;
}

/* Until all are done: begins what can begin, finishes what it has begun, or waits for others. Each batch that it begins
 * has a wish of its own in it, so none is left over. */
static void see_to(struct networks *n, struct wish *own, int count, const struct demucs_alive *alive)
{
    struct batch mine[HTDEMUCS_RUNS_MOST];
    int flights = 0; /* of mine, the one that was begun first in front */
    while (!all_done(own, count)) {
        struct wish *const next = n->turn || n->flights == HTDEMUCS_RUNS_MOST ? NULL : untaken(own, count);
        const int together = next ? choose(n, next->net) : 0;
        if (together) {
            flights += lead(n, next, together, &mine[flights]);
        } else if (flights > 0) {
            finish_batch(n, &mine[0]);
            memmove(mine, mine + 1, (size_t)--flights * sizeof *mine);
        } else {
            wait_a_while(n, &n->turned);
            if (!all_done(own, count) && alive->tell) {
                pthread_mutex_unlock(&n->lock);
                alive->tell(alive->context);
                pthread_mutex_lock(&n->lock);
            }
        }
    }
}

static int run(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
               const struct demucs_alive *alive)
{
    struct networks *const n = place_of(context, net);
    struct wish own[HTDEMUCS_SEGMENTS_MOST], **at = &n->wishes;
    const struct wish *failed = NULL;
    pthread_mutex_lock(&n->lock);
    while (*at)
        at = &(*at)->next;
    for (int i = 0; i < count; i++) {
        own[i] = (struct wish){.net = net, .segment = segments[i]};
        *at = &own[i];
        at = &own[i].next;
    }
    see_to(n, own, count, alive);
    for (int i = 0; i < count; i++) {
        remove_wish(n, &own[i]);
        failed = own[i].code && !failed ? &own[i] : failed;
    }
    pthread_mutex_unlock(&n->lock);
    return failed ? fail((enum status)failed->code, "%s", failed->message) : STATUS_OK;
}

/* What fits into the room, and keeps a song waiting for two turns at most. A device has two runs of a song in flight
 * from the beginning; how many segments are in each hangs on how long the last ones took. */
static int together(void *context, const struct htdemucs *net)
{
    struct networks *const n = place_of(context, net);
    if (!n->loader)
        return 1;
    pthread_mutex_lock(&n->lock);
    int count =
        n->segment_s > 0 ? (int)fmin(HTDEMUCS_RUNS_MOST * TURN_S / n->segment_s, TOGETHER_MOST) : HTDEMUCS_RUNS_MOST;
    while (count > 1 && loaded(n, htdemucs_room_bytes(htdemucs_config(net), (count + 1) / 2)) > n->limit)
        count--;
    pthread_mutex_unlock(&n->lock);
    return count;
}

static void give_back(void *context, const struct htdemucs *net)
{
    networks_release(context, net);
}

struct demucs_runner networks_runner(struct networks *n)
{
    return (struct demucs_runner){
        .run = run, .most = n->device ? TOGETHER_MOST : 1, .together = together, .give_back = give_back, .context = n};
}
