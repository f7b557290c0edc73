/* start - finds the scheduler of a home, or starts one. Room-internal.
 *
 * RUN/scheduler.lock is held by a living scheduler; RUN/start.lock by whoever is between looking for one and having its
 * WELCOME, and by a scheduler that is about to end. So of many clients that begin at once one starts a scheduler, and
 * none finds one that is closing. */
#ifndef START_H
#define START_H
#include "client.h"
#include "paths.h"

/* Takes RUN/start.lock, waiting up to timeout_ms. *fd is to be closed once WELCOME has come. */
int start_lock(const struct paths *paths, const struct client_options *options, int64_t timeout_ms, int *fd) MUST_USE;

/* Does a scheduler hold its lock? */
bool start_is_running(const struct paths *paths);

/* Starts `wavemill serve --linger-ms`, detached, and waits until its sockets are bound. Call with start.lock held.
 * Where another process was quicker its scheduler is waited for, and if that ends instead, one is started again. */
int start_serve(const struct paths *paths, const struct client_options *options, int64_t timeout_ms) MUST_USE;

#endif
