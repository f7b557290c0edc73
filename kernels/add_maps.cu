/* add_maps on CUDA: a thread per four neighbours, 12 bytes moved for each value; bound by memory. In-place works, since
 * a thread writes what it alone has read. */
#include "add_maps.h"

#include "elementwise.cuh"

struct maps_sum {
    struct maps a, b, y;
    struct elementwise e;
};

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 8))
    add_maps_kernel(struct maps_sum k)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element p = element_of(&k.e, n);
        float4 v = load_part4(floats_at(&k.a, &p), p.count, k.e.wide);
        const float4 more = load_part4(floats_at(&k.b, &p), p.count, k.e.wide);
        v.x += more.x;
        v.y += more.y;
        v.z += more.z;
        v.w += more.w;
        store_part4(floats_at(&k.y, &p), v, p.count, k.e.wide);
    }
}

extern "C" int add_maps_cuda(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y)
{
    struct maps_sum k = {*a, *b, *y, elementwise_of(a, y)};
    k.e.wide = k.e.wide && maps_wide(b);
    LAUNCH(add_maps_kernel, elementwise_grid(&k.e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), k);
    return device_launched("add_maps");
}
