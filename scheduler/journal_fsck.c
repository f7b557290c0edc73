/* Checks what a journal keeps: each record by itself, then all of them by the eyes of a scheduler that starts. */
#include "journal_look.h"
#include "queue.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { NOTHING_MORE = 1 };

struct checking {
    char folder[JOURNAL_FOLDER_MOST];
    bool alone;
    bool is_broken; /* the pages: no second walk */
    struct journal_check check;
};

static void note(struct journal_check *c, uint64_t job, const char *record, const char *reason)
{
    bool is_known = job == 0;
    for (uint64_t i = 0; i < c->damages && i < JOURNAL_DAMAGE_MOST && !is_known; i++)
        is_known = c->list[i].job == job;
    if (c->damages < JOURNAL_DAMAGE_MOST) {
        struct journal_damage *const d = &c->list[c->damages];
        d->job = job;
        snprintf(d->record, sizeof d->record, "%s", record);
        snprintf(d->reason, sizeof d->reason, "%s", reason);
        c->damaged_jobs += !is_known;
    }
    c->damages++;
}

static const char *name_of(const MDB_val *key, char out[40])
{
    static const char *const names[] = {
        [PART_OWN] = "version",           [PART_JOB] = "job",         [PART_ITEM] = "item",
        [PART_LEASE] = "lease",           [PART_OUTCOME] = "outcome", [PART_SEALED] = "seal",
        [PART_CANCELLED] = "end",         [PART_FINISHED] = "end",    [PART_REMOVED] = "removal",
        [PART_CHECKPOINT] = "checkpoint", [PART_CONTROL] = "control"};
    const uint8_t *const k = key->mv_data;
    if (key->mv_size != JOURNAL_KEY_BYTES)
        snprintf(out, 40, "a key of %zu bytes", key->mv_size);
    else if (k[8] < sizeof names / sizeof *names)
        snprintf(out, 40, "%s %" PRIu32, names[k[8]], journal_key_number(k));
    else
        snprintf(out, 40, "part %u, number %" PRIu32, k[8], journal_key_number(k));
    return out;
}

/* ---- each record by itself ---- */

/* Counts of the job whose records come now: those of a removed one do not count. */
struct counting {
    uint64_t job, jobs, items, outcomes;
    bool removed;
    uint8_t last[JOURNAL_KEY_BYTES]; /* the key before; all zero: none */
};

static void end_job(struct counting *n, struct journal_check *c)
{
    if (n->removed) {
        c->removed_jobs++;
    } else {
        c->jobs += n->jobs;
        c->items += n->items;
        c->outcomes += n->outcomes;
    }
    n->jobs = n->items = n->outcomes = 0;
    n->removed = false;
}

static int check_record(const struct journal_lmdb *j, struct journal_check *c, struct counting *n, const MDB_val *key,
                        const MDB_val *value)
{
    char name[40];
    struct wire_slice map;
    c->records++;
    int code = journal_value(key, value, &map);
    const uint8_t *const k = key->mv_data;
    const uint64_t job = key->mv_size == JOURNAL_KEY_BYTES ? journal_key_job(key) : 0;
    if (code == STATUS_DAMAGED)
        note(c, job, name_of(key, name), status_message());
    else if (code)
        return code;
    if (key->mv_size != JOURNAL_KEY_BYTES)
        return STATUS_OK;
    if (c->records > 1 && memcmp(n->last, k, JOURNAL_KEY_BYTES) >= 0)
        note(c, job, name_of(key, name), "it stands behind a record that should follow it");
    memcpy(n->last, k, JOURNAL_KEY_BYTES);
    if (job != n->job)
        end_job(n, c);
    n->job = job;
    n->jobs += k[8] == PART_JOB;
    n->items += k[8] == PART_ITEM;
    n->outcomes += k[8] == PART_OUTCOME;
    n->removed |= k[8] == PART_REMOVED;
    if (!code && job > j->last_job && k[8] == PART_JOB)
        note(c, job, name_of(key, name), "its number is above the largest that was given");
    return STATUS_OK;
}

/* What LMDB says of pages that do not fit each other. */
static bool is_page_error(int e)
{
    return e == MDB_CORRUPTED || e == MDB_PAGE_NOTFOUND || e == MDB_CURSOR_FULL || e == MDB_BAD_TXN ||
           e == MDB_INCOMPATIBLE || e == MDB_PANIC;
}

static int walk(struct checking *s, const struct journal_lmdb *j, MDB_txn *txn)
{
    struct journal_check *const c = &s->check;
    struct counting n = {0};
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    MDB_stat stat = {0};
    int code = STATUS_OK, e = mdb_stat(txn, j->table, &stat);
    e = e ? e : mdb_cursor_open(txn, j->table, &cursor);
    while (!e && !code && !(e = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        code = check_record(j, c, &n, &key, &value);
        if (c->records > 2 * stat.ms_entries + JOURNAL_DAMAGE_MOST)
            e = MDB_CORRUPTED; /* pages that lead back to themselves */
    }
    end_job(&n, c);
    if (cursor)
        mdb_cursor_close(cursor);
    if (is_page_error(e)) {
        note(c, n.job, "pages of the file", mdb_strerror(e));
        s->is_broken = true;
        return STATUS_OK;
    }
    return code || e == MDB_NOTFOUND ? code : journal_lmdb_fail(j, e, "read");
}

/* A page is in use or free, never both. */
static int count_pages(struct checking *s, const struct journal_lmdb *j, MDB_txn *txn)
{
    struct journal_check *const c = &s->check;
    MDB_envinfo info;
    MDB_stat records, lists;
    int e = journal_space_free_pages(txn, &c->free_pages);
    e = e ? e : mdb_env_info(j->env, &info);
    e = e ? e : mdb_stat(txn, j->table, &records);
    e = e ? e : mdb_stat(txn, 0, &lists);
    if (is_page_error(e)) {
        note(c, 0, "list of free pages", mdb_strerror(e));
        return STATUS_OK;
    }
    if (e)
        return journal_lmdb_fail(j, e, "read");
    c->pages = info.me_last_pgno + 1;
    if (records.ms_entries != c->records)
        note(c, 0, "number of records", "it is not what the file says");
    if (records.ms_branch_pages + records.ms_leaf_pages + records.ms_overflow_pages + lists.ms_branch_pages +
            lists.ms_leaf_pages + lists.ms_overflow_pages + c->free_pages + 2 >
        c->pages)
        note(c, 0, "list of free pages", "a page is in use and free");
    return STATUS_OK;
}

/* The largest job number and the version; a damaged or missing one is a finding. */
static int check_own(struct checking *s, struct journal_lmdb *j, MDB_txn *txn)
{
    MDB_stat stat;
    const int code = journal_read_own(j, txn);
    if (code == STATUS_DAMAGED || code == STATUS_FORMAT || code == STATUS_IO) {
        note(&s->check, 0, "version 0", status_message());
        j->last_job = UINT64_MAX;
        return STATUS_OK;
    }
    if (!code && j->last_job == 0 && mdb_stat(txn, j->table, &stat) == 0 && stat.ms_entries)
        j->last_job = UINT64_MAX; /* not there: is it a journal at all? */
    return code;
}

static int check_records(struct checking *s, struct journal_lmdb *j)
{
    MDB_txn *txn;
    const int e = mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn);
    if (e)
        return journal_lmdb_fail(j, e, "read");
    int code = check_own(s, j, txn);
    const bool is_missing = j->last_job == UINT64_MAX && s->check.damages == 0;
    code = code ? code : walk(s, j, txn);
    if (!code && is_missing)
        note(&s->check, 0, "version 0", "it is missing");
    code = code || s->is_broken ? code : count_pages(s, j, txn);
    mdb_txn_abort(txn);
    return code;
}

/* ---- all of them, as a scheduler takes them ---- */

/* What the loading put before the reason. */
static const char *bare(const char *message, const char *folder, uint64_t job)
{
    char before[JOURNAL_FOLDER_MOST + 64];
    const int n = snprintf(before, sizeof before, "journal %s: job %" PRIu64 ": ", folder, job);
    return n > 0 && strncmp(message, before, (size_t)n) == 0 ? message + n : message;
}

/* STATUS_OK: a job was refused and is left out from now on; NOTHING_MORE: the rest was taken. */
static int restore_once(struct checking *s, struct journal_lmdb *j)
{
    struct timespec t;
    struct queue *q = NULL;
    struct journal_loaded loaded;
    struct journal_look *const look = j->look;
    clock_gettime(CLOCK_REALTIME, &t);
    int code = queue_create(&(struct queue_options){.epoch = 1, .lease_ms = 10000, .journal = &j->journal}, &q);
    if (code)
        return code;
    look->job = 0;
    j->removed_count = 0;
    code = queue_restore(q, 0, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, &loaded);
    if (!code && (code = queue_check(q)) != 0) {
        note(&s->check, 0, "queue made of it", status_message());
        code = NOTHING_MORE;
    } else if (!code) {
        code = NOTHING_MORE;
    } else if (code == STATUS_DAMAGED || code == STATUS_FORMAT) {
        note(&s->check, look->job, "records", bare(status_message(), j->folder, look->job));
        code = look->job && look->skips < JOURNAL_SKIP_MOST ? STATUS_OK : NOTHING_MORE;
        if (!code)
            look->skip[look->skips++] = look->job;
    }
    queue_destroy(&q);
    return code;
}

static int check_all(void *context)
{
    struct checking *const s = context;
    struct journal_lmdb *j = NULL;
    struct journal_look look = {.skips = 0};
    struct stat st;
    int code = journal_look_open(s->folder, s->alone, &j);
    if (code == STATUS_DAMAGED) {
        note(&s->check, 0, "file", status_message());
        return STATUS_OK;
    }
    if (code)
        return code;
    if (fstat(j->lock, &st) == 0)
        s->check.bytes = (uint64_t)st.st_size;
    j->look = &look;
    code = check_records(s, j);
    while (!code && !s->is_broken)
        code = restore_once(s, j);
    journal_lmdb_close(&j);
    return code == NOTHING_MORE ? STATUS_OK : code;
}

int journal_look_check(const char *folder, bool alone, struct journal_check *out)
{
    struct checking s = {.alone = alone};
    int ended_by;
    if (strlen(folder) >= sizeof s.folder)
        return fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    snprintf(s.folder, sizeof s.folder, "%s", folder);
    int code = journal_look_guarded(check_all, &s, sizeof s, &ended_by);
    if (code == STATUS_DAMAGED && ended_by) {
        char reason[JOURNAL_REASON_MOST];
        snprintf(reason, sizeof reason, "%s (%s)",
                 ended_by == SIGBUS ? "the file is cut off: a page behind its end is needed" : "they lead nowhere",
                 strsignal(ended_by));
        note(&s.check, 0, "pages of the file", reason);
        code = STATUS_OK;
    }
    *out = s.check;
    return code;
}

int journal_fsck(const char *folder, struct journal_check *out)
{
    return journal_look_check(folder, false, out);
}
