#include "journal_again.h"

#include "test.h"

#include <string.h>

struct journal_lmdb *journal_again_open(void)
{
    struct journal_lmdb *j = NULL;
    CHECK_OK(journal_lmdb_open("queue", &j));
    REQUIRE(j);
    return j;
}

void journal_again_restore(struct rig *r, struct journal_lmdb *j, uint64_t epoch, struct journal_loaded *loaded)
{
    rig_open(r, &(struct queue_options){.epoch = epoch, .journal = journal_lmdb_base(j)});
    REQUIRE(queue_restore(r->queue, r->now_ms, 5000000, loaded) == STATUS_OK);
    CHECK_OK(queue_check(r->queue));
    CHECK_OK(r->options.journal->commit(r->options.journal));
}

void journal_again_commit(struct rig *r)
{
    CHECK_OK(r->options.journal->commit(r->options.journal));
}

static bool same_checkpoint(struct rig *a, struct rig *b, uint64_t job, uint32_t index)
{
    struct message_lease m, n;
    REQUIRE(queue_item(a->queue, job, index, &m) == STATUS_OK && queue_item(b->queue, job, index, &n) == STATUS_OK);
    return m.checkpoint.bytes == n.checkpoint.bytes &&
           (!m.checkpoint.bytes || memcmp(m.checkpoint.data, n.checkpoint.data, m.checkpoint.bytes) == 0);
}

bool journal_again_same_job(struct rig *a, struct rig *b, uint64_t job)
{
    struct message_job m, n;
    struct wire_buffer x = {0}, y = {0};
    uint32_t count[2];
    uint64_t next[2];
    const int code = queue_show(a->queue, job, &m);
    if (code != queue_show(b->queue, job, &n))
        return false;
    if (code)
        return true;
    for (uint32_t i = 0; i < m.items; i++)
        if (!same_checkpoint(a, b, job, i))
            return false;
    const struct message_watch all = {.job = job, .with_path = true};
    REQUIRE(queue_page(a->queue, &all, &x, &count[0], &next[0]) == STATUS_OK);
    REQUIRE(queue_page(b->queue, &all, &y, &count[1], &next[1]) == STATUS_OK);
    const bool same = m.state == n.state && m.items == n.items && m.queued == n.queued && m.leased == n.leased &&
                      m.done == n.done && m.dead == n.dead && m.cancelled == n.cancelled && m.commits == n.commits &&
                      m.attempts == n.attempts && m.priority == n.priority && m.paused == n.paused &&
                      m.wave == n.wave && m.start_unix_ms == n.start_unix_ms &&
                      m.deadline_unix_ms == n.deadline_unix_ms && m.submitted_unix_ms == n.submitted_unix_ms &&
                      m.finished_unix_ms == n.finished_unix_ms && count[0] == count[1] && x.bytes == y.bytes &&
                      (!x.bytes || memcmp(x.data, y.data, x.bytes) == 0);
    wire_free(&x);
    wire_free(&y);
    return same;
}
