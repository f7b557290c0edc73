#include "search.h"

#include "nearest.h"
#include "ops.h"

/* What the twins on vectors take, which is more than this one's. */
size_t search_work_bytes(const struct search_params *p, int threads)
{
    const size_t parts = 2 * (size_t)threads, each = (size_t)1 << 22;
    const size_t packed = (size_t)(p->dimensions + 16) * 32 * sizeof(float);
    return parts * (each + packed + 4096 * sizeof(int) + 4 * (size_t)ARENA_ALIGN);
}

static double score_of(const struct search_params *p, const float *x, const float *q)
{
    double sum = 0;
    for (int32_t d = 0; d < p->dimensions; d++) {
        const double gap = (double)x[d] - q[d];
        sum += p->measure == SEARCH_L2 ? gap * gap : (double)x[d] * q[d];
    }
    return sum;
}

int search_cpu(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
               int64_t *index, float *score)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct candidate *heap;
    const int code = arena_alloc(arena, (size_t)p->k * sizeof *heap, &heap);
    for (int64_t q = 0; q < p->queries && !code; q++) {
        int n = 0;
        for (int64_t v = 0; v < p->vectors; v++) {
            const float s = (float)score_of(p, vectors + v * p->dimensions, queries + q * p->dimensions);
            if (!isnan(s))
                nearest_offer(heap, &n, p->k, (struct candidate){p->measure == SEARCH_L2 ? -s : s, (int32_t)v});
        }
        nearest_write(heap, n, p, index + q * p->k, score + q * p->k);
    }
    arena_reset(arena, mark);
    return code;
}

int search(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries, int64_t *index,
           float *score)
{
    if (p->vectors < 0 || p->vectors > INT32_MAX || p->queries < 0 || p->queries > INT32_MAX)
        return fail(STATUS_ARGUMENT, "search: %lld vectors, %lld queries, allowed 0 to 2147483647",
                    (long long)p->vectors, (long long)p->queries);
    if (p->dimensions < 1 || p->dimensions > SEARCH_DIMENSIONS_MOST || p->k < 1 || p->k > SEARCH_K_MOST)
        return fail(STATUS_ARGUMENT, "search: %d dimensions, %d results, allowed 1 to %d and 1 to %d",
                    (int)p->dimensions, (int)p->k, (int)SEARCH_DIMENSIONS_MOST, (int)SEARCH_K_MOST);
    if (p->measure != SEARCH_DOT && p->measure != SEARCH_L2)
        return fail(STATUS_ARGUMENT, "search: no measure %d", (int)p->measure);
    if ((p->vectors > 0 && !vectors) || (p->queries > 0 && (!queries || !index || !score)))
        return fail(STATUS_ARGUMENT, "search: no buffer for vectors, queries or results");
    if (p->queries == 0)
        return STATUS_OK;
    return OPS_CALL(ex, search, ex, p, vectors, queries, index, score);
}
