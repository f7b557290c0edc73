/* pool - a few threads for what may block (disk, hashing, the store), so that the supervisor's loop never does.
 *
 * A piece of work is embedded in its owner's struct. pool_submit hands it over; `run` is called on a pool thread; then
 * it is given back through pool_finished on the thread of the loop, whose eventfd becomes readable. Order is kept per
 * thread only. */
#ifndef POOL_H
#define POOL_H
#include "status.h"

struct pool;

struct pool_work {
    void (*run)(struct pool_work *w);
    struct pool_work *next;
};

int pool_create(int threads, struct pool **out) MUST_USE;
void pool_destroy(struct pool **p); /* finishes what was submitted */

int pool_event_fd(const struct pool *p);
void pool_submit(struct pool *p, struct pool_work *w);

/* One finished piece of work, or NULL. */
struct pool_work *pool_finished(struct pool *p);

#endif
