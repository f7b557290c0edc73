#include "journal_stored.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REAP_MOST = 4096,     /* records of removed jobs that one commit deletes */
    SEEN_MOST = 32 << 20, /* bytes put until the map's pages are let go of */
};
static const size_t MAP_BYTES = (size_t)1 << 36; /* address space; the file grows as it must */

/* The file's pages that were looked at stay in the kernel's cache, but count as this process's memory no more. */
void journal_let_go(struct journal_lmdb *j)
{
    MDB_envinfo info;
    MDB_stat stat;
    j->seen = 0;
    if (j->map && !mdb_env_info(j->env, &info) && !mdb_env_stat(j->env, &stat))
        madvise(j->map, (info.me_last_pgno + 1) * stat.ms_psize, MADV_DONTNEED);
}

/* Where the file is mapped: LMDB does not say. */
static void find_map(struct journal_lmdb *j)
{
    char path[JOURNAL_FOLDER_MOST + 16], line[JOURNAL_FOLDER_MOST + 256];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", j->folder);
    FILE *const maps = stat(path, &st) ? NULL : fopen("/proc/self/maps", "r");
    while (maps && !j->map && fgets(line, sizeof line, maps)) {
        const uintptr_t from = strtoull(line, NULL, 16); /* first field; the fifth is the inode */
        const char *field = line;
        for (int i = 0; i < 4 && field; i++)
            field = (field = strchr(field, ' ')) ? field + strspn(field, " ") : NULL;
        if (field && strtoull(field, NULL, 10) == st.st_ino)
            j->map = (void *)from; /* NOLINT(performance-no-int-to-ptr): a number is all that the kernel tells */
    }
    if (maps)
        fclose(maps);
}

/* ---- putting ---- */

static void remember(struct journal_lmdb *j, int code)
{
    if (j->code || !code)
        return;
    j->code = code;
    snprintf(j->message, sizeof j->message, "%s", status_message());
}

static int begin(struct journal_lmdb *j)
{
    if (j->txn)
        return STATUS_OK;
    const int e = mdb_txn_begin(j->env, NULL, 0, &j->txn);
    return e ? journal_lmdb_fail(j, e, "begin") : STATUS_OK;
}

static int put_map(struct journal_lmdb *j, uint64_t job, enum part part, uint32_t number,
                   const struct wire_schema *schema, const void *map)
{
    uint8_t key[JOURNAL_KEY_BYTES];
    const uint8_t head[JOURNAL_HEAD_BYTES] = {JOURNAL_VERSION};
    j->value.bytes = 0;
    journal_key(job, part, number, key);
    int code = begin(j);
    code = code ? code : wire_append(&j->value, head, sizeof head);
    code = code ? code : wire_encode(schema, map, &j->value);
    if (code)
        return code;
    const uint32_t crc = journal_checksum(key, j->value.data + JOURNAL_HEAD_BYTES, j->value.bytes - JOURNAL_HEAD_BYTES);
    for (int i = 0; i < 4; i++)
        j->value.data[1 + i] = (uint8_t)(crc >> 8 * i);
    MDB_val k = {JOURNAL_KEY_BYTES, key}, v = {j->value.bytes, j->value.data};
    j->seen += j->value.bytes;
    const int e = mdb_put(j->txn, j->table, &k, &v, 0);
    return e ? journal_lmdb_fail(j, e, "put") : STATUS_OK;
}

static int put_own(struct journal_lmdb *j)
{
    return put_map(j, 0, PART_OWN, 0, &stored_own_schema,
                   &(struct stored_own){.version = JOURNAL_VERSION, .last_job = j->last_job});
}

static int put_job(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct journal_job *const s = &r->submitted;
    const struct stored_job map = {.kind = s->kind,
                                   .name = s->name,
                                   .params = s->params,
                                   .priority = s->priority,
                                   .max_attempts = s->max_attempts,
                                   .submitted_unix_ms = s->submitted_unix_ms,
                                   .cancel_on_disconnect = s->cancel_on_disconnect};
    j->last_job = r->job;
    const int code = put_own(j);
    return code ? code : put_map(j, r->job, PART_JOB, 0, &stored_job_schema, &map);
}

static int put_lease(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct stored_lease map = {r->token, r->attempts, r->type == JOURNAL_QUEUED};
    return put_map(j, r->job, PART_LEASE, r->index, &stored_lease_schema, &map);
}

static int put_outcome(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct journal_outcome *const o = &r->outcome;
    const struct stored_outcome map = {r->index, r->token, r->attempts, o->state, o->failure, o->message, o->result};
    uint8_t key[JOURNAL_KEY_BYTES];
    int code = put_map(j, r->job, PART_OUTCOME, r->number, &stored_outcome_schema, &map);
    if (code)
        return code;
    journal_key(r->job, PART_LEASE, r->index, key);
    MDB_val k = {JOURNAL_KEY_BYTES, key};
    const int e = mdb_del(j->txn, j->table, &k, NULL);
    return e && e != MDB_NOTFOUND ? journal_lmdb_fail(j, e, "delete") : STATUS_OK;
}

int journal_note_removed(struct journal_lmdb *j, uint64_t job)
{
    if (j->removed_count == j->removed_capacity) {
        const size_t capacity = j->removed_capacity ? 2 * j->removed_capacity : 64;
        uint64_t *const grown = realloc(j->removed, capacity * sizeof *grown);
        if (!grown)
            return fail(STATUS_NOMEM, "journal: %zu removed jobs", capacity);
        j->removed = grown;
        j->removed_capacity = capacity;
    }
    j->removed[j->removed_count++] = job;
    return STATUS_OK;
}

static int put_record(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct stored_end end = {r->unix_ms};
    switch (r->type) {
    case JOURNAL_JOB:
        return put_job(j, r);
    case JOURNAL_ITEM:
        return put_map(j, r->job, PART_ITEM, r->index, &item_schema, &r->item);
    case JOURNAL_SEALED:
        return put_map(j, r->job, PART_SEALED, 0, &stored_end_schema, &end);
    case JOURNAL_GRANTED:
    case JOURNAL_QUEUED:
        return put_lease(j, r);
    case JOURNAL_OUTCOME:
        return put_outcome(j, r);
    case JOURNAL_CANCELLED:
        return put_map(j, r->job, PART_CANCELLED, 0, &stored_end_schema, &end);
    case JOURNAL_FINISHED:
        return put_map(j, r->job, PART_FINISHED, 0, &stored_end_schema, &end);
    case JOURNAL_REMOVED: {
        const int code = put_map(j, r->job, PART_REMOVED, 0, &stored_end_schema, &end);
        return code ? code : journal_note_removed(j, r->job);
    }
    }
    return fail(STATUS_INTERNAL, "journal: record of type %d", (int)r->type);
}

static void put(struct journal *journal, const struct journal_record *r)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    if (!j->code)
        remember(j, put_record(j, r));
}

/* ---- committing ---- */

/* Deletes some records of removed jobs. The mark that a job is removed goes last. */
static int reap(struct journal_lmdb *j)
{
    MDB_cursor *cursor;
    int e = mdb_cursor_open(j->txn, j->table, &cursor);
    for (int left = REAP_MOST; !e && left > 0 && j->removed_count;) {
        const uint64_t job = j->removed[j->removed_count - 1];
        uint8_t from[JOURNAL_KEY_BYTES];
        journal_key(job, PART_OWN, 0, from);
        MDB_val key = {JOURNAL_KEY_BYTES, from}, value;
        e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        for (; !e && left > 0 && journal_key_job(key.mv_data) == job; left--) {
            e = mdb_cursor_del(cursor, 0);
            e = e ? e : mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        if (e == MDB_NOTFOUND || (!e && journal_key_job(key.mv_data) != job)) {
            j->removed_count--;
            left--;
            e = 0;
        }
    }
    mdb_cursor_close(cursor);
    return e ? journal_lmdb_fail(j, e, "remove") : STATUS_OK;
}

static void drop_group(struct journal_lmdb *j)
{
    if (j->txn)
        mdb_txn_abort(j->txn);
    j->txn = NULL;
}

static int commit(struct journal *journal)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    if (!j->code && j->removed_count && j->txn)
        remember(j, reap(j));
    if (j->code) {
        drop_group(j);
        return fail(j->code, "%s", j->message);
    }
    if (!j->txn)
        return STATUS_OK;
    const int e = mdb_txn_commit(j->txn);
    j->txn = NULL; /* in either case */
    if (j->seen > SEEN_MOST)
        journal_let_go(j);
    if (e)
        remember(j, journal_lmdb_fail(j, e, "commit"));
    return e ? fail(j->code, "%s", j->message) : STATUS_OK;
}

/* ---- opening ---- */

static int take_lock(struct journal_lmdb *j)
{
    char path[JOURNAL_FOLDER_MOST + 8];
    snprintf(path, sizeof path, "%s/lock", j->folder);
    j->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock < 0)
        return fail(STATUS_IO, "journal %s: %s", path, strerror(errno));
    if (flock(j->lock, LOCK_EX | LOCK_NB))
        return fail(STATUS_BUSY, "journal %s: another scheduler writes it", j->folder);
    return STATUS_OK;
}

/* The version, and the largest job number that was ever given. */
static int read_own(struct journal_lmdb *j, MDB_txn *txn)
{
    uint8_t key[JOURNAL_KEY_BYTES];
    struct wire_slice map = {0};
    struct stored_own own;
    journal_key(0, PART_OWN, 0, key);
    MDB_val k = {JOURNAL_KEY_BYTES, key}, v;
    const int e = mdb_get(txn, j->table, &k, &v);
    if (e == MDB_NOTFOUND)
        return STATUS_OK; /* a new one */
    int code = e ? journal_lmdb_fail(j, e, "read") : journal_value(&k, &v, &map);
    code = code ? code : wire_decode(&stored_own_schema, map.data, map.bytes, &own);
    if (code)
        return status_context(code, "journal %s", j->folder);
    j->last_job = own.last_job;
    return own.version <= JOURNAL_VERSION
               ? STATUS_OK
               : fail(STATUS_VERSION, "journal %s: written by version %" PRIu64 ", this program knows %d", j->folder,
                      own.version, JOURNAL_VERSION);
}

static int open_env(struct journal_lmdb *j)
{
    MDB_txn *txn = NULL;
    int e = mdb_env_create(&j->env);
    e = e ? e : mdb_env_set_mapsize(j->env, MAP_BYTES);
    e = e ? e : mdb_env_open(j->env, j->folder, 0, 0600);
    e = e ? e : mdb_txn_begin(j->env, NULL, 0, &txn);
    e = e ? e : mdb_dbi_open(txn, NULL, 0, &j->table);
    int code = e ? journal_lmdb_fail(j, e, "open") : read_own(j, txn);
    if (txn && code)
        mdb_txn_abort(txn);
    else if (txn && (e = mdb_txn_commit(txn)))
        code = journal_lmdb_fail(j, e, "open");
    return code;
}

int journal_lmdb_open(const char *folder, struct journal_lmdb **out)
{
    struct journal_lmdb *j = calloc(1, sizeof *j);
    if (!j)
        return fail(STATUS_NOMEM, "journal");
    j->journal = (struct journal){put, commit, journal_load};
    j->lock = -1;
    int code = strlen(folder) < JOURNAL_FOLDER_MOST
                   ? STATUS_OK
                   : fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    snprintf(j->folder, sizeof j->folder, "%s", folder);
    if (!code && mkdir(folder, 0700) && errno != EEXIST)
        code = fail(STATUS_IO, "journal %s: %s", folder, strerror(errno));
    code = code ? code : paths_refuse_network("journal", folder);
    code = code ? code : take_lock(j);
    code = code ? code : open_env(j);
    if (!code)
        find_map(j);
    if (code)
        journal_lmdb_close(&j);
    else
        *out = j;
    return code;
}

void journal_lmdb_close(struct journal_lmdb **journal)
{
    struct journal_lmdb *const j = *journal;
    if (!j)
        return;
    drop_group(j);
    if (j->env)
        mdb_env_close(j->env);
    if (j->lock >= 0)
        close(j->lock);
    wire_free(&j->value);
    free(j->removed);
    free(j);
    *journal = NULL;
}

struct journal *journal_lmdb_base(struct journal_lmdb *j)
{
    return &j->journal;
}
