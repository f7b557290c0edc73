/* The journal on disk: what was committed is there again, what was not is not, and a queue made of it goes on. */
#include "broker.h"
#include "journal_again.h"
#include "test.h"

TEST(what_was_committed_is_there_again)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r, again;
    journal_again_restore(&r, j, 1, &loaded);
    CHECK(loaded.jobs == 0 && loaded.last_job == 0);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4, .priority = -5});
    const uint64_t done = rig_take_one(&r, w), held = rig_take_one(&r, w), failed = rig_take_one(&r, w);
    CHECK(rig_report(&r, w, done, FAILURE_NONE, 10) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, failed, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    journal_again_commit(&r);
    journal_lmdb_close(&j);

    j = journal_again_open();
    journal_again_restore(&again, j, 2, &loaded);
    CHECK(loaded.jobs == 1 && loaded.last_job == job && loaded.damaged == 0);
    CHECK(journal_again_same_job(&r, &again, job));
    struct queue_stats stats;
    queue_stats(again.queue, &stats);
    CHECK(stats.workers == 0 && stats.leased == 1); /* nobody is there, and yet it is held */

    /* The worker comes back on a new connection, with what it holds and a report that it has no answer for. */
    const uint64_t back = rig_ready(&again, 0, "w", 7, "noop", &held, 1);
    CHECK(rig_action(&again, QUEUE_ENGAGED)->count == 1);
    CHECK(rig_report(&again, back, done, FAILURE_NONE, 10) == COMMIT_DUPLICATE);
    CHECK(rig_report(&again, back, held, FAILURE_NONE, 5) == COMMIT_COMMITTED);
    const uint64_t fresh = rig_take_one(&again, back);
    CHECK(fresh >> 40 == 2);
    CHECK(rig_report(&again, back, fresh, FAILURE_NONE, 5) == COMMIT_COMMITTED);
    const uint64_t retried = rig_take_one(&again, back); /* with the attempt that it had */
    CHECK(rig_entry(&again, rig_action(&again, QUEUE_GRANT), 0)->attempt == 2);
    CHECK(rig_report(&again, back, retried, FAILURE_NONE, 5) == COMMIT_COMMITTED);
    CHECK(rig_show(&again, job).state == JOB_DONE);
    journal_again_commit(&again);
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(what_was_not_committed_is_not)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 2});
    journal_again_commit(&r);
    rig_submit(&r, (struct rig_job){.items = 3});
    rig_close(&r);
    journal_lmdb_close(&j); /* as a process that dies */
    j = journal_again_open();
    journal_again_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 1 && loaded.last_job == 1);
    CHECK(rig_submit(&r, (struct rig_job){.items = 1}) == 2);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* The epoch comes of wall time when the run folder does not remember one, as after a reboot. */
TEST(tokens_stay_new_when_the_clock_was_set_back)
{
    enum { FUTURE = (1 << 23) - 100 };
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, FUTURE, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 2});
    const uint64_t token = rig_take_one(&r, w);
    journal_again_commit(&r);
    rig_close(&r);
    journal_again_restore(&r, j, 3, &loaded);
    CHECK(queue_epoch(r.queue) == FUTURE + 1);
    CHECK(rig_take_one(&r, rig_ready(&r, 0, "x", 8, "noop", NULL, 0)) > token);
    rig_close(&r);

    struct broker *b = NULL;
    struct broker_options options = {.run_dir = "run", .stop_fd = -1, .journal = journal_lmdb_base(j)};
    REQUIRE(broker_create(&options, &b) == STATUS_OK);
    CHECK(broker_epoch(b) == FUTURE + 1);
    broker_destroy(&b);
    options.journal = NULL; /* the folder remembers it, whatever the journal says */
    REQUIRE(broker_create(&options, &b) == STATUS_OK);
    CHECK(broker_epoch(b) == FUTURE + 2);
    broker_destroy(&b);
    journal_lmdb_close(&j);
}

TEST(leases_of_before_end_with_their_time)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t token = rig_take_one(&r, w);
    journal_again_commit(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = journal_again_open();
    journal_again_restore(&r, j, 2, &loaded);
    rig_tick(&r, 9999);
    CHECK(rig_show(&r, job).leased == 1);
    rig_tick(&r, 1);
    CHECK(rig_show(&r, job).leased == 0 && rig_show(&r, job).queued == 1);
    const uint64_t other = rig_ready(&r, 0, "x", 8, "noop", &token, 1);
    CHECK(rig_action(&r, QUEUE_ENGAGED)->count == 0); /* too late */
    CHECK(rig_report(&r, other, token, FAILURE_NONE, 1) == COMMIT_STALE);
    CHECK(rig_take_one(&r, other) > token);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(what_depends_on_a_session_ends_with_it)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t fragile = rig_submit(&r, (struct rig_job){.items = 2, .cancel_on_disconnect = true});
    rig_take_one(&r, w);
    const uint64_t open = rig_submit(&r, (struct rig_job){.items = 2, .open = true});
    const uint64_t solid = rig_submit(&r, (struct rig_job){.items = 2});
    journal_again_commit(&r);
    rig_close(&r);
    for (uint64_t epoch = 2; epoch < 4; epoch++) { /* and that is kept too */
        journal_lmdb_close(&j);
        j = journal_again_open();
        journal_again_restore(&r, j, epoch, &loaded);
        CHECK(rig_show(&r, fragile).state == JOB_CANCELLED && rig_show(&r, fragile).cancelled == 2);
        CHECK(rig_show(&r, open).state == JOB_CANCELLED && rig_show(&r, solid).state == JOB_ACTIVE);
        CHECK(rig_show(&r, open).finished_unix_ms == 5000000);
        rig_close(&r);
    }
    journal_lmdb_close(&j);
}
