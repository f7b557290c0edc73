#include "add_maps.h"

#include "maps_check.h"
#include "ops.h"

int add_maps(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y)
{
    int code = maps_check("add_maps", "a", a, false);
    code = code ? code : maps_check("add_maps", "b", b, false);
    code = code ? code : maps_check("add_maps", "y", y, true);
    code = code ? code : maps_check_shape("add_maps", "b", a, b, a->channels);
    code = code ? code : maps_check_shape("add_maps", "y", a, y, a->channels);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, add_maps, ex, a, b, y);
}
