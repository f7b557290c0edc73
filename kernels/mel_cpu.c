#include "mel.h"

#include "spectral_frame.h"

#include <math.h>

struct mel_key mel_key(const struct spectral_params *p)
{
    const struct mel_bands *const b = &p->mel;
    return (struct mel_key){.n_fft = p->stft.frame.window_samples,
                            .mels = b->mels,
                            .rate_hz = p->rate_hz,
                            .fmin_hz = b->fmin_hz == 0 ? 0 : b->fmin_hz, /* no -0: keys compare byte by byte */
                            .fmax_hz = b->fmax_hz == 0 ? p->rate_hz / 2 : b->fmax_hz,
                            .htk = b->htk,
                            .slaney_norm = b->slaney_norm};
}

void mel_frame(const struct spectral_frame *f, float *out)
{
    const struct mel_bands *const bands = &f->p->mel;
    for (int64_t m = 0; m < bands->mels; m++) {
        const struct mel_band b = f->plans->mel->band[m];
        const float *const w = f->plans->mel->weight + b.weight;
        double sum = 0;
        for (int64_t i = 0; i < b.count; i++)
            sum += w[i] * spectral_power(f->spectrum[b.first + i], bands->power);
        out[m] = (float)(bands->log ? 10 * log10(sum < 1e-10 ? 1e-10 : sum) : sum);
    }
}

int mel_check(const struct spectral_params *p)
{
    const struct mel_bands *const b = &p->mel;
    if (b->mels < 1 || b->mels > 4096)
        return fail(STATUS_ARGUMENT, "mel: %d bands, allowed 1 to 4096", (int)b->mels);
    const double most = b->fmax_hz == 0 ? p->rate_hz / 2 : b->fmax_hz;
    if (!(b->fmin_hz >= 0 && b->fmin_hz < most && most <= p->rate_hz / 2))
        return fail(STATUS_ARGUMENT, "mel: bands from %g to %g Hz, allowed 0 to rate/2 = %g, rising", b->fmin_hz, most,
                    p->rate_hz / 2);
    if (!(b->power > 0 && b->power <= 8))
        return fail(STATUS_ARGUMENT, "mel: power %g, allowed above 0 to 8", b->power);
    return STATUS_OK;
}

int mel(struct exec *ex, const struct spectral_params *p, const struct ragged *x, struct ragged *y)
{
    struct ragged *out[SPECTRAL_OUTPUTS] = {[SPECTRAL_MEL] = y};
    return spectral(ex, p, x, out);
}
