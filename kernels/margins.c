#include "margins.h"

#include "maps_check.h"
#include "ops.h"

int clear_margins(struct exec *ex, const struct maps *m)
{
    int code = maps_check("clear_margins", "m", m, true);
    const int64_t whole = code ? 0 : maps_row_floats(m->width, m->channels, true);
    if (!code &&
        (!maps_has_margins(m) || !maps_strides_fit(m->items, m->item_stride, m->height, m->row_stride, whole, true)))
        code = fail(STATUS_SHAPE, "clear_margins: rows %lld and items %lld floats apart, %lld with their margins",
                    (long long)m->row_stride, (long long)m->item_stride, (long long)whole);
    if (code || m->items == 0)
        return code;
    return OPS_CALL(ex, clear_margins, ex, m);
}
