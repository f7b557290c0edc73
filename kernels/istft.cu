/* istft on CUDA, without atomics: a block owns a tile of consecutive samples, in shared memory, and transforms every
 * frame that reaches it, a few at a time; frames at the tile's ends are transformed by two blocks. At n_fft 2048 and
 * hop 512 that is 20 frames for 16, so 1.25 times 8 bytes per bin in (the second time mostly from cache), 4 per sample
 * out: 22 bytes per sample. Inverse frames through device memory would move 16 + 16 + 16 + 4 = 52.
 *
 * The n/2 + 1 bins are put together into n/2 points; the inverse transform is the forward one with real and imaginary
 * parts exchanged. Sums and their divisors are added in the order of the frames, whatever block adds them. Sizes that
 * fft.cuh does not cover go through cuFFT (istft_cufft.cu). Bound by shared memory and arithmetic; banks take one pass
 * per access from 512 on, and 1.2, 1.5 and 1.2 at 64, 128 and 256, where a warp takes points of several frames. */
#include "istft.cuh"

#include "fft.cuh"

#include <float.h>

#define FRAMES(n) ((n) >= 512 ? 8192 / (n) : 16)
#define THREADS(n) (FRAMES(n) * FFT_THREADS((n) / 2))
#define TILE(n) ((n) >= 512 ? 8064 : 16 * (n))
/* Complex points between frames of a block, and of all of them: small frames are loaded as they lie, H + 1 each. */
#define POINTS(n) (FRAMES(n) * (FFT_STRIDE((n) / 2) + (FFT_THREADS((n) / 2) == 16 ? 1 : 0)))

/* Blocks that the registers must leave room for: those before sm_80 have no shared memory for two large ones. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define BLOCKS(blocks) 1
#else
#define BLOCKS(blocks) (blocks)
#endif

/* Frames t .. t + count - 1 of a row, for a thread: its frame and its place there. */
struct group {
    const float *x; /* the first frame's bins */
    int count, frame, j;
};

/* Point k of the packed inverse from bins k (a) and H - k (b), real and imaginary parts exchanged; w =
 * exp(-2*pi*j*k/n). */
static __device__ __forceinline__ float2 put_together(float2 a, float2 b, float2 w)
{
    const float2 even = make_float2((a.x + b.x) * 0.5f, (a.y - b.y) * 0.5f);
    const float2 odd = make_float2((a.x - b.x) * 0.5f, (a.y + b.y) * 0.5f);
    const float2 turned = make_float2(odd.x * w.x + odd.y * w.y, odd.y * w.x - odd.x * w.y);
    return make_float2(even.y + turned.x, even.x - turned.y);
}

/* The points of the thread's frame; small frames come by way of shared memory, whole sectors at a time. */
static __device__ __forceinline__ void load_points(const struct inverse *s, const struct group *g, const int H,
                                                   float *shared, float2 *v)
{
    const int T = FFT_THREADS(H);
    const float *bins = g->x + 2 * (int64_t)(g->frame < g->count ? g->frame : 0) * (H + 1); /* idle: the first */
    if (T < 32) {
        for (int i = (int)threadIdx.x; i < g->count * (H + 1); i += (int)blockDim.x)
            store2(shared + 2 * i, load2(g->x + 2 * i));
        __syncthreads();
        bins = shared + 2 * (g->frame < g->count ? g->frame : 0) * (H + 1);
    }
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++) {
        const int k = g->j + T * i;
        float2 a = load2(bins + 2 * k), b = load2(bins + 2 * (H - k));
        if (k == 0) { /* no real signal has anything there */
            a.y = 0;
            b.y = 0;
        }
        v[i] = put_together(a, b, load2(s->split + 2 * k));
        if (i % 4 == 3)
            DEVICE_KEEP_ORDER(); /* all loads at once take more registers than there are */
    }
    if (T < 32)
        __syncthreads();
}

/* Windowed samples of the block's frames in shared memory; bad[frame]: a bin was not finite. */
static __device__ __forceinline__ void inverse_frames(const struct inverse *s, const struct group *g, const int H,
                                                      float *shared, int *bad)
{
    const int T = FFT_THREADS(H);
    float *const buffer = shared + 2 * g->frame * FFT_STRIDE(H);
    float2 v[FFT_POINTS];
    load_points(s, g, H, shared, v);
    fft_block(v, H, g->j, s->twiddle, buffer);
    if (g->j == 0) /* the sum of all points */
        bad[g->frame] = !(fabsf(v[0].x) + fabsf(v[0].y) < INFINITY);
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++) {
        const int at = 2 * (g->j + T * i);
        const float2 w = load2(s->window + at);
        store2(buffer + at, make_float2(v[i].y * w.x * (1.0f / H), v[i].x * w.y * (1.0f / H)));
    }
    __syncthreads();
}

static __device__ __forceinline__ void istft_body(const struct inverse *s, const int H)
{
    SHARED_DYNAMIC(float, shared);
    SHARED(int, bad, 16);
    const int n = 2 * H, T = FFT_THREADS(H), threads = THREADS(n);
    const struct tile tile = tile_of(s->y_offset, s->rows, TILE(n), blockIdx.x);
    if (tile.count == 0)
        return;
    const int64_t frames = s->x_offset[tile.row + 1] - s->x_offset[tile.row], from = tile.first + s->pad;
    const int64_t first = frame_reaching(from, n, s->hop), behind = (from + tile.count - 1) / s->hop + 1;
    const int64_t end = behind < frames ? behind : frames;
    float *const sums = shared + 2 * POINTS(n);
    for (int i = (int)threadIdx.x; i < tile.count; i += threads)
        sums[i] = 0;
    for (int64_t t = first; t < end; t += FRAMES(n)) {
        const int count = (int)(end - t < FRAMES(n) ? end - t : FRAMES(n));
        int j = (int)threadIdx.x % T;
        asm volatile("" : "+r"(j)); /* or addresses that do not change are kept, in registers that are not there */
        const struct group g = {s->x + 2 * (s->x_offset[tile.row] + t) * (H + 1), count, (int)threadIdx.x / T, j};
        inverse_frames(s, &g, H, shared, bad);
        for (int f = 0; f < count; f++) { /* a thread has the same samples of all frames */
            const int begin = (int)((t + f) * s->hop - from), lo = begin > 0 ? begin : 0;
            const int hi = begin + n < tile.count ? begin + n : (int)tile.count;
            const float *const frame = shared + 2 * f * FFT_STRIDE(H);
            const int skip = ((int)threadIdx.x - lo % threads + threads) % threads;
            for (int i = lo + skip; i < hi; i += threads)
                sums[i] += bad[f] ? NAN : frame[i - begin];
        }
        __syncthreads();
    }
    float *const y = s->y + s->y_offset[tile.row] + tile.first;
    for (int i = (int)threadIdx.x; i < tile.count; i += threads)
        y[i] = divided(s, sums[i], from + i, frames);
}

/* occupancy: 16 blocks of 32 threads, 9 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(64), BLOCKS(16)) istft_64_kernel(struct inverse s)
{
    istft_body(&s, 32);
}

/* occupancy: 7 blocks of 64 threads, 17 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(128), BLOCKS(7)) istft_128_kernel(struct inverse s)
{
    istft_body(&s, 64);
}

/* occupancy: 4 blocks of 128 threads, 34 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(256), BLOCKS(4)) istft_256_kernel(struct inverse s)
{
    istft_body(&s, 128);
}

/* occupancy: 2 blocks of 256 threads, 65 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(512), BLOCKS(2)) istft_512_kernel(struct inverse s)
{
    istft_body(&s, 256);
}

/* occupancy: 2 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(1024), BLOCKS(2)) istft_1024_kernel(struct inverse s)
{
    istft_body(&s, 512);
}

/* occupancy: 2 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(2048), BLOCKS(2)) istft_2048_kernel(struct inverse s)
{
    istft_body(&s, 1024);
}

/* occupancy: 2 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(4096), BLOCKS(2)) istft_4096_kernel(struct inverse s)
{
    istft_body(&s, 2048);
}

/* occupancy: 2 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS(8192), BLOCKS(2)) istft_8192_kernel(struct inverse s)
{
    istft_body(&s, 4096);
}

#define SIZE(n) \
    { \
        n, THREADS(n), TILE(n), 2 * POINTS(n) + TILE(n), istft_##n##_kernel \
    }
static const struct size {
    int n, threads, tile, floats;
    void (*kernel)(struct inverse);
} sizes[] = {SIZE(64), SIZE(128), SIZE(256), SIZE(512), SIZE(1024), SIZE(2048), SIZE(4096), SIZE(8192)};

static int run_own(struct exec *ex, const struct inverse *s, const struct ragged *y)
{
    const struct size *size = sizes;
    while (size->n != s->n)
        size++;
    const size_t bytes = (size_t)size->floats * sizeof(float);
    const int64_t blocks = tile_slots(y, size->tile);
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "istft: %lld samples are more than one launch gives", (long long)y->total);
    const int code = bytes + 16 * sizeof(int) > 48 << 10 ? device_allow_shared("istft", size->kernel, bytes) : 0;
    if (code)
        return code;
    LAUNCH(size->kernel, (unsigned)blocks, (unsigned)size->threads, bytes, device_launch_stream(ex), *s);
    return device_launched("istft");
}

extern "C" int istft_cuda(struct exec *ex, const struct stft_params *p, const void *memory, const struct ragged *x,
                          struct ragged *y)
{
    const struct stft_device_plan *const plan = (const struct stft_device_plan *)memory;
    const char *const device = (const char *)plan->head.device;
    struct inverse s = {};
    if (y->total == 0)
        return STATUS_OK;
    s.x = (const float *)x->data;
    s.y = (float *)y->data;
    s.x_offset = x->offset_device;
    s.y_offset = y->offset_device;
    s.rows = x->rows;
    s.n = p->frame.window_samples;
    s.hop = p->frame.hop_samples;
    s.pad = frame_pad(&p->frame);
    s.window = (const float *)(device + plan->window_at);
    s.twiddle = (const float *)(device + plan->twiddle_at);
    s.split = (const float *)(device + plan->split_at);
    return spectral_is_own_size(s.n) ? run_own(ex, &s, y) : istft_by_cufft(ex, &s, x, y);
}

extern "C" size_t istft_cuda_work_bytes(const struct stft_params *p)
{
    const int64_t n = p->frame.window_samples;
    return spectral_is_own_size(n) ? 0 : istft_cufft_work_bytes(n);
}
