/* Power cuts and failing disks under the real journal. A workload runs once with everything logged that LMDB writes and
 * syncs; then, for every operation of it, files are made that a power cut at that moment could leave, and opened. What
 * each must hold is known from a second journal that followed (tests/sim/disk.h): all that was committed, and of the
 * group that was being committed all or nothing. */
#include "cut.h"
#include "load.h"
#include "test.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GROUPS = 30, SEED = 11, AFTER = 6 };

/* The first failure ends a case: the others would only repeat it, for each operation that follows. */
#define MUST(condition, ...) \
    do { \
        const bool must_ok_ = (condition); \
        test_report(must_ok_, __FILE__, __LINE__, __VA_ARGS__); \
        if (!must_ok_) \
            test_stop(); \
    } while (0)

/* ---- what the workload leaves when nothing goes wrong ---- */

static struct cut_log history;
static uint64_t pictures[GROUPS + 1]; /* after each group, by the second journal; 0: of the empty one */

static uint64_t picture_of(struct disk *d)
{
    struct journal_loaded loaded;
    return journal_picture(&d->journal, &loaded);
}

static size_t count_ops(const struct cut_log *log, size_t from, enum cut_type type, bool lasting)
{
    size_t n = 0;
    for (size_t i = from; i < log->count; i++)
        n += log->ops[i].type == type && log->ops[i].lasting == lasting;
    return n;
}

/* LMDB's promise, without which the rest tests nothing: a commit is one sync of the data and one lasting write, of the
 * page that makes it valid, in this order and last. */
static void check_flushes(size_t from)
{
    const struct cut_op *last = &history.ops[history.count - 1];
    if (history.count == from)
        return; /* nothing was put */
    CHECK(count_ops(&history, from, CUT_SYNC, false) == 1 && count_ops(&history, from, CUT_WRITE, true) == 1);
    CHECK(history.count - from >= 3 && last->type == CUT_WRITE && last->lasting && last[-1].type == CUT_SYNC);
}

static void run_history(void)
{
    struct load l;
    cut_record(&history, "queue");
    REQUIRE(load_open(&l, "queue", SEED, true));
    pictures[0] = picture_of(&l.both.disk);
    cut_mark(0);
    size_t written = 0;
    for (uint64_t g = 1; g <= GROUPS; g++) {
        const size_t from = history.count;
        load_events(&l);
        CHECK_OK(load_commit(&l));
        check_flushes(from);
        written += history.count > from;
        pictures[g] = picture_of(&l.both.disk);
        cut_mark(g);
    }
    cut_record(NULL, NULL);
    CHECK(written > GROUPS / 2);
    load_close(&l);
}

/* ---- what is found afterwards ---- */

static uint64_t open_picture(const char *folder, bool *opened)
{
    struct journal_lmdb *j = NULL;
    struct journal_loaded loaded = {0};
    uint64_t picture = 0;
    *opened = journal_lmdb_open(folder, &j) == STATUS_OK;
    if (*opened)
        picture = journal_picture(journal_lmdb_base(j), &loaded);
    *opened &= loaded.damaged == 0;
    journal_lmdb_close(&j);
    return picture;
}

/* The journal holds what group k left, or k + 1; -1: neither. */
static int64_t group_found(const char *folder, uint64_t k)
{
    bool opened;
    const uint64_t picture = open_picture(folder, &opened);
    if (!opened)
        return -1;
    if (picture == pictures[k])
        return (int64_t)k;
    return k < GROUPS && picture == pictures[k + 1] ? (int64_t)k + 1 : -1;
}

static uint64_t marked_before(const struct cut_log *log, size_t at)
{
    while (at && log->ops[at - 1].type != CUT_MARK)
        at--;
    return at ? log->ops[at - 1].value : 0;
}

/* A scheduler goes on with what is left, and that is there again. */
static bool goes_on(const char *folder)
{
    struct load l;
    struct message_job m;
    bool ok = load_open(&l, folder, 3, false);
    uint64_t job = 0;
    if (ok) {
        ok = queue_check(l.rig.queue) == STATUS_OK;
        job = rig_submit(&l.rig, (struct rig_job){.items = 2, .priority = 1000});
        ok &= job && load_commit(&l) == STATUS_OK && rig_take_one(&l.rig, l.worker) >> 40 >= LOAD_EPOCH;
        ok &= load_commit(&l) == STATUS_OK;
    }
    load_close(&l);
    ok = ok && load_open(&l, folder, 3, false) && queue_check(l.rig.queue) == STATUS_OK &&
         queue_show(l.rig.queue, job, &m) == STATUS_OK && m.leased == 1 && m.queued == 1;
    load_close(&l);
    return ok;
}

TEST(a_power_cut_takes_back_nothing_that_was_committed)
{
    uint64_t random = 1;
    size_t images = 0, later = 0;
    run_history();
    REQUIRE(history.count > 4 * GROUPS);
    for (size_t at = 0; at <= history.count; at++)
        for (int choice = 0; choice < CUT_CHOICES + 1; choice++) { /* chance has one more throw */
            const uint64_t k = marked_before(&history, at);
            cut_image(&history, at, choice < CUT_CHOICES ? (enum cut_choice)choice : CUT_SECTORS, &random, "cut");
            const int64_t found = group_found("cut", k);
            MUST(found >= 0, "cut at %zu of %zu, choice %d: not group %d, nor the next: %s", at, history.count, choice,
                 (int)k, status_message());
            later += found > (int64_t)k;
            if (++images % 16 == 0)
                CHECK(goes_on("cut"));
        }
    CHECK(later > 0); /* a group that was being committed can be there */
    printf("    %zu operations, %zu images\n", history.count, images);
    cut_free(&history);
}

/* The process is killed, and the next one sees in the kernel's cache what is not on the disk. What it shows, promises
 * or builds on must be there after the power cut that follows. */
TEST(what_a_restart_has_shown_stays)
{
    uint64_t random = 2;
    run_history();
    for (size_t count = 1; count <= history.count; count++) {
        struct cut_log log;
        struct journal_lmdb *j = NULL;
        struct journal_loaded loaded;
        if (history.ops[count - 1].type != CUT_WRITE)
            continue;
        cut_copy(&history, count, &log);
        cut_image(&log, count, CUT_ALL, &random, "cut");
        cut_record(&log, "cut");
        CHECK_OK(journal_lmdb_open("cut", &j));
        REQUIRE(j);
        const uint64_t shown = journal_picture(journal_lmdb_base(j), &loaded);
        CHECK_OK(journal_lmdb_base(j)->commit(journal_lmdb_base(j)));
        cut_record(NULL, NULL);
        journal_lmdb_close(&j);
        for (int choice = 0; choice < CUT_CHOICES; choice++) {
            bool opened;
            cut_image(&log, log.count, (enum cut_choice)choice, &random, "cut");
            const uint64_t picture = open_picture("cut", &opened);
            MUST(opened && picture == shown, "killed after %zu of %zu: what was shown is gone, choice %d", count,
                 history.count, choice);
        }
        cut_free_copy(&log, count);
    }
    cut_free(&history);
}

/* ---- a disk that fails ---- */

/* Runs the workload until the failure; how many groups were committed, -1 for not even an opened journal. */
static int64_t run_failing(struct load *l, const char *folder)
{
    if (!load_open(l, folder, SEED, true))
        return -1;
    cut_mark(0);
    for (uint64_t g = 1; g <= GROUPS; g++) {
        load_events(l);
        if (load_commit(l)) {
            rig_submit(&l->rig, (struct rig_job){.items = 1});
            MUST(load_commit(l) != STATUS_OK, "a journal whose commit failed takes another group");
            return (int64_t)g - 1;
        }
        cut_mark(g);
    }
    return GROUPS;
}

static void clear(const char *folder)
{
    uint64_t random = 0;
    const struct cut_log nothing = {0};
    cut_image(&nothing, 0, CUT_NONE, &random, folder);
}

/* After the failure: in the running system, and after a power cut on top of it. */
static void check_failed(const struct cut_log *log, int64_t groups, uint64_t nth, int how)
{
    uint64_t random = nth;
    const uint64_t k = groups < 0 ? 0 : (uint64_t)groups;
    MUST(group_found("queue", k) >= 0, "call %d failed, way %d: not group %d, nor the next", (int)nth, how, (int)k);
    for (int choice = 0; choice < CUT_CHOICES; choice++) {
        cut_image(log, log->count, (enum cut_choice)choice, &random, "cut");
        MUST(group_found("cut", k) >= 0,
             "call %d failed, way %d, then a power cut, choice %d: not group %d, nor the next", (int)nth, how, choice,
             (int)k);
    }
}

static void fail_each(int error, enum cut_failure how)
{
    uint64_t nth = 1;
    bool more = true;
    for (; more; nth++) {
        struct cut_log log = {0};
        struct load l;
        clear("queue");
        cut_record(&log, "queue");
        cut_fail(nth, error, how);
        const int64_t groups = run_failing(&l, "queue");
        more = cut_failed();
        cut_fail(0, 0, how);
        cut_record(NULL, NULL);
        load_close(&l);
        MUST(more || groups == GROUPS, "no call failed, and yet it ended after group %d", (int)groups);
        MUST(!more || groups < GROUPS, "call %d failed, way %d, and nobody said so", (int)nth, (int)how);
        if (more)
            check_failed(&log, groups, nth, (int)how);
        cut_free(&log);
    }
    CHECK(nth > 3 * GROUPS);
    printf("    error %d, way %d: %d calls failed\n", error, (int)how, (int)nth - 2);
}

TEST(a_write_or_sync_that_fails_is_not_acknowledged)
{
    run_history();
    cut_free(&history);
    for (int how = 0; how < CUT_FAILURES; how++)
        fail_each(how % 2 ? ENOSPC : EIO, (enum cut_failure)how);
}

/* A failed write may be on the disk all the same. The process ends, the next one goes on from what the cache says, and
 * then the power goes: the file must be what one of the two histories made of it, whole. */
static void check_second_history(const struct cut_log *before, struct load *l, const char *folder)
{
    struct cut_log log;
    uint64_t random = before->count, known[AFTER + 2] = {0}, groups = 0, marked = 0;
    struct journal_loaded loaded;
    cut_copy(before, before->count, &log);
    cut_record(&log, folder);
    REQUIRE(load_open(l, folder, SEED + 1, false));
    known[0] = journal_picture(l->both.real, &loaded);
    cut_mark(0);
    const size_t start = log.count;
    for (groups = 1; groups <= AFTER; groups++) {
        rig_submit(&l->rig, (struct rig_job){.items = 3});
        load_take(l);
        CHECK_OK(load_commit(l));
        known[groups] = journal_picture(l->both.real, &loaded);
        cut_mark(groups);
    }
    cut_record(NULL, NULL);
    load_close(l);
    for (size_t at = start; at <= log.count; at++)
        for (int choice = 0; choice < CUT_CHOICES; choice++) {
            bool opened;
            marked = marked_before(&log, at);
            cut_image(&log, at, (enum cut_choice)choice, &random, "cut");
            const uint64_t picture = open_picture("cut", &opened);
            MUST(opened && (picture == known[marked] || picture == known[marked + 1]),
                 "failed, restarted, cut at %zu of %zu, choice %d: not group %d, nor the next: %s", at - start,
                 log.count - start, choice, (int)marked, opened ? "another state" : status_message());
        }
    cut_free_copy(&log, before->count);
}

TEST(after_a_failed_commit_the_next_process_builds_on_firm_ground)
{
    for (uint64_t nth = 3; nth < 3 * (uint64_t)GROUPS; nth += 11)
        for (int how = 0; how < CUT_FAILURES; how++) {
            struct cut_log log = {0};
            struct load l;
            clear("queue");
            cut_record(&log, "queue");
            cut_fail(nth, EIO, (enum cut_failure)how);
            run_failing(&l, "queue");
            cut_fail(0, 0, CUT_FAIL_BEFORE);
            cut_record(NULL, NULL);
            load_close(&l);
            check_second_history(&log, &l, "queue");
            cut_free(&log);
        }
}

/* ---- the rest of the folder ---- */

TEST(the_names_of_new_files_are_durable_before_anything_is_acknowledged)
{
    struct load l;
    cut_record(&history, "queue");
    REQUIRE(load_open(&l, "queue", SEED, true));
    cut_record(NULL, NULL);
    CHECK(count_ops(&history, 0, CUT_FOLDER_SYNC, false) == 1);
    CHECK(count_ops(&history, 0, CUT_PARENT_SYNC, false) == 1); /* the folder itself was made */
    load_close(&l);
    cut_free(&history);
    cut_record(&history, "queue");
    REQUIRE(load_open(&l, "queue", SEED, true));
    cut_record(NULL, NULL);
    CHECK(count_ops(&history, 0, CUT_NAMED, false) == 0);
    load_close(&l);
    cut_free(&history);
}

static size_t records_in(const char *folder)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    MDB_stat stat = {0};
    REQUIRE(mdb_env_create(&env) == 0 && mdb_env_open(env, folder, MDB_RDONLY, 0) == 0);
    REQUIRE(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &table) == 0);
    CHECK(mdb_stat(txn, table, &stat) == 0);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return stat.ms_entries;
}

static int count_record(void *context, const struct journal_record *r)
{
    (void)r;
    ++*(size_t *)context;
    return STATUS_OK;
}

/* No record stays that load would not tell of, but the journal's own. */
TEST(removed_jobs_leave_nothing_behind)
{
    struct load l;
    struct journal_loaded loaded;
    size_t told = 0;
    REQUIRE(load_open(&l, "queue", SEED, true));
    for (uint64_t g = 0; g < GROUPS; g++) {
        load_events(&l);
        CHECK_OK(load_commit(&l));
    }
    load_hour(&l);
    for (int i = 0; i < 3; i++) { /* they go with the groups that follow */
        CHECK_OK(load_commit(&l));
        load_submit(&l);
    }
    CHECK_OK(load_commit(&l));
    CHECK_OK(l.both.real->load(l.both.real, count_record, &told, &loaded));
    CHECK(journal_picture(l.both.real, &loaded) == picture_of(&l.both.disk));
    load_close(&l);
    CHECK(records_in("queue") == told + 1);
}
