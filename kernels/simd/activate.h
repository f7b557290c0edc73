/* activate - what the two directions of activate share: places of values and channels, dropout, threads. Each block of
 * positions (columns.h) is a thread's, or each item where there are as many as threads: the sums are the same.
 * Room-internal. */
#ifndef SIMD_ACTIVATE_H
#define SIMD_ACTIVATE_H
#include "../activate.h"
#include "../columns.h"
#include "network.h"
#include "philox.h"
#include "rows.h"

#include <math.h>

enum { SOME = 1024 }; /* values whose words are made at once */

struct activated {
    const struct activate_params *p;
    const struct step_state *state;
    const struct activate_norm *norm;
    const struct maps *x, *y, *dy, *dx;
    struct columns cut;
    double *moments; /* [items][blocks][groups][2]: mean, and squares about it */
    float *sums;     /* [items][blocks][channels][2]: of du, and of du*xhat */
    double *item;    /* [items][channels][2]: the same of all its blocks */
    float *channel;  /* [items][OF_CHANNEL][channels] */
    int (*part)(const struct activated *a, int64_t item, int64_t block);
};

/* What each value of a channel is met with: all but the first two are of the gradient's last pass. */
enum { MEAN, RSTD, FACTOR, LESS, ALONG, OF_CHANNEL };

struct run {
    int64_t item, index, count; /* index: of its first value among all; values */
    const float *x, *dy;
    float *to;
};

INLINE const float *of_channel(const struct activated *a, int64_t item, int what)
{
    return a->channel + (item * OF_CHANNEL + what) * a->x->channels;
}

INLINE vf load(const float *p, int64_t width)
{
    return width == LANES ? vf_load(p) : vf_load_part(p, width);
}

INLINE void store(float *p, vf v, int64_t width)
{
    if (width == LANES)
        vf_store(p, v);
    else
        vf_store_part(p, v, width);
}

INLINE int64_t block_positions(const struct activated *a, int64_t block)
{
    const int64_t left = a->cut.positions - block * a->cut.each;
    return left < a->cut.each ? left : a->cut.each;
}

/* Of a block's positions from `at` on those that lie in one row. */
INLINE int64_t in_row(const struct activated *a, int64_t at, int64_t end)
{
    const int64_t row = a->x->width - at % a->x->width;
    return row < end - at ? row : end - at;
}

INLINE float *position(const struct maps *m, int64_t item, int64_t at)
{
    return maps_row(m, item, at / m->width) + at % m->width * m->channels;
}

INLINE void channels_of(const struct activated *a, int64_t item)
{
    const int64_t channels = a->x->channels, each = channels / a->p->groups;
    float *const to = a->channel + item * OF_CHANNEL * channels;
    for (int64_t c = 0; c < channels; c++) {
        const float *const s = a->norm->statistics + 2 * (item * a->p->groups + c / each);
        to[MEAN * channels + c] = s[0];
        to[RSTD * channels + c] = s[1];
    }
}

/* ---- values ---- */

struct words {
    uint32_t word[SOME + 4 * LANES];
    const uint32_t *first; /* of the run's part; NULL: nothing is dropped */
};

INLINE void words_for(struct words *w, const struct activated *a, int64_t index, int64_t count)
{
    w->first = NULL;
    if (a->p->dropout == 0)
        return;
    const int64_t block = index / 4, skipped = index % 4;
    for (int64_t n = 0; n < skipped + count; n += (int64_t)4 * LANES)
        philox_words(a->state->seed, a->p->stream, a->state->step, (uint32_t)(block + n / 4), w->word + n);
    w->first = w->word + skipped;
}

INLINE vf kept(const struct words *w, const struct activated *a, int64_t at, vf v)
{
    if (!w->first)
        return v;
    vu word;
    memcpy(&word, w->first + at, sizeof word);
    const vmask dropped = vu_less(word, (vu){0} + activate_threshold(a->p));
    return vf_select(dropped, vf_set(0), v * vf_set(activate_scale(a->p)));
}

/* Values of one channel after the other from k on: as many as a vector holds, a position or a part has left. */
INLINE int64_t width_at(int64_t left, int64_t channels_left)
{
    const int64_t width = left < channels_left ? left : channels_left;
    return width < LANES ? width : LANES;
}

/* A block's positions as runs of one row each, to `run`. */
INLINE int runs_of(const struct activated *a, int64_t item, int64_t block, const struct maps *to, float *sums,
                   void (*run)(const struct activated *a, const struct run *r, float *sums))
{
    const int64_t begin = block * a->cut.each, end = begin + block_positions(a, block);
    for (int64_t at = begin, n; at < end; at += n) {
        n = in_row(a, at, end);
        const struct run r = {.item = item,
                              .index = (item * a->cut.positions + at) * a->x->channels,
                              .count = n * a->x->channels,
                              .x = position(a->x, item, at),
                              .dy = a->dy ? position(a->dy, item, at) : NULL,
                              .to = position(to, item, at)};
        run(a, &r, sums);
    }
    return STATUS_OK;
}

static int activate_block(void *context, int64_t i)
{
    const struct activated *const a = context;
    return a->part(a, i / a->cut.blocks, i % a->cut.blocks);
}

INLINE int blocks_parallel(struct exec *ex, struct activated *a,
                           int (*part)(const struct activated *a, int64_t item, int64_t block))
{
    a->part = part;
    return exec_parallel(ex, a->x->items * a->cut.blocks, activate_block, a);
}

#endif
