/* flatness - spectral flatness of each frame: output SPECTRAL_FLATNESS of spectral.h.
 *
 *   equation     y[t] = exp(mean_f log e) / mean_f e, e = max(1e-10, |X[t,f]|^2)
 *   shapes       y ragged [B][T_b] f32; the rest as spectral.h
 *   units        0 (a tone) to 1 (noise, silence)
 *   limits       none of its own
 *   accuracy     relative error <= 1e-5 against oracle_flatness where no bin lies more than 100 dB below the largest;
 *                asserted in test_spectral.c
 *   source       librosa 0.11 feature.spectral_flatness (power 2, amin 1e-10)
 */
#ifndef FLATNESS_H
#define FLATNESS_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

void flatness_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
