/* statistics - what a feature is over the frames of each row: mean, variance, median, minimum, maximum, of its values
 * and of their first differences.
 *
 *   equation     over v[t] = x[t,c], t = 0 .. T - 1, and over d[t] = x[t,c] - x[t-1,c], t = 1 .. T - 1 (in f32), for
 *                each column c: mean; var = mean of (v - mean)^2; median, the mean of the middle two of an even
 *                number; min; max. block > 0: rows are made of blocks of that many frames that do not follow each
 *                other, and no difference is taken across
 *   shapes       x ragged [B][T_b][C] f32 in; y [B][STATISTICS][C] f32 out, in the memory of the exec
 *   pieces       whole signals only
 *   units        of x, var its square
 *   limits       1 <= C <= 65537; T_b <= 2^24; block >= 0
 *   not finite   a column that holds a NaN, or no value (no frame; no difference), has NaN throughout; infinities are
 *                not allowed
 *   ownership    borrows all; scratch, given back: on the CPU statistics_work_bytes() from exec's arena; on
 *                devices, from theirs, none for rows of up to 2,048 frames and else 32 bytes per 2,048 frames and
 *                column, 2,120 per row and column, for one row at least and below 8 MB for more of them
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     min, max and median as the oracle's, to the rounding of one f32; mean: error <= 2e-7 of the largest
 *                magnitude; var: <= 1e-5 of it plus 1e-12 of the largest square; asserted in test_statistics.c
 *   source       numpy.mean, var, median, min, max, diff over the last axis */
#ifndef STATISTICS_H
#define STATISTICS_H
#include "ragged.h"
#include "status.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum statistic { STATISTIC_MEAN, STATISTIC_VAR, STATISTIC_MEDIAN, STATISTIC_MIN, STATISTIC_MAX, STATISTIC_KINDS };
enum { STATISTICS = 2 * STATISTIC_KINDS }; /* of values, then of differences */

/* Scratch for rows of up to `frames` frames, CPU. */
size_t statistics_work_bytes(int64_t frames);

/* Front: validates, then calls the twin of ex's backend. */
int statistics(struct exec *ex, const struct ragged *x, int64_t block, float *y) MUST_USE;

int statistics_cpu(struct exec *ex, const struct ragged *x, int64_t block, float *y);

#ifdef __cplusplus
}
#endif
#endif
