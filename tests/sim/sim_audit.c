/* The disk against memory, and leases against what workers hold. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* ---- the disk ---- */

static struct disk *borrowed; /* whose load a mute journal tells */

static void mute_put(struct journal *j, const struct journal_record *r)
{
    (void)j, (void)r;
}

static int mute_commit(struct journal *j)
{
    (void)j;
    return STATUS_OK;
}

static int mute_load(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                     struct journal_loaded *out)
{
    (void)j;
    return borrowed->journal.load(&borrowed->journal, each, context, out);
}

static void same_pages(const struct queue *a, const struct queue *b, uint64_t job)
{
    struct wire_buffer x = {0}, y = {0};
    uint32_t count[2];
    uint64_t next[2];
    const struct message_watch watch = {.job = job, .with_path = true};
    EXPECT(queue_page(a, &watch, &x, &count[0], &next[0]) == STATUS_OK &&
               queue_page(b, &watch, &y, &count[1], &next[1]) == STATUS_OK,
           "%s", status_message());
    EXPECT(count[0] == count[1] && x.bytes == y.bytes && (!x.bytes || memcmp(x.data, y.data, x.bytes) == 0),
           "the outcomes of job %d differ on the disk", (int)job);
    wire_free(&x);
    wire_free(&y);
}

static void same_checkpoint(const struct sim *s, const struct queue *disk, uint64_t job, uint32_t index)
{
    struct message_lease x, y;
    EXPECT(queue_item(s->queue, job, index, &x) == STATUS_OK && queue_item(disk, job, index, &y) == STATUS_OK &&
               sim_number(x.checkpoint) == sim_number(y.checkpoint) &&
               (!x.checkpoint.bytes || x.progress == y.progress),
           "the checkpoint of item %u of job %d differs on the disk", index, (int)job);
}

/* A job that ends with its session has ended in the second queue, which is as after a restart. */
static void same_job(const struct sim *s, const struct queue *disk, const struct message_job *m)
{
    const struct shadow_job *shadow = shadow_find(&s->shadow, m->job);
    const bool ends = shadow_needs_session(shadow) && !(shadow->session & QUEUE_SESSION_KEYED);
    struct message_job d;
    struct message_item x, y;
    EXPECT(queue_show(disk, m->job, &d) == STATUS_OK, "job %d is not on the disk", (int)m->job);
    EXPECT(d.state == (ends ? (uint64_t)JOB_CANCELLED : m->state), "job %d: state %d, on the disk %d", (int)m->job,
           (int)m->state, (int)d.state);
    EXPECT(d.items == m->items && d.done == m->done && d.dead == m->dead && d.commits == m->commits &&
               d.attempts == m->attempts && d.priority == m->priority && d.submitted_unix_ms == m->submitted_unix_ms,
           "job %d: its counters differ on the disk", (int)m->job);
    EXPECT(ends ? d.cancelled == m->queued + m->leased
                : d.queued == m->queued && d.leased == m->leased && d.cancelled == m->cancelled &&
                      d.finished_unix_ms == m->finished_unix_ms,
           "job %d: items queued, leased or cancelled, or its end, differ on the disk", (int)m->job);
    EXPECT(d.paused == m->paused && d.start_unix_ms == m->start_unix_ms && d.deadline_unix_ms == m->deadline_unix_ms &&
               d.max_attempts == m->max_attempts && d.device_bytes == m->device_bytes && d.wave == m->wave,
           "job %d: what was asked of it differs on the disk", (int)m->job);
    EXPECT(d.kind.bytes == m->kind.bytes && memcmp(d.kind.data, m->kind.data, d.kind.bytes) == 0 &&
               d.name.bytes == m->name.bytes && memcmp(d.name.data, m->name.data, d.name.bytes) == 0,
           "job %d: its kind or name differs on the disk", (int)m->job);
    for (uint32_t i = 0; i < m->items; i++)
        EXPECT(sim_item_of(s->queue, m->job, i, &x) == STATUS_OK && sim_item_of(disk, m->job, i, &y) == STATUS_OK &&
                   sim_content(&x) == sim_content(&y),
               "item %u of job %d differs on the disk", i, (int)m->job);
    for (uint32_t i = 0; i < m->items && !ends && m->state <= JOB_ACTIVE; i++)
        same_checkpoint(s, disk, m->job, i);
    same_pages(s->queue, disk, m->job);
}

void audit_disk(struct sim *s)
{
    struct journal mute = {.put = mute_put, .commit = mute_commit, .load = mute_load};
    struct journal_loaded loaded;
    struct queue_stats here, there;
    struct queue *q = NULL;
    struct message_list asked = {.limit = QUEUE_LIST_MAX};
    bool more = s->queue != NULL;
    if (!more)
        return;
    borrowed = &s->disk;
    const struct queue_options options = {.epoch = s->epoch + 1, .lease_ms = SIM_LEASE_MS, .journal = &mute};
    EXPECT(queue_create(&options, &q) == STATUS_OK, "%s", status_message());
    EXPECT(queue_restore(q, sim_clock_ms(s), sim_unix_ms(s), &loaded) == STATUS_OK, "the disk: %s", status_message());
    EXPECT(queue_check(q) == STATUS_OK, "from the disk: %s", status_message());
    queue_stats(s->queue, &here);
    queue_stats(q, &there);
    EXPECT(here.kept == there.kept, "%d jobs, %d on the disk", (int)here.kept, (int)there.kept);
    while (more) {
        struct wire_buffer b = {0};
        struct message_job m = {0};
        uint32_t count;
        EXPECT(queue_list(s->queue, &asked, &b, &count, &more) == STATUS_OK, "%s", status_message());
        struct wire_list list = wire_list_of(&b, count);
        while (wire_next(&list, &job_schema, &m))
            same_job(s, q, &m);
        asked.after = m.job;
        wire_free(&b);
    }
    queue_destroy(&q);
    s->done.audits++;
}

/* ---- leases ---- */

static bool holds(const struct sim_worker *w, uint64_t token)
{
    bool any = false;
    for (uint32_t i = 0; i < w->held_count; i++)
        any |= w->held[i] == token;
    for (uint32_t i = 0; i < w->done_count; i++)
        any |= w->done[i] == token;
    return any;
}

void audit_claims(struct sim *s)
{
    if (!s->queue)
        return;
    for (size_t k = 0; k < s->shadow.count; k++)
        for (uint32_t i = 0; i < s->shadow.jobs[k].count; i++) {
            const struct shadow_item *item = &s->shadow.jobs[k].items[i];
            if (item->state != ITEM_LEASED)
                continue;
            const struct shadow_worker *owner = shadow_worker(&s->shadow, item->owner);
            EXPECT(owner && owner->actor >= 0, "a lease of nobody goes on");
            EXPECT(holds(&s->workers[owner->actor], item->token) || sim_is_under_way(s, item->token),
                   "worker %d does not hold the token of its lease", owner->actor);
        }
    for (int w = 0; w < SIM_WORKERS; w++) {
        bool clean = true;
        for (uint32_t i = 0; i < s->workers[w].held_count; i++) {
            const uint64_t token = s->workers[w].held[i];
            const struct shadow_item *item = shadow_token(&s->shadow, token);
            const bool leased = item && item->state == ITEM_LEASED;
            const struct shadow_worker *owner = leased ? shadow_worker(&s->shadow, item->owner) : NULL;
            clean &= (owner && owner->actor == w) || sim_is_under_way(s, token);
        }
        if (clean) /* what ended by time a worker hears of with its next beat */
            s->workers[w].clean_ms = s->now_ms;
        EXPECT(s->now_ms - s->workers[w].clean_ms < SIM_LEASE_MS, "worker %d holds a token whose lease is over", w);
    }
}
