/* Exact search, LANES vectors at once.
 *
 * Vectors are transposed as they are read, 2 * LANES of them at a time, so that a lane is a vector and a query's value
 * is broadcast: no sums across lanes, and a score is one chain of multiply-adds per CHUNK dimensions, in the same order
 * whatever shares its registers. Few queries do not pay for that: their vectors are read as they lie, scores come out
 * in another order with a bound on how far off they are, and only what may be among the best is scored again in the one
 * order that counts. The worst score that a query keeps goes into one compare, which drops nearly all. Each
 * part of the vectors has heaps of its own; their order is total, so merging them forgets how the parts were cut. */
#include "../nearest.h"
#include "rows.h"

enum {
    QUERIES = LANES == 16 ? 12 : 6, /* that share a load of the vectors */
    BLOCK = 2 * LANES,
    CHUNK = 128,          /* sums run over chunks, then over their sums: smaller errors */
    HEAP_BYTES = 1 << 22, /* of a part's heaps */
    GROUP_MOST = 4096,    /* queries that go through the vectors together */
    MERGED = 16,          /* queries of a task that merges */
    SIFTED = 2            /* queries up to which vectors are sifted instead of transposed */
};

struct job {
    const struct search_params *p;
    const float *vectors, *queries; /* of the group */
    int64_t *index;
    float *score;
    int64_t blocks, group;
    int parts;
    struct candidate *heap; /* [parts][group][k] */
    int *filled;            /* [parts][group] */
    vf *packed;             /* [parts][row] */
    int64_t row;
};

/* Transposes vectors v .. v + BLOCK - 1 into to [D][2]; what is behind the last repeats it. */
static void pack(const struct job *j, int64_t v, vf *to)
{
    const int64_t dims = j->p->dimensions, last = j->p->vectors - 1;
    for (int half = 0; half < 2; half++)
        for (int64_t d = 0; d < dims; d += LANES) {
            const int64_t left = dims - d < LANES ? dims - d : LANES;
            vf r[LANES];
            for (int l = 0; l < LANES; l++) {
                const int64_t from = v + half * LANES + l;
                const float *const x = j->vectors + (from < last ? from : last) * dims + d;
                __builtin_prefetch(x + BLOCK * dims); /* rows are short: the processor sees no stream to follow */
                r[l] = left == LANES ? vf_load(x) : vf_load_part(x, left);
            }
            vf_transpose(r);
            for (int l = 0; l < LANES; l++)
                to[(d + l) * 2 + half] = r[l];
        }
}

/* Adds a chunk of dimensions to the keys of n queries, a constant, and all vectors of a block. */
INLINE void chunk_keys(const vf *x, const float *q, int64_t dims, int64_t chunk, const int n, const bool l2,
                       vf key[][2])
{
    vf a[QUERIES] = {{0}}, b[QUERIES] = {{0}};
    for (int64_t d = 0; d < chunk; d++) {
        const vf left = x[2 * d], right = x[2 * d + 1];
#pragma GCC unroll 12
        for (int i = 0; i < n; i++) {
            const vf value = vf_set(q[i * dims + d]);
            if (l2) {
                const vf gap = left - value, other = right - value;
                a[i] -= gap * gap;
                b[i] -= other * other;
            } else {
                a[i] += left * value;
                b[i] += right * value;
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < n; i++) {
        key[i][0] += a[i];
        key[i][1] += b[i];
    }
}

INLINE void keys_of(const struct job *j, const vf *x, int64_t query, const int n, const bool l2, vf key[][2])
{
    const int64_t dims = j->p->dimensions;
    const float *const q = j->queries + query * dims;
    for (int i = 0; i < n; i++)
        key[i][0] = key[i][1] = vf_set(0);
    for (int64_t d = 0; d < dims; d += CHUNK)
        chunk_keys(x + 2 * d, q + d, dims, dims - d < CHUNK ? dims - d : CHUNK, n, l2, key);
}

/* Offers the vectors of one register, the first of which is v. */
static void offer(const struct search_params *p, struct candidate *heap, int *filled, vf key, uint32_t which, int64_t v)
{
    for (; which; which &= which - 1) {
        const int l = __builtin_ctz(which);
        nearest_offer(heap, filled, p->k, (struct candidate){key[l], (int32_t)(v + l)});
    }
}

/* The best of n queries, a constant, so far; `query` is their first. */
INLINE void tile(const struct job *j, int part, const vf *x, int64_t v, int64_t query, const int n, const bool l2)
{
    const struct search_params *const p = j->p;
    const int64_t left = p->vectors - v;
    const uint64_t there = left < BLOCK ? (UINT64_C(1) << left) - 1 : (UINT64_C(1) << BLOCK) - 1;
    vf key[QUERIES][2];
    keys_of(j, x, query, n, l2, key);
    for (int i = 0; i < n; i++) {
        const int64_t at = part * j->group + query + i;
        struct candidate *const heap = j->heap + at * p->k;
        int *const filled = j->filled + at;
        const bool full = *filled == p->k;
        /* indices rise, so what equals the worst of a full heap comes too late */
        const vf least = vf_set(full ? heap[0].key : -INFINITY);
        for (int half = 0; half < 2; half++) {
            const vmask pass = full ? vf_less(least, key[i][half]) : vf_at_least(key[i][half], least);
            const uint32_t which = vmask_bits(pass) & (uint32_t)(there >> half * LANES);
            if (__builtin_expect(which != 0, 0))
                offer(p, heap, filled, key[i][half], which & ((1U << LANES) - 1), v + half * LANES);
        }
    }
}

/* ---- few queries ---- */

/* What tile() has in a lane, bit for bit. */
INLINE float key_alone(const float *x, const float *q, int64_t dims, const bool l2)
{
    float key = 0;
    for (int64_t from = 0; from < dims; from += CHUNK) {
        const int64_t end = dims - from < CHUNK ? dims : from + CHUNK;
        float a = 0;
        for (int64_t d = from; d < end; d++) {
            const float gap = x[d] - q[d];
            a = l2 ? __builtin_fmaf(-gap, gap, a) : __builtin_fmaf(x[d], q[d], a); /* one rounding, as in a lane */
        }
        key += a;
    }
    return key;
}

/* Sums of LANES vectors' lanes: lane l of the result is the sum of r[l]. */
INLINE vf sums_of(vf r[LANES])
{
    vf sum = vf_set(0);
    vf_transpose(r);
    for (int l = 0; l < LANES; l++)
        sum += r[l];
    return sum;
}

/* Keys of LANES vectors, nearly, and how much larger the true ones may be: either sum of D products in f32 is within
 * D * 2^-24 of the products' magnitudes. A NaN in key or bound says nothing. */
INLINE vf keys_nearly(const struct job *j, int64_t v, const float *q, const bool l2, vf *bound)
{
    const int64_t dims = j->p->dimensions, last = j->p->vectors - 1;
    vf key[LANES], size[LANES];
    for (int l = 0; l < LANES; l++) {
        const float *const x = j->vectors + (v + l < last ? v + l : last) * dims;
        vf a = vf_set(0), m = vf_set(0);
        for (int64_t d = 0; d < dims; d += LANES) {
            const int64_t left = dims - d < LANES ? dims - d : LANES;
            const vf u = left == LANES ? vf_load(x + d) : vf_load_part(x + d, left);
            const vf w = left == LANES ? vf_load(q + d) : vf_load_part(q + d, left);
            __builtin_prefetch(x + d + BLOCK * dims);
            const vf product = l2 ? (u - w) * (u - w) : u * w;
            a += product;
            m += vf_abs(product);
        }
        key[l] = l2 ? -a : a;
        size[l] = m;
    }
    *bound = sums_of(size) * vf_set((float)dims * 1.4e-7F) + vf_set(1e-40F);
    return sums_of(key);
}

INLINE void sift(const struct job *j, int part, int64_t v, int64_t query, const bool l2)
{
    const struct search_params *const p = j->p;
    const int64_t dims = p->dimensions, at = part * j->group + query;
    const float *const q = j->queries + query * dims;
    struct candidate *const heap = j->heap + at * p->k;
    int *const filled = j->filled + at;
    for (int half = 0; half < 2; half++) {
        const int64_t from = v + half * LANES, left = p->vectors - from;
        const uint32_t there = left >= LANES ? (uint32_t)((UINT64_C(1) << LANES) - 1)
                               : left > 0    ? (UINT32_C(1) << left) - 1
                                             : 0;
        vf bound;
        const vf key = keys_nearly(j, from, q, l2, &bound);
        const vf least = vf_set(*filled == p->k ? heap[0].key : -INFINITY);
        for (uint32_t which = ~vmask_bits(vf_less(key + bound, least)) & there; which; which &= which - 1) {
            const int64_t i = from + __builtin_ctz(which);
            const float exact = key_alone(j->vectors + i * dims, q, dims, l2);
            if (!isnan(exact))
                nearest_offer(heap, filled, p->k, (struct candidate){exact, (int32_t)i});
        }
    }
}

INLINE void part_of(const struct job *j, int part, const bool l2)
{
    vf *const x = j->packed + part * j->row;
    const int64_t end = j->blocks * (part + 1) / j->parts;
    for (int64_t block = j->blocks * part / j->parts; block < end; block++) {
        int64_t q = 0;
        if (j->group <= SIFTED) {
            for (; q < j->group; q++)
                sift(j, part, block * BLOCK, q, l2);
            continue;
        }
        pack(j, block * BLOCK, x);
        for (; q + QUERIES <= j->group; q += QUERIES)
            tile(j, part, x, block * BLOCK, q, QUERIES, l2);
        for (; q + 3 <= j->group; q += 3)
            tile(j, part, x, block * BLOCK, q, 3, l2);
        for (; q < j->group; q++)
            tile(j, part, x, block * BLOCK, q, 1, l2);
    }
}

static int run_part(void *context, int64_t part)
{
    const struct job *const j = context;
    memset(j->filled + part * j->group, 0, (size_t)j->group * sizeof *j->filled);
    if (j->p->measure == SEARCH_L2)
        part_of(j, (int)part, true);
    else
        part_of(j, (int)part, false);
    return STATUS_OK;
}

static int merge(void *context, int64_t task)
{
    const struct job *const j = context;
    const int k = j->p->k;
    for (int64_t q = task * MERGED; q < j->group && q < (task + 1) * MERGED; q++) {
        struct candidate *const heap = j->heap + q * k;
        int n = j->filled[q];
        for (int part = 1; part < j->parts; part++) {
            const int64_t from = part * j->group + q;
            for (int i = 0; i < j->filled[from]; i++)
                nearest_offer(heap, &n, k, j->heap[from * k + i]);
        }
        nearest_write(heap, n, j->p, j->index + q * k, j->score + q * k);
    }
    return STATUS_OK;
}

int SIMD(search)(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
                 int64_t *index, float *score)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t fit = HEAP_BYTES / ((int64_t)sizeof(struct candidate) * p->k);
    const int64_t most = fit < GROUP_MOST ? fit : GROUP_MOST, group = p->queries < most ? p->queries : most;
    const int64_t blocks = (p->vectors + BLOCK - 1) / BLOCK, threads = exec_threads(ex);
    const int64_t wanted = threads == 1 ? 1 : 2 * threads, parts = blocks > wanted ? wanted : blocks > 0 ? blocks : 1;
    struct job j = {.p = p, .vectors = vectors, .blocks = blocks, .parts = (int)parts};
    j.row = ((int64_t)p->dimensions + LANES - 1) / LANES * LANES * 2;
    int code = arena_alloc(arena, (size_t)(parts * group * p->k) * sizeof *j.heap, &j.heap);
    code = code ? code : arena_alloc(arena, (size_t)(parts * group) * sizeof *j.filled, &j.filled);
    code = code ? code : arena_alloc(arena, (size_t)(parts * j.row) * sizeof *j.packed, &j.packed);
    for (int64_t q = 0; q < p->queries && !code; q += group) {
        j.group = p->queries - q < group ? p->queries - q : group;
        j.queries = queries + q * p->dimensions;
        j.index = index + q * p->k;
        j.score = score + q * p->k;
        code = exec_parallel(ex, parts, run_part, &j);
        code = code ? code : exec_parallel(ex, (j.group + MERGED - 1) / MERGED, merge, &j);
    }
    arena_reset(arena, mark);
    return code;
}
