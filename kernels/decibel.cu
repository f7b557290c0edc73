/* decibel on CUDA: a block per chunk of a row; for the peak, then a block per row over its chunks. Values are read once
 * (and written once by the clip): bound by memory. */
#include "decibel.h"

#include "chunks.cuh"
#include "device.cuh"

enum { WARPS = CHUNK_THREADS / 32 };

/* The largest of what the block's threads have, for thread 0; part [WARPS] is shared memory. */
static __device__ inline float block_max(float v, float *part)
{
    for (int d = 16; d > 0; d /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, v, d);
        v = other > v ? other : v;
    }
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;
    __syncthreads();
    for (int w = 1; w < WARPS && threadIdx.x == 0; w++)
        v = part[w] > v ? part[w] : v;
    return v;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(CHUNK_THREADS, DEVICE_BLOCKS(CHUNK_THREADS, 8))
    peak_chunks(struct chunks k, const float *x, float *y)
{
    SHARED(float, part, WARPS);
    const struct chunk c = chunk_of(&k, blockIdx.x);
    float most = -INFINITY;
#pragma unroll 4
    for (int64_t i = c.lo + threadIdx.x; i < c.hi; i += CHUNK_THREADS) {
        const float v = x[c.begin + i];
        most = v > most ? v : most; /* false for a NaN */
    }
    most = block_max(most, part);
    if (threadIdx.x == 0)
        y[blockIdx.x] = most;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(CHUNK_THREADS, DEVICE_BLOCKS(CHUNK_THREADS, 8))
    peak_rows(struct chunks k, const float *chunk, float *y)
{
    SHARED(float, part, WARPS);
    const int64_t b = blockIdx.x, count = chunks_count((k.offset[b + 1] - k.offset[b]) * k.channels);
    const float *const from = chunk + chunks_before(&k, k.offset[b], b);
    float most = -INFINITY;
    for (int64_t i = threadIdx.x; i < count; i += CHUNK_THREADS)
        most = from[i] > most ? from[i] : most;
    most = block_max(most, part);
    if (threadIdx.x == 0)
        y[b] = most;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(CHUNK_THREADS, DEVICE_BLOCKS(CHUNK_THREADS, 8))
    clip_chunks(struct chunks k, float *x, const float *floor_db)
{
    const struct chunk c = chunk_of(&k, blockIdx.x);
    const float least = floor_db[c.row];
#pragma unroll 4
    for (int64_t i = c.lo + threadIdx.x; i < c.hi; i += CHUNK_THREADS) {
        const float v = x[c.begin + i];
        x[c.begin + i] = v < least ? least : v;
    }
}

extern "C" int decibel_peak_cuda(struct exec *ex, const struct ragged *x, float *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct chunks k = chunks_of(x);
    const int64_t slots = chunks_slots(&k, x);
    float *part;
    if (x->rows == 0)
        return STATUS_OK;
    const int code = arena_alloc(arena, (size_t)slots * sizeof *part, &part);
    if (code)
        return code;
    LAUNCH(peak_chunks, (unsigned)slots, CHUNK_THREADS, 0, device_launch_stream(ex), k, (const float *)x->data, part);
    LAUNCH(peak_rows, (unsigned)x->rows, CHUNK_THREADS, 0, device_launch_stream(ex), k, (const float *)part, y);
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return device_launched("decibel_peak");
}

extern "C" int decibel_clip_cuda(struct exec *ex, struct ragged *x, const float *floor_db)
{
    const struct chunks k = chunks_of(x);
    if (x->total == 0)
        return STATUS_OK;
    LAUNCH(clip_chunks, (unsigned)chunks_slots(&k, x), CHUNK_THREADS, 0, device_launch_stream(ex), k, (float *)x->data,
           floor_db);
    return device_launched("decibel_clip");
}
