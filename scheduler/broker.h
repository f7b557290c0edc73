/* broker - the sockets around the queue: receives, applies, commits the journal, and only then sends.
 *
 * One turn waits for messages, applies up to 512 events or what comes within a millisecond, lets time pass, commits the
 * group and sends the answers. Nothing that a peer sends ends or blocks it.
 *
 *   threads    one; ZeroMQ's own threads move the bytes
 *   errors     STATUS_IO when the journal refused a group: nothing of the group was sent, and the process must end */
#ifndef BROKER_H
#define BROKER_H
#include "queue.h"

#include <stdbool.h>

struct broker;

struct broker_options {
    const char *run_dir;
    int64_t lease_ms, beat_ms, session_timeout_ms;
    int64_t linger_ms;       /* below 0: stay without clients */
    int stop_fd;             /* ends broker_run when it can be read; below 0: none */
    struct journal *journal; /* NULL: none */
    const char *objects;     /* folder of PUT and GET; NULL: they are refused */
    int64_t object_keep_ms;  /* how long an object that no job names is kept at least */
    int64_t upload_idle_ms;  /* an upload that is silent for so long is dropped */
    const char *listen;      /* tcp:// address, for workers of other machines; NULL: none */
    bool insecure_tcp;       /* listen may be an address that other machines reach */
};

struct broker_counts {
    uint64_t events, bad_messages, groups, sent, unsent;
    uint64_t sessions, workers, watches; /* now */
};

/* Fills what is 0 with the defaults (10,000, 1,000 and 5,000 ms, a day and 5 minutes); takes the lock and binds. Errors
 * as rundir_open; STATUS_ARGUMENT for a listen address that is refused. */
int broker_create(const struct broker_options *options, struct broker **out) MUST_USE;

/* Waits up to wait_ms for something to do and does it; *over is set when the broker should end. */
int broker_turn(struct broker *b, int64_t wait_ms, bool *over) MUST_USE;

int broker_run(struct broker *b) MUST_USE; /* turns until it is over */
void broker_counts(const struct broker *b, struct broker_counts *out);
uint64_t broker_epoch(const struct broker *b);

/* Closes the sockets, removes their files and gives the lock back. */
void broker_destroy(struct broker **b);

#endif
