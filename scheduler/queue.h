/* queue - jobs, items, workers and leases as a pure state machine: (event, time) in, (actions, journal records) out.
 *
 * No clock, no socket, no log and no random number inside: what happens depends on the events and on the times given
 * with them. PROTOCOL.md sections 3 to 5 say what the rules are; the state picture stands there, in section 4.
 *
 *   time         now_ms is monotonic and in milliseconds; wall time comes in with the events and is only passed on.
 *                Nothing ends by time but in QUEUE_TICK: a beat that waited in a socket while the process stood still
 *                is applied before the tick that would have ended its lease.
 *   events       carry the decoded messages of messages.h; their lists may point into the received bytes
 *   actions      what to tell whom, in order; entries and names are valid until queue_actions_clear
 *   ownership    the queue copies what it keeps; views point into the queue and are valid until the next queue_apply
 *   errors       queue_apply gives STATUS_NOMEM when memory ran out: nothing has changed, the same event may come
 *                again. What breaks a rule of the protocol is an answer, not an error: QUEUE_REFUSED.
 *   memory       48 bytes an item, up to 30 for its token, and what its path, parameters and result take
 *   threads      one at a time */
#ifndef QUEUE_H
#define QUEUE_H
#include "journal.h"
#include "memory.h"

enum {
    QUEUE_JOBS_MAX = 20000,     /* unfinished */
    QUEUE_ITEMS_MAX = 4000000,  /* of all jobs that are kept */
    QUEUE_ITEMS_KEEP = 3000000, /* above that, finished jobs go before their time, the oldest first */
    QUEUE_WORKERS_MAX = 4096,
    QUEUE_KINDS_MAX = 1024,         /* different ones, of jobs and workers together */
    QUEUE_KEEP_JOBS = 1000,         /* finished jobs that are kept ... */
    QUEUE_KEEP_MS = 60 * 60 * 1000, /* ... for so long */
    QUEUE_PAGE_BYTES = 256 << 10,   /* of outcomes in one page */
    QUEUE_PAGE_MAX = 1000,          /* outcomes in one page */
    QUEUE_LIST_MAX = 1000,          /* jobs in one list */
    QUEUE_ATTEMPTS = 3,             /* when the job names no max_attempts */
    QUEUE_BACKOFF_MS = 100          /* when it names no backoff_ms */
};

struct queue_options {
    uint64_t epoch; /* below 2^23; larger than that of every scheduler before */
    int64_t lease_ms;
    struct journal *journal; /* NULL: none */
    struct memory memory;
};

enum queue_event_type {
    QUEUE_SUBMIT,
    QUEUE_ADD,
    QUEUE_CANCEL,
    QUEUE_RETRY,
    QUEUE_PAUSE,
    QUEUE_RESUME,
    QUEUE_PRIORITY,
    QUEUE_SESSION_GONE,
    QUEUE_READY,
    QUEUE_TAKE,
    QUEUE_BEAT,
    QUEUE_REPORT,
    QUEUE_CHECKPOINT,
    QUEUE_RETURN,
    QUEUE_LEAVE,
    QUEUE_LOST,  /* its connection has ended, and it did not come back: as silence, only sooner */
    QUEUE_HEARD, /* any other sign of life from a worker */
    QUEUE_TICK
};

struct queue_event {
    enum queue_event_type type;
    int64_t unix_ms;  /* wall time, for the records of people */
    uint64_t session; /* SUBMIT, SESSION_GONE; never 0 */
    uint64_t worker;  /* events of workers; READY: 0 when its connection has none yet */
    union {
        const struct message_submit *submit;
        const struct message_add *add;
        const struct message_job_ref *job; /* CANCEL, PAUSE, RESUME */
        const struct message_retry *retry;
        const struct message_priority *priority;
        const struct message_ready *ready;
        const struct message_take *take;
        const struct message_beat *beat;
        const struct message_report *report;
        const struct message_checkpoint *checkpoint;
        const struct message_returned *returned;
    };
};

enum queue_action_type {
    QUEUE_REFUSED,  /* answer the event with ERROR: error, text */
    QUEUE_ACCEPTED, /* answer: job has `count` items; known: it was there already */
    QUEUE_ENGAGED,  /* answer: worker; entries are the tokens that are still good */
    QUEUE_VERDICTS, /* answer: entries with lease_verdict */
    QUEUE_COMMITS,  /* answer: entries with commit_verdict */
    QUEUE_SAVED,    /* answer: one entry with commit_verdict, of a CHECKPOINT */
    QUEUE_GRANT,    /* to the worker that waits with a TAKE: items of `job`, or of others like it: entries say whose */
    QUEUE_ABORT,    /* to a worker, unasked: what becomes of these tokens, by their verdicts */
    QUEUE_CHANGED,  /* job has new outcomes, or is over */
    QUEUE_GONE,     /* a worker has left; its number is not used again */
    QUEUE_BLAMED    /* a worker was quarantined: three items crashed on it, and on no other */
};

struct queue_entry {
    uint64_t token;
    uint64_t job;            /* GRANT */
    uint32_t index, attempt; /* GRANT */
    int verdict;             /* VERDICTS, ABORT, COMMITS */
    int32_t priority;        /* ABORT, with VERDICT_PRIORITY */
};

struct queue_action {
    enum queue_action_type type;
    uint64_t job;
    uint64_t worker;
    size_t first, count; /* entries; ACCEPTED: count is the number of items */
    enum wire_error error;
    const char *text; /* REFUSED: static */
    bool known;       /* ACCEPTED */
};

struct queue_actions {
    struct queue_action *list;
    size_t count, capacity;
    struct queue_entry *entries;
    size_t entry_count, entry_capacity;
};

struct queue;

int queue_create(const struct queue_options *options, struct queue **q) MUST_USE;
void queue_destroy(struct queue **q);

/* Fills a new queue with what its journal kept, before the first event. Leases go on for lease_ms, for whoever names
 * their tokens in a READY. Sessions without a key have ended, so their jobs that were not sealed or that end with their
 * session are cancelled; that is recorded: commit before anything is sent. STATUS_DAMAGED: records that do not fit each
 * other; errors of the journal; the queue is then only good for queue_destroy. */
int queue_restore(struct queue *q, int64_t now_ms, int64_t unix_ms, struct journal_loaded *out) MUST_USE;

/* After queue_restore, when it took long: leases of before have all of lease_ms from this time on. */
void queue_begin(struct queue *q, int64_t now_ms);

/* That of new tokens: the one that was given, or a larger one when queue_restore met tokens of it. */
uint64_t queue_epoch(const struct queue *q);

/* Numbers of sessions with a key have this bit: they may come back after a restart. */
#define QUEUE_SESSION_KEYED (UINT64_C(1) << 63)

/* The smallest number above `after` of a session that an unfinished job depends on; 0: none. */
uint64_t queue_session_after(const struct queue *q, uint64_t after);

/* Appends to *out, which is zero-initialised before its first use. */
int queue_apply(struct queue *q, int64_t now_ms, const struct queue_event *e, struct queue_actions *out) MUST_USE;
void queue_actions_clear(struct queue_actions *a); /* keeps the memory */
void queue_actions_free(struct queue_actions *a, const struct queue *q);

/* When the next QUEUE_TICK has something to do; INT64_MAX: never. */
int64_t queue_next_deadline_ms(const struct queue *q);

/* ---- queries: they change nothing ---- */

int queue_show(const struct queue *q, uint64_t job, struct message_job *out) MUST_USE; /* or STATUS_NOT_FOUND */

/* Jobs with ids above `after`, ascending, as elements for JOBS; at most limit (0: 100). */
int queue_list(const struct queue *q, const struct message_list *list, struct wire_buffer *out, uint32_t *count,
               bool *more) MUST_USE;

/* Outcomes from `cursor` on, as elements for PAGE, cut at limit (0: 1,000) and QUEUE_PAGE_BYTES; *next is the cursor
 * behind them. */
int queue_page(const struct queue *q, const struct message_watch *watch, struct wire_buffer *out, uint32_t *count,
               uint64_t *next) MUST_USE;

/* What a worker must know of an item that was granted: path, object, parameters, checkpoint and its progress. */
int queue_item(const struct queue *q, uint64_t job, uint32_t index, struct message_lease *out) MUST_USE;

/* Is there a job under this key? */
bool queue_has_key(const struct queue *q, struct wire_slice key);

/* Whose token that is; false: nobody's. */
bool queue_token(const struct queue *q, uint64_t token, uint64_t *job, uint32_t *index, uint32_t *attempt);

/* Tells of every object that a kept job names: its items' and their checkpoints. */
void queue_each_object(const struct queue *q, void (*each)(void *context, const uint8_t hash[LIMIT_OBJECT]),
                       void *context);
/* What a GRANT says of the job; its leases stay as they are. */
int queue_spec(const struct queue *q, uint64_t job, struct message_grant *out) MUST_USE;

struct queue_stats {
    uint64_t jobs, queued, leased, workers; /* of jobs that are not over */
    uint64_t items, kept;                   /* items held, jobs held */
};

void queue_stats(const struct queue *q, struct queue_stats *out);
int queue_workers(const struct queue *q, struct wire_buffer *out, uint32_t *count) MUST_USE; /* elements for SERVER */

/* Recounts everything from the items and compares: STATUS_INTERNAL names the first difference. For tests. */
int queue_check(const struct queue *q) MUST_USE;

#endif
