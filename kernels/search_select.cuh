/* search_select.cuh - the best k of every 2,048 candidates, again and again until k are left. A candidate is one
 * integer, its score's order in front and its index turned round behind, so that the largest is the best and no two are
 * equal: what is kept does not depend on who is compared with whom, nor in which order they come.
 *
 *   bounds   only candidates above the k-th best of the vectors before this slab take part. Where more than 256 are
 *            left, the k-th largest of the threads' own best, which at least k candidates reach, turns most away. The
 *            others move together; up to k of them are handed on as they lie, more are sorted, in the next power of two
 *   memory   a sort's pairs of neighbours lie two apart: banks take up to 1.6 passes per access of it */
#ifndef SEARCH_SELECT_CUH
#define SEARCH_SELECT_CUH
#include "device.cuh"

enum {
    SELECT_THREADS = 256,
    SORTED = 2048, /* candidates of a block */
    HELD = SORTED / SELECT_THREADS
};

typedef unsigned long long ranked; /* 0: nobody */

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
    ranked *to;          /* [queries][stride] */
    const ranked *bound; /* of each query, stride apart; NULL: none */
    int64_t *index;      /* results of the last selection, [queries][k]; NULL: to */
    float *score;
    int64_t key_stride, stride;
    int count, k;
    unsigned first; /* index of the first key */
    bool in_order;  /* best first, because nobody sorts them again */
    bool l2;
};

/* Moves the block's candidates above bound together; returns how many there are. */
static __device__ inline int move_together(const ranked mine[HELD], ranked bound, ranked *all, int *counter)
{
    const int lane = (int)threadIdx.x % 32;
    __syncthreads();
    if (threadIdx.x == 0)
        *counter = 0;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const bool in = mine[i] > bound;
        const unsigned votes = __ballot_sync(0xffffffffu, in);
        int base = 0;
        if (lane == 0 && votes)
            base = atomicAdd(counter, __popc(votes));
        base = __shfl_sync(0xffffffffu, base, 0);
        if (in)
            all[base + __popc(votes & ((1u << lane) - 1))] = mine[i];
    }
    __syncthreads();
    return *counter;
}

/* A bitonic sort of 2^i, the largest first. */
static __device__ inline void sort_falling(ranked *all, int n)
{
    for (int run = 2; run <= n; run *= 2)
        for (int apart = run / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (int i = (int)threadIdx.x; i < n / 2; i += SELECT_THREADS) {
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
}

static __device__ inline ranked block_bound(const ranked mine[HELD], int k, ranked *best)
{
    ranked most = 0;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        most = mine[i] > most ? mine[i] : most;
    best[threadIdx.x] = most;
    sort_falling(best, SELECT_THREADS);
    return best[k - 1] > 0 ? best[k - 1] - 1 : 0;
}

static __device__ inline void select_write(const struct selection *s, const ranked *all, int n)
{
    const int64_t query = blockIdx.y;
    for (int i = (int)threadIdx.x; i < s->k; i += SELECT_THREADS) {
        const ranked c = i < n ? all[i] : 0;
        if (s->index) {
            const unsigned order = (unsigned)(c >> 32);
            const float key = __int_as_float((int)(order >> 31 ? order & 0x7fffffffu : ~order));
            s->index[query * s->k + i] = c ? (int64_t) ~(unsigned)c : -1;
            s->score[query * s->k + i] = c ? (s->l2 ? 0 - key : key) : NAN;
        } else
            s->to[query * s->stride + (int64_t)blockIdx.x * s->k + i] = c;
    }
}

/* occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(SELECT_THREADS, DEVICE_BLOCKS(SELECT_THREADS, 6))
    search_select(struct selection s)
{
    SHARED(ranked, all, SORTED);
    SHARED(ranked, best, SELECT_THREADS);
    SHARED(int, counter, 1);
    const int64_t query = blockIdx.y;
    const int first = (int)blockIdx.x * SORTED + (int)threadIdx.x;
    const ranked bound = s.bound ? s.bound[query * s.stride] : 0;
    ranked mine[HELD];
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int at = first + i * SELECT_THREADS;
        mine[i] = 0;
        if (at < s.count)
            mine[i] = s.key ? ranked_of(s.key[query * s.key_stride + at], s.first + (unsigned)at)
                            : s.from[query * s.stride + at];
    }
    int n = move_together(mine, bound, all, counter), width = 1;
    if (n > SELECT_THREADS && s.k <= SELECT_THREADS) {
        const ranked own = block_bound(mine, s.k, best);
        n = move_together(mine, own > bound ? own : bound, all, counter);
    }
    if (n > s.k || s.in_order) {
        while (width < n)
            width *= 2;
        for (int i = n + (int)threadIdx.x; i < width; i += SELECT_THREADS)
            all[i] = 0;
        sort_falling(all, width);
    }
    select_write(&s, all, n);
}

#endif
