/* gradient_norm on CUDA: 4 bytes read for each gradient, by fours; bound by memory. A second kernel of one block adds
 * the blocks' sums and writes the state. */
#include "gradient_norm.h"

#include "sums.cuh"

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS_THREADS, DEVICE_BLOCKS(SUMS_THREADS, 4))
    gradient_squares_kernel(const float *g, int64_t n, bool wide, double *parts)
{
    SHARED(double, room, MOMENTS_WARPS);
    double sum = 0;
#pragma unroll 2
    for (int64_t i = 4 * ((int64_t)blockIdx.x * SUMS_THREADS + threadIdx.x); i < n;
         i += (int64_t)4 * gridDim.x * SUMS_THREADS) {
        const float4 v = load_part4(g + i, n - i, wide);
        sum += ((double)v.x * v.x + (double)v.y * v.y) + ((double)v.z * v.z + (double)v.w * v.w);
    }
    sum = block_sum(sum, room);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS_THREADS, DEVICE_BLOCKS(SUMS_THREADS, 4))
    gradient_norm_kernel(struct step_state *state, const double *parts, int64_t count)
{
    SHARED(double, room, MOMENTS_WARPS);
    const double squares = sum_of_parts(parts, count, room);
    if (threadIdx.x == 0)
        gradient_norm_found(state, squares);
}

extern "C" int gradient_norm_cuda(struct exec *ex, struct step_state *state, const float *g, int64_t n)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t blocks = sum_blocks((n + 3) / 4);
    double *parts;
    int code = arena_alloc(arena, (size_t)blocks * sizeof *parts, &parts);
    if (!code) {
        LAUNCH(gradient_squares_kernel, (unsigned)blocks, SUMS_THREADS, 0, device_launch_stream(ex), g, n,
               floats_on(g, 0, 0, 16), parts);
        LAUNCH(gradient_norm_kernel, 1, SUMS_THREADS, 0, device_launch_stream(ex), state, (const double *)parts,
               blocks);
        code = device_launched("gradient_norm");
    }
    arena_reset(arena, mark);
    return code;
}
