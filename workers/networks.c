/* Networks loaded and held. */
#include "networks_state.h"

#include "device.h"
#include "exec.h"
#include "log.h"
#include "ops.h"
#include "safetensors.h"

#include <errno.h>
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
    return bytes + room;
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
    while (networks_bytes(n, room) + weights > n->limit) {
        if (networks_let_go(n))
            continue;
        if (n->turn || !n->room)
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
    if (n->turn || !n->room)
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
    while (code == STATUS_NOMEM && (networks_let_go(n) || let_room_go(n)))
        code = read_network(n, fd, name, s, precision, out);
    while (!code && !n->turn && (code = networks_make_room(n, *out, 1)) == STATUS_NOMEM && networks_let_go(n))
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
        if (!networks_let_go(n))
            break;
    }
    htdemucs_unload(&net);
    return fail(STATUS_BUSY, "%s: %d models are in use", name, HELD_MOST);
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
        networks_wait(n, &n->less); /* until somebody gives something back */
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

struct networks *networks_place(struct networks *n, const struct htdemucs *net)
{
    return n->device && holds(n->device, net) ? n->device : n;
}

bool networks_on_device(struct networks *n, const struct htdemucs *net)
{
    return networks_place(n, net) != n;
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
    n = networks_place(n, net);
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < HELD_MOST; i++)
        if (n->held[i].net == net)
            n->held[i].holders--;
    pthread_cond_broadcast(&n->less);
    pthread_mutex_unlock(&n->lock);
}
