/* WATCHes that wait: found by job, ended by time. */
#include "broker_state.h"

#include <stdlib.h>

static bool is_before(const void *a, const void *b)
{
    return ((const struct watch *)a)->until_ms < ((const struct watch *)b)->until_ms;
}

static void moved(void *element, size_t position)
{
    ((struct watch *)element)->position = position;
}

void watch_init(struct broker *b)
{
    b->watches = (struct heap){.is_before = is_before, .moved = moved, .memory = &b->memory};
}

static void forget(struct broker *b, struct watch *w)
{
    struct watch **link = &b->by_job[w->what.job % WATCH_BUCKETS];
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    heap_remove(&b->watches, w->position);
    free(w);
}

static void send_error(struct broker *b, const struct channel_peer *peer, uint32_t seq, int code)
{
    const enum wire_error error = code == STATUS_NOT_FOUND ? ERROR_NOT_FOUND : ERROR_BUSY;
    if (channel_send_error(b->client, peer, seq, error, status_message()))
        b->counts.unsent++;
}

/* Sends the page that is there; with `wait` only when there is something in it or the job is over. */
static bool send_page(struct broker *b, const struct message_watch *what, const struct channel_peer *peer, uint32_t seq,
                      bool wait)
{
    struct wire_buffer outcomes = {0}, jobs = {0};
    struct message_page page = {0};
    struct message_job job;
    uint32_t count = 0;
    int code = queue_show(b->queue, what->job, &job);
    if (!code)
        code = queue_page(b->queue, what, &outcomes, &count, &page.cursor);
    const bool over = !code && (job.state == JOB_DONE || job.state == JOB_CANCELLED);
    if (!code && wait && count == 0 && page.cursor <= what->cursor && !over)
        return false;
    if (!code)
        code = wire_encode(&job_schema, &job, &jobs);
    if (code) {
        send_error(b, peer, seq, code);
    } else {
        page.outcomes = wire_list_of(&outcomes, count);
        page.job = wire_list_of(&jobs, 1);
        if (channel_send(b->client, peer, MESSAGE_PAGE, seq, &page_schema, &page))
            b->counts.unsent++;
        else
            b->counts.sent++;
    }
    wire_free(&outcomes);
    wire_free(&jobs);
    return true;
}

static void replace(struct broker *b, uint64_t session, uint64_t job)
{
    struct watch *next;
    for (struct watch *w = b->by_job[job % WATCH_BUCKETS]; w; w = next) {
        next = w->next;
        if (w->session == session && w->what.job == job)
            forget(b, w);
    }
}

void watch_answer(struct broker *b, const struct reply *r)
{
    if (!peers_numbered(&b->clients, r->session))
        return; /* it said BYE in the same group */
    replace(b, r->session, r->watch.job);
    if (send_page(b, &r->watch, &r->peer, r->seq, r->watch.wait_ms > 0))
        return;
    struct watch *w = b->watches.count < WATCHES_MAX ? malloc(sizeof *w) : NULL;
    if (!w || heap_reserve(&b->watches, 1)) {
        free(w);
        fail(STATUS_BUSY, "too many wait");
        send_error(b, &r->peer, r->seq, STATUS_BUSY);
        return;
    }
    *w = (struct watch){.until_ms = b->now_ms + (int64_t)r->watch.wait_ms,
                        .session = r->session,
                        .peer = r->peer,
                        .seq = r->seq,
                        .what = r->watch};
    struct watch **head = &b->by_job[w->what.job % WATCH_BUCKETS];
    w->next = *head;
    *head = w;
    (void)!heap_insert(&b->watches, w); /* reserved */
}

void watch_changed(struct broker *b, uint64_t job)
{
    for (struct watch *w = b->by_job[job % WATCH_BUCKETS]; w; w = w->next)
        if (w->what.job == job) {
            w->until_ms = 0; /* first in the heap: due at the next flush */
            heap_update(&b->watches, w->position);
        }
}

void watch_flush(struct broker *b)
{
    struct watch *w;
    while ((w = heap_first(&b->watches)) && w->until_ms <= b->now_ms) {
        send_page(b, &w->what, &w->peer, w->seq, false);
        forget(b, w);
    }
}

void watch_forget(struct broker *b, uint64_t session)
{
    for (size_t i = b->watches.count; i-- > 0;)
        if (((struct watch *)b->watches.slots[i])->session == session) {
            forget(b, b->watches.slots[i]);
            i = b->watches.count; /* the heap has moved its elements */
        }
}

void watch_free(struct broker *b)
{
    while (b->watches.count)
        forget(b, b->watches.slots[0]);
    heap_free(&b->watches);
}
