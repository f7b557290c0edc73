/* What is measured on samples: rms, peak and zero crossings per frame, blocks of a waveform, the level of rows. */
#include "rows.h"

#include <math.h>

typedef float measure_frame(const float *x, int64_t n, int64_t window);

/* Calls measure for the samples of each frame that lie inside its row. */
static int run(const struct frame_params *p, const struct ragged *x, struct ragged *y, measure_frame *measure)
{
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b];
        float *const out = (float *)y->data + y->offset[b];
        const int64_t samples = ragged_length(x, b);
        int64_t from = frame_from(p, piece_of(x->piece, b));
        for (int64_t t = 0; t < ragged_length(y, b); t++, from += p->hop_samples) {
            const int64_t lo = from < 0 ? 0 : from;
            const int64_t hi = from + p->window_samples < samples ? from + p->window_samples : samples;
            out[t] = measure(row + lo, hi > lo ? hi - lo : 0, p->window_samples);
        }
    }
    return STATUS_OK;
}

static float frame_rms(const float *x, int64_t n, int64_t window)
{
    vd a = {0}, b = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vd v = vd_load(x + i), w = vd_load(x + i + LANES / 2);
        a += v * v;
        b += w * w;
    }
    double sum = vd_total(a + b);
    for (; i < n; i++)
        sum += (double)x[i] * x[i];
    return (float)sqrt(sum / (double)window);
}

static float frame_peak(const float *x, int64_t n, int64_t window)
{
    vi most = {0}; /* bits of magnitudes are in order as integers, and those of a NaN come last */
    int32_t peak = 0;
    float out;
    int64_t i = 0;
    (void)window;
    for (; i + LANES <= n; i += LANES)
        most = vi_max(most, (vi)vf_load(x + i) & 0x7fffffff);
    for (int l = 0; l < LANES; l++)
        peak = most[l] > peak ? most[l] : peak;
    for (; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        peak = (bits & 0x7fffffff) > peak ? bits & 0x7fffffff : peak;
    }
    memcpy(&out, &peak, sizeof out);
    return out;
}

static float frame_crossings(const float *x, int64_t n, int64_t window)
{
    const vf threshold = vf_set(-1e-10f);
    int64_t count = 0, i = 1;
    for (; i + LANES <= n; i += LANES)
        count += __builtin_popcount(vmask_bits(vf_less(vf_load(x + i), threshold)) ^
                                    vmask_bits(vf_less(vf_load(x + i - 1), threshold)));
    for (; i < n; i++)
        count += (x[i - 1] < -1e-10f) != (x[i] < -1e-10f);
    return (float)((double)count / (double)window);
}

int SIMD(rms)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    return run(p, x, y, frame_rms);
}

int SIMD(peak)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    return run(p, x, y, frame_peak);
}

int SIMD(zero_crossing)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    return run(p, x, y, frame_crossings);
}

static void measure_block(const float *x, int64_t n, float *y)
{
    vd a = {0}, b = {0};
    vf least = vf_set(INFINITY), most = vf_set(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vd v = vd_load(x + i), w = vd_load(x + i + LANES / 2);
        a += v * v;
        b += w * w;
        least = vf_min(least, vf_load(x + i));
        most = vf_max(most, vf_load(x + i));
    }
    double sum = vd_total(a + b);
    y[0] = INFINITY;
    y[1] = -INFINITY;
    for (int l = 0; l < LANES; l++) {
        y[0] = least[l] < y[0] ? least[l] : y[0];
        y[1] = most[l] > y[1] ? most[l] : y[1];
    }
    for (; i < n; i++) {
        sum += (double)x[i] * x[i];
        y[0] = x[i] < y[0] ? x[i] : y[0];
        y[1] = x[i] > y[1] ? x[i] : y[1];
    }
    y[2] = (float)sqrt(sum / (double)n);
    if (isnan(sum))
        y[0] = y[1] = y[2] = NAN;
}

int SIMD(waveform)(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const struct piece piece = piece_of(x->piece, b);
        const float *const row = (const float *)x->data + x->offset[b];
        const int64_t samples = ragged_length(x, b);
        int64_t from = waveform_first(block, piece) * block - piece.start;
        for (int64_t t = y->offset[b]; t < y->offset[b + 1]; t++, from += block)
            measure_block(row + from, samples - from < block ? samples - from : block, (float *)y->data + 3 * t);
    }
    return STATUS_OK;
}

/* One row of values that are all finite; false when they are not, and the scalar twin has to look at each. */
static bool level_of(const float *x, int64_t n, struct level *y)
{
    vd sum = {0}, squares = {0};
    vf most = {0}, probe = {0}; /* probe becomes NaN with the first NaN or infinity */
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vd v = vd_load(x + i), w = vd_load(x + i + LANES / 2);
        const vf all = vf_load(x + i);
        sum += v + w;
        squares += v * v + w * w;
        most = vf_max(most, vf_abs(all));
        probe += all * 0.0f;
    }
    struct level l = {vd_total(squares), vd_total(sum), 0, -1};
    float bad = vf_total(probe);
    for (int k = 0; k < LANES; k++)
        l.peak = most[k] > l.peak ? most[k] : l.peak;
    for (; i < n; i++) {
        l.sum += x[i];
        l.sum_squares += (double)x[i] * x[i];
        l.peak = fabsf(x[i]) > l.peak ? fabsf(x[i]) : l.peak;
        bad += x[i] * 0.0f;
    }
    *y = l;
    return bad == 0;
}

int SIMD(level)(struct exec *ex, const struct ragged *x, struct level *y)
{
    bool finite = true;
    for (int64_t b = 0; b < x->rows && finite; b++)
        finite =
            level_of((const float *)x->data + x->offset[b] * x->channels, ragged_length(x, b) * x->channels, &y[b]);
    return finite ? STATUS_OK : level_cpu(ex, x, y);
}
