#include "fft.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct fft_complex cpx;

static inline cpx add(cpx a, cpx b)
{
    return (cpx){a.re + b.re, a.im + b.im};
}

static inline cpx sub(cpx a, cpx b)
{
    return (cpx){a.re - b.re, a.im - b.im};
}

static inline cpx mul(cpx a, cpx b)
{
    return (cpx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static inline cpx scale(cpx a, double s)
{
    return (cpx){a.re * s, a.im * s};
}

static inline cpx minus_j(cpx a) /* a * -j */
{
    return (cpx){a.im, -a.re};
}

static inline cpx turn(int64_t k, int64_t n) /* exp(-2*pi*j*k/n) */
{
    const double angle = 2 * M_PI * (double)k / (double)n;
    return (cpx){cos(angle), -sin(angle)};
}

/* One pass: m butterflies of one radix for each of s interleaved transforms. x[q + s*(p + m*k)] -> y[q + s*(r*p + k)].
 */
static void pass2(int64_t m, int64_t s, const cpx *w, const cpx *x, cpx *y)
{
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < s; q++) {
            const cpx a = x[q + s * p], b = x[q + s * (p + m)];
            y[q + s * (2 * p)] = add(a, b);
            y[q + s * (2 * p + 1)] = mul(sub(a, b), w[p]);
        }
}

static void pass3(int64_t m, int64_t s, const cpx *w, const cpx *x, cpx *y)
{
    const double sin60 = 0.86602540378443864676;
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < s; q++) {
            const cpx a = x[q + s * p], b = x[q + s * (p + m)], c = x[q + s * (p + 2 * m)];
            const cpx sum = add(b, c), mid = sub(a, scale(sum, 0.5)), side = minus_j(scale(sub(b, c), sin60));
            y[q + s * (3 * p)] = add(a, sum);
            y[q + s * (3 * p + 1)] = mul(add(mid, side), w[2 * p]);
            y[q + s * (3 * p + 2)] = mul(sub(mid, side), w[2 * p + 1]);
        }
}

static void pass4(int64_t m, int64_t s, const cpx *w, const cpx *x, cpx *y)
{
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < s; q++) {
            const cpx a = x[q + s * p], b = x[q + s * (p + m)];
            const cpx c = x[q + s * (p + 2 * m)], d = x[q + s * (p + 3 * m)];
            const cpx ac = add(a, c), bd = add(b, d), ac_ = sub(a, c), bd_ = minus_j(sub(b, d));
            y[q + s * (4 * p)] = add(ac, bd);
            y[q + s * (4 * p + 1)] = mul(add(ac_, bd_), w[3 * p]);
            y[q + s * (4 * p + 2)] = mul(sub(ac, bd), w[3 * p + 1]);
            y[q + s * (4 * p + 3)] = mul(sub(ac_, bd_), w[3 * p + 2]);
        }
}

static void pass5(int64_t m, int64_t s, const cpx *w, const cpx *x, cpx *y)
{
    const double c1 = 0.30901699437494742410, c2 = -0.80901699437494742410; /* cos 72, cos 144 degrees */
    const double s1 = 0.95105651629515357212, s2 = 0.58778525229247312917;
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < s; q++) {
            const cpx a = x[q + s * p], b = x[q + s * (p + m)], c = x[q + s * (p + 2 * m)];
            const cpx d = x[q + s * (p + 3 * m)], e = x[q + s * (p + 4 * m)];
            const cpx be = add(b, e), cd = add(c, d), be_ = sub(b, e), cd_ = sub(c, d);
            const cpx mid1 = add(a, add(scale(be, c1), scale(cd, c2)));
            const cpx mid2 = add(a, add(scale(be, c2), scale(cd, c1)));
            const cpx side1 = minus_j(add(scale(be_, s1), scale(cd_, s2)));
            const cpx side2 = minus_j(sub(scale(be_, s2), scale(cd_, s1)));
            y[q + s * (5 * p)] = add(a, add(be, cd));
            y[q + s * (5 * p + 1)] = mul(add(mid1, side1), w[4 * p]);
            y[q + s * (5 * p + 2)] = mul(add(mid2, side2), w[4 * p + 1]);
            y[q + s * (5 * p + 3)] = mul(sub(mid2, side2), w[4 * p + 2]);
            y[q + s * (5 * p + 4)] = mul(sub(mid1, side1), w[4 * p + 3]);
        }
}

/* Transforms a; a and b [n] are both overwritten, the result is in the one returned. */
static cpx *passes_run(const struct fft_passes *f, cpx *a, cpx *b)
{
    const cpx *w = f->twiddle;
    int64_t s = 1;
    for (int32_t i = 0; i < f->count; i++) {
        const int32_t r = f->radix[i];
        const int64_t m = f->n / s / r;
        (r == 4 ? pass4 : r == 2 ? pass2 : r == 3 ? pass3 : pass5)(m, s, w, a, b);
        w += m * (r - 1);
        s *= r;
        cpx *const swap = a;
        a = b;
        b = swap;
    }
    return a;
}

/* Splits n into radices; false when another prime is left. Fills f but for the twiddles. */
static bool passes_split(struct fft_passes *f, int64_t n)
{
    static const int32_t radices[] = {4, 2, 3, 5};
    *f = (struct fft_passes){.n = n};
    for (int r = 0; r < 4; r++)
        for (; n % radices[r] == 0; n /= radices[r])
            f->radix[f->count++] = radices[r];
    return n == 1;
}

static void passes_twiddle(struct fft_passes *f)
{
    cpx *w = f->twiddle;
    int64_t n = f->n;
    for (int32_t i = 0; i < f->count; n /= f->radix[i++])
        for (int64_t p = 0; p < n / f->radix[i]; p++)
            for (int64_t k = 1; k < f->radix[i]; k++)
                *w++ = turn(k * p, n);
}

static int64_t bluestein_size(int64_t n) /* a power of two that holds the whole convolution */
{
    int64_t m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    return m;
}

/* Sizes of a plan, for fft_plan_bytes, fft_plan_init and fft_work_bytes alike. */
struct layout {
    struct fft_passes passes;
    int64_t half, split, chirp, filter; /* elements */
};

static struct layout layout_of(int64_t n)
{
    struct layout l = {.half = n % 2 ? n : n / 2};
    l.split = n % 2 ? 0 : l.half / 2 + 1;
    if (!passes_split(&l.passes, l.half)) {
        passes_split(&l.passes, bluestein_size(l.half));
        l.chirp = l.half;
        l.filter = 2 * l.passes.n; /* the second half is scratch of the initialisation */
    }
    return l;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t fft_plan_bytes(int64_t n)
{
    const struct layout l = layout_of(n);
    return round_up(sizeof(struct fft_plan)) + sizeof(cpx) * (size_t)(l.passes.n + l.split + l.chirp + l.filter);
}

size_t fft_work_bytes(int64_t n)
{
    return 2 * sizeof(cpx) * (size_t)layout_of(n).passes.n;
}

static void bluestein_init(struct fft_plan *plan)
{
    const int64_t n = plan->half, m = plan->passes.n;
    cpx *const h = plan->filter;
    for (int64_t i = 0; i < 2 * m; i++)
        h[i] = (cpx){0, 0};
    for (int64_t k = 0; k < n; k++) {
        const cpx b = turn(k * k % (2 * n), 2 * n);
        plan->chirp[k] = b;
        h[k] = h[(m - k) % m] = (cpx){b.re, -b.im};
    }
    const cpx *const from = passes_run(&plan->passes, h, h + m);
    for (int64_t i = 0; i < m; i++)
        h[i] = scale(from[i], 1 / (double)m);
}

int fft_plan_init(void *memory, int64_t n)
{
    if (n < FFT_LEAST || n > FFT_MOST)
        return fail(STATUS_ARGUMENT, "fft: size %lld, allowed %d to %d", (long long)n, FFT_LEAST, FFT_MOST);
    const struct layout l = layout_of(n);
    struct fft_plan *const plan = memory;
    *plan = (struct fft_plan){.n = n, .half = l.half, .passes = l.passes};
    plan->passes.twiddle = (cpx *)((char *)memory + round_up(sizeof *plan));
    plan->split = plan->passes.twiddle + l.passes.n;
    passes_twiddle(&plan->passes);
    for (int64_t k = 0; k < l.split; k++)
        plan->split[k] = turn(k, n);
    if (l.chirp) {
        plan->chirp = plan->split + l.split;
        plan->filter = plan->chirp + l.chirp;
        bluestein_init(plan);
    }
    return STATUS_OK;
}

/* Complex transform of the `half` values in a; a and b [passes.n] are overwritten. */
static cpx *transform(const struct fft_plan *plan, cpx *a, cpx *b)
{
    if (!plan->chirp)
        return passes_run(&plan->passes, a, b);
    const int64_t n = plan->half, m = plan->passes.n;
    for (int64_t k = 0; k < n; k++)
        a[k] = mul(a[k], plan->chirp[k]);
    memset(a + n, 0, (size_t)(m - n) * sizeof *a);
    cpx *y = passes_run(&plan->passes, a, b);
    for (int64_t i = 0; i < m; i++) { /* the inverse transform is the conjugate of the conjugate's */
        y[i] = mul(y[i], plan->filter[i]);
        y[i].im = -y[i].im;
    }
    y = passes_run(&plan->passes, y, y == a ? b : a);
    for (int64_t k = 0; k < n; k++)
        y[k] = mul((cpx){y[k].re, -y[k].im}, plan->chirp[k]);
    return y;
}

void fft_real_forward(const struct fft_plan *plan, const double *in, cpx *out, void *work)
{
    const int64_t n = plan->n, half = plan->half;
    cpx *const a = work, *const b = a + plan->passes.n;
    if (n % 2) {
        for (int64_t i = 0; i < n; i++)
            a[i] = (cpx){in[i], 0};
        memcpy(out, transform(plan, a, b), (size_t)(n / 2 + 1) * sizeof *out);
        out[0].im = 0;
        return;
    }
    for (int64_t i = 0; i < half; i++)
        a[i] = (cpx){in[2 * i], in[2 * i + 1]};
    const cpx *const z = transform(plan, a, b); /* of even + j*odd samples: taken apart by symmetry */
    for (int64_t k = 0; k <= half / 2; k++) {
        const cpx p = z[k], q = z[k ? half - k : 0];
        const cpx even = {(p.re + q.re) / 2, (p.im - q.im) / 2};
        const cpx odd = mul((cpx){(p.im + q.im) / 2, (q.re - p.re) / 2}, plan->split[k]);
        out[k] = add(even, odd);
        const cpx mirror = sub(even, odd);
        out[half - k] = (cpx){mirror.re, -mirror.im};
    }
    out[0].im = out[half].im = 0;
}

/* The inverse is the forward transform of the numbers with real and imaginary parts exchanged, exchanged again. */
void fft_real_inverse(const struct fft_plan *plan, const cpx *in, double *out, void *work)
{
    const int64_t n = plan->n, half = plan->half;
    cpx *const a = work, *const b = a + plan->passes.n;
    if (n % 2) {
        a[0] = (cpx){0, in[0].re};
        for (int64_t f = 1; f <= n / 2; f++) {
            a[f] = (cpx){in[f].im, in[f].re};
            a[n - f] = (cpx){-in[f].im, in[f].re};
        }
        const cpx *const y = transform(plan, a, b);
        for (int64_t i = 0; i < n; i++)
            out[i] = y[i].im;
        return;
    }
    for (int64_t k = 0; k <= half / 2; k++) { /* even and odd samples are put together as they were taken apart */
        cpx p = in[k], q = in[half - k];
        if (k == 0)
            p.im = q.im = 0;
        const cpx even = {p.re + q.re, p.im - q.im}, twice = {p.re - q.re, p.im + q.im};
        const cpx odd = mul(twice, (cpx){plan->split[k].re, -plan->split[k].im});
        a[k] = (cpx){even.im + odd.re, even.re - odd.im};
        if (k)
            a[half - k] = (cpx){odd.re - even.im, even.re + odd.im};
    }
    const cpx *const y = transform(plan, a, b);
    for (int64_t i = 0; i < half; i++) {
        out[2 * i] = y[i].im;
        out[2 * i + 1] = y[i].re;
    }
}
