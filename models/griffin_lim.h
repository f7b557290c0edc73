/* griffin_lim - a signal whose spectra have given magnitudes, as near as some iterations come: fast Griffin-Lim.
 *
 *   equation     A = magnitude * exp(2*pi*j*u), u uniform from the seed; then so many times: R = stft(istft(A)),
 *                A = phase_step(R - momentum/(1 + momentum) * R of the time before) under the magnitudes; y = istft(A)
 *   shapes       magnitude [T][F] f32, y [samples] f32, both in the host's memory; frame_count of the samples is T, and
 *                istft_samples(stft, T) is such a number from T = 2 on
 *   units        y as the signal that had these magnitudes, which must be those of stft (power 1)
 *   where        every iteration runs on the exec's backend, in its memory; the host makes the first phases
 *   limits       0 to 10,000 iterations, 32 to 60 do; momentum 0 to 1, 0.99 by default, 0: Griffin and Lim's own;
 *                T*F <= 2^24: three minutes of 44.1 kHz at n_fft 2048 and hop 512. centred, zeros outside the signal
 *   memory       20 bytes per value of the magnitudes and 4 per sample, in one allocation of the exec's memory
 *   errors       STATUS_ARGUMENT, also of a magnitude that is not finite or below 0; STATUS_SHAPE; STATUS_NOMEM; those of
 *                a device. y untouched
 *   determinism  equal seeds give equal bits on one backend and ISA, whatever the threads
 *   accuracy     spectral convergence |S - |stft(y)|| / |S| within 0.5 dB of librosa's; asserted in test_audio_back.py
 *   source       Perraudin, Balazs and Soendergaard 2013; librosa 0.11 griffinlim, whose phases come from another
 *                generator */
#ifndef GRIFFIN_LIM_H
#define GRIFFIN_LIM_H
#include "stft.h"

struct exec;

struct griffin_lim_params {
    struct stft_params stft;
    int iterations;
    double momentum;
    uint64_t seed;
};

static const int64_t GRIFFIN_LIM_VALUES = 1 << 24;

static inline struct griffin_lim_params griffin_lim_defaults(uint64_t seed)
{
    return (struct griffin_lim_params){{.frame = {2048, 512, true}}, 32, 0.99, seed};
}

int griffin_lim(struct exec *ex, const struct griffin_lim_params *p, const float *magnitude, int64_t frames,
                int64_t samples, float *y) MUST_USE;

#endif
