/* messages - every message between client, scheduler and worker: one table each, from which the struct and the wire
 * schema are both made. scheduler/PROTOCOL.md says what they mean and when they are sent; keys are never reused.
 *
 * F(S, key, TYPE, OPTIONAL|REQUIRED, member, max, element schema): S is the struct, TYPE a WIRE_ type of wire.h. */
#ifndef MESSAGES_H
#define MESSAGES_H
#include "wire.h"

enum message_type {
    MESSAGE_HELLO = 1, /* client -> scheduler */
    MESSAGE_WELCOME = 2,
    MESSAGE_PING = 3,
    MESSAGE_PONG = 4,
    MESSAGE_ERROR = 5,
    MESSAGE_BYE = 6,
    MESSAGE_SUBMIT = 10,
    MESSAGE_ADD = 11,
    MESSAGE_ACCEPTED = 12,
    MESSAGE_CANCEL = 13,
    MESSAGE_SHOW = 14,
    MESSAGE_JOB = 15,
    MESSAGE_LIST = 16,
    MESSAGE_JOBS = 17,
    MESSAGE_WATCH = 18,
    MESSAGE_PAGE = 19,
    MESSAGE_STATS = 20,
    MESSAGE_SERVER = 21,
    MESSAGE_RETRY = 22,
    MESSAGE_PAUSE = 23,
    MESSAGE_RESUME = 24,
    MESSAGE_PRIORITY = 25,
    MESSAGE_LOGS = 26,
    MESSAGE_LINES = 27,
    MESSAGE_READY = 40, /* worker -> scheduler */
    MESSAGE_ENGAGED = 41,
    MESSAGE_TAKE = 42,
    MESSAGE_GRANT = 43,
    MESSAGE_BEAT = 44,
    MESSAGE_VERDICTS = 45,
    MESSAGE_REPORT = 46,
    MESSAGE_COMMITS = 47,
    MESSAGE_RETURN = 48,
    MESSAGE_LEAVE = 49,
    MESSAGE_CHECKPOINT = 50,
    MESSAGE_SAVED = 51,
    MESSAGE_PUT = 70, /* both sockets: objects, in chunks */
    MESSAGE_STORED = 71,
    MESSAGE_GET = 72,
    MESSAGE_CHUNK = 73
};

/* Codes of MESSAGE_ERROR. */
enum wire_error {
    ERROR_VERSION = 1,   /* another major version */
    ERROR_TYPE = 2,      /* unknown message type, or one that this socket does not take */
    ERROR_BODY = 3,      /* wrong frame count, or a body that breaks its table */
    ERROR_LIMIT = 4,     /* a documented limit is exceeded */
    ERROR_NOT_FOUND = 5, /* no such job or session */
    ERROR_STATE = 6,     /* not now: e.g. ADD to a job that is sealed */
    ERROR_BUSY = 7,      /* the scheduler is full; try again later */
    ERROR_SESSION = 8,   /* HELLO (or READY) must come first */
    ERROR_CONFLICT = 9   /* the key belongs to a job with other content */
};

enum job_state { JOB_OPEN = 0, JOB_ACTIVE = 1, JOB_DONE = 2, JOB_CANCELLED = 3 };
enum item_state { ITEM_QUEUED = 0, ITEM_LEASED = 1, ITEM_DONE = 2, ITEM_DEAD = 3, ITEM_CANCELLED = 4 };
enum lease_verdict { VERDICT_EXTEND = 1, VERDICT_ABORT = 2, VERDICT_YIELD = 3, VERDICT_PRIORITY = 4 };
enum commit_verdict { COMMIT_COMMITTED = 1, COMMIT_STALE = 2, COMMIT_DUPLICATE = 3 };

const char *job_state_name(uint64_t state);  /* "open", "active", "done", "cancelled"; "unknown" */
const char *item_state_name(uint64_t state); /* "queued", "leased", "done", "dead", "cancelled"; "unknown" */
const char *wire_error_name(uint64_t error); /* "version", ...; "unknown" */

/* What LIST can be asked for: a job is in one of these phases. Bits of list.phases. */
enum job_phase {
    PHASE_QUEUED = 1,    /* nothing of it has been begun */
    PHASE_RUNNING = 2,   /* begun, not over */
    PHASE_DONE = 4,      /* over, every item done */
    PHASE_DEAD = 8,      /* over, with dead items */
    PHASE_CANCELLED = 16 /* cancelled */
};

/* Limits that both sides hold; WELCOME repeats those that may grow. */
enum {
    LIMIT_NAME = 64,          /* bytes of a job's, worker's or client's name, a kind, a version */
    LIMIT_PARAMS = 64 << 10,  /* bytes of a job's parameters */
    LIMIT_ITEM_PARAMS = 8192, /* bytes of an item's own parameters */
    LIMIT_PATH = 4096,        /* bytes of a path */
    LIMIT_RESULT = 64 << 10,  /* bytes of an item's result */
    LIMIT_MESSAGE = 512,      /* bytes of an error message */
    LIMIT_LIST = 4096,        /* elements of one list */
    LIMIT_PRIORITY = 1000,    /* priorities go from -1000 to 1000 */
    LIMIT_ATTEMPTS = 100,
    LIMIT_KEY = 16,                      /* bytes of an idempotency key or of a session's */
    LIMIT_BACKOFF_MS = 60 * 60 * 1000,   /* first wait before another attempt */
    LIMIT_TIMEOUT_MS = 7 * 24 * 3600000, /* of an attempt */
    LIMIT_LOG = 4096,       /* bytes of log lines in one message's entry, and of a dead item's last lines */
    LIMIT_OBJECT = 32,      /* bytes of an object's hash */
    LIMIT_CHUNK = 512 << 10 /* bytes of an object in one message */
};

#define HELLO_FIELDS(F, S) \
    F(S, 1, STR, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 2, STR, OPTIONAL, version, LIMIT_NAME, NULL) \
    F(S, 3, BIN, OPTIONAL, key, LIMIT_KEY, NULL)

#define WELCOME_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, epoch, 0, NULL) \
    F(S, 2, STR, REQUIRED, version, LIMIT_NAME, NULL) \
    F(S, 3, UINT, REQUIRED, session, 0, NULL) \
    F(S, 4, UINT, REQUIRED, beat_ms, 0, NULL) \
    F(S, 5, UINT, REQUIRED, session_timeout_ms, 0, NULL) \
    F(S, 6, UINT, REQUIRED, body_max, 0, NULL) \
    F(S, 7, UINT, REQUIRED, list_max, 0, NULL)

#define EMPTY_FIELDS(F, S) F(S, 255, BOOL, OPTIONAL, reserved, 0, NULL)

#define ERROR_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, code, 0, NULL) \
    F(S, 2, STR, OPTIONAL, message, LIMIT_MESSAGE, NULL)

#define ITEM_FIELDS(F, S) \
    F(S, 1, BIN, OPTIONAL, path, LIMIT_PATH, NULL) \
    F(S, 2, BIN, OPTIONAL, object, 32, NULL) \
    F(S, 3, BIN, OPTIONAL, params, LIMIT_ITEM_PARAMS, NULL)

#define SUBMIT_FIELDS(F, S) \
    F(S, 1, STR, REQUIRED, kind, LIMIT_NAME, NULL) \
    F(S, 2, BIN, OPTIONAL, params, LIMIT_PARAMS, NULL) \
    F(S, 3, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL) \
    F(S, 4, BOOL, OPTIONAL, cancel_on_disconnect, 0, NULL) \
    F(S, 5, STR, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 6, UINT, OPTIONAL, max_attempts, LIMIT_ATTEMPTS, NULL) \
    F(S, 7, LIST, OPTIONAL, items, LIMIT_LIST, &item_schema) \
    F(S, 8, BOOL, OPTIONAL, sealed, 0, NULL) \
    F(S, 9, BIN, OPTIONAL, key, LIMIT_KEY, NULL) \
    F(S, 10, UINT, OPTIONAL, start_unix_ms, 0, NULL) \
    F(S, 11, UINT, OPTIONAL, deadline_unix_ms, 0, NULL) \
    F(S, 12, UINT, OPTIONAL, backoff_ms, LIMIT_BACKOFF_MS, NULL) \
    F(S, 13, UINT, OPTIONAL, attempt_ms, LIMIT_TIMEOUT_MS, NULL) \
    F(S, 14, UINT, OPTIONAL, stall_ms, LIMIT_TIMEOUT_MS, NULL) \
    F(S, 15, UINT, OPTIONAL, device_bytes, 0, NULL) \
    F(S, 16, UINT, OPTIONAL, wave, UINT32_MAX, NULL)

#define ADD_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINT, REQUIRED, first, 0, NULL) \
    F(S, 3, LIST, OPTIONAL, items, LIMIT_LIST, &item_schema) \
    F(S, 4, BOOL, OPTIONAL, sealed, 0, NULL)

#define ACCEPTED_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINT, REQUIRED, items, 0, NULL) \
    F(S, 3, BOOL, OPTIONAL, known, 0, NULL)

#define JOB_REF_FIELDS(F, S) F(S, 1, UINT, REQUIRED, job, 0, NULL)

#define JOB_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINT, REQUIRED, state, 0, NULL) \
    F(S, 3, STR, REQUIRED, kind, LIMIT_NAME, NULL) \
    F(S, 4, STR, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 5, INT, OPTIONAL, priority, 0, NULL) \
    F(S, 6, UINT, OPTIONAL, items, 0, NULL) \
    F(S, 7, UINT, OPTIONAL, queued, 0, NULL) \
    F(S, 8, UINT, OPTIONAL, leased, 0, NULL) \
    F(S, 9, UINT, OPTIONAL, done, 0, NULL) \
    F(S, 10, UINT, OPTIONAL, dead, 0, NULL) \
    F(S, 11, UINT, OPTIONAL, cancelled, 0, NULL) \
    F(S, 12, UINT, OPTIONAL, commits, 0, NULL) \
    F(S, 13, UINT, OPTIONAL, attempts, 0, NULL) \
    F(S, 14, UINT, OPTIONAL, submitted_unix_ms, 0, NULL) \
    F(S, 15, UINT, OPTIONAL, finished_unix_ms, 0, NULL) \
    F(S, 16, F64, OPTIONAL, progress, 0, NULL) \
    F(S, 17, BOOL, OPTIONAL, paused, 0, NULL) \
    F(S, 18, UINT, OPTIONAL, start_unix_ms, 0, NULL) \
    F(S, 19, UINT, OPTIONAL, deadline_unix_ms, 0, NULL) \
    F(S, 20, UINT, OPTIONAL, waiting, 0, NULL) \
    F(S, 21, UINT, OPTIONAL, max_attempts, 0, NULL) \
    F(S, 22, UINT, OPTIONAL, device_bytes, 0, NULL) \
    F(S, 23, UINT, OPTIONAL, wave, 0, NULL)

#define RETRY_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINTS, OPTIONAL, indexes, LIMIT_LIST, NULL)

#define PRIORITY_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, INT, REQUIRED, priority, LIMIT_PRIORITY, NULL)

#define LOGS_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, cursor, 0, NULL)

#define LINE_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, index, 0, NULL) \
    F(S, 2, UINT, REQUIRED, unix_ms, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, attempt, 0, NULL) \
    F(S, 4, STR, REQUIRED, text, LIMIT_LOG, NULL)

#define LINES_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, cursor, 0, NULL) \
    F(S, 2, LIST, REQUIRED, lines, LIMIT_LIST, &line_schema) \
    F(S, 3, UINT, OPTIONAL, lost, 0, NULL) \
    F(S, 4, LIST, REQUIRED, job, 1, &job_schema)

#define LIST_FIELDS(F, S) \
    F(S, 1, UINT, OPTIONAL, after, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, limit, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, phases, 31, NULL) \
    F(S, 4, STR, OPTIONAL, kind, LIMIT_NAME, NULL) \
    F(S, 5, STR, OPTIONAL, name, LIMIT_NAME, NULL)

#define JOBS_FIELDS(F, S) \
    F(S, 1, LIST, REQUIRED, jobs, LIMIT_LIST, &job_schema) \
    F(S, 2, BOOL, OPTIONAL, more, 0, NULL)

#define WATCH_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, cursor, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, limit, 0, NULL) \
    F(S, 4, UINT, OPTIONAL, wait_ms, 60000, NULL) \
    F(S, 5, BOOL, OPTIONAL, with_path, 0, NULL) \
    F(S, 6, BOOL, OPTIONAL, dead_only, 0, NULL)

#define OUTCOME_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, index, 0, NULL) \
    F(S, 2, UINT, REQUIRED, state, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, failure, 0, NULL) \
    F(S, 4, STR, OPTIONAL, message, LIMIT_MESSAGE, NULL) \
    F(S, 5, BIN, OPTIONAL, result, LIMIT_RESULT, NULL) \
    F(S, 6, UINT, OPTIONAL, attempts, 0, NULL) \
    F(S, 7, BIN, OPTIONAL, path, LIMIT_PATH, NULL) \
    F(S, 8, STR, OPTIONAL, log, LIMIT_LOG, NULL) \
    F(S, 9, BOOL, OPTIONAL, retried, 0, NULL)

#define PAGE_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, cursor, 0, NULL) \
    F(S, 2, LIST, REQUIRED, outcomes, LIMIT_LIST, &outcome_schema) \
    F(S, 3, LIST, REQUIRED, job, 1, &job_schema)

#define SERVER_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, epoch, 0, NULL) \
    F(S, 2, STR, REQUIRED, version, LIMIT_NAME, NULL) \
    F(S, 3, UINT, OPTIONAL, jobs, 0, NULL) \
    F(S, 4, UINT, OPTIONAL, queued, 0, NULL) \
    F(S, 5, UINT, OPTIONAL, leased, 0, NULL) \
    F(S, 6, UINT, OPTIONAL, clients, 0, NULL) \
    F(S, 7, UINT, OPTIONAL, resident_bytes, 0, NULL) \
    F(S, 8, UINT, OPTIONAL, uptime_ms, 0, NULL) \
    F(S, 9, LIST, OPTIONAL, workers, LIMIT_LIST, &worker_schema) \
    F(S, 10, BOOL, OPTIONAL, is_full, 0, NULL)

#define WORKER_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, worker, 0, NULL) \
    F(S, 2, STR, OPTIONAL, name, LIMIT_NAME, NULL) \
    F(S, 3, STR, OPTIONAL, device, LIMIT_NAME, NULL) \
    F(S, 4, UINT, OPTIONAL, pid, 0, NULL) \
    F(S, 5, UINT, OPTIONAL, threads, 0, NULL) \
    F(S, 6, UINT, OPTIONAL, leased, 0, NULL) \
    F(S, 7, UINT, OPTIONAL, committed, 0, NULL) \
    F(S, 8, BOOL, OPTIONAL, quarantined, 0, NULL) \
    F(S, 9, STR, OPTIONAL, device_id, LIMIT_NAME, NULL) \
    F(S, 10, UINT, OPTIONAL, device_bytes, 0, NULL) \
    F(S, 11, UINT, OPTIONAL, booked_bytes, 0, NULL)

#define READY_FIELDS(F, S) \
    F(S, 1, STR, REQUIRED, name, LIMIT_NAME, NULL) \
    F(S, 2, UINT, OPTIONAL, pid, 0, NULL) \
    F(S, 3, STR, OPTIONAL, device, LIMIT_NAME, NULL) \
    F(S, 4, UINT, OPTIONAL, threads, 0, NULL) \
    F(S, 5, STRS, REQUIRED, kinds, 64, NULL) \
    F(S, 6, STR, OPTIONAL, version, LIMIT_NAME, NULL) \
    F(S, 7, UINTS, OPTIONAL, held, LIMIT_LIST, NULL) \
    F(S, 8, STR, OPTIONAL, device_id, LIMIT_NAME, NULL) \
    F(S, 9, UINT, OPTIONAL, device_bytes, 0, NULL)

#define ENGAGED_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, epoch, 0, NULL) \
    F(S, 2, UINT, REQUIRED, worker, 0, NULL) \
    F(S, 3, UINT, REQUIRED, lease_ms, 0, NULL) \
    F(S, 4, UINT, REQUIRED, beat_ms, 0, NULL) \
    F(S, 5, STR, REQUIRED, version, LIMIT_NAME, NULL) \
    F(S, 6, UINTS, OPTIONAL, resumed, LIMIT_LIST, NULL)

#define TAKE_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, credits, LIMIT_LIST, NULL) \
    F(S, 2, BOOL, OPTIONAL, urgent, 0, NULL) \
    F(S, 3, INT, OPTIONAL, above, LIMIT_PRIORITY, NULL)

#define LEASE_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, index, 0, NULL) \
    F(S, 2, UINT, REQUIRED, token, 0, NULL) \
    F(S, 3, UINT, REQUIRED, attempt, 0, NULL) \
    F(S, 4, BIN, OPTIONAL, path, LIMIT_PATH, NULL) \
    F(S, 5, BIN, OPTIONAL, object, 32, NULL) \
    F(S, 6, BIN, OPTIONAL, params, LIMIT_ITEM_PARAMS, NULL) \
    F(S, 7, UINT, OPTIONAL, job, 0, NULL) \
    F(S, 8, BIN, OPTIONAL, checkpoint, LIMIT_OBJECT, NULL) \
    F(S, 9, F64, OPTIONAL, progress, 0, NULL)

#define GRANT_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, job, 0, NULL) \
    F(S, 2, STR, REQUIRED, kind, LIMIT_NAME, NULL) \
    F(S, 3, BIN, OPTIONAL, params, LIMIT_PARAMS, NULL) \
    F(S, 4, LIST, REQUIRED, leases, LIMIT_LIST, &lease_schema) \
    F(S, 5, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL)

#define BEAT_ENTRY_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, token, 0, NULL) \
    F(S, 2, F64, OPTIONAL, progress, 0, NULL) \
    F(S, 3, STR, OPTIONAL, log, LIMIT_LOG, NULL)

#define BEAT_FIELDS(F, S) F(S, 1, LIST, REQUIRED, entries, LIMIT_LIST, &beat_entry_schema)

#define VERDICT_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, token, 0, NULL) \
    F(S, 2, UINT, REQUIRED, verdict, 0, NULL) \
    F(S, 3, INT, OPTIONAL, priority, LIMIT_PRIORITY, NULL)

#define VERDICTS_FIELDS(F, S) F(S, 1, LIST, REQUIRED, verdicts, LIMIT_LIST, &verdict_schema)

#define REPORT_ENTRY_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, token, 0, NULL) \
    F(S, 2, UINT, OPTIONAL, failure, 0, NULL) \
    F(S, 3, STR, OPTIONAL, message, LIMIT_MESSAGE, NULL) \
    F(S, 4, BIN, OPTIONAL, result, LIMIT_RESULT, NULL) \
    F(S, 5, STR, OPTIONAL, log, LIMIT_LOG, NULL)

#define REPORT_FIELDS(F, S) F(S, 1, LIST, REQUIRED, entries, LIMIT_LIST, &report_entry_schema)

#define RETURN_FIELDS(F, S) F(S, 1, UINTS, REQUIRED, tokens, LIMIT_LIST, NULL)

#define CHECKPOINT_FIELDS(F, S) \
    F(S, 1, UINT, REQUIRED, token, 0, NULL) \
    F(S, 2, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 3, F64, OPTIONAL, progress, 0, NULL)

#define PUT_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 2, UINT, REQUIRED, size, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, offset, 0, NULL) \
    F(S, 4, BIN, OPTIONAL, data, LIMIT_CHUNK, NULL)

#define STORED_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 2, UINT, REQUIRED, offset, 0, NULL) \
    F(S, 3, BOOL, OPTIONAL, whole, 0, NULL)

#define GET_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 2, UINT, OPTIONAL, offset, 0, NULL) \
    F(S, 3, UINT, OPTIONAL, bytes, LIMIT_CHUNK, NULL)

#define CHUNK_FIELDS(F, S) \
    F(S, 1, BIN, REQUIRED, object, LIMIT_OBJECT, NULL) \
    F(S, 2, UINT, REQUIRED, size, 0, NULL) \
    F(S, 3, UINT, REQUIRED, offset, 0, NULL) \
    F(S, 4, BIN, REQUIRED, data, LIMIT_CHUNK, NULL)

/* X(struct and schema name, table) */
#define MESSAGE_TABLES(X) \
    X(hello, HELLO_FIELDS) \
    X(welcome, WELCOME_FIELDS) \
    X(empty, EMPTY_FIELDS) \
    X(error, ERROR_FIELDS) \
    X(item, ITEM_FIELDS) \
    X(submit, SUBMIT_FIELDS) \
    X(add, ADD_FIELDS) \
    X(accepted, ACCEPTED_FIELDS) \
    X(job_ref, JOB_REF_FIELDS) \
    X(job, JOB_FIELDS) \
    X(retry, RETRY_FIELDS) \
    X(priority, PRIORITY_FIELDS) \
    X(logs, LOGS_FIELDS) \
    X(line, LINE_FIELDS) \
    X(lines, LINES_FIELDS) \
    X(list, LIST_FIELDS) \
    X(jobs, JOBS_FIELDS) \
    X(watch, WATCH_FIELDS) \
    X(outcome, OUTCOME_FIELDS) \
    X(page, PAGE_FIELDS) \
    X(worker, WORKER_FIELDS) \
    X(server, SERVER_FIELDS) \
    X(ready, READY_FIELDS) \
    X(engaged, ENGAGED_FIELDS) \
    X(take, TAKE_FIELDS) \
    X(lease, LEASE_FIELDS) \
    X(grant, GRANT_FIELDS) \
    X(beat_entry, BEAT_ENTRY_FIELDS) \
    X(beat, BEAT_FIELDS) \
    X(verdict, VERDICT_FIELDS) \
    X(verdicts, VERDICTS_FIELDS) \
    X(report_entry, REPORT_ENTRY_FIELDS) \
    X(report, REPORT_FIELDS) \
    X(returned, RETURN_FIELDS) \
    X(checkpoint, CHECKPOINT_FIELDS) \
    X(put, PUT_FIELDS) \
    X(stored, STORED_FIELDS) \
    X(get, GET_FIELDS) \
    X(chunk, CHUNK_FIELDS)

#define WIRE_C_UINT uint64_t
#define WIRE_C_INT int64_t
#define WIRE_C_F64 double
#define WIRE_C_BOOL bool
#define WIRE_C_STR struct wire_slice
#define WIRE_C_BIN struct wire_slice
#define WIRE_C_LIST struct wire_list
#define WIRE_C_UINTS struct wire_list
#define WIRE_C_STRS struct wire_list
#define WIRE_MEMBER(S, key, type, need, member, max, element) WIRE_C_##type member;
#define WIRE_STRUCT(name, table) \
    struct message_##name { \
        table(WIRE_MEMBER, ) \
    }; \
    extern const struct wire_schema name##_schema;

MESSAGE_TABLES(WIRE_STRUCT)

/* For the .c file that owns a table: WIRE_SCHEMA(hello_schema, struct message_hello, HELLO_FIELDS, "hello"). */
#define WIRE_NEED_REQUIRED true
#define WIRE_NEED_OPTIONAL false
#define WIRE_FIELD(S, key, type, need, member, max, element) \
    {key, WIRE_##type, WIRE_NEED_##need, offsetof(S, member), max, #member, element},
#define WIRE_SCHEMA(schema, S, table, label) \
    static const struct wire_field schema##_fields[] = {table(WIRE_FIELD, S)}; \
    const struct wire_schema schema = {label, schema##_fields, sizeof schema##_fields / sizeof(struct wire_field), \
                                       sizeof(S)};

#endif
