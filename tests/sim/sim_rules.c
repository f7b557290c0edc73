/* What the queue may do, and whether the core agrees with the shadow: after every event. */
#include "sim.h"

/* ---- rules for actions ---- */

/* Surely something for any worker; of items that crashed the queue's own rules say who may have them. */
static bool is_ready(const struct shadow *s, const struct shadow_job *j)
{
    bool any = false;
    for (uint32_t i = 0; i < j->count && i < shadow_wave_end(j); i++) {
        const struct shadow_item *item = &j->items[i];
        const bool rested = !item->crashed[0] && item->not_after_ms <= s->tick_ms;
        any |= item->state == ITEM_QUEUED && (item->attempts == 0 || rested);
    }
    return any && j->state <= JOB_ACTIVE && !j->paused && !j->early && !j->missed;
}

static bool fits(struct shadow *s, const struct shadow_worker *w, const struct shadow_job *j)
{
    return !j->device_bytes || (w->device && shadow_booked(s, w->device) + j->device_bytes <= SIM_DEVICE);
}

/* Passed over while another is there: whom the queue says it is. */
static bool is_quarantined(const struct queue *q, uint64_t worker)
{
    struct wire_buffer b = {0};
    struct message_worker m;
    uint32_t count = 0;
    bool found = false;
    EXPECT(queue_workers(q, &b, &count) == STATUS_OK, "no memory");
    struct wire_list list = wire_list_of(&b, count);
    while (wire_next(&list, &worker_schema, &m))
        found |= m.worker == worker && m.quarantined;
    wire_free(&b);
    return found;
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

/* Not one whose READY this is: its kinds may be others now, which the shadow hears afterwards. */
static bool is_there_for(const struct shadow *s, const struct shadow_worker *w, const struct shadow_job *j)
{
    return w->id && (w->kinds >> j->kind & 1) && !(s->event == QUEUE_READY && w->id == s->from);
}

static void check_affinity(struct shadow *s, const struct shadow_job *j, const struct shadow_item *item,
                           uint64_t worker)
{
    if (!has_crashed(item, worker))
        return;
    for (int i = 0; i < SIM_BOUND; i++)
        EXPECT(!is_there_for(s, &s->workers[i], j) || has_crashed(item, s->workers[i].id),
               "worker %d has crashed on an item and gets it again, though %d is there", (int)worker,
               (int)s->workers[i].id);
}

/* Items are handed to their new owners, and those to their devices, before anything is asked of the devices. */
static void take_over(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    struct shadow_worker *w = shadow_worker(s, a->worker);
    w = w ? w : shadow_worker(s, 0);
    EXPECT(w, "too many workers for the shadow");
    if (a->type == QUEUE_ENGAGED) {
        w->id = a->worker;
        w->device = s->device;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct shadow_item *item = shadow_token(s, entries[i].token);
        EXPECT(item && item->state == ITEM_LEASED, "a grant, or a lease that goes on, that the journal does not know");
        item->owner = a->worker;
        item->until_ms = shadow_until(s, item);
    }
}

/* What is ahead comes first; but not for one on which three items crashed, as long as others are there. */
static void check_turn(struct shadow *s, const struct queue *q, const struct shadow_worker *w,
                       const struct shadow_job *j)
{
    const bool passed_over = s->blamed && is_quarantined(q, w->id);
    for (size_t i = 0; i < s->count && !passed_over; i++)
        EXPECT(!is_ahead(&s->jobs[i], j) || !(w->kinds >> s->jobs[i].kind & 1) || !is_ready(s, &s->jobs[i]) ||
                   !fits(s, w, &s->jobs[i]),
               "job %d was granted before job %d", (int)j->id, (int)s->jobs[i].id);
    for (int i = 0; i < SIM_BOUND && passed_over; i++)
        EXPECT(!is_there_for(s, &s->workers[i], j) || s->workers[i].actor < 0 || is_quarantined(q, s->workers[i].id),
               "worker %d is in quarantine and gets items, though %d is there", (int)w->id, (int)s->workers[i].id);
}

static void check_time(const struct shadow *s, const struct shadow_job *j, const struct shadow_item *item)
{
    EXPECT(!j->paused && !j->early && !j->missed, "job %d is granted, and it is paused, or it is not its time",
           (int)j->id);
    EXPECT(item->not_before_ms <= s->now_ms, "an item of job %d is granted %d ms before its backoff is half over",
           (int)j->id, (int)(item->not_before_ms - s->now_ms));
}

/* Nobody makes room as long as another has nothing to do; but an item that crashed there. */
static void check_idle(struct shadow *s, const struct queue *q, const struct shadow_worker *w,
                       const struct shadow_job *j, const struct queue_entry *e)
{
    for (int i = 0; i < SIM_BOUND && w->urgent && e->attempt == 1; i++) {
        const struct shadow_worker *o = &s->workers[i];
        EXPECT(!is_there_for(s, o, j) || !o->credits || o->urgent || !fits(s, o, j) || is_quarantined(q, o->id) ||
                   s->starved,
               "job %d goes to worker %d, which is busy, and worker %d waits", (int)j->id, (int)w->id, (int)o->id);
    }
}

static void check_grant(struct shadow *s, const struct queue *q, const struct queue_action *a,
                        const struct queue_entry *entries)
{
    struct shadow_worker *w = shadow_worker(s, a->worker);
    const struct shadow_job *j = shadow_find(s, a->job);
    EXPECT(w && j, "a grant of nothing to nobody");
    EXPECT(a->count > 0 && a->count <= w->credits, "%d items for %u credits", (int)a->count, w->credits);
    EXPECT(!w->urgent || j->priority > w->above, "job %d is not more important than what worker %d has", (int)j->id,
           (int)w->id);
    EXPECT(w->kinds >> j->kind & 1, "a kind that worker %d does not have", (int)w->id);
    EXPECT(!j->device_bytes || (w->device && shadow_booked(s, w->device) <= SIM_DEVICE),
           "device %d has no room for job %d", w->device, (int)j->id);
    check_turn(s, q, w, j);
    check_idle(s, q, w, j, entries);
    for (size_t i = 0; i < a->count; i++) {
        const struct queue_entry *e = &entries[i];
        const struct shadow_job *of = shadow_find(s, e->job);
        EXPECT(of && of->kind == j->kind && of->priority == j->priority && of->params == j->params,
               "a grant of jobs that do not belong together");
        EXPECT(e->index < of->count, "an item that is not there");
        const struct shadow_item *item = &of->items[e->index];
        EXPECT(item->state == ITEM_LEASED && item->token == e->token && item->attempts == e->attempt,
               "a grant that the journal does not know");
        EXPECT(e->attempt == 1 || a->count == 1, "an item that was tried before, among others");
        check_affinity(s, of, item, w->id);
        check_time(s, of, item);
    }
    w->credits = 0;
}

static void check_verdicts(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    for (size_t k = 0; k < a->count; k++) {
        struct shadow_item *item = shadow_token(s, entries[k].token);
        const bool good = item && item->state == ITEM_LEASED && item->owner == a->worker;
        const bool asked = good && item->saved && shadow_find(s, item->job)->paused;
        EXPECT(entries[k].verdict == (asked  ? VERDICT_YIELD
                                      : good ? VERDICT_EXTEND
                                             : VERDICT_ABORT),
               "verdict %d for a lease that is%s good", entries[k].verdict, good ? "" : " not");
        if (good)
            item->until_ms = shadow_until(s, item);
    }
}

/* Only what would not lose what it has done is asked for. */
static void check_asking(struct shadow *s, const struct queue_action *a, const struct queue_entry *entries)
{
    for (size_t k = 0; k < a->count; k++) {
        const struct shadow_item *const item = shadow_token(s, entries[k].token);
        const struct shadow_job *const j = item ? shadow_find(s, item->job) : NULL;
        EXPECT(entries[k].verdict != VERDICT_PRIORITY || (j && entries[k].priority == j->priority),
               "a worker is told another priority than that of the job");
        EXPECT(entries[k].verdict != VERDICT_YIELD ||
                   (item && item->state == ITEM_LEASED && item->saved && item->owner == a->worker),
               "worker %d is asked for an item that has not saved, or is another's", (int)a->worker);
    }
}

static void worker_goes(struct shadow *s, uint64_t worker)
{
    struct shadow_worker *w = shadow_worker(s, worker);
    EXPECT(w, "a worker leaves that was not there");
    EXPECT(s->event == QUEUE_LEAVE ? s->from == worker : w->heard_least_ms + SIM_LEASE_MS <= s->now_ms,
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

void shadow_actions(struct shadow *s, const struct queue *q, const struct queue_actions *a, size_t first)
{
    for (size_t i = first; i < a->count; i++) {
        s->blamed |= a->list[i].type == QUEUE_BLAMED;
        if (a->list[i].type == QUEUE_GRANT || a->list[i].type == QUEUE_ENGAGED)
            take_over(s, &a->list[i], a->entries + a->list[i].first);
    }
    for (size_t i = first; i < a->count; i++) {
        const struct queue_entry *entries = a->entries + a->list[i].first;
        if (a->list[i].type == QUEUE_GRANT)
            check_grant(s, q, &a->list[i], entries);
        else if (a->list[i].type == QUEUE_GONE)
            worker_goes(s, a->list[i].worker);
        else if (a->list[i].type == QUEUE_ABORT)
            check_asking(s, &a->list[i], entries);
        else if (a->list[i].type == QUEUE_VERDICTS)
            check_verdicts(s, &a->list[i], entries);
    }
}

/* ---- the core against the shadow ---- */

static void compare_job(const struct shadow *s, const struct shadow_job *j, const struct queue *q)
{
    uint64_t states[5] = {0};
    struct message_job m;
    EXPECT(queue_show(q, j->id, &m) == STATUS_OK, "job %d is lost", (int)j->id);
    for (uint32_t i = 0; i < j->count; i++) {
        states[j->items[i].state]++;
    }
    EXPECT((int)m.state == j->state && m.items == j->count,
           "job %d: state %d or its items differ from the journal's %d", (int)j->id, (int)m.state, j->state);
    EXPECT(m.queued == states[0] && m.leased == states[1] && m.done == states[2] && m.dead == states[3] &&
               m.cancelled == states[4] && m.commits == j->outcomes && m.attempts == j->attempts,
           "job %d: counters differ from the journal's", (int)j->id);
    EXPECT(m.paused == j->paused && m.priority == j->priority && m.start_unix_ms == j->start_unix_ms &&
               m.deadline_unix_ms == j->deadline_unix_ms && m.device_bytes == j->device_bytes && m.wave == j->wave,
           "job %d: what was asked of it differs from the journal's", (int)j->id);
    shadow_waiting(s, j, m.waiting);
}

void shadow_compare(struct shadow *s, const struct queue *q)
{
    struct queue_stats stats;
    for (size_t i = 0; i < s->count; i++)
        compare_job(s, &s->jobs[i], q);
    queue_stats(q, &stats);
    EXPECT(stats.kept == s->count, "%d jobs, but %d in the journal", (int)stats.kept, (int)s->count);
    EXPECT(queue_check(q) == STATUS_OK, "%s", status_message());
    for (int w = 0; w < SIM_BOUND && !s->starved; w++)
        for (size_t i = 0; i < s->count && s->workers[w].credits; i++)
            EXPECT(!(s->workers[w].kinds >> s->jobs[i].kind & 1) || !is_ready(s, &s->jobs[i]) ||
                       !fits(s, &s->workers[w], &s->jobs[i]) || is_quarantined(q, s->workers[w].id) ||
                       (s->workers[w].urgent && s->jobs[i].priority <= s->workers[w].above),
                   "worker %d waits, and job %d has items", (int)s->workers[w].id, (int)s->jobs[i].id);
}

static void compare_devices(struct shadow *s, const struct queue *q)
{
    struct wire_buffer b = {0};
    struct message_worker m;
    uint32_t count = 0;
    EXPECT(queue_workers(q, &b, &count) == STATUS_OK, "no memory");
    struct wire_list list = wire_list_of(&b, count);
    while (wire_next(&list, &worker_schema, &m)) {
        const struct shadow_worker *w = shadow_worker(s, m.worker);
        EXPECT(w && m.booked_bytes == (w->device ? shadow_booked(s, w->device) : 0),
               "worker %d: %d bytes of its device are booked, and its leases need others", (int)m.worker,
               (int)m.booked_bytes);
    }
    wire_free(&b);
}

void shadow_time(struct shadow *s, const struct queue *q)
{
    struct queue_stats stats;
    uint64_t items = 0;
    compare_devices(s, q);
    for (size_t i = 0; i < s->count; i++) {
        items += s->jobs[i].count;
        for (uint32_t k = 0; k < s->jobs[i].count && s->jobs[i].missed; k++)
            EXPECT(s->jobs[i].items[k].state >= ITEM_DONE, "an item of job %d outlives its deadline",
                   (int)s->jobs[i].id);
        for (uint32_t k = 0; k < s->jobs[i].count; k++)
            EXPECT(s->jobs[i].items[k].state != ITEM_LEASED || s->jobs[i].items[k].until_ms > s->now_ms,
                   "a lease goes on after its end");
    }
    for (int i = 0; i < SIM_BOUND; i++)
        EXPECT(!s->workers[i].id || s->workers[i].heard_ms + SIM_LEASE_MS > s->now_ms, "a worker stays after its time");
    queue_stats(q, &stats);
    EXPECT(queue_next_deadline_ms(q) > s->now_ms || stats.items > items, "a tick left something behind");
}

void shadow_sessions(const struct shadow *s, uint64_t session)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct shadow_job *j = &s->jobs[i];
        const bool ended = session ? j->session == session : !(j->session & QUEUE_SESSION_KEYED);
        EXPECT(!shadow_needs_session(j) || !ended, "job %d outlives its session", (int)j->id);
    }
}
