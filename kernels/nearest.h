/* nearest - the best k candidates of a query, as a heap with the worst on top. Room-internal; shared by the CPU's twins
 * of search. Keys rank from the largest on, ties by the lowest index: a total order, so what is kept does not depend on
 * the order of arrival. Keys are never NaN. */
#ifndef NEAREST_H
#define NEAREST_H
#include "search.h"

#include <math.h>
#include <stdbool.h>

struct candidate {
    float key; /* the dot product, or the distance negated */
    int32_t index;
};

static inline bool candidate_worse(struct candidate a, struct candidate b)
{
    return a.key < b.key || (a.key == b.key && a.index > b.index);
}

/* Puts c where the top was and lets it sink, in heap [n]. */
static inline void nearest_sink(struct candidate *heap, int n, struct candidate c)
{
    int at = 0;
    for (int child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && candidate_worse(heap[child + 1], heap[child]);
        if (!candidate_worse(heap[child], c))
            break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

/* Offers c to a heap of *n, of k at most. */
static inline void nearest_offer(struct candidate *heap, int *n, int k, struct candidate c)
{
    if (*n == k) {
        if (candidate_worse(heap[0], c))
            nearest_sink(heap, k, c);
        return;
    }
    int at = (*n)++;
    for (; at > 0 && candidate_worse(c, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = c;
}

/* Empties the heap into index [k] and score [k], best first. */
static inline void nearest_write(struct candidate *heap, int n, const struct search_params *p, int64_t *index,
                                 float *score)
{
    for (int i = n; i < p->k; i++) {
        index[i] = -1;
        score[i] = NAN;
    }
    while (n > 0) {
        const struct candidate worst = heap[0];
        n--;
        nearest_sink(heap, n, heap[n]);
        index[n] = worst.index;
        score[n] = p->measure == SEARCH_L2 ? 0 - worst.key : worst.key; /* no -0 */
    }
}

#endif
