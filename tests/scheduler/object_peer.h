/* object_peer - puts objects into a broker of the test's own, which keeps them in the folder "objects". */
#ifndef OBJECT_PEER_H
#define OBJECT_PEER_H
#include "hash.h"
#include "peer.h"

#include <stdbool.h>

uint8_t *object_noise(size_t bytes, uint64_t seed, struct hash *name); /* and its name; the caller frees it */

/* One PUT: the answer's offset, and in *whole (or NULL) whether all of it is there; or minus the ERROR's code. */
int64_t object_put(struct peer_end *p, const struct hash *name, uint64_t size, uint64_t offset, const void *data,
                   size_t bytes, bool *whole);
int64_t object_ask(struct peer_end *p, const struct hash *name, uint64_t size, bool *whole); /* without bytes */

bool object_put_all(struct peer_end *p, const struct hash *name, const uint8_t *data, size_t size);

void object_path(const struct hash *name, char path[256]); /* where the broker keeps it */

#endif
