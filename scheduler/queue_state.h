/* queue_state - the inside of the queue, shared by the queue*.c files only.
 *
 * Who holds whom: the queue owns jobs, workers and kinds; a job owns its items (an array by index) and their bytes; a
 * lease belongs to the item it is for and hangs in its worker's list. An item is found through its job and index, or
 * through the last token it was granted under. */
#ifndef QUEUE_STATE_H
#define QUEUE_STATE_H
#include "blocks.h"
#include "heap.h"
#include "queue.h"
#include "tokens.h"

enum {
    CRASHED_KEPT = 3,     /* an item remembers the last workers that crashed on it */
    SCAN_MAX = 256,       /* items of a crashed list that one TAKE looks at */
    REAP_MAX = 2048,      /* items of removed jobs that one event gives back */
    GRANT_BYTES = 900000, /* estimated body of a GRANT, below WIRE_BODY_MAX */
    STARVED_MS = 100,     /* wait before granting is tried again after memory ran out */
    PROGRESS_ONE = 10000  /* progress 1.0 */
};

struct timer { /* first member of what it is for */
    int64_t at_ms;
    size_t position;
    bool is_worker;
};

struct lease {
    struct timer timer;
    struct job *job;
    struct worker *worker;
    struct lease *previous, *next; /* of the worker */
    uint64_t token;
    uint32_t index;
    uint32_t progress;
};

struct item {
    const uint8_t *spec;    /* path, object, parameters: spec_read */
    const uint8_t *outcome; /* message, result: outcome_read; NULL when both are empty */
    uint64_t token;         /* the last one it was granted under; 0: none yet */
    union {
        struct lease *lease; /* ITEM_LEASED */
        uint32_t next;       /* in one of the job's chains: index + 1 */
    };
    uint32_t crashed[CRASHED_KEPT]; /* workers, newest first; 0: none */
    uint8_t state;                  /* in a cancelled job ITEM_QUEUED stands for ITEM_CANCELLED */
    uint8_t attempts;
    uint8_t failure;
    bool settled; /* the last token ended by a report, not by its lease */
};

struct chain { /* first in, first out; indexes + 1, 0: empty */
    uint32_t first, last;
};

struct job {
    uint64_t id;
    struct kind *kind;
    char name[LIMIT_NAME + 1];
    struct wire_slice params;
    struct blocks blocks;
    int32_t priority;
    uint8_t state;
    uint8_t max_attempts;
    bool cancel_on_disconnect;
    bool changed;     /* stands in queue.changed */
    bool retry_first; /* whose turn it is: items that were tried, or new ones */
    uint64_t session;
    int64_t submitted_unix_ms, finished_unix_ms, finished_ms;

    struct item *items;
    uint32_t *order; /* indexes in the order of their outcomes */
    uint32_t item_count, item_capacity;
    uint32_t fresh;       /* items from here on were never granted */
    struct chain again;   /* given back with no attempt counted */
    struct chain retry;   /* tried before: granted alone */
    struct chain crashed; /* tried before, and a worker died on them */

    uint32_t queued, leased, done, dead, cancelled;
    uint64_t attempts;
    uint64_t progress; /* sum over its leases */

    struct job *next_changed, *next_finished; /* next_finished also links removed jobs */
};

struct kind {
    uint8_t name[LIMIT_NAME];
    uint32_t bytes;                             /* of the name */
    uint32_t users;                             /* jobs that are kept, and workers */
    uint32_t live, waiting;                     /* workers that have it; those of them whose TAKE waits */
    struct job **ready;                         /* jobs with queued items: highest priority first, then the oldest */
    uint32_t ready_count, ready_capacity, jobs; /* capacity is never below jobs */
};

struct worker {
    struct timer timer; /* when it counts as gone */
    uint64_t id, pid, threads;
    char name[LIMIT_NAME + 1], device[LIMIT_NAME + 1];
    struct kind **kinds;
    uint32_t kind_count;
    uint32_t leased;
    uint64_t committed;
    struct lease *leases;
    bool past;                     /* no process: it holds the leases of before a restart */
    uint32_t credits;              /* of a waiting TAKE; 0: none waits */
    struct worker *before, *after; /* in the line of those that wait */
};

struct queue {
    struct memory memory;
    struct journal *journal;
    uint64_t epoch, counter; /* tokens */
    int64_t lease_ms;

    struct job **jobs; /* kept ones, by id */
    uint32_t job_count, job_capacity, unfinished;
    uint64_t last_job, item_count;
    struct job *first_finished, *last_finished;
    uint32_t finished;
    struct job *removed; /* their items are given back bit by bit */

    struct worker **workers; /* by id */
    uint32_t worker_count, worker_capacity;
    uint64_t last_worker;
    struct worker *first_waiting, *last_waiting;

    struct kind *kinds[QUEUE_KINDS_MAX];
    uint32_t kind_count;
    struct tokens tokens;
    struct heap timers;
    bool starved; /* granting met the end of memory */

    /* During one queue_apply: */
    int64_t now_ms, unix_ms;
    struct queue_actions *out;
    struct job *first_changed;
};

/* queue_actions.c */
int actions_reserve(struct queue *q, size_t actions, size_t entries) MUST_USE;
struct queue_action *actions_add(struct queue *q, enum queue_action_type type); /* reserved; its entries start here */
void actions_entry(struct queue *q, struct queue_action *a, struct queue_entry entry); /* only for the newest action */
void actions_refuse(struct queue *q, enum wire_error error, const char *text);

/* queue_jobs.c */
struct job *job_find(const struct queue *q, uint64_t id);
bool job_is_over(const struct job *j);
void job_changed(struct queue *q, struct job *j);
void job_settle(struct queue *q, struct job *j); /* after an item ended or the job was sealed: is it done? */
int job_create(struct queue *q, uint64_t id, uint64_t session, const struct message_submit *m,
               struct job **out) MUST_USE;             /* unsealed; records nothing, answers nothing */
int job_stop(struct queue *q, struct job *j) MUST_USE; /* cancels, unless it is over */
int job_submit(struct queue *q, const struct queue_event *e) MUST_USE;
int job_add(struct queue *q, const struct queue_event *e) MUST_USE;
int job_cancel(struct queue *q, const struct queue_event *e) MUST_USE;
int job_session_gone(struct queue *q, const struct queue_event *e) MUST_USE;
void job_retire(struct queue *q); /* removes finished jobs whose time is over, and some items of removed ones */
void job_destroy(struct queue *q, struct job *j);

/* queue_kinds.c */
struct kind *kind_use(struct queue *q, struct wire_slice name); /* NULL: out of memory, or too many */
void kind_release(struct queue *q, struct kind *k);
int kind_reserve_job(struct queue *q, struct kind *k) MUST_USE;
void kind_update(struct job *j); /* after j->queued may have become 0, or no longer 0 */
bool kind_is_of(const struct kind *k, const struct worker *w);

/* queue_items.c */
int item_append(struct queue *q, struct job *j, struct wire_list list) MUST_USE;
int item_append_one(struct queue *q, struct job *j, const struct message_item *m) MUST_USE;
void item_chain(struct job *j, uint32_t index); /* a queued one that was granted before, to wait for the next grant */
int item_keep(struct queue *q, struct job *j, struct item *item, struct wire_slice message,
              struct wire_slice result) MUST_USE; /* the bytes of its outcome */
void item_spec(const struct item *item, struct message_item *out);
void item_outcome(const struct item *item, struct wire_slice *message, struct wire_slice *result);
int item_state(const struct job *j, const struct item *item);
void item_unlease(struct queue *q, struct item *item);             /* the lease ends; the caller sets the state */
void item_requeue(struct queue *q, struct job *j, uint32_t index); /* leased or just unleased -> queued */
int item_end(struct queue *q, struct job *j, uint32_t index, enum item_state state, enum failure_class failure,
             struct wire_slice message, struct wire_slice result) MUST_USE;
void item_give_back(struct queue *q, struct lease *l); /* without counting the attempt */
void item_lapse(struct queue *q, struct lease *l);     /* the lease is over; the attempt counts */

/* queue_grant.c */
void lease_begin(struct queue *q, struct worker *w, struct job *j, uint32_t index, struct lease *l); /* reserved */
void grant_all(struct queue *q); /* queued items to the workers that wait for them; once, after each event */

/* queue_workers.c */
struct worker *worker_find(const struct queue *q, uint64_t id);
int worker_past(struct queue *q, struct worker **out) MUST_USE; /* one that stands for all before a restart */
void worker_unpark(struct queue *q, struct worker *w);
void worker_gone(struct queue *q, struct worker *w, bool give_back);
void worker_destroy(struct queue *q, struct worker *w);
int worker_ready(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_take(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_beat(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_report(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_return(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_leave(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_heard(struct queue *q, const struct queue_event *e) MUST_USE;

/* queue.c */
void queue_record(struct queue *q, const struct journal_record *r);

#endif
