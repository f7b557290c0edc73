/* search on CUDA: the scores of a slab of vectors go to device memory, then the best of every 2,048 are kept, again and
 * again until k are left.
 *
 *   method   scores: 64 vectors by 64 queries per block, 16 of them in the registers of a thread, one chain of
 *            multiply-adds per 128 dimensions. Order: a candidate is one integer, its score's order in front and its
 *            index turned round behind, so that the largest is the best and no two are equal: what is kept does not
 *            depend on who is compared with whom
 *   memory   rows are read 64 bytes at a time, two to a warp: a third sector of each where rows begin within one. Banks
 *            take 1.6 passes per access of the sort, whose pairs of neighbours lie two apart, and none twice before */
#include "search.h"

#include "device.cuh"

enum {
    TILE = 64, /* vectors, and queries, of a block */
    SIDE = 16, /* threads along each of them */
    EACH = TILE / SIDE,
    DEPTH = 16,     /* dimensions in shared memory at once */
    ROW = TILE + 2, /* two rows of 16 dimensions are written without a conflict */
    CHUNK = 128,    /* dimensions whose sum is one chain */
    THREADS = SIDE * SIDE,
    SORTED = 2048,  /* candidates that a block sorts */
    SLAB = 1 << 18, /* vectors whose scores are in memory at once */
    WORK = 24 << 20 /* bytes of scratch to stay below, one query aside */
};

typedef unsigned long long ranked; /* 0: nobody */

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

static __device__ inline ranked ranked_of(float key, unsigned index)
{
    const unsigned bits = (unsigned)__float_as_int(key == 0 ? 0 : key); /* both zeros are equal */
    const unsigned order = bits >> 31 ? ~bits : bits | 0x80000000u;
    return key == key ? (ranked)order << 32 | ~index : 0;
}

/* Where candidates come from, keys or candidates, and where the best k of every SORTED go. */
struct selection {
    const float *key; /* NULL: from */
    const ranked *from;
    ranked *to;
    int64_t key_stride, stride;
    int count, k;
    unsigned index; /* of the first key */
};

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8)) search_select(struct selection s)
{
    SHARED(ranked, all, SORTED);
    const int64_t query = blockIdx.y;
    const int first = (int)blockIdx.x * SORTED, thread = (int)threadIdx.x;
    for (int i = thread; i < SORTED; i += THREADS) {
        const int at = first + i;
        ranked c = 0;
        if (at < s.count)
            c = s.key ? ranked_of(s.key[query * s.key_stride + at], s.index + (unsigned)at)
                      : s.from[query * s.stride + at];
        all[i] = c;
    }
    for (int run = 2; run <= SORTED; run *= 2) /* a bitonic sort, the largest first */
        for (int apart = run / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (int i = thread; i < SORTED / 2; i += THREADS) {
                const int low = i / apart * 2 * apart + i % apart;
                const ranked a = all[low], b = all[low + apart];
                const bool falling = (low & run) == 0;
                if (falling ? a < b : a > b) {
                    all[low] = b;
                    all[low + apart] = a;
                }
            }
        }
    __syncthreads();
    for (int i = thread; i < s.k; i += THREADS)
        s.to[query * s.stride + (int64_t)blockIdx.x * s.k + i] = all[i];
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    search_write(const ranked *from, int64_t stride, int k, int l2, int64_t *index, float *score)
{
    const int64_t query = blockIdx.x;
    for (int i = (int)threadIdx.x; i < k; i += THREADS) {
        const ranked c = from[query * stride + i];
        const unsigned order = (unsigned)(c >> 32);
        const float key = __int_as_float((int)(order >> 31 ? order & 0x7fffffffu : ~order));
        index[query * k + i] = c ? (int64_t) ~(unsigned)c : -1;
        score[query * k + i] = c ? (l2 ? 0 - key : key) : NAN;
    }
}

struct work {
    float *key;
    ranked *a, *b;
    int64_t key_stride, stride, group;
};

/* The best k of a slab, and of what a[0..k) holds from those before, into a[0..k). */
static void select_slab(cudaStream_t stream, const struct work *w, const struct slab *s, int k, int64_t first)
{
    const unsigned queries = (unsigned)s->queries_count;
    const int parts = s->vectors_count > 0 ? (s->vectors_count + SORTED - 1) / SORTED : 1, kept = first > 0 ? k : 0;
    struct selection c = {w->key, NULL, w->a + kept, w->key_stride, w->stride, s->vectors_count, k, (unsigned)first};
    LAUNCH(search_select, dim3((unsigned)parts, queries), THREADS, 0, stream, c);
    c.key = NULL;
    c.from = w->a;
    for (c.count = kept + parts * k; c.count > SORTED;) {
        const int blocks = (c.count + SORTED - 1) / SORTED;
        c.to = c.from == w->a ? w->b : w->a;
        LAUNCH(search_select, dim3((unsigned)blocks, queries), THREADS, 0, stream, c);
        c.from = c.to;
        c.count = blocks * k;
    }
    c.to = w->a; /* one block per query, which has read all before it writes */
    if (c.count > k || c.from != w->a)
        LAUNCH(search_select, dim3(1, queries), THREADS, 0, stream, c);
}

static int work_of(struct arena *arena, const struct search_params *p, struct work *w)
{
    w->key_stride = p->vectors > SLAB ? (int64_t)SLAB : p->vectors > 0 ? p->vectors : 1;
    w->stride = ((w->key_stride + SORTED - 1) / SORTED + 1) * p->k;
    const int64_t each = w->key_stride * (int64_t)sizeof *w->key + 2 * w->stride * (int64_t)sizeof *w->a;
    const int64_t fit = WORK / each > 1 ? WORK / each : 1, most = fit < 32768 ? fit : 32768;
    w->group = p->queries < most ? p->queries : most;
    int code = arena_alloc(arena, (size_t)(w->group * w->key_stride) * sizeof *w->key, &w->key);
    code = code ? code : arena_alloc(arena, (size_t)(w->group * w->stride) * sizeof *w->a, &w->a);
    return code ? code : arena_alloc(arena, (size_t)(w->group * w->stride) * sizeof *w->b, &w->b);
}

extern "C" int search_cuda(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
                           int64_t *index, float *score)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct work w;
    const int code = work_of(arena, p, &w);
    for (int64_t q = 0; q < p->queries && !code; q += w.group) {
        const int64_t left = p->queries - q, many = left < w.group ? left : w.group;
        int64_t v = 0;
        do {
            const int64_t rest = p->vectors - v, slab = rest < SLAB ? rest : (int64_t)SLAB;
            const struct slab s = {vectors + v * p->dimensions,
                                   queries + q * p->dimensions,
                                   w.key,
                                   w.key_stride,
                                   (int)slab,
                                   (int)many,
                                   p->dimensions,
                                   p->measure == SEARCH_L2};
            const dim3 grid((unsigned)((slab + TILE - 1) / TILE), (unsigned)((many + TILE - 1) / TILE));
            if (slab > 0)
                LAUNCH(search_keys, grid, THREADS, 0, device_launch_stream(ex), s);
            select_slab(device_launch_stream(ex), &w, &s, p->k, v);
            v += SLAB;
        } while (v < p->vectors);
        LAUNCH(search_write, (unsigned)many, THREADS, 0, device_launch_stream(ex), (const ranked *)w.a, w.stride,
               (int)p->k, p->measure == SEARCH_L2, index + q * p->k, score + q * p->k);
    }
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code ? code : device_launched("search");
}
