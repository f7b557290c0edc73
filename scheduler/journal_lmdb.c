#include "journal_lmdb.h"

#include "hash.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    KEY_BYTES = 13,
    HEAD_BYTES = 5,
    REAP_MOST = 4096,     /* records of removed jobs that one commit deletes */
    SEEN_MOST = 32 << 20, /* bytes put until the map's pages are let go of */
    FOLDER_MOST = 4096
};
static const size_t MAP_BYTES = (size_t)1 << 36; /* address space; the file grows as it must */

/* What a key is of. Their order within a job is that of load. Numbers are never used again. */
enum part {
    PART_OWN = 0, /* job 0: version and the largest job number */
    PART_JOB = 1,
    PART_ITEM = 2,    /* number: the item's index */
    PART_LEASE = 3,   /* number: the item's index; goes when it has an outcome */
    PART_OUTCOME = 4, /* number: of the outcome */
    PART_SEALED = 5,
    PART_CANCELLED = 6,
    PART_FINISHED = 7,
    PART_REMOVED = 8
};

/* ---- tables of the maps: as messages.h says, with the version rule of journal.h ---- */

#define OWN_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, version, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, last_job, 0, NULL)

#define STORED_JOB_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, kind, LIMIT_NAME, NULL) \
    F(S, 2, BIN, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 3, BIN, OPTIONAL, params, LIMIT_PARAMS, NULL) \
    F(S, 4, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL) \
    F(S, 5, UINT, OPTIONAL, max_attempts, LIMIT_ATTEMPTS, NULL) \
    F(S, 6, UINT, OPTIONAL, submitted_unix_ms, 0, NULL) \
    F(S, 7, BOOL, OPTIONAL, cancel_on_disconnect, 0, NULL)

#define STORED_LEASE_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, token, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, attempts, 0, NULL) \
    F(S, 3, BOOL, OPTIONAL, queued, 0, NULL)

#define STORED_OUTCOME_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, index, UINT32_MAX, NULL) \
    F(S, 2, UINT, REQUIRED, token, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, attempts, 0, NULL) \
    F(S, 4, UINT, REQUIRED, state, 0, NULL) \
    F(S, 5, UINT, OPTIONAL, failure, 0, NULL) \
    F(S, 6, BIN, OPTIONAL, message, LIMIT_MESSAGE, NULL) \
    F(S, 7, BIN, OPTIONAL, result, LIMIT_RESULT, NULL)

#define STORED_END_FIELDS(F, S) F(S, 1, UINT, OPTIONAL, unix_ms, 0, NULL)

#define STORED(name, table) \
    struct name { \
        table(WIRE_MEMBER, ) \
    }; \
    WIRE_SCHEMA(name##_schema, struct name, table, #name)

STORED(own, OWN_FIELDS)
STORED(stored_job, STORED_JOB_FIELDS)
STORED(stored_lease, STORED_LEASE_FIELDS)
STORED(stored_outcome, STORED_OUTCOME_FIELDS)
STORED(stored_end, STORED_END_FIELDS)

struct journal_lmdb {
    struct journal journal; /* must stand first */
    char folder[FOLDER_MOST];
    int lock; /* descriptor; -1: none */
    MDB_env *env;
    MDB_dbi table;
    MDB_txn *txn; /* of the group; NULL: nothing was put */
    struct wire_buffer value;
    void *map;   /* of the file; NULL: not found */
    size_t seen; /* bytes put since the map's pages were let go of */
    uint64_t last_job;
    uint64_t *removed; /* jobs whose records still have to go */
    size_t removed_count, removed_capacity;
    int code; /* what went wrong in this group, for commit */
    char message[512];
};

static int lmdb_fail(const struct journal_lmdb *j, int error, const char *what)
{
    return fail(error == ENOMEM ? STATUS_NOMEM : STATUS_IO, "journal %s: %s: %s", j->folder, what, mdb_strerror(error));
}

/* The file's pages that were looked at stay in the kernel's cache, but count as this process's memory no more. */
static void let_go(struct journal_lmdb *j)
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
    char path[FOLDER_MOST + 16], line[FOLDER_MOST + 256];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", j->folder);
    FILE *const maps = stat(path, &st) ? NULL : fopen("/proc/self/maps", "r");
    while (maps && !j->map && fgets(line, sizeof line, maps)) {
        uintptr_t from;
        unsigned long inode;
        if (sscanf(line, "%" SCNxPTR "-%*x %*s %*x %*x:%*x %lu", &from, &inode) == 2 && inode == st.st_ino)
            j->map = (void *)from; /* NOLINT(performance-no-int-to-ptr): a number is all that the kernel tells */
    }
    if (maps)
        fclose(maps);
}

/* ---- keys and values ---- */

static void key_make(uint64_t job, enum part part, uint32_t number, uint8_t out[KEY_BYTES])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(job >> (56 - 8 * i));
    out[8] = (uint8_t)part;
    for (int i = 0; i < 4; i++)
        out[9 + i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint64_t key_job(const uint8_t *key)
{
    uint64_t job = 0;
    for (int i = 0; i < 8; i++)
        job = job << 8 | key[i];
    return job;
}

static uint32_t key_number(const uint8_t *key)
{
    return (uint32_t)key[9] << 24 | (uint32_t)key[10] << 16 | (uint32_t)key[11] << 8 | key[12];
}

static uint32_t checksum(const uint8_t key[KEY_BYTES], const uint8_t *map, size_t bytes)
{
    return crc32c(crc32c(0, key, KEY_BYTES), map, bytes);
}

/* The map behind a value's head; STATUS_VERSION, STATUS_DAMAGED. */
static int value_open(const MDB_val *key, const MDB_val *value, struct wire_slice *map)
{
    const uint8_t *const at = value->mv_data;
    if (key->mv_size != KEY_BYTES || value->mv_size < HEAD_BYTES)
        return fail(STATUS_DAMAGED, "a record of %zu bytes under a key of %zu", value->mv_size, key->mv_size);
    const uint32_t crc = (uint32_t)at[1] | (uint32_t)at[2] << 8 | (uint32_t)at[3] << 16 | (uint32_t)at[4] << 24;
    *map = (struct wire_slice){at + HEAD_BYTES, (uint32_t)(value->mv_size - HEAD_BYTES)};
    if (checksum(key->mv_data, map->data, map->bytes) != crc)
        return fail(STATUS_DAMAGED, "its checksum does not fit");
    if (at[0] > JOURNAL_VERSION)
        return fail(STATUS_VERSION, "written by version %u, this program knows %d", at[0], JOURNAL_VERSION);
    return STATUS_OK;
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
    return e ? lmdb_fail(j, e, "begin") : STATUS_OK;
}

static int put_map(struct journal_lmdb *j, uint64_t job, enum part part, uint32_t number,
                   const struct wire_schema *schema, const void *map)
{
    uint8_t key[KEY_BYTES];
    const uint8_t head[HEAD_BYTES] = {JOURNAL_VERSION};
    j->value.bytes = 0;
    key_make(job, part, number, key);
    int code = begin(j);
    code = code ? code : wire_append(&j->value, head, sizeof head);
    code = code ? code : wire_encode(schema, map, &j->value);
    if (code)
        return code;
    const uint32_t crc = checksum(key, j->value.data + HEAD_BYTES, j->value.bytes - HEAD_BYTES);
    for (int i = 0; i < 4; i++)
        j->value.data[1 + i] = (uint8_t)(crc >> 8 * i);
    MDB_val k = {KEY_BYTES, key}, v = {j->value.bytes, j->value.data};
    j->seen += j->value.bytes;
    const int e = mdb_put(j->txn, j->table, &k, &v, 0);
    return e ? lmdb_fail(j, e, "put") : STATUS_OK;
}

static int put_own(struct journal_lmdb *j)
{
    return put_map(j, 0, PART_OWN, 0, &own_schema, &(struct own){.version = JOURNAL_VERSION, .last_job = j->last_job});
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
    uint8_t key[KEY_BYTES];
    int code = put_map(j, r->job, PART_OUTCOME, r->number, &stored_outcome_schema, &map);
    if (code)
        return code;
    key_make(r->job, PART_LEASE, r->index, key);
    MDB_val k = {KEY_BYTES, key};
    const int e = mdb_del(j->txn, j->table, &k, NULL);
    return e && e != MDB_NOTFOUND ? lmdb_fail(j, e, "delete") : STATUS_OK;
}

static int note_removed(struct journal_lmdb *j, uint64_t job)
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
        return code ? code : note_removed(j, r->job);
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
        uint8_t from[KEY_BYTES];
        key_make(job, PART_OWN, 0, from);
        MDB_val key = {KEY_BYTES, from}, value;
        e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        for (; !e && left > 0 && key_job(key.mv_data) == job; left--) {
            e = mdb_cursor_del(cursor, 0);
            e = e ? e : mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        if (e == MDB_NOTFOUND || (!e && key_job(key.mv_data) != job)) {
            j->removed_count--;
            left--;
            e = 0;
        }
    }
    mdb_cursor_close(cursor);
    return e ? lmdb_fail(j, e, "remove") : STATUS_OK;
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
        let_go(j);
    if (e)
        remember(j, lmdb_fail(j, e, "commit"));
    return e ? fail(j->code, "%s", j->message) : STATUS_OK;
}

/* ---- loading ---- */

struct loading {
    struct journal_lmdb *journal;
    int (*each)(void *context, const struct journal_record *r);
    void *context;
    struct journal_loaded *out;
};

static int tell_job(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_job m;
    const int code = wire_decode(&stored_job_schema, map.data, map.bytes, &m);
    r->type = JOURNAL_JOB;
    r->submitted = (struct journal_job){
        m.kind, m.name, m.params, m.priority, m.max_attempts, m.submitted_unix_ms, m.cancel_on_disconnect};
    return code ? code : l->each(l->context, r);
}

static int tell_item(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    const int code = wire_decode(&item_schema, map.data, map.bytes, &r->item);
    r->type = JOURNAL_ITEM;
    return code ? code : l->each(l->context, r);
}

static int tell_lease(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_lease m;
    const int code = wire_decode(&stored_lease_schema, map.data, map.bytes, &m);
    r->type = m.queued ? JOURNAL_QUEUED : JOURNAL_GRANTED;
    r->token = m.token;
    r->attempts = (uint32_t)m.attempts;
    return code ? code : l->each(l->context, r);
}

static int tell_outcome(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_outcome m;
    const int code = wire_decode(&stored_outcome_schema, map.data, map.bytes, &m);
    r->type = JOURNAL_OUTCOME;
    r->number = r->index;
    r->index = (uint32_t)m.index;
    r->token = m.token;
    r->attempts = (uint32_t)m.attempts;
    r->outcome = (struct journal_outcome){m.state, m.failure, m.message, m.result};
    return code ? code : l->each(l->context, r);
}

static int tell_end(const struct loading *l, struct journal_record *r, struct wire_slice map, enum journal_type type)
{
    struct stored_end m;
    const int code = wire_decode(&stored_end_schema, map.data, map.bytes, &m);
    r->type = type;
    r->unix_ms = m.unix_ms;
    return code ? code : l->each(l->context, r);
}

static int tell(const struct loading *l, const MDB_val *key, const MDB_val *value)
{
    struct wire_slice map;
    const int code = value_open(key, value, &map);
    if (code)
        return code;
    const uint8_t *const k = key->mv_data;
    struct journal_record r = {.job = key_job(k), .index = key_number(k)};
    switch ((enum part)k[8]) {
    case PART_JOB:
        return tell_job(l, &r, map);
    case PART_ITEM:
        return tell_item(l, &r, map);
    case PART_LEASE:
        return tell_lease(l, &r, map);
    case PART_OUTCOME:
        return tell_outcome(l, &r, map);
    case PART_SEALED:
        return tell_end(l, &r, map, JOURNAL_SEALED);
    case PART_CANCELLED:
        return tell_end(l, &r, map, JOURNAL_CANCELLED);
    case PART_FINISHED:
        return tell_end(l, &r, map, JOURNAL_FINISHED);
    case PART_OWN:
    case PART_REMOVED:
        break;
    }
    return fail(STATUS_DAMAGED, "a record of part %d in job %" PRIu64, k[8], r.job);
}

/* Are all records of the job that the cursor stands at sound? Leaves the cursor at the next job, *e says if there is
 * one. */
static int check_job(MDB_cursor *cursor, MDB_val *key, MDB_val *value, bool *removed, int *e)
{
    const uint64_t job = key_job(key->mv_data);
    struct wire_slice map;
    int code = STATUS_OK;
    *removed = false;
    for (*e = 0; !*e && key->mv_size == KEY_BYTES && key_job(key->mv_data) == job;) {
        const int part = ((const uint8_t *)key->mv_data)[8];
        code = code ? code : value_open(key, value, &map);
        *removed |= part == PART_REMOVED;
        *e = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    }
    return code;
}

static int tell_all_of(const struct loading *l, MDB_cursor *cursor, uint64_t job)
{
    uint8_t from[KEY_BYTES];
    key_make(job, PART_OWN, 0, from);
    MDB_val key = {KEY_BYTES, from}, value;
    int code = STATUS_OK;
    int e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!e && !code && key_job(key.mv_data) == job) {
        code = tell(l, &key, &value);
        e = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return code ? status_context(code, "journal %s: job %" PRIu64, l->journal->folder, job) : STATUS_OK;
}

static int load_jobs(const struct loading *l, MDB_txn *txn)
{
    struct journal_lmdb *const j = l->journal;
    MDB_cursor *ahead = NULL, *cursor = NULL;
    MDB_val key, value;
    int code = STATUS_OK, e = mdb_cursor_open(txn, j->table, &ahead);
    e = e ? e : mdb_cursor_open(txn, j->table, &cursor);
    if (e)
        return lmdb_fail(j, e, "read");
    e = mdb_cursor_get(ahead, &key, &value, MDB_FIRST);
    while (!e && !code) {
        const uint64_t job = key.mv_size == KEY_BYTES ? key_job(key.mv_data) : 0;
        bool removed;
        code = check_job(ahead, &key, &value, &removed, &e);
        if (code == STATUS_DAMAGED) {
            log_error("journal %s: job %" PRIu64 " is damaged and left out: %s", j->folder, job, status_message());
            l->out->damaged++;
            code = STATUS_OK;
        } else if (!code && removed) {
            code = note_removed(j, job);
        } else if (!code && job) {
            code = tell_all_of(l, cursor, job);
            l->out->jobs++;
        }
    }
    mdb_cursor_close(ahead);
    mdb_cursor_close(cursor);
    return code || e == MDB_NOTFOUND ? code : lmdb_fail(j, e, "read");
}

static int load(struct journal *journal, int (*each)(void *context, const struct journal_record *r), void *context,
                struct journal_loaded *out)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    const struct loading l = {j, each, context, out};
    MDB_txn *txn;
    *out = (struct journal_loaded){.last_job = j->last_job};
    const int e = mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn);
    if (e)
        return lmdb_fail(j, e, "read");
    const int code = load_jobs(&l, txn);
    mdb_txn_abort(txn);
    let_go(j);
    return code;
}

/* ---- opening ---- */

static int refuse_network(const char *folder)
{
    static const unsigned long remote[] = {0x6969,     0xff534d42, 0xfe534d42, 0x517b,
                                           0x01021997, 0x5346414f, 0x00c36400, 0x0bd00bd0};
    struct statfs fs;
    if (statfs(folder, &fs))
        return fail(STATUS_IO, "journal %s: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        if ((unsigned long)fs.f_type == remote[i])
            return fail(STATUS_IO, "journal %s is on a network file system, where LMDB's locks and maps are not safe",
                        folder);
    return STATUS_OK;
}

static int take_lock(struct journal_lmdb *j)
{
    char path[FOLDER_MOST + 8];
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
    uint8_t key[KEY_BYTES];
    struct wire_slice map;
    struct own own;
    key_make(0, PART_OWN, 0, key);
    MDB_val k = {KEY_BYTES, key}, v;
    const int e = mdb_get(txn, j->table, &k, &v);
    if (e == MDB_NOTFOUND)
        return STATUS_OK; /* a new one */
    int code = e ? lmdb_fail(j, e, "read") : value_open(&k, &v, &map);
    code = code ? code : wire_decode(&own_schema, map.data, map.bytes, &own);
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
    int code = e ? lmdb_fail(j, e, "open") : read_own(j, txn);
    if (txn && code)
        mdb_txn_abort(txn);
    else if (txn && (e = mdb_txn_commit(txn)))
        code = lmdb_fail(j, e, "open");
    return code;
}

int journal_lmdb_open(const char *folder, struct journal_lmdb **out)
{
    struct journal_lmdb *j = calloc(1, sizeof *j);
    if (!j)
        return fail(STATUS_NOMEM, "journal");
    j->journal = (struct journal){put, commit, load};
    j->lock = -1;
    int code = strlen(folder) < FOLDER_MOST ? STATUS_OK
                                            : fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    snprintf(j->folder, sizeof j->folder, "%s", folder);
    if (!code && mkdir(folder, 0700) && errno != EEXIST)
        code = fail(STATUS_IO, "journal %s: %s", folder, strerror(errno));
    code = code ? code : refuse_network(folder);
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
