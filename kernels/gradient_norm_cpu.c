#include "gradient_norm.h"

#include "exec.h"
#include "sums.h"

struct squared {
    const float *g;
    int64_t n;
    double *sum; /* [spans] */
};

static int square_span(void *context, int64_t i)
{
    enum { CHAINS = 8 }; /* sums that do not wait for each other */
    const struct squared *const s = context;
    const int64_t begin = i * SUM_SPAN, end = begin + SUM_SPAN < s->n ? begin + SUM_SPAN : s->n;
    double sum[CHAINS] = {0}, all = 0;
    int64_t j = begin;
    for (; j + CHAINS <= end; j += CHAINS)
        for (int c = 0; c < CHAINS; c++)
            sum[c] += (double)s->g[j + c] * s->g[j + c];
    for (; j < end; j++)
        all += (double)s->g[j] * s->g[j];
    for (int c = 0; c < CHAINS; c++)
        all += sum[c];
    s->sum[i] = all;
    return STATUS_OK;
}

int gradient_norm_cpu(struct exec *ex, struct step_state *state, const float *g, int64_t n)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct squared s = {g, n, NULL};
    int code = arena_alloc(arena, (size_t)sum_spans(n) * sizeof *s.sum, &s.sum);
    code = code ? code : exec_parallel(ex, sum_spans(n), square_span, &s);
    double sum = 0;
    for (int64_t i = 0; i < sum_spans(n) && !code; i++)
        sum += s.sum[i];
    if (!code)
        gradient_norm_found(state, sum);
    arena_reset(arena, mark);
    return code;
}
