/* sums.cuh - one sum over very many values on CUDA: a partial sum of each block, SUM_BLOCKS at most, and one block that
 * adds those. In double, in an order that follows from the count alone. */
#ifndef SUMS_CUH
#define SUMS_CUH
#include "moments.cuh"
#include "sums.h"

enum { SUMS_THREADS = MOMENTS_THREADS };

/* Blocks for so many threads' work. */
static inline int64_t sum_blocks(int64_t threads)
{
    const int64_t blocks = (threads + SUMS_THREADS - 1) / SUMS_THREADS;
    return blocks < SUM_BLOCKS ? blocks : (int64_t)SUM_BLOCKS;
}

/* By a whole block, for all of its threads; room [MOMENTS_WARPS] is shared memory. */
static __device__ inline double sum_of_parts(const double *parts, int64_t count, double *room)
{
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += SUMS_THREADS)
        sum += parts[i];
    return block_sum(sum, room);
}

#endif
