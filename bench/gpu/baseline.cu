/* The chain: frames cut out and windowed, cuFFT over all of them, squares, bands, decibels; one kernel each, nothing
 * fused but the window. Bands are sparse and read squares from shared memory: dense ones would be a straw man. */
#include "baseline.h"

#include "limits.cuh"
#include "mel.h"
#include "spectrum.h"

#include <cufft.h>
#include <stdlib.h>

enum { THREADS = 256, BAND_THREADS = 128, PLANS = 4 };

struct chain { /* what the kernels see */
    int64_t n, bins, hop, mels, samples, row_frames;
    const float *x, *window, *weight;
    const struct mel_band *band;
};

struct baseline {
    struct chain c;
    int64_t frames, chunk_most;
    float *frame, *spectrum, *square, *bands; /* spectrum and bands have room for every frame */
    cudaStream_t stream;
    struct stopwatch watch;
    struct {
        int64_t batch;
        cufftHandle handle;
    } plan[PLANS];
    int plans;
    void *memory[8];
    int blocks;
};

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, 8) frame_kernel(struct chain c, int64_t first, float *frame)
{
    const int64_t t = first + blockIdx.x, row = t / c.row_frames;
    const int64_t from = (t - row * c.row_frames) * c.hop - c.n / 2;
    for (int64_t i = threadIdx.x; i < c.n; i += THREADS) {
        const int64_t at = from + i;
        const float v = at >= 0 && at < c.samples ? c.x[row * c.samples + at] : 0;
        frame[blockIdx.x * c.n + i] = v * c.window[i];
    }
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, 8) square_kernel(int64_t values, const float *spectrum, float *square)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= values)
        return;
    const float2 v = load2(spectrum + 2 * i);
    square[i] = v.x * v.x + v.y * v.y;
}

/* occupancy: 16 blocks of 128 threads, 4 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(BAND_THREADS, 16)
    bands_kernel(struct chain c, const float *square, float *bands)
{
    SHARED_DYNAMIC(float, energy);
    for (int64_t k = threadIdx.x; k < c.bins; k += BAND_THREADS)
        energy[k] = square[blockIdx.x * c.bins + k];
    __syncthreads();
    for (int64_t m = threadIdx.x; m < c.mels; m += BAND_THREADS) {
        const struct mel_band b = c.band[m];
        float sum = 0;
        for (int64_t i = 0; i < b.count; i++)
            sum += c.weight[b.weight + i] * energy[b.first + i];
        bands[blockIdx.x * c.mels + m] = sum;
    }
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, 8) decibel_kernel(int64_t values, float *bands)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < values)
        bands[i] = 10 * log10f(bands[i] < 1e-10f ? 1e-10f : bands[i]);
}

static unsigned blocks_of(int64_t values)
{
    return (unsigned)((values + THREADS - 1) / THREADS);
}

/* ---- one pass ---- */

/* The plan for so many frames, kept: no pass pays for planning after its first. */
static int plan_of(struct baseline *b, int64_t batch, cufftHandle *out)
{
    for (int i = 0; i < b->plans; i++)
        if (b->plan[i].batch == batch) {
            *out = b->plan[i].handle;
            return STATUS_OK;
        }
    if (b->plans == PLANS)
        return fail(STATUS_ARGUMENT, "baseline: more than two sizes of chunks");
    if (cufftPlan1d(out, (int)b->c.n, CUFFT_R2C, (int)batch) != CUFFT_SUCCESS)
        return fail(STATUS_DEVICE, "cuFFT: no plan for %lld transforms of %lld", (long long)batch, (long long)b->c.n);
    b->plan[b->plans].batch = batch;
    b->plan[b->plans++].handle = *out;
    return cufftSetStream(*out, b->stream) == CUFFT_SUCCESS ? STATUS_OK : fail(STATUS_DEVICE, "cuFFT: no stream");
}

static int run_chunk(struct baseline *b, bool bands, int64_t first, int64_t count)
{
    const struct chain c = b->c;
    const int64_t squares = count * c.bins, values = count * c.mels;
    float *const spectrum = bands ? b->spectrum : b->spectrum + 2 * first * c.bins;
    float *const y = b->bands + first * c.mels;
    cufftHandle handle;
    const int code = plan_of(b, count, &handle);
    if (code)
        return code;
    LAUNCH(frame_kernel, (unsigned)count, THREADS, 0, b->stream, c, first, b->frame);
    if (cufftExecR2C(handle, b->frame, (cufftComplex *)spectrum) != CUFFT_SUCCESS)
        return fail(STATUS_DEVICE, "cuFFT failed");
    if (bands) {
        LAUNCH(square_kernel, blocks_of(squares), THREADS, 0, b->stream, squares, spectrum, b->square);
        LAUNCH(bands_kernel, (unsigned)count, BAND_THREADS, (size_t)c.bins * sizeof(float), b->stream, c, b->square, y);
        LAUNCH(decibel_kernel, blocks_of(values), THREADS, 0, b->stream, values, y);
    }
    return limits_failed(cudaGetLastError(), "baseline");
}

static int run_baseline(struct baseline *b, bool bands, int64_t chunk, int calls, double *seconds)
{
    int code = stopwatch_start(&b->watch, b->stream);
    if (chunk < 1 || chunk > b->chunk_most)
        code = fail(STATUS_ARGUMENT, "baseline: chunks of 1 to %lld frames", (long long)b->chunk_most);
    for (int i = 0; i < calls && !code; i++)
        for (int64_t first = 0; first < b->frames && !code; first += chunk)
            code = run_chunk(b, bands, first, b->frames - first < chunk ? b->frames - first : chunk);
    code = code ? code : stopwatch_stop(&b->watch, b->stream, seconds);
    *seconds /= calls;
    return code;
}

static int read_baseline(struct baseline *b, bool bands, int64_t first, int64_t count, float *out)
{
    const int64_t floats = bands ? b->c.mels : 2 * b->c.bins;
    const float *const from = (bands ? b->bands : b->spectrum) + first * floats;
    const int code = limits_failed(
        cudaMemcpyAsync(out, from, (size_t)(count * floats) * sizeof *out, cudaMemcpyDeviceToHost, b->stream), "copy");
    return code ? code : limits_failed(cudaStreamSynchronize(b->stream), "baseline");
}

/* ---- set-up ---- */

static int room(struct baseline *b, int64_t floats, float **out)
{
    const int code = limits_failed(cudaMalloc(out, (size_t)floats * sizeof **out), "memory of the baseline");
    if (!code)
        b->memory[b->blocks++] = *out;
    return code;
}

static int put(struct baseline *b, const void *host, size_t bytes, void **out)
{
    const int code = limits_failed(cudaMalloc(out, bytes), "memory of the baseline");
    if (code)
        return code;
    b->memory[b->blocks++] = *out;
    return limits_failed(cudaMemcpyAsync(*out, host, bytes, cudaMemcpyHostToDevice, b->stream), "copy");
}

static int make_tables(struct baseline *b, const struct baseline_params *p)
{
    const struct stft_key stft = {p->n_fft, p->n_fft, WINDOW_HANN};
    const struct mel_key key = {p->n_fft, p->mels, p->rate_hz, 0, p->rate_hz / 2, 0, 1};
    float *const window = (float *)malloc((size_t)p->n_fft * sizeof *window);
    void *const bands = aligned_alloc(64, (mel_plan_bytes(&key) + 63) / 64 * 64);
    int code = window && bands ? mel_plan_init(bands, &key) : fail(STATUS_NOMEM, "baseline: out of memory");
    if (!code) {
        const struct mel_plan *const plan = (const struct mel_plan *)bands;
        const struct mel_band last = plan->band[p->mels - 1];
        void *on_device[3] = {NULL, NULL, NULL};
        stft_window(&stft, window);
        code = put(b, window, (size_t)p->n_fft * sizeof *window, &on_device[0]);
        code = code ? code : put(b, plan->band, (size_t)p->mels * sizeof *plan->band, &on_device[1]);
        code = code ? code : put(b, plan->weight, (size_t)(last.weight + last.count) * sizeof(float), &on_device[2]);
        code = code ? code : limits_failed(cudaStreamSynchronize(b->stream), "copy");
        b->c.window = (const float *)on_device[0];
        b->c.band = (const struct mel_band *)on_device[1];
        b->c.weight = (const float *)on_device[2];
    }
    free(window);
    free(bands);
    return code;
}

/* As many frames at a time as scratch has room for, and below 2^30 samples, in chunks of equal size. */
static int64_t chunk_of(const struct baseline *b, uint64_t scratch_bytes)
{
    const int64_t whole = b->frames * (2 * b->c.bins + b->c.mels), each = b->c.n + b->c.bins;
    const int64_t left = (int64_t)(scratch_bytes / sizeof(float)) - whole;
    int64_t most = left < 0 ? 0 : left / each;
    most = most < (INT64_C(1) << 30) / b->c.n ? most : (INT64_C(1) << 30) / b->c.n;
    if (most < 1)
        return 0;
    const int64_t chunks = (b->frames + most - 1) / most;
    return (b->frames + chunks - 1) / chunks;
}

static int prepare(struct baseline *b, const struct baseline_params *p)
{
    void *x = NULL;
    int code = limits_failed(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), "stream");
    code = code ? code : stopwatch_open(&b->watch);
    code = code ? code : put(b, p->x, (size_t)(p->rows * p->samples) * sizeof(float), &x);
    b->c.x = (const float *)x;
    code = code ? code : make_tables(b, p);
    b->chunk_most = chunk_of(b, p->scratch_bytes);
    if (!code && b->chunk_most < 1)
        code = fail(STATUS_NOMEM, "baseline: its spectra do not fit into %llu bytes",
                    (unsigned long long)p->scratch_bytes);
    code = code ? code : room(b, b->chunk_most * b->c.n, &b->frame);
    code = code ? code : room(b, b->frames * b->c.bins * 2, &b->spectrum);
    code = code ? code : room(b, b->chunk_most * b->c.bins, &b->square);
    return code ? code : room(b, b->frames * b->c.mels, &b->bands);
}

static void close_baseline(struct baseline **baseline)
{
    struct baseline *const b = *baseline;
    if (!b)
        return;
    for (int i = 0; i < b->plans; i++)
        cufftDestroy(b->plan[i].handle);
    for (int i = 0; i < b->blocks; i++)
        cudaFree(b->memory[i]);
    stopwatch_close(&b->watch);
    if (b->stream)
        cudaStreamDestroy(b->stream);
    free(b);
    *baseline = NULL;
}

static int open_baseline(const struct baseline_params *p, struct baseline **out)
{
    struct baseline *b = (struct baseline *)calloc(1, sizeof *b);
    if (!b)
        return fail(STATUS_NOMEM, "baseline: out of memory");
    const struct frame_params frame = {p->n_fft, p->hop, true};
    const struct piece whole = {0, true, true};
    b->c.n = p->n_fft;
    b->c.bins = p->n_fft / 2 + 1;
    b->c.hop = p->hop;
    b->c.mels = p->mels;
    b->c.samples = p->samples;
    b->c.row_frames = frame_count(&frame, whole, p->samples);
    b->frames = b->c.row_frames * p->rows;
    const int code = prepare(b, p);
    if (code)
        close_baseline(&b);
    *out = b;
    return code;
}

static int64_t frames_most(const struct baseline *b)
{
    return b->chunk_most;
}

extern "C" __attribute__((visibility("default"))) const struct baseline_api *wavemill_baseline(void)
{
    static const struct baseline_api api = {.open = open_baseline,
                                            .close = close_baseline,
                                            .frames_most = frames_most,
                                            .run = run_baseline,
                                            .read = read_baseline,
                                            .copy_rate = limits_copy_rate,
                                            .flop_rate = limits_flop_rate,
                                            .message = status_message};
    return &api;
}
