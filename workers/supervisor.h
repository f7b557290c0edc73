/* supervisor - one worker: leases items from the scheduler, has its compute child do them, stores and reports.
 *
 * A single loop owns all state. What may block is done by a small pool of threads, what may crash by the child; so
 * the loop always answers the scheduler in time, whatever the files are.
 *
 *   a child that dies   what it had begun is done again, one item at a time, so that a crash is blamed on the right
 *                       one; only that one is reported (CRASH) and costs an attempt
 *   a child that hangs  or outgrows its memory is killed, with the same consequences
 *   a lost scheduler    is waited for: work goes on, and its leases with it. Over tcp only until a beat before they
 *                       end, because there it may be the way that is lost, and somebody else has the items then
 *   its end             (SIGTERM, SIGINT) what runs is finished if that takes no longer than two seconds, the rest is
 *                       given back, with no attempt counted; a second signal ends it at once
 *   errors              STATUS_IO, STATUS_NOMEM at the start; afterwards failures belong to items or are logged */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

struct supervisor_options {
    long place; /* number of whoever starts it again when it dies: with host and device it makes the worker's name */
    const char *worker_socket;      /* ipc:// or tcp:// address of the scheduler; tcp: it may be another machine's */
    const char *home;               /* whose models there are; NULL: only methods without weights */
    const char *features, *objects; /* folders */
    const char *fetched; /* folder of objects of the queue: the scheduler's own, or of those that were fetched */
    const char *compute; /* the child's program */
    int threads;
    const char *device;         /* of the child, by its resolved name; NULL: cpu */
    uint64_t device_bytes;      /* of its memory that jobs may book; 0: unknown */
    uint64_t device_limit;      /* bytes of its memory; 0: what there is */
    size_t memory_bytes;        /* of the child, resident */
    uint64_t store_limit_bytes; /* records and objects above it: the oldest go, down to 90 % of it; 0: no limit */
    uint64_t reserve_bytes;     /* free space below which nothing is stored; 0: 64 MiB */
    int64_t stall_ms;           /* a running item without a sign of life for so long is hung */
};

/* Runs until SIGTERM or SIGINT (0), or until the child cannot be started (STATUS_IO). */
int supervisor_run(const struct supervisor_options *options) MUST_USE;

#endif
