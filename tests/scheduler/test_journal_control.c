/* The journal on disk and what people change of jobs, through restarts. */
#include "journal_lmdb.h"
#include "rig.h"
#include "test.h"

/* A rig whose queue is what the journal kept, with a later epoch. */
static struct journal_lmdb *restored(struct rig *r, uint64_t epoch)
{
    struct journal_lmdb *j = NULL;
    struct journal_loaded loaded;
    REQUIRE(journal_lmdb_open("queue", &j) == STATUS_OK);
    rig_open(r, &(struct queue_options){.epoch = epoch, .journal = journal_lmdb_base(j)});
    REQUIRE(queue_restore(r->queue, r->now_ms, 5000000, &loaded) == STATUS_OK);
    CHECK_OK(queue_check(r->queue));
    CHECK_OK(r->options.journal->commit(r->options.journal));
    return j;
}

static void commit_of(struct rig *r)
{
    CHECK_OK(r->options.journal->commit(r->options.journal));
}

/* Only such a group may be answered before it is on the disk. */
TEST(grants_alone_can_wait)
{
    struct rig r;
    struct journal_lmdb *j = restored(&r, 1);
    struct journal *journal = journal_lmdb_base(j);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    CHECK(!journal->can_wait(journal)); /* there is nothing that could */
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 9});
    for (int step = 0; step < 6; step++) {
        CHECK(!journal->can_wait(journal));
        commit_of(&r);
        const uint64_t token = rig_take_one(&r, w);
        CHECK(token && journal->can_wait(journal) == (step > 0)); /* the first brings the epoch to the disk */
        if (step == 0)
            CHECK(rig_report(&r, w, token, FAILURE_NONE, 0) == COMMIT_COMMITTED);
        else if (step == 1)
            rig_return(&r, w, &token, 1);
        else if (step == 2)
            CHECK(rig_checkpoint(&r, w, token, 7, 0.5) == COMMIT_COMMITTED);
        else if (step == 3)
            CHECK(rig_priority(&r, job, 5) == 0);
        else if (step == 4)
            CHECK(rig_add(&r, job, 0, 9, true) == 0 && rig_control(&r, QUEUE_PAUSE, job) == 0 &&
                  rig_control(&r, QUEUE_RESUME, job) == 0);
    }
    CHECK(journal->can_wait(journal));
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* One that stayed behind would be of an item that has an outcome, which no history is. */
TEST(a_checkpoint_goes_with_the_outcome)
{
    struct rig r, again;
    struct journal_lmdb *j = restored(&r, 1);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 2});
    const uint64_t token = rig_take_one(&r, w);
    CHECK(rig_checkpoint(&r, w, token, 7, 0.5) == COMMIT_COMMITTED);
    commit_of(&r);
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 0) == COMMIT_COMMITTED);
    commit_of(&r);
    journal_lmdb_close(&j);

    j = restored(&again, 2);
    CHECK(rig_show(&again, job).done == 1 && rig_show(&again, job).queued == 1);
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* They have no token, and nothing but the record that they are queued again says that their outcome counts no more. */
TEST(what_was_tried_again_without_ever_being_granted)
{
    struct rig r, again;
    struct journal_lmdb *j = restored(&r, 1);
    const uint64_t end = (uint64_t)r.now_ms + RIG_WALL_MS + 1000;
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3, .deadline_unix_ms = end});
    rig_tick(&r, 1000);
    CHECK(rig_show(&r, job).dead == 3);
    CHECK(rig_retry(&r, job, (const uint64_t[]){0, 2}, 2) == 0);
    commit_of(&r);
    journal_lmdb_close(&j);

    j = restored(&again, 2);
    CHECK(rig_show(&again, job).queued == 2 && rig_show(&again, job).state == JOB_ACTIVE);
    CHECK(rig_show(&again, job).dead == 1 && rig_show(&again, job).commits == 3);
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(a_job_of_a_session_of_before_is_not_that_of_another)
{
    struct rig r, again;
    struct journal_lmdb *j = restored(&r, 1);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1, .session = 3, .cancel_on_disconnect = true});
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_INPUT, 0) == COMMIT_COMMITTED);
    commit_of(&r);
    journal_lmdb_close(&j);

    j = restored(&again, 2);
    CHECK(rig_retry(&again, job, NULL, 0) == 0 && rig_show(&again, job).state == JOB_ACTIVE);
    rig_session_gone(&again, 3);
    CHECK(rig_show(&again, job).state == JOB_ACTIVE);
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* A job that had started is early again when the clock was set back over the restart. */
TEST(a_start_is_waited_for_again)
{
    struct rig r, again;
    struct journal_lmdb *j = restored(&r, 1);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1, .start_unix_ms = 6000000});
    while (rig_show(&r, job).attempts == 0) {
        rig_tick(&r, 60000);
        const uint64_t back = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        const uint64_t token = rig_take_one(&r, back);
        if (token)
            CHECK(rig_report(&r, back, token, FAILURE_INPUT, 0) == COMMIT_COMMITTED);
    }
    CHECK(w && rig_show(&r, job).state == JOB_DONE);
    commit_of(&r);
    journal_lmdb_close(&j);

    j = restored(&again, 2); /* at 5,000,000 */
    CHECK(rig_retry(&again, job, NULL, 0) == 0);
    rig_tick(&again, 6000000);
    CHECK(rig_take_one(&again, rig_ready(&again, 0, "w", 7, "noop", NULL, 0)));
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* The open wave is found again, also one that RETRY went back to. */
TEST(waves_go_on_after_a_restart)
{
    static const struct {
        uint32_t items;
        enum failure_class failures[4]; /* of the first items, in their order */
        uint32_t reports;
        bool retry;
        uint32_t first, count; /* granted after the restart */
        const char *why;
    } cases[] = {
        {5, {FAILURE_NONE}, 0, false, 0, 2, "the first wave is open"},
        {5, {FAILURE_NONE}, 1, false, 1, 1, "one item of it is left"},
        {5, {FAILURE_NONE}, 2, false, 2, 2, "the second"},
        {5, {FAILURE_INPUT, FAILURE_INPUT}, 2, false, 2, 2, "dead is over"},
        {5, {FAILURE_INPUT}, 2, true, 0, 1, "the first again, and nothing of the second"},
        {5, {FAILURE_NONE, FAILURE_NONE, FAILURE_INPUT}, 4, true, 2, 1, "back to the second, not to the first"},
        {4, {FAILURE_NONE, FAILURE_INPUT}, 4, true, 1, 1, "of a job that was done"},
    };
    for (uint64_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r, again;
        struct journal_lmdb *j = restored(&r, 2 * c + 1);
        uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        const uint64_t job = rig_submit(&r, (struct rig_job){.items = cases[c].items, .wave = 2});
        for (uint32_t i = 0; i < cases[c].reports; i++)
            CHECK(rig_report(&r, w, rig_take_one(&r, w), cases[c].failures[i], 0) == COMMIT_COMMITTED);
        CHECK(!cases[c].retry || rig_retry(&r, job, NULL, 0) == 0);
        commit_of(&r);
        journal_lmdb_close(&j);

        j = restored(&again, 2 * c + 2);
        CHECK(rig_show(&again, job).wave == 2);
        w = rig_ready(&again, 0, "w", 7, "noop", NULL, 0);
        rig_take(&again, w, 9);
        const struct queue_action *const grant = rig_action(&again, QUEUE_GRANT);
        REQUIRE(grant);
        const struct queue_entry first = *rig_entry(&again, grant, 0);
        test_report(grant->job == job && grant->count == cases[c].count && first.index == cases[c].first, __FILE__,
                    __LINE__, "%s: %zu items from %u of job %d", cases[c].why, grant->count, first.index,
                    (int)grant->job);
        CHECK(rig_cancel(&again, job) == 0); /* the next case has the journal to itself */
        commit_of(&again);
        rig_close(&again);
        rig_close(&r);
        journal_lmdb_close(&j);
    }
}
