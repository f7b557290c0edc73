#include "adamw.h"

#include "exec.h"
#include "sums.h"

struct stepped {
    const struct adamw_blocks *b;
    struct adamw_factors f;
};

static int step_span(void *context, int64_t i)
{
    const struct stepped *const s = context;
    const struct adamw_blocks *const b = s->b;
    const struct adamw_factors *const f = &s->f;
    const int64_t begin = i * SUM_SPAN, end = begin + SUM_SPAN < b->n ? begin + SUM_SPAN : b->n;
    int64_t span = adamw_span_at(b->spans, b->count, begin);
    for (int64_t j = begin; j < end; j++) {
        while (span < b->count && b->spans[span].begin + b->spans[span].count <= j)
            span++;
        const double decay = span < b->count && b->spans[span].begin <= j ? b->spans[span].decay : 0;
        const double g = b->grad[j] * f->clip;
        const double m = f->beta1 * b->m[j] + f->rest1 * g, v = f->beta2 * b->v[j] + f->rest2 * g * g;
        const double param = b->param[j] * (1 - f->decay * decay) - f->rate * m / (sqrt(v) * f->root + f->epsilon);
        b->m[j] = (float)m;
        b->v[j] = (float)v;
        b->param[j] = (float)param;
        b->ema[j] = (float)(f->ema * b->ema[j] + f->ema_rest * param);
    }
    return STATUS_OK;
}

int adamw_cpu(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks)
{
    struct stepped s = {blocks, adamw_factors(state)};
    return state->bad ? STATUS_OK : exec_parallel(ex, sum_spans(blocks->n), step_span, &s);
}
