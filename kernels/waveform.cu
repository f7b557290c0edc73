/* waveform on CUDA: a warp per block of samples, or eight of them where blocks are long enough to keep eight busy. Each
 * sample is read once: bound by memory. Which way is taken depends on the length of a block alone, and lanes count from
 * the block's first sample, so that no cut of the signal changes a bit. */
#include "waveform.h"

#include "device.cuh"

enum { WARPS = 8, THREADS = 32 * WARPS, LONG = 8192 };

struct waveform_batch {
    const float *x;
    float *y;
    const int64_t *x_offset, *y_offset;
    const struct piece *piece;
    int64_t rows, blocks, block;
};

struct extent {
    double squares;
    float least, most;
};

static __device__ inline struct extent joined(struct extent a, struct extent b)
{
    a.squares += b.squares;
    a.least = b.least < a.least ? b.least : a.least;
    a.most = b.most > a.most ? b.most : a.most;
    return a;
}

/* The n samples from x on, as the lanes of `threads` threads see them, one warp's put together. */
static __device__ inline struct extent measure(const float *x, int n, int thread, int threads)
{
    struct extent e = {0, INFINITY, -INFINITY};
    for (int i = thread; i < n; i += threads) {
        const float v = x[i];
        const struct extent one = {(double)v * v, v, v};
        e = joined(e, one);
    }
    for (int d = 16; d > 0; d /= 2) {
        const struct extent other = {__shfl_xor_sync(0xffffffffu, e.squares, d),
                                     __shfl_xor_sync(0xffffffffu, e.least, d), __shfl_xor_sync(0xffffffffu, e.most, d)};
        e = joined(e, other);
    }
    return e;
}

static __device__ inline void store(float *y, struct extent e, int n)
{
    const bool number = e.squares == e.squares;
    y[0] = number ? e.least : NAN;
    y[1] = number ? e.most : NAN;
    y[2] = number ? (float)sqrt(e.squares / (double)n) : NAN;
}

/* Where block t of the batch begins, and how many samples it has. */
static __device__ inline const float *samples_of(const struct waveform_batch *k, int64_t t, int *n)
{
    const int64_t b = row_of(k->y_offset, k->rows, t);
    const struct piece piece = piece_of(k->piece, b);
    const int64_t number = waveform_first(k->block, piece) + t - k->y_offset[b];
    const int64_t from = number * k->block - piece.start, left = k->x_offset[b + 1] - k->x_offset[b] - from;
    *n = (int)(left < k->block ? left : k->block);
    return k->x + k->x_offset[b] + from;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8)) waveform_short(struct waveform_batch k)
{
    const int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int n;
    if (t >= k.blocks) /* the same for a whole warp */
        return;
    const float *const x = samples_of(&k, t, &n);
    const struct extent e = measure(x, n, threadIdx.x % 32, 32);
    if (threadIdx.x % 32 == 0)
        store(k.y + 3 * t, e, n);
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8)) waveform_long(struct waveform_batch k)
{
    SHARED(struct extent, part, WARPS);
    int n;
    const float *const x = samples_of(&k, blockIdx.x, &n);
    struct extent e = measure(x, n, (int)threadIdx.x, THREADS);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = e;
    __syncthreads();
    if (threadIdx.x)
        return;
    for (int w = 1; w < WARPS; w++)
        e = joined(e, part[w]);
    store(k.y + 3 * (int64_t)blockIdx.x, e, n);
}

extern "C" int waveform_cuda(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y)
{
    const struct waveform_batch k = {(const float *)x->data, (float *)y->data, x->offset_device, y->offset_device,
                                     x->piece_device,        x->rows,          y->total,         block};
    if (y->total == 0)
        return STATUS_OK;
    if (block < LONG)
        LAUNCH(waveform_short, (unsigned)((y->total + WARPS - 1) / WARPS), THREADS, 0, device_launch_stream(ex), k);
    else
        LAUNCH(waveform_long, (unsigned)y->total, THREADS, 0, device_launch_stream(ex), k);
    return device_launched("waveform");
}
