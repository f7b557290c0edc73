/* Tells what the journal keeps. Each job is looked through first: a damaged one is left out whole. */
#include "journal_stored.h"
#include "log.h"

#include <inttypes.h>

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
    const int code = journal_value(key, value, &map);
    if (code)
        return code;
    const uint8_t *const k = key->mv_data;
    struct journal_record r = {.job = journal_key_job(k), .index = journal_key_number(k)};
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
    const uint64_t job = journal_key_job(key->mv_data);
    struct wire_slice map;
    int code = STATUS_OK;
    *removed = false;
    for (*e = 0; !*e && key->mv_size == JOURNAL_KEY_BYTES && journal_key_job(key->mv_data) == job;) {
        const int part = ((const uint8_t *)key->mv_data)[8];
        code = code ? code : journal_value(key, value, &map);
        *removed |= part == PART_REMOVED;
        *e = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    }
    return code;
}

static int tell_all_of(const struct loading *l, MDB_cursor *cursor, uint64_t job)
{
    uint8_t from[JOURNAL_KEY_BYTES];
    journal_key(job, PART_OWN, 0, from);
    MDB_val key = {JOURNAL_KEY_BYTES, from}, value;
    int code = STATUS_OK;
    int e = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!e && !code && journal_key_job(key.mv_data) == job) {
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
        return journal_lmdb_fail(j, e, "read");
    e = mdb_cursor_get(ahead, &key, &value, MDB_FIRST);
    while (!e && !code) {
        const uint64_t job = key.mv_size == JOURNAL_KEY_BYTES ? journal_key_job(key.mv_data) : 0;
        bool removed;
        code = check_job(ahead, &key, &value, &removed, &e);
        if (code == STATUS_DAMAGED) {
            log_error("journal %s: job %" PRIu64 " is damaged and left out: %s", j->folder, job, status_message());
            l->out->damaged++;
            code = STATUS_OK;
        } else if (!code && removed) {
            code = journal_note_removed(j, job);
        } else if (!code && job) {
            code = tell_all_of(l, cursor, job);
            l->out->jobs++;
        }
    }
    mdb_cursor_close(ahead);
    mdb_cursor_close(cursor);
    return code || e == MDB_NOTFOUND ? code : journal_lmdb_fail(j, e, "read");
}

int journal_load(struct journal *journal, int (*each)(void *context, const struct journal_record *r), void *context,
                 struct journal_loaded *out)
{
    struct journal_lmdb *const j = (struct journal_lmdb *)journal;
    const struct loading l = {j, each, context, out};
    MDB_txn *txn;
    *out = (struct journal_loaded){.last_job = j->last_job};
    const int e = mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn);
    if (e)
        return journal_lmdb_fail(j, e, "read");
    const int code = load_jobs(&l, txn);
    mdb_txn_abort(txn);
    journal_let_go(j);
    return code;
}
