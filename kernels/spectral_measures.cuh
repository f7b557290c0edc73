/* spectral_measures - what is measured on the spectrum of a frame whose energies |X|^2 lie in shared memory, by the T
 * threads of its frame; equations are in the outputs' headers. A block holds several frames, and all its threads call
 * these functions together, those of frames that are not there too: their results go nowhere.
 *
 * Sums run over bins j + T*i in each thread, then over threads in pairs: the same order whatever else the block holds.
 */
#ifndef SPECTRAL_MEASURES_CUH
#define SPECTRAL_MEASURES_CUH
#include "spectral.cuh"

#include <float.h>

static __device__ __forceinline__ float to_power(float square, float power)
{
    return power == 2 ? square : power == 1 ? sqrtf(square) : powf(square, 0.5f * power);
}

/* Energies become what bands are summed of: the last that is asked of them. All threads of the block take part. */
static __device__ __forceinline__ void raise_energies(const struct spectra *s, float *energies, int bins, int j,
                                                      const int T)
{
    if (s->power == 2)
        return;
    for (int k = j; k < bins; k += T)
        energies[k] = to_power(energies[k], s->power);
    __syncthreads();
}

/* Band m of a frame from its energies; lanes of a warp have neighbouring bands, and weights that lie side by side. */
static __device__ __forceinline__ float band_of(const struct spectra *s, const float *energy, const int H, int m)
{
    const struct mel_group g = s->group[m / 32];
    const int first = s->first[m];
    const float *const weight = s->weight + g.weight + m % 32;
    float even = 0, odd = 0;
    int i = 0;
    for (; i + 1 < g.count; i += 2) {
        even += weight[32 * i] * energy[min(first + i, H)];
        odd += weight[32 * (i + 1)] * energy[min(first + i + 1, H)];
    }
    if (i < g.count)
        even += weight[32 * i] * energy[min(first + i, H)];
    const float e = even + odd;
    return s->log ? 10 * log10f(e < 1e-10f ? 1e-10f : e) : e;
}

/* A frame and the thread's place in it; scratch: a float per warp of the block. T is a constant power of two. */
struct measured {
    const float *energies; /* [bins] */
    int bins, j;
    float *scratch;
};

/* Sum over the threads of each frame; every one of them gets it. */
static __device__ __forceinline__ float frame_sum(const int T, float v, float *scratch)
{
#pragma unroll
    for (int d = (T < 32 ? T : 32) / 2; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    if (T <= 32)
        return v;
    const int warp = (int)threadIdx.x / 32, first = (int)threadIdx.x / T * (T / 32);
    if (threadIdx.x % 32 == 0)
        scratch[warp] = v;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int w = 0; w < T / 32; w++)
        sum += scratch[first + w];
    __syncthreads(); /* scratch may be written again */
    return sum;
}

/* Sum over the threads of the frame before this one. */
static __device__ __forceinline__ float frame_sum_before(const int T, float v, float *scratch)
{
    const int width = T < 32 ? T : 32, lane = (int)threadIdx.x % width;
    float through = v;
#pragma unroll
    for (int d = 1; d < width; d *= 2) {
        const float other = __shfl_up_sync(0xffffffffu, through, d, width);
        through += lane >= d ? other : 0;
    }
    float before = __shfl_up_sync(0xffffffffu, through, 1, width);
    before = lane > 0 ? before : 0;
    if (T <= 32)
        return before;
    const int warp = (int)threadIdx.x / 32, first = (int)threadIdx.x / T * (T / 32);
    if (lane == 31)
        scratch[warp] = through;
    __syncthreads();
    float sum = 0;
    for (int w = first; w < warp; w++)
        sum += scratch[w];
    __syncthreads();
    return sum + before;
}

/* Sums over the bins, as in kernels/simd/measure.c. */
struct survey {
    float weight, norm, bin; /* of magnitudes; the same, but 1 for silence; their mean bin */
};

static __device__ __forceinline__ struct survey survey_of(const struct measured *m, const int T)
{
    struct survey s;
    float weight = 0, moment = 0;
    for (int k = m->j; k < m->bins; k += T) {
        const float magnitude = sqrtf(m->energies[k]);
        weight += magnitude;
        moment += magnitude * (float)k;
    }
    s.weight = frame_sum(T, weight, m->scratch);
    s.norm = s.weight < FLT_MIN ? 1 : s.weight;
    s.bin = frame_sum(T, moment, m->scratch) / s.norm;
    return s;
}

static __device__ __forceinline__ float bandwidth_of(const struct measured *m, const int T, const struct survey *s)
{
    float spread = 0;
    for (int k = m->j; k < m->bins; k += T) {
        const float away = (float)k - s->bin;
        spread += away * away * sqrtf(m->energies[k]);
    }
    return sqrtf(frame_sum(T, spread, m->scratch) / s->norm);
}

/* The first bin up to which the magnitudes come to that part of their sum. Threads take neighbouring bins in runs of
 * odd length, so that they meet in no bank. */
static __device__ __forceinline__ float rolloff_of(const struct measured *m, const int T, float weight, float part)
{
    const int run = (m->bins + T - 1) / T | 1, first = m->j * run, last = min(first + run, m->bins);
    const float threshold = weight * part;
    float own = 0, below = 0;
    for (int k = first; k < last; k++)
        own += sqrtf(m->energies[k]);
    float through = frame_sum_before(T, own, m->scratch);
    for (int k = first; k < min(last, m->bins - 1); k++) {
        through += sqrtf(m->energies[k]);
        below += through < threshold ? 1 : 0;
    }
    return frame_sum(T, below, m->scratch);
}

/* Logarithms are summed as exponents, which are whole numbers, and those of mantissas; only the thread that writes
 * takes the mean, in double: in f32, silence would not come to 1. */
static __device__ __forceinline__ float flatness_of(const struct measured *m, const int T, bool writes)
{
    float sum = 0, logs = 0, exponents = 0;
    for (int k = m->j; k < m->bins; k += T) {
        const float e = fmaxf(m->energies[k], 1e-10f);
        const int bits = __float_as_int(e);
        sum += e;
        exponents += (float)((bits >> 23) - 127);
        logs += log2f(__int_as_float((bits & 0x007fffff) | 0x3f800000));
    }
    sum = frame_sum(T, sum, m->scratch);
    logs = frame_sum(T, logs, m->scratch);
    exponents = frame_sum(T, exponents, m->scratch);
    if (!writes)
        return 0;
    return (float)(exp2(((double)logs + (double)exponents) / m->bins) / ((double)sum / m->bins));
}

static __device__ inline float decibels(float v)
{
    return v > 1e-10f ? 10 * log10f(v) : -100;
}

static __device__ inline int warp_count(int v)
{
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

static __device__ inline int key_at(const float *energies, int k)
{
    return __float_as_int(energies[k]) & 0x7fffffff; /* not negative: their bits are in order; a NaN may have a sign */
}

/* The energy of rank `rank` (from 0) of a band, by a whole warp: from its highest bit on, the largest with at most
 * `rank` below it. A bit that all have alike is not looked at. */
static __device__ inline int rank_of(const float *energies, int first, int count, int rank)
{
    const int lane = (int)threadIdx.x % 32;
    int any = 0, all = -1;
    for (int i = lane; i < count; i += 32) {
        any |= key_at(energies, first + i);
        all &= key_at(energies, first + i);
    }
    for (int d = 16; d > 0; d /= 2) {
        any |= __shfl_xor_sync(0xffffffffu, any, d);
        all &= __shfl_xor_sync(0xffffffffu, all, d);
    }
    int found = all, open = any & ~all;
    while (open) {
        const int bit = 1 << (31 - __clz(open));
        open &= ~bit;
        int below = 0;
        for (int i = lane; i < count; i += 32)
            below += key_at(energies, first + i) < ((found & ~(bit - 1)) | bit) ? 1 : 0;
        below = warp_count(below);
        if (below <= rank)
            found |= bit;
    }
    return found;
}

/* Mean magnitude of the `take` largest (or smallest) of a band: what lies beyond the value of the last rank that
 * counts, and that value as often as is left. */
static __device__ inline float mean_beyond(const float *energies, const struct contrast_band *b, bool largest)
{
    const int first = (int)b->first, count = (int)b->count, take = (int)b->take;
    const int edge = rank_of(energies, first, count, largest ? count - take : take - 1);
    float sum = 0;
    int beyond = 0;
    for (int i = (int)threadIdx.x % 32; i < count; i += 32) {
        const int key = key_at(energies, first + i);
        const bool counts = largest ? key > edge : key < edge;
        sum += counts ? sqrtf(energies[first + i]) : 0;
        beyond += counts ? 1 : 0;
    }
    sum = warp_sum(sum);
    beyond = warp_count(beyond);
    return (sum + (float)(take - beyond) * sqrtf(__int_as_float(edge))) / (float)take;
}

/* Peak and valley of band k in y [2*bands], by a whole warp. Bin 0 of a frame that is not finite is an infinity. */
static __device__ inline void contrast_band(const struct spectra *s, const float *energies, int k, float *y)
{
    const struct contrast_band *const b = &s->contrast.band[k];
    float peak = NAN, valley = NAN;
    if (b->count) {
        peak = decibels(mean_beyond(energies, b, true));
        valley = decibels(mean_beyond(energies, b, false));
    }
    const bool bad = !(energies[0] < INFINITY);
    if (threadIdx.x % 32 == 0) {
        y[k] = bad ? NAN : peak;
        y[s->contrast.bands + k] = bad ? NAN : valley;
    }
}

static __device__ __forceinline__ void write_value(const struct spectra *s, int o, int64_t frame, bool writes, bool bad,
                                                   float v)
{
    if (writes)
        s->out[o][frame] = bad ? NAN : v;
}

/* The single values of each frame. All threads of the block take part; thread j = 0 of a frame that is there writes. */
static __device__ __forceinline__ void write_values(const struct spectra *s, const struct measured *m, const int T,
                                                    int64_t frame, bool writes, bool bad)
{
    float *const *const out = s->out;
    if (out[SPECTRAL_CENTROID] || out[SPECTRAL_BANDWIDTH] || out[SPECTRAL_ROLLOFF]) {
        const struct survey survey = survey_of(m, T);
        if (out[SPECTRAL_CENTROID])
            write_value(s, SPECTRAL_CENTROID, frame, writes, bad, survey.bin * s->bin_hz);
        if (out[SPECTRAL_BANDWIDTH])
            write_value(s, SPECTRAL_BANDWIDTH, frame, writes, bad, bandwidth_of(m, T, &survey) * s->bin_hz);
        if (out[SPECTRAL_ROLLOFF])
            write_value(s, SPECTRAL_ROLLOFF, frame, writes, bad,
                        rolloff_of(m, T, survey.weight, s->rolloff) * s->bin_hz);
    }
    if (out[SPECTRAL_FLATNESS])
        write_value(s, SPECTRAL_FLATNESS, frame, writes, bad, flatness_of(m, T, writes));
}

#endif
