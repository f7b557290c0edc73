/* peak on CUDA: one warp per frame, eight frames per block, as rms. Magnitudes are compared as integers, whose order is
 * theirs, with NaN above everything. */
#include "peak.h"

#include "device.cuh"
#include "framed.cuh"

static __device__ inline int magnitude_bits(float v)
{
    return __float_as_int(v) & 0x7fffffff;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(FRAMED_THREADS, DEVICE_BLOCKS(FRAMED_THREADS, 8))
    peak_kernel(struct framed f, float *y)
{
    const struct framed_span s = framed_span(&f);
    if (s.frame < 0)
        return;
    int most = 0;
    for (int64_t i = s.lo + threadIdx.x % 32; i < s.hi; i += 32)
        most = max(most, magnitude_bits(sample_of(f.x, f.dtype, s.row + i)));
    most = warp_max(most);
    if (threadIdx.x % 32 == 0)
        y[s.frame] = __int_as_float(most);
}

extern "C" int peak_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    const struct framed f = framed_of(p, x, y);
    if (y->total == 0)
        return STATUS_OK;
    LAUNCH(peak_kernel, framed_blocks(y), FRAMED_THREADS, 0, device_launch_stream(ex), f, (float *)y->data);
    return device_launched("peak");
}
