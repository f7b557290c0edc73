/* spectrogram - powers of the spectrum's magnitudes, optionally in decibels: output SPECTRAL_SPECTROGRAM of spectral.h.
 *
 *   equation     e[t,f] = |X[t,f]|^power, X = stft(x); y = e, or when db: 10*log10(max(1e-10, e)), and with power 1
 *                20*log10(max(1e-5, e)): the same for both
 *   shapes       y ragged [B][T_b][F] f32; the rest as spectral.h
 *   units        |X|^power, or dB relative to 1.0
 *   limits       0 < power <= 8; db: power 1 or 2
 *   accuracy     relative L2 of a frame <= 1e-6, of dB within 80 dB of the frame's maximum <= 1e-5, against
 *                oracle_spectrogram; asserted in test_spectral.c
 *   source       librosa 0.11 _spectrogram, power_to_db and amplitude_to_db with ref 1 and no top_db
 */
#ifndef SPECTROGRAM_H
#define SPECTROGRAM_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

int spectrogram_check(const struct spectral_params *p) MUST_USE;
void spectrogram_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
