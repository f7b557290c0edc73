/* rundir - the folder RUN of one scheduler: its safety, its lock files, and what an earlier scheduler left in it.
 *
 *   scheduler.lock   held (flock) by the scheduler for its whole life; the first line is its process id, the second
 *                    its epoch. ZeroMQ lets a second bind steal a live ipc path, so nobody binds without this lock.
 *                    The file is never removed: its epoch makes the next scheduler's larger.
 *   start.lock       held by a client from before it looks for a scheduler until it has its WELCOME, and by a
 *                    scheduler that is about to end because nobody is there */
#ifndef RUNDIR_H
#define RUNDIR_H
#include "status.h"

#include <stdint.h>

enum {
    RUNDIR_PATH = 108,      /* the longest address of a Unix socket, with its end */
    RUNDIR_EPOCHS = 1 << 23 /* epochs are below it: what a queue takes */
};

struct rundir {
    char client[RUNDIR_PATH], worker[RUNDIR_PATH]; /* paths of the two sockets */
    int folder;                                    /* descriptors */
    int lock;
    uint64_t epoch;
};

/* Makes the folder (mode 0700) unless it is there, takes the lock, chooses the epoch and removes stale sockets.
 * STATUS_BUSY: another scheduler runs, the message names its process. STATUS_ARGUMENT: the folder is somebody else's,
 * a link, open to others, or its name is too long. STATUS_DAMAGED: the epoch in scheduler.lock cannot be. */
int rundir_open(const char *path, int64_t unix_ms, struct rundir *out) MUST_USE;
int rundir_raise_epoch(struct rundir *r, uint64_t epoch) MUST_USE; /* unless it is that large already */
void rundir_close(struct rundir *r);                               /* keeps the sockets' files */
void rundir_remove_sockets(struct rundir *r);                      /* for a clean end, before rundir_close */

int rundir_start_lock(const struct rundir *r, int *fd) MUST_USE; /* STATUS_BUSY: a client is starting up */
void rundir_start_unlock(int fd);

/* Epoch from wall time, for a folder that remembers none: units of 65,536 ms since 2026-01-01. Stays below 2^23 until
 * the year 2043. */
uint64_t rundir_epoch_at(int64_t unix_ms);

#endif
