/* Forward and data gradient. A thread takes a chunk of tiles: it transforms what they read, multiplies at each point,
 * and transforms the products back, all in memory of its own. */
#include "winograd.h"

#include "product.h"
#include "winograd_pack.h"

#include <stdatomic.h>

enum { LINE = 16 }; /* floats; rows and points lie one further apart than they are long, so that they share no set */

/* Convolutions of stride 1 with kernels of 2 x 2, summed over phases. */
struct sum {
    struct grid from[PHASES];
    int64_t phases;
    struct grid to;
    int64_t rows, columns; /* that `to` has */
    const float *panels;
};

struct chunks {
    struct sum sum[PHASES];
    int64_t sums;
    const float *bias;
    int64_t items, in, out; /* channels of one phase, and of `to` */
    int64_t chunk, each;    /* tiles of one; chunks of each sum */
    int64_t slot;           /* floats of a thread */
    float *slots;
    atomic_int slots_taken;
    atomic_llong next;
};

static int64_t rounded(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Channels [c, c + width) of a tile. Not inlined: 25 places that a loop keeps are more than there are registers. */
#define TRANSFORM(name, LOAD, STORE) \
    static __attribute__((noinline)) void name(const float *const from[POINTS], int64_t c, int64_t width, float *to, \
                                               int64_t apart) \
    { \
        vf t[TILE_IN][TILE_IN], d[TILE_IN]; \
        (void)width; \
        _Pragma("GCC unroll 5") for (int q = 0; q < TILE_IN; q++) \
        { \
            _Pragma("GCC unroll 5") for (int r = 0; r < TILE_IN; r++) d[r] = LOAD(from[r * TILE_IN + q] + c); \
            tile_in(d[0], d[1], d[2], d[3], d[4], d); \
            _Pragma("GCC unroll 5") for (int r = 0; r < TILE_IN; r++) t[r][q] = d[r]; \
        } \
        _Pragma("GCC unroll 5") for (int r = 0; r < TILE_IN; r++) \
        { \
            tile_in(t[r][0], t[r][1], t[r][2], t[r][3], t[r][4], d); \
            _Pragma("GCC unroll 5") for (int q = 0; q < TILE_IN; q++, to += apart) STORE(to, d[q]); \
        } \
    }

#define LOAD_PART(from) vf_load_part(from, width)
#define STORE_PART(to, v) vf_store_part(to, v, width)
TRANSFORM(transform_whole, vf_load, vf_store)
TRANSFORM(transform_part, LOAD_PART, STORE_PART)

void SIMD(tile_transform)(const float *const from[POINTS], int64_t channels, float *to, int64_t apart)
{
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES)
        transform_whole(from, c, LANES, to + c, apart);
    if (c < channels)
        transform_part(from, c, channels - c, to + c, apart);
}

/* Columns [n, n + width) of a tile: its products at `from`, point by point `apart`, and the bias become rows and
 * columns of `to` that there are. */
static void back_vector(const struct chunks *l, const struct sum *s, const int64_t at[3], int64_t n, const float *from,
                        int64_t apart)
{
    const int64_t width = l->out - n < LANES ? l->out - n : LANES;
    const vf bias = vf_load(l->bias + n);
    vf t[TILE_OUT][TILE_IN], o[TILE_OUT];
#pragma GCC unroll 5
    for (int c = 0; c < TILE_IN; c++) {
        vf m[TILE_IN];
#pragma GCC unroll 5
        for (int r = 0; r < TILE_IN; r++)
            m[r] = vf_load(from + (r * TILE_IN + c) * apart);
        tile_out(m[0], m[1], m[2], m[3], m[4], o);
#pragma GCC unroll 4
        for (int r = 0; r < TILE_OUT; r++)
            t[r][c] = o[r];
    }
    const int64_t row = TILE_OUT * at[1], column = TILE_OUT * at[2];
#pragma GCC unroll 4
    for (int r = 0; r < TILE_OUT; r++) {
        if (row + r >= s->rows)
            continue;
        float *const to = maps_row(s->to.maps, at[0], s->to.row + (row + r) * s->to.step) + n;
        tile_out(t[r][0], t[r][1], t[r][2], t[r][3], t[r][4], o);
#pragma GCC unroll 4
        for (int c = 0; c < TILE_OUT; c++) {
            float *const y = to + (s->to.column + (column + c) * s->to.step) * l->out;
            if (column + c >= s->columns)
                continue;
            if (width == LANES)
                vf_store(y, o[c] + bias);
            else
                vf_store_part(y, o[c] + bias, width);
        }
    }
}

/* Where tile t of a sum is: item, row and column of tiles. */
static void place_of(const struct sum *s, int64_t t, int64_t at[3])
{
    const int64_t high = tiles_of(s->rows), wide = tiles_of(s->columns);
    at[0] = t / wide / high;
    at[1] = t / wide % high;
    at[2] = t % wide;
}

/* Memory of a thread: zeros [in], transformed inputs [POINTS][chunk][row], products [POINTS][chunk][panels]. */
struct slot {
    int64_t row, in_apart, order, out_apart;
    float *zeros, *in, *out;
};

static struct slot slot_of(const struct chunks *l, float *memory)
{
    struct slot m = {.row = l->in * l->sum[0].phases + LINE, .order = SIMD(panels_order_floats)(l->out, false)};
    m.in_apart = rounded(l->chunk * m.row, LINE) + LINE;
    m.out_apart = l->chunk * m.order + LINE;
    m.zeros = memory;
    m.in = m.zeros + rounded(l->in, LINE);
    m.out = m.in + POINTS * m.in_apart;
    return m;
}

static int64_t slot_floats(const struct chunks *l)
{
    const struct slot m = slot_of(l, NULL);
    return rounded(l->in, LINE) + POINTS * (m.in_apart + m.out_apart);
}

static void multiply(const struct chunks *l, const struct sum *s, const struct slot *m, int64_t count)
{
    const int64_t k = l->in * s->phases, floats = SIMD(panels_floats)(k, l->out, false);
    for (int64_t point = 0; point < POINTS; point++) {
        const float *const in = m->in + point * m->in_apart, *panel = s->panels + point * floats;
        float *out = m->out + point * m->out_apart;
        for (int64_t n = 0; n < m->order; n += PANEL) {
            const int vectors = m->order - n > LANES ? PANEL_VECTORS : 1;
            for (int64_t r = 0; r < count; r += PANEL_ROWS) {
                const float *row[PANEL_ROWS];
                for (int64_t q = 0; q < PANEL_ROWS; q++) /* a block's missing rows repeat the last */
                    row[q] = in + (r + q < count ? r + q : count - 1) * m->row;
                SIMD(product_tile)(row, k, panel, vectors, out + r * m->order + n * PANEL_ROWS);
            }
            panel += (k + 1) * vectors * LANES;
        }
    }
}

static void do_chunk(const struct chunks *l, const struct sum *s, int64_t first, int64_t count, const struct slot *m)
{
    const float *from[POINTS];
    int64_t at[3];
    for (int64_t t = 0; t < count; t++) {
        place_of(s, first + t, at);
        for (int64_t f = 0; f < s->phases; f++) {
            grid_places(&s->from[f], at[0], at[1], at[2], TILE_IN, m->zeros, from);
            SIMD(tile_transform)(from, l->in, m->in + t * m->row + f * l->in, m->in_apart);
        }
    }
    multiply(l, s, m, count);
    for (int64_t t = 0; t < count; t++) {
        const int64_t block = t / PANEL_ROWS * PANEL_ROWS, r = t % PANEL_ROWS;
        place_of(s, first + t, at);
        for (int64_t n = 0; n < l->out; n += LANES) {
            const int64_t panel = n / PANEL * PANEL, lanes = m->order - panel > LANES ? PANEL : LANES;
            const float *const products = m->out + block * m->order + panel * PANEL_ROWS + r * lanes + n % PANEL;
            back_vector(l, s, at, n, products, m->out_apart);
        }
    }
}

static int64_t tiles_in(const struct chunks *l, const struct sum *s)
{
    return l->items * tiles_of(s->rows) * tiles_of(s->columns);
}

static int run_chunks(void *context, int64_t unused)
{
    struct chunks *const l = context;
    const int64_t own = atomic_fetch_add(&l->slots_taken, 1);
    const struct slot m = slot_of(l, l->slots + own * l->slot);
    (void)unused;
    memset(m.zeros, 0, (size_t)l->in * sizeof *m.zeros);
    for (;;) {
        const int64_t i = atomic_fetch_add(&l->next, 1);
        if (i >= l->sums * l->each)
            return STATUS_OK;
        const struct sum *const s = &l->sum[i % l->sums];
        const int64_t first = i / l->sums * l->chunk, left = tiles_in(l, s) - first;
        if (left > 0)
            do_chunk(l, s, first, left < l->chunk ? left : l->chunk, &m);
    }
}

/* On all threads: chunks as long as a thread's memory allows, and about as many for each thread. */
static int run(struct exec *ex, struct chunks *l)
{
    const int64_t threads = exec_threads(ex);
    const int64_t tile = POINTS * (l->in * l->sum[0].phases + LINE + SIMD(panels_order_floats)(l->out, false));
    int64_t tiles = 0;
    for (int64_t i = 0; i < l->sums; i++)
        tiles = tiles_in(l, &l->sum[i]) > tiles ? tiles_in(l, &l->sum[i]) : tiles;
    const int64_t most = (CONV2D_THREAD_BYTES / (int64_t)sizeof(float) / tile - 1) / PANEL_ROWS * PANEL_ROWS;
    const int64_t rounds = (tiles + threads * most - 1) / (threads * most);
    l->chunk = rounded((tiles + rounds * threads - 1) / (rounds * threads), PANEL_ROWS);
    l->each = (tiles + l->chunk - 1) / l->chunk;
    l->slot = slot_floats(l);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    int code = arena_alloc(arena, (size_t)(threads * l->slot) * sizeof(float), &l->slots);
    atomic_store(&l->slots_taken, 0);
    atomic_store(&l->next, 0);
    code = code ? code : exec_parallel(ex, threads, run_chunks, l);
    arena_reset(arena, mark);
    return code;
}

int SIMD(winograd)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                   const struct maps *y)
{
    struct chunks l = {
        .sums = 1, .bias = packed + winograd_bias(p, CONV2D_FORWARD), .items = y->items, .in = p->in, .out = p->out};
    l.sum[0] =
        (struct sum){.phases = PHASES, .to = {y, 0, 0, 1}, .rows = y->height, .columns = y->width, .panels = packed};
    for (int64_t f = 0; f < PHASES; f++)
        l.sum[0].from[f] = grid_forward(p, x, f);
    return run(ex, &l);
}

/* The first position of an axis of x that phase f makes, and the position of y that its tap 0 takes. */
static void first_of(int64_t f, int64_t pad, int64_t *x, int64_t *y)
{
    *y = f >= pad ? 0 : (pad - f + 1) / 2;
    *x = 2 * *y + f - pad;
}

static int64_t halves(int64_t length, int64_t first)
{
    return length > first ? (length - first + 1) / 2 : 0;
}

int SIMD(winograd_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                        const struct maps *x)
{
    struct chunks l = {
        .sums = PHASES, .bias = packed + winograd_bias(p, CONV2D_DATA), .items = y->items, .in = p->out, .out = p->in};
    for (int64_t f = 0; f < PHASES; f++) {
        struct sum *const s = &l.sum[f];
        *s = (struct sum){.phases = 1, .to = {x, 0, 0, 2}, .panels = packed + f * winograd_panels(p, CONV2D_DATA)};
        int64_t row, column;
        first_of(f / 2, p->pad_h, &s->to.row, &row);
        first_of(f % 2, p->pad_w, &s->to.column, &column);
        s->from[0] = (struct grid){y, row - 1, column - 1, 1}; /* tap 1 takes the position before */
        s->rows = halves(x->height, s->to.row);
        s->columns = halves(x->width, s->to.column);
    }
    return run(ex, &l);
}
