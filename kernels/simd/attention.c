/* attention: the scores of QUERIES queries with all keys stay in the second cache; keys and values are packed as panels
 * once for each head, and both products are those of product.h. */
#include "../attention.h"

#include "network.h"
#include "product.h"
#include "rows.h"

#include <math.h>
#include <stdatomic.h>

enum { QUERIES = 4 * PANEL_ROWS };

struct heads {
    const struct attention_params *p;
    const struct tokens *q, *k, *v, *y;
    int64_t panels;       /* of keys */
    int64_t head_floats;  /* of the packed keys, or values, of a head */
    float *keys, *values; /* [heads][..], of one item */
    float *scores;        /* [threads][QUERIES][panels*PANEL] */
    int64_t item, blocks;
    atomic_int slot;
    atomic_llong next;
};

static int64_t key_panels(int64_t keys)
{
    return (keys + PANEL - 1) / PANEL;
}

/* Values are padded to whole vectors of d, and to a whole number of panels of keys; with the bias row of a panel. */
static int64_t value_floats(int64_t d, int64_t keys)
{
    return SIMD(panels_floats)(key_panels(keys) * PANEL, d, false);
}

static int64_t key_floats(int64_t d, int64_t keys)
{
    return key_panels(keys) * PANEL * (d + 1);
}

size_t SIMD(attention_work_bytes)(const struct exec *ex, const struct attention_params *p, int64_t keys)
{
    return arena_round((size_t)(p->heads * key_floats(p->width, keys)) * sizeof(float)) +
           arena_round((size_t)(p->heads * value_floats(p->width, keys)) * sizeof(float)) +
           arena_round((size_t)(exec_threads(ex) * QUERIES * key_panels(keys) * PANEL) * sizeof(float));
}

/* One panel of keys of one head, channel by channel, and the same tokens' values. */
static int pack_panel(void *context, int64_t i)
{
    const struct heads *const h = context;
    const int64_t d = h->p->width, head = i / h->panels, panel = i % h->panels, first = panel * PANEL;
    const int64_t tokens = h->k->count - first < PANEL ? h->k->count - first : PANEL;
    const float *const k = h->k->data + h->item * h->k->item_stride + first * h->k->stride + head * d;
    const float *const v = h->v->data + h->item * h->v->item_stride + first * h->v->stride + head * d;
    float *const keys = h->keys + head * key_floats(d, h->k->count) + panel * PANEL * (d + 1);
    memset(keys, 0, (size_t)(PANEL * (d + 1)) * sizeof *keys);
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t c = 0; c < d; c++)
            keys[(c + 1) * PANEL + t] = k[t * h->k->stride + c];
    float *values = h->values + head * value_floats(d, h->k->count);
    const int64_t rows = h->panels * PANEL;
    for (int64_t c = 0; c < d; c += PANEL) {
        const int64_t lanes = d - c > LANES ? PANEL : LANES, width = d - c < lanes ? d - c : lanes;
        if (panel == 0)
            memset(values, 0, (size_t)lanes * sizeof *values);
        float *to = values + (first + 1) * lanes;
        memset(to, 0, (size_t)(PANEL * lanes) * sizeof *to);
        for (int64_t t = 0; t < tokens; t++)
            memcpy(to + t * lanes, v + t * h->v->stride + c, (size_t)width * sizeof *to);
        values += (rows + 1) * lanes;
    }
    return STATUS_OK;
}

/* Scores to weights that sum to 1, but for the division, which y gets. Behind the last key: zeros. */
static float soften(float *score, int64_t keys, int64_t room, float factor)
{
    vf most = vf_set(-INFINITY), sum = vf_set(0);
    for (int64_t j = keys; j < room; j++)
        score[j] = -INFINITY;
    for (int64_t j = 0; j < room; j += LANES)
        most = vf_max(most, vf_load(score + j));
    float all[LANES];
    vf_store(all, most);
    for (int l = 1; l < LANES; l++)
        all[0] = all[l] > all[0] ? all[l] : all[0];
    for (int64_t j = 0; j < room; j += LANES) {
        const vf e = vf_exp((vf_load(score + j) - vf_set(all[0])) * factor);
        vf_store(score + j, e);
        sum += e;
    }
    for (int64_t j = keys; j < room; j++) /* 1e-38 so far */
        score[j] = 0;
    return vf_total(sum);
}

static void row_pointers(const float *base, int64_t stride, int64_t count, const float *row[PANEL_ROWS])
{
    for (int64_t r = 0; r < PANEL_ROWS; r++)
        row[r] = base + (r < count ? r : count - 1) * stride;
}

static void weigh(const struct heads *h, int64_t head, const float *scores, const float *sum, int64_t first,
                  int64_t count)
{
    const int64_t d = h->p->width, room = h->panels * PANEL;
    const float *panel = h->values + head * value_floats(d, h->k->count);
    for (int64_t c = 0; c < d; c += PANEL) {
        const int vectors = d - c > LANES ? PANEL_VECTORS : 1;
        for (int64_t r = 0; r < count; r += PANEL_ROWS) {
            float u[PANEL_ROWS * PANEL] __attribute__((aligned(64)));
            const float *row[PANEL_ROWS];
            row_pointers(scores + r * room, room, count - r, row);
            SIMD(product_tile)(row, room, panel, vectors, u);
            for (int64_t q = r; q < count && q < r + PANEL_ROWS; q++) {
                float *const y = h->y->data + h->item * h->y->item_stride + (first + q) * h->y->stride + head * d + c;
                for (int64_t l = 0; l < vectors * LANES && c + l < d; l++)
                    y[l] = u[(q - r) * vectors * LANES + l] / sum[q];
            }
        }
        panel += (room + 1) * vectors * LANES;
    }
}

static void some_queries(const struct heads *h, int64_t i, float *scores)
{
    const int64_t d = h->p->width, head = i / h->blocks, first = i % h->blocks * QUERIES;
    const int64_t count = h->q->count - first < QUERIES ? h->q->count - first : QUERIES;
    const int64_t room = h->panels * PANEL;
    const float *const q = h->q->data + h->item * h->q->item_stride + first * h->q->stride + head * d;
    const float *const keys = h->keys + head * key_floats(d, h->k->count);
    float sum[QUERIES];
    for (int64_t n = 0; n < h->panels; n++)
        for (int64_t r = 0; r < count; r += PANEL_ROWS) {
            float u[PANEL_ROWS * PANEL] __attribute__((aligned(64)));
            const float *row[PANEL_ROWS];
            row_pointers(q + r * h->q->stride, h->q->stride, count - r, row);
            SIMD(product_tile)(row, d, keys + n * PANEL * (d + 1), PANEL_VECTORS, u);
            for (int64_t t = 0; t < PANEL_ROWS && r + t < count; t++)
                memcpy(scores + (r + t) * room + n * PANEL, u + t * PANEL, PANEL * sizeof *u);
        }
    for (int64_t r = 0; r < count; r++)
        sum[r] = soften(scores + r * room, h->k->count, room, 1 / sqrtf((float)d));
    weigh(h, head, scores, sum, first, count);
}

/* Each thread has scores of its own, and takes blocks of queries as it comes. */
static int worker(void *context, int64_t unused)
{
    struct heads *const h = context;
    const int slot = atomic_fetch_add(&h->slot, 1);
    float *const scores = h->scores + slot * QUERIES * h->panels * PANEL;
    (void)unused;
    for (;;) {
        const int64_t i = atomic_fetch_add(&h->next, 1);
        if (i >= h->p->heads * h->blocks)
            return STATUS_OK;
        some_queries(h, i, scores);
    }
}

int SIMD(attention)(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                    const struct tokens *v, const struct tokens *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct heads h = {.p = p, .q = q, .k = k, .v = v, .y = y};
    h.panels = key_panels(k->count);
    h.blocks = (q->count + QUERIES - 1) / QUERIES;
    int code = arena_alloc(arena, (size_t)(p->heads * key_floats(p->width, k->count)) * sizeof(float), &h.keys);
    code = code ? code
                : arena_alloc(arena, (size_t)(p->heads * value_floats(p->width, k->count)) * sizeof(float), &h.values);
    code = code
               ? code
               : arena_alloc(arena, (size_t)(exec_threads(ex) * QUERIES * h.panels * PANEL) * sizeof(float), &h.scores);
    for (h.item = 0; h.item < q->items && !code; h.item++) {
        atomic_store(&h.slot, 0);
        atomic_store(&h.next, 0);
        code = exec_parallel(ex, p->heads * h.panels, pack_panel, &h);
        code = code ? code : exec_parallel(ex, exec_threads(ex), worker, &h);
    }
    arena_reset(arena, mark);
    return code;
}
