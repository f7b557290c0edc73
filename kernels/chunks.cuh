/* chunks - rows of a ragged batch in chunks of equally many values, counted from each row's own beginning: where a row
 * is cut does not depend on its neighbours, and one launch of a block per slot serves all rows, long and short. */
#ifndef CHUNKS_CUH
#define CHUNKS_CUH
#include "device.cuh"

enum { CHUNK_THREADS = 256, CHUNK_VALUES = 64 * CHUNK_THREADS };

/* A batch as kernels take it. */
struct chunks {
    const int64_t *offset;
    int64_t rows, channels;
};

static inline struct chunks chunks_of(const struct ragged *x)
{
    struct chunks k;
    k.offset = x->offset_device;
    k.rows = x->rows;
    k.channels = x->channels;
    return k;
}

/* The slot of a row's first chunk. Rounding leaves some slots empty, and lets no two rows share one. */
static inline HOST_DEVICE int64_t chunks_before(const struct chunks *k, int64_t offset, int64_t row)
{
    return offset * k->channels / CHUNK_VALUES + row;
}

static inline int64_t chunks_slots(const struct chunks *k, const struct ragged *x)
{
    return chunks_before(k, x->total, x->rows);
}

static inline HOST_DEVICE int64_t chunks_count(int64_t values)
{
    return (values + CHUNK_VALUES - 1) / CHUNK_VALUES;
}

struct chunk {
    int64_t row;
    int64_t begin;  /* value of the batch that the row begins with */
    int64_t lo, hi; /* the chunk's values, counted from there; none in a slot that is not filled */
};

static __device__ inline struct chunk chunk_of(const struct chunks *k, int64_t slot)
{
    struct chunk c;
    int64_t lo = 0, hi = k->rows;
    while (hi - lo > 1) {
        const int64_t mid = (lo + hi) / 2;
        if (chunks_before(k, k->offset[mid], mid) <= slot)
            lo = mid;
        else
            hi = mid;
    }
    const int64_t values = (k->offset[lo + 1] - k->offset[lo]) * k->channels;
    c.row = lo;
    c.begin = k->offset[lo] * k->channels;
    c.lo = (slot - chunks_before(k, k->offset[lo], lo)) * CHUNK_VALUES;
    c.hi = c.lo + CHUNK_VALUES < values ? c.lo + CHUNK_VALUES : values;
    return c;
}

#endif
