#include "add_maps.h"

#include "exec.h"
#include "maps_spans.h"

struct added {
    const struct maps *a, *b, *y;
};

static int add_span(void *context, int64_t i)
{
    const struct added *const k = context;
    const struct maps_span s = maps_span_of(k->y, i);
    const float *const a = maps_row(k->a, s.item, s.row), *const b = maps_row(k->b, s.item, s.row);
    float *const y = maps_row(k->y, s.item, s.row);
    for (int64_t j = s.begin; j < s.end; j++)
        y[j] = a[j] + b[j];
    return STATUS_OK;
}

int add_maps_cpu(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y)
{
    struct added k = {a, b, y};
    return exec_parallel(ex, maps_spans(y), add_span, &k);
}
