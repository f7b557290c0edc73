/* Every output of the spectral row but the spectrum itself, from one transform per frame: the energies stay in shared
 * memory, and each measure is taken from there. What spectral.cu says of blocks, memory and banks holds here too.
 *
 * Flux wants the frame before each, and so before a block's first. A block that is asked for it writes FLUX_RUN frames
 * of a row in as many rounds as it takes, and transforms the one before them a second time: one transform in sixteen
 * more, up to (H + 1) * 4 bytes of shared memory, and a grid of fewer and longer blocks. A frame's energies are the
 * same bits wherever in a block it lies, so neither is its flux another one where a signal is cut otherwise. */
#include "flux.cuh"
#include "poly.cuh"
#include "spectral_block.cuh"

enum {
    FLUX_RUN = 15, /* with the frame before them sixteen: whole rounds of every size */
    FRAMES_MOST = SPECTRAL_FRAMES(64),
    WARPS_MOST = SPECTRAL_THREADS(8192) / 32,
    DOTS = FRAMES_MOST * (POLY_ORDER_MOST + 1)
};

/* A round of a block, in shared memory: registers are for the transform. Frames first .. share.count - 1 of the share
 * are measured; one before them is there for its energies alone. */
struct round {
    struct share share;
    int64_t end; /* frame of the row that the block's last round ends before */
    int first;
    bool follows; /* another round, which has kept the energies of its last frame */
};

/* A warp for each band of each frame. */
static __device__ __forceinline__ void write_contrast(const struct spectra *s, const struct round *r,
                                                      const float *shared, const int H, int64_t frame0)
{
    const int bands = (int)s->contrast.bands, warp = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    for (int task = r->first * bands + warp; task < r->share.count * bands; task += warps) {
        const int frame = task / bands;
        contrast_band(s, energies_of(shared, frame, H), task % bands,
                      s->out[SPECTRAL_CONTRAST] + (frame0 + frame) * 2 * bands);
    }
}

/* Energies or decibels of all bins of the frames, which lie one after the other in the result. */
static __device__ __forceinline__ void write_spectrogram(const struct spectra *s, const struct round *r,
                                                         const float *shared, const int H, int64_t frame0)
{
    float *const y = s->out[SPECTRAL_SPECTROGRAM] + frame0 * (H + 1);
    const int end = r->share.count * (H + 1);
    for (int i = r->first * (H + 1) + (int)threadIdx.x; i < end; i += (int)blockDim.x) {
        const float *const energies = energies_of(shared, i / (H + 1), H);
        const float e = energies[i % (H + 1)];
        const float v = s->db ? decibels(e) : to_power(e, s->spectrogram_power);
        y[i] = energies[0] < INFINITY ? v : NAN;
    }
}

/* Where a round keeps the energies of its last frame: behind the tile of samples. */
static __device__ __forceinline__ float *kept_of(const struct spectra *s, float *shared, const int H)
{
    const int frames = SPECTRAL_FRAMES(2 * H);
    return shared + 2 * frames * FFT_STRIDE(H) + (frames - 1) * (int)tile_step(&s->f.p) + 2 * H;
}

static __device__ __forceinline__ void write_flux(const struct spectra *s, const struct round *r,
                                                  const struct measured *m, float *shared, const int H, bool bad,
                                                  int64_t frame0)
{
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T;
    const float *const before = frame > 0    ? energies_of(shared, frame - 1, H)
                                : r->follows ? kept_of(s, shared, H)
                                             : m->energies;
    float sum = 0;
    for (int k = m->j; k < m->bins; k += T)
        sum += flux_part(m->energies[k], before[k]);
    sum = frame_sum(T, sum, m->scratch);
    if (m->j == 0 && frame >= r->first && frame < r->share.count)
        s->out[SPECTRAL_FLUX][frame0 + frame] =
            flux_of(s, r->share.b, r->share.t + frame, sum, bad || !(before[0] < INFINITY));
}

/* All outputs of a round but bands, which change the energies. */
static __device__ __forceinline__ void measure_round(const struct spectra *s, const struct round *r,
                                                     const struct measured *m, float *shared, const int H, float *dots)
{
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T;
    const int64_t frame0 = s->f.y_offset[r->share.b] + r->share.t;
    const bool bad = !(m->energies[0] < INFINITY), writes = frame >= r->first && frame < r->share.count;
    write_values(s, m, T, frame0 + frame, writes && m->j == 0, bad);
    if (s->out[SPECTRAL_FLUX])
        write_flux(s, r, m, shared, H, bad, frame0);
    if (s->out[SPECTRAL_POLY]) {
        poly_dots(s, m, T, bad, dots);
        poly_write(s, dots, r->first, r->share.count, s->out[SPECTRAL_POLY] + frame0 * s->poly_terms);
    }
    if (s->out[SPECTRAL_CONTRAST])
        write_contrast(s, r, shared, H, frame0);
    if (s->out[SPECTRAL_SPECTROGRAM])
        write_spectrogram(s, r, shared, H, frame0);
}

/* In place of the energies: nothing else is taken from them any more. */
static __device__ __forceinline__ void write_bands(const struct spectra *s, const struct round *r,
                                                   const struct measured *m, float *shared, const int H)
{
    const int T = FFT_THREADS(H), frame = (int)threadIdx.x / T;
    const bool bad = !(m->energies[0] < INFINITY);
    __syncthreads(); /* nobody reads energies as such any more */
    raise_energies(s, energies_of(shared, frame, H), H + 1, m->j, T);
    if (frame < r->first || frame >= r->share.count)
        return;
    float *const y = s->out[SPECTRAL_MEL] + (s->f.y_offset[r->share.b] + r->share.t + frame) * s->mels;
    for (int k = m->j; k < s->mels; k += T) {
        const float e = band_of(s, m->energies, H, k);
        y[k] = bad ? NAN : e;
    }
}

/* The first round of a block; thread 0 alone. Without flux it is the only one, of SPECTRAL_FRAMES(n). With it there are
 * as many as it takes to write FLUX_RUN, and the first begins a frame early. */
static __device__ __forceinline__ void begin_rounds(const struct spectra *s, const int frames, struct round *r)
{
    const bool flux = s->out[SPECTRAL_FLUX] != NULL;
    const struct share run = flux ? share_of(&s->f, FLUX_RUN) : share_of(&s->f, frames);
    const int lead = flux && run.t > 0 && run.count > 0 ? 1 : 0;
    r->end = run.t + run.count;
    r->share.b = run.b;
    r->share.t = run.t - lead;
    r->share.count = min(frames, run.count + lead);
    r->first = lead;
    r->follows = false;
}

static __device__ __forceinline__ void next_round(const int frames, struct round *r)
{
    r->share.t += frames;
    r->share.count = (int)min((int64_t)frames, r->end - r->share.t);
    r->first = 0;
    r->follows = true;
}

/* False: it was the last. */
static __device__ __forceinline__ bool run_round(const struct spectra *s, const struct round *r, const int H,
                                                 float *shared, float *scratch, float *dots)
{
    const int frames = SPECTRAL_FRAMES(2 * H), T = FFT_THREADS(H);
    const unsigned thread = device_thread_anew();
    const int frame = (int)(thread / (unsigned)T), j = (int)(thread % (unsigned)T);
    float2 v[FFT_POINTS];
    transform(s, &r->share, H, frame, j, shared, v);
    keep_energies(s, v, H, frame, j, shared);
    const struct measured m = {energies_of(shared, frame, H), H + 1, j, scratch};
    measure_round(s, r, &m, shared, H, dots);
    const bool more = frames <= FLUX_RUN && r->share.t + frames < r->end;
    if (more) {
        float *const kept = kept_of(s, shared, H);
        __syncthreads(); /* the flux of this round has been taken */
        for (int k = j; frame == frames - 1 && k <= H; k += T)
            kept[k] = m.energies[k];
    }
    if (s->out[SPECTRAL_MEL])
        write_bands(s, r, &m, shared, H);
    return more;
}

static __device__ __forceinline__ void features_body(const struct spectra *s, const int H)
{
    SHARED_DYNAMIC(float, shared);
    SHARED(float, scratch, WARPS_MOST);
    SHARED(float, dots, DOTS);
    SHARED(struct round, round, 1);
    if (threadIdx.x == 0)
        begin_rounds(s, SPECTRAL_FRAMES(2 * H), round);
    __syncthreads();
    if (round->share.count == 0)
        return;
    while (run_round(s, round, H, shared, scratch, dots)) {
        __syncthreads(); /* nobody looks at this round any more */
        if (threadIdx.x == 0)
            next_round(SPECTRAL_FRAMES(2 * H), round);
        __syncthreads();
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

/* occupancy: 2 blocks of 256 threads, 46 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(1024), SPECTRAL_BLOCKS(2))
    features_1024_kernel(struct spectra s)
{
    features_body(&s, 512);
}

/* occupancy: 2 blocks of 256 threads, 50 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(2048), SPECTRAL_BLOCKS(2))
    features_2048_kernel(struct spectra s)
{
    features_body(&s, 1024);
}

/* occupancy: 2 blocks of 256 threads, 60 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(4096), SPECTRAL_BLOCKS(2))
    features_4096_kernel(struct spectra s)
{
    features_body(&s, 2048);
}

/* occupancy: 2 blocks of 256 threads, 81 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(SPECTRAL_THREADS(8192), SPECTRAL_BLOCKS(2))
    features_8192_kernel(struct spectra s)
{
    features_body(&s, 4096);
}

static spectral_kernel *kernel_of(int n)
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
    default:
        return features_8192_kernel;
    }
}

int spectral_launch_features(struct exec *ex, const struct spectra *s)
{
    const int n = (int)s->f.p.window_samples, frames = SPECTRAL_FRAMES(n);
    const bool flux = s->out[SPECTRAL_FLUX] != NULL;
    const size_t kept = flux && frames <= FLUX_RUN ? (size_t)n / 2 + 1 : 0; /* else there is one round */
    struct spectral_launch l;
    l.kernel = kernel_of(n);
    l.frames = flux ? (int)FLUX_RUN : frames;
    l.shared_bytes = (spectral_shared_floats(&s->f.p, n) + kept) * sizeof(float);
    l.static_bytes = (WARPS_MOST + DOTS) * sizeof(float) + sizeof(struct round);
    return spectral_launch(ex, s, &l, "spectral");
}
