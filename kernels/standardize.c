#include "standardize.h"

#include "maps_check.h"
#include "ops.h"

#include <math.h>

static int check(const char *op, const float *moments, const struct maps *x, const struct maps *y)
{
    int code = maps_check(op, "x", x, false);
    code = code ? code : maps_check(op, "y", y, true);
    code = code ? code : maps_check_shape(op, "y", x, y, x->channels);
    if (!code && y->items > 0 && !moments)
        code = fail(STATUS_ARGUMENT, "%s: no moments", op);
    return code;
}

int standardize(struct exec *ex, const float *moments, float epsilon, const struct maps *x, const struct maps *y)
{
    int code = check("standardize", moments, x, y);
    if (!code && !(isfinite(epsilon) && epsilon >= 0))
        code = fail(STATUS_ARGUMENT, "standardize: epsilon %g", (double)epsilon);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, standardize, ex, moments, epsilon, x, y);
}

int unstandardize(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y)
{
    const int code = check("unstandardize", moments, x, y);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, unstandardize, ex, moments, x, y);
}
