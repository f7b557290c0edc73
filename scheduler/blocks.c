#include "blocks.h"

#include <stdbool.h>

enum { SMALLEST = 512, LARGEST = 64 << 10 };

struct block {
    struct block *older;
    size_t used, bytes;
    uint8_t data[];
};

static struct block *block_create(const struct memory *m, size_t bytes)
{
    struct block *block = memory_resize(m, NULL, sizeof *block + bytes);
    if (block) {
        block->bytes = bytes;
        block->used = 0;
        block->older = NULL;
    }
    return block;
}

uint8_t *blocks_take(struct blocks *b, const struct memory *m, size_t bytes)
{
    struct block *block = b->newest;
    if (!block || block->bytes - block->used < bytes) {
        const size_t next = b->next_bytes ? b->next_bytes : SMALLEST;
        const bool alone = bytes > next / 4; /* the one being filled keeps its free end */
        block = block_create(m, alone ? bytes : next - sizeof *block);
        if (!block)
            return NULL;
        if (alone && b->newest) {
            block->older = b->newest->older;
            b->newest->older = block;
        } else {
            block->older = b->newest;
            b->newest = block;
        }
        if (next < LARGEST)
            b->next_bytes = 2 * next;
    }
    uint8_t *at = block->data + block->used;
    block->used += bytes;
    return at;
}

void blocks_free(struct blocks *b, const struct memory *m)
{
    while (b->newest) {
        struct block *older = b->newest->older;
        memory_free(m, b->newest);
        b->newest = older;
    }
    b->next_bytes = 0;
}
