/* flux - change of the spectrum from frame to frame: output SPECTRAL_FLUX of spectral.h.
 *
 *   equation     y[t] = sqrt(sum_f (|X[t,f]| - |X[t-1,f]|)^2), y[0] = 0
 *   shapes       y ragged [B][T_b] f32; the rest as spectral.h
 *   pieces       the first frame of a piece that is not the first has no frame before it there, and is NaN: pieces that
 *                share n_fft - 1 + hop samples give every frame's flux in the piece before
 *   units        of |X|
 *   limits       none of its own
 *   accuracy     error <= 1e-6 of the norm of the two frames' magnitudes against oracle_flux; asserted in
 *                test_spectral.c
 *   source       essentia Flux, norm L2, on magnitudes that are not normalised
 */
#ifndef FLUX_H
#define FLUX_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

void flux_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
