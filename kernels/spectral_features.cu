/* Every output of the spectral row but the spectrum itself, from one transform per frame: the energies stay in shared
 * memory, and each measure is taken from there. What spectral.cu says of blocks, memory and banks holds here too. */
#include "spectral_block.cuh"
#include "spectral_measures.cuh"

/* A warp for each band of each of the block's frames. */
static __device__ __forceinline__ void write_contrast(const struct spectra *s, const float *shared, const int H,
                                                      int64_t frame0, int frames)
{
    const int bands = (int)s->contrast.bands;
    for (int task = (int)threadIdx.x / 32; task < frames * bands; task += (int)blockDim.x / 32) {
        const int frame = task / bands;
        contrast_band(s, energies_of(shared, frame, H), task % bands,
                      s->out[SPECTRAL_CONTRAST] + (frame0 + frame) * 2 * bands);
    }
}

/* Energies or decibels of all bins of the block's frames, which lie one after the other in the result. */
static __device__ __forceinline__ void write_spectrogram(const struct spectra *s, const float *shared, const int H,
                                                         int64_t frame0, int frames)
{
    float *const y = s->out[SPECTRAL_SPECTROGRAM] + frame0 * (H + 1);
    for (int i = (int)threadIdx.x; i < frames * (H + 1); i += (int)blockDim.x) {
        const float *const energies = energies_of(shared, i / (H + 1), H);
        const float e = energies[i % (H + 1)];
        const float v = s->db ? decibels(e) : to_power(e, s->spectrogram_power);
        y[i] = energies[0] < INFINITY ? v : NAN;
    }
}

static __device__ __forceinline__ void features_body(const struct spectra *s, const int H)
{
    SHARED_DYNAMIC(float, shared);
    SHARED(float, scratch, 8);
    const struct share share = share_of(&s->f, SPECTRAL_FRAMES(2 * H));
    if (share.count == 0)
        return;
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T, j = (int)threadIdx.x % T;
    const int64_t frame0 = s->f.y_offset[share.b] + share.t;
    float2 v[FFT_POINTS];
    transform(s, &share, H, shared, v);
    keep_energies(s, v, H, frame, j, shared);
    const struct measured m = {energies_of(shared, frame, H), H + 1, j, scratch};
    const bool bad = !(m.energies[0] < INFINITY), writes = frame < share.count;
    write_values(s, &m, T, frame0 + frame, writes && j == 0, bad);
    if (s->out[SPECTRAL_CONTRAST])
        write_contrast(s, shared, H, frame0, share.count);
    if (s->out[SPECTRAL_SPECTROGRAM])
        write_spectrogram(s, shared, H, frame0, share.count);
    if (!s->out[SPECTRAL_MEL])
        return;
    __syncthreads(); /* nobody reads energies as such any more */
    raise_energies(s, energies_of(shared, frame, H), H + 1, j, T);
    for (int k = j; writes && k < s->mels; k += T) {
        const float e = band_of(s, m.energies, H, k);
        s->out[SPECTRAL_MEL][(frame0 + frame) * s->mels + k] = bad ? NAN : e;
    }
}

/* occupancy: 12 blocks of 32 threads, 9 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(64), SPECTRAL_BLOCKS(12)) features_64_kernel(struct spectra s)
{
    features_body(&s, 32);
}

/* occupancy: 8 blocks of 64 threads, 17 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(128), SPECTRAL_BLOCKS(8))
    features_128_kernel(struct spectra s)
{
    features_body(&s, 64);
}

/* occupancy: 5 blocks of 128 threads, 34 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(256), SPECTRAL_BLOCKS(5))
    features_256_kernel(struct spectra s)
{
    features_body(&s, 128);
}

/* occupancy: 3 blocks of 256 threads, 43 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(512), SPECTRAL_BLOCKS(3))
    features_512_kernel(struct spectra s)
{
    features_body(&s, 256);
}

/* occupancy: 2 blocks of 256 threads, 44 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(1024), SPECTRAL_BLOCKS(2))
    features_1024_kernel(struct spectra s)
{
    features_body(&s, 512);
}

/* occupancy: 2 blocks of 256 threads, 46 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(2048), SPECTRAL_BLOCKS(2))
    features_2048_kernel(struct spectra s)
{
    features_body(&s, 1024);
}

/* occupancy: 2 blocks of 256 threads, 52 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(4096), SPECTRAL_BLOCKS(2))
    features_4096_kernel(struct spectra s)
{
    features_body(&s, 2048);
}

/* occupancy: 2 blocks of 256 threads, 64 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(8192), SPECTRAL_BLOCKS(2))
    features_8192_kernel(struct spectra s)
{
    features_body(&s, 4096);
}

spectral_kernel *spectral_features_kernel(int64_t n)
{
    switch (n) {
    case 64:
        return features_64_kernel;
    case 128:
        return features_128_kernel;
    case 256:
        return features_256_kernel;
    case 512:
        return features_512_kernel;
    case 1024:
        return features_1024_kernel;
    case 2048:
        return features_2048_kernel;
    case 4096:
        return features_4096_kernel;
    case 8192:
        return features_8192_kernel;
    default:
        return NULL;
    }
}
