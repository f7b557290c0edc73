/* standardize and unstandardize on CUDA: a thread per four neighbours, 8 bytes moved for each value; bound by memory.
 * In-place works, since a thread writes what it alone has read. The moments are read anew by each thread, from the
 * cache. */
#include "standardize.h"

#include "elementwise.cuh"

struct standardized {
    struct maps x, y;
    const float *moments;
    float epsilon;
    struct elementwise e;
};

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 8))
    standardize_kernel(struct standardized k)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element p = element_of(&k.e, n);
        const float mean = k.moments[2 * p.item], factor = 1 / (k.moments[2 * p.item + 1] + k.epsilon);
        float4 v = load_part4(floats_at(&k.x, &p), p.count, k.e.wide);
        v.x = (v.x - mean) * factor;
        v.y = (v.y - mean) * factor;
        v.z = (v.z - mean) * factor;
        v.w = (v.w - mean) * factor;
        store_part4(floats_at(&k.y, &p), v, p.count, k.e.wide);
    }
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 8))
    unstandardize_kernel(struct standardized k)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element p = element_of(&k.e, n);
        const float mean = k.moments[2 * p.item], deviation = k.moments[2 * p.item + 1];
        float4 v = load_part4(floats_at(&k.x, &p), p.count, k.e.wide);
        v.x = v.x * deviation + mean;
        v.y = v.y * deviation + mean;
        v.z = v.z * deviation + mean;
        v.w = v.w * deviation + mean;
        store_part4(floats_at(&k.y, &p), v, p.count, k.e.wide);
    }
}

extern "C" int standardize_cuda(struct exec *ex, const float *moments, float epsilon, const struct maps *x,
                                const struct maps *y)
{
    const struct standardized k = {*x, *y, moments, epsilon, elementwise_of(x, y)};
    LAUNCH(standardize_kernel, elementwise_grid(&k.e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), k);
    return device_launched("standardize");
}

extern "C" int unstandardize_cuda(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y)
{
    const struct standardized k = {*x, *y, moments, 0, elementwise_of(x, y)};
    LAUNCH(unstandardize_kernel, elementwise_grid(&k.e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), k);
    return device_launched("unstandardize");
}
