#include "queue_state.h"

static bool timer_is_before(const void *a, const void *b)
{
    return ((const struct timer *)a)->at_ms < ((const struct timer *)b)->at_ms;
}

static void timer_moved(void *element, size_t position)
{
    ((struct timer *)element)->position = position;
}

int queue_create(const struct queue_options *options, struct queue **out)
{
    if (options->lease_ms < 1 || options->epoch >= UINT64_C(1) << 23)
        return fail(STATUS_ARGUMENT, "lease of %lld ms, epoch %llu", (long long)options->lease_ms,
                    (unsigned long long)options->epoch);
    struct queue *q = memory_resize(&options->memory, NULL, sizeof *q);
    if (!q)
        return fail(STATUS_NOMEM, "queue");
    *q = (struct queue){.memory = options->memory,
                        .journal = options->journal,
                        .epoch = options->epoch,
                        .lease_ms = options->lease_ms,
                        .now_ms = INT64_MIN,
                        .timers = {.is_before = timer_is_before, .moved = timer_moved}};
    q->timers.memory = q->tokens.memory = q->keys.memory = &q->memory;
    *out = q;
    return STATUS_OK;
}

void queue_destroy(struct queue **out)
{
    struct queue *q = *out;
    if (!q)
        return;
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct lease *next;
        for (struct lease *l = q->workers[i]->leases; l; l = next) {
            next = l->next;
            heap_remove(&q->timers, l->timer.position);
            memory_free(&q->memory, l);
        }
        heap_remove(&q->timers, q->workers[i]->timer.position);
        worker_destroy(q, q->workers[i]);
    }
    for (uint32_t i = 0; i < q->job_count; i++)
        job_destroy(q, q->jobs[i]);
    while (q->removed) {
        struct job *j = q->removed;
        q->removed = j->next_finished;
        job_destroy(q, j);
    }
    heap_free(&q->timers);
    tokens_free(&q->tokens);
    tokens_free(&q->keys);
    memory_free(&q->memory, q->jobs);
    memory_free(&q->memory, q->workers);
    const struct memory memory = q->memory;
    memory_free(&memory, q);
    *out = NULL;
}

void queue_record(struct queue *q, const struct journal_record *r)
{
    if (q->journal)
        q->journal->put(q->journal, r);
}

static void ring(struct queue *q, struct timer *t)
{
    switch (t->type) {
    case TIMER_LEASE:
        times_of_lease(q, (struct lease *)t);
        break;
    case TIMER_WORKER:
        worker_gone(q, (struct worker *)t, false);
        break;
    case TIMER_JOB:
        times_of_job(q, (struct job *)t);
        break;
    case TIMER_WAIT:
        times_of_wait(q, (struct wait *)t);
        break;
    }
}

/* Everything whose time has come; of jobs whose deadline is over some items, the others in the next tick. */
static int tick(struct queue *q, const struct queue_event *e)
{
    struct timer *t;
    (void)e;
    q->expire_left = EXPIRE_MAX;
    while ((t = heap_first(&q->timers)) && t->at_ms <= q->now_ms && (q->expire_left || t->type != TIMER_JOB))
        ring(q, t);
    return STATUS_OK;
}

static int (*const handlers[])(struct queue *q, const struct queue_event *e) = {
    [QUEUE_SUBMIT] = job_submit,
    [QUEUE_ADD] = job_add,
    [QUEUE_CANCEL] = job_cancel,
    [QUEUE_RETRY] = control_retry,
    [QUEUE_PAUSE] = control_pause,
    [QUEUE_RESUME] = control_resume,
    [QUEUE_PRIORITY] = control_priority,
    [QUEUE_SESSION_GONE] = job_session_gone,
    [QUEUE_READY] = worker_ready,
    [QUEUE_TAKE] = worker_take,
    [QUEUE_BEAT] = report_beat,
    [QUEUE_REPORT] = report_outcomes,
    [QUEUE_CHECKPOINT] = report_checkpoint,
    [QUEUE_RETURN] = report_return,
    [QUEUE_LEAVE] = worker_leave,
    [QUEUE_LOST] = worker_lost,
    [QUEUE_HEARD] = worker_heard,
    [QUEUE_TICK] = tick,
};

int queue_apply(struct queue *q, int64_t now_ms, const struct queue_event *e, struct queue_actions *out)
{
    q->now_ms = now_ms > q->now_ms ? now_ms : q->now_ms;
    q->unix_ms = e->unix_ms;
    q->out = out;
    /* Room for an answer, for one GRANT, ABORT and GONE a worker, and for each job's change: most handlers then cannot
     * fail once they have begun. */
    const size_t most = 4 + q->unfinished + 3 * (size_t)q->worker_count;
    int code = actions_reserve(q, most, 0);
    if (!code)
        code = handlers[e->type](q, e);
    if (!code)
        grant_all(q);
    while (q->first_changed) {
        struct job *j = q->first_changed;
        q->first_changed = j->next_changed;
        j->changed = false;
        actions_add(q, QUEUE_CHANGED)->job = j->id;
    }
    job_retire(q);
    q->out = NULL;
    return code;
}

int64_t queue_next_deadline_ms(const struct queue *q)
{
    const struct timer *t = heap_first(&q->timers);
    int64_t at = t ? t->at_ms : INT64_MAX;
    if (q->removed)
        return q->now_ms;
    if (q->starved && q->now_ms + STARVED_MS < at)
        at = q->now_ms + STARVED_MS;
    if (q->first_finished && q->first_finished->finished_ms + QUEUE_KEEP_MS < at)
        at = q->first_finished->finished_ms + QUEUE_KEEP_MS;
    return at;
}
