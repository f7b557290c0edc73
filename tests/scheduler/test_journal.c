/* The journal on disk: what was committed is there again, what was not is not, and a queue made of it goes on. */
#include "broker.h"
#include "journal_lmdb.h"
#include "rig.h"
#include "test.h"

#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 64 };

static struct journal_lmdb *open_journal(void)
{
    struct journal_lmdb *j = NULL;
    CHECK_OK(journal_lmdb_open("queue", &j));
    REQUIRE(j);
    return j;
}

/* A rig whose queue is what the journal kept, with a later epoch. */
static void rig_restore(struct rig *r, struct journal_lmdb *j, uint64_t epoch, struct journal_loaded *loaded)
{
    rig_open(r, &(struct queue_options){.epoch = epoch, .journal = journal_lmdb_base(j)});
    REQUIRE(queue_restore(r->queue, r->now_ms, 5000000, loaded) == STATUS_OK);
    CHECK_OK(queue_check(r->queue));
    CHECK_OK(r->options.journal->commit(r->options.journal));
}

static void commit_of(struct rig *r)
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

static bool same_job(struct rig *a, struct rig *b, uint64_t job)
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

TEST(what_was_committed_is_there_again)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r, again;
    rig_restore(&r, j, 1, &loaded);
    CHECK(loaded.jobs == 0 && loaded.last_job == 0);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4, .priority = -5});
    const uint64_t done = rig_take_one(&r, w), held = rig_take_one(&r, w), failed = rig_take_one(&r, w);
    CHECK(rig_report(&r, w, done, FAILURE_NONE, 10) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, failed, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    commit_of(&r);
    journal_lmdb_close(&j);

    j = open_journal();
    rig_restore(&again, j, 2, &loaded);
    CHECK(loaded.jobs == 1 && loaded.last_job == job && loaded.damaged == 0);
    CHECK(same_job(&r, &again, job));
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
    commit_of(&again);
    rig_close(&again);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(what_was_not_committed_is_not)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 2});
    commit_of(&r);
    rig_submit(&r, (struct rig_job){.items = 3});
    rig_close(&r);
    journal_lmdb_close(&j); /* as a process that dies */
    j = open_journal();
    rig_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 1 && loaded.last_job == 1);
    CHECK(rig_submit(&r, (struct rig_job){.items = 1}) == 2);
    rig_close(&r);
    journal_lmdb_close(&j);
}

/* The epoch comes of wall time when the run folder does not remember one, as after a reboot. */
TEST(tokens_stay_new_when_the_clock_was_set_back)
{
    enum { FUTURE = (1 << 23) - 100 };
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, FUTURE, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 2});
    const uint64_t token = rig_take_one(&r, w);
    commit_of(&r);
    rig_close(&r);
    rig_restore(&r, j, 3, &loaded);
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

TEST(the_first_to_end_is_the_first_to_go)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    const uint64_t first = rig_submit(&r, (struct rig_job){.items = 1});
    rig_cancel(&r, rig_submit(&r, (struct rig_job){.items = 1})); /* 2 ends now, 1 ten seconds later */
    const int64_t wall = r.now_ms + RIG_WALL_MS;
    rig_tick(&r, 10000);
    rig_cancel(&r, first);
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = open_journal();
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

TEST(leases_of_before_end_with_their_time)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t token = rig_take_one(&r, w);
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = open_journal();
    rig_restore(&r, j, 2, &loaded);
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

TEST(the_time_of_keeping_runs_on)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    struct message_job m;
    rig_restore(&r, j, 1, &loaded);
    const uint64_t old = rig_submit(&r, (struct rig_job){.items = 0});
    r.now_ms += 1200000; /* 2,800,000 ms before the restart */
    const uint64_t young = rig_submit(&r, (struct rig_job){.items = 0});
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    j = open_journal();
    rig_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 2);
    rig_tick(&r, 0);
    CHECK_CODE(queue_show(r.queue, old, &m), STATUS_NOT_FOUND);
    CHECK(rig_show(&r, young).state == JOB_DONE);
    rig_close(&r);
    journal_lmdb_close(&j);
}

TEST(what_depends_on_a_session_ends_with_it)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t fragile = rig_submit(&r, (struct rig_job){.items = 2, .cancel_on_disconnect = true});
    rig_take_one(&r, w);
    const uint64_t open = rig_submit(&r, (struct rig_job){.items = 2, .open = true});
    const uint64_t solid = rig_submit(&r, (struct rig_job){.items = 2});
    commit_of(&r);
    rig_close(&r);
    for (uint64_t epoch = 2; epoch < 4; epoch++) { /* and that is kept too */
        journal_lmdb_close(&j);
        j = open_journal();
        rig_restore(&r, j, epoch, &loaded);
        CHECK(rig_show(&r, fragile).state == JOB_CANCELLED && rig_show(&r, fragile).cancelled == 2);
        CHECK(rig_show(&r, open).state == JOB_CANCELLED && rig_show(&r, solid).state == JOB_ACTIVE);
        CHECK(rig_show(&r, open).finished_unix_ms == 5000000);
        rig_close(&r);
    }
    journal_lmdb_close(&j);
}

/* Reads the real one, and writes nowhere. */
struct reader {
    struct journal journal; /* must stand first */
    struct journal *real;
};

static void put_nowhere(struct journal *j, const struct journal_record *r)
{
    (void)j;
    (void)r;
}

static int commit_nothing(struct journal *j)
{
    (void)j;
    return STATUS_OK;
}

static int load_real(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                     struct journal_loaded *out)
{
    struct journal *const real = ((struct reader *)j)->real;
    return real->load(real, each, context, out);
}

/* Another queue made of what was kept is the same; but for jobs that a restart ends. */
static void compare_copy(struct rig *r, uint64_t jobs, int seed, int step)
{
    struct reader reader = {{.put = put_nowhere, .commit = commit_nothing, .load = load_real}, r->options.journal};
    struct journal_loaded loaded;
    struct rig copy;
    rig_open(&copy, &(struct queue_options){.epoch = 2, .journal = &reader.journal});
    CHECK_OK(queue_restore(copy.queue, r->now_ms, r->now_ms + RIG_WALL_MS, &loaded));
    CHECK_OK(queue_check(copy.queue));
    for (uint64_t job = 1; job <= jobs; job++)
        if (rig_show(r, job).state != JOB_OPEN && !same_job(r, &copy, job))
            test_report(false, __FILE__, __LINE__, "seed %d, step %d: job %d differs", seed, step, (int)job);
    rig_close(&copy);
}

static void random_event(struct rig *r, uint64_t *random, uint64_t *w, uint64_t *jobs, uint64_t tokens[TOKENS])
{
    const uint64_t dice = test_random(random) % 100, at = test_random(random) % TOKENS;
    const uint64_t wall = (uint64_t)r->now_ms + RIG_WALL_MS;
    if (dice < 8) {
        const uint64_t job =
            rig_submit(r, (struct rig_job){.items = (uint32_t)(test_random(random) % 6),
                                           .open = test_random(random) % 4 == 0,
                                           .max_attempts = 2,
                                           .key = dice == 0 ? (const char[]){(char)('a' + at), '\0'} : NULL,
                                           .deadline_unix_ms = dice == 1 ? wall + 5000 : 0,
                                           .start_unix_ms = dice == 2 ? wall + 2000 : 0});
        *jobs = job > *jobs ? job : *jobs; /* a key that is in use names an older one, or is refused */
    } else if (dice < 12 && *jobs)
        rig_add(r, *jobs, rig_show(r, *jobs).items, 2, test_random(random) % 2);
    else if (dice < 14 && *jobs)
        rig_cancel(r, 1 + test_random(random) % *jobs);
    else if (dice < 17 && *jobs)
        rig_retry(r, 1 + test_random(random) % *jobs, NULL, 0);
    else if (dice < 20 && *jobs)
        rig_control(r, dice < 18 ? QUEUE_PAUSE : QUEUE_RESUME, 1 + test_random(random) % *jobs);
    else if (dice < 22 && *jobs)
        rig_priority(r, 1 + test_random(random) % *jobs, (int)at - 2);
    else if (dice < 26)
        rig_checkpoint(r, *w, tokens[at], (uint8_t)dice, 0.5);
    else if (dice < 50)
        tokens[at] = rig_take_one(r, *w);
    else if (dice < 85)
        rig_report(r, *w, tokens[at], dice < 70 ? FAILURE_NONE : dice < 80 ? FAILURE_TRANSIENT : FAILURE_CRASH, 9);
    else if (dice < 90)
        rig_return(r, *w, &tokens[at], 1);
    else
        rig_tick(r, (int64_t)(test_random(random) % 3000));
    if (rig_refused(r) == ERROR_SESSION) /* its time was over */
        *w = rig_ready(r, 0, "w", 7, "noop", NULL, 0);
}

TEST(any_history_is_kept)
{
    for (int seed = 1; seed <= 4; seed++) {
        struct journal_lmdb *j = NULL;
        struct journal_loaded loaded;
        struct rig r;
        uint64_t tokens[TOKENS] = {0}, random = (uint64_t)seed, jobs = 0;
        char folder[16];
        snprintf(folder, sizeof folder, "queue%d", seed);
        CHECK_OK(journal_lmdb_open(folder, &j));
        REQUIRE(j);
        rig_restore(&r, j, 1, &loaded);
        uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        for (int step = 0; step < 400; step++) {
            random_event(&r, &random, &w, &jobs, tokens);
            if (step % 10 == 0) {
                commit_of(&r);
                compare_copy(&r, jobs, seed, step);
            }
        }
        CHECK(jobs > 10);
        rig_close(&r);
        journal_lmdb_close(&j);
    }
}

/* ---- removal ---- */

static size_t records_in(const char *folder)
{
    MDB_env *env;
    MDB_stat stat;
    REQUIRE(mdb_env_create(&env) == 0 && mdb_env_open(env, folder, MDB_RDONLY, 0) == 0);
    REQUIRE(mdb_env_stat(env, &stat) == 0);
    mdb_env_close(env);
    return stat.ms_entries;
}

TEST(removed_jobs_go_bit_by_bit)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    const uint64_t big = rig_submit(&r, (struct rig_job){.items = 4000});
    rig_add(&r, big, 4000, 0, false);
    rig_cancel(&r, big);
    commit_of(&r);
    const uint64_t small = rig_submit(&r, (struct rig_job){.items = 4000, .open = true});
    rig_add(&r, small, 4000, 4000, true);
    rig_cancel(&r, small);
    commit_of(&r);
    rig_tick(&r, QUEUE_KEEP_MS);
    commit_of(&r);
    rig_submit(&r, (struct rig_job){.items = 1});
    rig_close(&r);
    journal_lmdb_close(&j); /* in the middle of it */
    j = open_journal();
    rig_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 0 &&
          loaded.last_job == 2); /* removed ones are not told of; their numbers are not used again */
    for (int i = 0; i < 4; i++) {
        CHECK(rig_submit(&r, (struct rig_job){.items = 1}) == (uint64_t)i + 3);
        commit_of(&r);
    }
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") == 1 + 4 * 3); /* its own; of each job itself, its item, that it is sealed */
}

/* One commit deletes 4,096 records: all of this job but what stands behind its mark. */
TEST(the_mark_of_removal_goes_last)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    r.unchecked = true;
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4091});
    rig_control(&r, QUEUE_PAUSE, job);
    rig_cancel(&r, job);
    commit_of(&r);
    rig_tick(&r, QUEUE_KEEP_MS);
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") > 1); /* not all of it */
    j = open_journal();
    rig_restore(&r, j, 2, &loaded);
    CHECK(loaded.jobs == 0 && loaded.last_job == job);
    rig_submit(&r, (struct rig_job){.items = 1});
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    CHECK(records_in("queue") == 1 + 3);
}

/* ---- what goes wrong ---- */

TEST(damage_costs_the_job_that_it_is_in)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    static uint8_t file[1 << 20];
    rig_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t hit = rig_submit(&r, (struct rig_job){.kind = "harmed", .items = 1});
    rig_submit(&r, (struct rig_job){.items = 1});
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    const int fd = open("queue/data.mdb", O_RDWR);
    const ssize_t bytes = read(fd, file, sizeof file);
    REQUIRE(bytes > 0);
    int hits = 0;
    for (ssize_t i = 0; i + 6 < bytes; i++)
        if (memcmp(file + i, "harmed", 6) == 0) {
            REQUIRE(pwrite(fd, "HARMED", 6, i) == 6);
            hits++;
        }
    CHECK(hits >= 1);
    close(fd);
    for (uint64_t epoch = 2; epoch < 4; epoch++) { /* it stays where it is */
        j = open_journal();
        rig_restore(&r, j, epoch, &loaded);
        struct message_job m;
        CHECK(loaded.damaged == 1 && loaded.jobs == 2);
        CHECK_CODE(queue_show(r.queue, hit, &m), STATUS_NOT_FOUND);
        CHECK(rig_show(&r, 1).items == 1 && rig_show(&r, 3).items == 1);
        rig_close(&r);
        journal_lmdb_close(&j);
    }
}

TEST(a_later_version_is_refused)
{
    struct journal_lmdb *j = open_journal();
    struct journal_loaded loaded;
    struct rig r;
    rig_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 1});
    commit_of(&r);
    rig_close(&r);
    journal_lmdb_close(&j);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    uint8_t own[13] = {0}, copy[64];
    MDB_val key = {sizeof own, own}, value;
    REQUIRE(mdb_env_create(&env) == 0 && mdb_env_open(env, "queue", 0, 0) == 0);
    REQUIRE(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &table) == 0);
    REQUIRE(mdb_get(txn, table, &key, &value) == 0 && value.mv_size < sizeof copy);
    memcpy(copy, value.mv_data, value.mv_size);
    copy[0] = JOURNAL_VERSION + 1;
    value.mv_data = copy;
    REQUIRE(mdb_put(txn, table, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    j = NULL;
    CHECK_CODE(journal_lmdb_open("queue", &j), STATUS_VERSION);
    CHECK(!j && strstr(status_message(), "version 4"));
}

TEST(folders_that_do_not_serve)
{
    struct journal_lmdb *j = open_journal(), *second = NULL;
    CHECK_CODE(journal_lmdb_open("queue", &second), STATUS_BUSY);
    journal_lmdb_close(&j);
    CHECK_CODE(journal_lmdb_open("missing/queue", &second), STATUS_IO);
    CHECK(strstr(status_message(), "missing/queue"));
    CHECK_CODE(journal_lmdb_open("/proc/self/fd", &second), STATUS_IO); /* nothing can be made there, whoever asks */
    CHECK(!second);
}
