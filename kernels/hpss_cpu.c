#include "hpss.h"

#include "ops.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_FRAMES = 256, LANES_MOST = 16 }; /* of the vector twins, whose scratch is the larger */

size_t hpss_work_bytes(const struct hpss_params *p, int64_t bins)
{
    const int64_t frames = CHUNK_FRAMES + p->kernel_time, columns = (bins + LANES_MOST - 1) / LANES_MOST * LANES_MOST;
    return (size_t)((2 * CHUNK_FRAMES + frames) * columns + 2 * (bins + p->kernel_frequency) * LANES_MOST) *
               sizeof(float) +
           (size_t)8 * ARENA_ALIGN;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float magnitude(const float *x, int64_t i)
{
    return (float)sqrt((double)x[2 * i] * x[2 * i] + (double)x[2 * i + 1] * x[2 * i + 1]);
}

/* Median of `kernel` magnitudes around place i of n, which lie `stride` bins apart from `first` on. */
static float median(const float *x, int64_t first, int64_t stride, int64_t i, int64_t n, int64_t kernel, float *v)
{
    for (int64_t k = 0; k < kernel; k++)
        v[k] = magnitude(x, first + hpss_mirror(i - kernel / 2 + k, n) * stride);
    qsort(v, (size_t)kernel, sizeof *v, rising);
    return v[kernel / 2];
}

static double mask(double u, double v, double power, bool split)
{
    const double larger = u > v ? u : v;
    if (larger < FLT_MIN)
        return split ? 0.5 : 0;
    if (isinf(power))
        return u > v;
    const double a = pow(u / larger, power), b = pow(v / larger, power);
    return a / (a + b);
}

static bool is_finite(const float *x, int64_t n)
{
    double probe = 0;
    for (int64_t i = 0; i < n; i++)
        probe += (double)x[i] * 0;
    return probe == 0;
}

int hpss_cpu(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
             struct ragged *percussive)
{
    const int64_t bins = x->channels;
    const bool split = p->margin_harmonic == 1 && p->margin_percussive == 1;
    float v[HPSS_KERNEL_MOST];
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b] * bins * 2;
        const int64_t frames = ragged_length(x, b), at = x->offset[b] * bins;
        const bool finite = is_finite(row, frames * bins * 2);
        for (int64_t i = 0; i < frames * bins; i++) {
            const int64_t t = i / bins, f = i % bins;
            const double h = finite ? median(row, f, bins, t, frames, p->kernel_time, v) : NAN;
            const double q = finite ? median(row, t * bins, 1, f, bins, p->kernel_frequency, v) : NAN;
            const double part[2] = {finite ? mask(h, q * p->margin_harmonic, p->power, split) : NAN,
                                    finite ? mask(q, h * p->margin_percussive, p->power, split) : NAN};
            for (int k = 0; k < 2; k++) {
                struct ragged *const y = k ? percussive : harmonic;
                for (int c = 0; y && c < 2; c++)
                    ((float *)y->data)[(at + i) * 2 + c] = (float)(row[2 * i + c] * part[k]);
            }
        }
    }
    return STATUS_OK;
}

static int check_output(const struct ragged *x, const struct ragged *y)
{
    if (!y)
        return STATUS_OK;
    if (y->dtype != DTYPE_C64 || y->channels != x->channels || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "hpss: gives %d bins of complex64", (int)x->channels);
    if (y->rows != x->rows || y->total != x->total)
        return fail(STATUS_SHAPE, "hpss: %lld frames into %lld", (long long)x->total, (long long)y->total);
    for (int64_t b = 0; b <= x->rows; b++)
        if (x->offset[b] != y->offset[b])
            return fail(STATUS_SHAPE, "hpss: row %lld begins at frame %lld, its result at %lld", (long long)b,
                        (long long)x->offset[b], (long long)y->offset[b]);
    return STATUS_OK;
}

static int check(const struct hpss_params *p, const struct ragged *x)
{
    const int32_t kernels[2] = {p->kernel_time, p->kernel_frequency};
    for (int i = 0; i < 2; i++)
        if (kernels[i] < 1 || kernels[i] > HPSS_KERNEL_MOST || kernels[i] % 2 == 0)
            return fail(STATUS_ARGUMENT, "hpss: kernel of %d, allowed odd ones from 1 to %d", (int)kernels[i],
                        HPSS_KERNEL_MOST);
    if (!(p->power > 0 && (p->power <= 8 || isinf(p->power))))
        return fail(STATUS_ARGUMENT, "hpss: power %g, allowed above 0 to 8, or infinite", p->power);
    if (!(p->margin_harmonic >= 1 && p->margin_harmonic <= 1e9 && p->margin_percussive >= 1 &&
          p->margin_percussive <= 1e9))
        return fail(STATUS_ARGUMENT, "hpss: margins %g and %g, allowed from 1 on", p->margin_harmonic,
                    p->margin_percussive);
    if (x->dtype != DTYPE_C64 || x->channels < 1 || x->channels > 32769 || (x->total > 0 && !x->data))
        return fail(STATUS_ARGUMENT, "hpss: wants complex64, 1 to 32769 bins");
    if (x->rows < 0 || x->offset[0] != 0 || x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "hpss: %lld rows of %lld frames in all", (long long)x->rows, (long long)x->total);
    for (int64_t b = 0; b < x->rows; b++)
        if (ragged_length(x, b) < 0 || (x->piece && !(x->piece[b].first && x->piece[b].last)))
            return fail(STATUS_SHAPE, "hpss: row %lld has %lld frames, allowed whole signals", (long long)b,
                        (long long)ragged_length(x, b));
    return STATUS_OK;
}

int hpss(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
         struct ragged *percussive)
{
    int code = check(p, x);
    code = code ? code : check_output(x, harmonic);
    code = code ? code : check_output(x, percussive);
    return code ? code : OPS_CALL(ex, hpss, ex, p, x, harmonic, percussive);
}
