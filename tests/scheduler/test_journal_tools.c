/* A check and a copy beside a writer; a copy is the journal; compacting loses nothing, wherever it ends. */
#include "journal_rig.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- beside a writer ---- */

static void churn(struct rig *r, uint64_t *worker, int jobs)
{
    for (int i = 0; i < jobs; i++) {
        const uint64_t w = *worker, job = rig_submit(r, (struct rig_job){.items = 5});
        for (int k = 0; k < 5; k++) {
            CHECK(rig_report(r, w, rig_take_one(r, w), FAILURE_NONE, 3000) == COMMIT_COMMITTED);
            CHECK_OK(r->options.journal->commit(r->options.journal));
        }
        if (job > 20)
            rig_tick(r, QUEUE_KEEP_MS / 20);
        *worker = rig_ready(r, 0, "w", 7, "noop", NULL, 0);
    }
}

/* Another process that writes as fast as it can until it is killed. */
static pid_t start_writer(const char *folder)
{
    int ends[2];
    char ready;
    REQUIRE(pipe(ends) == 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        struct rig r;
        journal_rig_open(&r, folder);
        uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        churn(&r, &w, 3);
        if (write(ends[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            churn(&r, &w, 1);
    }
    close(ends[1]);
    REQUIRE(child > 0 && read(ends[0], &ready, 1) == 1);
    close(ends[0]);
    return child;
}

static void end_writer(pid_t child)
{
    int state;
    kill(child, SIGKILL);
    CHECK(waitpid(child, &state, 0) == child && WIFSIGNALED(state));
}

TEST(a_check_and_a_copy_beside_a_writer)
{
    struct rig r;
    struct journal_compact c;
    const pid_t child = start_writer("queue");
    uint64_t records = 0;
    for (int i = 0; i < 40; i++) {
        CHECK_OK(journal_fsck("queue", &journal_found));
        if (journal_found.damages)
            test_report(false, __FILE__, __LINE__, "check %d: %s: %s", i, journal_found.list[0].record,
                        journal_found.list[0].reason);
        records += journal_found.records;
    }
    CHECK(records > 40);
    for (int i = 0; i < 10; i++) {
        char to[16];
        snprintf(to, sizeof to, "copy%d", i);
        CHECK_OK(journal_backup("queue", to, &journal_found));
        CHECK(journal_found.damages == 0 && journal_found.jobs > 0);
        const uint64_t jobs = journal_found.jobs, items = journal_found.items;
        struct journal_lmdb *j = journal_rig_open(&r, to); /* it serves */
        struct queue_stats stats;
        queue_stats(r.queue, &stats);
        CHECK(stats.kept == jobs && stats.items == items);
        journal_rig_close(&r, &j);
    }
    CHECK_CODE(journal_compact("queue", &c, &journal_found), STATUS_BUSY);
    CHECK(strstr(status_message(), "a scheduler runs on it"));
    end_writer(child);
    CHECK_OK(journal_compact("queue", &c, &journal_found));
    CHECK(journal_found.damages == 0 && c.bytes_after <= c.bytes_before);
}

/* A reader that was killed would keep all pages from being used again, were it not looked for. */
TEST(a_killed_reader_does_not_make_the_file_grow)
{
    struct rig r;
    struct stat before, after;
    struct journal_lmdb *j = journal_rig_open(&r, "queue");
    uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    churn(&r, &w, 60);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        MDB_txn *txn;
        MDB_dbi table;
        journal_rig_raw("queue", MDB_RDONLY, &txn, &table);
        raise(SIGKILL);
    }
    int state;
    CHECK(waitpid(child, &state, 0) == child && WIFSIGNALED(state));
    churn(&r, &w, 60); /* 300 commits: it is found meanwhile */
    CHECK(stat("queue/data.mdb", &before) == 0);
    churn(&r, &w, 300);
    CHECK(stat("queue/data.mdb", &after) == 0);
    CHECK(after.st_size < before.st_size + before.st_size / 4);
    journal_rig_close(&r, &j);
}

/* ---- copies ---- */

static const struct journal_change no_job = {4, PART_JOB, 0, NULL, NULL, NULL};

TEST(a_copy_needs_a_folder_of_its_own)
{
    journal_rig_fill("queue");
    const uint32_t print = journal_rig_print("queue");
    CHECK_OK(journal_backup("queue", "copy", &journal_found));
    CHECK(journal_found.damages == 0 && journal_found.items == 21 && journal_rig_print("copy") == print &&
          journal_rig_print("queue") == print);
    CHECK_CODE(journal_backup("queue", "copy", &journal_found), STATUS_ARGUMENT);
    CHECK_CODE(journal_backup("queue", "queue", &journal_found), STATUS_ARGUMENT);
    CHECK(journal_rig_print("copy") == print && journal_rig_print("queue") == print);
    CHECK_CODE(journal_backup("queue", "none/copy", &journal_found), STATUS_IO);
    REQUIRE(mkdir("empty", 0700) == 0);
    CHECK_OK(journal_backup("queue", "empty", &journal_found));
    CHECK(journal_rig_print("empty") == print);
    REQUIRE(mkdir("used", 0700) == 0);
    close(open("used/data.mdb.part", O_CREAT | O_WRONLY, 0600));
    CHECK_CODE(journal_backup("queue", "used", &journal_found), STATUS_ARGUMENT);
    CHECK(access("used/data.mdb.part", F_OK) == 0); /* it is somebody's */
}

TEST(a_damaged_journal_is_copied_and_not_compacted)
{
    struct journal_compact c;
    journal_rig_fill("queue");
    journal_rig_change("queue", &no_job, JOURNAL_VERSION);
    const uint32_t print = journal_rig_print("queue");
    CHECK_OK(journal_backup("queue", "copy", &journal_found));
    CHECK(journal_found.damages == 1 && journal_found.list[0].job == 4 && journal_rig_print("copy") == print);
    CHECK_CODE(journal_compact("queue", &c, &journal_found), STATUS_DAMAGED);
    CHECK(journal_rig_print("queue") == print && access("queue/compacted", F_OK) != 0);
}

/* ---- compacting ---- */

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : st.st_size;
}

static void fill_and_empty(const char *folder)
{
    struct rig r;
    struct journal_lmdb *j = journal_rig_open(&r, folder);
    for (int i = 0; i < 5; i++)
        rig_cancel(&r, rig_submit(&r, (struct rig_job){.items = 400, .path_bytes = 1000}));
    CHECK_OK(r.options.journal->commit(r.options.journal));
    rig_tick(&r, QUEUE_KEEP_MS);
    rig_submit(&r, (struct rig_job){.items = 3});
    journal_rig_close(&r, &j);
}

/* Killed after any number of steps, and in the middle of the copy, the journal is whole and the next run does it all.
 */
TEST(compacting_can_end_anywhere)
{
    for (int steps = 0; steps <= 4; steps++) {
        char folder[16], part[256];
        struct journal_compact c;
        struct rig r;
        int state;
        snprintf(folder, sizeof folder, "queue%d", steps);
        fill_and_empty(folder);
        const uint32_t print = journal_rig_print(folder);
        const off_t before = (journal_rig_path(folder, "data.mdb", part), size_of(part));
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            const int done = steps < 4 ? steps : 0;
            int code = done > 0 ? journal_compact_begin(&c, folder) : STATUS_OK;
            code = code || done < 2 ? code : journal_compact_copy(&c, &journal_found);
            code = code || done < 3 ? code : journal_compact_swap(&c);
            if (code)
                _exit(1);
            raise(SIGKILL);
        }
        CHECK(waitpid(child, &state, 0) == child && WIFSIGNALED(state));
        if (steps == 4) { /* cut off in the middle of the copy */
            journal_rig_path(folder, "compacted", part);
            CHECK(mkdir(part, 0700) == 0);
            journal_rig_path(folder, "compacted/data.mdb.part", part);
            close(open(part, O_CREAT | O_WRONLY, 0600));
        }
        journal_rig_path(folder, "data.mdb", part);
        CHECK(steps != 3 ? size_of(part) == before : size_of(part) < before / 2);
        CHECK(journal_rig_print(folder) == print);
        CHECK_OK(journal_compact(folder, &c, &journal_found));
        CHECK(journal_found.damages == 0 && c.bytes_after < (uint64_t)before / 2 && journal_rig_print(folder) == print);
        journal_rig_path(folder, "compacted", part);
        CHECK(access(part, F_OK) != 0);
        struct journal_lmdb *j = journal_rig_open(&r, folder); /* and it goes on */
        const uint64_t w = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 5) == COMMIT_COMMITTED);
        journal_rig_close(&r, &j);
        CHECK_OK(journal_fsck(folder, &journal_found));
        CHECK(journal_found.damages == 0 && journal_found.outcomes == 1);
    }
}

TEST(compacting_waits_for_readers)
{
    struct journal_compact c;
    journal_rig_fill("queue");
    const uint32_t print = journal_rig_print("queue");
    const int reader = open("queue/data.mdb", O_RDONLY);
    CHECK(flock(reader, LOCK_SH | LOCK_NB) == 0); /* as a check and a copy do */
    CHECK_CODE(journal_compact("queue", &c, &journal_found), STATUS_BUSY);
    CHECK(strstr(status_message(), "a check or a copy"));
    CHECK(journal_rig_print("queue") == print);
    close(reader);
    CHECK_OK(journal_compact("queue", &c, &journal_found));
    CHECK_OK(journal_compact_begin(&c, "queue"));
    CHECK_OK(journal_compact_copy(&c, &journal_found));
    CHECK(flock(c.data, LOCK_EX | LOCK_NB) == 0); /* as at the swap: nobody begins to read */
    CHECK_CODE(journal_fsck("queue", &journal_found), STATUS_BUSY);
    CHECK_CODE(journal_backup("queue", "copy", &journal_found), STATUS_BUSY);
    journal_compact_end(&c);
    CHECK_OK(journal_fsck("queue", &journal_found));
    CHECK(journal_found.damages == 0 && journal_rig_print("queue") == print);
}
