/* Checking a journal finds whatever a scheduler would stumble over, and takes nothing else for a journal. */
#include "journal_rig.h"
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORDS_MOST = 512 };

TEST(a_sound_journal)
{
    journal_rig_fill("queue");
    struct stat st;
    CHECK_OK(journal_fsck("queue", &journal_found));
    CHECK(journal_found.damages == 0 && journal_found.damaged_jobs == 0 && journal_found.removed_jobs == 0);
    CHECK(journal_found.jobs == 4 && journal_found.items == 21 && journal_found.outcomes == 5);
    CHECK(stat("queue/data.mdb", &st) == 0 && journal_found.bytes == (uint64_t)st.st_size &&
          journal_found.pages * JOURNAL_PAGE >= journal_found.bytes);
    CHECK(journal_found.records > 4 + 21 + 5);

    struct rig r;
    struct journal_lmdb *j = journal_rig_open(&r, "empty");
    CHECK_OK(journal_fsck("empty", &journal_found));
    CHECK(journal_found.damages == 0 && journal_found.records == 0 && journal_found.jobs == 0);
    journal_rig_close(&r, &j);
}

/* ---- damage to the bytes ---- */

struct place {
    size_t key, value; /* in the file */
    size_t bytes;      /* of the value */
    uint64_t job;
};

static size_t find_places(const char *folder, size_t bytes, struct place places[RECORDS_MOST])
{
    MDB_txn *txn;
    MDB_dbi table;
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t n = 0;
    MDB_env *const env = journal_rig_raw(folder, MDB_RDONLY, &txn, &table);
    REQUIRE(mdb_cursor_open(txn, table, &cursor) == 0);
    for (; mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0; n++) {
        REQUIRE(n < RECORDS_MOST);
        const uint8_t *const v = memmem(journal_file, bytes, value.mv_data, value.mv_size);
        const uint8_t *k = journal_file;
        /* Branch pages have keys, too; a leaf has a small value right behind its key. */
        while ((k = memmem(k, (size_t)(journal_file + bytes - k), key.mv_data, key.mv_size)) != NULL)
            if (value.mv_size > 2000 || k + key.mv_size == v)
                break;
            else
                k++;
        REQUIRE(k && v);
        places[n] = (struct place){(size_t)(k - journal_file), (size_t)(v - journal_file), value.mv_size,
                                   journal_key_job(&key)};
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return n;
}

static bool finds_flip(size_t bytes, size_t at, int bit)
{
    journal_file[at] ^= (uint8_t)(1 << bit);
    journal_rig_write("queue", bytes);
    journal_file[at] ^= (uint8_t)(1 << bit);
    return journal_fsck("queue", &journal_found) == STATUS_OK && journal_found.damages > 0;
}

TEST(a_flipped_bit_in_any_record_is_found)
{
    static struct place places[RECORDS_MOST];
    uint64_t random = 1;
    const size_t bytes = journal_rig_fill_compact("queue"), n = find_places("queue", bytes, places);
    CHECK(n > 30);
    for (size_t i = 0; i < n; i++) {
        const struct place *const p = &places[i];
        const size_t in_key = test_random(&random) % JOURNAL_KEY_BYTES,
                     in_value = 1 + test_random(&random) % (p->bytes - 1);
        const int bit = (int)(test_random(&random) % 8);
        if (!finds_flip(bytes, p->key + in_key, bit))
            test_report(false, __FILE__, __LINE__, "record %zu, byte %zu of its key", i, in_key);
        if (!finds_flip(bytes, p->value + in_value, bit))
            test_report(false, __FILE__, __LINE__, "record %zu, byte %zu of its value", i, in_value);
        CHECK(journal_found.list[0].job == p->job && journal_found.list[0].reason[0] &&
              journal_found.list[0].record[0]);
    }
    journal_rig_write("queue", bytes);
    CHECK_OK(journal_fsck("queue", &journal_found));
    CHECK(journal_found.damages == 0);
}

/* Anywhere, also where LMDB keeps its own: never a crash, and what is called sound is all there. */
TEST(a_flipped_bit_anywhere)
{
    uint64_t random = 7;
    const size_t bytes = journal_rig_fill_compact("queue");
    int hits = 0;
    for (int i = 0; i < 400; i++) {
        const size_t page = test_random(&random) % (bytes / JOURNAL_PAGE), header = test_random(&random) % 2;
        const size_t at = page * JOURNAL_PAGE + test_random(&random) % (header ? 128 : JOURNAL_PAGE);
        const bool is_found = finds_flip(bytes, at, (int)(test_random(&random) % 8));
        hits += is_found;
        const bool is_refused = journal_fsck("queue", &journal_found) != STATUS_OK;
        CHECK(!is_refused || page < 2); /* the first pages say what it is */
        if (!is_found && !is_refused)
            CHECK(journal_found.jobs == 4 && journal_found.items == 21 && journal_found.outcomes == 5);
    }
    CHECK(hits > 50);
}

TEST(a_page_of_zeros_is_found)
{
    const size_t bytes = journal_rig_fill_compact("queue");
    static uint8_t kept[JOURNAL_PAGE];
    static const uint8_t zeros[JOURNAL_PAGE]; /* a page of a long result may be so */
    for (size_t at = 0; at < bytes; at += JOURNAL_PAGE) {
        memcpy(kept, journal_file + at, JOURNAL_PAGE);
        memset(journal_file + at, 0, JOURNAL_PAGE);
        journal_rig_write("queue", bytes);
        memcpy(journal_file + at, kept, JOURNAL_PAGE);
        CHECK_OK(journal_fsck("queue", &journal_found));
        if (!journal_found.damages && memcmp(kept, zeros, JOURNAL_PAGE) != 0)
            test_report(false, __FILE__, __LINE__, "page %zu", at / JOURNAL_PAGE);
    }
}

TEST(a_file_that_was_cut_off_is_found)
{
    const size_t bytes = journal_rig_fill_compact("queue");
    for (size_t left = JOURNAL_PAGE; left < bytes; left += JOURNAL_PAGE) {
        journal_rig_write("queue", left);
        CHECK_OK(journal_fsck("queue", &journal_found));
        if (!journal_found.damages)
            test_report(false, __FILE__, __LINE__, "%zu bytes of %zu", left, bytes);
    }
    journal_rig_write("queue", 100);
    CHECK_OK(journal_fsck("queue", &journal_found));
    CHECK(journal_found.damages == 1 && journal_found.damaged_jobs == 0);
    journal_rig_write("queue", 0);
    CHECK_CODE(journal_fsck("queue", &journal_found), STATUS_FORMAT);
}

/* ---- records that are sound by themselves, and do not fit ---- */

static const struct stored_outcome outcome_of_9 = {.index = 9, .token = 77, .attempts = 1, .state = ITEM_DONE};
static const struct stored_outcome outcome_of_0 = {.index = 0, .token = 77, .attempts = 1, .state = ITEM_DONE};
static const struct stored_outcome outcome_odd = {.index = 3, .token = 77, .attempts = 1, .state = 99};
static const struct stored_lease lease = {.token = 78, .attempts = 1};
static const struct stored_end end = {5};
static const struct stored_own own_of_3 = {.version = 1, .last_job = 3};

static const struct journal_change changes[] = {
    {4, PART_JOB, 0, NULL, NULL, "the job itself is missing"},
    {4, PART_ITEM, 5, NULL, NULL, "it does not follow the one before"},
    {4, PART_ITEM, 20, &item_schema, &(struct message_item){.path = {(const uint8_t *)"x", 1}}, "does not follow"},
    {1, PART_OUTCOME, 2, &stored_outcome_schema, &outcome_odd, "does not follow the one before"},
    {1, PART_OUTCOME, 1, &stored_outcome_schema, &outcome_odd, "does not follow the one before"},
    {1, PART_OUTCOME, 1, &stored_outcome_schema, &outcome_of_9, "no such item"},
    {1, PART_OUTCOME, 1, &stored_outcome_schema, &outcome_of_0, "does not follow the one before"},
    {3, PART_LEASE, 7, &stored_lease_schema, &lease, "no such item"},
    {4, PART_FINISHED, 0, &stored_end_schema, &end, "with items that have no outcome"},
    {4, (enum part)200, 0, &stored_end_schema, &end, "part 200"},
    {4, PART_JOB, 0, &stored_end_schema, &end, ""},
    {0, PART_OWN, 0, &stored_own_schema, &own_of_3, "above the largest"},
    {0, PART_OWN, 0, NULL, NULL, "missing"},
};

TEST(records_that_do_not_fit_are_found)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char folder[32];
        const struct journal_change *const c = &changes[i];
        snprintf(folder, sizeof folder, "queue%zu", i);
        journal_rig_fill(folder);
        journal_rig_change(folder, c, JOURNAL_VERSION);
        CHECK_OK(journal_fsck(folder, &journal_found));
        const struct journal_damage *const d = &journal_found.list[0];
        const bool own = c->part == PART_OWN; /* every job above the largest number is named */
        if (journal_found.damages < 1 || (!own && (journal_found.damages != 1 || d->job != c->job)) ||
            !strstr(d->reason, c->reason))
            test_report(false, __FILE__, __LINE__, "case %zu: %llu found, job %llu, %s: %s", i,
                        (unsigned long long)journal_found.damages, (unsigned long long)d->job, d->record, d->reason);
    }
}

TEST(several_damaged_jobs_are_all_named)
{
    journal_rig_fill("queue");
    journal_rig_change("queue", &changes[3], JOURNAL_VERSION); /* job 1 */
    journal_rig_change("queue", &changes[7], JOURNAL_VERSION); /* job 3 */
    journal_rig_change("queue", &changes[1], JOURNAL_VERSION); /* job 4 */
    CHECK_OK(journal_fsck("queue", &journal_found));
    CHECK(journal_found.damages == 3 && journal_found.damaged_jobs == 3);
    CHECK(journal_found.list[0].job == 1 && journal_found.list[1].job == 3 && journal_found.list[2].job == 4);
}

/* ---- what is no journal of ours ---- */

TEST(a_later_version_is_refused)
{
    static const struct stored_own later = {.version = JOURNAL_VERSION + 1, .last_job = 4};
    static const struct journal_change cases[] = {
        {0, PART_OWN, 0, &stored_own_schema, &later, NULL},
        {4, PART_FINISHED, 0, &stored_end_schema, &end, NULL},
    };
    for (int i = 0; i < 2; i++) {
        const char *const folder = i ? "two" : "one";
        struct journal_compact c;
        journal_rig_fill(folder);
        journal_rig_change(folder, &cases[i], i ? JOURNAL_VERSION + 1 : JOURNAL_VERSION);
        CHECK_CODE(journal_fsck(folder, &journal_found), STATUS_VERSION);
        CHECK(strstr(status_message(), "this program knows"));
        CHECK_CODE(journal_compact(folder, &c, &journal_found), STATUS_VERSION);
    }
}

TEST(folders_without_a_journal_stay_as_they_are)
{
    static const struct {
        const char *folder;
        int code;
    } cases[] = {{"none", STATUS_NOT_FOUND}, {"bare", STATUS_NOT_FOUND}, {"plain", STATUS_NOT_FOUND},
                 {"text", STATUS_FORMAT},    {"other", STATUS_FORMAT},   {"folder", STATUS_FORMAT}};
    MDB_txn *txn;
    MDB_dbi table;
    REQUIRE(mkdir("bare", 0700) == 0 && mkdir("text", 0700) == 0 && mkdir("other", 0700) == 0);
    REQUIRE(mkdir("folder", 0700) == 0 && mkdir("folder/data.mdb", 0700) == 0);
    close(open("plain", O_CREAT | O_WRONLY, 0600));
    memset(journal_file, 'x', 20000);
    journal_rig_write("text", 20000);
    MDB_env *const env = journal_rig_raw("other", 0, &txn, &table);
    REQUIRE(mdb_put(txn, table, &(MDB_val){3, "key"}, &(MDB_val){5, "value"}, 0) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct journal_compact c;
        CHECK_CODE(journal_fsck(cases[i].folder, &journal_found), cases[i].code);
        CHECK_CODE(journal_backup(cases[i].folder, "copy", &journal_found), cases[i].code);
        if (cases[i].code == STATUS_NOT_FOUND)
            CHECK_CODE(journal_compact(cases[i].folder, &c, &journal_found), STATUS_NOT_FOUND);
    }
    CHECK(access("none", F_OK) != 0 && access("copy", F_OK) != 0);
    CHECK(rmdir("bare") == 0); /* nothing was made in it */
}

/* As another user, where the test runs as root: nothing is forbidden to root. */
static int as_nobody(int (*call)(void))
{
    int state = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(99);
        _exit(-call());
    }
    REQUIRE(waitpid(child, &state, 0) == child && WIFEXITED(state));
    return -WEXITSTATUS(state);
}

static int fsck_finds_nothing(void)
{
    const int code = journal_fsck("queue", &journal_found);
    return code                        ? code
           : journal_found.damages     ? STATUS_DAMAGED
           : journal_found.items == 21 ? STATUS_OK
                                       : STATUS_INTERNAL;
}

TEST(a_folder_that_cannot_be_written_is_read)
{
    struct rig r;
    struct journal_lmdb *j;
    journal_rig_fill("queue");
    REQUIRE(chmod(".", 0755) == 0 && chmod("queue", 0555) == 0 && chmod("queue/data.mdb", 0444) == 0);
    REQUIRE(chmod("queue/lock.mdb", 0444) == 0 && chmod("queue/lock", 0444) == 0);
    CHECK_CODE(as_nobody(fsck_finds_nothing), STATUS_OK);
    if (geteuid() == 0) { /* which may write it in spite of the modes */
        j = journal_rig_open(&r, "queue");
        CHECK_CODE(as_nobody(fsck_finds_nothing), STATUS_BUSY);
        journal_rig_close(&r, &j);
        CHECK_CODE(as_nobody(fsck_finds_nothing), STATUS_OK);
    }
    REQUIRE(chmod("queue", 0755) == 0 && unlink("queue/lock.mdb") == 0 && unlink("queue/lock") == 0);
    REQUIRE(chmod("queue", 0555) == 0); /* a copy */
    CHECK_CODE(as_nobody(fsck_finds_nothing), STATUS_OK);
    CHECK(access("queue/lock.mdb", F_OK) != 0);
    REQUIRE(chmod("queue", 0755) == 0);
}
