/* sweep_end - what comes of a sweep (sweep_layout.h), when its rounds are over: trials are ranked by their records,
 * into sweep.json, and the folders of the best go to the library.
 *
 *   again        whatever it was interrupted by, it may be done again: a trial's folder that has gone became a model
 *   errors       STATUS_ARGUMENT: nothing came to the end (the table is there then), or there is another model of the
 *                name; STATUS_NOT_FOUND: neither a trial's folder nor its model is there; STATUS_IO, STATUS_NOMEM */
#ifndef SWEEP_END_H
#define SWEEP_END_H
#include "halving.h"

struct sweep_end {
    const char *folder, *model; /* model: the best one's folder; of several with -1, -2 .. behind it */
    int64_t keep;               /* 0: one */
    struct halving h;
};

/* `token` tells apart who writes; models: so many were made. */
int sweep_end(const struct sweep_end *s, uint64_t token, int64_t *models) MUST_USE;

#endif
