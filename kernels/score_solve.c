/* The filters: least squares by normal equations, whose matrix is made of Toeplitz blocks of correlations. Each channel
 * of a reference counts with energy 1, so that a quiet stem is no less a stem. */
#include "score_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Correlation of reference channels i and j at a lag: sum of x_i[t] * x_j[t + lag]. */
static double between(const struct score_work *w, int32_t i, int32_t j, int64_t lag)
{
    const int64_t width = 2 * (int64_t)w->p.taps - 1;
    if (i < j)
        return w->between[((int64_t)j * (j + 1) / 2 + i) * width + w->p.taps - 1 - lag];
    return w->between[((int64_t)i * (i + 1) / 2 + j) * width + w->p.taps - 1 + lag];
}

/* Fills the matrix from `count` channels from `first` on. A silent channel gets rows of its own, and filters of 0. */
static void fill_matrix(struct score_work *w, int32_t first, int32_t count)
{
    const int64_t taps = w->p.taps;
    w->matrix.n = (int32_t)(count * taps);
    const int64_t blocks = (w->matrix.n + SCORE_BLOCK - 1) / SCORE_BLOCK;
    memset(w->matrix.data, 0, (size_t)(SCORE_BLOCK * SCORE_BLOCK * (blocks * (blocks + 1) / 2)) * sizeof(double));
    for (int32_t i = 0; i < count; i++)
        for (int32_t j = 0; j <= i; j++) {
            const double gain = w->gain[first + i] * w->gain[first + j];
            for (int64_t a = 0; a < taps; a++) {
                double *const row = score_row(&w->matrix, i * taps + a) + j * taps;
                for (int64_t b = 0; b < (i == j ? a + 1 : taps); b++)
                    row[b] = gain * between(w, first + i, first + j, a - b);
                if (i == j && gain == 0)
                    row[a] = 1;
            }
        }
}

/* Filters from `count` references' channels from `first` on to `estimates` channels from `from` on, into rhs. */
static void filters_of(struct score_work *w, int32_t first, int32_t count, int32_t from, int32_t estimates)
{
    fill_matrix(w, first, count);
    const int32_t n = w->matrix.n;
    const double least = n * DBL_EPSILON;
    int32_t rank = score_factor(w, false, least);
    if (rank < n) {
        fill_matrix(w, first, count);
        rank = score_factor(w, true, least);
    }
    for (int64_t u = 0; u < n; u++) {
        const int64_t k = first + u / w->p.taps, lag = u % w->p.taps;
        for (int64_t e = 0; e < estimates; e++)
            w->rhs[u * estimates + e] = w->gain[k] * w->with[(k * w->all + from + e) * w->p.taps + lag];
    }
    score_substitute(w, rank, estimates, w->rhs, w->scratch);
}

/* Spectrum of one filter out of rhs, without the energy 1 that its reference was given, ready for an inverse. */
static void filter_spectrum(struct score_work *w, int32_t k, int64_t row, int32_t column, int32_t columns,
                            struct fft_complex *out)
{
    const double scale = w->gain[k] / (double)w->fft;
    for (int64_t i = 0; i < w->fft; i++)
        w->time[i] = i < w->p.taps ? w->rhs[(row + i) * columns + column] * scale : 0;
    fft_real_forward(w->plan, w->time, out, w->fft_work);
}

void score_solve(struct score_work *w)
{
    const int32_t all = w->all, channels = w->channels;
    for (int32_t k = 0; k < all; k++) {
        const double energy = between(w, k, k, 0);
        w->gain[k] = energy > 0 ? 1 / sqrt(energy) : 0;
    }
    for (int32_t j = 0; j < w->p.sources; j++) {
        const bool one = w->pairs == 1;
        const int32_t from = one ? j * channels : 0, estimates = one ? channels : all;
        filters_of(w, j * channels, channels, from, estimates);
        for (int32_t e = 0; e < estimates; e++)
            for (int32_t c = 0; c < channels; c++) {
                const int64_t at = ((int64_t)(from + e) * w->pairs + (one ? 0 : j)) * channels + c;
                filter_spectrum(w, j * channels + c, (int64_t)c * w->p.taps, e, estimates, w->own + at * w->bins);
            }
    }
    filters_of(w, 0, all, 0, all);
    for (int32_t e = 0; e < all; e++)
        for (int32_t k = 0; k < all; k++)
            filter_spectrum(w, k, (int64_t)k * w->p.taps, e, all, w->filters + ((int64_t)e * all + k) * w->bins);
}
