/* search on CUDA: the scores of a slab of vectors go to device memory (search_keys.cuh), then the best of every 2,048
 * are kept, again and again until k are left (search_select.cuh).
 *
 *   launches per slab of vectors and group of queries: scores (twice where few queries are left over of whole tiles),
 *            then selections: one where a block has all candidates, two up to 2,048 * 2,048 / k vectors, whose last
 *            writes the results. One query among 100,000 vectors: three
 *   memory   rows are read 64 bytes at a time, two to a warp: a third sector of each where rows begin within one; 128
 *            bytes at a time where queries are few. No bank is met twice before the sort */
#include "search.h"

#include "device.cuh"
#include "search_keys.cuh"
#include "search_select.cuh"

enum {
    SLAB = 1 << 18,       /* vectors whose scores are in memory at once, at most */
    SLAB_LEAST = 1 << 15, /* and at least: many queries want their bounds early */
    WORK = 24 << 20       /* bytes of scratch to stay below, one query aside */
};

struct work {
    float *key;
    ranked *a, *b;
    int64_t key_stride, stride, group;
};

/* Where results go after the last slab. */
struct search_results {
    int64_t *index; /* NULL: not yet */
    float *score;
};

/* The best k of a slab, and of what a[0..k) holds from those before, into a[0..k) or the results. */
static void select_slab(cudaStream_t stream, const struct work *w, const struct slab *s, int k, int64_t first,
                        const struct search_results *results)
{
    const unsigned queries = (unsigned)s->queries_count;
    const int parts = s->vectors_count > 0 ? (s->vectors_count + SORTED - 1) / SORTED : 1, kept = first > 0 ? k : 0;
    const bool at_once = parts == 1 && kept == 0;
    struct selection c = {};
    c.key = w->key;
    c.to = w->a + kept;
    c.bound = kept ? w->a + k - 1 : NULL;
    c.index = at_once ? results->index : NULL;
    c.score = results->score;
    c.key_stride = w->key_stride;
    c.stride = w->stride;
    c.count = s->vectors_count;
    c.k = k;
    c.first = (unsigned)first;
    c.in_order = at_once;
    c.l2 = s->l2;
    LAUNCH(search_select, dim3((unsigned)parts, queries), SELECT_THREADS, 0, stream, c);
    if (at_once)
        return;
    c.key = NULL;
    c.bound = NULL;
    c.from = w->a;
    for (c.count = kept + parts * k; c.count > SORTED;) {
        const int blocks = (c.count + SORTED - 1) / SORTED;
        c.to = c.from == w->a ? w->b : w->a;
        LAUNCH(search_select, dim3((unsigned)blocks, queries), SELECT_THREADS, 0, stream, c);
        c.from = c.to;
        c.count = blocks * k;
    }
    c.to = w->a; /* one block per query, which has read all before it writes */
    c.in_order = true;
    c.index = results->index;
    LAUNCH(search_select, dim3(1, queries), SELECT_THREADS, 0, stream, c);
}

/* Few queries have large slabs, many short ones: the next slab's candidates are turned away by the bounds of those
 * before. */
static int work_of(struct arena *arena, const struct search_params *p, struct work *w)
{
    const int64_t queries = p->queries > 0 ? p->queries : 1;
    const int64_t vector = (int64_t)sizeof *w->key + 2 * p->k * (int64_t)sizeof *w->a / SORTED;
    int64_t slab = WORK / (queries * vector) / SORTED * SORTED;
    slab = slab < SLAB_LEAST ? (int64_t)SLAB_LEAST : slab > SLAB ? (int64_t)SLAB : slab;
    w->key_stride = p->vectors > slab ? slab : p->vectors > 0 ? p->vectors : 1;
    w->stride = ((w->key_stride + SORTED - 1) / SORTED + 1) * p->k;
    const int64_t each = w->key_stride * (int64_t)sizeof *w->key + 2 * w->stride * (int64_t)sizeof *w->a;
    const int64_t fit = WORK / each > 1 ? WORK / each : 1, most = fit < 32768 ? fit : 32768;
    w->group = p->queries < most ? p->queries : most;
    int code = arena_alloc(arena, (size_t)(w->group * w->key_stride) * sizeof *w->key, &w->key);
    code = code ? code : arena_alloc(arena, (size_t)(w->group * w->stride) * sizeof *w->a, &w->a);
    return code ? code : arena_alloc(arena, (size_t)(w->group * w->stride) * sizeof *w->b, &w->b);
}

extern "C" int search_cuda(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
                           int64_t *index, float *score)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct work w;
    const int code = work_of(arena, p, &w);
    for (int64_t q = 0; q < p->queries && !code; q += w.group) {
        const int64_t left = p->queries - q, many = left < w.group ? left : w.group;
        int64_t v = 0;
        do {
            const int64_t rest = p->vectors - v, slab = rest < w.key_stride ? rest : w.key_stride;
            const bool last = v + slab >= p->vectors;
            const struct slab s = {vectors + v * p->dimensions,
                                   queries + q * p->dimensions,
                                   w.key,
                                   w.key_stride,
                                   (int)slab,
                                   (int)many,
                                   p->dimensions,
                                   p->measure == SEARCH_L2};
            const struct search_results results = {last ? index + q * p->k : NULL, last ? score + q * p->k : NULL};
            if (slab > 0)
                keys_launch(device_launch_stream(ex), &s);
            select_slab(device_launch_stream(ex), &w, &s, p->k, v, &results);
            v += w.key_stride;
        } while (v < p->vectors);
    }
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code ? code : device_launched("search");
}
