/* From bins to samples: the passes of the forward transform, with real and imaginary parts exchanged. */
#include "transform.h"

#include "butterflies.h"

#include "spectrum.h"

/* LANES floats from i on of every row: block[j] holds float i + j of all lanes. */
INLINE void load_rows(const float *const row[LANES], int64_t i, int64_t n, vf block[LANES])
{
    for (int l = 0; l < LANES; l++)
        block[l] = n >= LANES ? vf_load(row[l] + i) : vf_load_part(row[l] + i, n);
    vf_transpose(block);
}

/* The packed spectrum that the last pass of transform.c takes apart, with real and imaginary parts exchanged: its
 * forward transform is then the inverse's result, exchanged too. */
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
