/* A queue from its journal. The records of a job come together, so one job at a time is being filled; what only shows
 * at its end (which items were never granted, whether it has ended) waits until then. */
#include "queue_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct restore {
    struct queue *queue;
    struct job *job;     /* that is being filled; NULL: none yet */
    struct worker *past; /* holds the leases of before; NULL: none was needed yet */
};

static int damaged(const struct journal_record *r, const char *what)
{
    return fail(STATUS_DAMAGED, "job %" PRIu64 ", item %u: %s", r->job, r->index, what);
}

/* Of an item's outcomes only the last counts, and none when it was queued again after it. */
static void mark_retried(struct job *j)
{
    for (uint32_t c = j->commits; c > 0; c--) {
        struct item *const item = &j->items[j->order[c - 1]];
        if (item->seen || (item->state != ITEM_DONE && item->state != ITEM_DEAD))
            j->order[c - 1] |= ORDER_RETRIED;
        item->seen = true;
    }
    for (uint32_t i = 0; i < j->item_count; i++)
        j->items[i].seen = false;
}

/* Queued items below the first that was never granted hang in chains, in the order of their indexes. */
static void end_job(struct restore *s)
{
    struct job *const j = s->job;
    s->job = NULL;
    if (j)
        mark_retried(j);
    for (uint32_t i = j ? j->item_count : 0; i > 0 && !j->fresh; i--)
        if (j->items[i - 1].token || j->items[i - 1].state != ITEM_QUEUED)
            j->fresh = i;
    if (j && j->state == JOB_ACTIVE && !j->queued && !j->leased)
        job_settle(s->queue, j); /* no item is left, and nothing says that it has finished */
    if (!j || job_is_over(j))
        return;
    wave_begin(j);
    kind_update(j);
}

static int restore_job(struct restore *s, const struct journal_record *r)
{
    const struct journal_job *const from = &r->submitted;
    const struct message_submit m = {.kind = from->kind,
                                     .name = from->name,
                                     .params = from->params,
                                     .priority = from->priority,
                                     .max_attempts = from->max_attempts,
                                     .cancel_on_disconnect = from->cancel_on_disconnect,
                                     .start_unix_ms = from->start_unix_ms,
                                     .deadline_unix_ms = from->deadline_unix_ms,
                                     .backoff_ms = from->backoff_ms,
                                     .attempt_ms = from->attempt_ms,
                                     .stall_ms = from->stall_ms,
                                     .device_bytes = from->device_bytes,
                                     .wave = from->wave};
    end_job(s);
    if (r->job <= s->queue->last_job)
        return damaged(r, "its number is not above the one before");
    const int code = job_create(s->queue, r->job, from->session, &m, &s->job);
    if (code)
        return code;
    s->job->submitted_unix_ms = (int64_t)from->submitted_unix_ms;
    return job_set_key(s->queue, s->job, from->key, from->content);
}

static int set_token(struct restore *s, struct item *item, const struct journal_record *r)
{
    struct queue *const q = s->queue;
    const uint32_t least = r->type == JOURNAL_GRANTED; /* one that waits has an attempt left */
    const uint32_t most = s->job->max_attempts - (r->type == JOURNAL_QUEUED);
    const bool never = !r->token && !r->attempts && r->type != JOURNAL_GRANTED; /* granted: its deadline came before */
    if ((!r->token && !never) || tokens_find(&q->tokens, r->token) || r->attempts < least || r->attempts > most)
        return damaged(r, "its token or its count of attempts cannot be");
    const int code = tokens_reserve(&q->tokens, 1);
    if (code)
        return code;
    if (r->token >> 40 >= q->epoch) /* the epoch comes of wall time, which may have been set back over a reboot */
        q->epoch = (r->token >> 40) + 1;
    item->token = r->token;
    item->attempts = (uint8_t)r->attempts;
    s->job->attempts += r->attempts;
    if (r->token)
        tokens_put(&q->tokens, r->token, s->job, r->index);
    return STATUS_OK;
}

static int restore_lease(struct restore *s, struct item *item, const struct journal_record *r)
{
    struct queue *const q = s->queue;
    int code = set_token(s, item, r);
    if (!code && !s->past)
        code = worker_past(q, &s->past);
    code = code ? code : heap_reserve(&q->timers, 1);
    struct lease *const l = code ? NULL : memory_resize(&q->memory, NULL, sizeof *l);
    if (!l)
        return code ? code : fail(STATUS_NOMEM, "lease");
    lease_begin(q, s->past, s->job, r->index, l);
    return STATUS_OK;
}

/* An item may have been dead before and tried again; what came after stands in a later outcome, or in its lease. */
static int restore_outcome(struct restore *s, struct item *item, const struct journal_record *r)
{
    struct job *const j = s->job;
    const struct journal_outcome *const o = &r->outcome;
    const bool again = item->state == ITEM_DEAD, later = item->seen;
    if (r->number != j->commits || item->state == ITEM_DONE || (o->state != ITEM_DONE && o->state != ITEM_DEAD) ||
        (later && o->state == ITEM_DONE))
        return damaged(r, "its outcome does not follow the one before");
    int code = item_reserve_order(s->queue, j, 1);
    if (code)
        return code;
    j->order[j->commits++] = r->index;
    if (later) {
        j->attempts += r->attempts;
        return STATUS_OK;
    }
    if (again)
        tokens_remove(&s->queue->tokens, item->token);
    code = set_token(s, item, r);
    code = code ? code : item_keep(s->queue, j, item, o);
    if (code)
        return code;
    j->dead -= again;
    j->queued -= !again;
    item->state = (uint8_t)o->state;
    item->failure = (uint8_t)o->failure;
    item->settled = o->failure != FAILURE_STALE && o->failure != FAILURE_TIMEOUT;
    j->done += o->state == ITEM_DONE;
    j->dead += o->state == ITEM_DEAD;
    return STATUS_OK;
}

static int restore_checkpoint(struct restore *s, struct item *item, const struct journal_record *r)
{
    if (job_is_over(s->job))
        return STATUS_OK; /* it was cancelled */
    if (item->state != ITEM_QUEUED && item->state != ITEM_LEASED)
        return damaged(r, "a checkpoint of what has an outcome");
    return item_save(s->queue, s->job, item, &r->checkpoint);
}

static int restore_of_item(struct restore *s, const struct journal_record *r)
{
    struct job *const j = s->job;
    if (r->type == JOURNAL_ITEM)
        return r->index == j->item_count ? item_append_one(s->queue, j, &r->item)
                                         : damaged(r, "it does not follow the one before");
    if (r->index >= j->item_count)
        return damaged(r, "the job has no such item");
    struct item *const item = &j->items[r->index];
    if (r->type == JOURNAL_OUTCOME)
        return restore_outcome(s, item, r);
    if (r->type == JOURNAL_CHECKPOINT)
        return restore_checkpoint(s, item, r);
    if (item->state != ITEM_QUEUED || item->seen)
        return damaged(r, "a second record of it");
    item->seen = true; /* until the job's end: its outcomes, which follow, came before */
    return r->type == JOURNAL_GRANTED ? restore_lease(s, item, r) : set_token(s, item, r);
}

/* A deadline that RETRY has taken away must not ring. */
static int restore_control(struct restore *s, const struct journal_control *c)
{
    struct job *const j = s->job;
    j->priority = (int32_t)c->priority;
    j->paused = c->paused;
    j->session = c->session;
    if (!job_is_over(j) && j->deadline_unix_ms != c->deadline_unix_ms)
        times_drop_deadline(s->queue, j);
    j->deadline_unix_ms = c->deadline_unix_ms;
    return STATUS_OK;
}

static int restore_record(void *context, const struct journal_record *r)
{
    struct restore *const s = context;
    struct queue *const q = s->queue;
    if (r->type == JOURNAL_JOB)
        return restore_job(s, r);
    if (!s->job || s->job->id != r->job)
        return damaged(r, "the job itself is missing");
    if (job_is_over(s->job) && r->type < JOURNAL_CANCELLED)
        return damaged(r, "it follows the job's end");
    switch (r->type) {
    case JOURNAL_SEALED:
        s->job->state = JOB_ACTIVE;
        return STATUS_OK;
    case JOURNAL_CONTROL:
        return restore_control(s, &r->control);
    case JOURNAL_CANCELLED:
        return job_stop(q, s->job);
    case JOURNAL_FINISHED:
        if (!job_is_over(s->job))
            job_settle(q, s->job);
        if (!job_is_over(s->job))
            return damaged(r, "it has finished, with items that have no outcome");
        s->job->finished_unix_ms = (int64_t)r->unix_ms;
        if (q->unix_ms > s->job->finished_unix_ms) /* the time of keeping runs on while no scheduler does */
            s->job->finished_ms = q->now_ms - (q->unix_ms - s->job->finished_unix_ms);
        return STATUS_OK;
    case JOURNAL_ITEM:
    case JOURNAL_GRANTED:
    case JOURNAL_QUEUED:
    case JOURNAL_OUTCOME:
    case JOURNAL_CHECKPOINT:
        return restore_of_item(s, r);
    default: /* REMOVED and REOPENED are carried out by the journal itself */
        return damaged(r, "a record of a type that no journal tells");
    }
}

/* Sessions without a key ended with the process: what depends on them ends too. This is recorded. Their numbers are
 * given again, to others; a job that is over and tried again later must not end with those. */
static int end_sessions(struct queue *q)
{
    int code = STATUS_OK;
    for (uint32_t i = 0; i < q->job_count && !code; i++) {
        struct job *const j = q->jobs[i];
        if (j->session & QUEUE_SESSION_KEYED)
            continue;
        if (job_needs_session(j))
            code = job_stop(q, j);
        j->session = 0;
    }
    return code;
}

static int compare_ends(const void *a, const void *b)
{
    const struct job *const x = *(struct job *const *)a, *const y = *(struct job *const *)b;
    return x->finished_ms != y->finished_ms ? (x->finished_ms < y->finished_ms ? -1 : 1) : (x->id < y->id ? -1 : 1);
}

/* Finished jobs were told of by their numbers; they go in the order of their ends. */
static int order_finished(struct queue *q)
{
    uint32_t n = 0;
    struct job **const all = q->finished ? memory_resize(&q->memory, NULL, q->finished * sizeof(struct job *)) : NULL;
    if (!all)
        return q->finished ? fail(STATUS_NOMEM, "%u finished jobs", q->finished) : STATUS_OK;
    for (struct job *j = q->first_finished; j; j = j->next_finished)
        all[n++] = j;
    qsort(all, n, sizeof(struct job *), compare_ends);
    q->first_finished = all[0];
    for (uint32_t i = 0; i < n; i++)
        all[i]->next_finished = i + 1 < n ? all[i + 1] : NULL;
    q->last_finished = all[n - 1];
    memory_free(&q->memory, all);
    return STATUS_OK;
}

int queue_restore(struct queue *q, int64_t now_ms, int64_t unix_ms, struct journal_loaded *out)
{
    struct queue_actions nobody = {0}; /* hears of it */
    struct restore s = {.queue = q};
    struct journal *const journal = q->journal;
    *out = (struct journal_loaded){0};
    if (!journal || !journal->load)
        return STATUS_OK;
    q->now_ms = now_ms;
    q->unix_ms = unix_ms;
    q->out = &nobody;
    q->journal = NULL; /* what is told is not put again */
    int code = journal->load(journal, restore_record, &s, out);
    end_job(&s);
    q->journal = journal;
    if (!code && out->last_job > q->last_job)
        q->last_job = out->last_job;
    code = code ? code : order_finished(q);
    q->last_end_unix_ms = 0; /* a clock that was set forward is forgotten with the process */
    code = code ? code : end_sessions(q);
    for (struct job *j = q->first_changed; j; j = j->next_changed)
        j->changed = false;
    q->first_changed = NULL;
    queue_actions_free(&nobody, q);
    q->out = NULL;
    return code;
}

void queue_begin(struct queue *q, int64_t now_ms)
{
    q->now_ms = now_ms > q->now_ms ? now_ms : q->now_ms;
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct worker *const w = q->workers[i];
        w->timer.at_ms = q->now_ms + q->lease_ms;
        heap_update(&q->timers, w->timer.position);
        for (struct lease *l = w->leases; l; l = l->next) {
            l->begun_ms = l->moved_ms = q->now_ms;
            times_arm_lease(q, l);
            heap_update(&q->timers, l->timer.position);
        }
    }
}

uint64_t queue_epoch(const struct queue *q)
{
    return q->epoch;
}
