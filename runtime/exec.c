#include "exec.h"

#include "module.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a thread looks out for the next loop before it sleeps: to wake one takes 50 to 100 us where a hypervisor has
 * to be asked, and a step of a network is a hundred loops of a millisecond, one right behind the other. */
enum { SPIN_NS = 100000, SPIN_PAUSES = 16 };

struct plan_entry {
    const struct plan_kind *kind;
    void *params;
    void *plan;
    void *device_copy; /* NULL: only the host needs it */
    struct plan_entry *next;
};

/* A device that several execs use. */
struct open_device {
    struct device *device;
    atomic_int users;
};

/* One loop that the pool works on. Indices are handed out under the lock: loops here have few, large bodies. */
struct loop {
    int (*body)(void *context, int64_t i);
    void *context;
    int64_t count, next, done;
    int64_t failed_index; /* smallest index that failed, or count */
    int code;
    char message[512];
};

struct exec {
    struct exec_options options;
    struct arena arena;
    const struct device_api *api; /* NULL on the CPU, as are the next four */
    struct open_device *open;
    struct device_stream *stream;
    void *device_block;
    struct arena device_arena;
    struct plan_entry *plans;
    pthread_t *threads; /* options.threads - 1 of them; the caller is the other one */
    int started;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct loop *loop;
    bool stop;
    bool spins;               /* every thread has a processor */
    atomic_uint begun, ended; /* loops, and the end of all; changed under the lock, looked at without */
};

static void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Called and left with the lock held, not held meanwhile: for a moment, or until the counter is not `seen` any more. */
static void look_out(struct exec *ex, atomic_uint *counter, unsigned seen)
{
    if (!ex->spins)
        return;
    pthread_mutex_unlock(&ex->lock);
    const int64_t end = now_ns() + SPIN_NS;
    do
        for (int i = 0; i < SPIN_PAUSES && atomic_load_explicit(counter, memory_order_acquire) == seen; i++)
            pause_briefly();
    while (atomic_load_explicit(counter, memory_order_acquire) == seen && now_ns() < end);
    pthread_mutex_lock(&ex->lock);
}

/* Runs indices of the current loop until none is left. Called and left with the lock held. */
static void loop_run(struct exec *ex, struct loop *l)
{
    while (l->next < l->count) {
        const int64_t i = l->next++;
        pthread_mutex_unlock(&ex->lock);
        const int code = l->body(l->context, i);
        pthread_mutex_lock(&ex->lock);
        if (code && i < l->failed_index) {
            l->failed_index = i;
            l->code = code;
            snprintf(l->message, sizeof l->message, "%s", status_message());
        }
        if (++l->done == l->count) {
            atomic_fetch_add(&ex->ended, 1);
            pthread_cond_broadcast(&ex->idle);
        }
    }
}

static bool has_work(const struct exec *ex)
{
    return ex->stop || (ex->loop && ex->loop->next < ex->loop->count);
}

static void *pool_main(void *arg)
{
    struct exec *ex = arg;
    pthread_mutex_lock(&ex->lock);
    while (!ex->stop) {
        if (has_work(ex)) {
            loop_run(ex, ex->loop);
            continue;
        }
        look_out(ex, &ex->begun, atomic_load(&ex->begun));
        while (!has_work(ex))
            pthread_cond_wait(&ex->work, &ex->lock);
    }
    pthread_mutex_unlock(&ex->lock);
    return NULL;
}

static int check_options(const struct exec_options *o)
{
    if (o->threads < 1 || o->threads > 1024)
        return fail(STATUS_ARGUMENT, "exec: %d threads, allowed 1 to 1024", o->threads);
    if (!isa_supported(o->isa))
        return fail(STATUS_UNSUPPORTED, "exec: this processor has no %s", isa_name(o->isa));
    if (o->backend != BACKEND_CPU && !o->module)
        return fail(STATUS_UNSUPPORTED, "exec: backend %s without its module", backend_name(o->backend));
    const struct exec_options *s = o->shared ? &o->shared->options : o;
    if (s->backend != o->backend || s->module != o->module || s->device != o->device)
        return fail(STATUS_ARGUMENT, "exec: it shares %s %d but asks for %s %d", backend_name(s->backend), s->device,
                    backend_name(o->backend), o->device);
    return STATUS_OK;
}

/* Opens the device or joins those who have. */
static int device_take(struct exec *ex)
{
    const struct exec_options *o = &ex->options;
    if (o->shared) {
        ex->open = o->shared->open;
        atomic_fetch_add(&ex->open->users, 1);
        return STATUS_OK;
    }
    struct open_device *open = calloc(1, sizeof *open);
    if (!open)
        return fail(STATUS_NOMEM, "exec: out of memory");
    const int code = ex->api->open(o->device, o->memory_limit, &open->device);
    if (code) {
        free(open);
        return status_context(code, "%s %d", backend_name(o->backend), o->device);
    }
    atomic_init(&open->users, 1);
    ex->open = open;
    return STATUS_OK;
}

static int device_start(struct exec *ex)
{
    const struct exec_options *o = &ex->options;
    const size_t bytes = o->device_arena_bytes ? o->device_arena_bytes : EXEC_ARENA_BYTES;
    ex->api = o->module->device;
    int code = device_take(ex);
    if (!code)
        code = ex->api->stream_create(ex->open->device, &ex->stream);
    if (!code)
        code = ex->api->allocate(ex->open->device, bytes, &ex->device_block);
    if (!code)
        arena_init(&ex->device_arena, ex->device_block, bytes);
    return code;
}

/* Undoes as much of it as there is; also on a device that is lost, where it frees what lies in host memory. */
static void device_end(struct exec *ex)
{
    if (!ex->open)
        return;
    const int ignored = ex->stream ? ex->api->stream_wait(ex->stream) : STATUS_OK; /* its memory is in use until then */
    (void)ignored;
    for (struct plan_entry *e = ex->plans; e; e = e->next) {
        if (e->device_copy)
            ex->api->release(ex->open->device, e->device_copy);
        e->device_copy = NULL;
    }
    if (ex->device_block)
        ex->api->release(ex->open->device, ex->device_block);
    if (ex->stream)
        ex->api->stream_destroy(&ex->stream);
    if (atomic_fetch_sub(&ex->open->users, 1) > 1)
        return;
    ex->api->close(&ex->open->device);
    free(ex->open);
}

int exec_create(const struct exec_options *options, struct exec **out)
{
    int code = check_options(options);
    if (code)
        return code;
    struct exec *ex = calloc(1, sizeof *ex);
    if (!ex)
        return fail(STATUS_NOMEM, "exec: out of memory");
    ex->options = *options;
    if (!ex->options.ops && options->module)
        ex->options.ops = options->module->ops;
    pthread_mutex_init(&ex->lock, NULL);
    pthread_cond_init(&ex->work, NULL);
    pthread_cond_init(&ex->idle, NULL);
    cpu_set_t mine;
    ex->spins = sched_getaffinity(0, sizeof mine, &mine) == 0 && options->threads <= CPU_COUNT(&mine);
    code = arena_create(&ex->arena, options->arena_bytes ? options->arena_bytes
                                                         : (size_t)EXEC_ARENA_BYTES * (size_t)options->threads);
    if (code)
        goto fail;
    ex->threads = calloc((size_t)options->threads, sizeof *ex->threads);
    if (!ex->threads) {
        code = fail(STATUS_NOMEM, "exec: out of memory");
        goto fail;
    }
    for (; ex->started < options->threads - 1; ex->started++) {
        if (pthread_create(&ex->threads[ex->started], NULL, pool_main, ex)) {
            code = fail(STATUS_NOMEM, "exec: cannot start thread %d", ex->started + 1);
            goto fail;
        }
    }
    if (options->backend != BACKEND_CPU && (code = device_start(ex)))
        goto fail;
    *out = ex;
    return STATUS_OK;
fail:
    exec_destroy(&ex);
    return code;
}

void exec_destroy(struct exec **exec)
{
    struct exec *ex = *exec;
    if (!ex)
        return;
    pthread_mutex_lock(&ex->lock);
    ex->stop = true;
    atomic_fetch_add(&ex->begun, 1);
    pthread_cond_broadcast(&ex->work);
    pthread_mutex_unlock(&ex->lock);
    for (int i = 0; i < ex->started; i++)
        pthread_join(ex->threads[i], NULL);
    free(ex->threads);
    for (struct plan_entry *e = ex->plans; e; e = e->next)
        if (e->kind->close)
            e->kind->close(e->plan);
    device_end(ex);
    while (ex->plans) {
        struct plan_entry *e = ex->plans;
        ex->plans = e->next;
        free(e->params);
        free(e->plan);
        free(e);
    }
    arena_destroy(&ex->arena);
    pthread_cond_destroy(&ex->idle);
    pthread_cond_destroy(&ex->work);
    pthread_mutex_destroy(&ex->lock);
    free(ex);
    *exec = NULL;
}

const struct ops *exec_ops(const struct exec *ex)
{
    return ex->options.ops;
}

enum exec_backend exec_backend(const struct exec *ex)
{
    return ex->options.backend;
}

enum exec_isa exec_isa(const struct exec *ex)
{
    return ex->options.isa;
}

int exec_threads(const struct exec *ex)
{
    return ex->options.threads;
}

struct arena *exec_arena(struct exec *ex)
{
    return &ex->arena;
}

struct device *exec_device(const struct exec *ex)
{
    return ex->open ? ex->open->device : NULL;
}

const struct device_api *exec_device_api(const struct exec *ex)
{
    return ex->api;
}

struct device_stream *exec_stream(const struct exec *ex)
{
    return ex->stream;
}

struct arena *exec_device_arena(struct exec *ex)
{
    return ex->api ? &ex->device_arena : NULL;
}

const char *backend_name(enum exec_backend backend)
{
    static const char *const names[] = {"cpu", "cuda", "emulated"};
    return (unsigned)backend < 3 ? names[backend] : "unknown";
}

const char *isa_name(enum exec_isa isa)
{
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    return (unsigned)isa < 3 ? names[isa] : "unknown";
}

int isa_parse(const char *name, enum exec_isa *out)
{
    for (enum exec_isa isa = ISA_SCALAR; isa <= ISA_AVX512; isa++)
        if (strcmp(name, isa_name(isa)) == 0) {
            *out = isa;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT, "isa '%s': there are scalar, avx2 and avx512", name);
}

bool isa_supported(enum exec_isa isa)
{
#ifdef __x86_64__
    if (isa == ISA_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == ISA_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("fma");
#endif
    return isa == ISA_SCALAR;
}

enum exec_isa isa_best(void)
{
    return isa_supported(ISA_AVX512) ? ISA_AVX512 : isa_supported(ISA_AVX2) ? ISA_AVX2 : ISA_SCALAR;
}

int exec_parallel(struct exec *ex, int64_t count, int (*body)(void *context, int64_t i), void *context)
{
    struct loop l = {.body = body, .context = context, .count = count, .failed_index = count};
    pthread_mutex_lock(&ex->lock);
    ex->loop = &l;
    const unsigned ended = atomic_load(&ex->ended);
    if (count > 1) {
        atomic_fetch_add(&ex->begun, 1);
        pthread_cond_broadcast(&ex->work);
    }
    loop_run(ex, &l);
    if (l.done < count)
        look_out(ex, &ex->ended, ended);
    while (l.done < count)
        pthread_cond_wait(&ex->idle, &ex->lock);
    ex->loop = NULL;
    pthread_mutex_unlock(&ex->lock);
    return l.code ? fail(l.code, "%s", l.message) : STATUS_OK;
}

/* Puts a copy of the plan into device memory. Waits: nobody else may have to keep the host's bytes as they are. */
static int plan_to_device(struct exec *ex, struct plan_entry *e, size_t bytes)
{
    if (!ex->api)
        return fail(STATUS_INTERNAL, "%s plan: it is for a device, this is the cpu", e->kind->name);
    int code = ex->api->allocate(ex->open->device, bytes, &e->device_copy);
    if (code)
        return status_context(code, "%s plan", e->kind->name);
    memcpy(e->plan, &e->device_copy, sizeof e->device_copy);
    code = ex->api->copy_in(ex->stream, e->device_copy, e->plan, bytes);
    return code ? code : ex->api->stream_wait(ex->stream);
}

static void plan_free(struct exec *ex, struct plan_entry *e)
{
    if (!e)
        return;
    if (e->device_copy)
        ex->api->release(ex->open->device, e->device_copy);
    free(e->params);
    free(e->plan);
    free(e);
}

int exec_plan(struct exec *ex, const struct plan_kind *kind, const void *params, const void **out)
{
    if (!kind) /* the backend's table has no such row */
        return fail(STATUS_UNSUPPORTED, "this operation is not on %s", backend_name(ex->options.backend));
    for (struct plan_entry *e = ex->plans; e; e = e->next)
        if (e->kind == kind && memcmp(e->params, params, kind->params_bytes) == 0) {
            *out = e->plan;
            return STATUS_OK;
        }
    const size_t bytes = (kind->bytes(params) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct plan_entry *e = calloc(1, sizeof *e);
    int code = STATUS_NOMEM;
    if (!e || !(e->params = malloc(kind->params_bytes)) || !(e->plan = aligned_alloc(ARENA_ALIGN, bytes))) {
        code = fail(STATUS_NOMEM, "%s plan: %zu bytes", kind->name, bytes);
    } else {
        e->kind = kind;
        memcpy(e->params, params, kind->params_bytes);
        code = kind->init(e->plan, params);
        if (!code && kind->on_device && (code = plan_to_device(ex, e, bytes)) && kind->close)
            kind->close(e->plan);
    }
    if (code) {
        plan_free(ex, e);
        return code;
    }
    e->next = ex->plans;
    ex->plans = e;
    *out = e->plan;
    return STATUS_OK;
}
