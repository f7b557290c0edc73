#include "contrast.h"

#include "spectral_frame.h"

#include <math.h>
#include <stdlib.h>

int contrast_check(const struct spectral_params *p)
{
    const struct contrast_bands *const c = &p->contrast;
    if (c->bands < 1 || c->bands > CONTRAST_BANDS_MOST)
        return fail(STATUS_ARGUMENT, "contrast: %d bands, allowed 1 to %d", (int)c->bands, CONTRAST_BANDS_MOST);
    if (!(c->fmin_hz > 0 && c->fmin_hz <= 1e9))
        return fail(STATUS_ARGUMENT, "contrast: bands from %g Hz on, allowed above 0 to 1e9", c->fmin_hz);
    if (!(c->quantile > 0 && c->quantile < 1))
        return fail(STATUS_ARGUMENT, "contrast: quantile %g, allowed above 0 and below 1", c->quantile);
    return STATUS_OK;
}

struct contrast_key contrast_key(const struct spectral_params *p)
{
    return (struct contrast_key){.n_fft = p->stft.frame.window_samples,
                                 .rate_hz = p->rate_hz,
                                 .bands = p->contrast.bands,
                                 .fmin_hz = p->contrast.fmin_hz,
                                 .quantile = p->contrast.quantile};
}

size_t contrast_plan_bytes(const void *key)
{
    (void)key;
    return sizeof(struct contrast_plan);
}

static double edge_hz(const struct contrast_key *k, int64_t i) /* lower edge of band i */
{
    return i == 0 ? 0 : k->fmin_hz * exp2((double)(i - 1));
}

int contrast_plan_init(void *memory, const void *key)
{
    const struct contrast_key *const k = key;
    struct contrast_plan *const plan = memory;
    const int64_t bins = k->n_fft / 2 + 1;
    *plan = (struct contrast_plan){.bands = k->bands + 1};
    for (int64_t i = 0; i <= k->bands; i++) {
        const double low = edge_hz(k, i), high = edge_hz(k, i + 1);
        int64_t first = 0, end;
        const double bin_hz = 1.0 / ((double)k->n_fft * (1.0 / k->rate_hz));
        while (first < bins && (double)first * bin_hz < low)
            first++;
        for (end = first; end < bins && (double)end * bin_hz <= high; end++)
            ;
        if (low >= k->rate_hz / 2 || end == first)
            continue;
        if (i > 0 && first > 0)
            first--;
        if (i == k->bands)
            end = bins;
        const double share = rint(k->quantile * (double)(end - first));
        const int64_t count = end - first - (i < k->bands), take = share < 1 ? 1 : (int64_t)share;
        plan->band[i] = (struct contrast_band){first, count, take < count ? take : count};
        plan->most = count > plan->most ? count : plan->most;
    }
    return STATUS_OK;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float decibels_of_mean(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    const double mean = sum / (double)n;
    return (float)(10 * log10(mean < 1e-10 ? 1e-10 : mean));
}

void contrast_frame(const struct spectral_frame *f, float *out)
{
    const struct contrast_plan *const plan = f->plans->contrast;
    for (int64_t k = 0; k < plan->bands; k++) {
        const struct contrast_band b = plan->band[k];
        for (int64_t i = 0; i < b.count; i++)
            f->scratch[i] = f->magnitude[b.first + i];
        qsort(f->scratch, (size_t)b.count, sizeof *f->scratch, rising);
        out[k] = b.count ? decibels_of_mean(f->scratch + b.count - b.take, b.take) : NAN;
        out[plan->bands + k] = b.count ? decibels_of_mean(f->scratch, b.take) : NAN;
    }
}
