/* roundtrip - uses libwavemill's signal operations as any program would: a tone to spectra and back, its loudest bin,
 * its mel bands, and another rate. Prints the error of the way back, the bin's frequency and the tone's length. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wavemill.h>

enum { N = 22050, BINS = 1025, MELS = 128 };

int main(void)
{
    const struct wavemill_mel p = wavemill_mel_defaults(22050);
    const int64_t frames = wavemill_frames(&p.spectrum, N), slow = wavemill_resample_samples(22050, 8000, N);
    float *y = malloc(N * sizeof *y), *back = malloc(N * sizeof *back), *other = malloc((size_t)slow * sizeof *other);
    float *spectra = malloc((size_t)frames * BINS * 2 * sizeof *spectra);
    float *bands = malloc((size_t)frames * MELS * sizeof *bands);
    struct wavemill *w = NULL;
    for (int i = 0; y && i < N; i++)
        y[i] = sinf(2 * 3.14159265f * 1000 * (float)i / 22050);
    if (!y || !back || !other || !spectra || !bands || wavemill_open(2, NULL, &w) ||
        wavemill_stft(w, &p.spectrum, y, 1, N, spectra) ||
        wavemill_istft(w, &p.spectrum, spectra, 1, frames, N, back) || wavemill_mel(w, &p, y, 1, N, bands) ||
        wavemill_mfcc(w, &p, 20, 0, y, 1, N, bands) || wavemill_resample(w, 22050, 8000, y, 1, N, other)) {
        fprintf(stderr, "roundtrip: %s\n", status_message());
        return 1;
    }
    float worst = 0;
    int loudest = 0;
    const float *middle = spectra + frames / 2 * BINS * 2;
    for (int i = 0; i < N; i++)
        worst = fmaxf(worst, fabsf(back[i] - y[i]));
    for (int f = 0; f < BINS; f++)
        if (hypotf(middle[2 * f], middle[2 * f + 1]) > hypotf(middle[2 * loudest], middle[2 * loudest + 1]))
            loudest = f;
    printf("%.1e %.0f %lld %s\n", (double)worst, loudest * 22050.0 / 2048, (long long)slow, wavemill_isa(w));
    wavemill_close(&w);
    free(y), free(back), free(other), free(spectra), free(bands);
    return worst < 1e-5f ? 0 : 1;
}
