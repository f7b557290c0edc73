/* spectral on CUDA: window, transform and what is measured on it in one kernel, with no spectrum in device memory
 * unless it is asked for. Sizes that are powers of two from 64 to 8192 by fft.cuh, others by cuFFT (spectral_cufft.cu).
 *
 * A block transforms SPECTRAL_FRAMES(n) consecutive frames of one row. It loads the samples that they share once,
 * converted to f32, into shared memory; hop 512 of 2048 reads 3584 samples for four frames instead of 8192. Real
 * samples are packed in pairs into n/2 complex points and taken apart after the transform. Blocks are numbered so that
 * a row of T frames has at least ceil(T / frames) of them without a table: row b begins at block offset[b] / frames +
 * b.
 *
 * Limits, per frame of n_fft 2048 and hop 512: 2048 bytes of samples in; out 8200 (spectrum) or 512 (128 bands) bytes;
 * 67 kFLOP; 66 KB through shared memory. The spectrum is bound by device memory, bands by arithmetic and shared memory.
 * Device memory in whole sectors. Passes over the banks of shared memory, for each that is needed (test_counted.c):
 * spectra 1.0 from n_fft 512 on with an even hop, 1.14 with an odd one (samples are then read one at a time), up to 1.7
 * below 512 (the frames of a half-warp lie a hop apart); bands 1.2 at 2048 and 1.5 at 8192, since each begins where it
 * begins. */
#include "spectral_block.cuh"
#include "spectral_measures.cuh"

/* Spectra of small sizes leave through shared memory: the block's frames lie one after the other in the result, and so
 * whole sectors are written, where frames of fewer than 32 threads would write a piece each. */
static __device__ __forceinline__ void write_together(const float2 *v, float2 last, const int H, int frame, int j,
                                                      int count, float *shared, float *y)
{
    const int T = FFT_THREADS(H);
    float *const mine = shared + 2 * frame * (H + 1);
    __syncthreads(); /* everybody has read the points */
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++)
        store2(mine + 2 * (j + T * i), v[i]);
    if (j == 0)
        store2(mine + 2 * H, last);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < count * (H + 1); i += (int)blockDim.x)
        store2(y + 2 * i, load2(shared + 2 * i));
}

static __device__ __forceinline__ void stft_body(const struct spectra *s, const int H)
{
    SHARED_DYNAMIC(float, shared);
    const struct share share = share_of(&s->f, SPECTRAL_FRAMES(2 * H));
    if (share.count == 0)
        return;
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T, j = (int)threadIdx.x % T;
    const float *const buffer = shared + 2 * frame * FFT_STRIDE(H);
    float *const y = s->out[SPECTRAL_STFT] + 2 * (s->f.y_offset[share.b] + share.t) * (H + 1);
    float2 v[FFT_POINTS];
    transform(s, &share, H, frame, j, shared, v);
    const float2 first = load2(buffer), nan = make_float2(NAN, NAN);
    const bool bad = not_finite(first);
    const float2 last = bad ? nan : make_float2(first.x - first.y, 0);
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++) {
        const int k = j + T * i;
        const float2 x = take_apart(v[i], load2(buffer + 2 * ((H - k) % H)), load2(s->split + 2 * k));
        v[i] = bad ? nan : x;
    }
    if (T < 32) {
        write_together(v, last, H, frame, j, share.count, shared, y);
        return;
    }
    if (frame >= share.count)
        return;
#pragma unroll
    for (int i = 0; i < FFT_POINTS; i++)
        store2(y + 2 * (frame * (H + 1) + j + T * i), v[i]);
    if (j == 0)
        store2(y + 2 * (frame * (H + 1) + H), last);
}

static __device__ __forceinline__ void mel_body(const struct spectra *s, const int H)
{
    SHARED_DYNAMIC(float, shared);
    const struct share share = share_of(&s->f, SPECTRAL_FRAMES(2 * H));
    if (share.count == 0)
        return;
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T, j = (int)threadIdx.x % T;
    float2 v[FFT_POINTS];
    transform(s, &share, H, frame, j, shared, v);
    keep_energies(s, v, H, frame, j, shared);
    float *const energies = energies_of(shared, frame, H);
    raise_energies(s, energies, H + 1, j, T);
    if (frame >= share.count)
        return;
    const bool bad = !(energies[0] < INFINITY);
    float *const y = s->out[SPECTRAL_MEL] + (s->f.y_offset[share.b] + share.t + frame) * s->mels;
    for (int m = j; m < s->mels; m += T) {
        const float e = band_of(s, energies, H, m);
        y[m] = bad ? NAN : e;
    }
}

/* occupancy: 16 blocks of 32 threads, 9 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(64), SPECTRAL_BLOCKS(16)) stft_64_kernel(struct spectra s)
{
    stft_body(&s, 32);
}

/* occupancy: 12 blocks of 64 threads, 17 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(128), SPECTRAL_BLOCKS(12)) stft_128_kernel(struct spectra s)
{
    stft_body(&s, 64);
}

/* occupancy: 6 blocks of 128 threads, 34 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(256), SPECTRAL_BLOCKS(6)) stft_256_kernel(struct spectra s)
{
    stft_body(&s, 128);
}

/* occupancy: 3 blocks of 256 threads, 43 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(512), SPECTRAL_BLOCKS(3)) stft_512_kernel(struct spectra s)
{
    stft_body(&s, 256);
}

/* occupancy: 3 blocks of 256 threads, 44 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(1024), SPECTRAL_BLOCKS(3)) stft_1024_kernel(struct spectra s)
{
    stft_body(&s, 512);
}

/* occupancy: 3 blocks of 256 threads, 46 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(2048), SPECTRAL_BLOCKS(3)) stft_2048_kernel(struct spectra s)
{
    stft_body(&s, 1024);
}

/* occupancy: 3 blocks of 256 threads, 52 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(4096), SPECTRAL_BLOCKS(3)) stft_4096_kernel(struct spectra s)
{
    stft_body(&s, 2048);
}

/* occupancy: 3 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(8192), SPECTRAL_BLOCKS(3)) stft_8192_kernel(struct spectra s)
{
    stft_body(&s, 4096);
}

/* occupancy: 16 blocks of 32 threads, 9 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(64), SPECTRAL_BLOCKS(16)) mel_64_kernel(struct spectra s)
{
    mel_body(&s, 32);
}

/* occupancy: 12 blocks of 64 threads, 17 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(128), SPECTRAL_BLOCKS(12)) mel_128_kernel(struct spectra s)
{
    mel_body(&s, 64);
}

/* occupancy: 6 blocks of 128 threads, 34 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(256), SPECTRAL_BLOCKS(6)) mel_256_kernel(struct spectra s)
{
    mel_body(&s, 128);
}

/* occupancy: 3 blocks of 256 threads, 43 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(512), SPECTRAL_BLOCKS(3)) mel_512_kernel(struct spectra s)
{
    mel_body(&s, 256);
}

/* occupancy: 3 blocks of 256 threads, 44 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(1024), SPECTRAL_BLOCKS(3)) mel_1024_kernel(struct spectra s)
{
    mel_body(&s, 512);
}

/* occupancy: 3 blocks of 256 threads, 46 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(2048), SPECTRAL_BLOCKS(3)) mel_2048_kernel(struct spectra s)
{
    mel_body(&s, 1024);
}

/* occupancy: 3 blocks of 256 threads, 52 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(4096), SPECTRAL_BLOCKS(3)) mel_4096_kernel(struct spectra s)
{
    mel_body(&s, 2048);
}

/* occupancy: 3 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(8192), SPECTRAL_BLOCKS(3)) mel_8192_kernel(struct spectra s)
{
    mel_body(&s, 4096);
}

static const struct size {
    int n;
    spectral_kernel *stft, *mel;
} sizes[] = {
    {64, stft_64_kernel, mel_64_kernel},       {128, stft_128_kernel, mel_128_kernel},
    {256, stft_256_kernel, mel_256_kernel},    {512, stft_512_kernel, mel_512_kernel},
    {1024, stft_1024_kernel, mel_1024_kernel}, {2048, stft_2048_kernel, mel_2048_kernel},
    {4096, stft_4096_kernel, mel_4096_kernel}, {8192, stft_8192_kernel, mel_8192_kernel},
};

bool spectral_is_own_size(int64_t n)
{
    return n >= 64 && n <= 8192 && (n & (n - 1)) == 0;
}

static int launch(struct exec *ex, const struct spectra *s, spectral_kernel *kernel, const char *op)
{
    const int n = (int)s->f.p.window_samples;
    struct spectral_launch l;
    l.kernel = kernel;
    l.frames = SPECTRAL_FRAMES(n);
    l.shared_bytes = spectral_shared_floats(&s->f.p, n) * sizeof(float);
    l.static_bytes = 0;
    return spectral_launch(ex, s, &l, op);
}

static int run_own(struct exec *ex, const struct spectra *s)
{
    const struct size *size = sizes;
    bool features = false;
    int code = STATUS_OK;
    while (size->n != s->f.p.window_samples)
        size++;
    for (int o = 0; o < SPECTRAL_OUTPUTS; o++)
        features |= o != SPECTRAL_STFT && o != SPECTRAL_MEL && s->out[o];
    if (s->out[SPECTRAL_STFT])
        code = launch(ex, s, size->stft, "stft");
    if (!code && features)
        code = spectral_launch_features(ex, s);
    else if (!code && s->out[SPECTRAL_MEL])
        code = launch(ex, s, size->mel, "mel");
    return code;
}

static const void *at(const struct device_plan *plan, int64_t offset)
{
    return (const char *)plan->device + offset;
}

static void set_bands(struct spectra *s, const struct spectral_params *p, const struct mel_device_plan *mel)
{
    s->mels = p->mel.mels;
    s->log = p->mel.log;
    s->power = (float)p->mel.power;
    s->first = (const int *)at(&mel->head, mel->first_at);
    s->group = (const struct mel_group *)at(&mel->head, mel->group_at);
    s->weight = (const float *)at(&mel->head, mel->weight_at);
    s->row = (const struct mel_row *)at(&mel->head, mel->row_at);
    s->row_weight = (const float *)at(&mel->head, mel->row_weight_at);
}

static void set_polynomials(struct spectra *s, const struct spectral_params *p, const struct poly_device_plan *poly)
{
    s->poly_terms = p->poly_order + 1;
    s->poly_basis = (const float *)at(&poly->head, poly->basis_at);
    s->poly_powers = (const double *)at(&poly->head, poly->powers_at);
}

extern "C" int spectral_cuda(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                             const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS])
{
    const struct stft_device_plan *const stft = (const struct stft_device_plan *)plans->stft;
    const struct ragged *any = NULL;
    struct spectra s = {};
    for (int o = 0; o < SPECTRAL_OUTPUTS; o++)
        if (out[o]) {
            any = out[o];
            s.out[o] = (float *)out[o]->data;
        }
    if (!any || any->total == 0)
        return STATUS_OK;
    s.f = framed_of(&p->stft.frame, x, any);
    s.reflect = p->stft.pad == PAD_REFLECT;
    s.window = (const float *)at(&stft->head, stft->window_at);
    s.twiddle = (const float *)at(&stft->head, stft->twiddle_at);
    s.split = (const float *)at(&stft->head, stft->split_at);
    s.bin_hz = (float)(p->rate_hz / (double)p->stft.frame.window_samples);
    s.rolloff = (float)p->rolloff;
    s.spectrogram_power = (float)p->spectrogram.power;
    s.db = p->spectrogram.db;
    if (plans->contrast)
        s.contrast = *plans->contrast;
    if (out[SPECTRAL_MEL])
        set_bands(&s, p, (const struct mel_device_plan *)(const void *)plans->mel);
    if (out[SPECTRAL_POLY])
        set_polynomials(&s, p, (const struct poly_device_plan *)(const void *)plans->poly);
    return spectral_is_own_size(p->stft.frame.window_samples) ? run_own(ex, &s) : spectral_by_cufft(ex, &s);
}

extern "C" size_t spectral_cuda_work_bytes(const struct spectral_params *p)
{
    const int64_t n = p->stft.frame.window_samples;
    return spectral_is_own_size(n) ? 0 : spectral_cufft_work_bytes(n);
}
