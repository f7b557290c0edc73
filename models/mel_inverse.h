/* mel_inverse - magnitudes of spectra from their mel bands: what fits them best among all that is not negative.
 *
 *   equation     e = 10^(mel/10) where bands are logarithmic (p->mel.log), else mel; s[t] = argmin |W s - e[t]|^2 over
 *                s >= 0; magnitude[t] = s[t]^(1/p->mel.power). W as in mel.h
 *   steps        the first s is the least that fits exactly, W^T (W W^T)^-1 e (a bin lies in two bands at most, so
 *                W W^T is tridiagonal), with what is negative set to 0; then so many steps of projected gradient with
 *                Nesterov's momentum, each 1/L long, L the largest sum of a row of W W^T
 *   shapes       mel [T][M], magnitude [T][F], F = n_fft/2 + 1; host memory on every exec: its threads do it
 *   units        those of mel.h: dB relative to 1.0, or |X|^power
 *   limits       those of mel.h; 0 to 10,000 steps; mel finite, at most 300 dB, or 0 to 1e30
 *   memory       192 bytes per bin and 128 per band for each thread, and the weights, in one allocation
 *   errors       STATUS_ARGUMENT, also of a value that is not finite, STATUS_NOMEM; magnitude untouched
 *   determinism  bitwise, whatever the frames beside, or how many threads
 *   accuracy     |W s - e| / |e| of recordings below that of librosa's at 32 steps; asserted in test_audio_back.py
 *   source       librosa 0.11 feature.inverse.mel_to_stft, whose optimiser (L-BFGS-B) hardly leaves the first s; Beck and
 *                Teboulle 2009 */
#ifndef MEL_INVERSE_H
#define MEL_INVERSE_H
#include "spectral.h"

enum { MEL_INVERSE_STEPS = 32 }; /* will do */

int mel_inverse(struct exec *ex, const struct spectral_params *p, int steps, const float *mel, int64_t frames,
                float *magnitude) MUST_USE;

#endif
