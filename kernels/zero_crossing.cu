/* zero_crossing on CUDA: one warp per frame, eight frames per block, as rms. Each lane looks at the sample before its
 * own too, which its neighbour has just brought into the cache. */
#include "zero_crossing.h"

#include "device.cuh"
#include "framed.cuh"

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(FRAMED_THREADS, DEVICE_BLOCKS(FRAMED_THREADS, 8))
    crossing_kernel(struct framed f, float *y)
{
    const struct framed_span s = framed_span(&f);
    if (s.frame < 0)
        return;
    int count = 0;
    for (int64_t i = s.lo + 1 + threadIdx.x % 32; i < s.hi; i += 32) {
        const bool before = sample_of(f.x, f.dtype, s.row + i - 1) < -1e-10f;
        count += before != (sample_of(f.x, f.dtype, s.row + i) < -1e-10f);
    }
    for (int d = 16; d > 0; d /= 2)
        count += __shfl_xor_sync(0xffffffffu, count, d);
    if (threadIdx.x % 32 == 0)
        y[s.frame] = (float)((double)count / (double)f.p.window_samples);
}

extern "C" int zero_crossing_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x,
                                  struct ragged *y)
{
    const struct framed f = framed_of(p, x, y);
    if (y->total == 0)
        return STATUS_OK;
    LAUNCH(crossing_kernel, framed_blocks(y), FRAMED_THREADS, 0, device_launch_stream(ex), f, (float *)y->data);
    return device_launched("zero_crossing");
}
