/* add_maps - the sum of two maps.
 *
 *   equation     y = a + b
 *   shapes       a, b, y maps [B][H][W][C], y may be a or b; rows or items of a and b may repeat (stride 0); margins of
 *                y are not touched
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise, and equal on all backends
 *   accuracy     one rounding; asserted in test_maps.c
 *   source       the equation */
#ifndef ADD_MAPS_H
#define ADD_MAPS_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int add_maps(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y) MUST_USE;

int add_maps_cpu(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
