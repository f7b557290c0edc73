/* margins - zeros into the margins of maps, which convolutions read as padding.
 *
 *   equation     m[b,h,w,c] = 0 for w in [-MAPS_BEFORE, 0) and [W, W + MAPS_AFTER); positions are not touched
 *   shapes       m maps [B][H][W][C] with margins
 *   ownership    borrows m; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, which maps without margins are too (nothing written); STATUS_DEVICE
 *                (margins undefined)
 *   determinism  bitwise
 *   accuracy     exact; asserted in test_maps.c
 *   source       maps.h */
#ifndef MARGINS_H
#define MARGINS_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int clear_margins(struct exec *ex, const struct maps *m) MUST_USE;

int clear_margins_cpu(struct exec *ex, const struct maps *m);

#ifdef __cplusplus
}
#endif
#endif
