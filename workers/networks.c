/* Networks loaded and held. */
#include "networks_state.h"

#include "device.h"
#include "exec.h"
#include "log.h"
#include "ops.h"
#include "safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOADER_BYTES = 1 << 20, TENSOR_CORES_MAJOR = 8 };

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
    n->limit = n->work_limit = n->memory = limit;
    return n;
}

static void look_at_device(struct networks *n, int device)
{
    const struct device_api *const api = exec_device_api(n->exec);
    struct device_counters c;
    struct device_info info = {.memory_bytes = UINT64_MAX, .major = TENSOR_CORES_MAJOR};
    const int unknown = api->describe(device, &info);
    if (!unknown)
        snprintf(n->name, sizeof n->name, "%.63s", info.name);
    n->rounds = unknown || info.major >= TENSOR_CORES_MAJOR;
    api->counters(exec_device(n->exec), &c);
    const uint64_t most = info.memory_bytes < n->limit ? info.memory_bytes : n->limit;
    n->memory = (size_t)most;
    n->work_limit = most > c.bytes_used ? (size_t)(most - c.bytes_used) : 0;
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
    n->options = o;
    o.device_arena_bytes = LOADER_BYTES;
    code = code ? code : exec_create(&o, &n->loader);
    if (!code) {
        look_at_device(n, o.device);
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

size_t networks_bytes(const struct networks *n, size_t room)
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
    return bytes + room + n->promised;
}

/* On a device a turn alone waits for what is in flight. */
static size_t room_to_let_go(const struct networks *n)
{
    return n->loader || n->flights == 0 ? n->room_bytes : 0;
}

size_t networks_bytes_kept(const struct networks *n)
{
    size_t bytes = n->promised, room = n->room_bytes - room_to_let_go(n);
    for (int i = 0; i < HELD_MOST; i++) {
        if (!n->held[i].net || !n->held[i].holders)
            continue;
        const size_t wanted = htdemucs_room_bytes(htdemucs_config(n->held[i].net), 1);
        bytes += htdemucs_bytes(n->held[i].net);
        room = wanted > room ? wanted : room;
    }
    return bytes + room;
}

size_t networks_bytes_to_let_go(const struct networks *n)
{
    size_t bytes = room_to_let_go(n);
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net && !n->held[i].holders)
            bytes += htdemucs_bytes(n->held[i].net);
    return bytes;
}

bool networks_let_go(struct networks *n)
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

static void drop_room(struct networks *n)
{
    htdemucs_room_destroy(&n->room);
    n->room_bytes = 0;
}

int networks_make_room(struct networks *n, const struct htdemucs *net, int segments)
{
    const size_t bytes = htdemucs_room_bytes(htdemucs_config(net), segments);
    int code = n->room && n->room_bytes >= bytes ? htdemucs_room_use(net, n->exec, segments, n->room) : STATUS_NOMEM;
    if (code != STATUS_NOMEM)
        return code;
    drop_room(n);
    code = htdemucs_room_create(net, n->exec, segments, &n->room);
    n->room_bytes = code ? 0 : bytes;
    return code;
}

/* Loads for a device have a turn of their own, and wait for what is in flight. With the lock. */
bool networks_let_room_go(struct networks *n)
{
    if (!n->room || n->flights > 0)
        return false;
    drop_room(n); /* it may have been made for several segments */
    return true;
}

/* Makes room for weights and activations; STATUS_BUSY: not beside what is held now. */
static int check_room(struct networks *n, size_t weights, size_t room, const char *name)
{
    if (weights + room > n->limit)
        return fail(STATUS_NOMEM, "%s: takes %zu MiB of memory, %zu are allowed (wavemill-worker %s)", name,
                    (weights + room) >> 20, n->limit >> 20, n->loader ? "--gpu-mem-limit" : "--memory-limit");
    while (networks_bytes(n, room) + weights > n->limit)
        if (!networks_let_go(n) && !networks_let_room_go(n))
            return fail(STATUS_BUSY, "%s: no memory beside the models in use", name);
    return STATUS_OK;
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
    code = code ? code : check_room(n, htdemucs_bytes_at_most((size_t)s->st_size), htdemucs_room_bytes(&c, 1), name);
    if (!code) {
        code = htdemucs_load(file, name, precision, n->loader ? n->loader : n->exec, out);
        code = code == STATUS_NOMEM && n->loader ? STATUS_BUSY : code; /* the device may have it later */
    }
    safetensors_close(&file);
    return code;
}

bool networks_are_held(const struct networks *n)
{
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net && n->held[i].holders)
            return true;
    return false;
}

/* What a device has is known when it is asked for: networks that nobody holds go until there is enough. A room for a
 * segment is part of it, so that no song begins that has none. STATUS_BUSY: not now. */
static int read_for_device(struct networks *n, int fd, const char *name, const struct stat *s, enum precision precision,
                           struct htdemucs **out)
{
    int code = read_network(n, fd, name, s, precision, out);
    while (code == STATUS_BUSY && (networks_let_go(n) || networks_let_room_go(n)))
        code = read_network(n, fd, name, s, precision, out);
    if (code)
        return code;
    while ((code = networks_make_room(n, *out, 1)) == STATUS_NOMEM && networks_let_go(n))
        ;
    if (code)
        htdemucs_unload(out);
    return code == STATUS_NOMEM ? STATUS_BUSY : code;
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
        if (!networks_let_go(n))
            break;
    }
    htdemucs_unload(&net);
    return fail(STATUS_BUSY, "%s: %d models are in use", name, HELD_MOST);
}

static int look_at(const struct networks *n, const struct networks_wanted *w, struct stat *s)
{
    if (w->count < 1 || w->count > DEMUCS_NETWORKS_MOST)
        return fail(STATUS_ARGUMENT, "%s: %d networks, allowed 1 to %d", w->name, w->count, DEMUCS_NETWORKS_MOST);
    for (int i = 0; i < w->count; i++) {
        if (fstat(w->fds[i], &s[i]))
            return fail(STATUS_IO, "%s: %s", w->name, strerror(errno));
        if (s[i].st_size < 0 || (uint64_t)s[i].st_size > n->limit)
            return fail(STATUS_NOMEM, "%s: %lld MiB, %zu are allowed (wavemill-worker %s)", w->name,
                        (long long)(s[i].st_size >> 20), n->limit >> 20,
                        n->loader ? "--gpu-mem-limit" : "--memory-limit");
    }
    return STATUS_OK;
}

static struct held *find(struct networks *n, const struct stat *s, enum precision precision)
{
    for (int i = 0; i < HELD_MOST; i++)
        if (is_file(&n->held[i], s, precision))
            return &n->held[i];
    return NULL;
}

/* All of them or none. STATUS_BUSY: one is not there, and not loaded; or not now. */
static int hold_all(struct networks *n, const struct networks_wanted *w, const struct stat *s, enum precision precision,
                    bool loads, struct held **held)
{
    int got = 0, code = STATUS_OK;
    while (got < w->count && !code) {
        held[got] = find(n, &s[got], precision);
        if (!held[got])
            code = loads ? load(n, w->fds[got], w->name, &s[got], precision, &held[got]) : STATUS_BUSY;
        if (!code)
            held[got++]->holders++;
    }
    while (code && got > 0)
        held[--got]->holders--;
    return code;
}

/* For a device that is a turn, with nothing in flight: nobody runs a network while its room is made anew. */
static int hold_or_load(struct networks *n, const struct networks_wanted *w, const struct stat *s,
                        enum precision precision, struct held **held)
{
    int code = hold_all(n, w, s, precision, false, held);
    if (code != STATUS_BUSY)
        return code;
    if (n->loader)
        networks_enter_turn_alone(n);
    code = hold_all(n, w, s, precision, true, held);
    /* So that nothing will be given back. */
    const bool alone = !networks_are_held(n) && n->parts == 0 && (n->loader || !n->turn);
    if (n->loader)
        networks_leave_turn(n);
    if (code != STATUS_BUSY || !alone)
        return code;
    return w->count == 1 ? STATUS_NOMEM
                         : fail(STATUS_NOMEM, "%s: no memory for its %d networks at once", w->name, w->count);
}

static int take(struct networks *n, const struct networks_wanted *w, enum precision precision,
                const struct htdemucs **out)
{
    struct stat s[DEMUCS_NETWORKS_MOST];
    struct held *held[DEMUCS_NETWORKS_MOST];
    int code = look_at(n, w, s);
    if (code)
        return code;
    pthread_mutex_lock(&n->lock);
    while ((code = hold_or_load(n, w, s, precision, held)) == STATUS_BUSY && w->alive) {
        networks_wait(n, &n->less); /* until somebody gives something back */
        pthread_mutex_unlock(&n->lock);
        w->alive(w->context);
        pthread_mutex_lock(&n->lock);
    }
    for (int i = 0; i < w->count && !code; i++) {
        held[i]->used = ++n->takes;
        out[i] = held[i]->net;
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

struct networks *networks_holder(struct networks *n, const struct htdemucs *net)
{
    return n->device && holds(n->device, net) ? n->device : n;
}

int networks_take(struct networks *n, const struct networks_wanted *w, const struct htdemucs **out,
                  struct networks_place *place)
{
    const struct networks_place there = {true, n->device && n->device->rounds ? w->precision : PRECISION_F32};
    const struct networks_place here = {false, PRECISION_F32};
    int code = n->device && !w->on_cpu ? take(n->device, w, there.precision, out) : STATUS_NOMEM;
    if (!code)
        *place = there;
    if (code != STATUS_NOMEM)
        return code;
    if (n->device && !atomic_exchange(&n->told, true))
        log_warn("the cpu computes: %s", status_message());
    code = take(n, w, here.precision, out);
    if (!code)
        *place = here;
    return code;
}

void networks_release(struct networks *n, const struct htdemucs *net)
{
    n = networks_holder(n, net);
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net == net)
            n->held[i].holders--;
    pthread_cond_broadcast(&n->less);
    pthread_mutex_unlock(&n->lock);
}
