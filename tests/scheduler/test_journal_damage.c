/* Journals on disk that cannot be read, in part or at all. */
#include "journal_again.h"
#include "test.h"

#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <unistd.h>

TEST(damage_costs_the_job_that_it_is_in)
{
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    static uint8_t file[1 << 20];
    journal_again_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t hit = rig_submit(&r, (struct rig_job){.kind = "harmed", .items = 1});
    rig_submit(&r, (struct rig_job){.items = 1});
    journal_again_commit(&r);
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
        j = journal_again_open();
        journal_again_restore(&r, j, epoch, &loaded);
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
    struct journal_lmdb *j = journal_again_open();
    struct journal_loaded loaded;
    struct rig r;
    journal_again_restore(&r, j, 1, &loaded);
    rig_submit(&r, (struct rig_job){.items = 1});
    journal_again_commit(&r);
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
    struct journal_lmdb *j = journal_again_open(), *second = NULL;
    CHECK_CODE(journal_lmdb_open("queue", &second), STATUS_BUSY);
    journal_lmdb_close(&j);
    CHECK_CODE(journal_lmdb_open("missing/queue", &second), STATUS_IO);
    CHECK(strstr(status_message(), "missing/queue"));
    CHECK_CODE(journal_lmdb_open("/proc/self/fd", &second), STATUS_IO); /* nothing can be made there, whoever asks */
    CHECK(!second);
}
