/* stretch - signals at another speed of the same pitch, or at another pitch of the same speed.
 *
 *   equation     stretch_signal: istft(time_stretch(stft(x), rate)), each channel by itself. stretch_pitch: with up/down
 *                the fraction next to 2^(semitones/12) whose parts are 512 at most (0.2 % off at worst), x at down/up of
 *                its speed, taken for audio of rate `up` and resampled to `down`
 *   shapes       x [n][channels] in, y [stretch_samples(rate, n)][channels], or [n][channels], out; host memory
 *   units        those of x
 *   limits       1 or 2 channels; n <= 2^24; 1/4 <= rate <= 4; -24 <= semitones <= 24; finite samples are the caller's care
 *   stft         n_fft 2048, hop 512, Hann, centred, zeros outside the signal
 *   memory       some 20*(1 + 1/rate) bytes per sample, in one allocation of the exec's memory, and a copy of the longer
 *                signal on the host; each pitch's filter stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM; those of a device. y untouched
 *   determinism  bitwise on one backend and ISA, whatever the threads
 *   accuracy     pitches within 0.3 %; a tone loses up to 1.25 dB, as it does in librosa: its bins fall out of step.
 *                Asserted in test_augment.c
 *   source       librosa 0.11 effects.time_stretch, pitch_shift */
#ifndef STRETCH_H
#define STRETCH_H
#include "status.h"

#include <math.h>
#include <stdint.h>

struct exec;

static const int64_t STRETCH_SAMPLES = 1 << 24;

static inline int64_t stretch_samples(double rate, int64_t n)
{
    return (int64_t)round((double)n / rate);
}

int stretch_signal(struct exec *ex, double rate, int channels, int64_t n, const float *x, float *y) MUST_USE;
int stretch_pitch(struct exec *ex, double semitones, int channels, int64_t n, const float *x, float *y) MUST_USE;

/* The fraction that stretch_pitch takes: up/down of the frequencies. */
void stretch_fraction(double semitones, int64_t *up, int64_t *down);

#endif
