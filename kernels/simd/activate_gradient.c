#include "activate.h"

INLINE vf slope(const struct activate_params *p, vf u)
{
    if (p->kind == ACTIVATE_NONE)
        return vf_set(1);
    if (p->kind == ACTIVATE_LEAKY_RELU)
        return vf_select(vf_less(vf_set(0), u), vf_set(1), vf_set(p->slope));
    const vf gate = vf_sigmoid(u);
    return gate * (u * (1 - gate) + 1);
}

/* du in place of dx; sums NULL: that is all. */
static void slope_run(const struct activated *a, const struct run *r, float *sums)
{
    if (!r->dy) /* of forward, which does not come here */
        return;
    const int64_t channels = a->x->channels;
    const float *const mean = of_channel(a, r->item, MEAN), *const rstd = of_channel(a, r->item, RSTD);
    struct words w;
    int64_t c = 0;
    for (int64_t from = 0; from < r->count; from += SOME) {
        const int64_t n = r->count - from < SOME ? r->count - from : SOME;
        words_for(&w, a, r->index + from, n);
        for (int64_t k = 0, width; k < n; k += width) {
            width = width_at(n - k, sums ? channels - c : n);
            const vf x = load(r->x + from + k, width), dy = kept(&w, a, k, load(r->dy + from + k, width));
            if (!sums) {
                store(r->to + from + k, dy * slope(a->p, x), width);
                continue;
            }
            const vf xhat = (x - load(mean + c, width)) * load(rstd + c, width);
            const vf du = dy * slope(a->p, xhat * load(a->norm->gain + c, width) + load(a->norm->shift + c, width));
            store(r->to + from + k, du, width);
            store(sums + c, load(sums + c, width) + du, width);
            store(sums + channels + c, load(sums + channels + c, width) + du * xhat, width);
            c = c + width < channels ? c + width : 0;
        }
    }
}

/* dx from du. */
static void centre_run(const struct activated *a, const struct run *r,
                       float *unused) /* NOLINT(readability-non-const-parameter): runs are of one type */
{
    (void)unused;
    const int64_t channels = a->x->channels;
    const float *const of = of_channel(a, r->item, 0);
    int64_t c = 0;
    for (int64_t k = 0, width; k < r->count; k += width) {
        width = width_at(r->count - k, channels - c);
        const vf xhat =
            (load(r->x + k, width) - load(of + MEAN * channels + c, width)) * load(of + RSTD * channels + c, width);
        const vf du = load(r->to + k, width);
        store(r->to + k,
              du * load(of + FACTOR * channels + c, width) - load(of + LESS * channels + c, width) -
                  xhat * load(of + ALONG * channels + c, width),
              width);
        c = c + width < channels ? c + width : 0;
    }
}

static int slope_block(const struct activated *a, int64_t item, int64_t block)
{
    float *const sums = a->p->groups ? a->sums + (item * a->cut.blocks + block) * a->x->channels * 2 : NULL;
    if (sums)
        memset(sums, 0, (size_t)a->x->channels * 2 * sizeof *sums);
    return runs_of(a, item, block, a->dx, sums, slope_run);
}

static int centre_block(const struct activated *a, int64_t item, int64_t block)
{
    return runs_of(a, item, block, a->dx, NULL, centre_run);
}

static void join_sums(const struct activated *a, int64_t item)
{
    const int64_t channels = a->x->channels, each = channels / a->p->groups;
    const double n = (double)(a->cut.positions * each);
    double *const all = a->item + item * channels * 2;
    float *const of = a->channel + item * OF_CHANNEL * channels;
    for (int64_t c = 0; c < 2 * channels; c++) {
        all[c] = 0;
        for (int64_t k = 0; k < a->cut.blocks; k++)
            all[c] += a->sums[(item * a->cut.blocks + k) * channels * 2 + c];
    }
    for (int64_t first = 0; first < channels; first += each) {
        double sum = 0, along = 0;
        for (int64_t c = first; c < first + each; c++) {
            sum += a->norm->gain[c] * all[c];
            along += a->norm->gain[c] * all[channels + c];
        }
        for (int64_t c = first; c < first + each; c++) {
            const double rstd = of[RSTD * channels + c];
            of[FACTOR * channels + c] = (float)(rstd * a->norm->gain[c]);
            of[LESS * channels + c] = (float)(rstd * sum / n);
            of[ALONG * channels + c] = (float)(rstd * along / n);
        }
    }
}

static int gradient_item(void *context, int64_t item)
{
    const struct activated *const a = context;
    channels_of(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        slope_block(a, item, k);
    join_sums(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        centre_block(a, item, k);
    return STATUS_OK;
}

static int backward(struct exec *ex, struct activated *a)
{
    if (a->p->groups == 0)
        return blocks_parallel(ex, a, slope_block);
    if (a->x->items >= exec_threads(ex))
        return exec_parallel(ex, a->x->items, gradient_item, a);
    for (int64_t b = 0; b < a->x->items; b++)
        channels_of(a, b);
    int code = blocks_parallel(ex, a, slope_block);
    for (int64_t b = 0; b < a->x->items && !code; b++)
        join_sums(a, b);
    return code ? code : blocks_parallel(ex, a, centre_block);
}

int SIMD(activate_gradient)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                            const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                            const struct maps *dx, float *dgain, float *dshift)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t channels = x->channels, of_items = x->items * channels;
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .dy = dy, .dx = dx, .cut = columns_of(x)};
    int code = STATUS_OK;
    if (p->groups) {
        code = arena_alloc(arena, (size_t)(2 * of_items * a.cut.blocks) * sizeof *a.sums, &a.sums);
        code = code ? code : arena_alloc(arena, (size_t)(2 * of_items) * sizeof *a.item, &a.item);
        code = code ? code : arena_alloc(arena, (size_t)(OF_CHANNEL * of_items) * sizeof *a.channel, &a.channel);
    }
    code = code ? code : backward(ex, &a);
    for (int64_t c = 0; c < channels && p->groups && !code; c++) {
        double shift = 0, gain = 0;
        for (int64_t b = 0; b < x->items; b++) {
            shift += a.item[2 * b * channels + c];
            gain += a.item[(2 * b + 1) * channels + c];
        }
        dshift[c] = (float)shift;
        dgain[c] = (float)gain;
    }
    arena_reset(arena, mark);
    return code;
}
