/* journal - what the queue tells the disk: one record for each change that must outlive the process.
 *
 * The queue puts records while it applies events; the broker commits the group and only then sends what the queue
 * answered. put cannot fail at the place where it is called: a journal that runs into trouble remembers it and says so
 * at the next commit, and at each one after it. Of the group it has then kept nothing or, when the disk failed in the
 * last moment, all: nobody knows before the next load. So the process must end without sending.
 *
 * Persistent records stand here, apart from the queue's own structs, which may change freely. VERSION RULE: a stored
 * record begins with JOURNAL_VERSION. A field is never removed and never changes its meaning; a new one goes to the end
 * of its struct, reads as 0 from older records, and raises JOURNAL_VERSION by one. Type numbers are never used again.
 */
#ifndef JOURNAL_H
#define JOURNAL_H
#include "messages.h"

enum { JOURNAL_VERSION = 3 };

enum journal_type {
    JOURNAL_JOB = 1,        /* a job was submitted; its first items follow */
    JOURNAL_ITEM = 2,       /* an item was added; indexes of a job come in order, without gaps */
    JOURNAL_SEALED = 3,     /* no item will follow */
    JOURNAL_GRANTED = 4,    /* an item was leased under a token; may be lost without harm (the item is queued again) */
    JOURNAL_QUEUED = 5,     /* a leased or dead item is queued again, with the count of attempts it now has */
    JOURNAL_OUTCOME = 6,    /* an item is done or dead; outcomes of a job are numbered from 0 in this order */
    JOURNAL_CANCELLED = 7,  /* the job was cancelled, and all its items that had no outcome */
    JOURNAL_FINISHED = 8,   /* the job is done or cancelled */
    JOURNAL_REMOVED = 9,    /* the job's time of keeping is over; all its records may go */
    JOURNAL_REOPENED = 10,  /* a job that was done is not: dead items of it are tried again; each is told as QUEUED */
    JOURNAL_CONTROL = 11,   /* what was changed of a job after its submission */
    JOURNAL_CHECKPOINT = 12 /* an attempt of an item saved its state */
};

struct journal_job {
    struct wire_slice kind, name, params;
    int64_t priority;
    uint64_t max_attempts;
    uint64_t submitted_unix_ms;
    bool cancel_on_disconnect;
    uint64_t session;
    struct wire_slice key, content; /* idempotency key, and the hash of what was submitted under it */
    uint64_t start_unix_ms, deadline_unix_ms;
    uint64_t backoff_ms, attempt_ms, stall_ms;
    uint64_t device_bytes;
    uint64_t wave;
};

struct journal_outcome {
    uint64_t state; /* ITEM_DONE or ITEM_DEAD */
    uint64_t failure;
    struct wire_slice message, result, log;
};

struct journal_control {
    int64_t priority;
    bool paused;
    uint64_t session;
    uint64_t deadline_unix_ms;
};

struct journal_checkpoint {
    struct wire_slice object;
    double progress;
};

struct journal_record {
    enum journal_type type;
    uint64_t job;
    uint32_t index;    /* ITEM, GRANTED, QUEUED, OUTCOME, CHECKPOINT */
    uint32_t attempts; /* GRANTED, QUEUED, OUTCOME */
    uint64_t token;    /* GRANTED, QUEUED, OUTCOME: the one under which it was leased */
    uint32_t number;   /* OUTCOME: of the job's outcomes, from 0 */
    uint64_t unix_ms;  /* FINISHED */
    union {
        struct journal_job submitted;         /* JOB */
        struct message_item item;             /* ITEM */
        struct journal_outcome outcome;       /* OUTCOME */
        struct journal_control control;       /* CONTROL */
        struct journal_checkpoint checkpoint; /* CHECKPOINT */
    };
};

struct journal_loaded {
    uint64_t jobs;     /* told of */
    uint64_t damaged;  /* left out, and logged */
    uint64_t last_job; /* the largest number that a job ever had */
};

/* Slices in a record are valid during the call only. */
struct journal {
    void (*put)(struct journal *j, const struct journal_record *r);
    int (*commit)(struct journal *j); /* STATUS_OK, or STATUS_IO: see above */

    /* Was something put since the last commit, but only what may be lost without harm? Such a group may be answered
     * first, and committed a little later, together with others. NULL: never. */
    bool (*can_wait)(const struct journal *j);

    /* Tells what was kept, before the first put: job by job in the order of their numbers, and of each JOB, its ITEMs,
     * the last GRANTED or QUEUED that came after an item's outcomes, OUTCOMEs, SEALED, CANCELLED, FINISHED,
     * CHECKPOINTs, CONTROL. NULL: keeps nothing. */
    int (*load)(struct journal *j, int (*each)(void *context, const struct journal_record *r), void *context,
                struct journal_loaded *out);

    bool (*is_full)(struct journal *j); /* take no new jobs or items now; the rest goes on. NULL: never */
};

/* Keeps nothing, but counts; a test can make one commit fail. */
struct journal_memory {
    struct journal journal; /* must stand first */
    uint64_t commits;       /* groups that were committed */
    uint64_t records;       /* records in them */
    uint64_t fail_at;       /* the commit that fails, counted from 1; 0: none */
    uint64_t calls;         /* commits that were tried */
    uint64_t waiting;       /* records since the last commit */
};

void journal_memory_init(struct journal_memory *j);

#endif
