#include "add_planar.h"

#include "maps_check.h"
#include "ops.h"

int add_planar(struct exec *ex, const float *planar, int64_t stride, const struct maps *x, const struct maps *y)
{
    int code = maps_check("add_planar", "x", x, false);
    code = code ? code : maps_check("add_planar", "y", y, true);
    code = code ? code : maps_check_shape("add_planar", "y", x, y, x->channels);
    if (code)
        return code;
    if (x->height != 1)
        return fail(STATUS_SHAPE, "add_planar: %lld rows, wanted one", (long long)x->height);
    if (stride < x->width || !maps_strides_fit(x->items * x->channels, stride, 1, stride, x->width, false))
        return fail(STATUS_SHAPE, "add_planar: signals of %lld samples lie %lld apart", (long long)x->width,
                    (long long)stride);
    if (x->items > 0 && !planar)
        return fail(STATUS_ARGUMENT, "add_planar: no planar signals");
    return x->items == 0 ? STATUS_OK : OPS_CALL(ex, add_planar, ex, planar, stride, x, y);
}
