/* Other work that holds memory for long beside networks. */
#include "networks_state.h"

#include "device.h"
#include "exec_memory.h"
#include "log.h"
#include "status_origin.h"

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

/* An exec on the device with scratch of its own, and whether there is as much besides. STATUS_BUSY: the device has not.
 */
static int try_device(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    struct exec_options o = n->options;
    struct exec_memory probe = {0};
    o.threads = 1;
    o.shared = n->exec;
    o.device_arena_bytes = w->scratch;
    int code = exec_create(&o, out);
    code = code ? code : exec_memory_allocate(*out, bytes - w->scratch, &probe);
    const bool is_full = code == STATUS_NOMEM && status_is_of_device();
    exec_memory_release(&probe);
    if (code)
        exec_destroy(out);
    return is_full ? STATUS_BUSY : code;
}

static int not_now(const struct networks *n, const struct networks_work *w, size_t bytes)
{
    return fail(STATUS_BUSY, "%s: %zu MiB are wanted; other work has %zu of %zu, networks %zu", w->name, bytes >> 20,
                n->promised >> 20, n->work_limit >> 20, (networks_bytes(n, 0) - n->promised) >> 20);
}

static int try_once(struct networks *n, const struct networks_work *w, size_t bytes, struct exec **out)
{
    if (n->promised + bytes > n->work_limit || networks_bytes(n, 0) + bytes > n->limit)
        return not_now(n, w, bytes);
    return n->loader ? try_device(n, w, bytes, out) : STATUS_OK;
}

/* Nothing will be given back. */
static bool is_alone(const struct networks *n)
{
    return !networks_are_held(n) && n->parts == 0 && (n->loader || !n->turn);
}

/* Would there be enough once all that nobody holds had gone? Else it stays, as whoever comes next may want it. Of a
 * device's other users nothing is known, so only a no is certain. */
static bool may_fit(const struct networks *n, size_t bytes)
{
    const size_t goes = networks_bytes_to_let_go(n), kept = networks_bytes_kept(n);
    if (n->promised + bytes > n->work_limit || kept + bytes > n->limit)
        return false;
    if (!n->loader)
        return true;
    struct device_counters c;
    exec_device_api(n->exec)->counters(exec_device(n->exec), &c);
    const size_t used = (size_t)c.bytes_used > goes ? (size_t)c.bytes_used - goes : 0;
    return used + bytes <= n->memory;
}

/* STATUS_BUSY: not now; STATUS_NOMEM: nothing would be given back either. *vain: so much was let go for nothing. */
static int try_all(struct networks *n, const struct networks_work *w, size_t bytes, size_t *vain, struct exec **out)
{
    if (!is_alone(n) && !may_fit(n, bytes))
        return not_now(n, w, bytes);
    if (n->loader)
        networks_enter_turn_alone(n);
    int code = try_once(n, w, bytes, out);
    const bool alone = is_alone(n);
    if (code == STATUS_BUSY && (alone || (may_fit(n, bytes) && networks_bytes_kept(n) < *vain))) {
        while (code == STATUS_BUSY && (networks_let_go(n) || networks_let_room_go(n)))
            code = try_once(n, w, bytes, out);
        *vain = networks_bytes_kept(n);
    }
    if (n->loader)
        networks_leave_turn(n);
    return code == STATUS_BUSY && alone ? STATUS_NOMEM : code;
}

/* On this one of the two, without waiting; *out stays NULL on the CPU. */
static int claim_once(struct networks *n, const struct networks_work *w, size_t bytes, size_t *vain, struct exec **out)
{
    pthread_mutex_lock(&n->lock);
    const int code = try_all(n, w, bytes, vain, out);
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

/* What is claimed at once: of the host, and of a device where there is one in it. */
struct claim {
    struct networks *host, *device;
    size_t host_bytes, device_bytes;
    size_t host_vain, device_vain;
    struct networks *lacks; /* where a failure was */
};

/* Before anything goes for it. */
static int look_at(struct networks *n, const struct networks_work *w, size_t bytes)
{
    pthread_mutex_lock(&n->lock);
    const int code = is_alone(n) || may_fit(n, bytes) ? STATUS_OK : not_now(n, w, bytes);
    pthread_mutex_unlock(&n->lock);
    return code;
}

/* Both or neither: who waited for the one with the other in hand would keep it from those who could go on. */
static int claim_both(struct claim *c, const struct networks_work *w, struct exec **out)
{
    struct exec *none = NULL;
    c->lacks = c->device;
    int code = c->device ? look_at(c->device, w, c->device_bytes) : STATUS_OK;
    if (code)
        return code;
    c->lacks = c->host;
    code = claim_once(c->host, w, c->host_bytes, &c->host_vain, &none);
    if (code || !c->device)
        return code;
    code = claim_once(c->device, w, c->device_bytes, &c->device_vain, out);
    if (code != STATUS_NOMEM || status_is_of_device())
        c->lacks = c->device;
    if (code)
        give_back(c->host, c->host_bytes);
    return code;
}

/* Until somebody has given something back there, a second at most. */
static void wait_for_less(struct networks *n, const struct demucs_alive *alive)
{
    pthread_mutex_lock(&n->lock);
    networks_wait(n, &n->less);
    pthread_mutex_unlock(&n->lock);
    alive->tell(alive->context);
}

/* *lacks: whose memory it was that there is not enough of. */
static int claim(struct networks *host, struct networks *device, const struct networks_work *w, struct exec **out,
                 struct networks **lacks)
{
    struct claim c = {host, device, device ? w->beside : w->host, w->device, SIZE_MAX, SIZE_MAX, device};
    bool said = false;
    int code;
    *lacks = device;
    if (device && c.device_bytes > device->work_limit)
        return refuse(device, w->name, c.device_bytes);
    *lacks = host;
    if (c.host_bytes > host->work_limit)
        return refuse(host, w->name, c.host_bytes);
    while ((code = claim_both(&c, w, out)) == STATUS_BUSY && w->alive.tell) {
        if (!said)
            log_warn("waits for memory: %s", status_message());
        said = true;
        wait_for_less(c.lacks, &w->alive);
    }
    *lacks = c.lacks;
    return code;
}

static int begin_on_device(struct networks *n, const struct networks_work *w, struct networks_part *out,
                           struct networks **lacks)
{
    struct networks *const d = n->device;
    const int code = claim(n, d, w, &out->exec, lacks);
    if (code)
        return code;
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
    struct networks *lacks = n->device;
    struct exec *none = NULL;
    int code = on_device ? begin_on_device(n, w, out, &lacks) : STATUS_NOMEM;
    if (code != STATUS_NOMEM || (on_device && lacks == n)) /* the CPU would want more of the host's still */
        return code;
    if (n->device)
        log_warn("the cpu computes: %s", status_message());
    code = claim(n, NULL, w, &none, &lacks);
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
