/* BSS Eval of signals that come in pieces: the blocks of score_correlate and of score_measure as soon as all that they
 * look at is there, so that sums are added in the same order as for a signal in memory. */
#include "score_parts.h"

#include <math.h>

struct score_pieces {
    struct score_work w;
    bool *heard;            /* [2][S]: references, estimates that are not silent */
    int64_t from;           /* the next block */
    int64_t samples, total; /* had in this pass; in the first */
    int pass;               /* 0, 1; 2: over */
};

static size_t head_bytes(int32_t sources)
{
    return (sizeof(struct score_pieces) + 2 * (size_t)sources * sizeof(bool) + 63) / 64 * 64;
}

static int check(const struct score_bss_params *p, int32_t channels)
{
    const int code = score_bss_check(p, channels);
    if (!code && (p->window_samples || p->permute))
        return fail(STATUS_ARGUMENT, "score: pieces are of the whole signal, in one order");
    return code;
}

size_t score_pieces_bytes(const struct score_bss_params *p, int32_t channels)
{
    if (check(p, channels))
        return 0;
    struct score_work w = score_shape(p, channels);
    return head_bytes(p->sources) + score_lay_out(&w, NULL);
}

int score_pieces_begin(const struct score_bss_params *p, int32_t channels, void *work, struct score_pieces **out)
{
    int code = check(p, channels);
    if (code)
        return code;
    struct score_pieces *const s = work;
    *s = (struct score_pieces){.w = score_shape(p, channels), .heard = (bool *)(s + 1)};
    for (int32_t i = 0; i < 2 * p->sources; i++)
        s->heard[i] = false;
    score_lay_out(&s->w, (unsigned char *)work + head_bytes(p->sources));
    code = fft_plan_init(s->w.plan, s->w.fft);
    if (code)
        return code;
    score_correlate_begin(&s->w);
    *out = s;
    return STATUS_OK;
}

void score_pieces_keep_alive(struct score_pieces *s, void (*alive)(void *context), void *context)
{
    s->w.alive = alive;
    s->w.context = context;
}

int64_t score_pieces_keep(const struct score_pieces *s)
{
    const int64_t first = s->from - (s->w.p.taps - 1);
    return first > 0 ? first : 0;
}

static bool is_heard(const struct score_signal *x)
{
    for (int64_t i = 0; i < x->samples * x->channels; i++)
        if (x->data[i] != 0)
            return true;
    return false;
}

static bool all_heard(const struct score_pieces *s)
{
    for (int32_t i = 0; i < 2 * s->w.p.sources; i++)
        if (!s->heard[i])
            return false;
    return true;
}

static int check_piece(const struct score_pieces *s, const struct score_signal *reference,
                       const struct score_signal *estimate, int64_t first, bool ended)
{
    const int64_t end = first + reference->samples;
    if (s->pass > 1)
        return fail(STATUS_SHAPE, "score: a piece after the end");
    if (first > score_pieces_keep(s) || end < s->samples ||
        (s->pass == 1 && (ended ? end != s->total : end > s->total)))
        return fail(STATUS_SHAPE, "score: a piece of samples %lld to %lld, where %lld and following are due",
                    (long long)first, (long long)end, (long long)score_pieces_keep(s));
    if (reference->channels != s->w.channels || (ended && end == 0))
        return fail(STATUS_SHAPE, "score: %lld samples of %d channels, begun with %d", (long long)end,
                    reference->channels, s->w.channels);
    int code = STATUS_OK;
    for (int32_t j = 0; j < s->w.p.sources && !code && end > first; j++) {
        code = score_check("reference", j, &reference[j], reference);
        if (!code)
            code = score_check("estimate", j, &estimate[j], reference);
    }
    return code;
}

/* All blocks that can be computed by now. */
static void take_blocks(struct score_pieces *s, struct score_slice slice, bool ended)
{
    struct score_work *const w = &s->w;
    const int64_t around = w->p.taps - 1, step = s->pass ? score_measure_step(w) : score_correlate_step(w);
    const int64_t looks = s->pass ? step : step + around, last = s->pass ? slice.end + around : slice.end;
    for (; ended ? s->from < last : s->from + looks <= slice.end; s->from += step) {
        if (s->pass)
            score_measure_block(w, slice, s->from);
        else
            score_correlate_block(w, slice, s->from);
    }
}

static void end_pass(struct score_pieces *s)
{
    if (s->pass == 0 && all_heard(s)) {
        score_correlate_end(&s->w);
        score_solve(&s->w);
        score_measure_begin(&s->w);
    }
    s->total = s->samples;
    s->samples = s->from = 0;
    s->pass++;
}

int score_pieces_take(struct score_pieces *s, const struct score_signal *reference, const struct score_signal *estimate,
                      int64_t first, bool ended)
{
    const int code = check_piece(s, reference, estimate, first, ended);
    if (code)
        return code;
    s->w.reference = reference;
    s->w.estimate = estimate;
    s->samples = first + reference->samples;
    const int32_t sources = s->w.p.sources;
    for (int32_t j = 0; j < sources && s->pass == 0; j++) {
        s->heard[j] = s->heard[j] || is_heard(&reference[j]);
        s->heard[sources + j] = s->heard[sources + j] || is_heard(&estimate[j]);
    }
    const struct score_slice slice = {0, s->samples, first};
    if (s->pass == 0 || all_heard(s))
        take_blocks(s, slice, ended);
    else /* nothing is measured, and nothing need be kept */
        s->from = s->samples;
    if (ended)
        end_pass(s);
    return STATUS_OK;
}

void score_pieces_end(const struct score_pieces *s, struct score_bss *y)
{
    for (int32_t j = 0; j < s->w.p.sources; j++)
        if (all_heard(s))
            score_result(&s->w.sums[j], j, &y[j]);
        else
            y[j] = (struct score_bss){NAN, NAN, NAN, NAN, NAN, j};
}
