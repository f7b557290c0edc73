/* network - the rows of ops.h that networks are made of, on what a separation network has of one segment of a signal:
 * 7.8 s are 336 frames of 2,048 bins, the first encoder's 512 x 48 channels, and 2,688 tokens of 512.
 *
 *   ownership    a network owns its memory, all of it touched before anything is timed; on a device it is there
 *   errors       STATUS_UNSUPPORTED: the row has no twin on this backend; STATUS_ARGUMENT: no such case */
#ifndef NETWORK_H
#define NETWORK_H
#include "ops.h"

enum { NETWORK_FRAME = 1024, NETWORK_FRAMES_MOST = 336 };

struct network;
int network_open(struct network **out, struct exec *ex, const char *name, int64_t samples) MUST_USE;
void network_close(struct network **n);
int network_run(struct network *n) MUST_USE;

const char *network_name(int i); /* of the cases; NULL behind the last */

/* The result, to the host; waits for it. */
size_t network_result_bytes(const struct network *n);
int network_read(struct network *n, void *out) MUST_USE;

/* What the equations ask for, a multiply-add counted as two; and what is read and written once, weights included. */
double network_flops(const struct network *n);
double network_bytes(const struct network *n);

#endif
