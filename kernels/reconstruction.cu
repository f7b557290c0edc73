/* reconstruction on CUDA: a thread per four neighbours, 12 bytes moved for each value; bound by memory. A second kernel
 * of one block adds the blocks' sums. */
#include "reconstruction.h"

#include "elementwise.cuh"
#include "sums.cuh"

struct reconstructed {
    struct maps y, x, dy; /* dy: data NULL for none */
    struct elementwise e;
    float weight_l1;
    double values;
};

/* One difference: what it costs; in its place the gradient. */
static __device__ inline double compared(const struct reconstructed *k, float y, float x, float *dy)
{
    const double gap = (double)y - (double)x, weight = (double)k->weight_l1, sign = gap > 0 ? 1 : gap < 0 ? -1 : 0;
    *dy = (float)((2 * gap + weight * sign) / k->values);
    return gap * gap + weight * fabs(gap);
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS_THREADS, DEVICE_BLOCKS(SUMS_THREADS, 4))
    reconstruction_kernel(struct reconstructed k, double *parts)
{
    SHARED(double, room, MOMENTS_WARPS);
    double sum = 0;
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element at = element_of(&k.e, n);
        const float4 y = load_part4(floats_at(&k.y, &at), at.count, k.e.wide); /* behind a row both are zeros */
        const float4 x = load_part4(floats_at(&k.x, &at), at.count, k.e.wide);
        float4 dy;
        sum += compared(&k, y.x, x.x, &dy.x);
        sum += compared(&k, y.y, x.y, &dy.y);
        sum += compared(&k, y.z, x.z, &dy.z);
        sum += compared(&k, y.w, x.w, &dy.w);
        if (k.dy.data)
            store_part4(floats_at(&k.dy, &at), dy, at.count, k.e.wide);
    }
    sum = block_sum(sum, room);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS_THREADS, DEVICE_BLOCKS(SUMS_THREADS, 4))
    reconstruction_mean_kernel(struct step_state *state, const double *parts, int64_t count, double values)
{
    SHARED(double, room, MOMENTS_WARPS);
    const double sum = sum_of_parts(parts, count, room);
    if (threadIdx.x == 0)
        state->reconstruction = sum / values;
}

extern "C" int reconstruction_cuda(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                                   const struct maps *y, const struct maps *x, const struct maps *dy)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct reconstructed k = {
        *y, *x, {}, elementwise_of(y, x), p->weight_l1, (double)(y->items * y->height * y->width * y->channels)};
    const int64_t blocks = sum_blocks(k.e.all);
    double *parts;
    if (dy) {
        k.dy = *dy;
        k.e.wide = k.e.wide && maps_wide(dy);
    }
    int code = arena_alloc(arena, (size_t)blocks * sizeof *parts, &parts);
    if (!code) {
        LAUNCH(reconstruction_kernel, (unsigned)blocks, SUMS_THREADS, 0, device_launch_stream(ex), k, parts);
        LAUNCH(reconstruction_mean_kernel, 1, SUMS_THREADS, 0, device_launch_stream(ex), state, (const double *)parts,
               blocks, k.values);
        code = device_launched("reconstruction");
    }
    arena_reset(arena, mark);
    return code;
}
