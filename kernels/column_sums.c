#include "column_sums.h"

#include "columns.h"
#include "maps_check.h"
#include "ops.h"

size_t column_sums_work_bytes(const struct maps *x)
{
    return columns_bytes(x, 1);
}

int column_sums(struct exec *ex, const struct maps *x, float *y)
{
    int code = maps_check("column_sums", "x", x, false);
    if (!code && !y)
        code = fail(STATUS_ARGUMENT, "column_sums: no buffer for the sums");
    return code ? code : OPS_CALL(ex, column_sums, ex, x, y);
}
