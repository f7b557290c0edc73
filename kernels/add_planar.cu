/* add_planar on CUDA: a block per tile of positions by channels (planar.cuh): the planar signals come by position, the
 * sums go by channel. 12 bytes moved for each value; bound by memory. In-place works, since a thread writes what it
 * alone has read. */
#include "add_planar.h"

#include "planar.cuh"

struct planar_sum {
    const float *planar;
    int64_t stride;
    struct maps x, y;
    struct planar of;
};

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(PLANAR_THREADS, DEVICE_BLOCKS(PLANAR_THREADS, 8))
    add_planar_kernel(struct planar_sum k)
{
    SHARED(float, tile, PLANAR_FLOATS);
    for (int64_t unit = blockIdx.x; unit < k.of.units; unit += gridDim.x) {
        const struct planar_tile t = planar_tile_of(&k.of, unit);
        const float *const from = k.planar + (t.item * k.of.all_channels + t.channel) * k.stride + t.position;
        const int64_t at = t.position * k.of.all_channels + t.channel;
        const float *const x = k.x.data + t.item * k.x.item_stride + at;
        float *const y = k.y.data + t.item * k.y.item_stride + at;
        for (int i = (int)threadIdx.x; i < k.of.positions * t.channels; i += PLANAR_THREADS) {
            const int n = i % k.of.positions, channel = i / k.of.positions;
            if (n < t.positions)
                tile[channel * k.of.row + n] = from[channel * k.stride + n];
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < t.positions * t.channels; i += PLANAR_THREADS) {
            const int channel = i % t.channels, n = i / t.channels;
            const int64_t to = n * k.of.all_channels + channel;
            y[to] = x[to] + tile[channel * k.of.row + n];
        }
        __syncthreads();
    }
}

extern "C" int add_planar_cuda(struct exec *ex, const float *planar, int64_t stride, const struct maps *x,
                               const struct maps *y)
{
    const struct planar_sum k = {planar, stride, *x, *y, planar_of(x->items, x->width, x->channels)};
    LAUNCH(add_planar_kernel, device_grid(k.of.units), PLANAR_THREADS, 0, device_launch_stream(ex), k);
    return device_launched("add_planar");
}
