/* centroid - spectral centroid of each frame: output SPECTRAL_CENTROID of spectral.h.
 *
 *   equation     y[t] = sum_f f_hz * |X[t,f]| / sum_f |X[t,f]|, X = stft(x), f_hz = f * rate / n_fft. When the sum
 *                below is less than 2^-126 (a silent frame) it is taken as 1, so that silence gives 0 Hz
 *   shapes       y ragged [B][T_b] f32; the rest as spectral.h
 *   units        Hz, 0 to rate/2
 *   limits       0 < rate <= 1e9
 *   accuracy     error <= 1e-6 of oracle_centroid in double, plus rate/2 * F * delta / sum_f |X[t,f]| (spectral.h);
 *                asserted in test_spectral.c
 *   source       librosa 0.11 feature.spectral_centroid, util.normalize(norm=1) with its threshold, magnitudes in
 *                float32 as there
 */
#ifndef CENTROID_H
#define CENTROID_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

void centroid_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
