/* mirror on CUDA: a block per tile of positions by channels (planar.cuh), read where the mirror says. 8 bytes moved for
 * each value; bound by memory. */
#include "mirror.h"

#include "planar.cuh"

struct mirrored {
    struct maps x;
    float *y;
    int64_t before;
    struct planar to; /* of y */
};

/* occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(PLANAR_THREADS, DEVICE_BLOCKS(PLANAR_THREADS, 6))
    mirror_kernel(struct mirrored k)
{
    SHARED(float, tile, PLANAR_FLOATS);
    const int64_t last = k.x.width - 1;
    for (int64_t unit = blockIdx.x; unit < k.to.units; unit += gridDim.x) {
        const struct planar_tile t = planar_tile_of(&k.to, unit);
        const float *const x = k.x.data + t.item * k.x.item_stride + t.channel;
        float *const y = k.y + (t.item * k.to.all_channels + t.channel) * k.to.length + t.position;
        for (int i = (int)threadIdx.x; i < t.positions * t.channels; i += PLANAR_THREADS) {
            const int channel = i % t.channels, n = i / t.channels;
            int64_t p = t.position + n - k.before;
            p = p < 0 ? -p : p > last ? 2 * last - p : p;
            tile[channel * k.to.row + n] = x[p * k.x.channels + channel];
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < k.to.positions * t.channels; i += PLANAR_THREADS) {
            const int n = i % k.to.positions, channel = i / k.to.positions;
            if (n < t.positions)
                y[channel * k.to.length + n] = tile[channel * k.to.row + n];
        }
        __syncthreads();
    }
}

extern "C" int mirror_cuda(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y)
{
    const struct mirrored k = {*x, y, before, planar_of(x->items, samples, x->channels)};
    LAUNCH(mirror_kernel, device_grid(k.to.units), PLANAR_THREADS, 0, device_launch_stream(ex), k);
    return device_launched("mirror");
}
