/* sweep_warnings - what the trainings of a sweep warn of while somebody waits, on stderr, each by its item's name.
 *
 *   which        lines of level warn in the job's log: "wavemill sweep: NAME: TEXT". All of them, also repeated ones: who
 *                steps back or begins anew is to be known by name
 *   lost         the scheduler keeps the last 64 KiB of a job's lines: how many went unread is said
 *   errors       those of client_logs */
#ifndef SWEEP_WARNINGS_H
#define SWEEP_WARNINGS_H
#include "client.h"

struct sweep_warnings {
    uint64_t cursor; /* of the lines that were read */
};

/* Those since the last time. names: [count], of the items. */
int sweep_warnings_show(struct sweep_warnings *w, struct client *c, uint64_t job, char *const *names,
                        size_t count) MUST_USE;

#endif
