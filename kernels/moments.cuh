/* moments.cuh - mean and squared differences of whole items, for moments and group_norm on CUDA.
 *
 *   method   values in fours of a row, fours in chunks, a block per chunk: sums in double of what lies beyond the
 *            chunk's first value, and of its square, so that an offset costs nothing. Chunks are joined by their means,
 *            as Chan et al. join two: a sum of means, then of squares about the mean of all
 *   order    where an item is cut follows from height, width and channels alone: neither strides nor alignment nor
 *            other items change a bit */
#ifndef MOMENTS_CUH
#define MOMENTS_CUH
#include "maps.cuh"
#include "moments.h"

enum { MOMENTS_THREADS = 256, MOMENTS_WARPS = MOMENTS_THREADS / 32 };

/* An item's fours: those of a row, the last of which may be short; of all rows; of a chunk. */
struct fours {
    int64_t floats, per_row, all, each, chunks;
};

/* A four: its row, and its number there. */
struct four {
    int64_t row, at;
};

static inline struct fours fours_of(const struct maps *x)
{
    struct fours f;
    f.floats = x->width * x->channels;
    f.per_row = (f.floats + 3) / 4;
    f.all = x->height * f.per_row;
    f.each = MOMENTS_CHUNK / 4;
    while (f.all > f.each * MOMENTS_CHUNKS)
        f.each *= 2;
    f.chunks = (f.all + f.each - 1) / f.each;
    return f;
}

static __device__ inline struct four four_behind(const struct fours *f, struct four from, int64_t steps)
{
    from.at += steps;
    if (from.at >= f->per_row) {
        from.at -= f->per_row;
        from.row++;
        if (from.at >= f->per_row)
            from.row += divided(from.at, f->per_row, &from.at);
    }
    return from;
}

/* Values of an item before its four `n`. */
static __device__ inline int64_t values_before(const struct fours *f, int64_t n)
{
    int64_t at;
    if (f->floats % 4 == 0)
        return 4 * n;
    const int64_t row = divided(n, f->per_row, &at);
    return row * f->floats + 4 * at;
}

static __device__ inline int64_t chunk_end(const struct fours *f, int64_t chunk)
{
    return (chunk + 1) * f->each < f->all ? (chunk + 1) * f->each : f->all;
}

/* Values of a chunk: a row's last four may be short, but none behind it begins before the next row. */
static __device__ inline double chunk_values(const struct fours *f, int64_t chunk)
{
    return (double)(values_before(f, chunk_end(f, chunk)) - values_before(f, chunk * f->each));
}

/* Of all threads, for all of them; room [MOMENTS_WARPS] is shared memory. */
static __device__ inline double block_sum(double v, double *room)
{
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        room[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
    for (int w = 0; w < MOMENTS_WARPS; w++)
        v += room[w];
    return v;
}

/* An item's mean, and the sum of its squared differences from it; mean, squares [chunks] of the item. */
static __device__ inline double item_joined(const struct fours *f, const double *mean, const double *squares,
                                            double values, double *room, double *item_mean)
{
    double sum = 0, spread = 0;
    for (int64_t i = threadIdx.x; i < f->chunks; i += MOMENTS_THREADS)
        sum += mean[i] * chunk_values(f, i);
    const double all = block_sum(sum, room) / values;
    for (int64_t i = threadIdx.x; i < f->chunks; i += MOMENTS_THREADS)
        spread += squares[i] + chunk_values(f, i) * (mean[i] - all) * (mean[i] - all);
    spread = block_sum(spread, room);
    *item_mean = all;
    return spread < 0 ? 0 : spread; /* NaN stays */
}

/* mean and squares [items][chunks] of x. */
void moments_chunks_launch(struct exec *ex, const struct maps *x, const struct fours *f, double *mean, double *squares);

#endif
