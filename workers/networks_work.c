/* Other work that holds memory for long beside networks. */
#include "networks_state.h"

#include "device.h"
#include "exec_memory.h"
#include "log.h"

const struct exec *networks_device(const struct networks *n)
{
    return n->device ? n->device->exec : NULL;
}

static int refuse(const struct networks *n, const char *name, size_t bytes)
{
    if (n->loader)
        return fail(STATUS_NOMEM, "%s: %zu MiB of the device's memory are wanted, %zu are left (--gpu-mem-limit)", name,
                    bytes >> 20, n->work_limit >> 20);
    return fail(STATUS_NOMEM,
                "%s: %zu MiB are wanted, there are %zu: a smaller --batch, or more by --memory-limit (of which a fifth "
                "is for the rest)",
                name, bytes >> 20, n->work_limit >> 20);
}

/* An exec on the device with scratch of its own, and whether there is as much besides. */
static int try_device(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    struct exec_options o = n->options;
    struct exec_memory probe = {0};
    o.threads = 1;
    o.shared = n->exec;
    o.device_arena_bytes = w->scratch;
    int code = exec_create(&o, out);
    code = code ? code : exec_memory_allocate(*out, bytes - w->scratch, &probe);
    exec_memory_release(&probe);
    if (code)
        exec_destroy(out);
    return code == STATUS_NOMEM ? STATUS_BUSY : code;
}

static int try_once(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    if (n->promised + bytes > n->work_limit || networks_bytes(n, 0) + bytes > n->limit)
        return fail(STATUS_BUSY, "%s: %zu MiB are wanted; other work has %zu of %zu, networks %zu", w->name,
                    bytes >> 20, n->promised >> 20, n->work_limit >> 20, (networks_bytes(n, 0) - n->promised) >> 20);
    return n->loader ? try_device(n, w, bytes, out) : STATUS_OK;
}

/* STATUS_BUSY: not now; STATUS_NOMEM: nothing would be given back either. */
static int try_all(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    if (n->loader)
        networks_enter_turn_alone(n);
    int code = try_once(n, w, bytes, out);
    while (code == STATUS_BUSY && (networks_let_go(n) || networks_let_room_go(n)))
        code = try_once(n, w, bytes, out);
    const bool alone = !networks_are_held(n) && n->parts == 0 && (n->loader || !n->turn);
    if (n->loader)
        networks_leave_turn(n);
    return code == STATUS_BUSY && alone ? STATUS_NOMEM : code;
}

/* On this one of the two; *out stays NULL on the CPU. */
static int claim(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    bool said = false;
    int code;
    if (bytes > n->work_limit)
        return refuse(n, w->name, bytes);
    pthread_mutex_lock(&n->lock);
    while ((code = try_all(n, w, bytes, out)) == STATUS_BUSY && w->alive.tell) {
        if (!said)
            log_warn("waits for memory: %s", status_message());
        said = true;
        networks_wait(n, &n->less);
        pthread_mutex_unlock(&n->lock);
        w->alive.tell(w->alive.context);
        pthread_mutex_lock(&n->lock);
    }
    if (!code) {
        n->promised += bytes;
        n->parts++;
    }
    pthread_mutex_unlock(&n->lock);
    return code;
}

static void give_back(struct networks *n, size_t bytes)
{
    pthread_mutex_lock(&n->lock);
    n->promised -= bytes;
    n->parts--;
    pthread_cond_broadcast(&n->less);
    pthread_mutex_unlock(&n->lock);
}

static int begin_on_device(struct networks *n, const struct networks_work *w, struct networks_part *out)
{
    struct networks *const d = n->device;
    struct exec *none = NULL;
    int code = claim(d, w, w->device, &out->exec);
    if (code)
        return code;
    code = claim(n, w, w->beside, &none);
    if (code) {
        exec_destroy(&out->exec);
        give_back(d, w->device);
        return code;
    }
    out->place = (struct networks_place){true, d->rounds ? w->precision : PRECISION_F32};
    out->device = d->name;
    out->host = w->beside;
    out->bytes = w->device;
    return STATUS_OK;
}

int networks_begin_work(struct networks *n, const struct networks_work *w, struct networks_part *out)
{
    *out = (struct networks_part){.device = ""};
    const bool on_device = n->device && !w->on_cpu;
    struct exec *none = NULL;
    int code = on_device ? begin_on_device(n, w, out) : STATUS_NOMEM;
    if (code != STATUS_NOMEM)
        return code;
    if (n->device)
        log_warn("the cpu computes: %s", status_message());
    code = claim(n, w, w->host, &none);
    if (code)
        return code;
    *out = (struct networks_part){.exec = n->exec, .place = {false, PRECISION_F32}, .device = "", .host = w->host};
    return STATUS_OK;
}

void networks_end_work(struct networks *n, struct networks_part *p)
{
    if (!p->exec)
        return;
    if (p->place.on_device) {
        exec_destroy(&p->exec);
        give_back(n->device, p->bytes);
    }
    give_back(n, p->host);
    *p = (struct networks_part){.device = ""};
}
