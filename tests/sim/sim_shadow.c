/* What the journal alone says of every job, and whether the core keeps to it. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static void put(struct journal *j, const struct journal_record *r);

static int commit(struct journal *j)
{
    struct shadow *s = (struct shadow *)j;
    if (!s->fail_next)
        return STATUS_OK;
    s->fail_next = false;
    return fail(STATUS_IO, "journal");
}

void shadow_init(struct shadow *s, uint64_t epoch)
{
    *s = (struct shadow){.journal = {put, commit}, .last_token = epoch << 40};
}

void shadow_free(struct shadow *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->jobs[i].items);
        free(s->jobs[i].order);
    }
    free(s->jobs);
    *s = (struct shadow){0};
}

struct shadow_job *shadow_find(struct shadow *s, uint64_t job)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->jobs[middle].id < job)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->jobs[low].id == job ? &s->jobs[low] : NULL;
}

struct shadow_item *shadow_token(struct shadow *s, uint64_t token)
{
    for (size_t i = s->count; i-- > 0;)
        for (uint32_t k = 0; k < s->jobs[i].count; k++)
            if (s->jobs[i].items[k].token == token)
                return &s->jobs[i].items[k];
    return NULL;
}

struct shadow_worker *shadow_worker(struct shadow *s, uint64_t id)
{
    for (size_t i = 0; i < sizeof s->workers / sizeof *s->workers; i++)
        if (s->workers[i].id == id)
            return &s->workers[i];
    return NULL;
}

/* ---- records ---- */

static void put_job(struct shadow *s, const struct journal_record *r)
{
    EXPECT(s->count == 0 || s->jobs[s->count - 1].id < r->job, "job %d out of order", (int)r->job);
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->jobs = realloc(s->jobs, s->capacity * sizeof *s->jobs);
        EXPECT(s->jobs, "no memory");
    }
    s->jobs[s->count++] = (struct shadow_job){.id = r->job,
                                              .state = JOB_OPEN,
                                              .kind = r->submitted.kind.data[0] - 'a',
                                              .priority = (int)r->submitted.priority,
                                              .max_attempts = (uint32_t)r->submitted.max_attempts};
}

static void put_item(struct shadow_job *j, const struct journal_record *r)
{
    EXPECT(r->index == j->count && j->state == JOB_OPEN, "item %u of job %d out of order", r->index, (int)j->id);
    struct shadow_item *items = realloc(j->items, (j->count + 1) * sizeof *items);
    EXPECT(items, "no memory");
    j->items = items;
    uint32_t *order = realloc(j->order, (j->count + 1) * sizeof *order);
    EXPECT(order, "no memory");
    j->order = order;
    j->items[j->count++] = (struct shadow_item){.state = ITEM_QUEUED};
}

static void put_granted(struct shadow *s, const struct shadow_job *j, struct shadow_item *item,
                        const struct journal_record *r)
{
    EXPECT(item->state == ITEM_QUEUED && j->state <= JOB_ACTIVE, "granted an item that is not queued");
    EXPECT(r->token > s->last_token, "token %llu is not new", (unsigned long long)r->token);
    EXPECT(r->attempts == item->attempts + 1 && r->attempts <= j->max_attempts, "attempt %u after %u of %u",
           r->attempts, item->attempts, j->max_attempts);
    s->last_token = r->token;
    item->state = ITEM_LEASED;
    item->token = r->token;
    item->attempts = r->attempts;
    item->settled = false;
}

/* Why a lease may end otherwise than by a result: its time, the silence of its worker, or the worker's word. */
static void check_end(struct shadow *s, const struct shadow_item *item, bool counted)
{
    const struct shadow_worker *w = shadow_worker(s, item->owner);
    switch (s->event) {
    case QUEUE_TICK:
        EXPECT(counted, "a lease that lapsed and does not count");
        EXPECT(item->until_ms <= s->now_ms || (w && w->heard_ms + SIM_LEASE_MS <= s->now_ms), "a lease ends too early");
        break;
    case QUEUE_RETURN:
    case QUEUE_LEAVE:
        EXPECT(!counted && item->owner == s->from, "an item given back that counts, or by another worker");
        break;
    case QUEUE_READY:
        EXPECT(counted && item->owner == s->from, "READY ends a lease of another worker");
        break;
    default:
        EXPECT(counted && s->event == QUEUE_REPORT, "a lease ends in event %d", (int)s->event);
    }
}

static void put_queued(struct shadow *s, struct shadow_item *item, const struct journal_record *r)
{
    EXPECT(item->state == ITEM_LEASED && r->token == item->token, "queued again, but was not leased");
    EXPECT(r->attempts == item->attempts || r->attempts + 1 == item->attempts, "attempts jump");
    check_end(s, item, r->attempts == item->attempts);
    item->state = ITEM_QUEUED;
    item->attempts = r->attempts;
}

static void put_outcome(struct shadow *s, struct shadow_job *j, struct shadow_item *item,
                        const struct journal_record *r)
{
    EXPECT(item->state == ITEM_LEASED && j->state <= JOB_ACTIVE, "an outcome for an item that is not leased");
    EXPECT(r->token == item->token && r->attempts == item->attempts, "an outcome of another lease");
    EXPECT(r->outcome.state == ITEM_DONE || r->outcome.state == ITEM_DEAD, "an outcome that is none");
    if (r->outcome.failure == FAILURE_STALE || s->event != QUEUE_REPORT)
        check_end(s, item, true);
    EXPECT((r->outcome.state == ITEM_DONE) == (r->outcome.failure == FAILURE_NONE), "done, but failed");
    item->state = (int)r->outcome.state;
    item->failure = (int)r->outcome.failure;
    item->result = 0;
    if (r->outcome.result.bytes == sizeof item->result)
        memcpy(&item->result, r->outcome.result.data, sizeof item->result);
    EXPECT(item->failure == FAILURE_STALE || item->result == item->token, "the result of another lease");
    j->order[j->outcomes++] = r->index;
}

static void put_finished(struct shadow_job *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        EXPECT(j->items[i].state >= ITEM_DONE, "job %d finished with an item in state %d", (int)j->id,
               j->items[i].state);
    EXPECT(j->state == JOB_ACTIVE || j->state == JOB_CANCELLED, "job %d finished in state %d", (int)j->id, j->state);
    if (j->state == JOB_ACTIVE)
        j->state = JOB_DONE;
}

static void put_cancelled(struct shadow_job *j)
{
    EXPECT(j->state <= JOB_ACTIVE, "cancelled a job that is over");
    j->state = JOB_CANCELLED;
    for (uint32_t i = 0; i < j->count; i++)
        if (j->items[i].state <= ITEM_LEASED)
            j->items[i].state = ITEM_CANCELLED;
}

static void put_removed(struct shadow *s, struct shadow_job *j)
{
    EXPECT(j->state >= JOB_DONE, "removed a job that is not over");
    free(j->items);
    free(j->order);
    memmove(j, j + 1, (size_t)(s->jobs + s->count - j - 1) * sizeof *j);
    s->count--;
}

static void put_of_item(struct shadow *s, struct shadow_job *j, const struct journal_record *r)
{
    EXPECT(r->index < j->count, "a record of item %u, which is not there", r->index);
    struct shadow_item *item = &j->items[r->index];
    if (r->type == JOURNAL_GRANTED)
        put_granted(s, j, item, r);
    else if (r->type == JOURNAL_QUEUED)
        put_queued(s, item, r);
    else
        put_outcome(s, j, item, r);
}

static void put(struct journal *journal, const struct journal_record *r)
{
    struct shadow *s = (struct shadow *)journal;
    s->records++;
    if (r->type == JOURNAL_JOB) {
        put_job(s, r);
        return;
    }
    struct shadow_job *j = shadow_find(s, r->job);
    EXPECT(j, "a record of job %d, which is not there", (int)r->job);
    switch (r->type) {
    case JOURNAL_ITEM:
        put_item(j, r);
        break;
    case JOURNAL_SEALED:
        EXPECT(j->state == JOB_OPEN, "sealed twice");
        j->state = JOB_ACTIVE;
        break;
    case JOURNAL_CANCELLED:
        put_cancelled(j);
        break;
    case JOURNAL_FINISHED:
        put_finished(j);
        break;
    case JOURNAL_REMOVED:
        put_removed(s, j);
        break;
    default:
        put_of_item(s, j, r);
    }
}

/* ---- rules for actions ---- */

static bool has_new(const struct shadow_job *j)
{
    bool any = false;
    for (uint32_t i = 0; i < j->count; i++)
        any |= j->items[i].state == ITEM_QUEUED && j->items[i].attempts == 0;
    return any && j->state <= JOB_ACTIVE;
}

static bool is_ahead(const struct shadow_job *a, const struct shadow_job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->id < b->id;
}

static bool has_crashed(const struct shadow_item *item, uint64_t worker)
{
    for (int i = 0; i < SIM_CRASHED; i++)
        if (item->crashed[i] == worker)
            return true;
    return false;
}

static void check_affinity(struct shadow *s, const struct shadow_job *j, const struct shadow_item *item,
                           uint64_t worker)
{
    if (!has_crashed(item, worker))
        return;
    for (size_t i = 0; i < sizeof s->workers / sizeof *s->workers; i++)
        EXPECT(!s->workers[i].id || !(s->workers[i].kinds >> j->kind & 1) || has_crashed(item, s->workers[i].id),
               "worker %d has crashed on an item and gets it again, though %d is there", (int)worker,
               (int)s->workers[i].id);
}

static void check_grant(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    struct shadow_worker *w = shadow_worker(s, a->worker);
    const struct shadow_job *j = shadow_find(s, a->job);
    EXPECT(w && j, "a grant of nothing to nobody");
    EXPECT(a->count > 0 && a->count <= w->credits, "%d items for %u credits", (int)a->count, w->credits);
    EXPECT(w->kinds >> j->kind & 1, "a kind that worker %d does not have", (int)w->id);
    for (size_t i = 0; i < s->count; i++)
        EXPECT(!is_ahead(&s->jobs[i], j) || !(w->kinds >> s->jobs[i].kind & 1) || !has_new(&s->jobs[i]),
               "job %d was granted before job %d", (int)j->id, (int)s->jobs[i].id);
    for (size_t i = 0; i < a->count; i++) {
        const struct queue_entry *e = &entries[i];
        EXPECT(e->index < j->count, "an item that is not there");
        struct shadow_item *item = &j->items[e->index];
        EXPECT(item->state == ITEM_LEASED && item->token == e->token && item->attempts == e->attempt,
               "a grant that the journal does not know");
        EXPECT(e->attempt == 1 || a->count == 1, "an item that was tried before, among others");
        check_affinity(s, j, item, w->id);
        item->owner = w->id;
        item->until_ms = s->now_ms + SIM_LEASE_MS;
    }
    w->credits = 0;
}

static void check_verdicts(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    for (size_t k = 0; k < a->count; k++) {
        struct shadow_item *item = shadow_token(s, entries[k].token);
        const bool good = item && item->state == ITEM_LEASED && item->owner == a->worker;
        EXPECT(entries[k].verdict == (good ? VERDICT_EXTEND : VERDICT_ABORT), "verdict %d for a lease that is%s good",
               entries[k].verdict, good ? "" : " not");
        if (good)
            item->until_ms = s->now_ms + SIM_LEASE_MS;
    }
}

static void check_engaged(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    for (size_t k = 0; k < a->count; k++) {
        struct shadow_item *item = shadow_token(s, entries[k].token);
        EXPECT(item && item->state == ITEM_LEASED, "resumed a lease that is over");
        item->owner = a->worker;
        item->until_ms = s->now_ms + SIM_LEASE_MS;
    }
}

static void worker_goes(struct shadow *s, uint64_t worker)
{
    struct shadow_worker *w = shadow_worker(s, worker);
    EXPECT(w, "a worker leaves that was not there");
    EXPECT(s->event == QUEUE_LEAVE ? s->from == worker : w->heard_ms + SIM_LEASE_MS <= s->now_ms,
           "worker %d is sent away", (int)worker);
    *w = (struct shadow_worker){0};
}

int shadow_verdict(struct shadow *s, uint64_t token)
{
    const struct shadow_item *item = shadow_token(s, token);
    if (item && item->state == ITEM_LEASED)
        return COMMIT_COMMITTED;
    return item && item->settled ? COMMIT_DUPLICATE : COMMIT_STALE;
}

void shadow_actions(struct shadow *s, const struct queue_actions *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct queue_entry *entries = a->entries + a->list[i].first;
        if (a->list[i].type == QUEUE_GRANT)
            check_grant(s, &a->list[i], entries);
        else if (a->list[i].type == QUEUE_GONE)
            worker_goes(s, a->list[i].worker);
        else if (a->list[i].type == QUEUE_ENGAGED)
            check_engaged(s, &a->list[i], entries);
        else if (a->list[i].type == QUEUE_VERDICTS)
            check_verdicts(s, &a->list[i], entries);
    }
}

/* ---- the core against the shadow ---- */

static void compare_job(const struct shadow_job *j, const struct queue *q)
{
    uint64_t states[5] = {0};
    struct message_job m;
    EXPECT(queue_show(q, j->id, &m) == STATUS_OK, "job %d is lost", (int)j->id);
    for (uint32_t i = 0; i < j->count; i++)
        states[j->items[i].state]++;
    EXPECT((int)m.state == j->state && m.items == j->count,
           "job %d: state %d or its items differ from the journal's %d", (int)j->id, (int)m.state, j->state);
    EXPECT(m.queued == states[0] && m.leased == states[1] && m.done == states[2] && m.dead == states[3] &&
               m.cancelled == states[4] && m.commits == j->outcomes,
           "job %d: counters differ from the journal's", (int)j->id);
}

void shadow_compare(struct shadow *s, const struct queue *q)
{
    struct queue_stats stats;
    for (size_t i = 0; i < s->count; i++)
        compare_job(&s->jobs[i], q);
    queue_stats(q, &stats);
    EXPECT(stats.kept == s->count, "%d jobs, but %d in the journal", (int)stats.kept, (int)s->count);
    EXPECT(queue_check(q) == STATUS_OK, "%s", status_message());
    for (size_t w = 0; w < sizeof s->workers / sizeof *s->workers; w++)
        for (size_t i = 0; i < s->count && s->workers[w].credits; i++)
            EXPECT(!(s->workers[w].kinds >> s->jobs[i].kind & 1) || !has_new(&s->jobs[i]),
                   "worker %d waits, and job %d has items", (int)s->workers[w].id, (int)s->jobs[i].id);
}

void shadow_time(struct shadow *s, const struct queue *q)
{
    struct queue_stats stats;
    uint64_t items = 0;
    for (size_t i = 0; i < s->count; i++) {
        items += s->jobs[i].count;
        for (uint32_t k = 0; k < s->jobs[i].count; k++)
            EXPECT(s->jobs[i].items[k].state != ITEM_LEASED || s->jobs[i].items[k].until_ms > s->now_ms,
                   "a lease goes on after its end");
    }
    for (size_t i = 0; i < sizeof s->workers / sizeof *s->workers; i++)
        EXPECT(!s->workers[i].id || s->workers[i].heard_ms + SIM_LEASE_MS > s->now_ms, "a worker stays after its time");
    queue_stats(q, &stats);
    EXPECT(queue_next_deadline_ms(q) > s->now_ms || stats.items > items, "a tick left something behind");
}
