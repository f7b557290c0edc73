/* stems_fetch - stems that came back as objects are written to OUT/MODEL/TRACK/STEM.EXT, as a worker of this machine
 * would have: beside their places first, and under their names when all are whole.
 *
 *   safety       names come from elsewhere: one that is no plain name of a file is refused
 *   errors       STATUS_FORMAT: such a name; STATUS_NOT_FOUND, STATUS_DAMAGED: an object; STATUS_IO: this machine;
 *                those of client.h. Then nothing of it is there */
#ifndef STEMS_FETCH_H
#define STEMS_FETCH_H
#include "cli.h"
#include "hash.h"
#include "methods.h"

/* Are its stems objects? */
bool stems_are_objects(const struct kind_separate_result *r);

/* *folder: OUT/MODEL/TRACK; the caller frees it, also after a failure. */
int stems_fetch(struct client *c, const char *out, const struct kind_separate_result *r, char **folder) MUST_USE;

/* After such a failure the other items go on. */
bool stems_cost_themselves(int code);

/* `separate --upload`: songs go to the scheduler as objects, and stems come back as such. */
struct stems_upload {
    const char *out;   /* absolute */
    struct hash model; /* checksum of the model here */
    bool has_model, told;
};

/* Makes the batch one of uploads. Borrows u and `out`. */
void stems_upload(struct batch *b, struct stems_upload *u, const char *out, const struct method_model *m);

#endif
