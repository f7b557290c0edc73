/* phase_step on CUDA: a thread per value, 28 bytes moved for each; bound by memory where double has half the rate of
 * float, and by arithmetic where it has 1/64. In-place works, since a thread writes what it alone has read. */
#include "phase_step.h"

#include "maps.cuh"

#include <float.h>

enum { THREADS = 256 };

struct phases {
    double ahead;
    int64_t n;
    const float *magnitude, *now, *before;
    float *y;
};

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 4)) phase_step_kernel(struct phases k)
{
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < k.n; i += (int64_t)gridDim.x * THREADS) {
        const float2 now = load2(k.now + 2 * i);
        const float2 before = k.before ? load2(k.before + 2 * i) : make_float2(0, 0);
        const double re = now.x - k.ahead * before.x, im = now.y - k.ahead * before.y;
        const double scale = k.magnitude[i] / (sqrt(re * re + im * im) + FLT_MIN);
        store2(k.y + 2 * i, make_float2((float)(re * scale), (float)(im * scale)));
    }
}

extern "C" int phase_step_cuda(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                               const float *before, float *y)
{
    const struct phases k = {ahead, n, magnitude, now, before, y};
    LAUNCH(phase_step_kernel, device_grid((n + THREADS - 1) / THREADS), THREADS, 0, device_launch_stream(ex), k);
    return device_launched("phase_step");
}
