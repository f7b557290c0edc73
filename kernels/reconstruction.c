#include "reconstruction.h"

#include "maps_check.h"
#include "maps_spans.h"
#include "ops.h"
#include "sums.h"

#include <math.h>

/* A partial sum of each span (the CPU), or of each block (devices): SUM_BLOCKS at most. */
size_t reconstruction_work_bytes(const struct maps *y)
{
    const size_t spans = (size_t)maps_spans(y);
    return arena_round((spans > SUM_BLOCKS ? spans : SUM_BLOCKS) * sizeof(double));
}

int reconstruction(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                   const struct maps *y, const struct maps *x, const struct maps *dy)
{
    static const char op[] = "reconstruction";
    int code = maps_check(op, "y", y, false);
    code = code ? code : maps_check(op, "x", x, false);
    code = code ? code : maps_check_shape(op, "x", y, x, y->channels);
    code = code || !dy ? code : maps_check(op, "dy", dy, true);
    code = code || !dy ? code : maps_check_shape(op, "dy", y, dy, y->channels);
    if (!code && y->items == 0)
        code = fail(STATUS_SHAPE, "%s: the mean of no values", op);
    if (!code && !(isfinite(p->weight_l1) && p->weight_l1 >= 0))
        code = fail(STATUS_ARGUMENT, "%s: weight %g of the absolute differences", op, (double)p->weight_l1);
    if (!code && (!state || (uintptr_t)state % _Alignof(struct step_state) != 0))
        code = fail(STATUS_ARGUMENT, "%s: no state on 8 bytes", op);
    return code ? code : OPS_CALL(ex, reconstruction, ex, p, state, y, x, dy);
}
