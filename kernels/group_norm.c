#include "group_norm.h"

#include "maps_check.h"
#include "moments.h"
#include "ops.h"

size_t group_norm_work_bytes(const struct maps *x)
{
    return moments_work_bytes(x); /* of the same sums */
}

int group_norm(struct exec *ex, const float *gain, const float *shift, const struct maps *x, const struct maps *add,
               const struct maps *y)
{
    int code = maps_check("group_norm", "x", x, false);
    code = code ? code : maps_check("group_norm", "y", y, true);
    code = code ? code : maps_check_shape("group_norm", "y", x, y, x->channels);
    code = code || !add ? code : maps_check("group_norm", "add", add, false);
    code = code || !add ? code : maps_check_shape("group_norm", "add", x, add, x->channels);
    if (!code && (!gain || !shift))
        code = fail(STATUS_ARGUMENT, "group_norm: no gain or shift");
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, group_norm, ex, gain, shift, x, add, y);
}
