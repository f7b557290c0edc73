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
    GROUP_SCAN = 64,      /* ready jobs that are looked through for more of one group */
    EXPIRE_MAX = 2048,    /* items that one tick ends when their job's deadline is over */
    RECHECK_MS = 60000,   /* wall time is looked at so often by who waits for it: clocks are set */
    BLAMED_KEPT = 3,      /* items that crash on one worker alone until it is quarantined */
    CONTENT_BYTES = 16,
    SAVED_BYTES = LIMIT_OBJECT + 16, /* of a checkpoint: object, progress, the most of any before it too */
    PROGRESS_ONE = 10000             /* progress 1.0 */
};

enum timer_type { TIMER_LEASE, TIMER_WORKER, TIMER_JOB, TIMER_WAIT };

struct timer { /* first member of what it is for */
    int64_t at_ms;
    size_t position;
    enum timer_type type;
};

/* A queued item between two attempts. */
struct wait {
    struct timer timer;
    struct job *job;
    struct wait *previous, *next; /* of the job */
    uint32_t index;
};

/* Memory that items book before they are leased: of a GPU, or of a host. */
struct device {
    char id[LIMIT_NAME + 1];
    uint64_t bytes, booked;
    uint32_t users; /* workers on it */
    struct device *next;
};

struct lease {
    struct timer timer;
    struct job *job;
    struct worker *worker;
    struct lease *previous, *next; /* of the worker */
    uint64_t token;
    int64_t begun_ms, moved_ms; /* when it was granted; when its progress last grew */
    uint64_t booked;            /* bytes of the worker's device */
    uint32_t index;
    uint32_t progress, best; /* the last, and the largest that was heard of */
};

struct item {
    const uint8_t *spec; /* path, object, parameters: spec_read */
    union {
        const uint8_t *outcome; /* done or dead: message, result, log, see item_outcome; NULL when all are empty */
        uint8_t *saved;         /* before: the last checkpoint, SAVED_BYTES; NULL: none */
    };
    uint64_t token; /* the last one it was granted under; 0: none yet */
    union {
        struct lease *lease; /* ITEM_LEASED */
        struct wait *wait;   /* ITEM_QUEUED and waits */
        uint32_t next;       /* in one of the job's chains: index + 1 */
    };
    uint32_t crashed[CRASHED_KEPT]; /* workers, newest first; 0: none */
    uint8_t state;                  /* in a cancelled job ITEM_QUEUED stands for ITEM_CANCELLED */
    uint8_t attempts;
    uint8_t failure;
    bool settled : 1; /* the last token ended by a report, not by its lease */
    bool waits : 1;   /* between two attempts: in no chain */
    bool seen : 1;    /* while outcomes are walked */
};

struct chain { /* first in, first out; indexes + 1, 0: empty */
    uint32_t first, last;
};

struct job {
    struct timer timer; /* the next of its start and its deadline; in the heap when timed */
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
    bool timed;       /* its timer runs */
    bool paused;
    bool early;   /* its start has not come */
    bool expired; /* its deadline is over: what is left is being ended */
    uint8_t key[LIMIT_KEY], key_bytes;
    uint64_t key_hash;                        /* its place in queue.keys */
    uint8_t content[CONTENT_BYTES];           /* hash of what was submitted; with a key */
    uint64_t start_unix_ms, deadline_unix_ms; /* 0: none */
    uint32_t backoff_ms, attempt_ms, stall_ms;
    uint64_t device_bytes;
    uint64_t group; /* hash of the parameters: jobs of one kind with the same may be granted together */
    uint64_t session;
    int64_t submitted_unix_ms, finished_unix_ms, finished_ms;

    struct item *items;
    uint32_t *order; /* indexes in the order of their outcomes, with ORDER_RETRIED where a later one counts */
    uint32_t commits, order_capacity; /* of order: never less room than items that can still end */
    uint32_t item_count, item_capacity;
    uint32_t expire_at; /* expired: items below have ended */
    uint32_t waiting;   /* queued items that wait between two attempts */
    struct wait *waits;
    uint32_t fresh;       /* items from here on were never granted */
    uint32_t wave;        /* items of a wave; 0: there are none, all are open */
    uint32_t wave_first;  /* of the open wave: the lowest with an item that is not over */
    uint32_t wave_over;   /* items of it that are done or dead */
    struct chain again;   /* given back with no attempt counted */
    struct chain retry;   /* tried before: granted alone */
    struct chain crashed; /* tried before, and a worker died on them */

    uint32_t queued, leased, done, dead, cancelled;
    uint64_t attempts;
    uint64_t progress; /* sum over its leases */

    struct job *next_changed, *next_finished; /* next_finished also links removed jobs */
};

#define ORDER_RETRIED (UINT32_C(1) << 31)

struct kind {
    uint8_t name[LIMIT_NAME];
    uint32_t bytes;                             /* of the name */
    uint32_t users;                             /* jobs that are kept, and workers */
    uint32_t live, waiting;                     /* workers that have it; those of them whose TAKE waits */
    struct job **ready;                         /* jobs that can be granted: highest priority first, then the oldest */
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
    struct device *room; /* what is booked of; NULL: nothing can be */
    struct {
        uint64_t job;
        uint32_t index;
    } blamed[BLAMED_KEPT]; /* items that crashed here, and on no other worker */
    uint32_t blamed_count; /* BLAMED_KEPT: quarantined */
    bool past;             /* no process: it holds the leases of before a restart */
    uint32_t credits;      /* of a waiting TAKE; 0: none waits */
    bool urgent;           /* of it: only jobs of a priority higher than `above` */
    int32_t above;
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
    int64_t last_end_unix_ms; /* wall time of the last end that this process saw */
    uint32_t finished;
    struct job *removed; /* their items are given back bit by bit */

    struct worker **workers; /* by id */
    uint32_t worker_count, worker_capacity;
    uint64_t last_worker;
    struct worker *first_waiting, *last_waiting;

    struct kind *kinds[QUEUE_KINDS_MAX];
    uint32_t kind_count;
    struct tokens tokens;
    struct tokens keys; /* hash of an idempotency key to its job */
    struct device *devices;
    struct heap timers;
    bool starved;         /* granting met the end of memory */
    uint32_t expire_left; /* items that this tick may still end because a deadline is over */

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

/* queue_submit.c */
int job_create(struct queue *q, uint64_t id, uint64_t session, const struct message_submit *m,
               struct job **out) MUST_USE;       /* unsealed; records nothing, answers nothing */
void key_forget(struct queue *q, struct job *j); /* its key may be used again */
int job_set_key(struct queue *q, struct job *j, struct wire_slice key, struct wire_slice content) MUST_USE;
int job_submit(struct queue *q, const struct queue_event *e) MUST_USE;
int job_add(struct queue *q, const struct queue_event *e) MUST_USE;

/* queue_jobs.c */
uint32_t job_place(const struct queue *q, uint64_t id); /* in q->jobs, of the first whose number is not below */
struct job *job_find(const struct queue *q, uint64_t id);
bool job_is_over(const struct job *j);
bool job_needs_session(const struct job *j); /* ends with it */
void job_changed(struct queue *q, struct job *j);
void job_settle(struct queue *q, struct job *j);       /* after an item ended or the job was sealed: is it done? */
void job_reopen(struct queue *q, struct job *j);       /* done -> active, for items that are tried again */
int job_stop(struct queue *q, struct job *j) MUST_USE; /* cancels, unless it is over */
int job_cancel(struct queue *q, const struct queue_event *e) MUST_USE;
int job_session_gone(struct queue *q, const struct queue_event *e) MUST_USE;
void job_retire(struct queue *q); /* removes finished jobs whose time is over, and some items of removed ones */
void job_destroy(struct queue *q, struct job *j);

/* queue_control.c */
void control_record(struct queue *q, const struct job *j);
int control_retry(struct queue *q, const struct queue_event *e) MUST_USE;
int control_pause(struct queue *q, const struct queue_event *e) MUST_USE;
int control_resume(struct queue *q, const struct queue_event *e) MUST_USE;
int control_priority(struct queue *q, const struct queue_event *e) MUST_USE;
void control_set_priority(struct job *j, int32_t priority);

/* queue_times.c */
int times_begin(struct queue *q, struct job *j) MUST_USE;          /* its start and its deadline, if it has any */
void times_end(struct queue *q, struct job *j);                    /* no timer of the job runs any more */
void times_of_job(struct queue *q, struct job *j);                 /* its timer has rung */
void times_missed(struct queue *q, struct job *j, uint32_t index); /* an item that an expired job has to end still */
void times_drop_deadline(struct queue *q, struct job *j);
void times_of_wait(struct queue *q, struct wait *w);
void times_of_lease(struct queue *q, struct lease *l);
void times_arm_lease(const struct queue *q, struct lease *l);    /* when it ends, if nobody is heard of */
bool times_wait(struct queue *q, struct job *j, uint32_t index); /* its backoff begins; false: no memory for it */
void times_wait_end(struct queue *q, struct wait *w);            /* the item is in no chain yet */

/* queue_devices.c */
/* The device of a READY; its own when it names none, but bytes; NULL: no bytes. */
int device_use(struct queue *q, const struct message_ready *m, struct device **out) MUST_USE;
void device_release(struct queue *q, struct device *d);
void device_join(struct queue *q, struct worker *w, struct device *d, uint64_t bytes); /* takes over a device_use */
void device_leave(struct queue *q, struct worker *w);
uint32_t device_fits(const struct worker *w, const struct job *j, uint32_t most); /* items that can be booked */
void device_book(struct lease *l);
void device_free(struct lease *l);

/* queue_kinds.c */
struct kind *kind_use(struct queue *q, struct wire_slice name); /* NULL: out of memory, or too many */
void kind_release(struct queue *q, struct kind *k);
int kind_reserve_job(struct queue *q, struct kind *k) MUST_USE;
void kind_update(struct job *j); /* after it may have become, or no longer be, one that can be granted */
bool kind_can_grant(const struct job *j);
bool kind_is_of(const struct kind *k, const struct worker *w);

/* queue_items.c */
int item_reserve_order(struct queue *q, struct job *j, uint32_t outcomes) MUST_USE;
int item_append(struct queue *q, struct job *j, struct wire_list list) MUST_USE;
int item_append_one(struct queue *q, struct job *j, const struct message_item *m) MUST_USE;
void item_chain(struct job *j, uint32_t index); /* a queued one below `fresh`, to wait for the next grant */
int item_keep(struct queue *q, struct job *j, struct item *item, const struct journal_outcome *o) MUST_USE;
int item_save(struct queue *q, struct job *j, struct item *item, const struct journal_checkpoint *c) MUST_USE;
/* The most progress of any checkpoint of it; 0: none. */
double item_saved_most(const struct item *item);
void item_spec(const struct item *item, struct message_item *out);
void item_outcome(const struct item *item, struct journal_outcome *out); /* its slices */
int item_state(const struct job *j, const struct item *item);
void item_unlease(struct queue *q, struct item *item);               /* the lease ends; the caller sets the state */
void item_requeue(struct queue *q, struct job *j, uint32_t index);   /* leased, just unleased, or dead -> queued */
void item_try_later(struct queue *q, struct job *j, uint32_t index); /* leased -> queued, after its backoff */
int item_end(struct queue *q, struct job *j, uint32_t index, const struct journal_outcome *o) MUST_USE;
void item_end_silently(struct queue *q, struct job *j, uint32_t index, enum failure_class failure,
                       const char *text);              /* dead; without memory for the text it goes without */
void item_give_back(struct queue *q, struct lease *l); /* without counting the attempt */
void item_lapse(struct queue *q, struct lease *l);     /* the lease is over; the attempt counts */

/* queue_waves.c: of a job with waves, `fresh` and the chains only have items of the open one to give. */
uint64_t wave_end(const struct job *j);             /* first index that is not open */
bool wave_has_fresh(const struct job *j);           /* an open item that was never granted */
void wave_item_over(struct job *j, uint32_t index); /* it has just ended: the next wave may open */
void wave_begin(struct job *j);                     /* finds the open wave, and fills the chains anew */

/* queue_grant.c */
void lease_begin(struct queue *q, struct worker *w, struct job *j, uint32_t index, struct lease *l); /* reserved */
void grant_all(struct queue *q); /* queued items to the workers that wait for them; once, after each event */

/* queue_workers.c */
struct worker *worker_find(const struct queue *q, uint64_t id);
struct worker *worker_of(struct queue *q, const struct queue_event *e); /* who lives on by it; NULL: refused */
int worker_past(struct queue *q, struct worker **out) MUST_USE;         /* one that stands for all before a restart */
void worker_unpark(struct queue *q, struct worker *w);
void worker_gone(struct queue *q, struct worker *w, bool give_back);
void worker_destroy(struct queue *q, struct worker *w);
int worker_ready(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_take(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_leave(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_lost(struct queue *q, const struct queue_event *e) MUST_USE;
int worker_heard(struct queue *q, const struct queue_event *e) MUST_USE;

/* queue_reports.c */
struct lease *lease_of(const struct queue *q, uint64_t token);
int report_beat(struct queue *q, const struct queue_event *e) MUST_USE;
int report_outcomes(struct queue *q, const struct queue_event *e) MUST_USE;
int report_checkpoint(struct queue *q, const struct queue_event *e) MUST_USE;
int report_return(struct queue *q, const struct queue_event *e) MUST_USE;

/* queue.c */
void queue_record(struct queue *q, const struct journal_record *r);

#endif
