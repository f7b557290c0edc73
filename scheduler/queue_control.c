/* What people change of a job afterwards: RETRY, PAUSE, RESUME, PRIORITY. */
#include "queue_state.h"

#include <string.h>

void control_record(struct queue *q, const struct job *j)
{
    queue_record(q, &(struct journal_record){.type = JOURNAL_CONTROL,
                                             .job = j->id,
                                             .control = {.priority = j->priority,
                                                         .paused = j->paused,
                                                         .session = j->session,
                                                         .deadline_unix_ms = j->deadline_unix_ms}});
}

static struct job *job_of(struct queue *q, uint64_t id)
{
    struct job *j = job_find(q, id);
    if (!j)
        actions_refuse(q, ERROR_NOT_FOUND, "no such job");
    return j;
}

/* ---- pausing and priority ---- */

/* To every worker that has items of the job: VERDICT_YIELD asks for what has saved, which goes on from there later,
 * wherever that is, while the rest would lose what it has done; VERDICT_PRIORITY tells of all. The leases go on until
 * the workers say what became of them. Room for it is reserved. */
static void tell_workers(struct queue *q, const struct job *j, enum lease_verdict verdict)
{
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct queue_action *a = NULL;
        for (const struct lease *l = q->workers[i]->leases; l; l = l->next) {
            if (l->job != j || (verdict == VERDICT_YIELD && !j->items[l->index].saved))
                continue;
            if (!a)
                a = actions_add(q, QUEUE_ABORT);
            a->worker = q->workers[i]->id;
            actions_entry(q, a,
                          (struct queue_entry){
                              .token = l->token, .index = l->index, .verdict = verdict, .priority = j->priority});
        }
    }
}

static int reserve_telling(struct queue *q, const struct job *j)
{
    return actions_reserve(q, 4 + q->unfinished + 4 * (size_t)q->worker_count + j->leased, j->leased);
}

static int set_paused(struct queue *q, const struct queue_event *e, bool paused)
{
    struct job *j = job_of(q, e->job->job);
    if (!j || j->paused == paused || job_is_over(j))
        return STATUS_OK;
    const int code = reserve_telling(q, j);
    if (code)
        return code;
    j->paused = paused;
    kind_update(j);
    control_record(q, j);
    if (paused)
        tell_workers(q, j, VERDICT_YIELD);
    job_changed(q, j);
    return STATUS_OK;
}

int control_pause(struct queue *q, const struct queue_event *e)
{
    return set_paused(q, e, true);
}

int control_resume(struct queue *q, const struct queue_event *e)
{
    return set_paused(q, e, false);
}

/* The place among ready jobs follows from the priority, so the job leaves its old one before. */
void control_set_priority(struct job *j, int32_t priority)
{
    const bool paused = j->paused;
    j->paused = true;
    kind_update(j);
    j->priority = priority;
    j->paused = paused;
    kind_update(j);
}

int control_priority(struct queue *q, const struct queue_event *e)
{
    struct job *j = job_of(q, e->priority->job);
    if (!j || j->priority == e->priority->priority || job_is_over(j))
        return STATUS_OK;
    const int code = reserve_telling(q, j);
    if (code)
        return code;
    control_set_priority(j, (int32_t)e->priority->priority);
    control_record(q, j);
    tell_workers(q, j, VERDICT_PRIORITY);
    job_changed(q, j);
    return STATUS_OK;
}

/* ---- trying dead items again ---- */

/* Marks the dead items that are meant and counts them. */
static uint32_t choose(struct job *j, struct wire_list indexes)
{
    uint32_t count = 0;
    uint64_t index;
    const bool all = indexes.count == 0;
    for (uint32_t i = 0; all && i < j->item_count; i++)
        if (j->items[i].state == ITEM_DEAD) {
            j->items[i].seen = true;
            count++;
        }
    while (wire_next_uint(&indexes, &index))
        if (index < j->item_count && j->items[index].state == ITEM_DEAD && !j->items[index].seen) {
            j->items[index].seen = true;
            count++;
        }
    return count;
}

static void try_again(struct queue *q, struct job *j)
{
    for (uint32_t c = 0; c < j->commits; c++) {
        const uint32_t index = j->order[c];
        struct item *const item = index & ORDER_RETRIED ? NULL : &j->items[index];
        if (!item || !item->seen)
            continue;
        j->order[c] |= ORDER_RETRIED;
        item->seen = false;
        item->outcome = NULL;
        item->attempts = 0;
        item->failure = 0;
        memset(item->crashed, 0, sizeof item->crashed);
        j->dead--;
        item_requeue(q, j, index);
    }
}

int control_retry(struct queue *q, const struct queue_event *e)
{
    struct job *j = job_of(q, e->retry->job);
    if (!j)
        return STATUS_OK;
    if (j->state == JOB_CANCELLED) {
        actions_refuse(q, ERROR_STATE, "the job was cancelled");
        return STATUS_OK;
    }
    if (job_is_over(j) && j->dead && q->unfinished >= QUEUE_JOBS_MAX) {
        actions_refuse(q, ERROR_BUSY, "the scheduler is full");
        return STATUS_OK;
    }
    int code = item_reserve_order(q, j, j->dead);
    code = code ? code : heap_reserve(&q->timers, 1); /* its start may not have come */
    const uint32_t chosen = code ? 0 : choose(j, e->retry->indexes);
    if (code || !chosen)
        return code;
    if (job_is_over(j))
        job_reopen(q, j);
    const bool had_deadline = j->deadline_unix_ms != 0;
    times_drop_deadline(q, j); /* it would end them at once; a start that has not come is waited for again */
    if (had_deadline)
        control_record(q, j);
    try_again(q, j);
    if (j->wave)
        wave_begin(j);
    kind_update(j);
    job_changed(q, j);
    return STATUS_OK;
}
