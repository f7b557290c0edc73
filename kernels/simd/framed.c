/* What is measured on samples: rms, peak and zero crossings per frame, blocks of a waveform, the level of rows. */
#include "rows.h"

#include <math.h>

/* Frames that overlap share their parts: a part of `hop` samples is measured once and joined into every frame that
 * holds it, in the order of time. */
struct framed {
    double (*part)(const float *row, int64_t lo, int64_t hi); /* of samples lo .. hi - 1, lo < hi */
    double (*join)(double before, double after);
    float (*finish)(double all, const float *row, int64_t lo, int64_t window); /* of a frame whose first sample is lo */
};

enum { PARTS_MOST = 32 };

static double part_of(const struct framed *f, const float *row, int64_t samples, int64_t from, int64_t n)
{
    const int64_t lo = from < 0 ? 0 : from, hi = from + n < samples ? from + n : samples;
    return lo < hi ? f->part(row, lo, hi) : 0;
}

/* Of the samples of each frame that lie inside its row. */
static int run(const struct frame_params *p, const struct ragged *x, struct ragged *y, const struct framed *f)
{
    const int64_t window = p->window_samples, hop = p->hop_samples;
    const bool shared = window % hop == 0 && window / hop <= PARTS_MOST;
    const int64_t parts = shared ? window / hop : 1, n = shared ? hop : window;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b];
        float *const out = (float *)y->data + y->offset[b];
        const int64_t samples = ragged_length(x, b);
        int64_t from = frame_from(p, piece_of(x->piece, b));
        double part[PARTS_MOST] = {0};
        for (int64_t t = 0; t < ragged_length(y, b); t++, from += hop) {
            double all = 0;
            for (int64_t k = t > 0 ? parts - 1 : 0; k < parts; k++)
                part[(t + k) % parts] = part_of(f, row, samples, from + k * n, n);
            for (int64_t k = 0; k < parts; k++)
                all = f->join(all, part[(t + k) % parts]);
            out[t] = f->finish(all, row, from < 0 ? 0 : from, window);
        }
    }
    return STATUS_OK;
}

static double sum_of_two(double a, double b)
{
    return a + b;
}

static double larger_of_two(double a, double b)
{
    return a > b ? a : b;
}

static double squares(const float *row, int64_t lo, int64_t hi)
{
    vd a = {0}, b = {0};
    int64_t i = lo;
    for (; i + LANES <= hi; i += LANES) {
        const vd v = vd_load(row + i), w = vd_load(row + i + LANES / 2);
        a += v * v;
        b += w * w;
    }
    double sum = vd_total(a + b);
    for (; i < hi; i++)
        sum += (double)row[i] * row[i];
    return sum;
}

static float root_mean(double sum, const float *row, int64_t lo, int64_t window)
{
    (void)row;
    (void)lo;
    return (float)sqrt(sum / (double)window);
}

/* The bits of the largest magnitude: those of magnitudes are in order as integers, and those of a NaN come last. */
static double largest_bits(const float *row, int64_t lo, int64_t hi)
{
    vi most = {0};
    int32_t peak = 0;
    int64_t i = lo;
    for (; i + LANES <= hi; i += LANES)
        most = vi_max(most, (vi)vf_load(row + i) & 0x7fffffff);
    for (int l = 0; l < LANES; l++)
        peak = most[l] > peak ? most[l] : peak;
    for (; i < hi; i++) {
        int32_t bits;
        memcpy(&bits, row + i, sizeof bits);
        peak = (bits & 0x7fffffff) > peak ? bits & 0x7fffffff : peak;
    }
    return peak;
}

static float of_bits(double all, const float *row, int64_t lo, int64_t window)
{
    const int32_t bits = (int32_t)all;
    float out;
    (void)row;
    (void)lo;
    (void)window;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Whether the sign changes from sample i - 1 to i; 0 and what is nearly 0 is positive. */
static bool crosses(const float *row, int64_t i)
{
    return i > 0 && (row[i - 1] < -1e-10f) != (row[i] < -1e-10f);
}

static double crossings(const float *row, int64_t lo, int64_t hi)
{
    const vf threshold = vf_set(-1e-10f);
    int64_t count = crosses(row, lo), i = lo + 1;
    for (; i + LANES <= hi; i += LANES)
        count += __builtin_popcount(vmask_bits(vf_less(vf_load(row + i), threshold)) ^
                                    vmask_bits(vf_less(vf_load(row + i - 1), threshold)));
    for (; i < hi; i++)
        count += crosses(row, i);
    return (double)count;
}

static float crossing_rate(double all, const float *row, int64_t lo, int64_t window)
{
    const double before = all > 0 ? crosses(row, lo) : 0; /* the one into the frame is not the frame's */
    return (float)((all - before) / (double)window);
}

int SIMD(rms)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    static const struct framed rms = {squares, sum_of_two, root_mean};
    (void)ex;
    return run(p, x, y, &rms);
}

int SIMD(peak)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    static const struct framed peak = {largest_bits, larger_of_two, of_bits};
    (void)ex;
    return run(p, x, y, &peak);
}

int SIMD(zero_crossing)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    static const struct framed zero_crossing = {crossings, sum_of_two, crossing_rate};
    (void)ex;
    return run(p, x, y, &zero_crossing);
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
