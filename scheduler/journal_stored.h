/* journal_stored - what lies in the journal on disk, and the inside of journal_lmdb: for journal_*.c only. */
#ifndef JOURNAL_STORED_H
#define JOURNAL_STORED_H
#include "journal_lmdb.h"
#include "journal_space.h"

#include <lmdb.h>

enum { JOURNAL_KEY_BYTES = 13, JOURNAL_HEAD_BYTES = 5, JOURNAL_FOLDER_MOST = 4096, JOURNAL_SKIP_MOST = 32 };
#define JOURNAL_MAP_BYTES ((size_t)1 << 36) /* address space; the file grows as it must */

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
    PART_REMOVED = 8,
    PART_CHECKPOINT = 9, /* number: the item's index; goes when it has an outcome */
    PART_CONTROL = 10
};

/* ---- tables of the maps: as messages.h says, with the version rule of journal.h ---- */

#define STORED_OWN_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, version, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, last_job, 0, NULL)

#define STORED_JOB_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, kind, LIMIT_NAME, NULL) \
    F(S, 2, BIN, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 3, BIN, OPTIONAL, params, LIMIT_PARAMS, NULL) \
    F(S, 4, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL) \
    F(S, 5, UINT, OPTIONAL, max_attempts, LIMIT_ATTEMPTS, NULL) \
    F(S, 6, UINT, OPTIONAL, submitted_unix_ms, 0, NULL) \
    F(S, 7, BOOL, OPTIONAL, cancel_on_disconnect, 0, NULL) \
    F(S, 8, UINT, OPTIONAL, session, 0, NULL) \
    F(S, 9, BIN, OPTIONAL, key, LIMIT_KEY, NULL) \
    F(S, 10, BIN, OPTIONAL, content, 16, NULL) \
    F(S, 11, UINT, OPTIONAL, start_unix_ms, 0, NULL) \
    F(S, 12, UINT, OPTIONAL, deadline_unix_ms, 0, NULL) \
    F(S, 13, UINT, OPTIONAL, backoff_ms, LIMIT_BACKOFF_MS, NULL) \
    F(S, 14, UINT, OPTIONAL, attempt_ms, LIMIT_TIMEOUT_MS, NULL) \
    F(S, 15, UINT, OPTIONAL, stall_ms, LIMIT_TIMEOUT_MS, NULL) \
    F(S, 16, UINT, OPTIONAL, device_bytes, 0, NULL) \
    F(S, 17, UINT, OPTIONAL, wave, UINT32_MAX, NULL)

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
    F(S, 7, BIN, OPTIONAL, result, LIMIT_RESULT, NULL) \
    F(S, 8, BIN, OPTIONAL, log, LIMIT_LOG, NULL)

#define STORED_END_FIELDS(F, S) F(S, 1, UINT, OPTIONAL, unix_ms, 0, NULL)

#define STORED_CONTROL_FIELDS(F, S) \
    F(S, 1, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL) \
    F(S, 2, BOOL, OPTIONAL, paused, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, session, 0, NULL) \
    F(S, 4, UINT, OPTIONAL, deadline_unix_ms, 0, NULL)

#define STORED_CHECKPOINT_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 2, F64, OPTIONAL, progress, 0, NULL)

#define STORED_TABLES(X) \
    X(stored_own, STORED_OWN_FIELDS) \
    X(stored_job, STORED_JOB_FIELDS) \
    X(stored_lease, STORED_LEASE_FIELDS) \
    X(stored_outcome, STORED_OUTCOME_FIELDS) \
    X(stored_end, STORED_END_FIELDS) \
    X(stored_control, STORED_CONTROL_FIELDS) \
    X(stored_checkpoint, STORED_CHECKPOINT_FIELDS)

#define STORED_STRUCT(name, table) \
    struct name { \
        table(WIRE_MEMBER, ) \
    }; \
    extern const struct wire_schema name##_schema;

STORED_TABLES(STORED_STRUCT)

struct journal_lmdb {
    struct journal journal; /* must stand first */
    char folder[JOURNAL_FOLDER_MOST];
    int lock; /* descriptor; -1: none */
    MDB_env *env;
    MDB_dbi table;
    MDB_txn *txn;   /* of the group; NULL: nothing was put */
    bool must;      /* something was put that an answer depends on */
    bool has_epoch; /* a token of this process is, or will be, on the disk: no later one can have the same */
    struct wire_buffer value;
    void *map;   /* of the file; NULL: not found */
    size_t seen; /* bytes put since the map's pages were let go of */
    uint64_t last_job;
    uint64_t *removed; /* jobs whose records still have to go */
    size_t removed_count, removed_capacity;
    uint64_t commits; /* since it was opened */
    struct journal_space space;
    struct journal_look *look; /* of a check; NULL: none */
    int code;                  /* what went wrong in this group, for commit */
    char message[512];
};

/* Loading for a check: says nothing, and can leave jobs out. */
struct journal_look {
    uint64_t skip[JOURNAL_SKIP_MOST];
    size_t skips;
    uint64_t job; /* that is told now */
};

/* Fills j->lock, or STATUS_BUSY. */
int journal_take_lock(struct journal_lmdb *j) MUST_USE;

/* Fills j->last_job; STATUS_VERSION: a later one wrote it. */
int journal_read_own(struct journal_lmdb *j, MDB_txn *txn) MUST_USE;

struct journal_job journal_job_of(const struct stored_job *m);

int journal_lmdb_fail(const struct journal_lmdb *j, int error, const char *what);

void journal_key(uint64_t job, enum part part, uint32_t number, uint8_t out[JOURNAL_KEY_BYTES]);
uint64_t journal_key_job(const MDB_val *key); /* of any length: what is missing counts as 0, as it sorts */
uint32_t journal_key_number(const uint8_t *key);
uint32_t journal_checksum(const uint8_t key[JOURNAL_KEY_BYTES], const uint8_t *map, size_t bytes);

/* The map behind a value's head; STATUS_VERSION, STATUS_DAMAGED. */
int journal_value(const MDB_val *key, const MDB_val *value, struct wire_slice *map) MUST_USE;

/* The job's records go with the commits that follow. */
int journal_note_removed(struct journal_lmdb *j, uint64_t job) MUST_USE;

/* Lets go of the map's pages: they stay in the kernel's cache, but count as this process's memory no more. */
void journal_let_go(struct journal_lmdb *j);

/* journal_load.c: struct journal's load. */
int journal_load(struct journal *journal, int (*each)(void *context, const struct journal_record *r), void *context,
                 struct journal_loaded *out);

#endif
