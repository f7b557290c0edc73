#include "batch.h"

#include <math.h>

/* Window, real transform (2.5 n log2 n), and what each output asks of a bin: 3 to square it. */
static double spectral_flops(const struct gpu_case *c, double frames)
{
    const double n = (double)c->p.stft.frame.window_samples, bins = (double)stft_bins(&c->p.stft);
    static const double per_bin[SPECTRAL_OUTPUTS] = {
        [SPECTRAL_SPECTROGRAM] = 3,  [SPECTRAL_MEL] = 3 + 4, /* a bin lies in two bands at most */
        [SPECTRAL_CENTROID] = 3 + 3, [SPECTRAL_BANDWIDTH] = 3 + 7, [SPECTRAL_ROLLOFF] = 3 + 2,
        [SPECTRAL_FLATNESS] = 3 + 3, [SPECTRAL_CONTRAST] = 3 + 2,  [SPECTRAL_FLUX] = 3 + 4,
        [SPECTRAL_POLY] = 3 + 4,
    };
    return frames * (n + 2.5 * n * log2(n) + per_bin[c->op] * bins);
}

double gpu_flops(const struct gpu_case *c, const struct ragged *x, const struct ragged *y)
{
    const double in = (double)x->total * x->channels, out = (double)y->total * y->channels;
    const double n = (double)c->p.stft.frame.window_samples;
    const struct resample_key k = c->op == GPU_RESAMPLE ? resample_key(&c->rates) : (struct resample_key){1, 1};
    switch (c->op) {
    case GPU_RMS:
    case GPU_PEAK:
    case GPU_CROSSING:
        return 2 * n * (double)y->total;
    case GPU_WAVEFORM:
    case GPU_LEVEL:
        return 4 * in;
    case GPU_MIXDOWN:
    case GPU_DECIBEL_PEAK:
    case GPU_DECIBEL_CLIP:
        return in;
    case GPU_MFCC:
        return 2 * out * x->channels;
    case GPU_STATISTICS: /* values and differences: sums, squares, two extremes */
        return 11 * in;
    case GPU_ISTFT:
        return (double)x->total * (3 * n + 2.5 * n * log2(n)) + 2 * out;
    case GPU_HPSS: /* two medians by exchange of one value in a row that is in order: four operations a step */
        return in * (4.0 * (c->hpss.kernel_time + c->hpss.kernel_frequency - 2) + 20);
    case GPU_STRETCH: /* two magnitudes and their phases, a mean, a product */
        return 32 * out;
    case GPU_PHASES:
        return 13 * out;
    case GPU_RESAMPLE:
        return 2 * out * (double)resample_taps(&k);
    case GPU_SEARCH:
        return 2.0 * (double)c->search.vectors * (double)c->search.queries * c->search.dimensions;
    default:
        return spectral_flops(c, (double)y->total);
    }
}

double gpu_bytes(const struct gpu_case *c, const struct ragged *x, const struct ragged *y)
{
    const struct search_params *const s = &c->search;
    if (c->op == GPU_SEARCH)
        return (double)(s->vectors + s->queries) * s->dimensions * (double)sizeof(float) + (double)batch_bytes(y);
    if (c->op == GPU_DECIBEL_CLIP) /* in place */
        return 2 * (double)batch_bytes(x);
    if (c->op == GPU_PHASES) /* of the last third of x half */
        return 3.5 * (double)batch_bytes(y);
    return (double)batch_bytes(x) + (double)batch_bytes(y);
}
