/* arena - bump allocator over one caller-owned block: scratch memory of operations, freed all at once.
 *
 *   ownership    arena_init borrows the block; arena_create owns one; pointers are valid until the mark is reset
 *   alignment    every allocation starts on 64 bytes
 *   errors       STATUS_NOMEM when the block is full, or at the Nth call when a test asked for it
 *   threads      one thread at a time */
#ifndef ARENA_H
#define ARENA_H
#include "status.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct arena {
    unsigned char *base;
    size_t bytes;
    size_t used;
    size_t high;       /* largest `used` so far */
    long fail_at;      /* tests: the call that fails, counted from 1; 0 never */
    long calls;        /* allocations so far */
    unsigned char own; /* base came from arena_create */
};

enum { ARENA_ALIGN = 64 };

void arena_init(struct arena *a, void *block, size_t bytes);
int arena_create(struct arena *a, size_t bytes) MUST_USE;
void arena_destroy(struct arena *a);

/* What an allocation takes of the block. */
static inline size_t arena_round(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

int arena_alloc(struct arena *a, size_t bytes, void *out) MUST_USE; /* out: pointer to the pointer to set */
size_t arena_mark(const struct arena *a);
void arena_reset(struct arena *a, size_t mark);

#ifdef __cplusplus
}
#endif
#endif
