/* The spectral row for sizes that fft.cuh does not cover: frames are written out, windowed, cuFFT transforms them, and
 * what is asked for is taken from the spectra, some frames at a time through scratch of at most SCRATCH_BYTES. Moves 16
 * bytes per sample of a frame through device memory where the fused kernels move none. For flux each batch but the
 * first transforms the last frame of the one before again: one transform in 64 at most. */
#include "cufft_plan.cuh"
#include "fft.cuh"
#include "flux.cuh"
#include "mel.h"
#include "poly.cuh"

enum { SCRATCH_BYTES = 32 << 20, BATCH_MOST = 1024, THREADS = 256, TERMS_MOST = POLY_ORDER_MOST + 1 };

/* ---- kernels ---- */

/* occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 6))
    gather_kernel(struct spectra s, int64_t first, float *frames)
{
    const int64_t t = first + blockIdx.x, b = row_of(s.f.y_offset, s.f.rows, t);
    const int64_t row = s.f.x_offset[b], samples = s.f.x_offset[b + 1] - row, n = s.f.p.window_samples;
    const int64_t from = frame_from(&s.f.p, piece_of(s.f.piece, b)) + (t - s.f.y_offset[b]) * s.f.p.hop_samples;
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        const int64_t at = from + i;
        const bool inside = at >= 0 && at < samples;
        float v = 0;
        if (inside)
            v = sample_of(s.f.x, s.f.dtype, row + at);
        else if (s.reflect)
            v = sample_of(s.f.x, s.f.dtype, row + frame_reflect(at, samples));
        frames[blockIdx.x * n + i] = v * s.window[i];
    }
}

/* Bin 0 is the sum of all samples: not finite when one of them is not. */
static __device__ inline bool not_finite(const float *spectrum)
{
    return !(fabsf(spectrum[0]) < INFINITY);
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    spectrum_kernel(struct spectra s, int64_t first, const float *spectra)
{
    const int64_t bins = s.f.p.window_samples / 2 + 1;
    const float *const x = spectra + 2 * blockIdx.x * bins;
    float *const y = s.out[SPECTRAL_STFT] + 2 * (first + blockIdx.x) * bins;
    const bool bad = not_finite(x);
    for (int64_t k = threadIdx.x; k < bins; k += THREADS)
        store2(y + 2 * k, bad ? make_float2(NAN, NAN) : load2(x + 2 * k));
}

/* A warp per band: its lanes take bins side by side.
 * occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    bands_kernel(struct spectra s, int64_t first, const float *spectra)
{
    const int64_t bins = s.f.p.window_samples / 2 + 1;
    const float *const x = spectra + 2 * blockIdx.x * bins;
    float *const y = s.out[SPECTRAL_MEL] + (first + blockIdx.x) * s.mels;
    const bool bad = not_finite(x);
    for (int m = (int)threadIdx.x / 32; m < s.mels; m += THREADS / 32) {
        const struct mel_row r = s.row[m];
        float sum = 0;
        for (int i = (int)threadIdx.x % 32; i < r.count; i += 32) {
            const float2 v = load2(x + 2 * (r.first + i));
            const float square = v.x * v.x + v.y * v.y;
            const float e = to_power(square, s.power);
            sum += s.row_weight[r.weight + i] * e;
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0)
            y[m] = bad ? NAN : s.log ? 10 * log10f(sum < 1e-10f ? 1e-10f : sum) : sum;
    }
}

static __device__ __forceinline__ float energy_of(const float *spectrum, int k)
{
    const float2 v = load2(spectrum + 2 * k);
    return v.x * v.x + v.y * v.y;
}

/* The frame before is in the spectra too, where the row has one: run_batch sees to that. */
static __device__ __forceinline__ void write_flux(const struct spectra *s, const struct measured *m, const float *x,
                                                  int64_t frame, bool bad)
{
    const int64_t row = row_of(s->f.y_offset, s->f.rows, frame), t = frame - s->f.y_offset[row];
    const float *const before = t > 0 ? x - 2 * m->bins : x;
    float sum = 0;
    for (int k = m->j; k < m->bins; k += THREADS)
        sum += flux_part(m->energies[k], energy_of(before, k));
    sum = frame_sum(THREADS, sum, m->scratch);
    if (m->j == 0)
        s->out[SPECTRAL_FLUX][frame] = flux_of(s, row, t, sum, bad || not_finite(before));
}

/* The energies of a frame in shared memory, and every measure from there.
 * occupancy: 4 blocks of 256 threads, 33 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 4))
    measures_kernel(struct spectra s, int64_t first, const float *spectra)
{
    SHARED_DYNAMIC(float, energies);
    SHARED(float, scratch, THREADS / 32);
    SHARED(float, dots, TERMS_MOST);
    const int bins = (int)(s.f.p.window_samples / 2 + 1), bands = (int)s.contrast.bands;
    const int64_t frame = first + blockIdx.x;
    const float *const x = spectra + 2 * (int64_t)blockIdx.x * bins;
    const bool bad = not_finite(x);
    for (int k = (int)threadIdx.x; k < bins; k += THREADS)
        energies[k] = k == 0 && bad ? INFINITY : energy_of(x, k);
    __syncthreads();
    const struct measured m = {energies, bins, (int)threadIdx.x, scratch};
    write_values(&s, &m, THREADS, frame, threadIdx.x == 0, bad);
    if (s.out[SPECTRAL_FLUX])
        write_flux(&s, &m, x, frame, bad);
    if (s.out[SPECTRAL_POLY]) {
        poly_dots(&s, &m, THREADS, bad, dots);
        poly_write(&s, dots, 0, 1, s.out[SPECTRAL_POLY] + frame * s.poly_terms);
    }
    if (s.out[SPECTRAL_CONTRAST])
        for (int k = (int)threadIdx.x / 32; k < bands; k += THREADS / 32)
            contrast_band(&s, energies, k, s.out[SPECTRAL_CONTRAST] + frame * 2 * bands);
    if (s.out[SPECTRAL_SPECTROGRAM])
        for (int k = (int)threadIdx.x; k < bins; k += THREADS) {
            const float v = s.db ? decibels(energies[k]) : to_power(energies[k], s.spectrogram_power);
            s.out[SPECTRAL_SPECTROGRAM][frame * bins + k] = bad ? NAN : v;
        }
}

/* ---- launches ---- */

static int launch_measures(struct exec *ex, const struct spectra *s, int64_t first, int64_t count, const float *spectra)
{
    const size_t bytes = (size_t)(s->f.p.window_samples / 2 + 1) * sizeof(float);
    const size_t fixed = (THREADS / 32 + TERMS_MOST) * sizeof(float);
    bool wanted = false;
    for (int o = 0; o < SPECTRAL_OUTPUTS; o++)
        wanted |= o != SPECTRAL_STFT && o != SPECTRAL_MEL && s->out[o];
    if (!wanted)
        return STATUS_OK;
    const int code = bytes + fixed > 48 << 10 ? device_allow_shared("spectral", measures_kernel, bytes) : 0;
    if (code)
        return code;
    LAUNCH(measures_kernel, (unsigned)count, THREADS, bytes, device_launch_stream(ex), *s, first, spectra);
    return device_launched("spectral");
}

/* Frames [first, first + count); the `lead` before them are transformed as well, for flux. */
static int run_batch(struct exec *ex, const struct spectra *s, cufftHandle handle, int64_t lead, int64_t first,
                     int64_t count, float *frames, float *spectra)
{
    const int64_t from = first - lead, all = lead + count;
    LAUNCH(gather_kernel, (unsigned)all, THREADS, 0, device_launch_stream(ex), *s, from, frames);
    int code = device_launched("stft");
    if (!code && (cufftSetStream(handle, device_launch_stream(ex)) != CUFFT_SUCCESS ||
                  cufftExecR2C(handle, frames, (cufftComplex *)spectra) != CUFFT_SUCCESS))
        code = fail(STATUS_DEVICE, "stft: cuFFT failed");
    spectra += 2 * lead * (s->f.p.window_samples / 2 + 1);
    if (!code && s->out[SPECTRAL_STFT]) {
        LAUNCH(spectrum_kernel, (unsigned)count, THREADS, 0, device_launch_stream(ex), *s, first, spectra);
        code = device_launched("stft");
    }
    if (!code && s->out[SPECTRAL_MEL]) {
        LAUNCH(bands_kernel, (unsigned)count, THREADS, 0, device_launch_stream(ex), *s, first, spectra);
        code = device_launched("mel");
    }
    return code ? code : launch_measures(ex, s, first, count, spectra);
}

/* Frames that go through scratch together. */
static int64_t batch_of(int64_t n)
{
    const int64_t batch = SCRATCH_BYTES / ((2 * n + 2) * (int64_t)sizeof(float));
    return batch < 2 ? 2 : batch > BATCH_MOST ? (int64_t)BATCH_MOST : batch;
}

static size_t frames_bytes(int64_t n)
{
    return (size_t)(batch_of(n) * n) * sizeof(float);
}

static size_t spectra_bytes(int64_t n)
{
    return (size_t)(batch_of(n) * (n / 2 + 1)) * 2 * sizeof(float);
}

size_t spectral_cufft_work_bytes(int64_t n)
{
    return frames_bytes(n) + spectra_bytes(n) + 2 * ARENA_ALIGN;
}

int spectral_by_cufft(struct exec *ex, const struct spectra *s)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t n = s->f.p.window_samples, batch = batch_of(n);
    const struct cufft_key key = {n, batch, CUFFT_R2C};
    const void *plan;
    float *frames, *spectra;
    int code = device_host->plan(ex, &cufft_plan_kind, &key, &plan);
    code = code ? code : arena_alloc(arena, frames_bytes(n), &frames);
    code = code ? code : arena_alloc(arena, spectra_bytes(n), &spectra);
    for (int64_t first = 0, count; first < s->f.frames && !code; first += count) {
        const int64_t lead = first > 0 && s->out[SPECTRAL_FLUX] ? 1 : 0, left = s->f.frames - first;
        count = left < batch - lead ? left : batch - lead;
        code = run_batch(ex, s, ((const struct cufft_plan *)plan)->handle, lead, first, count, frames, spectra);
    }
    arena_reset(arena, mark);
    return code;
}
