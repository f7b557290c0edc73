/* client - libwavemill's door to the queue: submit jobs, watch their outcomes, cancel them, from any C program.
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
 *   ownership    what a page gives points into the page, until client_page_release
 *   errors       all calls return STATUS_OK or: STATUS_TIMEOUT (no answer: the scheduler is gone or hangs),
 *                STATUS_NOT_FOUND (no scheduler, no such job), STATUS_BUSY (the scheduler is full), STATUS_CANCELLED
 *                (options.interrupted), STATUS_VERSION, STATUS_FORMAT, STATUS_ARGUMENT, STATUS_NOMEM, STATUS_IO;
 *                status_message() has the reason
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
    volatile sig_atomic_t *interrupted; /* not 0: stop waiting; may be NULL */
};

int client_open(const struct client_options *options, struct client **out) MUST_USE;
void client_close(struct client **c); /* ends the session: jobs with cancel_on_disconnect are cancelled */

struct client_job {
    const char *kind;
    const char *name;
    struct wire_slice params; /* MessagePack map of the kind */
    int64_t priority;         /* -1000 to 1000, larger first */
    uint64_t max_attempts;    /* 0: 3 */
    bool cancel_on_disconnect;
};

struct client_item {
    const char *path; /* absolute */
    struct wire_slice params;
};

int client_submit(struct client *c, const struct client_job *job, uint64_t *id) MUST_USE;

/* Adds items, any number; they are sent in as many messages as needed, and may run before the job is sealed. */
int client_add(struct client *c, uint64_t job, const struct client_item *items, size_t count) MUST_USE;
int client_seal(struct client *c, uint64_t job) MUST_USE;

struct client_page {
    struct wire_list outcomes; /* of struct message_outcome; client_next walks them */
    uint64_t cursor;           /* to ask for next */
    struct message_job job;
    bool over; /* the job has ended and this page reaches its end */
    void *held;
};

/* Outcomes from `cursor` on; waits up to wait_ms for the first. */
int client_watch(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out) MUST_USE;
/* The same, and outcomes have their items' paths: for who did not submit them. */
int client_watch_paths(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms,
                       struct client_page *out) MUST_USE;
bool client_next(struct client_page *page, struct message_outcome *out);
void client_page_release(struct client_page *page);

/* Text members of *out point into the client, until its next call. */
int client_show(struct client *c, uint64_t job, struct message_job *out) MUST_USE;
int client_cancel(struct client *c, uint64_t job, struct message_job *out) MUST_USE;
int client_list(struct client *c, uint64_t after, uint64_t limit, struct message_jobs *out) MUST_USE;
int client_stats(struct client *c, struct message_server *out) MUST_USE;

#endif
