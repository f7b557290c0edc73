/* bandwidth - spectral bandwidth of each frame: output SPECTRAL_BANDWIDTH of spectral.h.
 *
 *   equation     y[t] = sqrt(sum_f |X[t,f]| * (f_hz - c[t])^2 / sum_f |X[t,f]|), c = centroid; silence gives 0 Hz as
 *                centroid does
 *   shapes       y ragged [B][T_b] f32; the rest as spectral.h
 *   units        Hz, 0 to rate/2
 *   limits       0 < rate <= 1e9
 *   accuracy     error of y^2 <= 2e-6 of the square of oracle_bandwidth, plus (rate/2)^2 * F * delta / sum_f |X[t,f]|
 *                (spectral.h); asserted in test_spectral.c
 *   source       librosa 0.11 feature.spectral_bandwidth, p = 2, norm
 */
#ifndef BANDWIDTH_H
#define BANDWIDTH_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

void bandwidth_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
