/* Correlations of long signals at few lags, block by block. A block of M samples of x, followed by zeros, against the
 * M + 2L - 2 samples of y around it gives lags -L+1 .. L-1 of that block by one product of spectra, without wrapping
 * around; products are summed over blocks, so that each pair is transformed back once. */
#include "score_parts.h"

#include <string.h>

/* Spectrum of `count` samples of a channel from sample `from` on, followed by zeros. */
static void spectrum_of(const struct score_work *w, const struct score_signal *x, struct score_slice slice, int32_t c,
                        int64_t from, int64_t count, struct fft_complex *out)
{
    for (int64_t i = 0; i < w->fft; i++)
        w->time[i] = i < count ? score_sample(x, slice, c, from + i) : 0;
    fft_real_forward(w->plan, w->time, out, w->fft_work);
}

/* sum += conj(x) * y */
static void add_product(int64_t bins, const struct fft_complex *restrict x, const struct fft_complex *restrict y,
                        struct fft_complex *restrict sum)
{
    for (int64_t f = 0; f < bins; f++) {
        sum[f].re += x[f].re * y[f].re + x[f].im * y[f].im;
        sum[f].im += x[f].re * y[f].im - x[f].im * y[f].re;
    }
}

static int64_t pairs_of(int32_t all)
{
    return (int64_t)all * (all + 1) / 2;
}

int64_t score_correlate_step(const struct score_work *w)
{
    return w->fft - 2 * ((int64_t)w->p.taps - 1);
}

void score_correlate_block(struct score_work *w, struct score_slice slice, int64_t from)
{
    const int64_t bins = w->bins, around = w->p.taps - 1, whole = score_correlate_step(w);
    const int64_t step = slice.end - from < whole ? slice.end - from : whole;
    const int32_t all = w->all, channels = w->channels;
    struct fft_complex *const shorts = w->spectra, *const longs = shorts + all * bins, *const est = longs + all * bins;
    for (int32_t k = 0; k < all; k++) {
        const struct score_signal *const s = &w->reference[k / channels], *const e = &w->estimate[k / channels];
        const int64_t long_count = step + 2 * around;
        spectrum_of(w, s, slice, k % channels, from, step, shorts + k * bins);
        spectrum_of(w, s, slice, k % channels, from - around, long_count, longs + k * bins);
        spectrum_of(w, e, slice, k % channels, from - around, long_count, est + k * bins);
    }
    struct fft_complex *sum = w->products;
    for (int32_t i = 0; i < all; i++)
        for (int32_t j = 0; j <= i; j++, sum += bins)
            add_product(bins, shorts + i * bins, longs + j * bins, sum);
    for (int32_t i = 0; i < all; i++)
        for (int32_t e = 0; e < all; e++, sum += bins)
            add_product(bins, shorts + i * bins, est + e * bins, sum);
}

void score_correlate_begin(struct score_work *w)
{
    const int64_t products = pairs_of(w->all) + (int64_t)w->all * w->all;
    memset(w->products, 0, (size_t)(products * w->bins) * sizeof *w->products);
}

void score_correlate_end(struct score_work *w)
{
    const int64_t bins = w->bins, taps = w->p.taps, pairs = pairs_of(w->all), others = (int64_t)w->all * w->all;
    const double scale = 1 / (double)w->fft;
    for (int64_t i = 0; i < pairs + others; i++) {
        const bool between = i < pairs;
        double *const out = between ? w->between + i * (2 * taps - 1) : w->with + (i - pairs) * taps;
        const int64_t count = between ? 2 * taps - 1 : taps, first = between ? 0 : taps - 1;
        fft_real_inverse(w->plan, w->products + i * bins, w->time, w->fft_work);
        for (int64_t t = 0; t < count; t++)
            out[t] = w->time[first + t] * scale;
    }
}

void score_correlate(struct score_work *w, struct score_slice slice)
{
    score_correlate_begin(w);
    for (int64_t from = slice.begin; from < slice.end; from += score_correlate_step(w))
        score_correlate_block(w, slice, from);
    score_correlate_end(w);
}
