/* Tells what the journal keeps. Each job is looked through first: a damaged one is left out whole. When the order of
 * the keys is damaged nobody can say what is missing, and the journal is refused. */
#include "journal_stored.h"
#include "log.h"

#include <inttypes.h>
#include <math.h>

struct loading {
    struct journal_lmdb *journal;
    uint64_t records; /* walked over */
    int (*each)(void *context, const struct journal_record *r);
    void *context;
    struct journal_loaded *out;
};

static int tell_job(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_job m;
    const int code = wire_decode(&stored_job_schema, map.data, map.bytes, &m);
    r->type = JOURNAL_JOB;
    r->submitted = journal_job_of(&m);
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
    r->outcome = (struct journal_outcome){m.state, m.failure, m.message, m.result, m.log};
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

static int tell_control(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_control m;
    const int code = wire_decode(&stored_control_schema, map.data, map.bytes, &m);
    r->type = JOURNAL_CONTROL;
    r->control = (struct journal_control){m.priority, m.paused, m.session, m.deadline_unix_ms};
    return code ? code : l->each(l->context, r);
}

static int tell_checkpoint(const struct loading *l, struct journal_record *r, struct wire_slice map)
{
    struct stored_checkpoint m;
    int code = wire_decode(&stored_checkpoint_schema, map.data, map.bytes, &m);
    if (!code && m.object.bytes != LIMIT_OBJECT)
        code = fail(STATUS_DAMAGED, "a checkpoint whose object has a name of %u bytes", m.object.bytes);
    r->type = JOURNAL_CHECKPOINT;
    r->checkpoint = (struct journal_checkpoint){m.object, isnan(m.progress) ? 0 : m.progress};
    return code ? code : l->each(l->context, r);
}

static int tell(const struct loading *l, const MDB_val *key, const MDB_val *value)
{
    struct wire_slice map;
    const int code = journal_value(key, value, &map);
    if (code)
        return code;
    const uint8_t *const k = key->mv_data;
    struct journal_record r = {.job = journal_key_job(key), .index = journal_key_number(k)};
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
    case PART_CHECKPOINT:
        return tell_checkpoint(l, &r, map);
    case PART_CONTROL:
        return tell_control(l, &r, map);
    case PART_OWN:
    case PART_REMOVED:
        break;
    }
    return fail(STATUS_DAMAGED, "a record of part %d in job %" PRIu64, k[8], r.job);
}

static bool is_key(const MDB_val *key)
{
    return key->mv_size == JOURNAL_KEY_BYTES;
}

/* Are all records of the job that the cursor stands at sound? Leaves the cursor at the next job, *e says if there is
 * one. */
static int check_job(struct loading *l, MDB_cursor *cursor, uint64_t job, MDB_val *key, MDB_val *value, bool *removed,
                     int *e)
{
    struct wire_slice map;
    int code = STATUS_OK;
    *removed = false;
    for (*e = 0; !*e && is_key(key) && journal_key_job(key) == job; l->records++) {
        const int part = ((const uint8_t *)key->mv_data)[8];
        code = code ? code : journal_value(key, value, &map);
        *removed |= part == PART_REMOVED;
        *e = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    }
    return code;
}

static int tell_all_of(const struct loading *l, MDB_cursor *cursor, uint64_t job, uint64_t records)
{
    uint8_t from[JOURNAL_KEY_BYTES];
    journal_key(job, PART_OWN, 0, from);
    MDB_val key = {JOURNAL_KEY_BYTES, from}, value;
    int code = STATUS_OK;
    int e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!e && !code && records && journal_key_job(&key) == job) {
        code = tell(l, &key, &value);
        records--;
        e = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (!code && records)
        code = fail(STATUS_DAMAGED, "%" PRIu64 " records are not found by their keys", records);
    return code ? status_context(code, "journal %s: job %" PRIu64, l->journal->folder, job) : STATUS_OK;
}

/* After the walk over `records` that ended with `e`. */
static int check_count(const struct loading *l, MDB_txn *txn, int e)
{
    MDB_stat all;
    if (e == MDB_NOTFOUND)
        e = mdb_stat(txn, l->journal->table, &all);
    if (e)
        return journal_lmdb_fail(l->journal, e, "read");
    return all.ms_entries == l->records ? STATUS_OK
                                        : fail(STATUS_DAMAGED, "journal %s: of %zu records %" PRIu64 " are found",
                                               l->journal->folder, all.ms_entries, l->records);
}

/* A check leaves out what was refused before, and is told of what it looks at. */
static bool is_skipped(struct journal_look *look, uint64_t job)
{
    for (size_t i = 0; look && i < look->skips; i++)
        if (look->skip[i] == job)
            return true;
    if (look)
        look->job = job;
    return false;
}

static int load_jobs(struct loading *l, MDB_txn *txn)
{
    struct journal_lmdb *const j = l->journal;
    MDB_cursor *ahead = NULL, *cursor = NULL;
    MDB_val key, value;
    uint64_t next = 0;
    int code = STATUS_OK, e = mdb_cursor_open(txn, j->table, &ahead);
    e = e ? e : mdb_cursor_open(txn, j->table, &cursor);
    if (e)
        return journal_lmdb_fail(j, e, "read");
    e = mdb_cursor_get(ahead, &key, &value, MDB_FIRST);
    while (!e && !code) {
        const uint64_t job = journal_key_job(&key), before = l->records;
        bool removed;
        if (!is_key(&key) || job < next || job > j->last_job || job == UINT64_MAX) {
            code = fail(STATUS_DAMAGED, "journal %s: its keys are damaged from job %" PRIu64 " on", j->folder, next);
            break;
        }
        next = job + 1;
        code = check_job(l, ahead, job, &key, &value, &removed, &e);
        if (code == STATUS_DAMAGED) {
            if (!j->look)
                log_error("journal %s: job %" PRIu64 " is damaged and left out: %s", j->folder, job, status_message());
            l->out->damaged++;
            code = STATUS_OK;
        } else if (!code && removed) {
            code = journal_note_removed(j, job);
        } else if (!code && job && !is_skipped(j->look, job)) {
            code = tell_all_of(l, cursor, job, l->records - before);
            l->out->jobs++;
        }
    }
    mdb_cursor_close(ahead);
    mdb_cursor_close(cursor);
    return code ? code : check_count(l, txn, e);
}

int journal_load(struct journal *journal, int (*each)(void *context, const struct journal_record *r), void *context,
                 struct journal_loaded *out)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    struct loading l = {.journal = j, .each = each, .context = context, .out = out};
    MDB_txn *txn;
    *out = (struct journal_loaded){.last_job = j->last_job};
    const int e = mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn);
    if (e)
        return journal_lmdb_fail(j, e, "read");
    int code = STATUS_OK;
    if (j->look && j->last_job != UINT64_MAX) /* a scheduler beside us may have gone on */
        code = journal_read_own(j, txn);
    out->last_job = j->last_job;
    code = code ? code : load_jobs(&l, txn);
    mdb_txn_abort(txn);
    journal_let_go(j);
    return code;
}
