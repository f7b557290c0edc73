/* What happens by time: a job's start and deadline, the wait between two attempts, the end of a lease. */
#include "queue_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- a job's start and deadline ---- */

static uint64_t wall_ms(const struct queue *q)
{
    return (uint64_t)(q->unix_ms < 0 ? 0 : q->unix_ms);
}

/* Monotonic time until a wall time, as the clock stands now; looked at again before long, since clocks are set. Later
 * than now, unless that time has come: a timer that rings without effect would ring for ever. */
static int64_t until(const struct queue *q, uint64_t unix_ms)
{
    const uint64_t wall = wall_ms(q), left = unix_ms > wall ? unix_ms - wall : 0;
    return q->now_ms + (int64_t)(left > RECHECK_MS ? RECHECK_MS : left);
}

/* When the timer must ring next; INT64_MAX: never again. */
static int64_t next_of_job(const struct queue *q, const struct job *j)
{
    int64_t at = INT64_MAX;
    if (j->expired)
        return j->expire_at < j->item_count ? q->now_ms : INT64_MAX;
    if (j->early)
        at = until(q, j->start_unix_ms);
    if (j->deadline_unix_ms) {
        const int64_t end = until(q, j->deadline_unix_ms);
        at = end < at ? end : at;
    }
    return at;
}

static void stop_timer(struct queue *q, struct job *j)
{
    if (j->timed)
        heap_remove(&q->timers, j->timer.position);
    j->timed = false;
}

/* A place in the heap is there: whoever has a deadline or a start keeps it while the job lasts. */
static void arm(struct queue *q, struct job *j)
{
    const int64_t at = next_of_job(q, j);
    if (at == INT64_MAX && !j->expired) { /* an expired one keeps its place: items may still come back */
        stop_timer(q, j);
        return;
    }
    j->timer.at_ms = at;
    if (j->timed) {
        heap_update(&q->timers, j->timer.position);
    } else {
        (void)!heap_insert(&q->timers, j); /* reserved by times_begin, or just taken out */
        j->timed = true;
    }
}

int times_begin(struct queue *q, struct job *j)
{
    j->early = j->start_unix_ms > wall_ms(q);
    if (!j->early && !j->deadline_unix_ms)
        return STATUS_OK;
    const int code = heap_reserve(&q->timers, 1);
    if (!code)
        arm(q, j);
    return code;
}

void times_end(struct queue *q, struct job *j)
{
    stop_timer(q, j);
    struct wait *next;
    for (struct wait *w = j->waits; w; w = next) {
        next = w->next;
        j->items[w->index].waits = false;
        j->items[w->index].next = 0;
        times_wait_end(q, w);
    }
}

/* Ends what has no outcome yet, some at a time. Chains are let go of first: nothing is granted any more. */
static void expire(struct queue *q, struct job *j)
{
    if (!j->expired) {
        j->expired = true;
        j->expire_at = 0;
        j->again = j->retry = j->crashed = (struct chain){0};
        kind_update(j);
    }
    j->fresh = j->item_count; /* none waits for its first grant */
    for (; q->expire_left && j->expire_at < j->item_count && !job_is_over(j); q->expire_left--) {
        const uint32_t index = j->expire_at++;
        const uint8_t state = j->items[index].state;
        if (state == ITEM_QUEUED || state == ITEM_LEASED)
            item_end_silently(q, j, index, FAILURE_TIMEOUT, "the job's deadline was over");
    }
}

void times_missed(struct queue *q, struct job *j, uint32_t index)
{
    if (index < j->expire_at)
        j->expire_at = index;
    arm(q, j);
}

void times_drop_deadline(struct queue *q, struct job *j)
{
    j->deadline_unix_ms = 0;
    if (j->expired) {
        j->expired = false;
        for (uint32_t i = 0; i < j->fresh; i++)
            if (j->items[i].state == ITEM_QUEUED && !j->items[i].waits)
                item_chain(j, i);
    }
    arm(q, j);
}

void times_of_job(struct queue *q, struct job *j)
{
    const uint64_t wall = wall_ms(q);
    if (j->early && wall >= j->start_unix_ms) {
        j->early = false;
        kind_update(j);
    }
    if (j->expired || (j->deadline_unix_ms && wall >= j->deadline_unix_ms))
        expire(q, j);
    if (!job_is_over(j))
        arm(q, j);
}

/* ---- between two attempts ---- */

/* Between half and all of the doubled backoff. What is added to the half comes from the token: no two items of a failed
 * lease come back at once, and the same events give the same waits. */
static int64_t backoff(const struct job *j, const struct item *item)
{
    const uint32_t doublings = item->attempts > 1 ? item->attempts - 1u : 0;
    uint64_t most = doublings < 32 ? (uint64_t)j->backoff_ms << doublings : LIMIT_BACKOFF_MS;
    most = most > LIMIT_BACKOFF_MS ? LIMIT_BACKOFF_MS : most;
    const uint64_t mixed = item->token * UINT64_C(0x9e3779b97f4a7c15) >> 40; /* 24 bits */
    return (int64_t)(most / 2 + (most - most / 2) * mixed / (UINT64_C(1) << 24));
}

bool times_wait(struct queue *q, struct job *j, uint32_t index)
{
    struct item *const item = &j->items[index];
    struct wait *const w = heap_reserve(&q->timers, 1) ? NULL : memory_resize(&q->memory, NULL, sizeof *w);
    if (!w)
        return false;
    *w = (struct wait){.timer = {.at_ms = q->now_ms + backoff(j, item), .type = TIMER_WAIT},
                       .job = j,
                       .next = j->waits,
                       .index = index};
    if (j->waits)
        j->waits->previous = w;
    j->waits = w;
    j->waiting++;
    item->waits = true;
    item->wait = w;
    (void)!heap_insert(&q->timers, w); /* reserved */
    return true;
}

void times_wait_end(struct queue *q, struct wait *w)
{
    heap_remove(&q->timers, w->timer.position);
    if (w->previous)
        w->previous->next = w->next;
    else
        w->job->waits = w->next;
    if (w->next)
        w->next->previous = w->previous;
    w->job->waiting--;
    memory_free(&q->memory, w);
}

void times_of_wait(struct queue *q, struct wait *w)
{
    struct job *const j = w->job;
    const uint32_t index = w->index;
    times_wait_end(q, w);
    j->items[index].waits = false;
    if (j->expired) {
        times_missed(q, j, index);
        return;
    }
    item_chain(j, index);
    kind_update(j);
}

/* ---- leases ---- */

static int64_t sooner(int64_t at, int64_t from_ms, uint32_t limit_ms)
{
    return limit_ms && from_ms + limit_ms < at ? from_ms + limit_ms : at;
}

void times_arm_lease(const struct queue *q, struct lease *l)
{
    int64_t at = q->now_ms + q->lease_ms;
    at = sooner(at, l->begun_ms, l->job->attempt_ms);
    l->timer.at_ms = sooner(at, l->moved_ms, l->job->stall_ms);
}

void times_of_lease(struct queue *q, struct lease *l)
{
    struct job *const j = l->job;
    const uint32_t index = l->index;
    struct item *const item = &j->items[index];
    const bool too_long = j->attempt_ms && q->now_ms - l->begun_ms >= j->attempt_ms;
    const bool stalled = j->stall_ms && q->now_ms - l->moved_ms >= j->stall_ms;
    char text[LIMIT_MESSAGE];
    if (!too_long && !stalled) {
        item_lapse(q, l);
        return;
    }
    item->settled = false;
    if (item->attempts < j->max_attempts) {
        item_try_later(q, j, index);
        return;
    }
    snprintf(text, sizeof text, too_long ? "it took longer than %" PRIu32 " ms" : "no progress for %" PRIu32 " ms",
             too_long ? j->attempt_ms : j->stall_ms);
    item_end_silently(q, j, index, FAILURE_TIMEOUT, text);
}
