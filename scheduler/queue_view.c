/* Queries: what clients and the broker may know. Nothing here changes the queue. */
#include "queue_state.h"

#include <math.h>
#include <string.h>

enum {
    DEFAULT_LIST = 100,
    PAGE_SCAN = 65536 /* outcomes that one page looks through for dead ones */
};

static void view_job(const struct job *j, struct message_job *out)
{
    const uint32_t over = j->done + j->dead + j->cancelled;
    const double part = over + (double)j->progress / PROGRESS_ONE;
    *out = (struct message_job){.job = j->id,
                                .state = j->state,
                                .kind = {j->kind->name, j->kind->bytes},
                                .name = wire_str(j->name),
                                .priority = j->priority,
                                .items = j->item_count,
                                .queued = j->queued,
                                .leased = j->leased,
                                .done = j->done,
                                .dead = j->dead,
                                .cancelled = j->cancelled,
                                .commits = j->commits,
                                .attempts = j->attempts,
                                .submitted_unix_ms = (uint64_t)j->submitted_unix_ms,
                                .finished_unix_ms = (uint64_t)j->finished_unix_ms,
                                .progress = j->item_count ? part / j->item_count : NAN,
                                .paused = j->paused,
                                .start_unix_ms = j->start_unix_ms,
                                .deadline_unix_ms = j->deadline_unix_ms,
                                .waiting = j->waiting,
                                .max_attempts = j->max_attempts,
                                .device_bytes = j->device_bytes,
                                .wave = j->wave};
}

static int no_such_job(uint64_t id)
{
    return fail(STATUS_NOT_FOUND, "no job %llu", (unsigned long long)id);
}

int queue_show(const struct queue *q, uint64_t job, struct message_job *out)
{
    const struct job *j = job_find(q, job);
    if (!j)
        return no_such_job(job);
    view_job(j, out);
    return STATUS_OK;
}

static enum job_phase phase_of(const struct job *j)
{
    if (j->state == JOB_CANCELLED)
        return PHASE_CANCELLED;
    if (j->state == JOB_DONE)
        return j->dead ? PHASE_DEAD : PHASE_DONE;
    return j->leased || j->commits || j->attempts ? PHASE_RUNNING : PHASE_QUEUED;
}

static bool is_same(struct wire_slice a, const void *data, size_t bytes)
{
    return a.bytes == bytes && (bytes == 0 || memcmp(a.data, data, bytes) == 0);
}

static bool is_asked_for(const struct job *j, const struct message_list *list)
{
    return (!list->phases || (list->phases & phase_of(j))) &&
           (!list->kind.bytes || is_same(list->kind, j->kind->name, j->kind->bytes)) &&
           (!list->name.bytes || is_same(list->name, j->name, strlen(j->name)));
}

int queue_list(const struct queue *q, const struct message_list *list, struct wire_buffer *out, uint32_t *count,
               bool *more)
{
    const uint64_t asked = list->limit ? list->limit : DEFAULT_LIST;
    const uint32_t limit = asked < QUEUE_LIST_MAX ? (uint32_t)asked : QUEUE_LIST_MAX;
    uint32_t at = list->after < UINT64_MAX ? job_place(q, list->after + 1) : q->job_count;
    *count = 0;
    *more = false;
    for (; at < q->job_count && !*more; at++) {
        struct message_job m;
        if (!is_asked_for(q->jobs[at], list))
            continue;
        *more = *count == limit;
        view_job(q->jobs[at], &m);
        const int code = *more ? STATUS_OK : wire_encode(&job_schema, &m, out);
        if (code)
            return code;
        *count += !*more;
    }
    return STATUS_OK;
}

static void view_outcome(const struct job *j, uint32_t entry, bool with_path, struct message_outcome *out)
{
    const uint32_t index = entry & ~ORDER_RETRIED;
    const struct item *item = &j->items[index];
    struct journal_outcome o = {.state = ITEM_DEAD};
    struct message_item spec;
    if (!(entry & ORDER_RETRIED))
        item_outcome(item, &o);
    *out = (struct message_outcome){.index = index,
                                    .state = o.state,
                                    .failure = o.failure,
                                    .message = o.message,
                                    .result = o.result,
                                    .log = o.log,
                                    .attempts = entry & ORDER_RETRIED ? 0 : item->attempts,
                                    .retried = (entry & ORDER_RETRIED) != 0};
    item_spec(item, &spec);
    if (with_path)
        out->path = spec.path;
}

static bool is_dead(const struct job *j, uint32_t entry)
{
    return !(entry & ORDER_RETRIED) && j->items[entry].state == ITEM_DEAD;
}

int queue_page(const struct queue *q, const struct message_watch *watch, struct wire_buffer *out, uint32_t *count,
               uint64_t *next)
{
    const struct job *j = job_find(q, watch->job);
    if (!j)
        return no_such_job(watch->job);
    const uint64_t first = watch->cursor < j->commits ? watch->cursor : j->commits;
    const uint64_t limit = watch->limit && watch->limit < QUEUE_PAGE_MAX ? watch->limit : QUEUE_PAGE_MAX;
    const size_t start = out->bytes;
    uint64_t at = first;
    *count = 0;
    for (; at < j->commits && *count < limit && at - first < PAGE_SCAN; at++) {
        struct message_outcome m;
        const size_t before = out->bytes;
        if (watch->dead_only && !is_dead(j, j->order[at]))
            continue;
        view_outcome(j, j->order[at], watch->with_path, &m);
        const int code = wire_encode(&outcome_schema, &m, out);
        if (code)
            return code;
        if (out->bytes - start > QUEUE_PAGE_BYTES && *count > 0) {
            out->bytes = before; /* the first to go over waits for the next page */
            break;
        }
        ++*count;
    }
    *next = at;
    return STATUS_OK;
}

int queue_item(const struct queue *q, uint64_t job, uint32_t index, struct message_lease *out)
{
    const struct job *j = job_find(q, job);
    struct message_item spec;
    if (!j || index >= j->item_count)
        return no_such_job(job);
    const struct item *item = &j->items[index];
    item_spec(item, &spec);
    *out = (struct message_lease){
        .index = index, .path = spec.path, .object = spec.object, .params = spec.params, .progress = NAN};
    if (item->saved && (item->state == ITEM_QUEUED || item->state == ITEM_LEASED)) {
        out->checkpoint = (struct wire_slice){item->saved, LIMIT_OBJECT};
        memcpy(&out->progress, item->saved + LIMIT_OBJECT, sizeof out->progress);
    }
    return STATUS_OK;
}

bool queue_token(const struct queue *q, uint64_t token, uint64_t *job, uint32_t *index, uint32_t *attempt)
{
    const struct token_place *p = tokens_find(&q->tokens, token);
    if (!p)
        return false;
    const struct job *j = p->job;
    *job = j->id;
    *index = p->index;
    *attempt = j->items[p->index].attempts;
    return true;
}

void queue_each_object(const struct queue *q, void (*each)(void *context, const uint8_t hash[LIMIT_OBJECT]),
                       void *context)
{
    for (uint32_t i = 0; i < q->job_count; i++)
        for (uint32_t n = 0; n < q->jobs[i]->item_count; n++) {
            const struct item *item = &q->jobs[i]->items[n];
            struct message_item spec;
            item_spec(item, &spec);
            if (spec.object.bytes == LIMIT_OBJECT)
                each(context, spec.object.data);
            if (item->saved && (item->state == ITEM_QUEUED || item->state == ITEM_LEASED))
                each(context, item->saved);
        }
}

int queue_spec(const struct queue *q, uint64_t job, struct message_grant *out)
{
    const struct job *j = job_find(q, job);
    if (!j)
        return no_such_job(job);
    out->job = job;
    out->kind = (struct wire_slice){j->kind->name, j->kind->bytes};
    out->params = j->params;
    out->priority = j->priority;
    return STATUS_OK;
}

void queue_stats(const struct queue *q, struct queue_stats *out)
{
    *out = (struct queue_stats){
        .jobs = q->unfinished, .workers = q->worker_count, .items = q->item_count, .kept = q->job_count};
    for (uint32_t i = 0; i < q->worker_count; i++)
        out->workers -= q->workers[i]->past;
    for (uint32_t i = 0; i < q->job_count; i++) {
        out->queued += q->jobs[i]->queued;
        out->leased += q->jobs[i]->leased;
    }
}

int queue_workers(const struct queue *q, struct wire_buffer *out, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < q->worker_count; i++) {
        const struct worker *w = q->workers[i];
        if (w->past)
            continue;
        const struct message_worker m = {.worker = w->id,
                                         .name = wire_str(w->name),
                                         .device = wire_str(w->device),
                                         .pid = w->pid,
                                         .threads = w->threads,
                                         .leased = w->leased,
                                         .committed = w->committed,
                                         .quarantined = w->blamed_count == BLAMED_KEPT,
                                         .device_id = wire_str(w->room ? w->room->id : NULL),
                                         .device_bytes = w->room ? w->room->bytes : 0,
                                         .booked_bytes = w->room ? w->room->booked : 0};
        const int code = wire_encode(&worker_schema, &m, out);
        if (code)
            return code;
        ++*count;
    }
    return STATUS_OK;
}
