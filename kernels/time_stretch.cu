/* time_stretch on CUDA: a thread per bin walks through the frames of its row with its phase in two doubles, which a
 * warp reads and writes as whole sectors. Two frames are read for each that is written, the second time mostly from
 * cache: 16 bytes per value at rate 1. Two square roots, four quotients and 20 other operations in double per value.
 * Addresses do not hang on the phase, so loads of several frames are under way at once. A launch takes as many rows as
 * their rates fit into its parameters.
 *
 * Bound by latency where there are few rows: a spectrogram of 1,025 bins is 17 blocks. */
#include "time_stretch.h"

#include "device.cuh"

enum { THREADS = 64, ROWS = 256 };

struct stretched {
    const float *x;
    float *y;
    const int64_t *x_offset, *y_offset;
    int64_t bins, first; /* first: row of the launch */
    double rate[ROWS];
};

struct place {
    double magnitude, re, im; /* re, im: of length 1 */
};

static __device__ __forceinline__ struct place place_of(float2 c)
{
    struct place p;
    const double re = c.x, im = c.y;
    p.magnitude = sqrt(re * re + im * im);
    p.re = p.magnitude == 0 ? 1 : re / p.magnitude;
    p.im = p.magnitude == 0 ? 0 : im / p.magnitude;
    return p;
}

/* occupancy: 16 blocks of 64 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 16)) time_stretch_kernel(struct stretched k)
{
    const int64_t f = (int64_t)blockIdx.x * THREADS + threadIdx.x, row = k.first + blockIdx.y;
    if (f >= k.bins)
        return;
    const int64_t frames = k.x_offset[row + 1] - k.x_offset[row], results = k.y_offset[row + 1] - k.y_offset[row];
    const float *__restrict__ const x = k.x + (k.x_offset[row] * k.bins + f) * 2;
    float *__restrict__ const y = k.y + (k.y_offset[row] * k.bins + f) * 2;
    const double rate = k.rate[blockIdx.y];
    const float2 none = make_float2(0, 0);
    double re = 1, im = 0;
#pragma unroll 2
    for (int64_t t = 0; t < results; t++) {
        const double s = __dmul_rn((double)t, rate); /* rounded as on the CPU: its floor chooses the frames */
        const int64_t i = (int64_t)s;
        const double part = s - (double)i;
        const struct place a = place_of(i < frames ? load2(x + i * k.bins * 2) : none);
        const struct place b = place_of(i + 1 < frames ? load2(x + (i + 1) * k.bins * 2) : none);
        re = t == 0 ? a.re : re;
        im = t == 0 ? a.im : im;
        const double m = (1 - part) * a.magnitude + part * b.magnitude;
        store2(y + t * k.bins * 2, make_float2((float)(m * re), (float)(m * im)));
        const double turn_re = b.re * a.re + b.im * a.im, turn_im = b.im * a.re - b.re * a.im;
        const double next = re * turn_re - im * turn_im;
        im = re * turn_im + im * turn_re;
        re = next;
    }
}

extern "C" int time_stretch_cuda(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y)
{
    struct stretched k = {};
    k.x = (const float *)x->data;
    k.y = (float *)y->data;
    k.x_offset = x->offset_device;
    k.y_offset = y->offset_device;
    k.bins = x->channels;
    int code = STATUS_OK;
    for (k.first = 0; k.first < x->rows && !code; k.first += ROWS) {
        const int64_t left = x->rows - k.first, rows = left < ROWS ? left : (int64_t)ROWS;
        for (int64_t b = 0; b < rows; b++)
            k.rate[b] = rate[k.first + b];
        const dim3 grid((unsigned)((k.bins + THREADS - 1) / THREADS), (unsigned)rows);
        LAUNCH(time_stretch_kernel, grid, THREADS, 0, device_launch_stream(ex), k);
        code = device_launched("time_stretch");
    }
    return code;
}
