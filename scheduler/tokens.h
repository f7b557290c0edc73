/* tokens - finds the item that a token was granted for: open addressing, linear probing, removal without tombstones.
 *
 *   limits    at most four fifths full; 24 bytes a place; token 0 is not a token
 *   errors    STATUS_NOMEM, the table is then unchanged; after tokens_reserve(n) the next n puts cannot fail */
#ifndef TOKENS_H
#define TOKENS_H
#include "memory.h"
#include "status.h"

#include <stdint.h>

struct token_place {
    uint64_t token; /* 0: empty */
    void *job;
    uint32_t index;
};

struct tokens {
    const struct memory *memory;
    struct token_place *places;
    size_t count, capacity; /* capacity is a power of two, or 0 */
};

int tokens_reserve(struct tokens *t, size_t more) MUST_USE;
void tokens_put(struct tokens *t, uint64_t token, void *job, uint32_t index);  /* reserved before */
const struct token_place *tokens_find(const struct tokens *t, uint64_t token); /* NULL: unknown */
void tokens_remove(struct tokens *t, uint64_t token);                          /* an unknown one is ignored */
void tokens_free(struct tokens *t);

#endif
