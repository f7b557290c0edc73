/* istft for sizes that fft.cuh does not cover: spectra are copied (cuFFT spoils its input, and may look at imaginary
 * parts that mean nothing), cuFFT transforms them back, some frames at a time through scratch of at most SCRATCH_BYTES,
 * and each sample that these reach adds what they have for it, in their order. The division comes last. Moves about 24
 * bytes per sample of a frame. */
#include "cufft_plan.cuh"
#include "istft.cuh"

enum { SCRATCH_BYTES = 32 << 20, BATCH_MOST = 1024, THREADS = 256 };

/* ---- kernels ---- */

/* One frame per block. One that is not finite becomes NaN in bin 0, which every sample holds.
 * occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    spectra_kernel(struct inverse s, int64_t first, float *spectra)
{
    SHARED(int, bad, THREADS / 32);
    const int64_t bins = s.n / 2 + 1;
    const float *const x = s.x + 2 * (first + blockIdx.x) * bins;
    float *const y = spectra + 2 * blockIdx.x * bins;
    bool finite = true;
    for (int64_t k = threadIdx.x; k < bins; k += THREADS) {
        float2 v = load2(x + 2 * k);
        if (k == 0 || 2 * k == s.n)
            v.y = 0;
        finite &= fabsf(v.x) < INFINITY && fabsf(v.y) < INFINITY;
        store2(y + 2 * k, v);
    }
    const bool all = __all_sync(0xffffffffu, finite);
    if (threadIdx.x % 32 == 0)
        bad[threadIdx.x / 32] = !all;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    int any = 0;
    for (int i = 0; i < THREADS / 32; i++)
        any |= bad[i];
    if (any)
        store2(y, make_float2(NAN, 0));
}

/* Samples from .. end - 1 of the batch get what frames first .. behind - 1 have for them.
 * occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 6))
    add_kernel(struct inverse s, int64_t first, int64_t behind, int64_t from, int64_t end, const float *frames)
{
    const int64_t i = from + (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= end)
        return;
    const int64_t b = row_of(s.y_offset, s.rows, i), at = i - s.y_offset[b] + s.pad, row = s.x_offset[b];
    const int64_t reaching = row + frame_reaching(at, s.n, s.hop), last = row + at / s.hop;
    int64_t stop = last + 1 < s.x_offset[b + 1] ? last + 1 : s.x_offset[b + 1];
    stop = stop < behind ? stop : behind;
    float sum = s.y[i];
    for (int64_t t = reaching < first ? first : reaching; t < stop; t++) {
        const int64_t k = at - (t - row) * s.hop;
        sum += frames[(t - first) * s.n + k] * (s.window[k] / (float)s.n);
    }
    s.y[i] = sum;
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    divide_kernel(struct inverse s, int64_t end)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= end)
        return;
    const int64_t b = row_of(s.y_offset, s.rows, i);
    s.y[i] = divided(&s, s.y[i], i - s.y_offset[b] + s.pad, s.x_offset[b + 1] - s.x_offset[b]);
}

/* ---- launches ---- */

/* Frames that go through scratch together. */
static int64_t batch_of(int64_t n)
{
    const int64_t batch = SCRATCH_BYTES / ((2 * n + 2) * (int64_t)sizeof(float));
    return batch < 1 ? 1 : batch > BATCH_MOST ? (int64_t)BATCH_MOST : batch;
}

static size_t frames_bytes(int64_t n)
{
    return (size_t)(batch_of(n) * n) * sizeof(float);
}

static size_t spectra_bytes(int64_t n)
{
    return (size_t)(batch_of(n) * (n / 2 + 1)) * 2 * sizeof(float);
}

size_t istft_cufft_work_bytes(int64_t n)
{
    return frames_bytes(n) + spectra_bytes(n) + 2 * ARENA_ALIGN;
}

/* The row of a frame, on the host. */
static int64_t host_row(const struct ragged *x, int64_t frame)
{
    int64_t b = 0;
    while (b + 1 < x->rows && x->offset[b + 1] <= frame)
        b++;
    return b;
}

/* A sample of the batch, from a place in a row, cut to the row. */
static int64_t sample_at(const struct inverse *s, const struct ragged *y, int64_t b, int64_t place)
{
    const int64_t at = place - s->pad, length = ragged_length(y, b);
    return y->offset[b] + (at < 0 ? 0 : at < length ? at : length);
}

static int run_batch(struct exec *ex, const struct inverse *s, const struct ragged *x, const struct ragged *y,
                     cufftHandle handle, int64_t first, int64_t count, float *spectra, float *frames)
{
    const int64_t b = host_row(x, first), e = host_row(x, first + count - 1);
    const int64_t from = sample_at(s, y, b, (first - x->offset[b]) * s->hop);
    const int64_t end = sample_at(s, y, e, (first + count - 1 - x->offset[e]) * s->hop + s->n);
    LAUNCH(spectra_kernel, (unsigned)count, THREADS, 0, device_launch_stream(ex), *s, first, spectra);
    const int code = device_launched("istft");
    if (code || end <= from)
        return code;
    if (cufftSetStream(handle, device_launch_stream(ex)) != CUFFT_SUCCESS ||
        cufftExecC2R(handle, (cufftComplex *)spectra, frames) != CUFFT_SUCCESS)
        return fail(STATUS_DEVICE, "istft: cuFFT failed");
    const int64_t blocks = (end - from + THREADS - 1) / THREADS;
    LAUNCH(add_kernel, (unsigned)blocks, THREADS, 0, device_launch_stream(ex), *s, first, first + count, from, end,
           frames);
    return device_launched("istft");
}

int istft_by_cufft(struct exec *ex, const struct inverse *s, const struct ragged *x, const struct ragged *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t batch = batch_of(s->n), blocks = (y->total + THREADS - 1) / THREADS;
    const struct cufft_key key = {s->n, batch, CUFFT_C2R};
    const cudaStream_t stream = device_launch_stream(ex);
    const void *plan;
    float *spectra, *frames;
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "istft: %lld samples are more than one launch gives", (long long)y->total);
    int code = device_host->plan(ex, &cufft_plan_kind, &key, &plan);
    code = code ? code : arena_alloc(arena, frames_bytes(s->n), &frames);
    code = code ? code : arena_alloc(arena, spectra_bytes(s->n), &spectra);
    if (!code)
        code = device_failed(cudaMemsetAsync(s->y, 0, (size_t)y->total * sizeof(float), stream), "istft");
    for (int64_t first = 0; first < x->total && !code; first += batch) {
        const int64_t count = x->total - first < batch ? x->total - first : batch;
        code = run_batch(ex, s, x, y, ((const struct cufft_plan *)plan)->handle, first, count, spectra, frames);
    }
    if (!code) {
        LAUNCH(divide_kernel, (unsigned)blocks, THREADS, 0, device_launch_stream(ex), *s, y->total);
        code = device_launched("istft");
    }
    arena_reset(arena, mark);
    return code;
}
