/* rig - drives the queue's core by hand: one call makes one event, applies it, and recounts the whole queue. */
#ifndef RIG_H
#define RIG_H
#include "queue.h"

enum { RIG_WALL_MS = 1000000 }; /* wall time minus monotonic time, before any jump */

struct rig {
    struct queue *queue;
    struct queue_actions actions; /* of the last event */
    struct queue_options options;
    int64_t now_ms;
    int64_t wall_jump_ms; /* the wall clock was set by so much */
    bool waits;           /* rig_report does not let the backoff pass */
    bool unchecked;       /* leave out queue_check after each event */
    int code;             /* of the last event */
};

struct rig_job {
    const char *kind; /* NULL: "noop" */
    uint32_t items;
    bool open; /* not sealed */
    int priority;
    uint32_t max_attempts;
    uint64_t session; /* 0: 1 */
    bool cancel_on_disconnect;
    uint32_t path_bytes; /* 0: short ones */
    uint64_t backoff_ms; /* 0: 1 */
    const char *key, *params;
    uint64_t start_unix_ms, deadline_unix_ms;
    uint32_t attempt_ms, stall_ms;
    uint64_t device_bytes;
    uint64_t wave;
};

void rig_open(struct rig *r, const struct queue_options *options); /* NULL: epoch 1, leases of 10,000 ms */
void rig_close(struct rig *r);
int rig_apply(struct rig *r, const struct queue_event *e);

/* The first action of this type that the last event made; NULL: none. */
const struct queue_action *rig_action(const struct rig *r, enum queue_action_type type);
int rig_count(const struct rig *r, enum queue_action_type type);
const struct queue_entry *rig_entry(const struct rig *r, const struct queue_action *a, size_t i);
int rig_refused(const struct rig *r); /* the error of the last event; 0: none */

uint64_t rig_submit(struct rig *r, struct rig_job job); /* the job; 0: refused or out of memory */
int rig_add(struct rig *r, uint64_t job, uint64_t first, uint32_t items, bool sealed); /* error, 0: accepted */
int rig_cancel(struct rig *r, uint64_t job);
int rig_retry(struct rig *r, uint64_t job, const uint64_t *indexes, uint32_t count); /* error; count 0: all */
int rig_control(struct rig *r, enum queue_event_type type, uint64_t job);            /* PAUSE, RESUME: error */
int rig_priority(struct rig *r, uint64_t job, int priority);
int rig_checkpoint(struct rig *r, uint64_t worker, uint64_t token, uint8_t name, double progress); /* verdict */
void rig_session_gone(struct rig *r, uint64_t session);
void rig_tick(struct rig *r, int64_t ms); /* after so many milliseconds */

/* kinds: names apart by blanks. Returns the worker's number. */
uint64_t rig_ready(struct rig *r, uint64_t worker, const char *name, uint64_t pid, const char *kinds,
                   const uint64_t *held, uint32_t held_count);
uint64_t rig_ready_on(struct rig *r, const char *name, uint64_t pid, const char *device, uint64_t bytes); /* for noop */
void rig_take(struct rig *r, uint64_t worker, uint32_t credits);
uint64_t rig_take_one(struct rig *r, uint64_t worker); /* the token; 0: it waits */
void rig_beat(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count, double progress);
int rig_report(struct rig *r, uint64_t worker, uint64_t token, enum failure_class failure,
               uint32_t result_bytes); /* verdict; 0: none */
void rig_return(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count);
void rig_leave(struct rig *r, uint64_t worker);

struct message_job rig_show(const struct rig *r, uint64_t job);

#endif
