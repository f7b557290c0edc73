/* column_sums and adamw. */
#include "../columns.h"
#include "../sums.h"
#include "rows.h"

/* ---- column_sums ---- */

struct summed {
    const struct maps *x;
    struct columns cut;
    float *sums; /* [items][blocks][channels] */
};

static int sum_block(void *context, int64_t i)
{
    const struct summed *const s = context;
    const int64_t item = i / s->cut.blocks, begin = i % s->cut.blocks * s->cut.each, channels = s->x->channels;
    const int64_t end = begin + s->cut.each < s->cut.positions ? begin + s->cut.each : s->cut.positions;
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t width = channels - c < LANES ? channels - c : LANES;
        vf sum[4] = {0};
        for (int64_t at = begin, n; at < end; at += n) {
            const int64_t left = s->x->width - at % s->x->width;
            const float *x = maps_row(s->x, item, at / s->x->width) + at % s->x->width * channels + c;
            n = left < end - at ? left : end - at;
            int64_t k = 0;
            for (; k + 4 <= n; k += 4)
#pragma GCC unroll 4
                for (int chain = 0; chain < 4; chain++, x += channels)
                    sum[chain] += vf_load_part(x, width);
            for (; k < n; k++, x += channels)
                sum[0] += vf_load_part(x, width);
        }
        vf_store_part(s->sums + i * channels + c, (sum[0] + sum[1]) + (sum[2] + sum[3]), width);
    }
    return STATUS_OK;
}

int SIMD(column_sums)(struct exec *ex, const struct maps *x, float *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct summed s = {.x = x, .cut = columns_of(x)};
    const int64_t blocks = x->items * s.cut.blocks;
    int code = arena_alloc(arena, (size_t)(blocks * x->channels) * sizeof *s.sums, &s.sums);
    code = code ? code : exec_parallel(ex, blocks, sum_block, &s);
    for (int64_t c = 0; c < x->channels && !code; c++) {
        double sum = 0;
        for (int64_t i = 0; i < blocks; i++)
            sum += s.sums[i * x->channels + c];
        y[c] = (float)sum;
    }
    arena_reset(arena, mark);
    return code;
}

/* ---- adamw ---- */

struct stepped {
    const struct adamw_blocks *b;
    struct adamw_factors f;
};

/* Parameters [begin, end) that decay alike. */
static void step(const struct stepped *s, int64_t begin, int64_t end, float decay)
{
    const struct adamw_blocks *const b = s->b;
    const struct adamw_factors *const f = &s->f;
    const float less = (float)(f->decay * (double)decay), clip = (float)f->clip, rate = (float)f->rate;
    const float beta1 = (float)f->beta1, rest1 = (float)f->rest1, beta2 = (float)f->beta2, rest2 = (float)f->rest2;
    const float root = (float)f->root, epsilon = (float)f->epsilon, ema = (float)f->ema, ema_rest = (float)f->ema_rest;
    for (int64_t i = begin; i < end; i += LANES) {
        const int64_t n = end - i < LANES ? end - i : LANES;
        const vf g = vf_load_part(b->grad + i, n) * clip, old = vf_load_part(b->param + i, n);
        const vf m = vf_load_part(b->m + i, n) * beta1 + g * rest1;
        const vf v = vf_load_part(b->v + i, n) * beta2 + g * g * rest2;
        const vf param = old - (old * less + m * rate / (vf_sqrt(v) * root + epsilon));
        vf_store_part(b->m + i, m, n);
        vf_store_part(b->v + i, v, n);
        vf_store_part(b->param + i, param, n);
        vf_store_part(b->ema + i, vf_load_part(b->ema + i, n) * ema + param * ema_rest, n);
    }
}

static int step_span(void *context, int64_t i)
{
    const struct stepped *const s = context;
    const struct adamw_blocks *const b = s->b;
    const int64_t last = (i + 1) * SUM_SPAN < b->n ? (i + 1) * SUM_SPAN : b->n;
    for (int64_t begin = i * SUM_SPAN, end; begin < last; begin = end) {
        const int64_t span = adamw_span_at(b->spans, b->count, begin);
        const bool inside = span < b->count && b->spans[span].begin <= begin;
        const int64_t until = span == b->count ? last : b->spans[span].begin + (inside ? b->spans[span].count : 0);
        end = until < last ? until : last;
        step(s, begin, end, inside ? b->spans[span].decay : 0);
    }
    return STATUS_OK;
}

int SIMD(adamw)(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks)
{
    struct stepped s = {blocks, adamw_factors(state)};
    return state->bad ? STATUS_OK : exec_parallel(ex, sum_spans(blocks->n), step_span, &s);
}
