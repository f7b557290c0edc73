/* client - libwavemill's door to the queue: submit jobs, watch their outcomes, steer them, from any C program.
 *
 *     struct client *c;
 *     uint64_t job;
 *     struct client_page page;
 *     if (client_open(&(struct client_options){.start = true}, &c) == STATUS_OK) {
 *         client_submit(c, &(struct client_job){.kind = "analyze"}, &job);
 *         client_add(c, job, (struct client_item[]){{.path = "/music/a.wav"}}, 1);
 *         client_seal(c, job);
 *         ... client_watch(c, job, cursor, 1000, &page) until page.over, client_next(&page, &outcome) for each ...
 *     }
 *     client_close(&c);
 *
 *   restarts     a scheduler that goes away and comes back is greeted again and asked again, whatever the call was:
 *                SUBMIT has a key, ADD says where it begins, WATCH has a cursor, the rest changes nothing when
 *                repeated; options.restart_ms says for how long
 *   ownership    what a page gives points into the page, until client_page_release; other answers point into the
 *                client, until its next call
 *   errors       STATUS_OK or: STATUS_TIMEOUT (no answer: the scheduler is gone or hangs), STATUS_NOT_FOUND (no
 *                scheduler, no such job), STATUS_BUSY (the scheduler is full), STATUS_CANCELLED
 *                (options.interrupted), STATUS_VERSION, STATUS_FORMAT, STATUS_ARGUMENT (also: not in this state, and
 *                a key that has other content), STATUS_UNSUPPORTED (an older scheduler), STATUS_NOMEM, STATUS_IO;
 *                status_message() has the reason, client_refusal() the scheduler's code
 *   units        *_unix_ms are milliseconds since 1970, other *_ms durations; bytes
 *   threads      one at a time per struct client
 *   protocol     scheduler/PROTOCOL.md; kinds.h has the tables of parameters and results */
#ifndef CLIENT_H
#define CLIENT_H
#include "messages.h"
#include "status.h"

#include <signal.h>

struct client;

struct client_options {
    const char *home;    /* NULL: WAVEMILL_HOME and so on, see paths.h */
    const char *name;    /* shown by the scheduler */
    bool start;          /* start a scheduler with workers when none runs; it ends a second after its last client */
    const char *program; /* with start: the `wavemill` program; NULL: the one beside the running program */
    const char *const
        *serve_options; /* with start: further options for `wavemill serve`, NULL-terminated; may be NULL */
    int64_t timeout_ms; /* for an answer; 0: 10,000 */
    int64_t restart_ms; /* for another scheduler when this one has gone; 0: 10,000, negative: do not wait */
    volatile sig_atomic_t *interrupted; /* not 0: stop waiting; may be NULL */
};

/* Without `start`, a scheduler that was killed is waited for as after a restart; where none was there, it is
 * STATUS_NOT_FOUND at once. */
int client_open(const struct client_options *options, struct client **out) MUST_USE;
void client_close(struct client **c); /* ends the session: jobs with cancel_on_disconnect are cancelled */

/* The ERROR with which the scheduler answered the last call (enum wire_error of messages.h), 0 if it did not. */
enum wire_error client_refusal(const struct client *c);

struct client_job {
    const char *kind;
    const char *name;
    struct wire_slice params; /* MessagePack map of the kind */
    int64_t priority;         /* -1000 to 1000, larger first */
    uint64_t max_attempts;    /* 0: 3 */
    bool cancel_on_disconnect;
    struct wire_slice key;     /* up to 16 bytes: the same key and content give the same job; none: a random one */
    uint64_t start_unix_ms;    /* nothing is begun before; 0: at once */
    uint64_t deadline_unix_ms; /* what is not over by then is dead; 0: none */
    uint64_t backoff_ms;       /* before a second attempt, doubled with each further one; 0: 100 */
    uint64_t attempt_ms;       /* the longest that an attempt may take; 0: no limit */
    uint64_t stall_ms;         /* the longest without progress; 0: no limit */
    uint64_t device_bytes;     /* device memory that one item needs */
    uint64_t wave;             /* so many items at a time, the next when all of these are over; 0: no waves */
};

struct client_item {
    const char *path; /* absolute; with an object only what the item is called */
    struct wire_slice params;
    const uint8_t *object; /* [32] of client_put_file, for workers that cannot read the path; NULL: none */
};

int client_submit(struct client *c, const struct client_job *job, uint64_t *id) MUST_USE;

/* Adds items, any number; they are sent in as many messages as needed, and may run before the job is sealed. */
int client_add(struct client *c, uint64_t job, const struct client_item *items, size_t count) MUST_USE;
int client_seal(struct client *c, uint64_t job) MUST_USE;

/* A job with all its items, sealed: what can be repeated under a key, also by another program. out->known: the key's
 * job was there already. Other content under a key is ERROR_CONFLICT; of items beyond the first message (4,096 items or
 * 768 KiB) only the number is compared. */
int client_submit_items(struct client *c, const struct client_job *job, const struct client_item *items, size_t count,
                        struct message_accepted *out) MUST_USE;
/* Gives a file to the scheduler, where every worker can have it: by the BLAKE2b-256 of its bytes. What is there already
 * is not sent again. It is kept as long as a job names it, and for at least a day. STATUS_ARGUMENT: the scheduler keeps
 * no objects, or others keep sending other bytes under this name. */
int client_put_file(struct client *c, const char *path, uint8_t hash[32]) MUST_USE;

/* Writes an object to fd, from where fd is. STATUS_DAMAGED: what was written is not what the name says. */
int client_get_object(struct client *c, const uint8_t hash[32], int fd) MUST_USE;

struct client_page {
    struct wire_list outcomes; /* of struct message_outcome; client_next walks them */
    uint64_t cursor;           /* to ask for next */
    struct message_job job;
    bool over; /* the job has ended, and there is nothing from the cursor on */
    void *held;
};

/* Outcomes from `cursor` on; waits up to wait_ms for the first. */
int client_watch(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out) MUST_USE;
/* The same, and outcomes have their items' paths: for who did not submit them. */
int client_watch_paths(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms,
                       struct client_page *out) MUST_USE;
/* The same again, without the outcomes of items that are done. */
int client_watch_dead(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms,
                      struct client_page *out) MUST_USE;
bool client_next(struct client_page *page, struct message_outcome *out);
void client_page_release(struct client_page *page);

int client_show(struct client *c, uint64_t job, struct message_job *out) MUST_USE;
int client_cancel(struct client *c, uint64_t job, struct message_job *out) MUST_USE;
int client_pause(struct client *c, uint64_t job, struct message_job *out) MUST_USE; /* leased items go on */
int client_resume(struct client *c, uint64_t job, struct message_job *out) MUST_USE;
int client_priority(struct client *c, uint64_t job, int64_t priority, struct message_job *out) MUST_USE;

/* Queues dead items again: those of `indexes`, or with count = 0 all of the job. */
int client_retry(struct client *c, uint64_t job, const uint64_t *indexes, size_t count,
                 struct message_job *out) MUST_USE;

/* Log lines from `cursor` on (of struct message_line; walk with wire_next), at once. */
int client_logs(struct client *c, uint64_t job, uint64_t cursor, struct message_lines *out) MUST_USE;

/* Zero members: any. */
struct client_filter {
    uint64_t phases; /* bits of enum job_phase */
    const char *kind, *name;
};

/* Jobs after the id `after`, ascending, at most `limit` (0: 100); filter NULL: all. */
int client_list(struct client *c, const struct client_filter *filter, uint64_t after, uint64_t limit,
                struct message_jobs *out) MUST_USE;
int client_stats(struct client *c, struct message_server *out) MUST_USE;

#endif
