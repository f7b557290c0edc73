#include "journal_rig.h"

#include "hash.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint8_t journal_file[JOURNAL_FILE_MOST];
struct journal_check journal_found;

struct journal_lmdb *journal_rig_open(struct rig *r, const char *folder)
{
    struct journal_lmdb *j = NULL;
    struct journal_loaded loaded;
    REQUIRE(journal_lmdb_open(folder, &j) == STATUS_OK);
    rig_open(r, &(struct queue_options){.epoch = 1, .journal = journal_lmdb_base(j)});
    r->unchecked = true;
    REQUIRE(queue_restore(r->queue, r->now_ms, 5000000, &loaded) == STATUS_OK);
    return j;
}

void journal_rig_close(struct rig *r, struct journal_lmdb **j)
{
    CHECK_OK(r->options.journal->commit(r->options.journal));
    rig_close(r);
    journal_lmdb_close(j);
}

void journal_rig_fill(const char *folder)
{
    struct rig r;
    struct journal_lmdb *j = journal_rig_open(&r, folder);
    const uint64_t w = rig_ready(&r, 0, "w", 7, "noop other", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 4, .max_attempts = 3});
    const uint64_t done = rig_take_one(&r, w), failed = rig_take_one(&r, w);
    rig_take_one(&r, w);
    CHECK(rig_report(&r, w, done, FAILURE_NONE, 10000) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, failed, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    rig_cancel(&r, rig_submit(&r, (struct rig_job){.items = 4, .kind = "idle"}));
    rig_submit(&r, (struct rig_job){.items = 4, .kind = "other", .priority = 9});
    for (int i = 0; i < 4; i++)
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 20) == COMMIT_COMMITTED);
    rig_submit(&r, (struct rig_job){.items = 9, .kind = "idle"});
    journal_rig_close(&r, &j);
}

void journal_rig_path(const char *folder, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", folder, name);
}

size_t journal_rig_read(const char *folder)
{
    char path[256];
    journal_rig_path(folder, "data.mdb", path);
    const int fd = open(path, O_RDONLY);
    const ssize_t bytes = read(fd, journal_file, sizeof journal_file);
    close(fd);
    REQUIRE(bytes > 0 && bytes < JOURNAL_FILE_MOST);
    return (size_t)bytes;
}

void journal_rig_write(const char *folder, size_t bytes)
{
    char path[256];
    journal_rig_path(folder, "data.mdb", path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, journal_file, bytes) == (ssize_t)bytes);
    close(fd);
}

/* Only the pages that are in use: what is flipped there is in use. */
size_t journal_rig_fill_compact(const char *folder)
{
    struct journal_compact c;
    journal_rig_fill(folder);
    CHECK_OK(journal_compact(folder, &c, &journal_found));
    return journal_rig_read(folder);
}

MDB_env *journal_rig_raw(const char *folder, unsigned flags, MDB_txn **txn, MDB_dbi *table)
{
    MDB_env *env;
    REQUIRE(mdb_env_create(&env) == 0 && mdb_env_open(env, folder, flags, 0600) == 0);
    REQUIRE(mdb_txn_begin(env, NULL, flags & MDB_RDONLY, txn) == 0 && mdb_dbi_open(*txn, NULL, 0, table) == 0);
    return env;
}

/* A number that stands for all records. */
uint32_t journal_rig_print(const char *folder)
{
    MDB_txn *txn;
    MDB_dbi table;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint32_t sum = 0;
    MDB_env *const env = journal_rig_raw(folder, MDB_RDONLY, &txn, &table);
    REQUIRE(mdb_cursor_open(txn, table, &cursor) == 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        sum = crc32c(crc32c(sum, key.mv_data, key.mv_size), value.mv_data, value.mv_size);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return sum;
}

void journal_rig_change(const char *folder, const struct journal_change *c, uint8_t version)
{
    MDB_txn *txn;
    MDB_dbi table;
    uint8_t k[JOURNAL_KEY_BYTES];
    struct wire_buffer v = {0};
    MDB_env *const env = journal_rig_raw(folder, 0, &txn, &table);
    journal_key(c->job, c->part, c->number, k);
    MDB_val key = {sizeof k, k};
    if (c->schema) {
        uint8_t head[JOURNAL_HEAD_BYTES] = {version};
        REQUIRE(wire_append(&v, head, sizeof head) == 0 && wire_encode(c->schema, c->map, &v) == 0);
        const uint32_t crc = journal_checksum(k, v.data + JOURNAL_HEAD_BYTES, v.bytes - JOURNAL_HEAD_BYTES);
        for (int i = 0; i < 4; i++)
            v.data[1 + i] = (uint8_t)(crc >> 8 * i);
        REQUIRE(mdb_put(txn, table, &key, &(MDB_val){v.bytes, v.data}, 0) == 0);
    } else {
        REQUIRE(mdb_del(txn, table, &key, NULL) == 0);
    }
    REQUIRE(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    wire_free(&v);
}
