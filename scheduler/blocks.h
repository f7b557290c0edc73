/* blocks - append-only storage for small byte strings of one job, given back all at once.
 *
 *   ownership    what blocks_take returns is valid until blocks_free
 *   limits       blocks grow from 512 bytes to 64 KiB; a larger string has a block of its own
 *   errors       NULL: out of memory, nothing has changed */
#ifndef BLOCKS_H
#define BLOCKS_H
#include "memory.h"

#include <stdint.h>

struct block;

struct blocks {
    struct block *newest; /* the one that is being filled stands first */
    size_t next_bytes;    /* size of the next block; 0: the smallest */
};

uint8_t *blocks_take(struct blocks *b, const struct memory *m, size_t bytes);
void blocks_free(struct blocks *b, const struct memory *m);

#endif
