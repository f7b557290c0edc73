#include "transform.h"

#include "butterflies.h"

#include "spectrum.h"

/* LANES samples from i on of every frame, windowed: samples[j] holds sample i + j of all lanes. */
INLINE void load_block(const struct transform_plan *p, const float *const frame[LANES], int64_t i, vf samples[LANES])
{
    const vf window = vf_load(p->window + i);
#pragma GCC unroll 16
    for (int l = 0; l < LANES; l++)
        samples[l] = vf_load(frame[l] + i) * window;
    vf_transpose(samples);
}

/* The first pass (s = 1), straight from the frames; m is a multiple of LANES/2. */
INLINE void first_pass(const struct transform_plan *plan, const int radix, const float *const frame[LANES], vf *y)
{
    const int64_t m = plan->half / radix;
    const float *w = plan->twiddle;
    struct vc *out = (struct vc *)y;
    for (int64_t p = 0; p < m; p += LANES / 2) {
        vf block[8][LANES];
#pragma GCC unroll 1
        for (int k = 0; k < radix; k++)
            load_block(plan, frame, 2 * (p + m * k), block[k]);
        for (int j = 0; j < LANES / 2; j++, out += radix, w += 2 * (radix - 1)) {
            struct vc v[8];
#pragma GCC unroll 8
            for (int k = 0; k < radix; k++)
                v[k] = (struct vc){block[k][2 * j], block[k][2 * j + 1]};
            butterfly(radix, v);
            out[0] = v[0];
#pragma GCC unroll 8
            for (int k = 1; k < radix; k++)
                out[k] = turned(v[k], w + 2 * (k - 1));
        }
    }
}

/* The windowed samples alone, for sizes whose first pass cannot take whole blocks. */
static void load_all(const struct transform_plan *p, const float *const frame[LANES], vf *z)
{
    int64_t i = 0;
    for (; i + LANES <= p->n; i += LANES)
        load_block(p, frame, i, z + i);
    for (; i < p->n; i++) {
        float at[LANES];
        for (int l = 0; l < LANES; l++)
            at[l] = frame[l][i] * p->window[i];
        z[i] = vf_load(at);
    }
}

/* Where the last pass puts bin f. */
INLINE void put(const bool power, vf *out, int64_t f, struct vc x)
{
    if (power) {
        out[f] = x.re * x.re + x.im * x.im;
    } else {
        out[2 * f] = x.re;
        out[2 * f + 1] = x.im;
    }
}

/* Bins i and half - i from the packed values there: even and odd samples are taken apart by symmetry. */
INLINE void put_pair(const bool power, const struct transform_plan *p, vf *out, int64_t i, struct vc a, struct vc b)
{
    const struct vc even = {(a.re + b.re) * 0.5f, (a.im - b.im) * 0.5f};
    const struct vc twice = {(a.im + b.im) * 0.5f, (b.re - a.re) * 0.5f};
    const bool upper = 2 * i > p->half; /* the table ends at half/2: exp(-j(pi - t)) = -conj(exp(-jt)) */
    const float *const w = p->split + 2 * (upper ? p->half - i : i);
    const float turn[2] = {upper ? -w[0] : w[0], w[1]};
    const struct vc odd = turned(twice, turn);
    put(power, out, i, add(even, odd));
    const struct vc mirror = sub(even, odd);
    put(power, out, p->half - i, (struct vc){mirror.re, -mirror.im});
}

/* The last pass (m = 1) and the separation of the packed spectrum. */
INLINE uint32_t last_pass(const bool power, const struct transform_plan *p, const int radix, const struct vc *x,
                          vf *out)
{
    const int64_t s = p->half / radix;
    struct vc a[8], b[8];
#pragma GCC unroll 8
    for (int k = 0; k < radix; k++)
        a[k] = x[s * k];
    butterfly(radix, a);
    const vf zero = (a[0].re + a[0].im) * 0.0f; /* NaN where any sample of the frame is not finite */
    const vf none = {0};
    put(power, out, 0, (struct vc){a[0].re + a[0].im, none});
    put(power, out, p->half, (struct vc){a[0].re - a[0].im, none});
    for (int k = 1; 2 * k <= radix; k++)
        put_pair(power, p, out, s * k, a[k], a[radix - k]);
    for (int64_t q = 1; 2 * q <= s; q++) {
#pragma GCC unroll 8
        for (int k = 0; k < radix; k++)
            a[k] = x[q + s * k];
        butterfly(radix, a);
        if (2 * q == s) {
            for (int k = 0; 2 * k < radix; k++)
                put_pair(power, p, out, q + s * k, a[k], a[radix - 1 - k]);
            break;
        }
#pragma GCC unroll 8
        for (int k = 0; k < radix; k++)
            b[k] = x[s - q + s * k];
        butterfly(radix, b);
#pragma GCC unroll 8
        for (int k = 0; k < radix; k++)
            put_pair(power, p, out, q + s * k, a[k], b[radix - 1 - k]);
    }
    return ~vmask_bits(vf_at_least(zero, none)) & (uint32_t)((1ULL << LANES) - 1);
}

static uint32_t run_lanes(bool power, const struct transform_plan *p, const float *const frame[LANES], vf *out,
                          void *work)
{
    double *const in = work;
    struct fft_complex *const x = (struct fft_complex *)(in + (p->n + 7) / 8 * 8);
    void *const scratch = x + (p->n / 2 + 4) / 4 * 4;
    float *const lanes = (float *)out;
    uint32_t bad = 0;
    for (int l = 0; l < LANES; l++) {
        double probe = 0;
        for (int64_t i = 0; i < p->n; i++) {
            in[i] = frame[l][i] * p->lane_by_lane->window[i];
            probe += in[i] * 0;
        }
        bad |= (uint32_t)(probe != 0) << l;
        fft_real_forward(p->lane_by_lane->fft, in, x, scratch);
        for (int64_t f = 0; f <= p->n / 2; f++) {
            if (power) {
                lanes[f * LANES + l] = (float)(x[f].re * x[f].re + x[f].im * x[f].im);
            } else {
                lanes[2 * f * LANES + l] = (float)x[f].re;
                lanes[(2 * f + 1) * LANES + l] = (float)x[f].im;
            }
        }
    }
    return bad;
}

INLINE uint32_t run(const bool power, const struct transform_plan *p, const float *const frame[LANES], vf *out,
                    void *work)
{
    if (p->lane_by_lane)
        return run_lanes(power, p, frame, out, work);
    vf *a = work, *b = a + 2 * p->half;
    const float *w = p->twiddle;
    int64_t m = p->half, s = 1;
    int i = 0;
    const int first = p->radix[0];
    if (p->passes > 1 && first >= 4 && first != 5 && m / first % (LANES / 2) == 0) {
        if (first == 8)
            first_pass(p, 8, frame, a);
        else
            first_pass(p, 4, frame, a);
        m /= first;
        w += 2 * m * (first - 1);
        s = first;
        i = 1;
    } else {
        load_all(p, frame, a);
    }
    for (; i < p->passes - 1; i++) {
        const int radix = p->radix[i];
        m /= radix;
        any_pass(radix, m, s, w, (struct vc *)a, (struct vc *)b);
        w += 2 * m * (radix - 1);
        s *= radix;
        vf *const t = a;
        a = b;
        b = t;
    }
    switch (p->radix[p->passes - 1]) {
    case 2:
        return last_pass(power, p, 2, (struct vc *)a, out);
    case 3:
        return last_pass(power, p, 3, (struct vc *)a, out);
    case 4:
        return last_pass(power, p, 4, (struct vc *)a, out);
    case 5:
        return last_pass(power, p, 5, (struct vc *)a, out);
    default:
        return last_pass(power, p, 8, (struct vc *)a, out);
    }
}

uint32_t SIMD(transform_spectrum)(const struct transform_plan *p, const float *const frame[LANES], vf *spectrum,
                                  void *work)
{
    return run(false, p, frame, spectrum, work);
}

uint32_t SIMD(transform_power)(const struct transform_plan *p, const float *const frame[LANES], vf *power, void *work)
{
    return run(true, p, frame, power, work);
}
