/* rig - drives the queue's core by hand: one call makes one event, applies it, and recounts the whole queue. */
#ifndef RIG_H
#define RIG_H
#include "queue.h"

struct rig {
    struct queue *queue;
    struct queue_actions actions; /* of the last event */
    struct queue_options options;
    int64_t now_ms;
    bool unchecked; /* leave out queue_check after each event */
    int code;       /* of the last event */
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
void rig_session_gone(struct rig *r, uint64_t session);
void rig_tick(struct rig *r, int64_t ms); /* after so many milliseconds */

/* kinds: names apart by blanks. Returns the worker's number. */
uint64_t rig_ready(struct rig *r, uint64_t worker, const char *name, uint64_t pid, const char *kinds,
                   const uint64_t *held, uint32_t held_count);
void rig_take(struct rig *r, uint64_t worker, uint32_t credits);
uint64_t rig_take_one(struct rig *r, uint64_t worker); /* the token; 0: it waits */
void rig_beat(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count, double progress);
int rig_report(struct rig *r, uint64_t worker, uint64_t token, enum failure_class failure,
               uint32_t result_bytes); /* verdict; 0: none */
void rig_return(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count);
void rig_leave(struct rig *r, uint64_t worker);

struct message_job rig_show(const struct rig *r, uint64_t job);

#endif
