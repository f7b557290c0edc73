#include "activate.h"

/* ---- mean and squares ---- */

/* Sums of LANES channels over a block: of x - pivot, and if wanted of its squares. */
INLINE void column_moments(const struct activated *a, int64_t item, int64_t block, int64_t c, vf pivot, bool squared,
                           float sum[LANES], float squares[LANES])
{
    const int64_t channels = a->x->channels, width = channels - c < LANES ? channels - c : LANES;
    const int64_t begin = block * a->cut.each, end = begin + block_positions(a, block);
    vf s[4] = {0}, q[4] = {0};
    for (int64_t at = begin, n; at < end; at += n) {
        const float *x = position(a->x, item, at) + c;
        n = in_row(a, at, end);
        int64_t i = 0;
        for (; i + 4 <= n; i += 4)
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++, x += channels) {
                const vf d = load(x, width) - pivot;
                s[k] += d;
                if (squared)
                    q[k] += d * d;
            }
        for (; i < n; i++, x += channels) {
            const vf d = load(x, width) - pivot;
            s[0] += d;
            if (squared)
                q[0] += d * d;
        }
    }
    vf_store(sum, (s[0] + s[1]) + (s[2] + s[3]));
    vf_store(squares, (q[0] + q[1]) + (q[2] + q[3]));
}

static int measure_block(const struct activated *a, int64_t item, int64_t block)
{
    const int64_t channels = a->x->channels, groups = a->p->groups, each = channels / groups;
    double *const m = a->moments + (item * a->cut.blocks + block) * groups * 2;
    const double n = (double)(block_positions(a, block) * each);
    float pivot[LANES] = {0}, sum[LANES], squares[LANES];
    memset(m, 0, (size_t)groups * 2 * sizeof *m);
    for (int64_t c = 0, g = 0; c < channels; c += LANES) { /* g: of channel k, without a division for each */
        column_moments(a, item, block, c, vf_set(0), false, sum, squares);
        for (int64_t k = c; k < channels && k < c + LANES; k++) {
            g += k == (g + 1) * each;
            m[2 * g] += sum[k - c];
        }
    }
    for (int64_t g = 0; g < groups; g++)
        m[2 * g] /= n;
    for (int64_t c = 0, g = 0, h = 0; c < channels; c += LANES) { /* again, about the mean, from the cache */
        for (int64_t k = c; k < channels && k < c + LANES; k++) {
            g += k == (g + 1) * each;
            pivot[k - c] = (float)m[2 * g];
        }
        column_moments(a, item, block, c, vf_load(pivot), true, sum, squares);
        for (int64_t k = c; k < channels && k < c + LANES; k++) {
            h += k == (h + 1) * each;
            m[2 * h + 1] += squares[k - c];
        }
    }
    for (int64_t g = 0; g < groups; g++) {
        const double off = m[2 * g] - (double)(float)m[2 * g];
        m[2 * g + 1] -= n * off * off;
    }
    return STATUS_OK;
}

static void join_moments(const struct activated *a, int64_t item)
{
    const int64_t groups = a->p->groups, each = a->x->channels / groups, blocks = a->cut.blocks;
    for (int64_t g = 0; g < groups; g++) {
        const double *const m = a->moments + (item * blocks * groups + g) * 2;
        const double n = (double)(a->cut.positions * each);
        double mean = 0, squares = 0;
        for (int64_t k = 0; k < blocks; k++)
            mean += m[2 * k * groups] * (double)block_positions(a, k) * (double)each / n;
        for (int64_t k = 0; k < blocks; k++) {
            const double off = m[2 * k * groups] - mean;
            squares += m[2 * k * groups + 1] + (double)(block_positions(a, k) * each) * off * off;
        }
        float *const to = a->norm->statistics + 2 * (item * groups + g);
        to[0] = (float)mean;
        to[1] = (float)(1 / sqrt((squares < 0 ? 0 : squares) / n + (double)a->p->epsilon));
    }
    channels_of(a, item);
}

INLINE vf activation(const struct activate_params *p, vf u)
{
    if (p->kind == ACTIVATE_NONE)
        return u;
    return p->kind == ACTIVATE_SILU ? u * vf_sigmoid(u) : vf_select(vf_less(vf_set(0), u), u, u * vf_set(p->slope));
}

static void forward_run(const struct activated *a, const struct run *r,
                        float *unused) /* NOLINT(readability-non-const-parameter): runs are of one type */
{
    const int64_t channels = a->x->channels;
    (void)unused;
    const bool normed = a->p->groups > 0;
    const float *const mean = of_channel(a, r->item, MEAN), *const rstd = of_channel(a, r->item, RSTD);
    struct words w;
    int64_t c = 0;
    for (int64_t from = 0; from < r->count; from += SOME) {
        const int64_t n = r->count - from < SOME ? r->count - from : SOME;
        words_for(&w, a, r->index + from, n);
        for (int64_t k = 0, width; k < n; k += width) {
            width = width_at(n - k, normed ? channels - c : n);
            vf u = load(r->x + from + k, width);
            if (normed) {
                u = (u - load(mean + c, width)) * load(rstd + c, width) * load(a->norm->gain + c, width) +
                    load(a->norm->shift + c, width);
                c = c + width < channels ? c + width : 0;
            }
            store(r->to + from + k, kept(&w, a, k, activation(a->p, u)), width);
        }
    }
}

static int forward_block(const struct activated *a, int64_t item, int64_t block)
{
    return runs_of(a, item, block, a->y, NULL, forward_run);
}

static int measure_item(void *context, int64_t item)
{
    const struct activated *const a = context;
    for (int64_t k = 0; k < a->cut.blocks; k++)
        measure_block(a, item, k);
    join_moments(a, item);
    for (int64_t k = 0; k < a->cut.blocks; k++)
        forward_block(a, item, k);
    return STATUS_OK;
}

static int forward(struct exec *ex, struct activated *a)
{
    if (a->p->groups == 0)
        return blocks_parallel(ex, a, forward_block);
    if (a->x->items >= exec_threads(ex))
        return exec_parallel(ex, a->x->items, measure_item, a);
    int code = blocks_parallel(ex, a, measure_block);
    for (int64_t b = 0; b < a->x->items && !code; b++)
        join_moments(a, b);
    return code ? code : blocks_parallel(ex, a, forward_block);
}

int SIMD(activate)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                   const struct activate_norm *norm, const struct maps *x, const struct maps *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .y = y, .cut = columns_of(x)};
    int code = STATUS_OK;
    if (p->groups) {
        const int64_t values = x->items * a.cut.blocks * p->groups * 2, channels = x->items * x->channels * OF_CHANNEL;
        code = arena_alloc(arena, (size_t)values * sizeof *a.moments, &a.moments);
        code = code ? code : arena_alloc(arena, (size_t)channels * sizeof *a.channel, &a.channel);
    }
    code = code ? code : forward(ex, &a);
    arena_reset(arena, mark);
    return code;
}
