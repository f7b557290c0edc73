/* Energies of what the filters give, sample by sample: differences of energies would end at 150 dB, and with filters of
 * the whole a frame's are no projections. Overlap-save: a block of references is transformed once for all filters. */
#include "score_parts.h"

#include <string.h>

/* time = what `count` filters make of as many spectra of this block. */
static void filtered(const struct score_work *w, const struct fft_complex *filters, const struct fft_complex *spectra,
                     int32_t count, struct fft_complex *sum, double *time)
{
    memset(sum, 0, (size_t)w->bins * sizeof *sum);
    for (int64_t k = 0; k < count; k++)
        for (int64_t f = 0; f < w->bins; f++) {
            const struct fft_complex h = filters[k * w->bins + f], x = spectra[k * w->bins + f];
            sum[f].re += h.re * x.re - h.im * x.im;
            sum[f].im += h.re * x.im + h.im * x.re;
        }
    fft_real_inverse(w->plan, sum, time, w->fft_work);
}

/* Adds samples from .. from + count - 1 of one channel; all and own begin with sample `from`. */
static void add_sums(const struct score_work *w, struct score_slice slice, int32_t channel, int32_t source,
                     int32_t pair, int64_t from, int64_t count, const double *all, const double *own)
{
    const struct score_signal *const estimate = &w->estimate[source];
    const struct score_signal *const reference = &w->reference[score_pair(w, source, pair)];
    struct score_sums *const out = &w->sums[source * w->pairs + pair], sums = *out;
    for (int64_t i = 0; i < count; i++) {
        const double e = score_sample(estimate, slice, channel, from + i);
        const double s = score_sample(reference, slice, channel, from + i);
        sums.truth += s * s;
        sums.error += (e - s) * (e - s);
        sums.filtered += own[i] * own[i];
        sums.spatial += (own[i] - s) * (own[i] - s);
        sums.rest += (e - own[i]) * (e - own[i]);
        sums.interf += (all[i] - own[i]) * (all[i] - own[i]);
        sums.all += all[i] * all[i];
        sums.artifact += (e - all[i]) * (e - all[i]);
    }
    *out = sums;
}

int64_t score_measure_step(const struct score_work *w)
{
    return w->fft - ((int64_t)w->p.taps - 1);
}

void score_measure_begin(struct score_work *w)
{
    memset(w->sums, 0, (size_t)(w->p.sources * w->pairs) * sizeof *w->sums);
}

void score_measure_block(struct score_work *w, struct score_slice slice, int64_t from)
{
    const int64_t before = w->p.taps - 1, step = score_measure_step(w), end = slice.end + before, bins = w->bins;
    const int64_t count = end - from < step ? end - from : step;
    const int32_t channels = w->channels;
    double *const all = w->time, *const own = w->time + w->fft;
    struct fft_complex *const sum = w->spectra + w->all * bins;
    for (int32_t k = 0; k < w->all; k++) {
        for (int64_t i = 0; i < w->fft; i++)
            all[i] = score_sample(&w->reference[k / channels], slice, k % channels, from - before + i);
        fft_real_forward(w->plan, all, w->spectra + k * bins, w->fft_work);
    }
    for (int32_t e = 0; e < w->all; e++) {
        filtered(w, w->filters + (int64_t)e * w->all * bins, w->spectra, w->all, sum, all);
        for (int32_t i = 0; i < w->pairs; i++) {
            const int32_t source = e / channels, reference = score_pair(w, source, i);
            filtered(w, w->own + ((int64_t)e * w->pairs + i) * channels * bins,
                     w->spectra + (int64_t)reference * channels * bins, channels, sum, own);
            add_sums(w, slice, e % channels, source, i, from, count, all + before, own + before);
        }
    }
}

void score_measure(struct score_work *w, struct score_slice slice)
{
    score_measure_begin(w);
    for (int64_t from = slice.begin; from < slice.end + w->p.taps - 1; from += score_measure_step(w))
        score_measure_block(w, slice, from);
}
