/* disk - a journal in simulated storage: it keeps committed groups, forgets what a crash takes, and tells them again in
 * the order that scheduler/journal.h promises. Written from that header alone, so that it can be held against the real
 * one.
 *
 *   a crash      what was put since the last commit is gone; a group that is being committed is there or not, as told
 *   can_wait     while nothing but GRANTED was put: the scheduler may then answer first, and lose it in a crash
 *   memory       its own never runs out: that ends the program */
#ifndef DISK_H
#define DISK_H
#include "journal.h"

#include <stdbool.h>

struct kept { /* a copy of a record; its slices point into bytes */
    struct journal_record r;
    uint8_t bytes[];
};

struct disk_item {
    struct kept *spec, *lease, *checkpoint; /* the two are gone with the outcome */
    int state;                              /* QUEUED, LEASED, or what the newest outcome says */
};

struct disk_job {
    uint64_t id;
    struct kept *job, *sealed, *cancelled, *finished, *control;
    struct disk_item *items;
    struct kept **outcomes;
    uint32_t item_count, outcome_count;
};

struct disk {
    struct journal journal; /* must stand first */
    struct disk_job *jobs;  /* by id */
    size_t count;
    uint64_t last_job;
    struct kept **waiting; /* put since the last commit */
    size_t waiting_count, waiting_capacity;
};

void disk_init(struct disk *d);
void disk_free(struct disk *d);
void disk_drop_group(struct disk *d); /* what was put since the last commit: a crash */

/* A number for all that load tells, in order, with every byte; equal for equal journals. */
uint64_t journal_picture(struct journal *j, struct journal_loaded *out);

#endif
