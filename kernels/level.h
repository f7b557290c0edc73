/* level - sums, peak and the first bad sample of each row of a ragged batch, over all channels together.
 *
 *   equation     sum = sum_i x[i], sum_squares = sum_i x[i]^2, peak = max_i |x[i]| over the N*C values that are finite;
 *                first_not_finite = smallest sample (of any channel) that holds a NaN or an infinity, else -1
 *   shapes       x ragged [B][N_b][C] f32 in; y [B] out
 *   pieces       rows may be pieces, and must then not overlap; level_join puts the results of consecutive pieces
 *                together. peak and first_not_finite come out the same for every cut; the sums are rounded differently
 *                (relative 1e-12 of sum |x|). first_not_finite counts from the signal's beginning
 *   units        x linear, full scale 1.0; mean square = sum_squares / (N*C)
 *   limits       1 <= C <= 1024; start + N <= 2^48; rows of 0 samples give zeros and -1
 *   not finite   left out of sum, sum_squares and peak, so that these stay finite; first_not_finite tells
 *   ownership    borrows all, y in the memory of the exec; on a device scratch from its arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_NOMEM, STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     sums: error <= 1e-12 of the sum of magnitudes against a sum in long double; peak exact; asserted in
 *                test_level.c
 *   source       none needed */
#ifndef LEVEL_H
#define LEVEL_H
#include "ragged.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct level {
    double sum_squares;
    double sum;
    float peak;
    int64_t first_not_finite; /* -1: none */
};

/* Adds to `all` the piece that follows it. */
static inline HOST_DEVICE void level_join(struct level *all, const struct level *next)
{
    all->sum_squares += next->sum_squares;
    all->sum += next->sum;
    all->peak = next->peak > all->peak ? next->peak : all->peak;
    if (all->first_not_finite < 0)
        all->first_not_finite = next->first_not_finite;
}

/* Front: validates, then calls the twin of ex's backend. */
int level(struct exec *ex, const struct ragged *x, struct level *y) MUST_USE;

int level_cpu(struct exec *ex, const struct ragged *x, struct level *y);

#ifdef __cplusplus
}
#endif
#endif
