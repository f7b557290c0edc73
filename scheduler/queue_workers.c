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

/* The worker of an event, which lives on by it; NULL: refused. */
static struct worker *worker_of(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_find(q, e->worker);
    if (w)
        touch(q, w);
    else
        actions_refuse(q, ERROR_SESSION, "READY must come first");
    return w;
}

/* ---- waiting ---- */

static void park(struct queue *q, struct worker *w, uint32_t credits)
{
    w->credits = credits;
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
        park(q, w, (uint32_t)e->take->credits);
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
        *w = (struct worker){.timer = {.is_worker = true}};
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

static struct lease *lease_of(const struct queue *q, uint64_t token)
{
    const struct token_place *p = tokens_find(&q->tokens, token);
    struct job *j = p ? p->job : NULL;
    return j && j->items[p->index].state == ITEM_LEASED ? j->items[p->index].lease : NULL;
}

static void lease_extend(struct queue *q, struct lease *l)
{
    l->timer.at_ms = q->now_ms + q->lease_ms;
    heap_update(&q->timers, l->timer.position);
}

static void lease_move(struct lease *l, struct worker *to)
{
    if (l->previous)
        l->previous->next = l->next;
    else
        l->worker->leases = l->next;
    if (l->next)
        l->next->previous = l->previous;
    l->worker->leased--;
    l->worker = to;
    l->previous = NULL;
    l->next = to->leases;
    if (to->leases)
        to->leases->previous = l;
    to->leases = l;
    to->leased++;
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
    struct worker named = {.id = w->id};
    struct queue_action *a = actions_add(q, QUEUE_ENGAGED);
    uint64_t token;
    a->worker = w->id;
    while (wire_next_uint(&held, &token)) {
        struct lease *l = lease_of(q, token);
        if (!l || l->worker == &named)
            continue;
        lease_extend(q, l);
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
    int code = actions_reserve(q, 1, m->held.count);
    if (!code)
        code = w ? kinds_change(q, w, m->kinds) : worker_create(q, m->kinds, &w);
    if (code)
        return code;
    w->pid = m->pid;
    w->threads = m->threads;
    wire_copy(m->name, w->name, sizeof w->name);
    wire_copy(m->device, w->device, sizeof w->device);
    touch(q, w);
    succeed(q, w);
    resume(q, w, m->held);
    return STATUS_OK;
}

/* ---- leases ---- */

int worker_beat(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    struct wire_list entries = e->beat->entries;
    struct message_beat_entry m;
    const int code = w ? actions_reserve(q, 1, entries.count) : STATUS_OK;
    if (code || !w)
        return code;
    struct queue_action *a = actions_add(q, QUEUE_VERDICTS);
    a->worker = w->id;
    while (wire_next(&entries, &beat_entry_schema, &m)) {
        struct lease *l = lease_of(q, m.token);
        const bool good = l && l->worker == w;
        if (good) {
            lease_extend(q, l);
            if (!isnan(m.progress)) {
                const double progress = m.progress < 0 ? 0 : m.progress > 1 ? 1 : m.progress;
                l->job->progress -= l->progress;
                l->progress = (uint32_t)(progress * PROGRESS_ONE);
                l->job->progress += l->progress;
            }
        }
        actions_entry(q, a, (struct queue_entry){.token = m.token, .verdict = good ? VERDICT_EXTEND : VERDICT_ABORT});
    }
    return STATUS_OK;
}

int worker_return(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    struct wire_list tokens = e->returned->tokens;
    uint64_t token;
    while (w && wire_next_uint(&tokens, &token)) {
        struct lease *l = lease_of(q, token);
        if (l && l->worker == w)
            item_give_back(q, l);
    }
    return STATUS_OK;
}

static bool is_final(const struct job *j, const struct item *item, uint64_t failure)
{
    switch (failure) {
    case FAILURE_RESOURCE:
    case FAILURE_TRANSIENT:
    case FAILURE_DEVICE:
    case FAILURE_CRASH:
        return item->attempts >= j->max_attempts;
    default:
        return true;
    }
}

static void note_crash(struct item *item, uint32_t worker)
{
    int i = 0;
    while (i < CRASHED_KEPT - 1 && item->crashed[i] != worker)
        i++;
    memmove(item->crashed + 1, item->crashed, (size_t)i * sizeof item->crashed[0]);
    item->crashed[0] = worker;
}

/* 0: memory ran out, and the worker will send it again. */
static int commit(struct queue *q, const struct message_report_entry *m)
{
    const struct token_place *p = tokens_find(&q->tokens, m->token);
    struct job *j = p ? p->job : NULL;
    struct item *item = j ? &j->items[p->index] : NULL;
    if (!item || item->state != ITEM_LEASED)
        return item && item->settled ? COMMIT_DUPLICATE : COMMIT_STALE;
    const uint32_t index = p->index;
    struct worker *w = item->lease->worker;
    const uint64_t failure = m->failure < FAILURE_STALE ? m->failure : FAILURE_INTERNAL;
    if (failure == FAILURE_CRASH)
        note_crash(item, (uint32_t)w->id);
    if (is_final(j, item, failure)) {
        if (item_end(q, j, index, failure ? ITEM_DEAD : ITEM_DONE, failure, m->message, m->result))
            return 0;
    } else {
        item_requeue(q, j, index);
    }
    item->settled = true;
    w->committed++;
    return COMMIT_COMMITTED;
}

int worker_report(struct queue *q, const struct queue_event *e)
{
    const struct worker *w = worker_of(q, e);
    struct wire_list entries = e->report->entries;
    struct message_report_entry m;
    const int code = w ? actions_reserve(q, 1, entries.count) : STATUS_OK;
    if (code || !w)
        return code;
    struct queue_action *a = actions_add(q, QUEUE_COMMITS);
    a->worker = w->id;
    while (wire_next(&entries, &report_entry_schema, &m)) {
        const int verdict = commit(q, &m);
        if (verdict)
            actions_entry(q, a, (struct queue_entry){.token = m.token, .verdict = verdict});
    }
    return STATUS_OK;
}
