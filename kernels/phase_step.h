/* phase_step - given magnitudes under the phases of a spectrum that went on: a step of fast Griffin-Lim.
 *
 *   equation     v = now[i] - ahead*before[i], y[i] = magnitude[i] * v / (|v| + 2^-126); without before, v = now[i]
 *   shapes       magnitude [n] f32; now, before (or NULL) [n] complex64 in; y [n] complex64 out, may be now or before
 *   units        those of magnitude
 *   limits       n <= 2^40; |ahead| <= 1
 *   not finite   what is not finite makes its own y not finite, and no other
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, wherever a value lies, or how many threads
 *   accuracy     computed in double, and rounded once: relative L2 <= 2e-7 against the equation; asserted in
 *                test_time_stretch.c
 *   source       Perraudin, Balazs and Soendergaard 2013; librosa 0.11 griffinlim, whose ahead is
 *                momentum/(1 + momentum) and now - ahead*before the same up to a factor */
#ifndef PHASE_STEP_H
#define PHASE_STEP_H
#include "status.h"

#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int phase_step(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now, const float *before,
               float *y) MUST_USE;

int phase_step_cpu(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                   const float *before, float *y);

#ifdef __cplusplus
}
#endif
#endif
