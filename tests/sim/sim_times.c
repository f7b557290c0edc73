/* What the time does, as the shadow sees it: starts, deadlines, backoff, the ends of attempts; and what devices have
 * booked. */
#include "sim.h"

/* ---- starts and deadlines ---- */

static int64_t until(const struct shadow *s, uint64_t unix_ms)
{
    const int64_t left = (int64_t)unix_ms - s->unix_ms;
    return s->now_ms + (left < 0 ? 0 : left > SIM_RECHECK_MS ? SIM_RECHECK_MS : left);
}

void shadow_look(struct shadow *s, struct shadow_job *j)
{
    const int64_t start = j->early ? until(s, j->start_unix_ms) : INT64_MAX;
    const int64_t end = j->deadline_unix_ms ? until(s, j->deadline_unix_ms) : INT64_MAX;
    j->rings_ms = j->missed ? INT64_MAX : start < end ? start : end;
}

void shadow_tick(struct shadow *s)
{
    const uint64_t wall = (uint64_t)s->unix_ms;
    s->tick_ms = s->now_ms;
    for (size_t i = 0; i < s->count; i++) {
        struct shadow_job *j = &s->jobs[i];
        const bool was_over = j->state > JOB_ACTIVE && j->finished_in != s->events;
        if (j->rings_ms > s->now_ms || was_over)
            continue;
        j->early &= wall < j->start_unix_ms;
        j->missed |= j->deadline_unix_ms && wall >= j->deadline_unix_ms;
        shadow_look(s, j);
    }
}

/* ---- attempts ---- */

static int64_t sooner(int64_t at, int64_t from_ms, int64_t limit_ms)
{
    return limit_ms && from_ms + limit_ms < at ? from_ms + limit_ms : at;
}

int64_t shadow_until(const struct shadow *s, const struct shadow_item *item)
{
    const struct shadow_job *j = shadow_find(s, item->job);
    return sooner(sooner(s->now_ms + SIM_LEASE_MS, item->begun_ms, j->attempt_ms), item->moved_ms, j->stall_ms);
}

bool shadow_took_too_long(const struct shadow *s, const struct shadow_item *item)
{
    const struct shadow_job *j = shadow_find(s, item->job);
    return (j->attempt_ms && s->now_ms - item->begun_ms >= j->attempt_ms) ||
           (j->stall_ms && s->now_ms - item->moved_ms >= j->stall_ms);
}

void shadow_moved(struct shadow *s, uint64_t token, uint64_t worker, int progress)
{
    struct shadow_item *item = shadow_token(s, token);
    if (!item || item->state != ITEM_LEASED || item->owner != worker)
        return;
    if (progress > item->progress) { /* the largest so far: back and forth is none */
        item->moved_ms = s->now_ms;
        item->progress = progress;
    }
    item->until_ms = shadow_until(s, item);
}

/* After an attempt that failed: at least half of what is doubled with each attempt is waited. */
void shadow_back_off(struct shadow *s, struct shadow_item *item)
{
    int64_t most = shadow_find(s, item->job)->backoff_ms;
    for (uint32_t n = 1; n < item->attempts && most < LIMIT_BACKOFF_MS; n++)
        most *= 2;
    most = most < LIMIT_BACKOFF_MS ? most : LIMIT_BACKOFF_MS;
    item->not_before_ms = s->now_ms + most / 2;
    item->not_after_ms = s->now_ms + most;
    item->failed_in = s->events;
}

void shadow_no_backoff(struct shadow *s)
{
    for (size_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < s->jobs[i].count; k++)
            if (s->jobs[i].items[k].failed_in == s->events)
                s->jobs[i].items[k].not_before_ms = 0;
}

/* What the queue says of items that wait lies between those that must and those that may. */
void shadow_waiting(const struct shadow *s, const struct shadow_job *j, uint64_t waiting)
{
    uint64_t least = 0, most = 0;
    for (uint32_t i = 0; i < j->count && j->state <= JOB_ACTIVE; i++) {
        const struct shadow_item *item = &j->items[i];
        const bool queued = item->state == ITEM_QUEUED;
        least += queued && item->not_before_ms > s->now_ms;
        most += queued && item->not_after_ms > s->tick_ms;
    }
    EXPECT(least <= waiting && waiting <= most, "job %d: %d items wait, and at least %d must, at most %d may",
           (int)j->id, (int)waiting, (int)least, (int)most);
}

/* ---- devices ---- */

uint64_t shadow_booked(struct shadow *s, int device)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < s->jobs[i].count && s->jobs[i].device_bytes; k++) {
            const struct shadow_item *item = &s->jobs[i].items[k];
            const struct shadow_worker *w = item->state == ITEM_LEASED ? shadow_worker(s, item->owner) : NULL;
            bytes += w && w->device == device ? s->jobs[i].device_bytes : 0;
        }
    return bytes;
}
