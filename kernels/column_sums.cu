/* column_sums on CUDA: each value is read once, 4 bytes, by threads that lie side by side as channels do; bound by
 * memory. A second kernel folds the blocks' sums. */
#include "column_sums.h"

#include "columns.cuh"

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(COLUMNS_THREADS, DEVICE_BLOCKS(COLUMNS_THREADS, 4))
    column_sums_kernel(struct column_walk w, double *sums)
{
    SHARED(double, room, COLUMNS_THREADS);
    const int row = (int)threadIdx.x / w.across, column = (int)threadIdx.x % w.across;
    for (int64_t unit = blockIdx.x; unit < w.x.items * w.cut.blocks; unit += gridDim.x) {
        int64_t block;
        const int64_t item = divided(unit, w.cut.blocks, &block), end = column_end(&w, block);
        for (int64_t c = column; c - column < w.x.channels; c += w.across) {
            double sum = 0;
#pragma unroll 4
            for (int64_t at = block * w.cut.each + row; at < end && c < w.x.channels && row < w.down; at += w.down)
                sum += column_at(&w.x, item, at)[c];
            sum = column_join(sum, room, w.across, w.down);
            if (row == 0 && c < w.x.channels)
                sums[unit * w.x.channels + c] = sum;
        }
    }
}

enum { FOLD_ACROSS = 32, FOLD_DOWN = COLUMNS_THREADS / FOLD_ACROSS };

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(COLUMNS_THREADS, DEVICE_BLOCKS(COLUMNS_THREADS, 4))
    column_fold_kernel(struct column_fold f, int64_t tiles)
{
    SHARED(double, room, COLUMNS_THREADS);
    const int row = (int)threadIdx.x / FOLD_ACROSS;
    for (int64_t unit = blockIdx.x; unit < f.groups * tiles; unit += gridDim.x) {
        int64_t tile;
        const int64_t group = divided(unit, tiles, &tile), c = tile * FOLD_ACROSS + threadIdx.x % FOLD_ACROSS;
        double sum = 0;
#pragma unroll 4
        for (int64_t r = row; r < f.rows && c < f.columns; r += FOLD_DOWN)
            sum += f.from[(group * f.rows + r) * f.columns + c];
        sum = column_join(sum, room, FOLD_ACROSS, FOLD_DOWN);
        if (row > 0 || c >= f.columns)
            continue;
        if (f.to)
            f.to[group * f.columns + c] = sum;
        else if (c < f.split)
            f.first[c] = (float)sum;
        else
            f.second[c - f.split] = (float)sum;
    }
}

void column_fold_launch(struct exec *ex, const struct column_fold *f)
{
    const int64_t tiles = (f->columns + FOLD_ACROSS - 1) / FOLD_ACROSS;
    LAUNCH(column_fold_kernel, device_grid(f->groups * tiles), COLUMNS_THREADS, 0, device_launch_stream(ex), *f, tiles);
}

extern "C" int column_sums_cuda(struct exec *ex, const struct maps *x, float *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct column_walk w = column_walk_of(x);
    const int64_t units = x->items * w.cut.blocks;
    double *sums;
    int code = arena_alloc(arena, (size_t)(units * x->channels) * sizeof *sums, &sums);
    if (!code) {
        const struct column_fold fold = {sums, 1, units, x->channels, x->channels, NULL, y, NULL};
        if (units > 0)
            LAUNCH(column_sums_kernel, device_grid(units), COLUMNS_THREADS, 0, device_launch_stream(ex), w, sums);
        column_fold_launch(ex, &fold);
        code = device_launched("column_sums");
    }
    arena_reset(arena, mark);
    return code;
}
