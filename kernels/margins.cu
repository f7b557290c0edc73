/* clear_margins on CUDA: a thread per float of a row's margins, which lie in two runs. Bound by launching it: a
 * segment's margins are a few hundred kilobytes. */
#include "margins.h"

#include "maps.cuh"

enum { THREADS = 256 };

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8)) clear_margins_kernel(struct maps m)
{
    const int64_t before = MAPS_BEFORE * m.channels, each = (MAPS_BEFORE + MAPS_AFTER) * m.channels;
    const int64_t all = m.items * m.height * each, step = (int64_t)gridDim.x * THREADS;
    for (int64_t n = (int64_t)blockIdx.x * THREADS + threadIdx.x; n < all; n += step) {
        int64_t at, row;
        const int64_t rows = divided(n, each, &at), item = divided(rows, m.height, &row);
        at -= before;
        m.data[item * m.item_stride + row * m.row_stride + (at < 0 ? at : m.width * m.channels + at)] = 0;
    }
}

extern "C" int clear_margins_cuda(struct exec *ex, const struct maps *m)
{
    const int64_t all = m->items * m->height * (MAPS_BEFORE + MAPS_AFTER) * m->channels;
    LAUNCH(clear_margins_kernel, device_grid((all + THREADS - 1) / THREADS), THREADS, 0, device_launch_stream(ex), *m);
    return device_launched("clear_margins");
}
