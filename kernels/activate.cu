/* activate on CUDA: mean and squares of each channel of a block of positions, joined per group, then a thread per four
 * neighbours. Values are read twice and written once, 12 bytes each, the second time from the cache where the maps fit;
 * bound by memory. */
#include "activate.cuh"
#include "columns.cuh"
#include "moments.cuh"

/* moments [items][blocks][2][channels]: mean, and squares about it. Sums begin at the block's first value, so that an
 * offset costs nothing.
 * occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(COLUMNS_THREADS, DEVICE_BLOCKS(COLUMNS_THREADS, 4))
    activate_moments_kernel(struct column_walk w, double *moments)
{
    SHARED(double, room, COLUMNS_THREADS);
    const int row = (int)threadIdx.x / w.across, column = (int)threadIdx.x % w.across;
    for (int64_t unit = blockIdx.x; unit < w.x.items * w.cut.blocks; unit += gridDim.x) {
        int64_t block;
        const int64_t item = divided(unit, w.cut.blocks, &block), end = column_end(&w, block);
        const int64_t begin = block * w.cut.each;
        for (int64_t c = column; c - column < w.x.channels; c += w.across) {
            double sum = 0, squares = 0;
            const double origin = c < w.x.channels ? column_at(&w.x, item, begin)[c] : 0;
#pragma unroll 4
            for (int64_t at = begin + row; at < end && c < w.x.channels && row < w.down; at += w.down) {
                const double gap = column_at(&w.x, item, at)[c] - origin;
                sum += gap;
                squares += gap * gap;
            }
            sum = column_join(sum, room, w.across, w.down);
            squares = column_join(squares, room, w.across, w.down);
            if (row > 0 || c >= w.x.channels)
                continue;
            moments[2 * unit * w.x.channels + c] = origin + sum / (double)(end - begin);
            moments[(2 * unit + 1) * w.x.channels + c] = squares - sum * sum / (double)(end - begin);
        }
    }
}

/* A block for each item's group joins the moments of its channels' blocks.
 * occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(MOMENTS_THREADS, DEVICE_BLOCKS(MOMENTS_THREADS, 4))
    activate_statistics_kernel(struct column_walk w, int64_t groups, float epsilon, const double *moments,
                               float *statistics)
{
    SHARED(double, room, MOMENTS_WARPS);
    const int64_t each = w.x.channels / groups, parts = w.cut.blocks * each;
    const double values = (double)(w.cut.positions * each);
    for (int64_t unit = blockIdx.x; unit < w.x.items * groups; unit += gridDim.x) {
        int64_t group, k;
        const int64_t item = divided(unit, groups, &group);
        double sum = 0, spread = 0;
        for (int64_t i = threadIdx.x; i < parts; i += MOMENTS_THREADS) {
            const int64_t block = divided(i, each, &k);
            const double n = (double)(column_end(&w, block) - block * w.cut.each);
            sum += n * moments[2 * (item * w.cut.blocks + block) * w.x.channels + group * each + k];
        }
        const double mean = block_sum(sum, room) / values;
        for (int64_t i = threadIdx.x; i < parts; i += MOMENTS_THREADS) {
            const int64_t block = divided(i, each, &k);
            const double *const m = moments + 2 * (item * w.cut.blocks + block) * w.x.channels + group * each + k;
            const double n = (double)(column_end(&w, block) - block * w.cut.each);
            spread += m[w.x.channels] + n * (m[0] - mean) * (m[0] - mean);
        }
        spread = block_sum(spread, room);
        if (threadIdx.x == 0) {
            statistics[2 * unit] = (float)mean;
            statistics[2 * unit + 1] = (float)(1 / sqrt((spread < 0 ? 0 : spread) / values + (double)epsilon));
        }
    }
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 4))
    activate_kernel(struct activate_view k)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element at = element_of(&k.e, n);
        const float4 x = load_part4(floats_at(&k.x, &at), at.count, k.e.wide);
        const float4 kept = activate_kept(&k, activate_index(&k, &at));
        float u[4] = {x.x, x.y, x.z, x.w};
        if (k.p.groups) {
            const struct activate_four f = activate_four_of(&k, &at);
#pragma unroll
            for (int i = 0; i < 4; i++)
                u[i] = activate_normed(&k, f.group[i], u[i]) * k.gain[f.channel[i]] + k.shift[f.channel[i]];
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (k.p.kind == ACTIVATE_SILU)
                u[i] *= activate_gate(u[i]);
            else if (k.p.kind == ACTIVATE_LEAKY_RELU)
                u[i] = u[i] > 0 ? u[i] : u[i] * k.p.slope;
        }
        float4 y = make_float4(kept.x > 0 ? u[0] * kept.x : 0, kept.y > 0 ? u[1] * kept.y : 0,
                               kept.z > 0 ? u[2] * kept.z : 0, kept.w > 0 ? u[3] * kept.w : 0);
        store_part4(floats_at(&k.to, &at), y, at.count, k.e.wide);
    }
}

static void measure_launch(struct exec *ex, const struct activate_params *p, const struct maps *x, double *moments,
                           float *statistics)
{
    const struct column_walk w = column_walk_of(x);
    LAUNCH(activate_moments_kernel, device_grid(x->items * w.cut.blocks), COLUMNS_THREADS, 0, device_launch_stream(ex),
           w, moments);
    LAUNCH(activate_statistics_kernel, device_grid(x->items * p->groups), MOMENTS_THREADS, 0, device_launch_stream(ex),
           w, p->groups, p->epsilon, (const double *)moments, statistics);
}

extern "C" int activate_cuda(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                             const struct activate_norm *norm, const struct maps *x, const struct maps *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct activate_view k = activate_view_of(p, state, norm, x, x, y);
    double *moments;
    int code = p->groups ? arena_alloc(arena, columns_bytes(x, 2), &moments) : (int)STATUS_OK;
    if (!code) {
        if (p->groups)
            measure_launch(ex, p, x, moments, norm->statistics);
        LAUNCH(activate_kernel, elementwise_grid(&k.e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), k);
        code = device_launched("activate");
    }
    arena_reset(arena, mark);
    return code;
}
