/* The weight gradient of winograd.h. A block of tiles is transformed, inputs and gradients; then a slice of weights is
 * summed over it, at each point a matrix product of what the tiles hold there, and after the last block transformed
 * back. Blocks and slices follow from the shapes alone, so that threads change no bit. */
#include "product.h"
#include "winograd.h"

#include <stdatomic.h>

enum {
    BLOCK_FLOATS = 2 << 20, /* of transformed tiles at most, and twice as many as of sums: both are read again */
    TILES = 8,              /* that one thread transforms at once */
    ROWS = 32,              /* of a slice: phases and inputs */
    COLUMNS = 2 * PANEL,    /* outputs */
    RUN = 128,              /* tiles that are summed in one chain */
    LINE = 16,              /* floats between rows, so that they share no set */
    SLICE = POINTS * ROWS * COLUMNS
};
_Static_assert(SLICE * sizeof(float) <= CONV2D_THREAD_BYTES, "a thread's sums lie in its memory");

struct weights {
    const struct conv2d_params *p;
    const struct maps *x, *y;
    float *gradient;
    int64_t wide, high, tiles; /* of an item, and all */
    int64_t block, blocks;     /* tiles of one */
    int64_t k, x_row, y_row;   /* floats of a tile at a point */
    int64_t across, slices;    /* along the outputs, and all */
    float *in, *out;           /* [POINTS][block][row] */
    float *sums;               /* [POINTS][ROWS][COLUMNS] of each slice, or of each thread where one block is all */
    int64_t first, count;      /* the block in work */
    atomic_int taken;
    atomic_llong next;
};

static struct weights weights_of(const struct conv2d_params *p, const struct maps *y)
{
    struct weights w = {.p = p, .y = y, .wide = tiles_of(y->width), .high = tiles_of(y->height), .k = PHASES * p->in};
    w.tiles = y->items * w.high * w.wide;
    w.x_row = w.k + LINE;
    w.y_row = (p->out + LANES - 1) / LANES * LANES + LINE;
    const int64_t sums = 2 * POINTS * w.k * p->out, floats = sums < BLOCK_FLOATS ? sums : BLOCK_FLOATS;
    w.blocks = (w.tiles * POINTS * (w.x_row + w.y_row) + floats - 1) / floats;
    w.blocks = w.blocks > 1 ? w.blocks : 1;
    w.block = (w.tiles + w.blocks - 1) / w.blocks;
    w.across = (p->out + COLUMNS - 1) / COLUMNS;
    w.slices = (w.k + ROWS - 1) / ROWS * w.across;
    return w;
}

static size_t block_bytes(const struct weights *w, int64_t row)
{
    return arena_round((size_t)(POINTS * (w->block * row + LINE)) * sizeof(float));
}

size_t SIMD(winograd_weight_bytes)(const struct conv2d_params *p, const struct maps *y)
{
    const struct weights w = weights_of(p, y);
    const size_t sums = w.blocks > 1 ? arena_round((size_t)(w.slices * SLICE) * sizeof(float)) : 0;
    return block_bytes(&w, w.x_row) + block_bytes(&w, w.y_row) + sums;
}

/* A e A' of a vector. */
static void gradient_vector(const float *const from[TILE_OUT * TILE_OUT], int64_t n, int64_t width, float *to,
                            int64_t apart)
{
    vf t[TILE_OUT][TILE_IN], e[TILE_OUT], u[TILE_IN];
#pragma GCC unroll 4
    for (int r = 0; r < TILE_OUT; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < TILE_OUT; c++) {
            const float *const at = from[r * TILE_OUT + c] + n;
            e[c] = width == LANES ? vf_load(at) : vf_load_part(at, width);
        }
        tile_gradient(e[0], e[1], e[2], e[3], t[r]);
    }
#pragma GCC unroll 5
    for (int c = 0; c < TILE_IN; c++) {
        tile_gradient(t[0][c], t[1][c], t[2][c], t[3][c], u);
#pragma GCC unroll 5
        for (int r = 0; r < TILE_IN; r++)
            vf_store(to + (r * TILE_IN + c) * apart, u[r]);
    }
}

/* TILES of the block, beginning with tile i*TILES of it. */
static int transform_tiles(void *context, int64_t i)
{
    const struct weights *const w = context;
    static const float zeros[WINOGRAD_CHANNELS];
    const struct grid gradients = {w->y, 0, 0, 1};
    for (int64_t t = i * TILES; t < (i + 1) * TILES && t < w->count; t++) {
        const int64_t tile = w->first + t, item = tile / w->wide / w->high;
        const int64_t row = tile / w->wide % w->high, column = tile % w->wide;
        const float *from[POINTS];
        for (int64_t f = 0; f < PHASES; f++) {
            const struct grid g = grid_forward(w->p, w->x, f);
            grid_places(&g, item, row, column, TILE_IN, zeros, from);
            SIMD(tile_transform)
            (from, w->p->in, w->in + t * w->x_row + f * w->p->in, w->block * w->x_row + LINE);
        }
        grid_places(&gradients, item, row, column, TILE_OUT, zeros, from);
        for (int64_t n = 0; n < w->p->out; n += LANES)
            gradient_vector(from, n, w->p->out - n < LANES ? w->p->out - n : LANES, w->out + t * w->y_row + n,
                            w->block * w->y_row + LINE);
    }
    return STATUS_OK;
}

/* to [high][COLUMNS] += over `count` tiles of inputs times gradients. */
#define TILE(name, high, vectors) \
    static __attribute__((noinline)) void name(const float *x, int64_t x_step, const float *y, int64_t y_step, \
                                               int64_t count, float *to) \
    { \
        vf acc[high][vectors]; \
        _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
        { \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] = vf_set(0); \
        } \
        for (int64_t i = 0; i < count; i++, x += x_step, y += y_step) { \
            vf g[vectors]; \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) g[v] = vf_load(y + v * LANES); \
            _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
            { \
                const vf a = vf_set(x[r]); \
                _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] += a * g[v]; \
            } \
        } \
        _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
        { \
            float *const row = to + r * COLUMNS; \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) \
                vf_store(row + v * LANES, vf_load(row + v * LANES) + acc[r][v]); \
        } \
    }

enum { HIGH = PANEL_ROWS, LOW = PANEL_ROWS / 3 * 2 };
TILE(high_two, HIGH, 2)
TILE(high_one, HIGH, 1)
TILE(low_two, LOW, 2)
TILE(low_one, LOW, 1)
TILE(one_two, 1, 2)
TILE(one_one, 1, 1)

/* One point of a slice: rows [k, k + rows) and columns [n, n + columns). */
static void add_point(const struct weights *w, const float *in, const float *out, int64_t rows, int64_t columns,
                      float *to)
{
    for (int64_t t = 0; t < w->count; t += RUN) {
        const int64_t count = w->count - t < RUN ? w->count - t : RUN;
        for (int64_t n = 0; n < columns; n += PANEL) {
            const bool two = columns - n > LANES;
            const float *const y = out + t * w->y_row + n;
            for (int64_t k = 0, high; k < rows; k += high) {
                const float *const x = in + t * w->x_row + k;
                high = rows - k >= HIGH ? HIGH : rows - k >= LOW ? LOW : 1;
                (high == HIGH  ? two ? high_two : high_one
                 : high == LOW ? two ? low_two : low_one
                 : two         ? one_two
                               : one_one)(x, w->x_row, y, w->y_row, count, to + k * COLUMNS + n);
            }
        }
    }
}

/* G' s G of the slice's sums into the gradient. */
static void taps_back(const struct weights *w, const float *sums, int64_t k, int64_t rows, int64_t n, int64_t columns)
{
    const int64_t in = w->p->in, out = w->p->out;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t phase = (k + i) / in, c = (k + i) % in;
        float *const to = w->gradient + ((phase / 2 * w->p->kernel_w + phase % 2) * in + c) * out + n;
        for (int64_t m = 0; m < columns; m += LANES) {
            const int64_t width = columns - m < LANES ? columns - m : LANES;
            const float *const s = sums + i * COLUMNS + m;
            vf t[2][TILE_IN], taps[2];
#pragma GCC unroll 5
            for (int q = 0; q < TILE_IN; q++) {
                vf v[TILE_IN];
#pragma GCC unroll 5
                for (int r = 0; r < TILE_IN; r++)
                    v[r] = vf_load(s + (r * TILE_IN + q) * (ROWS * COLUMNS));
                tile_taps(v[0], v[1], v[2], v[3], v[4], taps);
                t[0][q] = taps[0];
                t[1][q] = taps[1];
            }
#pragma GCC unroll 2
            for (int r = 0; r < 2; r++) {
                tile_taps(t[r][0], t[r][1], t[r][2], t[r][3], t[r][4], taps);
#pragma GCC unroll 2
                for (int q = 0; q < 2; q++) {
                    float *const at = to + (2 * r * w->p->kernel_w + 2 * q) * in * out + m;
                    if (width == LANES)
                        vf_store(at, taps[q]);
                    else
                        vf_store_part(at, taps[q], width);
                }
            }
        }
    }
}

static void sum_slice(const struct weights *w, int64_t slice, float *sums)
{
    const int64_t k = slice / w->across * ROWS, n = slice % w->across * COLUMNS;
    const int64_t rows = w->k - k < ROWS ? w->k - k : ROWS;
    const int64_t columns = w->p->out - n < COLUMNS ? w->p->out - n : COLUMNS;
    if (w->first == 0)
        memset(sums, 0, SLICE * sizeof *sums);
    for (int64_t point = 0; point < POINTS; point++)
        add_point(w, w->in + point * (w->block * w->x_row + LINE) + k,
                  w->out + point * (w->block * w->y_row + LINE) + n, rows, columns, sums + point * ROWS * COLUMNS);
    if (w->first + w->count == w->tiles)
        taps_back(w, sums, k, rows, n, columns);
}

static int sum_slices(void *context, int64_t unused)
{
    struct weights *const w = context;
    const int64_t own = atomic_fetch_add(&w->taken, 1);
    (void)unused;
    for (;;) {
        const int64_t slice = atomic_fetch_add(&w->next, 1);
        if (slice >= w->slices)
            return STATUS_OK;
        sum_slice(w, slice, w->sums + (w->blocks > 1 ? slice : own) * SLICE);
    }
}

int SIMD(winograd_weight)(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                          float *gradient)
{
    struct weights w = weights_of(p, y);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t each = w.blocks > 1 ? w.slices : exec_threads(ex);
    w.x = x;
    w.gradient = gradient;
    int code = arena_alloc(arena, block_bytes(&w, w.x_row), &w.in);
    code = code ? code : arena_alloc(arena, block_bytes(&w, w.y_row), &w.out);
    code = code ? code : arena_alloc(arena, (size_t)(each * SLICE) * sizeof(float), &w.sums);
    for (; w.first < w.tiles && !code; w.first += w.count) {
        w.count = w.tiles - w.first < w.block ? w.tiles - w.first : w.block;
        atomic_store(&w.taken, 0);
        atomic_store(&w.next, 0);
        code = exec_parallel(ex, (w.count + TILES - 1) / TILES, transform_tiles, &w);
        code = code ? code : exec_parallel(ex, exec_threads(ex), sum_slices, &w);
    }
    arena_reset(arena, mark);
    return code;
}
