/* resample on CUDA. A block computes ROUNDS segments of up to 256 consecutive outputs, whole periods of the phases
 * apart: a thread's outputs have the same taps, so that one load of a tap serves four. The samples of the segments lie
 * in shared memory; the filter lies tap by tap in device memory, the outputs of a period side by side, so that
 * neighbouring threads read neighbouring taps. Ratios whose samples do not fit (from about 1:6 on) give each output to
 * a warp, whose lanes take the taps in turn.
 *
 * Sums are of 16 taps each, and these are added with the rounding errors of the additions kept: the stopband wants it.
 * The order depends on the ratio alone, so any cut gives equal bits.
 *
 * Limits: per output of a filter of 232 taps (1:1) 1.25 loads per multiply-add from shared memory and the caches, 928
 * FLOP; device memory 4 bytes out and 4 * down/up in. Bound by shared memory, whose banks take 1.0 passes per access
 * upwards, 1.8 for 48000 to 44100 and 2 for halves: lanes lie down/up apart. */
#include "resample.h"

#include "tiles.cuh"

enum { ROUNDS = 4, THREADS = 256, PART = 16, SHARED_MOST = 48 << 10, WARPS = THREADS / 32 };

struct resample_device_plan {
    struct device_plan head;
    int64_t up, down, taps;
    int64_t taps_at; /* bytes from the plan's beginning to f32 [K][up] (tiles) or [up][K] (warps) */
};

struct resampled {
    const float *x, *taps;
    float *y;
    const int64_t *x_offset, *y_offset;
    const struct piece *piece;
    int64_t rows;
    int64_t up, down, filter;
    int64_t period; /* outputs between a thread's rounds: a multiple of up */
    int64_t width;  /* outputs of a segment, a thread each */
    int64_t span;   /* samples of a segment */
};

/* ---- plan ---- */

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Periods and segments: as wide as a block, and with few threads idle. */
static void shape(struct resampled *r)
{
    const int64_t times = THREADS / r->up;
    r->period = r->up * (times < 1 ? 1 : times);
    r->width = ceiling(r->period, ceiling(r->period, THREADS));
    r->span = (r->width - 1) * r->down / r->up + 1 + r->filter;
}

static bool by_tiles(int64_t up, int64_t down, int64_t taps)
{
    struct resampled r = {};
    r.up = up;
    r.down = down;
    r.filter = taps;
    shape(&r);
    return r.span * ROUNDS * (int64_t)sizeof(float) <= SHARED_MOST;
}

static size_t head_bytes(void)
{
    return (sizeof(struct resample_device_plan) + 63) / 64 * 64;
}

static size_t plan_bytes(const void *params)
{
    const struct resample_key *const k = (const struct resample_key *)params;
    const int64_t taps = resample_taps(k);
    return head_bytes() + (size_t)(k->up * taps + taps) * sizeof(float); /* one filter more: room to turn each */
}

static int plan_init(void *memory, const void *params)
{
    const struct resample_key *const k = (const struct resample_key *)params;
    struct resample_device_plan *const plan = (struct resample_device_plan *)memory;
    const int64_t taps = resample_taps(k);
    const bool tiles = by_tiles(k->up, k->down, taps);
    float *const h = (float *)((char *)memory + head_bytes()), *const one = h + k->up * taps;
    plan->head.device = NULL;
    plan->up = k->up;
    plan->down = k->down;
    plan->taps = taps;
    plan->taps_at = (int64_t)head_bytes();
    for (int64_t n = 0; n < k->up; n++) {
        resample_phase(k, n * k->down % k->up, one);
        for (int64_t i = 0; i < taps; i++)
            h[tiles ? i * k->up + n : n * taps + i] = one[i];
    }
    return STATUS_OK;
}

extern "C" {
extern const struct plan_kind resample_device_plan_kind;
const struct plan_kind resample_device_plan_kind = {.name = "resample",
                                                    .params_bytes = sizeof(struct resample_key),
                                                    .bytes = plan_bytes,
                                                    .init = plan_init,
                                                    .on_device = true};
}

/* ---- kernels ---- */

/* sum + v, and what the rounding takes away into rest. */
static __device__ __forceinline__ void add_exactly(float *sum, float *rest, float v)
{
    const float s = *sum + v, taken = s - *sum;
    *rest += (*sum - (s - taken)) + (v - taken);
    *sum = s;
}

/* What an addition leaves is no number beside an infinity or a NaN, which the sum itself then shows. */
static __device__ __forceinline__ float total(float sum, float rest)
{
    return fabsf(sum) < INFINITY ? sum + rest : sum;
}

static __device__ __forceinline__ void load_segments(const struct resampled *r, int64_t from, int64_t samples,
                                                     const float *x, float *shared)
{
    const int span = (int)r->span;
    const int64_t step = r->period / r->up * r->down;
#pragma unroll
    for (int round = 0; round < ROUNDS; round++)
        for (int i = (int)threadIdx.x; i < span; i += (int)blockDim.x) {
            const int64_t at = from + round * step + i;
            const int64_t there = at < 0 ? 0 : at < samples ? at : samples - 1;
            const float v = x[there]; /* all lanes load, so that they stay together */
            shared[round * span + i] = at == there ? v : 0;
        }
}

static __device__ __forceinline__ void add_taps(const float *h, int64_t up, const float *x, int span, int count,
                                                float *part)
{
#pragma unroll
    for (int k = 0; k < PART; k++) {
        if (k >= count)
            return;
        const float tap = h[k * up];
#pragma unroll
        for (int round = 0; round < ROUNDS; round++)
            part[round] += tap * x[round * span + k];
    }
}

/* occupancy: 4 blocks of 256 threads, 48 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 4)) resample_kernel(struct resampled r)
{
    SHARED_DYNAMIC(float, shared);
    const int64_t segments = (r.period + r.width - 1) / r.width;
    const int64_t begin = blockIdx.x % segments * r.width;
    const struct tile tile = tile_of(r.y_offset, r.rows, ROUNDS * r.period, blockIdx.x / segments);
    if (tile.count <= begin)
        return;
    const struct piece piece = piece_of(r.piece, tile.row);
    const int64_t row = r.x_offset[tile.row], samples = r.x_offset[tile.row + 1] - row;
    const int64_t n0 = resample_first_of(r.up, r.down, r.filter, piece) + tile.first + begin;
    const int64_t from = n0 * r.down / r.up - r.filter / 2 + 1;
    load_segments(&r, from - piece.start, samples, r.x + row, shared);
    __syncthreads();
    const int64_t n = n0 + threadIdx.x, place = begin + threadIdx.x;
    if ((int64_t)threadIdx.x >= r.width || place >= r.period || place >= tile.count)
        return;
    const float *const x = shared + (n * r.down / r.up - r.filter / 2 + 1 - from), *const h = r.taps + n % r.up;
    const int span = (int)r.span, taps = (int)r.filter;
    float sum[ROUNDS] = {0, 0, 0, 0}, rest[ROUNDS] = {0, 0, 0, 0};
    for (int k = 0; k < taps; k += PART) {
        float part[ROUNDS] = {0, 0, 0, 0};
        if (k + PART <= taps)
            add_taps(h + k * r.up, r.up, x + k, span, PART, part);
        else
            add_taps(h + k * r.up, r.up, x + k, span, taps - k, part);
#pragma unroll
        for (int round = 0; round < ROUNDS; round++)
            add_exactly(&sum[round], &rest[round], part[round]);
    }
    float *const y = r.y + r.y_offset[tile.row] + tile.first;
#pragma unroll
    for (int round = 0; round < ROUNDS; round++)
        if (place + round * r.period < tile.count)
            y[place + round * r.period] = total(sum[round], rest[round]);
}

/* A warp per output.
 * occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 6))
    resample_warps_kernel(struct resampled r, int64_t outputs)
{
    const int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (at >= outputs) /* the same for a whole warp */
        return;
    const int64_t b = row_of(r.y_offset, r.rows, at), row = r.x_offset[b], samples = r.x_offset[b + 1] - row;
    const struct piece piece = piece_of(r.piece, b);
    const int64_t n = resample_first_of(r.up, r.down, r.filter, piece) + at - r.y_offset[b];
    const int64_t from = n * r.down / r.up - r.filter / 2 + 1 - piece.start;
    const float *const h = r.taps + n % r.up * r.filter, *const x = r.x + row;
    float sum = 0, rest = 0;
    for (int64_t k = threadIdx.x % 32; k < r.filter; k += 32) {
        const bool inside = from + k >= 0 && from + k < samples;
        add_exactly(&sum, &rest, inside ? h[k] * x[from + k] : 0);
    }
    for (int d = 16; d > 0; d /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, sum, d);
        rest += __shfl_xor_sync(0xffffffffu, rest, d);
        add_exactly(&sum, &rest, other);
    }
    if (threadIdx.x % 32 == 0)
        r.y[at] = total(sum, rest);
}

/* ---- launches ---- */

extern "C" int resample_cuda(struct exec *ex, const void *memory, const struct ragged *x, struct ragged *y)
{
    const struct resample_device_plan *const plan = (const struct resample_device_plan *)memory;
    struct resampled r = {};
    if (y->total == 0)
        return STATUS_OK;
    r.x = (const float *)x->data;
    r.y = (float *)y->data;
    r.taps = (const float *)((const char *)plan->head.device + plan->taps_at);
    r.x_offset = x->offset_device;
    r.y_offset = y->offset_device;
    r.piece = x->piece_device;
    r.rows = x->rows;
    r.up = plan->up;
    r.down = plan->down;
    r.filter = plan->taps;
    shape(&r);
    const int64_t segments = ceiling(r.period, r.width), tiles = tile_slots(y, ROUNDS * r.period) * segments;
    const bool as_tiles = by_tiles(r.up, r.down, r.filter);
    const int64_t blocks = as_tiles ? tiles : ceiling(y->total, WARPS);
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "resample: %lld samples are more than one launch gives", (long long)y->total);
    if (as_tiles)
        LAUNCH(resample_kernel, (unsigned)blocks, (unsigned)(ceiling(r.width, 32) * 32),
               (size_t)r.span * ROUNDS * sizeof(float), device_launch_stream(ex), r);
    else
        LAUNCH(resample_warps_kernel, (unsigned)blocks, THREADS, 0, device_launch_stream(ex), r, y->total);
    return device_launched("resample");
}
