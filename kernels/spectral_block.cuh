/* spectral_block - what the kernels of spectral.cu and spectral_features.cu do with the frames of a block: which they
 * are, their samples, their transforms. n is the size of a frame, H = n/2 its complex points; both are constants where
 * the kernels call these functions. */
#ifndef SPECTRAL_BLOCK_CUH
#define SPECTRAL_BLOCK_CUH
#include "fft.cuh"
#include "spectral.cuh"
#include "tiles.cuh"

#define SPECTRAL_FRAMES(n) ((n) >= 512 ? 8192 / (n) : 16) /* 256 threads, fewer for the smallest */
#define SPECTRAL_THREADS(n) (SPECTRAL_FRAMES(n) * FFT_THREADS((n) / 2))

/* Blocks that the registers must leave room for. Older generations spill at three; their shared memory ends below that.
 */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 860
#define SPECTRAL_BLOCKS(blocks) ((blocks) < 2 ? (blocks) : 2)
#else
#define SPECTRAL_BLOCKS(blocks) (blocks)
#endif

/* Samples between the frames of a block in its tile. */
static __host__ __device__ inline int64_t tile_step(const struct frame_params *p)
{
    return p->hop_samples < p->window_samples ? p->hop_samples : p->window_samples;
}

/* Dynamic shared memory: the points of all frames, and their samples. */
static inline size_t spectral_shared_floats(const struct frame_params *p, int n)
{
    const size_t tile = (size_t)(SPECTRAL_FRAMES(n) - 1) * (size_t)tile_step(p) + (size_t)n;
    return 2 * (size_t)SPECTRAL_FRAMES(n) * FFT_STRIDE(n / 2) + tile;
}

/* What a kernel of size n is launched with. */
struct spectral_launch {
    spectral_kernel *kernel;
    int frames; /* that a block writes */
    size_t shared_bytes, static_bytes;
};

static inline int spectral_launch(struct exec *ex, const struct spectra *s, const struct spectral_launch *l,
                                  const char *op)
{
    const int n = (int)s->f.p.window_samples;
    const int64_t blocks = s->f.frames / l->frames + s->f.rows;
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "%s: %lld frames in one batch, this GPU takes %lld", op, (long long)s->f.frames,
                    (long long)INT32_MAX * l->frames);
    if (l->shared_bytes + l->static_bytes > 48 << 10) {
        const int code = device_allow_shared(op, l->kernel, l->shared_bytes);
        if (code)
            return code;
    }
    LAUNCH(l->kernel, (unsigned)blocks, (unsigned)SPECTRAL_THREADS(n), l->shared_bytes, device_launch_stream(ex), *s);
    return device_launched(op);
}

/* The frames of a block: `count` of them, from frame t of row b on; 0: the block has none. */
struct share {
    int64_t b, t;
    int count;
};

static __device__ inline struct share share_of(const struct framed *f, const int frames)
{
    const struct tile tile = tile_of(f->y_offset, f->rows, frames, blockIdx.x);
    struct share s;
    s.b = tile.row;
    s.t = tile.first;
    s.count = (int)tile.count;
    return s;
}

/* All samples of the block's frames, zeros or mirrored ones outside the row. */
static __device__ __forceinline__ void load_tile(const struct spectra *s, const struct share *share, float *tile)
{
    const struct framed *const f = &s->f;
    const int64_t n = f->p.window_samples, hop = f->p.hop_samples, step = tile_step(&f->p);
    const int64_t row = f->x_offset[share->b], samples = f->x_offset[share->b + 1] - row;
    const int64_t from = frame_from(&f->p, piece_of(f->piece, share->b)) + share->t * hop;
    const int length = (int)((share->count - 1) * step + n);
    for (int i = (int)threadIdx.x; i < length; i += (int)blockDim.x) {
        const int64_t at = from + (hop <= n ? i : i / n * hop + i % n);
        const bool inside = at >= 0 && at < samples;
        float v = 0;
        if (inside)
            v = sample_of(f->x, f->dtype, row + at);
        else if (s->reflect)
            v = sample_of(f->x, f->dtype, row + frame_reflect(at, samples));
        tile[i] = v;
    }
}

/* Transforms the block's frames. Afterwards v holds points j + T*i of thread j's frame, and buffer all of them. */
static __device__ __forceinline__ void transform(const struct spectra *s, const struct share *share, const int H,
                                                 int frame, int j, float *shared, float2 *v)
{
    const int T = FFT_THREADS(H);
    float *const buffer = shared + 2 * frame * FFT_STRIDE(H);
    float *const tile = shared + 2 * SPECTRAL_FRAMES(2 * H) * FFT_STRIDE(H);
    load_tile(s, share, tile);
    __syncthreads();
    const int step = (int)tile_step(&s->f.p);
    const float *const x = tile + (frame < share->count ? frame : 0) * step; /* idle ones repeat the first */
    const bool even = step % 2 == 0;
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++) {
        const int at = 2 * (j + T * i);
        const float2 w = load2(s->window + at);
        const float2 pair = even ? load2(x + at) : make_float2(x[at], x[at + 1]);
        v[i] = make_float2(pair.x * w.x, pair.y * w.y);
    }
    fft_block(v, H, j, s->twiddle, buffer);
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++)
        store2(buffer + 2 * (j + T * i), v[i]);
    __syncthreads();
}

/* Whether a frame has a sample that is not finite: their sum is not either. first: point 0 of the transform. */
static __device__ __forceinline__ bool not_finite(float2 first)
{
    return !(fabsf(first.x) + fabsf(first.y) < INFINITY);
}

/* Bin k of the real frame from points k (a) and H - k (b) of the packed one; w = exp(-2*pi*j*k/n). */
static __device__ __forceinline__ float2 take_apart(float2 a, float2 b, float2 w)
{
    const float2 even = make_float2((a.x + b.x) * 0.5f, (a.y - b.y) * 0.5f);
    const float2 odd = make_float2((a.y + b.y) * 0.5f, (b.x - a.x) * 0.5f);
    return fft_add(even, fft_mul(odd, w));
}

/* Where the energies of a frame lie, in its own points: frames that share a warp begin in different banks. */
static __device__ __forceinline__ float *energies_of(float *shared, int frame, const int H)
{
    const int T = FFT_THREADS(H);
    return shared + 2 * frame * FFT_STRIDE(H) + (T < 32 ? frame % (32 / T) * T : 0);
}

static __device__ __forceinline__ const float *energies_of(const float *shared, int frame, const int H)
{
    return energies_of((float *)shared, frame, H);
}

/* Replaces the block's points by energies: |X|^2 of all bins, for every thread to read. Those of a frame that is not
 * finite begin with an infinity. */
static __device__ __forceinline__ void keep_energies(const struct spectra *s, const float2 *v, const int H, int frame,
                                                     int j, float *shared)
{
    const int T = FFT_THREADS(H);
    const float *const buffer = shared + 2 * frame * FFT_STRIDE(H);
    float *const energies = energies_of(shared, frame, H);
    const float2 first = load2(buffer);
    float energy[FFT_POINTS];
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++) {
        const int k = j + T * i;
        const float2 x = take_apart(v[i], load2(buffer + 2 * ((H - k) % H)), load2(s->split + 2 * k));
        energy[i] = x.x * x.x + x.y * x.y;
        if (i % 4 == 3)
            DEVICE_KEEP_ORDER(); /* loads of all sixteen at once would not fit the registers */
    }
    __syncthreads(); /* everybody has read the points */
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++)
        energies[j + T * i] = energy[i];
    if (j == 0)
        energies[H] = (first.x - first.y) * (first.x - first.y);
    if (j == 0 && not_finite(first))
        energies[0] = INFINITY;
    __syncthreads();
}

#endif
