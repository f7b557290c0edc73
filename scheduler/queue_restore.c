/* A queue from its journal. The records of a job come together, so one job at a time is being filled; what only shows
 * at its end (which items were never granted, whether it has ended) waits until then. */
#include "queue_state.h"

#include <inttypes.h>
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

/* Queued items below the first that was never granted hang in chains, in the order of their indexes. */
static void end_job(struct restore *s)
{
    struct job *const j = s->job;
    s->job = NULL;
    for (uint32_t i = j ? j->item_count : 0; i > 0 && !j->fresh; i--)
        if (j->items[i - 1].token || j->items[i - 1].state != ITEM_QUEUED)
            j->fresh = i;
    if (!j || job_is_over(j))
        return;
    for (uint32_t i = 0; i < j->fresh; i++)
        if (j->items[i].state == ITEM_QUEUED)
            item_chain(j, i);
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
                                     .cancel_on_disconnect = from->cancel_on_disconnect};
    end_job(s);
    if (r->job <= s->queue->last_job)
        return damaged(r, "its number is not above the one before");
    const int code = job_create(s->queue, r->job, 0, &m, &s->job);
    if (!code)
        s->job->submitted_unix_ms = (int64_t)from->submitted_unix_ms;
    return code;
}

static int set_token(struct restore *s, struct item *item, const struct journal_record *r)
{
    const int code = tokens_reserve(&s->queue->tokens, 1);
    if (code)
        return code;
    item->token = r->token;
    item->attempts = (uint8_t)r->attempts;
    s->job->attempts += r->attempts;
    if (r->token)
        tokens_put(&s->queue->tokens, r->token, s->job, r->index);
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

static int restore_outcome(struct restore *s, struct item *item, const struct journal_record *r)
{
    struct job *const j = s->job;
    const struct journal_outcome *const o = &r->outcome;
    if (r->number != j->done + j->dead || (o->state != ITEM_DONE && o->state != ITEM_DEAD))
        return damaged(r, "its outcome does not follow the one before");
    int code = set_token(s, item, r);
    code = code ? code : item_keep(s->queue, j, item, o->message, o->result);
    if (code)
        return code;
    item->state = (uint8_t)o->state;
    item->failure = (uint8_t)o->failure;
    item->settled = o->failure != FAILURE_STALE;
    j->order[r->number] = r->index;
    j->done += o->state == ITEM_DONE;
    j->dead += o->state == ITEM_DEAD;
    j->queued--;
    return STATUS_OK;
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
    if (item->state != ITEM_QUEUED || item->token)
        return damaged(r, "a second record of it");
    if (r->type == JOURNAL_GRANTED)
        return restore_lease(s, item, r);
    return r->type == JOURNAL_QUEUED ? set_token(s, item, r) : restore_outcome(s, item, r);
}

static int restore_record(void *context, const struct journal_record *r)
{
    struct restore *const s = context;
    struct queue *const q = s->queue;
    int code = STATUS_OK;
    if (r->type == JOURNAL_JOB)
        return restore_job(s, r);
    if (!s->job || s->job->id != r->job)
        return damaged(r, "the job itself is missing");
    switch (r->type) {
    case JOURNAL_SEALED:
        s->job->state = JOB_ACTIVE;
        return STATUS_OK;
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
    default:
        code = restore_of_item(s, r);
    }
    return code;
}

/* Sessions ended with the process: what depends on them ends too. This is recorded. */
static int end_sessions(struct queue *q)
{
    int code = STATUS_OK;
    for (uint32_t i = 0; i < q->job_count && !code; i++) {
        struct job *const j = q->jobs[i];
        if (!job_is_over(j) && (j->cancel_on_disconnect || j->state == JOB_OPEN))
            code = job_stop(q, j);
    }
    return code;
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
    code = code ? code : end_sessions(q);
    for (struct job *j = q->first_changed; j; j = j->next_changed)
        j->changed = false;
    q->first_changed = NULL;
    queue_actions_free(&nobody, q);
    q->out = NULL;
    return code;
}
