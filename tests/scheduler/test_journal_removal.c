/* Jobs that leave the journal on disk: when they do, and what is left of them. */
#include "journal_again.h"
#include "test.h"

#include <lmdb.h>

static size_t records_in(const char *folder)
{
    MDB_env *env;
    MDB_stat stat;
    REQUIRE(mdb_env_create(&env) == 0 && mdb_env_open(env, folder, MDB_RDONLY, 0) == 0);
    REQUIRE(mdb_env_stat(env, &stat) == 0);
    mdb_env_close(env);
    return stat.ms_entries;
}

TEST(the_first_to_end_is_the_first_to_go)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    const uint64_t first = rig_submit(&r, (struct rig_job){.items = 1});
    rig_cancel(&r, rig_submit(&r, (struct rig_job){.items = 1})); /* 2 ends now, 1 ten seconds later */
    const int64_t wall = r.now_ms + RIG_WALL_MS;
    rig_tick(&r, 10000);
    rig_cancel(&r, first);
    journal_again_commit(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = journal_again_open();
    rig_open(&r, &(struct queue_options){.epoch = 2, .journal = journal_lmdb_base(j)});
    r.wall_jump_ms = wall + 20000 - RIG_WALL_MS - r.now_ms;
    CHECK_OK(queue_restore(r.queue, r.now_ms, wall + 20000, &loaded));
    rig_tick(&r, QUEUE_KEEP_MS - 20000);
    struct message_job m;
    CHECK(queue_show(r.queue, first, &m) == STATUS_OK && queue_show(r.queue, 2, &m) == STATUS_NOT_FOUND);
    rig_tick(&r, 10000);
    CHECK(queue_show(r.queue, first, &m) == STATUS_NOT_FOUND);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(the_time_of_keeping_runs_on)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    struct message_job m;
    journal_again_restore(&r, j, 1, &loaded);
    const uint64_t old = rig_submit(&r, (struct rig_job){.items = 0});
    r.now_ms += 1200000; /* 2,800,000 ms before the restart */
    const uint64_t young = rig_submit(&r, (struct rig_job){.items = 0});
    journal_again_commit(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = journal_again_open();
    journal_again_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 2);
    rig_tick(&r, 0);
    CHECK_CODE(queue_show(r.queue, old, &m), STATUS_NOT_FOUND);
    CHECK(rig_show(&r, young).state == JOB_DONE);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(removed_jobs_go_bit_by_bit)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    const uint64_t big = rig_submit(&r, (struct rig_job){.items = 4000});
    rig_add(&r, big, 4000, 0, false);
    rig_cancel(&r, big);
    journal_again_commit(&r);
    const uint64_t small = rig_submit(&r, (struct rig_job){.items = 4000, .open = true});
    rig_add(&r, small, 4000, 4000, true);
    rig_cancel(&r, small);
    journal_again_commit(&r);
    rig_tick(&r, QUEUE_KEEP_MS);
    journal_again_commit(&r);
    rig_submit(&r, (struct rig_job){.items = 1});
    rig_close(&r);
    journal_lmdb_close(&j); /* in the middle of it */
    j = journal_again_open();
    journal_again_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 0 &&
          loaded.last_job == 2); /* removed ones are not told of; their numbers are not used again */
    for (int i = 0; i < 4; i++) {
        CHECK(rig_submit(&r, (struct rig_job){.items = 1}) == (uint64_t)i + 3);
        journal_again_commit(&r);
    }
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") == 1 + 4 * 3); /* its own; of each job itself, its item, that it is sealed */
}

/* One commit deletes 4,096 records: all of this job but what stands behind its mark. */
TEST(the_mark_of_removal_goes_last)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    r.unchecked = true;
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4091});
    rig_control(&r, QUEUE_PAUSE, job);
    rig_cancel(&r, job);
    journal_again_commit(&r);
    rig_tick(&r, QUEUE_KEEP_MS);
    journal_again_commit(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") > 1); /* not all of it */
    j = journal_again_open();
    journal_again_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 0 && loaded.last_job == job);
    rig_submit(&r, (struct rig_job){.items = 1});
    journal_again_commit(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") == 1 + 3);
}
