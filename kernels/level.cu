/* level on CUDA: a block per chunk of a row, then a block per row that joins its chunks, both in an order that the
 * row's length alone decides. Values are read once: bound by memory. Sums are in double, as on the CPU. */
#include "level.h"

#include "chunks.cuh"
#include "device.cuh"

enum { WARPS = CHUNK_THREADS / 32 };
#define NOWHERE INT64_MAX /* first_not_finite of what is finite, while minima are taken */

static __device__ inline struct level joined(struct level a, struct level b)
{
    a.sum_squares += b.sum_squares;
    a.sum += b.sum;
    a.peak = b.peak > a.peak ? b.peak : a.peak;
    a.first_not_finite = b.first_not_finite < a.first_not_finite ? b.first_not_finite : a.first_not_finite;
    return a;
}

/* What the block's threads have, for thread 0; part [WARPS] is shared memory. */
static __device__ inline struct level block_joined(struct level l, struct level *part)
{
    for (int d = 16; d > 0; d /= 2) {
        struct level other;
        other.sum_squares = __shfl_xor_sync(0xffffffffu, l.sum_squares, d);
        other.sum = __shfl_xor_sync(0xffffffffu, l.sum, d);
        other.peak = __shfl_xor_sync(0xffffffffu, l.peak, d);
        other.first_not_finite = __shfl_xor_sync(0xffffffffu, l.first_not_finite, d);
        l = joined(l, other);
    }
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = l;
    __syncthreads();
    for (int w = 1; w < WARPS && threadIdx.x == 0; w++)
        l = joined(l, part[w]);
    return l;
}

/* first_not_finite counts the row's values here.
 * occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(CHUNK_THREADS, DEVICE_BLOCKS(CHUNK_THREADS, 6))
    level_chunks(struct chunks k, const float *x, struct level *y)
{
    SHARED(struct level, part, WARPS);
    const struct chunk c = chunk_of(&k, blockIdx.x);
    const int n = c.hi > c.lo ? (int)(c.hi - c.lo) : 0;
    const float *const from = x + c.begin + c.lo;
    double sum = 0, squares = 0;
    int most = 0, bad = CHUNK_VALUES;
#pragma unroll 4
    for (int i = (int)threadIdx.x; i < n; i += CHUNK_THREADS) {
        const float v = from[i];
        const int bits = __float_as_int(v) & 0x7fffffff; /* of magnitudes; their order is that of integers */
        const bool finite = bits < 0x7f800000;
        const double w = finite ? (double)v : 0;
        sum += w;
        squares += w * w;
        most = finite && bits > most ? bits : most;
        bad = !finite && i < bad ? i : bad;
    }
    struct level l = {squares, sum, __int_as_float(most), bad < CHUNK_VALUES ? c.lo + bad : NOWHERE};
    l = block_joined(l, part);
    if (threadIdx.x == 0)
        y[blockIdx.x] = l;
}

/* occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(CHUNK_THREADS, DEVICE_BLOCKS(CHUNK_THREADS, 6))
    level_rows(struct chunks k, const struct piece *piece, const struct level *chunk, struct level *y)
{
    SHARED(struct level, part, WARPS);
    const int64_t b = blockIdx.x, count = chunks_count((k.offset[b + 1] - k.offset[b]) * k.channels);
    const struct level *const from = chunk + chunks_before(&k, k.offset[b], b);
    struct level l = {0, 0, 0, NOWHERE};
    for (int64_t i = threadIdx.x; i < count; i += CHUNK_THREADS)
        l = joined(l, from[i]);
    l = block_joined(l, part);
    if (threadIdx.x)
        return;
    l.first_not_finite =
        l.first_not_finite == NOWHERE ? -1 : piece_of(piece, b).start + l.first_not_finite / k.channels;
    y[b] = l;
}

extern "C" int level_cuda(struct exec *ex, const struct ragged *x, struct level *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct chunks k = chunks_of(x);
    const int64_t slots = chunks_slots(&k, x);
    struct level *part;
    if (x->rows == 0)
        return STATUS_OK;
    const int code = arena_alloc(arena, (size_t)slots * sizeof *part, &part);
    if (code)
        return code;
    LAUNCH(level_chunks, (unsigned)slots, CHUNK_THREADS, 0, device_launch_stream(ex), k, (const float *)x->data, part);
    LAUNCH(level_rows, (unsigned)x->rows, CHUNK_THREADS, 0, device_launch_stream(ex), k, x->piece_device,
           (const struct level *)part, y);
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return device_launched("level");
}
