/* columns - where sums over the positions of an item are cut: by its height, width and channels alone, so that neither
 * threads nor other items change a bit. A block is so many positions, row after row; each channel is summed over a
 * block, then over the blocks of an item, then over items. Room-internal. */
#ifndef COLUMNS_H
#define COLUMNS_H
#include "arena.h"
#include "maps.h"

enum { COLUMNS_VALUES = 8192, COLUMNS_LEAST = 16, COLUMNS_MOST = 1024 }; /* of a block: values; positions */

struct columns {
    int64_t positions, each, blocks; /* of an item; of a block; blocks of an item */
};

static inline struct columns columns_of(const struct maps *x)
{
    struct columns c = {x->height * x->width, COLUMNS_VALUES / x->channels, 0};
    if (c.each < COLUMNS_LEAST)
        c.each = COLUMNS_LEAST;
    if (c.each > COLUMNS_MOST)
        c.each = COLUMNS_MOST;
    c.blocks = (c.positions + c.each - 1) / c.each;
    return c;
}

/* `kinds` sums of each channel of each block, in double. */
static inline size_t columns_bytes(const struct maps *x, int kinds)
{
    const struct columns c = columns_of(x);
    return arena_round((size_t)(x->items * c.blocks * x->channels * kinds) * sizeof(double));
}

#endif
