#include "reconstruction.h"

#include "exec.h"
#include "maps_spans.h"

#include <math.h>

struct compared {
    double weight_l1, values;
    const struct maps *y, *x, *dy;
    double *sum; /* [spans] */
};

static int compare_span(void *context, int64_t i)
{
    const struct compared *const k = context;
    const struct maps_span s = maps_span_of(k->y, i);
    const float *const y = maps_row(k->y, s.item, s.row), *const x = maps_row(k->x, s.item, s.row);
    float *const dy = k->dy ? maps_row(k->dy, s.item, s.row) : NULL;
    double sum = 0;
    for (int64_t j = s.begin; j < s.end; j++) {
        const double gap = (double)y[j] - x[j], sign = (gap > 0) - (gap < 0);
        sum += gap * gap + k->weight_l1 * fabs(gap);
        if (dy)
            dy[j] = (float)((2 * gap + k->weight_l1 * sign) / k->values);
    }
    k->sum[i] = sum;
    return STATUS_OK;
}

int reconstruction_cpu(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                       const struct maps *y, const struct maps *x, const struct maps *dy)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t spans = maps_spans(y);
    struct compared k = {p->weight_l1, (double)(y->items * y->height * y->width * y->channels), y, x, dy, NULL};
    int code = arena_alloc(arena, (size_t)spans * sizeof *k.sum, &k.sum);
    code = code ? code : exec_parallel(ex, spans, compare_span, &k);
    double sum = 0;
    for (int64_t i = 0; i < spans && !code; i++)
        sum += k.sum[i];
    if (!code)
        state->reconstruction = sum / k.values;
    arena_reset(arena, mark);
    return code;
}
