/* hpss on CUDA. A block takes a tile of side x side values of one row: one warp walks along time, a lane per bin, the
 * other along frequency, a lane per frame, each over magnitudes in shared memory that reach half a kernel further on
 * both sides. A lane finds its first median by bisection of the bits of floats (all positive, so ordered as integers),
 * and then only follows it: one value leaves and one enters, so the median stays or moves to its neighbour, which one
 * look at the window finds. Medians replace the magnitudes that have left all windows.
 *
 * Whether a row is finite is known when all of it has been seen: tiles note what is not, and a second kernel makes such
 * rows NaN. Scratch: 4 bytes per row.
 *
 * Limits: per value 8 bytes in, 16 out; about 62 reads of shared memory for kernels of 31, that is 250 bytes: bound by
 * shared memory, whose banks take 1.02 passes per access, by a little. Magnitudes are computed about four times. */
#include "hpss.h"

#include "tiles.cuh"

#include <float.h>

enum { SIDE = 32, SIDE_SMALL = 16, THREADS = 64, FILL_THREADS = 256, SHARED_MOST = 48 << 10 };

struct parted {
    const float *x;
    float *harmonic, *percussive; /* NULL: not asked for */
    const int64_t *offset;
    int *not_finite; /* [rows] */
    int64_t rows, bins;
    int kernel_time, kernel_frequency, side;
    float power, margin_harmonic, margin_percussive;
    bool split; /* halves where there is nothing */
};

/* Magnitudes between frames of the tile along frequency: odd, so that lanes meet different banks. */
static __host__ __device__ inline int pitch_of(const struct parted *p)
{
    return p->side + p->kernel_frequency;
}

static __host__ __device__ inline int column_floats(const struct parted *p)
{
    return (p->side + p->kernel_time - 1) * p->side;
}

static int shared_floats(const struct parted *p)
{
    return column_floats(p) + p->side * pitch_of(p);
}

/* ---- medians ---- */

/* A lane's place in its walk: the window's first value and the distance between its values. */
struct walk {
    float *v;
    int step, kernel;
};

struct median {
    float value;
    int below, equal; /* values of the window */
};

static __device__ __forceinline__ struct median first_median(const struct walk *w)
{
    struct median m = {0, 0, 0};
    int bits = 0;
    for (int bit = 30; bit >= 0; bit--) { /* the largest number that at most half of the values are below */
        const float t = __int_as_float(bits | 1 << bit);
        int below = 0;
        for (int k = 0; k < w->kernel; k++)
            below += w->v[k * w->step] < t;
        if (below <= w->kernel / 2 && t <= FLT_MAX)
            bits |= 1 << bit;
    }
    m.value = __int_as_float(bits);
    for (int k = 0; k < w->kernel; k++) {
        m.below += w->v[k * w->step] < m.value;
        m.equal += w->v[k * w->step] == m.value;
    }
    return m;
}

static __device__ __forceinline__ void step_down(const struct walk *w, struct median *m)
{
    float best = -1;
    int count = 0;
    for (int k = 0; k < w->kernel; k++) {
        const float v = w->v[k * w->step];
        const bool nearer = v < m->value && v > best;
        count = nearer ? 1 : count + (v == best);
        best = nearer ? v : best;
    }
    m->value = best;
    m->equal = count;
    m->below -= count;
}

static __device__ __forceinline__ void step_up(const struct walk *w, struct median *m)
{
    float best = INFINITY;
    int count = 0;
    for (int k = 0; k < w->kernel; k++) {
        const float v = w->v[k * w->step];
        const bool nearer = v > m->value && v < best;
        count = nearer ? 1 : count + (v == best);
        best = nearer ? v : best;
    }
    m->below += m->equal;
    m->value = best;
    m->equal = count;
}

/* Medians of `count` windows from w on, each where its window began. */
static __device__ __forceinline__ void follow(struct walk w, int count)
{
    struct median m = first_median(&w);
    for (int i = 0; i < count; i++) {
        const float gone = w.v[0];
        w.v[0] = m.value;
        if (i + 1 == count)
            return;
        const float come = w.v[w.kernel * w.step];
        w.v += w.step;
        m.below += (come < m.value) - (gone < m.value);
        m.equal += (come == m.value) - (gone == m.value);
        if (m.below > w.kernel / 2)
            step_down(&w, &m);
        else if (m.below + m.equal <= w.kernel / 2)
            step_up(&w, &m);
    }
}

/* ---- kernels ---- */

static __device__ __forceinline__ int mirror(int64_t i, int64_t n)
{
    return (int)(i >= 0 && i < n ? i : hpss_mirror(i, n));
}

static __device__ __forceinline__ float raised(float x, float power)
{
    return power == 2 ? x * x : power == 1 ? x : powf(x, power);
}

/* The share of u against v, both scaled so that neither overflows. */
static __device__ __forceinline__ float mask(float u, float v, float power, bool split)
{
    const float larger = u > v ? u : v;
    if (larger < FLT_MIN)
        return split ? 0.5f : 0;
    if (!(power < INFINITY))
        return u > v;
    const float a = raised(u / larger, power), b = raised(v / larger, power);
    return a / (a + b);
}

/* Magnitudes of the lane's columns along time; whether all of them are finite. */
static __device__ __forceinline__ bool load_columns(const struct parted *p, const float *row, int64_t frames,
                                                    int64_t t0, int64_t f0, float *to)
{
    const int lane = (int)threadIdx.x % 32, rows = p->side + p->kernel_time - 1;
    bool finite = true;
    for (int i = lane; i < rows * p->side; i += 32) {
        const int64_t f = f0 + i % p->side, t = mirror(t0 - p->kernel_time / 2 + i / p->side, frames);
        const float2 v = load2(row + 2 * (t * p->bins + (f < p->bins ? f : p->bins - 1)));
        finite &= fabsf(v.x) < INFINITY && fabsf(v.y) < INFINITY;
        to[i] = hypotf(v.x, v.y);
    }
    return finite;
}

static __device__ __forceinline__ void load_rows(const struct parted *p, const float *row, int64_t frames, int64_t t0,
                                                 int64_t f0, float *to)
{
    const int width = p->side + p->kernel_frequency - 1, pitch = pitch_of(p);
    for (int r = 0; r < p->side; r++) {
        const float *const x = row + 2 * ((t0 + r < frames ? t0 + r : frames - 1) * p->bins);
        for (int i = (int)threadIdx.x % 32; i < width; i += 32) {
            const float2 v = load2(x + 2 * mirror(f0 - p->kernel_frequency / 2 + i, p->bins));
            to[r * pitch + i] = hypotf(v.x, v.y);
        }
    }
}

static __device__ __forceinline__ void write_parts(const struct parted *p, const float *columns, const float *rows,
                                                   int64_t at, int frames, int bins)
{
    const int pitch = pitch_of(p);
    for (int i = (int)threadIdx.x; i < p->side * p->side; i += THREADS) {
        const int t = i / p->side, f = i % p->side;
        if (t >= frames || f >= bins)
            continue;
        const float h = columns[t * p->side + f], q = rows[t * pitch + f];
        const int64_t place = 2 * (at + t * p->bins + f);
        const float2 x = load2(p->x + place);
        if (p->harmonic) {
            const float share = mask(h, q * p->margin_harmonic, p->power, p->split);
            store2(p->harmonic + place, make_float2(x.x * share, x.y * share));
        }
        if (p->percussive) {
            const float share = mask(q, h * p->margin_percussive, p->power, p->split);
            store2(p->percussive + place, make_float2(x.x * share, x.y * share));
        }
    }
}

/* occupancy: 13 blocks of 64 threads, 16 KB of dynamic shared memory each
 * occupancy: 4 blocks of 64 threads, 48 KB of dynamic shared memory each */
static __global__ void __launch_bounds__(THREADS, 13) hpss_kernel(struct parted p)
{
    SHARED_DYNAMIC(float, shared);
    const int64_t across = (p.bins + p.side - 1) / p.side;
    const struct tile tile = tile_of(p.offset, p.rows, p.side, blockIdx.x / across);
    if (tile.count == 0)
        return;
    const int64_t f0 = blockIdx.x % across * p.side, frames = p.offset[tile.row + 1] - p.offset[tile.row];
    const float *const row = p.x + 2 * p.offset[tile.row] * p.bins;
    const int bins = (int)(p.bins - f0 < p.side ? p.bins - f0 : p.side), lane = (int)threadIdx.x % 32;
    float *const columns = shared, *const rows = shared + column_floats(&p);
    if (threadIdx.x < 32) {
        const bool finite = load_columns(&p, row, frames, tile.first, f0, columns);
        if (!__all_sync(0xffffffffu, finite) && lane == 0)
            p.not_finite[tile.row] = 1;
        __syncwarp();
        const struct walk w = {columns + lane, p.side, p.kernel_time};
        if (lane < bins)
            follow(w, (int)tile.count);
    } else {
        load_rows(&p, row, frames, tile.first, f0, rows);
        __syncwarp();
        const struct walk w = {rows + lane * pitch_of(&p), 1, p.kernel_frequency};
        if (lane < tile.count)
            follow(w, bins);
    }
    __syncthreads();
    write_parts(&p, columns, rows, (p.offset[tile.row] + tile.first) * p.bins + f0, (int)tile.count, bins);
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(FILL_THREADS, DEVICE_BLOCKS(FILL_THREADS, 8)) hpss_fill_kernel(struct parted p)
{
    const float2 nan = make_float2(NAN, NAN);
    for (int64_t b = blockIdx.y; b < p.rows; b += gridDim.y) {
        if (!p.not_finite[b])
            continue;
        const int64_t end = p.offset[b + 1] * p.bins, step = (int64_t)gridDim.x * FILL_THREADS;
        for (int64_t i = p.offset[b] * p.bins + blockIdx.x * FILL_THREADS + threadIdx.x; i < end; i += step) {
            if (p.harmonic)
                store2(p.harmonic + 2 * i, nan);
            if (p.percussive)
                store2(p.percussive + 2 * i, nan);
        }
    }
}

/* ---- launches ---- */

static int run(struct exec *ex, const struct parted *p, int64_t blocks)
{
    const dim3 fill(64, (unsigned)(p->rows < 1024 ? p->rows : 1024));
    const cudaStream_t stream = device_launch_stream(ex);
    int code = device_failed(cudaMemsetAsync(p->not_finite, 0, (size_t)p->rows * sizeof(int), stream), "hpss");
    if (code)
        return code;
    LAUNCH(hpss_kernel, (unsigned)blocks, THREADS, (size_t)shared_floats(p) * sizeof(float), stream, *p);
    code = device_launched("hpss");
    if (code)
        return code;
    LAUNCH(hpss_fill_kernel, fill, FILL_THREADS, 0, device_launch_stream(ex), *p);
    return device_launched("hpss");
}

extern "C" int hpss_cuda(struct exec *ex, const struct hpss_params *params, const struct ragged *x,
                         struct ragged *harmonic, struct ragged *percussive)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct parted p = {};
    if (x->total == 0 || (!harmonic && !percussive))
        return STATUS_OK;
    p.x = (const float *)x->data;
    p.harmonic = harmonic ? (float *)harmonic->data : NULL;
    p.percussive = percussive ? (float *)percussive->data : NULL;
    p.offset = x->offset_device;
    p.rows = x->rows;
    p.bins = x->channels;
    p.kernel_time = params->kernel_time;
    p.kernel_frequency = params->kernel_frequency;
    p.power = (float)params->power;
    p.margin_harmonic = (float)params->margin_harmonic;
    p.margin_percussive = (float)params->margin_percussive;
    p.split = params->margin_harmonic == 1 && params->margin_percussive == 1;
    p.side = SIDE;
    if (shared_floats(&p) * sizeof(float) > SHARED_MOST) /* the longest kernels: half of the lanes idle */
        p.side = SIDE_SMALL;
    const int64_t blocks = tile_slots(x, p.side) * ((p.bins + p.side - 1) / p.side);
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "hpss: %lld frames are more than one launch gives", (long long)x->total);
    int code = arena_alloc(arena, (size_t)x->rows * sizeof(int), &p.not_finite);
    code = code ? code : run(ex, &p, blocks);
    arena_reset(arena, mark);
    return code;
}
