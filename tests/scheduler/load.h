/* load - a queue on the real journal that does a bit of everything, by seed, with a second journal that follows it
 * (tests/sim/disk.h): what that one says is what the real one must hold. */
#ifndef LOAD_H
#define LOAD_H
#include "disk.h"
#include "journal_lmdb.h"
#include "rig.h"

enum { LOAD_HELD = 32, LOAD_EPOCH = 5 };

struct both {               /* both journals in one; load is the real one's */
    struct journal journal; /* must stand first */
    struct journal *real;
    struct disk disk;
};

struct load {
    struct journal_lmdb *lmdb;
    struct both both;
    struct rig rig;
    uint64_t random, worker, job, items, newest; /* newest: token */
    uint64_t held[LOAD_HELD];
    uint32_t held_count;
    bool open; /* the last job is not sealed */
};

/* Opens the journal, and a queue of what it kept; false: that failed. `followed`: the second journal has all of it, for
 * it was there from the first group on. */
bool load_open(struct load *l, const char *folder, uint64_t seed, bool followed);
void load_close(struct load *l); /* after a failure, too */

void load_events(struct load *l); /* a few */
void load_submit(struct load *l);
void load_take(struct load *l);
void load_hour(struct load *l); /* finished jobs are removed, and what is held lapses */
int load_commit(struct load *l);

#endif
