/* Recounts what the queue keeps as counters and cross links. Used by tests and by the simulator after every event. */
#include "queue_state.h"

#include <stdlib.h>

#define CONFIRM(condition) \
    do { \
        if (!(condition)) \
            return fail(STATUS_INTERNAL, "broken: %s", #condition); \
    } while (0)

static int check_chain(const struct job *j, const struct chain *c, uint32_t *total)
{
    uint32_t last = 0, steps = 0;
    for (uint32_t at = c->first; at; at = j->items[at - 1].next) {
        CONFIRM(at <= j->item_count && steps++ < j->item_count);
        CONFIRM(j->items[at - 1].state == ITEM_QUEUED && at <= j->fresh && !j->items[at - 1].waits);
        CONFIRM(at - 1 < wave_end(j));
        CONFIRM((c == &j->again) == (j->items[at - 1].attempts == 0));
        CONFIRM(c != &j->crashed || j->items[at - 1].crashed[0]);
        last = at;
    }
    CONFIRM(c->last == last);
    *total += steps;
    return STATUS_OK;
}

static int check_items(const struct queue *q, const struct job *j, uint32_t states[5])
{
    uint64_t progress = 0;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < j->item_count; i++) {
        const struct item *item = &j->items[i];
        const struct token_place *p = tokens_find(&q->tokens, item->token);
        CONFIRM(item->state <= ITEM_CANCELLED && item->attempts <= j->max_attempts);
        CONFIRM(i < j->fresh || (item->state == ITEM_QUEUED && !item->token && !item->attempts));
        CONFIRM(item->token ? p && p->job == j && p->index == i : !p);
        states[item_state(j, item)]++;
        CONFIRM(!item->seen && (!item->waits || (item->state == ITEM_QUEUED && item->wait->job == j &&
                                                 item->wait->index == i && !job_is_over(j))));
        waiting += item->waits;
        if (item->state != ITEM_LEASED)
            continue;
        CONFIRM(item->lease->job == j && item->lease->index == i && item->lease->token == item->token);
        CONFIRM(q->timers.slots[item->lease->timer.position] == item->lease);
        progress += item->lease->progress;
    }
    CONFIRM(j->progress == progress && j->waiting == waiting);
    return STATUS_OK;
}

static int check_order(const struct job *j)
{
    uint32_t counted = 0;
    bool *seen = calloc(j->item_count + 1, sizeof *seen);
    bool ok = seen != NULL;
    for (uint32_t c = 0; c < j->commits && ok; c++) {
        const uint32_t i = j->order[c] & ~ORDER_RETRIED;
        ok = i < j->item_count;
        if (!ok || (j->order[c] & ORDER_RETRIED))
            continue;
        ok = !seen[i] && (j->items[i].state == ITEM_DONE || j->items[i].state == ITEM_DEAD);
        seen[i] = true;
        counted++;
    }
    free(seen);
    CONFIRM(ok && counted == j->done + j->dead);
    CONFIRM(j->commits + j->queued + j->leased <= j->order_capacity);
    return STATUS_OK;
}

/* Counts queued items of later waves: they hang in no chain. */
static int check_wave(const struct job *j, uint32_t *held)
{
    uint64_t before = 0, over = 0;
    for (uint32_t i = 0; i < j->item_count; i++) {
        const struct item *item = &j->items[i];
        const bool ended = item->state == ITEM_DONE || item->state == ITEM_DEAD;
        before += ended && i < j->wave_first;
        over += ended && i >= j->wave_first && i < wave_end(j);
        *held += item->state == ITEM_QUEUED && !item->waits && i < j->fresh && i >= wave_end(j);
    }
    CONFIRM(j->wave_first % j->wave == 0 && before == j->wave_first);
    CONFIRM(over == j->wave_over && over < j->wave);
    return STATUS_OK;
}

static int check_job(const struct queue *q, const struct job *j)
{
    uint32_t states[5] = {0}, chained = 0, held = 0;
    int code = check_items(q, j, states);
    if (!code)
        code = check_chain(j, &j->again, &chained);
    if (!code)
        code = check_chain(j, &j->retry, &chained);
    if (!code)
        code = check_chain(j, &j->crashed, &chained);
    if (!code)
        code = check_order(j);
    if (!code && j->wave && !job_is_over(j))
        code = check_wave(j, &held);
    if (code)
        return code;
    CONFIRM(states[ITEM_QUEUED] == j->queued && states[ITEM_LEASED] == j->leased && states[ITEM_DONE] == j->done &&
            states[ITEM_DEAD] == j->dead && states[ITEM_CANCELLED] == j->cancelled);
    CONFIRM(job_is_over(j) || j->expired || chained + held + j->item_count - j->fresh + j->waiting == j->queued);
    CONFIRM(!j->timed || (!job_is_over(j) && q->timers.slots[j->timer.position] == j));
    CONFIRM(!j->key_bytes || tokens_find(&q->keys, j->key_hash)->job == j);
    CONFIRM(!job_is_over(j) || (j->queued == 0 && j->leased == 0));
    CONFIRM(j->state != JOB_ACTIVE || j->queued + j->leased > 0);
    CONFIRM(!j->changed);
    uint32_t ready = 0;
    for (uint32_t r = 0; r < j->kind->ready_count; r++)
        ready += j->kind->ready[r] == j;
    CONFIRM(ready == kind_can_grant(j));
    return STATUS_OK;
}

static int check_worker(const struct queue *q, const struct worker *w, uint64_t *leases)
{
    uint32_t held = 0;
    for (const struct lease *l = w->leases; l; l = l->next) {
        const struct item *item = &l->job->items[l->index];
        CONFIRM(l->worker == w && item->state == ITEM_LEASED && item->lease == l && job_find(q, l->job->id) == l->job);
        CONFIRM(!l->next || l->next->previous == l);
        held++;
    }
    CONFIRM(held == w->leased && q->timers.slots[w->timer.position] == w);
    bool waits = false;
    for (const struct worker *other = q->first_waiting; other; other = other->after)
        waits |= other == w;
    CONFIRM(waits == (w->credits > 0));
    *leases += held;
    return STATUS_OK;
}

static int check_kind(const struct queue *q, const struct kind *k)
{
    uint32_t live = 0, waiting = 0, jobs = 0;
    for (uint32_t i = 0; i < q->worker_count; i++)
        if (kind_is_of(k, q->workers[i])) {
            live++;
            waiting += q->workers[i]->credits > 0;
        }
    for (uint32_t i = 0; i < q->job_count; i++)
        jobs += q->jobs[i]->kind == k;
    for (const struct job *j = q->removed; j; j = j->next_finished)
        jobs += j->kind == k;
    CONFIRM(k->live == live && k->waiting == waiting && k->jobs == jobs && k->users == live + jobs);
    for (uint32_t r = 1; r < k->ready_count; r++)
        CONFIRM(k->ready[r - 1]->priority > k->ready[r]->priority ||
                (k->ready[r - 1]->priority == k->ready[r]->priority && k->ready[r - 1]->id < k->ready[r]->id));
    return STATUS_OK;
}

/* What is booked is what the leases on a device say, and never more than there is (but for what was taken over). */
static int check_devices(const struct queue *q)
{
    for (const struct device *d = q->devices; d; d = d->next) {
        uint64_t booked = 0;
        uint32_t users = 0;
        for (uint32_t i = 0; i < q->worker_count; i++) {
            const struct worker *w = q->workers[i];
            users += w->room == d;
            for (const struct lease *l = w->leases; w->room == d && l; l = l->next)
                booked += l->booked;
        }
        CONFIRM(d->users == users && users > 0 && d->booked == booked);
    }
    return STATUS_OK;
}

int queue_check(const struct queue *q)
{
    uint64_t items = 0, leases = 0, leased = 0;
    uint32_t unfinished = 0, finished = 0, timers = 0, keys = 0;
    int code = STATUS_OK;
    for (uint32_t i = 0; i < q->job_count && !code; i++) {
        const struct job *j = q->jobs[i];
        code = check_job(q, j);
        items += j->item_count;
        leased += j->leased;
        unfinished += !job_is_over(j);
        timers += j->timed + j->waiting;
        keys += j->key_bytes > 0;
    }
    for (const struct job *j = q->first_finished; j; j = j->next_finished)
        finished++;
    for (const struct job *j = q->removed; j; j = j->next_finished)
        items += j->item_count;
    for (uint32_t i = 0; i < q->worker_count && !code; i++)
        code = check_worker(q, q->workers[i], &leases);
    for (uint32_t i = 0; i < q->kind_count && !code; i++)
        code = check_kind(q, q->kinds[i]);
    if (code)
        return code;
    CONFIRM(items == q->item_count && unfinished == q->unfinished && finished == q->finished);
    CONFIRM(unfinished + finished == q->job_count && leases == leased);
    CONFIRM(q->timers.count == leases + q->worker_count + timers && q->keys.count == keys);
    return check_devices(q);
}
