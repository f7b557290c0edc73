/* tiles - blocks for tiles of consecutive elements of a ragged batch's rows, without a table: row b's tiles begin at
 * slot offset[b] / length + b, which leaves ceil(length of the row / length) slots at least; some stay empty. */
#ifndef TILES_CUH
#define TILES_CUH
#include "device.cuh"

struct tile {
    int64_t row, first; /* element of the row that the tile begins with */
    int64_t count;      /* elements; 0: the block has none */
};

static inline int64_t tile_slots(const struct ragged *r, int64_t length)
{
    return r->total / length + r->rows;
}

static __device__ inline struct tile tile_of(const int64_t *offset, int64_t rows, int64_t length, int64_t slot)
{
    struct tile t;
    int64_t lo = 0, hi = rows;
    while (hi - lo > 1) {
        const int64_t mid = (lo + hi) / 2;
        if (offset[mid] / length + mid <= slot)
            lo = mid;
        else
            hi = mid;
    }
    t.row = lo;
    t.first = (slot - offset[lo] / length - lo) * length;
    const int64_t left = offset[lo + 1] - offset[lo] - t.first;
    t.count = left < 0 ? 0 : left < length ? left : length;
    return t;
}

#endif
