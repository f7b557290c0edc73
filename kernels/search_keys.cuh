/* search_keys.cuh - scores of a slab of vectors, in one order of summation however many queries there are: chains of
 * multiply-adds over 128 dimensions each, whose sums are added one after the other.
 *
 *   many     64 vectors by 64 queries per block, 16 scores in the registers of a thread
 *   few      a vector per thread and up to eight queries, rows of 32 dimensions copied to shared memory while those
 *            before them are multiplied: every vector is read once, N * D * 4 bytes, which is what there is to wait for
 */
#ifndef SEARCH_KEYS_CUH
#define SEARCH_KEYS_CUH
#include "device.cuh"

enum {
    TILE = 64, /* vectors, and queries, of a block */
    SIDE = 16, /* threads along each of them */
    EACH = TILE / SIDE,
    DEPTH = 16,     /* dimensions in shared memory at once */
    ROW = TILE + 2, /* two rows of 16 dimensions are written without a conflict */
    CHUNK = 128,    /* dimensions whose sum is one chain */
    THREADS = SIDE * SIDE,
    FEW_THREADS = 128, /* vectors of a block that has few queries */
    FEW_DEPTH = 32,
    FEW_ROW = FEW_DEPTH + 2, /* pairs of dimensions of 16 rows lie in different banks */
    FEW_EACH = 8,            /* queries of a thread, at most */
    FEW_MOST = 16            /* queries from which on a tile of 64 is no more work */
};
static_assert((int)CHUNK % FEW_DEPTH == 0 && (int)CHUNK % DEPTH == 0, "chains end where a step does");

struct slab {
    const float *vectors, *queries;
    float *key; /* [queries][stride] */
    int64_t stride;
    int vectors_count, queries_count, dimensions, l2;
};

/* Rows from `first` on, DEPTH dimensions from d on, into to [DEPTH][ROW]; zeros behind the last. */
static __device__ inline void tile_load(const float *from, int first, int count, int dimensions, int d, float *to)
{
    const int at = d + (int)threadIdx.x % DEPTH;
    for (int row = (int)threadIdx.x / DEPTH; row < TILE; row += THREADS / DEPTH) {
        const bool there = first + row < count && at < dimensions;
        to[(int)threadIdx.x % DEPTH * ROW + row] = there ? from[(int64_t)(first + row) * dimensions + at] : 0;
    }
}

static __device__ inline void tile_multiply(const float *x, const float *q, bool l2, float sum[EACH][EACH])
{
    const int tx = (int)threadIdx.x % SIDE, ty = (int)threadIdx.x / SIDE;
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        float left[EACH], right[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            left[i] = x[d * ROW + tx + SIDE * i];
            right[i] = q[d * ROW + ty + SIDE * i];
        }
#pragma unroll
        for (int i = 0; i < EACH; i++)
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                const float gap = left[i] - right[j];
                sum[j][i] = l2 ? fmaf(-gap, gap, sum[j][i]) : fmaf(left[i], right[j], sum[j][i]);
            }
    }
}

/* Keys: the dot product, or the distance negated. occupancy: 3 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 3)) search_keys(struct slab s)
{
    SHARED(float, x, DEPTH *ROW);
    SHARED(float, q, DEPTH *ROW);
    const int v = (int)blockIdx.x * TILE, query = (int)blockIdx.y * TILE;
    const int tx = (int)threadIdx.x % SIDE, ty = (int)threadIdx.x / SIDE;
    float total[EACH][EACH] = {{0}}, sum[EACH][EACH] = {{0}};
    for (int d = 0; d < s.dimensions; d += DEPTH) {
        __syncthreads();
        tile_load(s.vectors, v, s.vectors_count, s.dimensions, d, x);
        tile_load(s.queries, query, s.queries_count, s.dimensions, d, q);
        __syncthreads();
        tile_multiply(x, q, s.l2, sum);
        if ((d + DEPTH) % CHUNK != 0 && d + DEPTH < s.dimensions)
            continue;
#pragma unroll
        for (int i = 0; i < EACH * EACH; i++) {
            total[i / EACH][i % EACH] += sum[i / EACH][i % EACH];
            sum[i / EACH][i % EACH] = 0;
        }
    }
#pragma unroll
    for (int j = 0; j < EACH; j++)
#pragma unroll
        for (int i = 0; i < EACH; i++)
            if (v + tx + SIDE * i < s.vectors_count && query + ty + SIDE * j < s.queries_count)
                s.key[(query + ty + SIDE * j) * s.stride + v + tx + SIDE * i] = total[j][i];
}

/* Rows of FEW_DEPTH dimensions from d on, on their way to shared memory; zeros behind the last. */
static __device__ inline void few_copy(const float *from, int first, int rows, int count, int dimensions, int d,
                                       int row, float *to)
{
    const int lane = (int)threadIdx.x % FEW_DEPTH;
    for (int r = (int)threadIdx.x / FEW_DEPTH; r < rows; r += FEW_THREADS / FEW_DEPTH) {
        if (first + r < count && d + lane < dimensions)
            copy_async(&to[r * row + lane], &from[(int64_t)(first + r) * dimensions + d + lane], 4);
        else
            to[r * row + lane] = 0;
    }
}

template <int QUERIES>
static __device__ inline void few_multiply(const float *x, const float *q, bool l2, float sum[QUERIES])
{
#pragma unroll
    for (int d = 0; d < FEW_DEPTH; d += 2) {
        const float2 left = load2(&x[(int)threadIdx.x * FEW_ROW + d]);
#pragma unroll
        for (int j = 0; j < QUERIES; j++) {
            const float2 right = load2(&q[j * FEW_DEPTH + d]);
            const float gap = left.x - right.x, next = left.y - right.y;
            sum[j] = l2 ? fmaf(-gap, gap, sum[j]) : fmaf(left.x, right.x, sum[j]);
            sum[j] = l2 ? fmaf(-next, next, sum[j]) : fmaf(left.y, right.y, sum[j]);
        }
        if (d % 8 == 6)
            DEVICE_KEEP_ORDER();
    }
}

/* Keys of up to QUERIES queries per block. occupancy: 6 blocks of 128 threads */
template <int QUERIES>
static __global__ void __launch_bounds__(FEW_THREADS, DEVICE_BLOCKS(FEW_THREADS, 6)) search_keys_few(struct slab s)
{
    SHARED(float, x, 2 * FEW_THREADS * FEW_ROW);
    SHARED(float, q, 2 * QUERIES * FEW_DEPTH);
    const int v = (int)blockIdx.x * FEW_THREADS, query = (int)blockIdx.y * QUERIES;
    float total[QUERIES] = {0}, sum[QUERIES] = {0};
    few_copy(s.vectors, v, FEW_THREADS, s.vectors_count, s.dimensions, 0, FEW_ROW, x);
    few_copy(s.queries, query, QUERIES, s.queries_count, s.dimensions, 0, FEW_DEPTH, q);
    copy_async_commit();
    for (int d = 0, half = 0; d < s.dimensions; d += FEW_DEPTH, half ^= 1) {
        const int next = d + FEW_DEPTH, other = half ^ 1;
        if (next < s.dimensions) {
            few_copy(s.vectors, v, FEW_THREADS, s.vectors_count, s.dimensions, next, FEW_ROW,
                     x + other * FEW_THREADS * FEW_ROW);
            few_copy(s.queries, query, QUERIES, s.queries_count, s.dimensions, next, FEW_DEPTH,
                     q + other * QUERIES * FEW_DEPTH);
        }
        copy_async_commit(); /* an empty group where nothing is left, so that one may always be on its way */
        copy_async_wait(1);
        __syncthreads();
        few_multiply<QUERIES>(x + half * FEW_THREADS * FEW_ROW, q + half * QUERIES * FEW_DEPTH, s.l2, sum);
        __syncthreads();
        if (next % CHUNK != 0 && next < s.dimensions)
            continue;
#pragma unroll
        for (int j = 0; j < QUERIES; j++) {
            total[j] += sum[j];
            sum[j] = 0;
        }
    }
    const int at = v + (int)threadIdx.x;
#pragma unroll
    for (int j = 0; j < QUERIES; j++)
        if (at < s.vectors_count && query + j < s.queries_count)
            s.key[(query + j) * s.stride + at] = total[j];
}

/* All keys of a slab; what is left over of whole tiles of queries may be few. */
static void keys_launch(cudaStream_t stream, const struct slab *s)
{
    const int over = s->queries_count % TILE, few = over <= FEW_MOST ? over : 0, many = s->queries_count - few;
    const unsigned blocks = (unsigned)((s->vectors_count + FEW_THREADS - 1) / FEW_THREADS);
    struct slab part = *s;
    part.queries_count = many;
    if (many > 0)
        LAUNCH(search_keys,
               dim3((unsigned)((s->vectors_count + TILE - 1) / TILE), (unsigned)((many + TILE - 1) / TILE)), THREADS, 0,
               stream, part);
    part.queries += (int64_t)many * s->dimensions;
    part.key += many * s->stride;
    part.queries_count = few;
    if (few > 4)
        LAUNCH(search_keys_few<FEW_EACH>, dim3(blocks, (unsigned)(few + FEW_EACH - 1) / FEW_EACH), FEW_THREADS, 0,
               stream, part);
    else if (few > 2)
        LAUNCH(search_keys_few<4>, blocks, FEW_THREADS, 0, stream, part);
    else if (few > 1)
        LAUNCH(search_keys_few<2>, blocks, FEW_THREADS, 0, stream, part);
    else if (few > 0)
        LAUNCH(search_keys_few<1>, blocks, FEW_THREADS, 0, stream, part);
}

#endif
