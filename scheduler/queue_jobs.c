#include "queue_state.h"

#include <string.h>

bool job_is_over(const struct job *j)
{
    return j->state == JOB_DONE || j->state == JOB_CANCELLED;
}

uint32_t job_place(const struct queue *q, uint64_t id)
{
    uint32_t low = 0, high = q->job_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (q->jobs[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct job *job_find(const struct queue *q, uint64_t id)
{
    const uint32_t at = job_place(q, id);
    return at < q->job_count && q->jobs[at]->id == id ? q->jobs[at] : NULL;
}

void job_changed(struct queue *q, struct job *j)
{
    if (j->changed)
        return;
    j->changed = true;
    j->next_changed = q->first_changed;
    q->first_changed = j;
}

bool job_needs_session(const struct job *j)
{
    return !job_is_over(j) && (j->cancel_on_disconnect || j->state == JOB_OPEN);
}

static void finish(struct queue *q, struct job *j, enum job_state state)
{
    times_end(q, j);
    j->state = (uint8_t)state;
    /* Never before an end that was written down: with a clock that was set back, a restart would think it long ago. */
    q->last_end_unix_ms = q->unix_ms > q->last_end_unix_ms ? q->unix_ms : q->last_end_unix_ms;
    j->finished_unix_ms = q->last_end_unix_ms;
    j->finished_ms = q->now_ms;
    j->next_finished = NULL;
    if (q->last_finished)
        q->last_finished->next_finished = j;
    else
        q->first_finished = j;
    q->last_finished = j;
    q->finished++;
    q->unfinished--;
    kind_update(j);
    job_changed(q, j);
    queue_record(
        q, &(struct journal_record){.type = JOURNAL_FINISHED, .job = j->id, .unix_ms = (uint64_t)j->finished_unix_ms});
}

void job_settle(struct queue *q, struct job *j)
{
    if (j->state == JOB_ACTIVE && j->queued == 0 && j->leased == 0)
        finish(q, j, JOB_DONE);
}

void job_reopen(struct queue *q, struct job *j)
{
    struct job **link = &q->first_finished, *before = NULL;
    while (*link != j) {
        before = *link;
        link = &before->next_finished;
    }
    *link = j->next_finished;
    if (q->last_finished == j)
        q->last_finished = before;
    q->finished--;
    q->unfinished++;
    j->state = JOB_ACTIVE;
    j->finished_unix_ms = j->finished_ms = 0;
    queue_record(q, &(struct journal_record){.type = JOURNAL_REOPENED, .job = j->id});
}

void job_destroy(struct queue *q, struct job *j)
{
    times_end(q, j);
    key_forget(q, j);
    if (j->kind) {
        j->kind->jobs--;
        kind_release(q, j->kind);
    }
    blocks_free(&j->blocks, &q->memory);
    memory_free(&q->memory, j->items);
    memory_free(&q->memory, j->order);
    memory_free(&q->memory, j);
}

/* ---- cancelling ---- */

static void abort_leases(struct queue *q, struct worker *w, const struct job *j)
{
    struct queue_action *a = NULL;
    struct lease *next;
    for (struct lease *l = w->leases; l; l = next) {
        next = l->next;
        if (l->job != j)
            continue;
        if (!a) {
            a = actions_add(q, QUEUE_ABORT);
            a->worker = w->id;
        }
        actions_entry(q, a, (struct queue_entry){.token = l->token, .index = l->index, .verdict = VERDICT_ABORT});
        struct item *item = &j->items[l->index];
        item_unlease(q, item);
        item->state = ITEM_CANCELLED;
    }
}

int job_stop(struct queue *q, struct job *j)
{
    if (job_is_over(j))
        return STATUS_OK;
    const int code = actions_reserve(q, 4 + q->unfinished + 4 * (size_t)q->worker_count, j->leased);
    if (code)
        return code;
    j->cancelled = j->queued + j->leased;
    for (uint32_t i = 0; i < q->worker_count && j->leased; i++)
        abort_leases(q, q->workers[i], j);
    j->queued = 0;
    times_end(q, j);
    queue_record(q, &(struct journal_record){.type = JOURNAL_CANCELLED, .job = j->id});
    finish(q, j, JOB_CANCELLED);
    return STATUS_OK;
}

int job_cancel(struct queue *q, const struct queue_event *e)
{
    struct job *j = job_find(q, e->job->job);
    if (j)
        return job_stop(q, j);
    actions_refuse(q, ERROR_NOT_FOUND, "no such job");
    return STATUS_OK;
}

/* When memory runs out between two jobs, those before are cancelled and the event may come again for the rest. */
int job_session_gone(struct queue *q, const struct queue_event *e)
{
    int code = STATUS_OK;
    for (uint32_t i = 0; i < q->job_count && !code; i++) {
        struct job *j = q->jobs[i];
        if (j->session == e->session && job_needs_session(j))
            code = job_stop(q, j);
    }
    return code;
}

uint64_t queue_session_after(const struct queue *q, uint64_t after)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < q->job_count; i++) {
        const struct job *j = q->jobs[i];
        if (job_needs_session(j) && j->session > after && (!next || j->session < next))
            next = j->session;
    }
    return next;
}

/* ---- the end of keeping ---- */

static void retire_first(struct queue *q)
{
    struct job *j = q->first_finished;
    q->first_finished = j->next_finished;
    if (!q->first_finished)
        q->last_finished = NULL;
    q->finished--;
    uint32_t at = job_place(q, j->id);
    memmove(&q->jobs[at], &q->jobs[at + 1], (--q->job_count - at) * sizeof(struct job *));
    j->next_finished = q->removed;
    q->removed = j;
    key_forget(q, j);
    queue_record(q, &(struct journal_record){.type = JOURNAL_REMOVED, .job = j->id});
}

/* A job of a million items is given back over many events, so that none takes long. */
static void reap(struct queue *q)
{
    uint32_t left = REAP_MAX;
    while (q->removed && left) {
        struct job *j = q->removed;
        while (j->item_count && left) {
            tokens_remove(&q->tokens, j->items[--j->item_count].token);
            q->item_count--;
            left--;
        }
        if (j->item_count)
            return;
        q->removed = j->next_finished;
        job_destroy(q, j);
        left -= left > 0;
    }
}

void job_retire(struct queue *q)
{
    while (q->first_finished &&
           (q->finished > QUEUE_KEEP_JOBS || (q->now_ms - q->first_finished->finished_ms >= QUEUE_KEEP_MS)))
        retire_first(q);
    if (q->first_finished && !q->removed && q->item_count > QUEUE_ITEMS_KEEP)
        retire_first(q);
    reap(q);
}
