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
    READERS_EVERY = 256   /* commits until readers that have died are looked for */
};

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
    journal_space_put(&j->space, j->value.bytes);
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
                                   .cancel_on_disconnect = s->cancel_on_disconnect,
                                   .session = s->session,
                                   .key = s->key,
                                   .content = s->content,
                                   .start_unix_ms = s->start_unix_ms,
                                   .deadline_unix_ms = s->deadline_unix_ms,
                                   .backoff_ms = s->backoff_ms,
                                   .attempt_ms = s->attempt_ms,
                                   .stall_ms = s->stall_ms,
                                   .device_bytes = s->device_bytes,
                                   .wave = s->wave};
    j->last_job = r->job;
    const int code = put_own(j);
    return code ? code : put_map(j, r->job, PART_JOB, 0, &stored_job_schema, &map);
}

static int put_lease(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct stored_lease map = {r->token, r->attempts, r->type == JOURNAL_QUEUED};
    return put_map(j, r->job, PART_LEASE, r->index, &stored_lease_schema, &map);
}

static int delete_key(struct journal_lmdb *j, uint64_t job, enum part part, uint32_t number)
{
    uint8_t key[JOURNAL_KEY_BYTES];
    journal_key(job, part, number, key);
    MDB_val k = {JOURNAL_KEY_BYTES, key};
    const int code = begin(j);
    const int e = code ? 0 : mdb_del(j->txn, j->table, &k, NULL);
    return e && e != MDB_NOTFOUND ? journal_lmdb_fail(j, e, "delete") : code;
}

static int put_outcome(struct journal_lmdb *j, const struct journal_record *r)
{
    const struct journal_outcome *const o = &r->outcome;
    const struct stored_outcome map = {r->index,   r->token,   r->attempts, o->state,
                                       o->failure, o->message, o->result,   o->log};
    int code = put_map(j, r->job, PART_OUTCOME, r->number, &stored_outcome_schema, &map);
    code = code ? code : delete_key(j, r->job, PART_LEASE, r->index);
    return code ? code : delete_key(j, r->job, PART_CHECKPOINT, r->index);
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
    case JOURNAL_REOPENED:
        return delete_key(j, r->job, PART_FINISHED, 0);
    case JOURNAL_CONTROL: {
        const struct journal_control *const c = &r->control;
        const struct stored_control map = {c->priority, c->paused, c->session, c->deadline_unix_ms};
        return put_map(j, r->job, PART_CONTROL, 0, &stored_control_schema, &map);
    }
    case JOURNAL_CHECKPOINT: {
        const struct stored_checkpoint map = {r->checkpoint.object, r->checkpoint.progress};
        return put_map(j, r->job, PART_CHECKPOINT, r->index, &stored_checkpoint_schema, &map);
    }
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
    j->must |= r->type != JOURNAL_GRANTED || !j->has_epoch;
    j->has_epoch |= r->type == JOURNAL_GRANTED;
    if (!j->code)
        remember(j, put_record(j, r));
}

static bool can_wait(const struct journal *journal)
{
    const struct journal_lmdb *const j = (const struct journal_lmdb *)journal;
    return j->txn && !j->must && !j->code;
}

/* ---- committing ---- */

/* Deletes records of the job from `part` on, as long as *left lasts. *done: none is left there. */
static int reap_from(MDB_cursor *cursor, uint64_t job, enum part part, int *left, bool *done)
{
    uint8_t from[JOURNAL_KEY_BYTES];
    journal_key(job, part, 0, from);
    MDB_val key = {JOURNAL_KEY_BYTES, from}, value;
    int e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (; !e && *left > 0 && journal_key_job(&key) == job; --*left) {
        e = mdb_cursor_del(cursor, 0);
        e = e ? e : mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    *done = e == MDB_NOTFOUND || (!e && journal_key_job(&key) != job);
    return *done ? 0 : e;
}

/* Deletes some records of removed jobs. The mark that a job is removed goes last: what stands behind it goes first. */
static int reap(struct journal_lmdb *j)
{
    MDB_cursor *cursor;
    int e = mdb_cursor_open(j->txn, j->table, &cursor);
    for (int left = REAP_MOST; !e && left > 0 && j->removed_count;) {
        const uint64_t job = j->removed[j->removed_count - 1];
        bool done = false;
        e = reap_from(cursor, job, PART_REMOVED + 1, &left, &done);
        if (!e && done)
            e = reap_from(cursor, job, PART_OWN, &left, &done);
        if (!e && done) {
            j->removed_count--;
            left--;
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

/* A reader that was killed would keep every page that has become free since from being used again. */
static void after_commit(struct journal_lmdb *j)
{
    int dead;
    journal_space_committed(&j->space, j->env);
    if (++j->commits % READERS_EVERY == 0)
        mdb_reader_check(j->env, &dead);
}

static int commit(struct journal *journal)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    j->must = false;
    journal_space_commit(&j->space);
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
    else
        after_commit(j);
    return e ? fail(j->code, "%s", j->message) : STATUS_OK;
}

static bool is_full(struct journal *journal)
{
    return journal_space_is_full(&((struct journal_lmdb *)journal)->space);
}

/* ---- opening ---- */

int journal_take_lock(struct journal_lmdb *j)
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
int journal_read_own(struct journal_lmdb *j, MDB_txn *txn)
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

/* A new file gets its name when it is whole and on the disk: a power cut leaves it, or nothing that is in the way. */
static int make_file(struct journal_lmdb *j)
{
    char path[JOURNAL_FOLDER_MOST + 16], made[JOURNAL_FOLDER_MOST + 16];
    MDB_env *env = NULL;
    snprintf(path, sizeof path, "%s/data.mdb", j->folder);
    snprintf(made, sizeof made, "%s/data.mdb.new", j->folder);
    if (access(path, F_OK) == 0)
        return STATUS_OK;
    int e = unlink(made) && errno != ENOENT ? errno : 0; /* half of one, maybe */
    e = e ? e : mdb_env_create(&env);
    e = e ? e : mdb_env_open(env, made, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    e = e ? e : mdb_env_sync(env, 1);
    if (env)
        mdb_env_close(env);
    if (!e && rename(made, path))
        e = errno;
    return e ? journal_lmdb_fail(j, e, "create") : STATUS_OK;
}

/* Names are durable when their folder is synced. An earlier process may have ended before it came to that. */
static int sync_names(struct journal_lmdb *j)
{
    char above[JOURNAL_FOLDER_MOST + 4];
    snprintf(above, sizeof above, "%s/..", j->folder);
    const int code = paths_sync(j->folder);
    return status_context(code ? code : paths_sync(above), "journal %s", j->folder);
}

/* The sync comes before anything is read: what a killed process wrote may be in the kernel's cache only, and what this
 * one says and builds on must not be lost with the power. */
static int open_env(struct journal_lmdb *j)
{
    MDB_txn *txn = NULL;
    int e = mdb_env_create(&j->env), dead;
    e = e ? e : mdb_env_set_mapsize(j->env, JOURNAL_MAP_BYTES);
    e = e ? e : mdb_env_open(j->env, j->folder, 0, 0600);
    e = e ? e : mdb_reader_check(j->env, &dead);
    e = e ? e : mdb_env_sync(j->env, 1);
    e = e ? e : mdb_txn_begin(j->env, NULL, 0, &txn);
    e = e ? e : mdb_dbi_open(txn, NULL, 0, &j->table);
    int code = e ? journal_lmdb_fail(j, e, "open") : journal_read_own(j, txn);
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
    j->journal =
        (struct journal){.put = put, .commit = commit, .can_wait = can_wait, .load = journal_load, .is_full = is_full};
    j->lock = j->space.fd = -1;
    int code = strlen(folder) < JOURNAL_FOLDER_MOST
                   ? STATUS_OK
                   : fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    snprintf(j->folder, sizeof j->folder, "%s", folder);
    if (!code && mkdir(folder, 0700) && errno != EEXIST)
        code = fail(STATUS_IO, "journal %s: %s", folder, strerror(errno));
    code = code ? code : paths_refuse_network("journal", folder);
    code = code ? code : journal_take_lock(j);
    if (!code)
        journal_space_open(&j->space, folder);
    code = code ? code : make_file(j);
    code = code ? code : sync_names(j);
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
    journal_space_close(&j->space);
    wire_free(&j->value);
    free(j->removed);
    free(j);
    *journal = NULL;
}

struct journal *journal_lmdb_base(struct journal_lmdb *j)
{
    return &j->journal;
}
