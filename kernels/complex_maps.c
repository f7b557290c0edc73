#include "complex_maps.h"

#include "maps_check.h"
#include "ops.h"

static int check(const char *op, const struct complex_maps_params *p, const float *x, const struct maps *y,
                 bool inverse)
{
    const int64_t most = INT64_C(1) << 31;
    const int code = maps_check(op, "y", y, !inverse);
    if (code)
        return code;
    if (y->channels % 2 != 0)
        return fail(STATUS_SHAPE, "%s: %lld channels, wanted two for each of spectra", op, (long long)y->channels);
    if (p->bins < y->width || p->bins > most)
        return fail(STATUS_SHAPE, "%s: %lld bins for a width of %lld", op, (long long)p->bins, (long long)y->width);
    if (p->before < 0 || p->after < 0 || p->before > most || p->after > most ||
        (!inverse && (p->before != 0 || p->after != 0)))
        return fail(STATUS_SHAPE, "%s: %lld frames before and %lld behind", op, (long long)p->before,
                    (long long)p->after);
    if (y->items > 0 && !x)
        return fail(STATUS_ARGUMENT, "%s: no buffer for the spectra", op);
    return STATUS_OK;
}

int maps_from_complex(struct exec *ex, const struct complex_maps_params *p, const float *x, const struct maps *y)
{
    const int code = check("maps_from_complex", p, x, y, false);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, maps_from_complex, ex, p, x, y);
}

int complex_from_maps(struct exec *ex, const struct complex_maps_params *p, const struct maps *y, float *x)
{
    const int code = check("complex_from_maps", p, x, y, true);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, complex_from_maps, ex, p, y, x);
}
