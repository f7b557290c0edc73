#include "moments.h"

#include "arena.h"
#include "maps_check.h"
#include "ops.h"

/* What the twins on vectors or on a device take, which is more than the scalar one's nothing: two sums for every row
 * and every 64 positions, or for every chunk; and two of an item. */
size_t moments_work_bytes(const struct maps *x)
{
    const size_t blocks = (size_t)((x->height * x->width + 63) / 64 + x->height);
    const size_t all = (size_t)(x->height * ((x->width * x->channels + 3) / 4)) / (MOMENTS_CHUNK / 4) + 1;
    const size_t chunks = all < MOMENTS_CHUNKS ? all : MOMENTS_CHUNKS, most = blocks > chunks ? blocks : chunks;
    return (size_t)x->items * (most + 2) * 2 * sizeof(double) + 3 * ARENA_ALIGN;
}

int moments(struct exec *ex, const struct maps *x, float *y)
{
    int code = maps_check("moments", "x", x, false);
    if (!code && x->items > 0 && !y)
        code = fail(STATUS_ARGUMENT, "moments: no buffer for the results");
    if (code || x->items == 0)
        return code;
    return OPS_CALL(ex, moments, ex, x, y);
}
