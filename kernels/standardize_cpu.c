#include "standardize.h"

#include "exec.h"
#include "maps_spans.h"

struct standardized {
    const float *moments;
    float epsilon;
    const struct maps *x, *y;
};

static int standardize_span(void *context, int64_t i)
{
    const struct standardized *const k = context;
    const struct maps_span s = maps_span_of(k->x, i);
    const float mean = k->moments[2 * s.item], factor = 1 / (k->moments[2 * s.item + 1] + k->epsilon);
    const float *const from = maps_row(k->x, s.item, s.row);
    float *const to = maps_row(k->y, s.item, s.row);
    for (int64_t j = s.begin; j < s.end; j++)
        to[j] = (from[j] - mean) * factor;
    return STATUS_OK;
}

int standardize_cpu(struct exec *ex, const float *moments, float epsilon, const struct maps *x, const struct maps *y)
{
    struct standardized k = {moments, epsilon, x, y};
    return exec_parallel(ex, maps_spans(x), standardize_span, &k);
}

static int unstandardize_span(void *context, int64_t i)
{
    const struct standardized *const k = context;
    const struct maps_span s = maps_span_of(k->x, i);
    const float mean = k->moments[2 * s.item], deviation = k->moments[2 * s.item + 1];
    const float *const from = maps_row(k->x, s.item, s.row);
    float *const to = maps_row(k->y, s.item, s.row);
    for (int64_t j = s.begin; j < s.end; j++)
        to[j] = from[j] * deviation + mean;
    return STATUS_OK;
}

int unstandardize_cpu(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y)
{
    struct standardized k = {moments, 0, x, y};
    return exec_parallel(ex, maps_spans(x), unstandardize_span, &k);
}
