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
