/* time_stretch - spectra of the same sound at another speed: a phase vocoder.
 *
 *   equation     with s = t*rate, i = floor(s), a = s - i: m[t,f] = (1 - a)*|X[i,f]| + a*|X[i+1,f]|; u[0,f] = e(X[0,f]),
 *                u[t+1,f] = u[t,f] * e(X[i+1,f]) * conj(e(X[i,f])), e(c) = c/|c|, e(0) = 1; y[t,f] = m[t,f]*u[t,f].
 *                Frames from T on are 0. So the phase grows from frame to frame by as much as it does in x; which
 *                multiple of 2*pi the hop adds to that, a factor of one length does not ask
 *   shapes       x ragged [B][T_b][F] complex64 in; y ragged [B][time_stretch_frames(rate[b], T_b)][F] complex64 out;
 *                rate [B] f64, in the host's memory on every backend. x and y do not overlap
 *   pieces       whole signals only
 *   units        those of x; rate 2 is twice as fast, half as long
 *   limits       1/1000 <= rate <= 1000; F <= 32769; at most 2^34 frames in and out
 *   not finite   a value that is not finite makes its bin not finite, from the first frame that reads it to the row's end
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch, or how many threads
 *   accuracy     phases are products of numbers of length 1 in double, on every backend: each frame adds 1e-15 of a turn
 *                at most. Relative L2 of a row <= 1e-6 against oracle_time_stretch, 10,000 frames long; asserted in
 *                test_time_stretch.c
 *   source       Laroche and Dolson 1999, without the locking of phases; librosa 0.11 phase_vocoder, which sums angles
 *                in the precision of its input and is 0.1 of a turn off after some thousand frames of complex64 */
#ifndef TIME_STRETCH_H
#define TIME_STRETCH_H
#include "ragged.h"
#include "status.h"

#include <math.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Frames that T become. */
static inline int64_t time_stretch_frames(double rate, int64_t frames)
{
    return (int64_t)ceil((double)frames / rate);
}

/* Front: validates, then calls the twin of ex's backend. */
int time_stretch(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y) MUST_USE;

int time_stretch_cpu(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
