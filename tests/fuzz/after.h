/* after - a queue restored from a journal under test, and what may happen to it then. */
#ifndef AFTER_H
#define AFTER_H
#include "fuzz.h"
#include "queue.h"

/* Restores; checks that the queue refuses, or is whole then and after some events made of the input. True: not refused.
 */
bool after_restore(struct journal *journal, uint64_t epoch, int64_t now_ms, int64_t unix_ms, struct fuzz_input *in);

#endif
