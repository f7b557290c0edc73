/* standardize and unstandardize - each item's mean taken off and its deviation divided out, and back.
 *
 *   equation     standardize: y[b] = (x[b] - mean[b])*(1/(deviation[b] + epsilon)), in f32: one rounding each for
 *                difference, sum, reciprocal and product; unstandardize: y[b] = x[b]*deviation[b] + mean[b]
 *   shapes       x, y maps [B][H][W][C], y may be x; moments [B][2] f32 as `moments` gives them, mean and deviation;
 *                margins of y are not touched
 *   limits       epsilon finite, >= 0; where deviation + epsilon is 0, values are what IEEE division gives
 *   ownership    borrows all, moments in the exec's memory too; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend, whatever the threads and the other items
 *   accuracy     standardize: the roundings above; unstandardize: one each for product and sum, or one for both;
 *                asserted in test_maps.c
 *   source       demucs 4.1.0 HTDemucs */
#ifndef STANDARDIZE_H
#define STANDARDIZE_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Fronts: validate, then call the twin of ex's backend. */
int standardize(struct exec *ex, const float *moments, float epsilon, const struct maps *x,
                const struct maps *y) MUST_USE;
int unstandardize(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y) MUST_USE;

int standardize_cpu(struct exec *ex, const float *moments, float epsilon, const struct maps *x, const struct maps *y);
int unstandardize_cpu(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
