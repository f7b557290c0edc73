#include "queue_state.h"

#include <math.h>
#include <string.h>

struct worker *worker_find(const struct queue *q, uint64_t id)
{
    uint32_t low = 0, high = q->worker_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if ((uint32_t)q->workers[middle]->id < (uint32_t)id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < q->worker_count && (uint32_t)q->workers[low]->id == (uint32_t)id ? q->workers[low] : NULL;
}

static void touch(struct queue *q, struct worker *w)
{
    w->timer.at_ms = q->now_ms + q->lease_ms;
    heap_update(&q->timers, w->timer.position);
}

struct worker *worker_of(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_find(q, e->worker);
    if (w)
        touch(q, w);
    else
        actions_refuse(q, ERROR_SESSION, "READY must come first");
    return w;
}

/* ---- waiting ---- */

static void park(struct queue *q, struct worker *w, const struct message_take *take)
{
    w->credits = (uint32_t)take->credits;
    w->urgent = take->urgent;
    w->above = (int32_t)take->above;
    w->before = q->last_waiting;
    w->after = NULL;
    if (w->before)
        w->before->after = w;
    else
        q->first_waiting = w;
    q->last_waiting = w;
    for (uint32_t i = 0; i < w->kind_count; i++)
        w->kinds[i]->waiting++;
}

void worker_unpark(struct queue *q, struct worker *w)
{
    if (!w->credits)
        return;
    w->credits = 0;
    if (w->before)
        w->before->after = w->after;
    else
        q->first_waiting = w->after;
    if (w->after)
        w->after->before = w->before;
    else
        q->last_waiting = w->before;
    for (uint32_t i = 0; i < w->kind_count; i++)
        w->kinds[i]->waiting--;
}

int worker_take(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    if (!w)
        return STATUS_OK;
    worker_unpark(q, w);
    if (e->take->credits)
        park(q, w, e->take);
    return STATUS_OK;
}

/* ---- joining and leaving ---- */

static void kinds_drop(struct queue *q, struct worker *w)
{
    for (uint32_t i = 0; i < w->kind_count; i++) {
        w->kinds[i]->live--;
        kind_release(q, w->kinds[i]);
    }
    w->kind_count = 0;
    memory_free(&q->memory, w->kinds);
    w->kinds = NULL;
}

/* The kinds of a READY, each once. On failure the worker has none. */
static int kinds_set(struct queue *q, struct worker *w, struct wire_list names)
{
    struct wire_slice name;
    w->kinds = memory_resize(&q->memory, NULL, names.count * sizeof(struct kind *));
    if (!w->kinds)
        return fail(STATUS_NOMEM, "%u kinds", names.count);
    while (wire_next_str(&names, &name)) {
        if (name.bytes > LIMIT_NAME)
            continue; /* no job can have it */
        struct kind *k = kind_use(q, name);
        if (!k) {
            kinds_drop(q, w);
            return fail(STATUS_NOMEM, "kind of %u bytes", name.bytes);
        }
        if (kind_is_of(k, w)) {
            kind_release(q, k);
            continue;
        }
        k->live++;
        w->kinds[w->kind_count++] = k;
    }
    return STATUS_OK;
}

static int reserve_workers(struct queue *q)
{
    if (q->worker_count < q->worker_capacity)
        return STATUS_OK;
    const uint32_t capacity = q->worker_count ? 2 * q->worker_count : 16;
    struct worker **grown = memory_resize(&q->memory, q->workers, capacity * sizeof(struct worker *));
    if (!grown)
        return fail(STATUS_NOMEM, "%u workers", capacity);
    q->workers = grown;
    q->worker_capacity = capacity;
    return STATUS_OK;
}

void worker_destroy(struct queue *q, struct worker *w)
{
    device_leave(q, w);
    kinds_drop(q, w);
    memory_free(&q->memory, w);
}

void worker_gone(struct queue *q, struct worker *w, bool give_back)
{
    worker_unpark(q, w);
    while (w->leases)
        if (give_back)
            item_give_back(q, w->leases);
        else
            item_lapse(q, w->leases);
    struct queue_action *a = actions_add(q, QUEUE_GONE);
    a->worker = w->id;
    heap_remove(&q->timers, w->timer.position);
    uint32_t at = 0;
    while (q->workers[at] != w)
        at++;
    memmove(&q->workers[at], &q->workers[at + 1], (--q->worker_count - at) * sizeof(struct worker *));
    worker_destroy(q, w);
}

int worker_leave(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    if (w)
        worker_gone(q, w, true);
    return STATUS_OK;
}

int worker_lost(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    if (w)
        worker_gone(q, w, false);
    return STATUS_OK;
}

int worker_heard(struct queue *q, const struct queue_event *e)
{
    (void)worker_of(q, e);
    return STATUS_OK;
}

/* With no kinds yet; it may still be given back. */
static struct worker *worker_new(struct queue *q)
{
    struct worker *w =
        reserve_workers(q) || heap_reserve(&q->timers, 1) ? NULL : memory_resize(&q->memory, NULL, sizeof *w);
    if (w)
        *w = (struct worker){.timer = {.type = TIMER_WORKER}};
    return w;
}

static void worker_join(struct queue *q, struct worker *w)
{
    w->id = ++q->last_worker;
    q->workers[q->worker_count++] = w;
    (void)!heap_insert(&q->timers, w); /* reserved */
}

int worker_past(struct queue *q, struct worker **out)
{
    struct worker *w = worker_new(q);
    if (!w)
        return fail(STATUS_NOMEM, "worker");
    w->past = true;
    w->timer.at_ms = q->now_ms + q->lease_ms;
    worker_join(q, w);
    *out = w;
    return STATUS_OK;
}

static int worker_create(struct queue *q, struct wire_list kinds, struct worker **out)
{
    struct worker *w = worker_new(q);
    if (!w)
        return fail(STATUS_NOMEM, "worker");
    const int code = kinds_set(q, w, kinds);
    if (code) {
        memory_free(&q->memory, w);
        return code;
    }
    worker_join(q, w);
    *out = w;
    return STATUS_OK;
}

static int kinds_change(struct queue *q, struct worker *w, struct wire_list names)
{
    struct worker changed = {.id = w->id};
    const int code = kinds_set(q, &changed, names);
    if (code)
        return code;
    worker_unpark(q, w); /* while it still has the kinds it waits for */
    kinds_drop(q, w);
    w->kinds = changed.kinds;
    w->kind_count = changed.kind_count;
    return STATUS_OK;
}

static void lease_move(struct lease *l, struct worker *to)
{
    if (l->previous)
        l->previous->next = l->next;
    else
        l->worker->leases = l->next;
    if (l->next)
        l->next->previous = l->previous;
    device_free(l);
    l->worker->leased--;
    l->worker = to;
    l->previous = NULL;
    l->next = to->leases;
    if (to->leases)
        to->leases->previous = l;
    to->leases = l;
    to->leased++;
    device_book(l);
}

/* The same process on a new connection keeps its number, and with it what is known of its crashes: it has the name and
 * the process id of a worker, and holds a token of it. */
static struct worker *worker_known(const struct queue *q, const struct queue_event *e)
{
    const struct message_ready *m = e->ready;
    struct worker *w = worker_find(q, e->worker);
    struct wire_list held = m->held;
    uint64_t token;
    while (!w && m->pid && wire_next_uint(&held, &token)) {
        const struct lease *l = lease_of(q, token);
        if (l && l->worker->pid == m->pid && strlen(l->worker->name) == m->name.bytes &&
            (m->name.bytes == 0 || memcmp(l->worker->name, m->name.data, m->name.bytes) == 0))
            w = l->worker;
    }
    return w;
}

/* What the worker says it holds and may keep hangs in its list afterwards; what it had and does not name is over. */
static void resume(struct queue *q, struct worker *w, struct wire_list held)
{
    struct worker named = {.id = w->id, .room = w->room};
    struct queue_action *a = actions_add(q, QUEUE_ENGAGED);
    uint64_t token;
    a->worker = w->id;
    while (wire_next_uint(&held, &token)) {
        struct lease *l = lease_of(q, token);
        if (!l || l->worker == &named)
            continue;
        times_arm_lease(q, l);
        heap_update(&q->timers, l->timer.position);
        lease_move(l, &named);
        actions_entry(q, a, (struct queue_entry){.token = token, .index = l->index});
    }
    while (w->leases)
        item_lapse(q, w->leases);
    while (named.leases)
        lease_move(named.leases, w);
}

/* A process with the name of a live worker stands in its place: the old one has died without a word, and what it held
 * need not wait for its lease to run out. Its time is over at the next tick. */
static void succeed(struct queue *q, const struct worker *w)
{
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct worker *old = q->workers[i];
        if (old == w || !old->pid || !w->pid || old->pid == w->pid || !w->name[0] || strcmp(old->name, w->name) != 0)
            continue;
        old->timer.at_ms = q->now_ms;
        heap_update(&q->timers, old->timer.position);
    }
}

int worker_ready(struct queue *q, const struct queue_event *e)
{
    const struct message_ready *m = e->ready;
    struct worker *w = worker_known(q, e);
    if (!w && q->worker_count >= QUEUE_WORKERS_MAX) {
        actions_refuse(q, ERROR_BUSY, "too many workers");
        return STATUS_OK;
    }
    struct device *room = NULL;
    int code = actions_reserve(q, 1, m->held.count);
    code = code ? code : device_use(q, m, &room);
    code = code ? code : w ? kinds_change(q, w, m->kinds) : worker_create(q, m->kinds, &w);
    if (code) { /* as if it had not come */
        device_release(q, room);
        return code;
    }
    device_join(q, w, room, m->device_bytes);
    w->pid = m->pid;
    w->threads = m->threads;
    wire_copy(m->name, w->name, sizeof w->name);
    wire_copy(m->device, w->device, sizeof w->device);
    touch(q, w);
    succeed(q, w);
    resume(q, w, m->held);
    return STATUS_OK;
}
