#include "layer_norm.h"

#include "maps_check.h"
#include "ops.h"

int layer_norm(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
               const struct maps *y)
{
    int code = maps_check("layer_norm", "x", x, false);
    code = code ? code : maps_check("layer_norm", "y", y, true);
    code = code ? code : maps_check_shape("layer_norm", "y", x, y, x->channels);
    if (!code && (!gain || !shift))
        code = fail(STATUS_ARGUMENT, "layer_norm: no gain or shift");
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, layer_norm, ex, gain, shift, add, x, y);
}
