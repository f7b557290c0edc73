/* moments on CUDA: a block per chunk of an item (moments.cuh), then one per item that joins them. Values are read once:
 * 4 bytes each, bound by memory. */
#include "moments.cuh"

/* occupancy: 5 blocks of 256 threads */
static __global__ void __launch_bounds__(MOMENTS_THREADS, DEVICE_BLOCKS(MOMENTS_THREADS, 5))
    moments_chunks(struct maps x, struct fours f, bool wide, double *mean, double *squares)
{
    SHARED(double, room, MOMENTS_WARPS);
    for (int64_t unit = blockIdx.x; unit < x.items * f.chunks; unit += gridDim.x) {
        int64_t chunk;
        struct four begin;
        const float *const from = x.data + divided(unit, f.chunks, &chunk) * x.item_stride;
        begin.row = divided(chunk * f.each, f.per_row, &begin.at);
        const double origin = from[begin.row * x.row_stride + 4 * begin.at];
        const int64_t n = chunk_end(&f, chunk) - chunk * f.each;
        double sum = 0, spread = 0;
#pragma unroll 2
        for (int64_t i = threadIdx.x; i < n; i += MOMENTS_THREADS) {
            const struct four at = four_behind(&f, begin, i);
            const int64_t left = f.floats - 4 * at.at;
            const float4 v = load_part4(from + at.row * x.row_stride + 4 * at.at, left, wide);
            const double gap[4] = {v.x - origin, v.y - origin, v.z - origin, v.w - origin};
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const double d = k < left ? gap[k] : 0;
                sum += d;
                spread += d * d;
            }
        }
        sum = block_sum(sum, room);
        spread = block_sum(spread, room);
        const double values = chunk_values(&f, chunk);
        if (threadIdx.x == 0) {
            mean[unit] = origin + sum / values;
            squares[unit] = spread - sum * sum / values;
        }
    }
}

void moments_chunks_launch(struct exec *ex, const struct maps *x, const struct fours *f, double *mean, double *squares)
{
    LAUNCH(moments_chunks, device_grid(x->items * f->chunks), MOMENTS_THREADS, 0, device_launch_stream(ex), *x, *f,
           maps_wide(x), mean, squares);
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(MOMENTS_THREADS, DEVICE_BLOCKS(MOMENTS_THREADS, 4))
    moments_items(struct fours f, int64_t items, double values, const double *mean, const double *squares, float *y)
{
    SHARED(double, room, MOMENTS_WARPS);
    for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
        double m;
        const double spread = item_joined(&f, mean + item * f.chunks, squares + item * f.chunks, values, room, &m);
        if (threadIdx.x == 0) {
            y[2 * item] = (float)m;
            y[2 * item + 1] = values > 1 ? (float)sqrt(spread / (values - 1)) : 0;
        }
    }
}

extern "C" int moments_cuda(struct exec *ex, const struct maps *x, float *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct fours f = fours_of(x);
    const double values = (double)(x->height * f.floats);
    double *mean, *squares;
    int code = arena_alloc(arena, (size_t)(x->items * f.chunks) * sizeof *mean, &mean);
    code = code ? code : arena_alloc(arena, (size_t)(x->items * f.chunks) * sizeof *squares, &squares);
    if (!code) {
        moments_chunks_launch(ex, x, &f, mean, squares);
        LAUNCH(moments_items, device_grid(x->items), MOMENTS_THREADS, 0, device_launch_stream(ex), f, x->items, values,
               (const double *)mean, (const double *)squares, y);
        code = device_launched("moments");
    }
    arena_reset(arena, mark);
    return code;
}
