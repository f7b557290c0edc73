/* rolloff - frequency below which most of a frame's magnitude lies: output SPECTRAL_ROLLOFF of spectral.h.
 *
 *   equation     y[t] = f_hz of the smallest f with sum_{g<=f} |X[t,g]| >= rolloff * sum_g |X[t,g]|; silence gives 0 Hz
 *   shapes       y ragged [B][T_b] f32; the rest as spectral.h
 *   units        Hz, 0 to rate/2, on a bin
 *   limits       0 < rolloff < 1; 0 < rate <= 1e9
 *   accuracy     the bin of oracle_rolloff, or its neighbour where the sum is within 2e-6 of the threshold; asserted in
 *                test_spectral.c
 *   source       librosa 0.11 feature.spectral_rolloff (roll_percent 0.85)
 */
#ifndef ROLLOFF_H
#define ROLLOFF_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

int rolloff_check(const struct spectral_params *p) MUST_USE;
void rolloff_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

#ifdef __cplusplus
}
#endif
#endif
