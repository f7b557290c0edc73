/* mel - mel spectrogram, straight from the samples, optionally in decibels: output SPECTRAL_MEL of spectral.h.
 *
 *   equation     e[t,m] = sum_f W[m,f] * |X[t,f]|^power, X = stft(x); y = e, or when log: 10*log10(max(1e-10, e)).
 *                W[m,f] = max(0, min((f_hz - l) / (c - l), (u - f_hz) / (u - c))) with l < c < u three neighbours of
 *                M + 2 frequencies spaced evenly in mel from fmin to fmax; times 2 / (u - l) when slaney_norm
 *   shapes       y ragged [B][T_b][M] f32; W [M][F]; the rest as spectral.h
 *   pieces       there is no clip relative to the loudest value (librosa's top_db, 80 by default): a piece cannot
 *                know it; that is a second pass over the finished dB values (decibel.h)
 *   units        |X|^power, or dB relative to 1.0; frequencies in Hz
 *   limits       1 <= mels <= 4096; 0 <= fmin < fmax <= rate/2 (fmax 0: rate/2); 0 < rate <= 1e9; 0 < power <= 8. A
 *                band so narrow that no bin falls into it is allowed (librosa warns): its values are 0, or -100 dB.
 *                Bands whose corners are equal in double are refused
 *   accuracy     relative L2 of a frame <= 1e-6; of dB <= 1e-5 after a clip 40*power dB below the largest weight
 *                times |X[t]|^power (the scalar twin: 1e-6 without a clip); against oracle_mel; asserted in
 *                test_mel.c
 *   source       librosa 0.11 feature.melspectrogram, filters.mel (weights rounded to float32 as there),
 *                power_to_db(ref=1, amin=1e-10, top_db=None)
 */
#ifndef MEL_H
#define MEL_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

struct mel_band {
    int64_t first, count; /* bins */
    int64_t weight;       /* index of the first weight */
};

struct mel_plan {
    const struct mel_band *band; /* [mels] */
    const float *weight;
};

struct mel_key { /* no padding: keys compare byte by byte */
    int64_t n_fft;
    int64_t mels;
    double rate_hz, fmin_hz, fmax_hz; /* fmax_hz > 0 */
    int64_t htk, slaney_norm;
};

size_t mel_plan_bytes(const void *key);
int mel_plan_init(void *plan, const void *key);
struct mel_key mel_key(const struct spectral_params *p);

int mel_check(const struct spectral_params *p) MUST_USE;
void mel_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

/* Front: spectral() with this one output. */
int mel(struct exec *ex, const struct spectral_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
