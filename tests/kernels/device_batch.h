/* device_batch - what an operation gets, in the memory of its exec, so that one test program serves all backends: on a
 * device copies, between guards there; on the CPU what the test has. What a front has to refuse goes to it as it is. */
#ifndef DEVICE_BATCH_H
#define DEVICE_BATCH_H
#include "ops.h"

struct device_batch {
    struct exec *ex;
    struct device_piece {
        void *memory, *host; /* host NULL: nothing comes back */
        size_t bytes, guard;
    } piece[32];
    int pieces;
};

struct device_batch device_batch(struct exec *ex);

/* A copy of host memory that is only read; NULL of NULL. */
const void *device_in(struct device_batch *b, const void *host, size_t bytes);

/* A copy of host memory that comes back. */
void *device_out(struct device_batch *b, void *host, size_t bytes);

/* The same on 64 bytes, as packed weights are; back: comes back. */
void *device_aligned(struct device_batch *b, void *host, size_t bytes, bool back);

struct ragged device_ragged_in(struct device_batch *b, const struct ragged *host);
struct ragged device_ragged_out(struct device_batch *b, const struct ragged *host);

/* Brings back what comes back, and ends the test where a guard was written; the operation's code, or the wait's. */
int device_done(struct device_batch *b, int code);

#endif
