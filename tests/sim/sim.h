/* sim - the queue's real core in a world of clients, workers, a clock and a network that a seed makes, with a shadow of
 * every job that knows nothing but the journal's records and checks the core after every event. */
#ifndef SIM_H
#define SIM_H
#include "queue.h"

#include <stdbool.h>

enum {
    SIM_WORKERS = 5,
    SIM_CLIENTS = 3,
    SIM_HELD = 16,    /* tokens that a worker knows of */
    SIM_JOBS = 8,     /* jobs that a client follows */
    SIM_FLIGHT = 256, /* messages under way */
    SIM_LEASE_MS = 1000,
    SIM_CRASHED = 3
};

/* ---- the shadow ---- */

struct shadow_item {
    int state; /* enum item_state */
    uint32_t attempts;
    uint64_t token; /* the newest */
    uint64_t owner; /* worker of the lease */
    int64_t until_ms;
    uint64_t crashed[SIM_CRASHED];
    uint64_t result; /* the token that its result names */
    int failure;
    bool settled; /* the newest token ended by a report */
};

struct shadow_job {
    uint64_t id;
    int state, kind, priority;
    uint32_t max_attempts, count, outcomes;
    struct shadow_item *items;
    uint32_t *order;
};

struct shadow_worker {
    uint64_t id;      /* 0: free */
    int kinds;        /* bits */
    uint32_t credits; /* of a waiting TAKE */
    int64_t heard_ms;
    int actor;    /* its name */
    uint64_t pid; /* of its process */
};

struct shadow {
    struct journal journal; /* must stand first */
    struct shadow_job *jobs;
    size_t count, capacity;
    struct shadow_worker workers[64];
    uint64_t last_token;
    uint64_t records;
    bool fail_next; /* the next commit */
    /* The event that is being applied: */
    enum queue_event_type event;
    uint64_t from;
    int64_t now_ms;
};

void shadow_init(struct shadow *s, uint64_t epoch);
void shadow_free(struct shadow *s);
struct shadow_job *shadow_find(struct shadow *s, uint64_t job);
struct shadow_item *shadow_token(struct shadow *s, uint64_t token); /* whose newest it is; NULL: none */
struct shadow_worker *shadow_worker(struct shadow *s, uint64_t id);
int shadow_verdict(struct shadow *s, uint64_t token); /* what a report of it must be answered with */

/* After an event: the actions obey the rules, and the core agrees with the shadow. */
void shadow_actions(struct shadow *s, const struct queue_actions *a);
void shadow_compare(struct shadow *s, const struct queue *q);
void shadow_time(struct shadow *s, const struct queue *q); /* after a tick */

/* ---- the world ---- */

enum sim_type {
    SIM_READY,
    SIM_TAKE,
    SIM_BEAT,
    SIM_REPORT,
    SIM_RETURN,
    SIM_LEAVE,
    SIM_SUBMIT,
    SIM_ADD,
    SIM_CANCEL,
    SIM_GONE,
    /* from the scheduler */
    SIM_ENGAGED,
    SIM_GRANT,
    SIM_VERDICTS,
    SIM_COMMITS,
    SIM_REFUSED,
    SIM_ACCEPTED
};

struct sim_message {
    enum sim_type type;
    int actor;     /* worker or client */
    uint64_t link; /* the connection it came or goes over */
    int64_t at_ms; /* arrives */
    uint32_t count;
    uint64_t tokens[SIM_HELD];
    int values[SIM_HELD]; /* failures, verdicts */
    uint64_t job, first;
    int kind, priority, max_attempts;
    bool sealed, fragile; /* fragile: cancel_on_disconnect */
};

struct sim_worker {
    bool alive;
    uint64_t link;   /* connection; a new one after each death */
    uint64_t number; /* as the worker knows it; 0: not engaged */
    uint64_t pid;    /* a new one when it died and remembers nothing */
    int kinds;
    uint32_t held_count, done_count;
    uint64_t held[SIM_HELD];
    uint64_t done[SIM_HELD]; /* finished, kept until answered */
    int failures[SIM_HELD];
};

struct sim_job {
    uint64_t id; /* 0: none */
    uint64_t sent, cursor;
    uint32_t adding; /* items of the ADD that has no answer yet */
    bool sealing, sealed;
};

struct sim_client {
    uint64_t session;
    struct sim_job jobs[SIM_JOBS];
    int asking;     /* steps since a SUBMIT that has no answer; 0: none */
    uint32_t asked; /* its items */
    bool asked_sealed;
};

struct sim {
    uint64_t random;
    uint64_t seed;
    uint64_t step, events, crashes, commits, grants, stale, duplicates;
    int64_t now_ms;
    bool calm; /* no faults any more */
    bool verbose;
    struct queue *queue;
    struct queue_actions actions;
    struct shadow shadow;
    uint64_t epoch, last_link;
    struct {
        uint64_t link, number;
    } bound[64]; /* what the scheduler knows of connections */
    struct sim_worker workers[SIM_WORKERS];
    struct sim_client clients[SIM_CLIENTS];
    struct sim_message flight[SIM_FLIGHT];
    uint32_t flight_count;
    struct sim_message outbox[SIM_FLIGHT]; /* answers of the group that is not yet committed */
    uint32_t outbox_count;
};

/* Says what is broken, with seed and step, and ends the program with status 1. */
_Noreturn void sim_broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define EXPECT(condition, ...) \
    do { \
        if (!(condition)) \
            sim_broken(__VA_ARGS__); \
    } while (0)

uint64_t sim_random(struct sim *s, uint64_t below); /* 0 ... below - 1 */
bool sim_chance(struct sim *s, int percent);
void sim_send(struct sim *s, const struct sim_message *m); /* late, twice or not at all */

/* sim_actors.c */
void sim_worker_step(struct sim *s, int w);
void sim_worker_hears(struct sim *s, const struct sim_message *m);
void sim_client_step(struct sim *s, int c);
void sim_client_hears(struct sim *s, const struct sim_message *m);
void sim_forget_all(struct sim *s); /* the scheduler lost its state: clients know it by the new epoch */

/* sim_scheduler.c */
void sim_scheduler_open(struct sim *s);
void sim_scheduler_close(struct sim *s);
void sim_scheduler_group(struct sim *s); /* what has arrived, a tick, the commit, the answers */

#endif
