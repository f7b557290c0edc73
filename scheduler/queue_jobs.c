#include "queue_state.h"

#include <string.h>

bool job_is_over(const struct job *j)
{
    return j->state == JOB_DONE || j->state == JOB_CANCELLED;
}

struct job *job_find(const struct queue *q, uint64_t id)
{
    uint32_t low = 0, high = q->job_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (q->jobs[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < q->job_count && q->jobs[low]->id == id ? q->jobs[low] : NULL;
}

void job_changed(struct queue *q, struct job *j)
{
    if (j->changed)
        return;
    j->changed = true;
    j->next_changed = q->first_changed;
    q->first_changed = j;
}

static void finish(struct queue *q, struct job *j, enum job_state state)
{
    j->state = (uint8_t)state;
    j->finished_unix_ms = q->unix_ms;
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

/* ---- submitting ---- */

static int reserve_jobs(struct queue *q)
{
    if (q->job_count < q->job_capacity)
        return STATUS_OK;
    const uint32_t capacity = q->job_count ? 2 * q->job_count : 16;
    struct job **grown = memory_resize(&q->memory, q->jobs, capacity * sizeof(struct job *));
    if (!grown)
        return fail(STATUS_NOMEM, "%u jobs", capacity);
    q->jobs = grown;
    q->job_capacity = capacity;
    return STATUS_OK;
}

void job_destroy(struct queue *q, struct job *j)
{
    if (j->kind) {
        j->kind->jobs--;
        kind_release(q, j->kind);
    }
    blocks_free(&j->blocks, &q->memory);
    memory_free(&q->memory, j->items);
    memory_free(&q->memory, j->order);
    memory_free(&q->memory, j);
}

static int job_fill(struct queue *q, struct job *j, const struct message_submit *m)
{
    struct kind *kind = kind_use(q, m->kind);
    if (!kind)
        return fail(STATUS_NOMEM, "kinds");
    if (kind_reserve_job(q, kind)) {
        kind_release(q, kind);
        return STATUS_NOMEM;
    }
    j->kind = kind;
    wire_copy(m->name, j->name, sizeof j->name);
    j->priority = (int32_t)m->priority;
    j->max_attempts = (uint8_t)(m->max_attempts ? m->max_attempts : QUEUE_ATTEMPTS);
    j->cancel_on_disconnect = m->cancel_on_disconnect;
    if (m->params.bytes) {
        uint8_t *params = blocks_take(&j->blocks, &q->memory, m->params.bytes);
        if (!params)
            return fail(STATUS_NOMEM, "parameters of %u bytes", m->params.bytes);
        memcpy(params, m->params.data, m->params.bytes);
        j->params = (struct wire_slice){params, m->params.bytes};
    }
    return item_append(q, j, m->items);
}

static void record_items(struct queue *q, const struct job *j, uint32_t first)
{
    if (!q->journal)
        return;
    for (uint32_t i = first; i < j->item_count; i++) {
        struct journal_record r = {.type = JOURNAL_ITEM, .job = j->id, .index = i};
        item_spec(&j->items[i], &r.item);
        queue_record(q, &r);
    }
}

static void seal(struct queue *q, struct job *j)
{
    j->state = JOB_ACTIVE;
    queue_record(q, &(struct journal_record){.type = JOURNAL_SEALED, .job = j->id});
    job_settle(q, j);
}

static void accept(struct queue *q, const struct job *j)
{
    struct queue_action *a = actions_add(q, QUEUE_ACCEPTED);
    a->job = j->id;
    a->count = j->item_count;
}

int job_create(struct queue *q, uint64_t id, uint64_t session, const struct message_submit *m, struct job **out)
{
    struct job *j = reserve_jobs(q) ? NULL : memory_resize(&q->memory, NULL, sizeof *j);
    if (!j)
        return fail(STATUS_NOMEM, "job");
    *j = (struct job){.id = id, .session = session, .submitted_unix_ms = q->unix_ms};
    const int code = job_fill(q, j, m);
    if (code) {
        job_destroy(q, j);
        return code;
    }
    q->last_job = id;
    q->jobs[q->job_count++] = j;
    q->unfinished++;
    *out = j;
    return STATUS_OK;
}

int job_submit(struct queue *q, const struct queue_event *e)
{
    const struct message_submit *m = e->submit;
    struct job *j;
    if (q->unfinished >= QUEUE_JOBS_MAX || q->item_count + m->items.count > QUEUE_ITEMS_MAX) {
        actions_refuse(q, ERROR_BUSY, "the scheduler is full");
        return STATUS_OK;
    }
    const int code = job_create(q, q->last_job + 1, e->session, m, &j);
    if (code)
        return code;
    queue_record(q, &(struct journal_record){.type = JOURNAL_JOB,
                                             .job = j->id,
                                             .submitted = {m->kind, m->name, m->params, j->priority, j->max_attempts,
                                                           (uint64_t)j->submitted_unix_ms, j->cancel_on_disconnect}});
    record_items(q, j, 0);
    accept(q, j);
    kind_update(j);
    if (m->sealed)
        seal(q, j);
    return STATUS_OK;
}

int job_add(struct queue *q, const struct queue_event *e)
{
    const struct message_add *m = e->add;
    struct job *j = job_find(q, m->job);
    if (!j) {
        actions_refuse(q, ERROR_NOT_FOUND, "no such job");
        return STATUS_OK;
    }
    const uint64_t known = j->item_count, count = m->items.count;
    const bool repeated = m->first <= known && count <= known - m->first;
    if (!repeated && (m->first != known || j->state != JOB_OPEN)) {
        actions_refuse(q, ERROR_STATE, m->first == known ? "the job is sealed" : "a gap in the numbering of items");
        return STATUS_OK;
    }
    if (!repeated && q->item_count + count > QUEUE_ITEMS_MAX) {
        actions_refuse(q, ERROR_BUSY, "the scheduler is full");
        return STATUS_OK;
    }
    const int code = repeated ? STATUS_OK : item_append(q, j, m->items);
    if (code)
        return code;
    if (!repeated)
        record_items(q, j, (uint32_t)known);
    accept(q, j);
    kind_update(j);
    if (m->sealed && j->state == JOB_OPEN && m->first + count == j->item_count)
        seal(q, j);
    return STATUS_OK;
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
    queue_record(q, &(struct journal_record){.type = JOURNAL_CANCELLED, .job = j->id});
    finish(q, j, JOB_CANCELLED);
    return STATUS_OK;
}

int job_cancel(struct queue *q, const struct queue_event *e)
{
    struct job *j = job_find(q, e->cancel->job);
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
        if (j->session == e->session && !job_is_over(j) && (j->cancel_on_disconnect || j->state == JOB_OPEN))
            code = job_stop(q, j);
    }
    return code;
}

/* ---- the end of keeping ---- */

static void retire_first(struct queue *q)
{
    struct job *j = q->first_finished;
    q->first_finished = j->next_finished;
    if (!q->first_finished)
        q->last_finished = NULL;
    q->finished--;
    uint32_t at = 0;
    while (q->jobs[at] != j)
        at++;
    memmove(&q->jobs[at], &q->jobs[at + 1], (--q->job_count - at) * sizeof(struct job *));
    j->next_finished = q->removed;
    q->removed = j;
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
