#include "conv2d_narrow.h"

#include "../conv2d_phases.h"
#include "product.h"

/* A block of groups (conv2d_phases.h) that a thread makes at once, and how long products of a position may be. */
enum { ROWS = 8, COLUMNS = 64, TAPS_MOST = 2, PRODUCTS = 16 };

enum { REACH = COLUMNS + TAPS_MOST - 1, ROW = (REACH + PANEL_ROWS) * PRODUCTS }; /* a last tile may write further */

struct narrow {
    const struct conv2d_params *p;
    const struct maps *x, *y;
    const float *panels, *bias;
    int64_t order; /* floats of a position's products */
    int64_t high, wide, blocks_high, blocks_wide;
};

static int64_t products_of(const struct conv2d_params *p)
{
    return p->kernel_h * p->kernel_w * p->in;
}

bool SIMD(narrow_takes)(const struct conv2d_params *p)
{
    return products_of(p) <= PRODUCTS && p->kernel_h <= TAPS_MOST * p->stride_h &&
           p->kernel_w <= TAPS_MOST * p->stride_w && p->stride_w * p->in < LANES / 2 && p->out >= LANES;
}

static int64_t panels_of(const struct conv2d_params *p)
{
    return SIMD(panels_floats)(p->out, products_of(p), false);
}

size_t SIMD(narrow_pack_bytes)(const struct conv2d_params *p)
{
    return packed_bytes(panels_of(p) + p->in);
}

struct turned {
    const float *weight;
    int64_t out;
};

static float weight_of(const void *context, int64_t k, int64_t n)
{
    const struct turned *const t = context;
    return t->weight[n * t->out + k];
}

void SIMD(narrow_pack)(const struct conv2d_params *p, const float *weight, const float *bias, float *packed)
{
    const struct turned t = {weight, p->out};
    SIMD(panels_pack)(p->out, products_of(p), false, weight_of, &t, NULL, packed);
    for (int64_t c = 0; c < p->in; c++)
        packed[panels_of(p) + c] = bias ? bias[c] : 0;
}

/* Products of positions [first, first + REACH) of row i of y; zeros where there is none. */
static void row_products(const struct narrow *m, int64_t item, int64_t i, int64_t first, float *to)
{
    const int64_t begin = first < 0 ? 0 : first, left = first + REACH < m->y->width ? first + REACH : m->y->width;
    const int64_t end = i >= 0 && i < m->y->height && left > begin ? left : begin;
    const float *const from = maps_row(m->y, item, end > begin ? i : 0);
    for (int64_t j = begin; j < end; j += PANEL_ROWS) {
        const float *row[PANEL_ROWS];
        for (int64_t q = 0; q < PANEL_ROWS; q++) /* a tile's missing rows repeat the last */
            row[q] = from + (j + q < end ? j + q : end - 1) * m->p->out;
        SIMD(product_tile)(row, m->p->out, m->panels, m->order > LANES ? 2 : 1, to + (j - first) * m->order);
    }
    memset(to, 0, (size_t)((begin - first) * m->order) * sizeof *to);
    if (end < first + REACH)
        memset(to + (end - first) * m->order, 0, (size_t)((first + REACH - end) * m->order) * sizeof *to);
}

/* Row `row` of x from the products of its taps' rows: groups [first, end). products[t]: of the row that tap t takes,
 * from position first - 1 on. */
static void sum_row(const struct narrow *m, float *row, int64_t phase, const float *const products[TAPS_MOST],
                    int64_t first, int64_t end)
{
    const struct conv2d_params *const p = m->p;
    const int64_t taps = conv2d_taps(p->kernel_h, p->stride_h, phase),
                  run = p->stride_w * p->in; /* at most TAPS_MOST */
    const int64_t line = p->kernel_w * p->in, limit = m->x->width * p->in;
    for (int64_t n = 0; n < run; n++) {
        const int64_t shift = n - p->pad_w * p->in; /* group j's value n lies at j*run + shift */
        const float *from[TAPS_MOST * TAPS_MOST], bias = m->bias[n % p->in];
        int64_t lo = first, hi = end, terms = 0;
        while (lo < hi && lo * run + shift < 0)
            lo++;
        while (lo < hi && (hi - 1) * run + shift >= limit)
            hi--;
        for (int64_t t = 0; t < taps && t < TAPS_MOST; t++) {
            const float *const at = products[t] + (lo - first + 1) * m->order + (phase + t * p->stride_h) * line + n;
            from[terms++] = at;
            if (run + n < line)
                from[terms++] = at + run - m->order; /* the tap that takes the position before */
        }
        float *to = row + lo * run + shift;
        for (int64_t j = 0; j < (hi - lo) * m->order; j += m->order, to += run)
            if (terms == TAPS_MOST * TAPS_MOST)
                *to = ((from[0][j] + from[1][j]) + (from[2][j] + from[3][j])) + bias;
            else {
                float sum = bias;
                for (int64_t k = 0; k < terms; k++)
                    sum += from[k][j];
                *to = sum;
            }
    }
}

static int sum_block(void *context, int64_t i)
{
    const struct narrow *const m = context;
    const struct conv2d_params *const p = m->p;
    const int64_t item = i / m->blocks_wide / m->blocks_high;
    const int64_t top = i / m->blocks_wide % m->blocks_high * ROWS, first = i % m->blocks_wide * COLUMNS;
    const int64_t bottom = top + ROWS < m->high ? top + ROWS : m->high;
    const int64_t end = first + COLUMNS < m->wide ? first + COLUMNS : m->wide;
    float products[2][ROW] __attribute__((aligned(64)));
    row_products(m, item, top - 1, first - 1, products[(top + 1) % 2]);
    for (int64_t j = top; j < bottom; j++) {
        row_products(m, item, j, first - 1, products[j % 2]);
        const float *const of[TAPS_MOST] = {products[j % 2], products[(j + 1) % 2]};
        for (int64_t phase = 0; phase < p->stride_h; phase++) {
            const int64_t r = j * p->stride_h + phase - p->pad_h;
            if (r >= 0 && r < m->x->height)
                sum_row(m, maps_row(m->x, item, r), phase, of, first, end);
        }
    }
    return STATUS_OK;
}

int SIMD(narrow_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                      const struct maps *x)
{
    struct narrow m = {.p = p, .x = x, .y = y, .panels = packed, .bias = packed + panels_of(p)};
    m.order = SIMD(panels_order_floats)(products_of(p), false);
    m.high = (x->height - 1 + p->pad_h) / p->stride_h + 1;
    m.wide = conv2d_groups(p, x->width);
    m.blocks_high = (m.high + ROWS - 1) / ROWS;
    m.blocks_wide = (m.wide + COLUMNS - 1) / COLUMNS;
    return exec_parallel(ex, x->items * m.blocks_high * m.blocks_wide, sum_block, &m);
}
