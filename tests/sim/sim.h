/* sim - the queue's real core in a world that a seed makes: clients, workers, a network, two clocks, a disk, and a
 * scheduler that crashes. Three things watch it, each from another side:
 *
 *   shadow       follows the journal's records, event by event: the rules of PROTOCOL.md (sim_shadow*.c)
 *   ledger       follows what was promised to clients and workers: no restart takes it back (sim_ledger.c)
 *   disk         is loaded into a second queue now and then, which must equal the one in memory (sim_audit.c)
 *
 * To add a message: a type here, its name in sim.c, who says it (a row in the tables of sim_workers.c or
 * sim_clients.c), its event in sim_events.c, and its rule in the shadow. To add a fault: a row in sim.c. */
#ifndef SIM_H
#define SIM_H
#include "disk.h"
#include "queue.h"

#include <stdbool.h>

enum {
    SIM_WORKERS = 5,
    SIM_CLIENTS = 3,
    SIM_ACTORS = SIM_WORKERS + SIM_CLIENTS, /* workers first */
    SIM_HELD = 16,                          /* tokens that a worker knows of */
    SIM_JOBS = 8,                           /* jobs that a client follows */
    SIM_FLIGHT = 256,                       /* messages under way */
    SIM_GROUP = 64,                         /* events of a group, and those of time */
    SIM_BOUND = 64,                         /* workers and sessions that the scheduler knows */
    SIM_LEASE_MS = 1000,
    SIM_BEAT_MS = 150,
    SIM_SESSION_MS = 3000,
    SIM_CRASHED = 3,
    SIM_RESULT = 256, /* bytes, at most */
    SIM_DEVICE = 100, /* bytes of each device */
    SIM_DEVICES = 4,
    SIM_DEFER_MS = 150,     /* a group that can wait is committed so much later, at most */
    SIM_RECHECK_MS = 60000, /* a start or deadline is looked at so often, at least: wall time jumps */
    SIM_INDEXES = 64        /* items of a job, at most */
};

/* ---- the shadow ---- */

struct shadow_item {
    uint64_t job;
    int state; /* enum item_state */
    uint32_t attempts;
    uint64_t token; /* the newest */
    uint64_t owner; /* worker of the lease */
    int64_t until_ms;
    uint64_t crashed[SIM_CRASHED];
    uint64_t result; /* the token that its result names */
    int failure;
    bool settled;                        /* the newest token ended by a report */
    int64_t begun_ms, moved_ms;          /* of the lease: when its progress last grew */
    int progress;                        /* in percent */
    double saved_most;                   /* the most progress of its checkpoints */
    bool saved;                          /* there is one */
    bool gained;                         /* the last of them was further than all before */
    int64_t not_before_ms, not_after_ms; /* when its backoff ends; 0: it has none */
    uint64_t failed_in;                  /* event in which the backoff began */
    bool told;                           /* while loading: it was granted or queued after its outcomes */
};

struct shadow_job {
    uint64_t id, session;
    int state, kind, priority;
    bool fragile; /* cancel_on_disconnect */
    uint32_t max_attempts, count, outcomes;
    int64_t finished_ms;
    uint64_t finished_in; /* event */
    struct shadow_item *items;
    uint32_t *order;           /* indexes, with SHADOW_RETRIED */
    uint64_t attempts, params; /* params: their bytes, as one number */
    uint64_t start_unix_ms, deadline_unix_ms, device_bytes, wave;
    int64_t backoff_ms, attempt_ms, stall_ms;
    int64_t rings_ms;           /* when its start or deadline is looked at */
    bool paused, early, missed; /* missed: a tick has seen the deadline */
};

#define SHADOW_RETRIED (UINT32_C(1) << 31)

struct shadow_worker {
    uint64_t id;      /* 0: free */
    int kinds;        /* bits */
    uint32_t credits; /* of a waiting TAKE */
    bool urgent;      /* of it: only what is more important than `above` */
    int above;
    int64_t heard_ms, heard_least_ms; /* they differ after an event that memory did not allow */
    int actor;                        /* its name; -1: none, it holds the leases of before a restart */
    uint64_t pid;                     /* of its process */
    int device;                       /* 0: none */
};

enum { SHADOW_RESTORE = 1000 }; /* as an event: what the restart itself records */

struct shadow {
    struct journal journal; /* must stand first; in front of the disk */
    struct disk *disk;
    struct shadow_job *jobs;
    size_t count, capacity;
    struct shadow_worker workers[SIM_BOUND];
    uint64_t last_token;
    int64_t last_end_unix_ms;
    bool loading; /* records come from the disk */
    bool starved; /* memory ran out in this event: granting may wait */
    bool blamed;  /* a worker was quarantined since the start */
    uint64_t events;
    int64_t tick_ms; /* the last one */
    /* The event that is being applied: */
    int event;
    uint64_t from, session;
    int device; /* READY */
    int64_t now_ms, unix_ms;
};

void shadow_open(struct shadow *s, struct disk *disk, uint64_t epoch, int64_t now_ms, int64_t unix_ms);
void shadow_free(struct shadow *s);
struct shadow_job *shadow_find(const struct shadow *s, uint64_t job);
struct shadow_item *shadow_token(struct shadow *s, uint64_t token); /* whose newest it is; NULL: none */
struct shadow_worker *shadow_worker(struct shadow *s, uint64_t id);
uint64_t shadow_wave_end(const struct shadow_job *j); /* of the lowest wave with an item that is not over */
int shadow_verdict(struct shadow *s, uint64_t token); /* what a report of it must be answered with */
bool shadow_needs_session(const struct shadow_job *j);
void shadow_put(struct journal *journal, const struct journal_record *r);

/* sim_times.c: what the time does to jobs and leases. */
void shadow_look(struct shadow *s, struct shadow_job *j);                     /* when its time is looked at next */
void shadow_tick(struct shadow *s);                                           /* starts and deadlines that have come */
int64_t shadow_until(const struct shadow *s, const struct shadow_item *item); /* the end of a lease, from now */
bool shadow_took_too_long(const struct shadow *s, const struct shadow_item *item);
void shadow_back_off(struct shadow *s, struct shadow_item *item);
void shadow_no_backoff(struct shadow *s); /* memory ran out in this event: items may not wait */
void shadow_moved(struct shadow *s, uint64_t token, uint64_t worker, int progress);
void shadow_waiting(const struct shadow *s, const struct shadow_job *j, uint64_t waiting);
uint64_t shadow_booked(struct shadow *s, int device);

/* After an event: the actions obey the rules, and the core agrees with the shadow. */
void shadow_actions(struct shadow *s, const struct queue *q, const struct queue_actions *a, size_t first);
void shadow_compare(struct shadow *s, const struct queue *q);
void shadow_time(struct shadow *s, const struct queue *q);      /* after a tick */
void shadow_sessions(const struct shadow *s, uint64_t session); /* which has ended; 0: all without a key */

/* ---- messages ---- */

enum sim_type {
    SIM_READY,
    SIM_TAKE,
    SIM_BEAT,
    SIM_REPORT,
    SIM_RETURN,
    SIM_LEAVE,
    SIM_CHECKPOINT,
    SIM_SUBMIT, /* from here on: of clients */
    SIM_ADD,
    SIM_CANCEL,
    SIM_RETRY,
    SIM_PAUSE,
    SIM_RESUME,
    SIM_PRIORITY,
    SIM_HELLO,
    SIM_BYE,
    SIM_ENGAGED, /* from here on: of the scheduler */
    SIM_GRANT,
    SIM_VERDICTS,
    SIM_COMMITS,
    SIM_SAVED,
    SIM_WELCOME,
    SIM_REFUSED,
    SIM_ACCEPTED,
    SIM_TYPES
};

struct sim_message {
    enum sim_type type;
    int actor;
    uint64_t link; /* the connection it came or goes over */
    uint64_t seq;  /* of the request; 0: unasked */
    int64_t at_ms; /* arrives */
    uint32_t count;
    uint64_t tokens[SIM_HELD];
    uint64_t contents[SIM_HELD]; /* GRANT: what the item is; REPORT: what was computed of it */
    uint32_t attempts[SIM_HELD]; /* GRANT */
    int values[SIM_HELD]; /* failures, verdicts; REFUSED: error, type of the request; BEAT, CHECKPOINT: progress in
                             percent */
    uint64_t job, first, pid;
    uint64_t nonce; /* SUBMIT, ADD: makes the items; CHECKPOINT: the object */
    uint64_t key;   /* SUBMIT, HELLO; 0: none */
    uint64_t start_unix_ms, deadline_unix_ms, backoff_ms, attempt_ms, stall_ms, device_bytes, wave; /* SUBMIT */
    int device;                                                                                     /* READY */
    bool counts;     /* RETRY, PAUSE, RESUME, PRIORITY, once it is applied: it changed something */
    uint64_t chosen; /* RETRY, once it is applied: the dead items that it means, as bits */
    int kind, priority, max_attempts;
    bool sealed, fragile; /* fragile: cancel_on_disconnect */
    bool urgent;          /* TAKE: above `priority` */
};

static inline bool sim_is_answer(const struct sim_message *m)
{
    return m->type >= SIM_ENGAGED;
}

/* ---- the world ---- */

enum sim_fault {
    FAULT_DROP,
    FAULT_DOUBLE,
    FAULT_LATE,
    FAULT_CUT,     /* a partition, one way or both */
    FAULT_WALL,    /* wall time jumps */
    FAULT_STALL,   /* the scheduler stands still, messages wait */
    FAULT_SUSPEND, /* everything stands still */
    FAULT_HOUR,    /* the time of keeping passes */
    FAULT_CRASH,
    FAULT_COMMIT, /* fails */
    FAULT_MEMORY,
    FAULT_GRANTS, /* a group of grants alone is answered, and committed later */
    FAULT_WORKER, /* dies, leaves, reconnects */
    FAULT_WORK,   /* fails */
    FAULT_TOKEN,  /* a worker names another's token */
    FAULT_CLIENT, /* cancels, leaves */
    FAULTS
};

enum sim_crash { /* where the scheduler ends */
                 CRASH_NOT,
                 CRASH_BETWEEN_EVENTS,
                 CRASH_BEFORE_COMMIT,
                 CRASH_IN_COMMIT_BEFORE, /* its group is absent */
                 CRASH_IN_COMMIT_AFTER,  /* its group is there, but nobody hears of it */
                 CRASH_AMID_ANSWERS,
                 CRASH_AFTER_ANSWERS,
                 COMMIT_FAILS_ABSENT,
                 COMMIT_FAILS_PRESENT, /* the disk says no, and yet it is there */
                 CRASHES
};

struct sim_worker {
    bool alive;
    uint64_t link;   /* connection; a new one after each death */
    uint64_t number; /* as the worker knows it; 0: not engaged */
    uint64_t pid;    /* a new one when it died and remembers nothing */
    int device;
    int64_t clean_ms;          /* when it last held no token of a lease that is over */
    int64_t beat_ms, ready_ms; /* when it last said so */
    int kinds;
    uint32_t held_count, done_count;
    uint64_t held[SIM_HELD], held_content[SIM_HELD];
    uint64_t done[SIM_HELD], done_content[SIM_HELD]; /* finished, kept until answered */
    int failures[SIM_HELD];
};

struct sim_job {
    uint64_t id; /* 0: none */
    uint64_t sent, cursor;
    uint32_t adding; /* items of the ADD that has no answer yet */
    uint64_t nonce;  /* of that ADD */
    bool sealing, sealed;
    bool known; /* by its key: an ADD of before may be under way */
};

struct sim_client {
    uint64_t link, session;   /* session: as the client knows it; 0: none */
    uint64_t key;             /* of its session; 0: none */
    struct sim_message asked; /* the last SUBMIT with a key */
    int64_t hello_ms, heard_ms;
    struct sim_job jobs[SIM_JOBS];
    struct sim_message asking; /* SUBMIT without an answer; seq 0: none */
    int64_t asked_ms;
};

struct sim_bound { /* what the scheduler knows of a connection: a worker's or a session's number */
    uint64_t link, number;
    int actor;
    int64_t heard_ms;
};

struct sim_applied { /* an event of the group, and its actions */
    struct sim_message m;
    size_t first, count;
    bool from_actor;
    enum wire_error refused; /* for want of memory, or because there is no session; 0: not */
};

struct sim_memory {
    uint64_t countdown; /* the allocation that fails, and those right after it; 0: none */
    uint64_t failing;
    bool failed;
};

struct sim_ledger;

struct sim {
    uint64_t random, seed, hash;
    bool trace;
    uint64_t step;
    struct {
        uint64_t steps, events, restarts, failed_commits, starved, lost_grants, grants, commits, stale, duplicates,
            audits, controls, retried, checkpoints, resumed, known, conflicts, timeouts;
    } done;
    int intensity[FAULTS];
    int64_t now_ms, unix_offset_ms;
    bool calm; /* no faults any more */
    int64_t calm_ms;
    uint64_t last_link, last_seq, last_nonce;
    struct sim_worker workers[SIM_WORKERS];
    struct sim_client clients[SIM_CLIENTS];
    struct {
        int64_t until_ms;
        bool to, from, hold; /* hold: messages come later instead of being lost */
    } cuts[SIM_ACTORS];
    struct sim_message flight[SIM_FLIGHT];
    uint32_t flight_count;
    struct sim_ledger *ledger;

    /* The scheduler: all but the disk is gone with a crash. */
    struct disk disk;
    struct queue *queue; /* NULL: down */
    int64_t down_until_ms, stalled_until_ms, base_ms;
    bool epoch_repeats; /* the clock was set back over a reboot */
    uint64_t epoch;
    struct shadow shadow;
    struct sim_memory memory;
    struct queue_actions actions;
    struct sim_applied group[SIM_GROUP];
    uint32_t group_count;
    struct sim_bound workers_bound[SIM_BOUND], sessions[SIM_BOUND];
    uint64_t last_session;
    int postponed;
    int64_t commit_by_ms; /* a group waits for its commit; 0: none */
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
bool sim_fault(struct sim *s, enum sim_fault f); /* does it happen now? never while the world is calm */
uint64_t sim_mix(uint64_t hash, uint64_t value);
void sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b, uint64_t c); /* into hash and trace */

/* What item `index` of a SUBMIT or ADD is: deterministic, each one another. Its content stands for all its bytes. */
struct sim_item {
    char path[32];
    uint8_t object[8], params[3];
    struct message_item m;
};
void sim_item(uint64_t nonce, uint64_t index, struct sim_item *out);
uint64_t sim_content(const struct message_item *m);
uint64_t sim_job_content(const struct sim_message *m); /* of a SUBMIT: what its key stands for */
int sim_item_of(const struct queue *q, uint64_t job, uint32_t index, struct message_item *out); /* queue_item */
struct wire_slice sim_result(uint64_t content, uint64_t token, uint8_t out[SIM_RESULT]); /* what is reported of it */
struct wire_slice sim_params(uint64_t nonce, uint8_t out[8]);                            /* a job's */
struct wire_slice sim_object(uint64_t nonce, uint8_t out[LIMIT_OBJECT]);                 /* a checkpoint's; 0: none */
uint64_t sim_bytes(struct wire_slice s);                                                 /* as one number */
uint64_t sim_number(struct wire_slice s);                                                /* of an object: its nonce */

/* sim_net.c */
void sim_send(struct sim *s, const struct sim_message *m);              /* late, twice or not at all */
bool sim_arrived(struct sim *s, bool answers, struct sim_message *out); /* one that has arrived, any of them */
bool sim_waits(const struct sim *s);                                    /* has any message for the scheduler arrived? */
bool sim_is_under_way(const struct sim *s, uint64_t token);
void sim_deliver(struct sim *s, const struct sim_message *m); /* to the worker or client */
void sim_disturb(struct sim *s);                              /* partitions begin and end */
void sim_hang_up(struct sim *s, bool reboot);                 /* the scheduler's end of all connections is gone */
uint64_t sim_new_link(struct sim *s, int actor);

/* sim_workers.c, sim_clients.c */
void sim_worker_step(struct sim *s, int w);
void sim_worker_hears(struct sim *s, const struct sim_message *m);
void sim_worker_hung_up(struct sim *s, int w, bool reboot);
void sim_client_step(struct sim *s, int c);
void sim_client_hears(struct sim *s, const struct sim_message *m);
void sim_client_hung_up(struct sim *s, int c);

/* sim_control.c: what a client says of a job, with the answer that must come. */
int sim_control(struct sim *s, struct sim_message *m, struct queue_event e);

/* sim_events.c: a message becomes an event of the queue, with the shadow's rules around it. */
int sim_apply(struct sim *s, struct queue_event *e); /* STATUS_OK or STATUS_NOMEM */
/* An unasked action from `first` on tells a worker that of the lease. */
bool sim_tells(const struct sim *s, size_t first, uint64_t token, enum lease_verdict verdict);
int sim_event(struct sim *s, struct sim_message *m);
uint64_t sim_number_of(const struct sim_bound *bound, uint64_t link);
struct sim_bound *sim_bound_of(struct sim_bound *bound, uint64_t number);

/* sim_scheduler.c */
int64_t sim_clock_ms(const struct sim *s); /* the scheduler's own */
int64_t sim_unix_ms(const struct sim *s);
void sim_scheduler_open(struct sim *s);
void sim_scheduler_close(struct sim *s);
void sim_scheduler_group(struct sim *s); /* what has arrived, a tick, the commit, the answers */
void sim_crash(struct sim *s, enum sim_crash where);

/* sim_ledger.c */
void ledger_create(struct sim *s);
void ledger_destroy(struct sim *s);
void ledger_group(struct sim *s);                              /* the group is on the disk: from now on it is owed */
void ledger_heard(struct sim *s, const struct sim_message *m); /* an answer has come */
void ledger_lost(struct sim *s);  /* a reboot: nobody remembers a token that is not on the disk */
void ledger_audit(struct sim *s); /* everything that is owed is there, with the same bytes */
void ledger_outcome(struct sim *s, uint64_t job, uint64_t number, const struct message_outcome *m);

/* sim_audit.c */
void audit_disk(struct sim *s);   /* a second queue from the disk equals the one in memory; right after a commit */
void audit_claims(struct sim *s); /* leases are what live workers hold; while the world is calm */

#endif
