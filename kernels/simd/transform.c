#include "transform.h"

#include "rows.h"

#include "spectrum.h"

#include <math.h>

struct vc {
    vf re, im;
};

INLINE struct vc add(struct vc a, struct vc b)
{
    return (struct vc){a.re + b.re, a.im + b.im};
}

INLINE struct vc sub(struct vc a, struct vc b)
{
    return (struct vc){a.re - b.re, a.im - b.im};
}

INLINE struct vc minus_j(struct vc a) /* a * -j */
{
    return (struct vc){a.im, -a.re};
}

/* a * w, w one complex number for all lanes. */
INLINE struct vc turned(struct vc a, const float *w)
{
    return (struct vc){a.re * w[0] - a.im * w[1], a.re * w[1] + a.im * w[0]};
}

INLINE void butterfly2(struct vc v[])
{
    const struct vc a = v[0], b = v[1];
    v[0] = add(a, b);
    v[1] = sub(a, b);
}

INLINE void butterfly3(struct vc v[])
{
    const float sin60 = 0.86602540378443864676f;
    const struct vc sum = add(v[1], v[2]), side = minus_j(sub(v[1], v[2]));
    const struct vc mid = {v[0].re - sum.re * 0.5f, v[0].im - sum.im * 0.5f};
    const struct vc s = {side.re * sin60, side.im * sin60};
    v[0] = add(v[0], sum);
    v[1] = add(mid, s);
    v[2] = sub(mid, s);
}

INLINE void butterfly4(struct vc v[])
{
    const struct vc ac = add(v[0], v[2]), bd = add(v[1], v[3]);
    const struct vc ac_ = sub(v[0], v[2]), bd_ = minus_j(sub(v[1], v[3]));
    v[0] = add(ac, bd);
    v[1] = add(ac_, bd_);
    v[2] = sub(ac, bd);
    v[3] = sub(ac_, bd_);
}

INLINE void butterfly5(struct vc v[])
{
    const float c1 = 0.30901699437494742410f, s1 = 0.95105651629515357212f;
    const float c2 = -0.80901699437494742410f, s2 = 0.58778525229247312917f;
    const struct vc p = add(v[1], v[4]), q = add(v[2], v[3]);
    const struct vc d = minus_j(sub(v[1], v[4])), e = minus_j(sub(v[2], v[3]));
    const struct vc a = {v[0].re + c1 * p.re + c2 * q.re, v[0].im + c1 * p.im + c2 * q.im};
    const struct vc b = {v[0].re + c2 * p.re + c1 * q.re, v[0].im + c2 * p.im + c1 * q.im};
    const struct vc f = {s1 * d.re + s2 * e.re, s1 * d.im + s2 * e.im};
    const struct vc g = {s2 * d.re - s1 * e.re, s2 * d.im - s1 * e.im};
    v[0] = add(v[0], add(p, q));
    v[1] = add(a, f);
    v[2] = add(b, g);
    v[3] = sub(b, g);
    v[4] = sub(a, f);
}

INLINE void butterfly8(struct vc v[])
{
    const float r = 0.70710678118654752440f;
    struct vc even[4] = {v[0], v[2], v[4], v[6]}, odd[4] = {v[1], v[3], v[5], v[7]};
    butterfly4(even);
    butterfly4(odd);
    const struct vc o1 = {(odd[1].re + odd[1].im) * r, (odd[1].im - odd[1].re) * r};
    const struct vc o2 = minus_j(odd[2]);
    const struct vc o3 = {(odd[3].im - odd[3].re) * r, (odd[3].re + odd[3].im) * -r};
    v[0] = add(even[0], odd[0]);
    v[1] = add(even[1], o1);
    v[2] = add(even[2], o2);
    v[3] = add(even[3], o3);
    v[4] = sub(even[0], odd[0]);
    v[5] = sub(even[1], o1);
    v[6] = sub(even[2], o2);
    v[7] = sub(even[3], o3);
}

INLINE void butterfly(const int radix, struct vc v[])
{
    if (radix == 2)
        butterfly2(v);
    else if (radix == 3)
        butterfly3(v);
    else if (radix == 4)
        butterfly4(v);
    else if (radix == 5)
        butterfly5(v);
    else
        butterfly8(v);
}

/* One pass between the first and the last: x[q + s*(p + m*k)] -> y[q + s*(radix*p + k)]. */
INLINE void pass(const int radix, int64_t m, int64_t s, const float *w, const struct vc *x, struct vc *y)
{
    for (int64_t p = 0; p < m; p++, w += 2 * (radix - 1))
        for (int64_t q = 0; q < s; q++) {
            struct vc v[8];
#pragma GCC unroll 8
            for (int k = 0; k < radix; k++)
                v[k] = x[q + s * (p + m * k)];
            butterfly(radix, v);
            y[q + s * (radix * p)] = v[0];
#pragma GCC unroll 8
            for (int k = 1; k < radix; k++)
                y[q + s * (radix * p + k)] = turned(v[k], w + 2 * (k - 1));
        }
}

static void any_pass(int radix, int64_t m, int64_t s, const float *w, const struct vc *x, struct vc *y)
{
    switch (radix) {
    case 2:
        pass(2, m, s, w, x, y);
        break;
    case 3:
        pass(3, m, s, w, x, y);
        break;
    case 4:
        pass(4, m, s, w, x, y);
        break;
    case 5:
        pass(5, m, s, w, x, y);
        break;
    default:
        pass(8, m, s, w, x, y);
    }
}

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

/* LANES floats from i on of every row: block[j] holds float i + j of all lanes. */
INLINE void load_rows(const float *const row[LANES], int64_t i, int64_t n, vf block[LANES])
{
    for (int l = 0; l < LANES; l++)
        block[l] = n >= LANES ? vf_load(row[l] + i) : vf_load_part(row[l] + i, n);
    vf_transpose(block);
}

/* The packed spectrum of put_pair, with real and imaginary parts exchanged: its forward transform is then the inverse's
 * result, exchanged too. */
static void pack(const struct transform_plan *p, const struct vc *x, struct vc *z)
{
    const vf none = {0};
    for (int64_t k = 0; 2 * k <= p->half; k++) {
        struct vc a = x[k], b = x[p->half - k];
        if (k == 0)
            a.im = b.im = none;
        const struct vc even = {(a.re + b.re) * 0.5f, (a.im - b.im) * 0.5f};
        const struct vc twice = {(a.re - b.re) * 0.5f, (a.im + b.im) * 0.5f};
        const float back[2] = {p->split[2 * k], -p->split[2 * k + 1]};
        const struct vc odd = turned(twice, back);
        z[k] = (struct vc){even.im + odd.re, even.re - odd.im};
        if (k > 0)
            z[p->half - k] = (struct vc){odd.re - even.im, even.re + odd.im};
    }
}

static void inverse_lanes(const struct transform_plan *p, const float *const bins[LANES], float *frame, void *work)
{
    double *const out = work;
    struct fft_complex *const x = (struct fft_complex *)(out + (p->n + 7) / 8 * 8);
    void *const scratch = x + (p->n / 2 + 4) / 4 * 4;
    for (int l = 0; l < LANES; l++) {
        for (int64_t f = 0; f <= p->n / 2; f++)
            x[f] = (struct fft_complex){bins[l][2 * f], bins[l][2 * f + 1]};
        fft_real_inverse(p->lane_by_lane->fft, x, out, scratch);
        for (int64_t i = 0; i < p->n; i++)
            frame[l * p->n + i] = (float)(out[i] * (double)p->half / (double)p->n);
    }
}

void SIMD(transform_inverse)(const struct transform_plan *p, const float *const bins[LANES], float *frame, void *work)
{
    static const float ones[14] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}; /* the last pass turns nothing */
    const int64_t floats = p->n + 2;
    if (p->lane_by_lane) {
        inverse_lanes(p, bins, frame, work);
        return;
    }
    vf *a = work, *b = a + floats + LANES;
    for (int64_t i = 0; i < floats; i += LANES)
        load_rows(bins, i, floats - i, b + i);
    pack(p, (const struct vc *)b, (struct vc *)a);
    const float *w = p->twiddle;
    int64_t m = p->half, s = 1;
    for (int i = 0; i < p->passes; i++) {
        const int radix = p->radix[i];
        m /= radix;
        any_pass(radix, m, s, i == p->passes - 1 ? ones : w, (struct vc *)a, (struct vc *)b);
        w += 2 * m * (radix - 1);
        s *= radix;
        vf *const t = a;
        a = b;
        b = t;
    }
    for (int64_t i = 0; i < p->n; i += LANES) {
        vf block[LANES];
        for (int j = 0; j < LANES; j++)
            block[j] = i + j < p->n ? a[(i + j) ^ 1] : a[0]; /* exchanged: the odd sample comes first */
        vf_transpose(block);
        for (int l = 0; l < LANES; l++)
            vf_store_part(frame + l * p->n + i, block[l], p->n - i < LANES ? p->n - i : LANES);
    }
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The radices of half the size, or 0 passes when it has other factors or n is odd. Eights come first: they read the
 * samples. */
static int32_t factor(int64_t n, int32_t radix[])
{
    int64_t rest = n / 2;
    int32_t count = 0, twos = 0;
    if (n % 2)
        return 0;
    for (; rest % 2 == 0; rest /= 2)
        twos++;
    for (; twos >= 3 && twos != 4; twos -= 3)
        radix[count++] = 8;
    for (; twos >= 2; twos -= 2)
        radix[count++] = 4;
    if (twos)
        radix[count++] = 2;
    for (; rest % 3 == 0; rest /= 3)
        radix[count++] = 3;
    for (; rest % 5 == 0; rest /= 5)
        radix[count++] = 5;
    return rest == 1 ? count : 0;
}

size_t SIMD(transform_plan_bytes)(const void *stft_key)
{
    const struct stft_key *const key = stft_key;
    const size_t n = (size_t)key->n_fft;
    int32_t radix[FFT_PASSES_MOST];
    const size_t common = round_up(sizeof(struct transform_plan)) + round_up(n * sizeof(float));
    if (!factor(key->n_fft, radix))
        return common + stft_plan_bytes(key);
    return common + round_up(n * sizeof(float)) + round_up((n / 2 + 2) * sizeof(float)); /* twiddles, split */
}

static void turn(float *w, double k, double n)
{
    w[0] = (float)cos(2 * M_PI * k / n);
    w[1] = (float)-sin(2 * M_PI * k / n);
}

int SIMD(transform_plan_init)(void *memory, const void *stft_key)
{
    const struct stft_key *const key = stft_key;
    struct transform_plan *const p = memory;
    *p = (struct transform_plan){.n = key->n_fft, .half = key->n_fft / 2};
    float *const window = (float *)((char *)memory + round_up(sizeof *p));
    float *w = (float *)((char *)window + round_up((size_t)p->n * sizeof *window));
    p->window = window;
    stft_window(key, window);
    p->passes = factor(p->n, p->radix);
    if (!p->passes) {
        p->lane_by_lane = (struct spectrum_plan *)w;
        return stft_plan_init(w, key);
    }
    float *const split = (float *)((char *)w + round_up((size_t)p->n * sizeof *w));
    p->twiddle = w;
    p->split = split;
    int64_t m = p->half;
    for (int32_t i = 0; i < p->passes - 1; i++) {
        const int64_t size = m;
        m /= p->radix[i];
        for (int64_t k = 0; k < m; k++)
            for (int r = 1; r < p->radix[i]; r++, w += 2)
                turn(w, (double)(k * r), (double)size);
    }
    for (int64_t k = 0; 2 * k <= p->half; k++)
        turn(split + 2 * k, (double)k, (double)p->n);
    return STATUS_OK;
}

size_t SIMD(transform_work_bytes)(int64_t n)
{
    int32_t radix[FFT_PASSES_MOST];
    if (factor(n, radix))
        return (size_t)(n + 2 + LANES) * 2 * sizeof(vf);
    return round_up((size_t)n * sizeof(double)) + round_up((size_t)(n / 2 + 4) * sizeof(struct fft_complex)) +
           round_up(fft_work_bytes(n));
}
