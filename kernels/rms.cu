/* rms on CUDA: one warp per frame, eight frames per block. A sample is read W/hop times, but the frames of a block are
 * neighbours, so device memory is read about once: 4 bytes per sample in, 4 per frame out, bound by memory. Squares are
 * summed in double, as on the CPU: f32 would lose those of quiet signals. */
#include "rms.h"

#include "device.cuh"
#include "framed.cuh"

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(FRAMED_THREADS, DEVICE_BLOCKS(FRAMED_THREADS, 8))
    rms_kernel(struct framed f, float *y)
{
    const struct framed_span s = framed_span(&f);
    if (s.frame < 0) /* the same for a whole warp, so the collectives below stay full */
        return;
    double a = 0, b = 0; /* two loads are in flight */
    int64_t i = s.lo + threadIdx.x % 32;
    for (; i + 32 < s.hi; i += 64) {
        const float v = sample_of(f.x, f.dtype, s.row + i), w = sample_of(f.x, f.dtype, s.row + i + 32);
        a += (double)v * v;
        b += (double)w * w;
    }
    for (; i < s.hi; i += 32) {
        const float v = sample_of(f.x, f.dtype, s.row + i);
        a += (double)v * v;
    }
    a += b;
    for (int d = 16; d > 0; d /= 2)
        a += __shfl_xor_sync(0xffffffffu, a, d);
    if (threadIdx.x % 32 == 0)
        y[s.frame] = (float)sqrt(a / (double)f.p.window_samples);
}

extern "C" int rms_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    const struct framed f = framed_of(p, x, y);
    if (y->total == 0)
        return STATUS_OK;
    LAUNCH(rms_kernel, framed_blocks(y), FRAMED_THREADS, 0, device_launch_stream(ex), f, (float *)y->data);
    return device_launched("rms");
}
