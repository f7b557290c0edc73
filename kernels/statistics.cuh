/* statistics.cuh - what the two ways of statistics on CUDA share: a row of up to STATISTICS_TILE frames takes a block
 * per group of columns and side (statistics.cu), a longer one is cut into tiles (statistics_long.cu). A row's own
 * length decides, so that its bits do not depend on its neighbours. */
#ifndef STATISTICS_CUH
#define STATISTICS_CUH
#include "statistics.h"

#include "device.cuh"

enum { STATISTICS_TILE = 2048 };

/* Integers in the order of the floats. */
static __device__ inline int key_of(float v)
{
    const int bits = __float_as_int(v);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

static __device__ inline float value_of(int key)
{
    return __int_as_float(key ^ ((key >> 31) & 0x7fffffff));
}

/* The rows of more than STATISTICS_TILE frames; x and y as statistics() takes them. */
int statistics_long(struct exec *ex, const struct ragged *x, int64_t block, float *y);

#endif
