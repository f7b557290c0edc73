/* What the journal's records alone say of every job, and whether each of them may come. They are passed on to the disk.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static int commit(struct journal *j)
{
    struct shadow *s = (struct shadow *)j;
    return s->disk->journal.commit(&s->disk->journal);
}

static int tell(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                struct journal_loaded *out)
{
    struct shadow *s = (struct shadow *)j;
    return s->disk->journal.load(&s->disk->journal, each, context, out);
}

/* Leases of before a restart are held by a worker that stands for all of that time. */
static void lease_restored(struct shadow *s, struct shadow_item *item)
{
    struct shadow_worker *past = shadow_worker(s, 1);
    if (!past) {
        past = shadow_worker(s, 0);
        EXPECT(past, "too many workers for the shadow");
        *past = (struct shadow_worker){.id = 1, .actor = -1, .heard_ms = s->now_ms, .heard_least_ms = s->now_ms};
    }
    item->state = ITEM_LEASED;
    item->owner = past->id;
    item->begun_ms = item->moved_ms = s->now_ms;
    item->until_ms = shadow_until(s, item);
}

static int restored(void *context, const struct journal_record *r)
{
    shadow_put(context, r);
    return STATUS_OK;
}

void shadow_open(struct shadow *s, struct disk *disk, uint64_t epoch, int64_t now_ms, int64_t unix_ms)
{
    struct journal_loaded loaded;
    *s = (struct shadow){.journal = {.put = shadow_put, .commit = commit, .load = tell},
                         .disk = disk,
                         .last_token = epoch << 40,
                         .event = SHADOW_RESTORE,
                         .now_ms = now_ms,
                         .unix_ms = unix_ms,
                         .tick_ms = now_ms,
                         .loading = true};
    EXPECT(disk->journal.load(&disk->journal, restored, s, &loaded) == STATUS_OK, "%s", status_message());
    s->loading = false;
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

struct shadow_job *shadow_find(const struct shadow *s, uint64_t job)
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
    for (int i = 0; i < SIM_BOUND; i++)
        if (s->workers[i].id == id)
            return &s->workers[i];
    return NULL;
}

/* ---- records ---- */

/* Numbers of sessions without a key begin anew with each process: those of before are nobody's. */
static uint64_t session_of(const struct shadow *s, uint64_t session)
{
    return s->loading && !(session & QUEUE_SESSION_KEYED) ? 0 : session;
}

static void put_job(struct shadow *s, const struct journal_record *r)
{
    EXPECT(s->count == 0 || s->jobs[s->count - 1].id < r->job, "job %d out of order", (int)r->job);
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->jobs = realloc(s->jobs, s->capacity * sizeof *s->jobs);
        EXPECT(s->jobs, "no memory");
    }
    s->jobs[s->count++] = (struct shadow_job){.id = r->job,
                                              .session = session_of(s, r->submitted.session),
                                              .state = JOB_OPEN,
                                              .fragile = r->submitted.cancel_on_disconnect,
                                              .kind = r->submitted.kind.data[0] - 'a',
                                              .priority = (int)r->submitted.priority,
                                              .max_attempts = (uint32_t)r->submitted.max_attempts,
                                              .params = sim_bytes(r->submitted.params),
                                              .start_unix_ms = r->submitted.start_unix_ms,
                                              .deadline_unix_ms = r->submitted.deadline_unix_ms,
                                              .device_bytes = r->submitted.device_bytes,
                                              .wave = r->submitted.wave,
                                              .backoff_ms = (int64_t)r->submitted.backoff_ms,
                                              .attempt_ms = (int64_t)r->submitted.attempt_ms,
                                              .stall_ms = (int64_t)r->submitted.stall_ms,
                                              .early = r->submitted.start_unix_ms > (uint64_t)s->unix_ms};
    EXPECT(s->loading || r->submitted.session == s->session, "job %d belongs to another session", (int)r->job);
    shadow_look(s, &s->jobs[s->count - 1]);
}

static void put_item(const struct shadow *s, struct shadow_job *j, const struct journal_record *r)
{
    EXPECT(r->index == j->count && j->state == JOB_OPEN, "item %u of job %d out of order", r->index, (int)j->id);
    struct shadow_item *items = realloc(j->items, (j->count + 1) * sizeof *items);
    EXPECT(items, "no memory");
    j->items = items;
    j->items[j->count++] = (struct shadow_item){.job = j->id, .state = ITEM_QUEUED};
    if (j->missed) /* the next tick ends it */
        j->rings_ms = s->now_ms;
}

/* The last record of an item that came after its outcomes. */
static void told(struct shadow *s, struct shadow_job *j, struct shadow_item *item, const struct journal_record *r)
{
    item->token = r->token;
    item->attempts = r->attempts;
    item->told = true;
    j->attempts += r->attempts;
    if (r->type == JOURNAL_GRANTED)
        lease_restored(s, item);
}

uint64_t shadow_wave_end(const struct shadow_job *j)
{
    uint32_t first = 0; /* that is not over */
    while (first < j->count && j->items[first].state >= ITEM_DONE)
        first++;
    return j->wave ? (first / j->wave + 1) * j->wave : UINT64_MAX;
}

static void put_granted(struct shadow *s, struct shadow_job *j, struct shadow_item *item,
                        const struct journal_record *r)
{
    if (s->loading) {
        told(s, j, item, r);
        return;
    }
    if (item->state == ITEM_LEASED && r->token == item->token) { /* counted anew */
        EXPECT(s->event == QUEUE_CHECKPOINT && item->gained && item->attempts > 1 && r->attempts == 1,
               "attempts %u become %u", item->attempts, r->attempts);
        j->attempts -= item->attempts - 1;
        item->attempts = 1;
        memset(item->crashed, 0, sizeof item->crashed);
        return;
    }
    EXPECT(item->state == ITEM_QUEUED && j->state <= JOB_ACTIVE, "granted an item that is not queued");
    EXPECT(r->index < shadow_wave_end(j), "item %u of job %d is granted, and earlier waves of %d are not over",
           r->index, (int)j->id, (int)j->wave);
    EXPECT(r->token > s->last_token, "token %llu is not new", (unsigned long long)r->token);
    EXPECT(r->attempts == item->attempts + 1 && r->attempts <= j->max_attempts, "attempt %u after %u of %u",
           r->attempts, item->attempts, j->max_attempts);
    s->last_token = r->token;
    item->state = ITEM_LEASED;
    item->token = r->token;
    item->attempts = r->attempts;
    item->settled = false;
    item->begun_ms = item->moved_ms = s->now_ms;
    item->progress = 0;
    j->attempts++;
}

/* Why a lease may end otherwise than by a result: its time, the silence of its worker, or the worker's word. */
static void check_end(struct shadow *s, const struct shadow_item *item, bool counted)
{
    const struct shadow_worker *w = shadow_worker(s, item->owner);
    switch (s->event) {
    case QUEUE_TICK:
        EXPECT(counted, "a lease that lapsed and does not count");
        EXPECT(item->until_ms <= s->now_ms || (w && w->heard_least_ms + SIM_LEASE_MS <= s->now_ms),
               "a lease ends too early");
        break;
    case QUEUE_RETURN:
    case QUEUE_LEAVE:
        EXPECT(!counted && item->owner == s->from, "an item given back that counts, or by another worker");
        break;
    case QUEUE_READY:
        EXPECT(counted && item->owner == s->from, "READY ends a lease of another worker");
        break;
    default:
        EXPECT(counted && s->event == QUEUE_REPORT, "a lease ends in event %d", s->event);
    }
}

/* Only the last outcome of an item counts, and none when it is queued again. */
static void mark_retried(struct shadow_job *j, uint32_t index)
{
    for (uint32_t i = 0; i < j->outcomes; i++)
        if (j->order[i] == index)
            j->order[i] |= SHADOW_RETRIED;
}

static void put_retried(struct shadow *s, struct shadow_job *j, struct shadow_item *item,
                        const struct journal_record *r)
{
    EXPECT(item->state == ITEM_DEAD && r->token == item->token && r->attempts == 0,
           "tried again, but was not dead, or attempts count");
    item->state = ITEM_QUEUED;
    item->attempts = 0;
    item->not_before_ms = item->not_after_ms = 0;
    memset(item->crashed, 0, sizeof item->crashed);
    mark_retried(j, r->index);
    shadow_look(s, j);
}

static void put_queued(struct shadow *s, struct shadow_job *j, struct shadow_item *item, const struct journal_record *r)
{
    if (s->loading) {
        told(s, j, item, r);
        return;
    }
    if (s->event == QUEUE_RETRY) {
        put_retried(s, j, item, r);
        return;
    }
    EXPECT(item->state == ITEM_LEASED && r->token == item->token, "queued again, but was not leased");
    EXPECT(r->attempts == item->attempts || r->attempts + 1 == item->attempts, "attempts jump");
    check_end(s, item, r->attempts == item->attempts);
    const struct shadow_worker *w = shadow_worker(s, item->owner);
    const bool lapsed = !w || w->heard_least_ms + SIM_LEASE_MS <= s->now_ms;
    item->not_before_ms = item->not_after_ms = 0;
    if (s->event == QUEUE_REPORT || (s->event == QUEUE_TICK && shadow_took_too_long(s, item)))
        shadow_back_off(s, item);
    if (s->event == QUEUE_TICK && lapsed) /* it may have been the silence of its worker */
        item->not_before_ms = 0;
    j->attempts -= r->attempts != item->attempts;
    item->state = ITEM_QUEUED;
    item->attempts = r->attempts;
}

static void append_outcome(struct shadow_job *j, uint32_t entry)
{
    j->order = realloc(j->order, (j->outcomes + 1) * sizeof *j->order);
    EXPECT(j->order, "no memory");
    j->order[j->outcomes++] = entry;
}

/* By the job's deadline, or as the last attempt that took too long. */
static void check_timeout(const struct shadow *s, const struct shadow_job *j, const struct shadow_item *item)
{
    const bool deadline = j->missed || (j->deadline_unix_ms && (uint64_t)s->unix_ms >= j->deadline_unix_ms);
    EXPECT(s->event == QUEUE_TICK, "time ends an item in event %d", s->event);
    EXPECT(deadline ||
               (item->state == ITEM_LEASED && item->attempts == j->max_attempts && shadow_took_too_long(s, item)),
           "item of job %d ended before its time", (int)j->id);
}

static void put_outcome(struct shadow *s, struct shadow_job *j, struct shadow_item *item,
                        const struct journal_record *r)
{
    const bool by_time = r->outcome.failure == FAILURE_TIMEOUT;
    if (s->loading) {
        j->attempts += r->attempts;
        mark_retried(j, r->index);
        append_outcome(j, r->index | (item->told ? SHADOW_RETRIED : 0));
        if (item->told)
            return;
        item->state = ITEM_LEASED;
        item->token = r->token;
        item->attempts = r->attempts;
        item->settled = r->outcome.failure != FAILURE_STALE && !by_time;
    } else {
        EXPECT(r->number == j->outcomes, "outcome %u of job %d has number %u", j->outcomes, (int)j->id, r->number);
        append_outcome(j, r->index);
    }
    EXPECT(item->state == ITEM_LEASED || (item->state == ITEM_QUEUED && by_time),
           "an outcome for an item that is not leased");
    EXPECT(j->state <= JOB_ACTIVE, "an outcome in a job that is over");
    EXPECT(r->token == item->token && r->attempts == item->attempts, "an outcome of another lease");
    EXPECT(r->outcome.state == ITEM_DONE || r->outcome.state == ITEM_DEAD, "an outcome that is none");
    if (!s->loading && by_time)
        check_timeout(s, j, item);
    else if (!s->loading && (r->outcome.failure == FAILURE_STALE || s->event != QUEUE_REPORT))
        check_end(s, item, true);
    EXPECT((r->outcome.state == ITEM_DONE) == (r->outcome.failure == FAILURE_NONE), "done, but failed");
    item->state = (int)r->outcome.state;
    item->failure = (int)r->outcome.failure;
    item->saved_most = 0;
    item->saved = false;
    item->result = 0;
    if (r->outcome.result.bytes >= 2 * sizeof item->result) /* content, token, and more */
        memcpy(&item->result, r->outcome.result.data + sizeof item->result, sizeof item->result);
    EXPECT(item->failure == FAILURE_STALE || by_time || item->result == item->token, "the result of another lease");
}

static void put_finished(struct shadow *s, struct shadow_job *j, const struct journal_record *r)
{
    const int64_t since = s->unix_ms - (int64_t)r->unix_ms;
    j->finished_ms = s->loading ? s->now_ms - (since > 0 ? since : 0) : s->now_ms;
    j->finished_in = s->events;
    if (!s->loading) { /* now, but never before an end that this process saw */
        s->last_end_unix_ms = s->unix_ms > s->last_end_unix_ms ? s->unix_ms : s->last_end_unix_ms;
        EXPECT((int64_t)r->unix_ms == s->last_end_unix_ms, "job %d did not end now", (int)j->id);
    }
    for (uint32_t i = 0; i < j->count; i++)
        EXPECT(j->items[i].state >= ITEM_DONE, "job %d finished with an item in state %d", (int)j->id,
               j->items[i].state);
    EXPECT(j->state == JOB_ACTIVE || j->state == JOB_CANCELLED, "job %d finished in state %d", (int)j->id, j->state);
    if (j->state == JOB_ACTIVE)
        j->state = JOB_DONE;
}

bool shadow_needs_session(const struct shadow_job *j)
{
    return j->state == JOB_OPEN || (j->state == JOB_ACTIVE && j->fragile);
}

static void put_cancelled(const struct shadow *s, struct shadow_job *j)
{
    const bool bound = shadow_needs_session(j);
    EXPECT(j->state <= JOB_ACTIVE, "cancelled a job that is over");
    EXPECT(s->loading || s->event == QUEUE_CANCEL ||
               (s->event == SHADOW_RESTORE && bound && !(j->session & QUEUE_SESSION_KEYED)) ||
               (s->event == QUEUE_SESSION_GONE && bound && j->session == s->session),
           "job %d was cancelled by event %d", (int)j->id, s->event);
    j->state = JOB_CANCELLED;
    for (uint32_t i = 0; i < j->count; i++)
        if (j->items[i].state <= ITEM_LEASED)
            j->items[i].state = ITEM_CANCELLED;
}

static void put_removed(struct shadow *s, struct shadow_job *j)
{
    EXPECT(j->state >= JOB_DONE, "removed a job that is not over");
    EXPECT(s->now_ms - j->finished_ms >= QUEUE_KEEP_MS, "job %d is removed before its time", (int)j->id);
    free(j->items);
    free(j->order);
    memmove(j, j + 1, (size_t)(s->jobs + s->count - j - 1) * sizeof *j);
    s->count--;
}

static void put_control(struct shadow *s, struct shadow_job *j, const struct journal_control *c)
{
    EXPECT(s->loading || c->deadline_unix_ms == j->deadline_unix_ms ||
               (s->event == QUEUE_RETRY && c->deadline_unix_ms == 0),
           "the deadline of job %d changes", (int)j->id);
    j->priority = (int)c->priority;
    j->paused = c->paused;
    j->session = session_of(s, c->session);
    if (c->deadline_unix_ms == j->deadline_unix_ms)
        return;
    j->deadline_unix_ms = c->deadline_unix_ms;
    j->missed = false;
    shadow_look(s, j);
}

static void put_checkpoint(const struct shadow *s, struct shadow_item *item, const struct journal_record *r)
{
    EXPECT(s->loading || (s->event == QUEUE_CHECKPOINT && item->state == ITEM_LEASED && item->token == r->token &&
                          item->owner == s->from),
           "a checkpoint of another worker's item");
    item->gained = r->checkpoint.progress > item->saved_most;
    if (item->gained)
        item->saved_most = r->checkpoint.progress;
    item->saved = true;
}

static void put_of_item(struct shadow *s, struct shadow_job *j, const struct journal_record *r)
{
    EXPECT(r->index < j->count, "a record of item %u, which is not there", r->index);
    struct shadow_item *item = &j->items[r->index];
    if (r->type == JOURNAL_GRANTED)
        put_granted(s, j, item, r);
    else if (r->type == JOURNAL_QUEUED)
        put_queued(s, j, item, r);
    else if (r->type == JOURNAL_CHECKPOINT)
        put_checkpoint(s, item, r);
    else
        put_outcome(s, j, item, r);
}

void shadow_put(struct journal *journal, const struct journal_record *r)
{
    struct shadow *s = (struct shadow *)journal;
    if (!s->loading)
        s->disk->journal.put(&s->disk->journal, r);
    if (r->token > s->last_token && s->loading)
        s->last_token = r->token;
    if (r->type == JOURNAL_JOB) {
        put_job(s, r);
        return;
    }
    struct shadow_job *j = shadow_find(s, r->job);
    EXPECT(j, "a record of job %d, which is not there", (int)r->job);
    switch (r->type) {
    case JOURNAL_ITEM:
        put_item(s, j, r);
        break;
    case JOURNAL_SEALED:
        EXPECT(j->state == JOB_OPEN, "sealed twice");
        j->state = JOB_ACTIVE;
        break;
    case JOURNAL_CANCELLED:
        put_cancelled(s, j);
        break;
    case JOURNAL_FINISHED:
        put_finished(s, j, r);
        break;
    case JOURNAL_REOPENED:
        EXPECT(j->state == JOB_DONE && s->event == QUEUE_RETRY, "job %d goes on by itself", (int)j->id);
        j->state = JOB_ACTIVE;
        break;
    case JOURNAL_CONTROL:
        put_control(s, j, &r->control);
        break;
    case JOURNAL_REMOVED:
        put_removed(s, j);
        break;
    default:
        put_of_item(s, j, r);
    }
}
