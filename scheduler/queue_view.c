/* Queries: what clients and the broker may know. Nothing here changes the queue. */
#include "queue_state.h"

#include <math.h>

enum { DEFAULT_LIST = 100 };

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
                                .commits = j->done + j->dead,
                                .attempts = j->attempts,
                                .submitted_unix_ms = (uint64_t)j->submitted_unix_ms,
                                .finished_unix_ms = (uint64_t)j->finished_unix_ms,
                                .progress = j->item_count ? part / j->item_count : NAN};
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

/* Index in q->jobs of the first job with a larger id. */
static uint32_t first_after(const struct queue *q, uint64_t id)
{
    uint32_t low = 0, high = q->job_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (q->jobs[middle]->id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int queue_list(const struct queue *q, const struct message_list *list, struct wire_buffer *out, uint32_t *count,
               bool *more)
{
    const uint64_t asked = list->limit ? list->limit : DEFAULT_LIST;
    const uint32_t limit = asked < QUEUE_LIST_MAX ? (uint32_t)asked : QUEUE_LIST_MAX;
    const uint32_t first = first_after(q, list->after);
    uint32_t n = 0;
    for (; n < limit && first + n < q->job_count; n++) {
        struct message_job m;
        view_job(q->jobs[first + n], &m);
        const int code = wire_encode(&job_schema, &m, out);
        if (code)
            return code;
    }
    *count = n;
    *more = first + n < q->job_count;
    return STATUS_OK;
}

static void view_outcome(const struct job *j, uint32_t index, bool with_path, struct message_outcome *out)
{
    const struct item *item = &j->items[index];
    struct message_item spec;
    *out = (struct message_outcome){
        .index = index, .state = item->state, .failure = item->failure, .attempts = item->attempts};
    item_outcome(item, &out->message, &out->result);
    item_spec(item, &spec);
    if (with_path)
        out->path = spec.path;
}

int queue_page(const struct queue *q, const struct message_watch *watch, struct wire_buffer *out, uint32_t *count,
               uint64_t *next)
{
    const struct job *j = job_find(q, watch->job);
    if (!j)
        return no_such_job(watch->job);
    const uint64_t commits = (uint64_t)j->done + j->dead;
    const uint64_t first = watch->cursor < commits ? watch->cursor : commits;
    const uint64_t limit = watch->limit && watch->limit < QUEUE_PAGE_MAX ? watch->limit : QUEUE_PAGE_MAX;
    const size_t start = out->bytes;
    uint64_t at = first;
    for (; at < commits && at - first < limit; at++) {
        struct message_outcome m;
        const size_t before = out->bytes;
        view_outcome(j, j->order[at], watch->with_path, &m);
        const int code = wire_encode(&outcome_schema, &m, out);
        if (code)
            return code;
        if (out->bytes - start > QUEUE_PAGE_BYTES && at > first) {
            out->bytes = before; /* the first to go over waits for the next page */
            break;
        }
    }
    *count = (uint32_t)(at - first);
    *next = at;
    return STATUS_OK;
}

int queue_item(const struct queue *q, uint64_t job, uint32_t index, struct message_item *out)
{
    const struct job *j = job_find(q, job);
    if (!j || index >= j->item_count)
        return no_such_job(job);
    item_spec(&j->items[index], out);
    return STATUS_OK;
}

int queue_spec(const struct queue *q, uint64_t job, struct wire_slice *kind, struct wire_slice *params)
{
    const struct job *j = job_find(q, job);
    if (!j)
        return no_such_job(job);
    *kind = (struct wire_slice){j->kind->name, j->kind->bytes};
    *params = j->params;
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
                                         .committed = w->committed};
        const int code = wire_encode(&worker_schema, &m, out);
        if (code)
            return code;
        ++*count;
    }
    return STATUS_OK;
}
