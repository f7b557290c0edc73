#include "mirror.h"

#include "maps_check.h"
#include "ops.h"

int mirror(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y)
{
    const int code = maps_check("mirror", "x", x, false);
    if (code)
        return code;
    if (x->height != 1 || x->width < 2)
        return fail(STATUS_SHAPE, "mirror: %lld rows of %lld samples, wanted one of two or more", (long long)x->height,
                    (long long)x->width);
    if (before < 0 || before > x->width - 1 || samples < 1 || samples > before + 2 * x->width - 1)
        return fail(STATUS_SHAPE, "mirror: %lld samples, %lld of them before the %lld that there are",
                    (long long)samples, (long long)before, (long long)x->width);
    if (x->items > 0 && !y)
        return fail(STATUS_ARGUMENT, "mirror: no buffer for y");
    return x->items == 0 ? STATUS_OK : OPS_CALL(ex, mirror, ex, before, x, samples, y);
}
