/* The weight gradient of conv2d: for each weight the sum over all positions of an input and an output. A tile of
 * PANEL_ROWS inputs, side by side in memory, and PANEL outputs stays in registers for a block of positions. Blocks are
 * small enough for what they read to stay in the second cache while all tiles pass over it; how many parts are summed
 * apart follows from the shapes alone, so that threads change no bit. */
#include "../conv2d.h"
#include "product.h"
#include "rows.h"
#include "winograd.h"

#include <string.h>

enum {
    BLOCK = 192,      /* positions, of whole rows */
    BLOCK_ROWS = 192, /* of them at most */
    PART = 2048,      /* positions that are worth a part of their own */
    PARTS_MOST = 16,
    TASKS = 32 /* about so many, so that threads end together */
};

static const int64_t PARTS_FLOATS = 4 << 20; /* of all parts together */

struct sums {
    const struct conv2d_params *p;
    const struct maps *x, *y;
    int64_t run;  /* taps along the width: floats side by side */
    int64_t rows; /* of y, of all items */
    int64_t parts, slices;
    float *part; /* [parts][k][out] */
    float *gradient;
};

static int64_t k_of(const struct conv2d_params *p)
{
    return p->kernel_h * p->kernel_w * p->in;
}

static int64_t parts_of(const struct conv2d_params *p, const struct maps *y)
{
    const int64_t positions = y->items * y->height * y->width;
    int64_t parts = positions / PART;
    parts = parts < PARTS_FLOATS / conv2d_weights(p) ? parts : PARTS_FLOATS / conv2d_weights(p);
    return parts < 1 ? 1 : parts > PARTS_MOST ? PARTS_MOST : parts;
}

size_t SIMD(conv2d_work_bytes)(const struct conv2d_params *p, const struct maps *y)
{
    if (SIMD(winograd_takes_weight)(p, y))
        return SIMD(winograd_weight_bytes)(p, y);
    const int64_t parts = parts_of(p, y);
    return parts > 1 ? arena_round((size_t)(parts * conv2d_weights(p)) * sizeof(float)) : 0;
}

/* Rows of positions: where the inputs of the first tap of each begin, and its outputs. */
struct block {
    int64_t count, width, x_step, y_step;
    const float *x[BLOCK_ROWS], *y[BLOCK_ROWS];
};

/* to [high][out] += the sums of a tile over a block. offset, n: its first input and output; `part`: outputs of the last
 * vector that there are. */
#define TILE(name, high, vectors, LOAD, STORE) \
    static __attribute__((noinline)) void name(const struct block *b, int64_t offset, int64_t n, int64_t part, \
                                               float *to, int64_t out) \
    { \
        vf acc[high][vectors]; \
        (void)part; \
        _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
        { \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] = vf_set(0); \
        } \
        for (int64_t i = 0; i < b->count; i++) { \
            const float *x = b->x[i] + offset, *y = b->y[i] + n; \
            for (int64_t w = 0; w < b->width; w++, x += b->x_step, y += b->y_step) { \
                vf g[vectors]; \
                _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) g[v] = LOAD(y + v * LANES); \
                _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
                { \
                    const vf a = vf_set(x[r]); \
                    _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] += a * g[v]; \
                } \
            } \
        } \
        _Pragma("GCC unroll 12") for (int r = 0; r < (high); r++) \
        { \
            float *const row = to + r * out; \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) \
                STORE(row + v * LANES, LOAD(row + v * LANES) + acc[r][v]); \
        } \
    }

#define LOAD_PART(from) vf_load_part(from, part)
#define STORE_PART(to, v) vf_store_part(to, v, part)

enum { HIGH = PANEL_ROWS, LOW = PANEL_ROWS / 3 };
TILE(tile_high_two, HIGH, 2, vf_load, vf_store)
TILE(tile_low_two, LOW, 2, vf_load, vf_store)
TILE(tile_one_two, 1, 2, vf_load, vf_store)
TILE(tile_high_part, HIGH, 1, LOAD_PART, STORE_PART)
TILE(tile_low_part, LOW, 1, LOAD_PART, STORE_PART)
TILE(tile_one_part, 1, 1, LOAD_PART, STORE_PART)

/* Inputs [k, end) of a run with outputs n on: as few tiles as there can be. */
static void tiles(const struct block *b, int64_t k, int64_t end, int64_t n, int64_t out, float *to)
{
    const int64_t left = out - n;
    const bool two = left >= PANEL;
    const int64_t part = left < LANES ? left : LANES;
    for (int64_t high; k < end; k += high, to += high * out) {
        high = end - k >= HIGH ? HIGH : end - k >= LOW ? LOW : 1;
        if (high == HIGH)
            (two ? tile_high_two : tile_high_part)(b, k, n, part, to, out);
        else if (high == LOW)
            (two ? tile_low_two : tile_low_part)(b, k, n, part, to, out);
        else
            (two ? tile_one_two : tile_one_part)(b, k, n, part, to, out);
    }
}

/* Rows [first, end) of y and what tap r of the height gives them; rows outside x are left out. */
static void block_of(const struct sums *s, int64_t r, int64_t first, int64_t end, struct block *b)
{
    const struct conv2d_params *const p = s->p;
    *b = (struct block){.width = s->y->width, .x_step = p->stride_w * p->in, .y_step = p->out};
    for (int64_t i = first; i < end; i++) {
        const int64_t item = i / s->y->height, h = i % s->y->height, from = h * p->stride_h + r - p->pad_h;
        if (from < 0 || from >= s->x->height)
            continue;
        b->x[b->count] = maps_row(s->x, item, from) - p->pad_w * p->in;
        b->y[b->count++] = maps_row(s->y, item, h);
    }
}

/* Inputs [k, end) over the rows of a block: they may belong to several taps of the height. */
static void add_block(const struct sums *s, int64_t k, int64_t end, int64_t first, int64_t last, float *to)
{
    const int64_t out = s->p->out;
    struct block b;
    while (k < end) {
        const int64_t r = k / s->run, begin = k % s->run, stop = s->run - begin < end - k ? s->run : begin + end - k;
        block_of(s, r, first, last, &b);
        for (int64_t n = 0; n < out; n += out - n >= PANEL ? PANEL : LANES)
            tiles(&b, begin, stop, n, out, to + n);
        to += (stop - begin) * out;
        k += stop - begin;
    }
}

/* One slice of k for one part of the rows. */
static int sum_slice(void *context, int64_t i)
{
    const struct sums *const s = context;
    const int64_t part = i / s->slices, slice = i % s->slices, all = k_of(s->p);
    const int64_t k = slice * all / s->slices, end = (slice + 1) * all / s->slices;
    const int64_t first = part * s->rows / s->parts, last = (part + 1) * s->rows / s->parts;
    const int64_t each = BLOCK / s->y->width < 1 ? 1 : BLOCK / s->y->width;
    float *const to = s->part + (part * all + k) * s->p->out;
    memset(to, 0, (size_t)((end - k) * s->p->out) * sizeof *to);
    for (int64_t row = first; row < last; row += each)
        add_block(s, k, end, row, row + each < last ? row + each : last, to);
    return STATUS_OK;
}

static int join_slice(void *context, int64_t i)
{
    const struct sums *const s = context;
    const int64_t all = conv2d_weights(s->p), first = i * all / TASKS, end = (i + 1) * all / TASKS;
    for (int64_t n = first; n < end; n += LANES) {
        const int64_t width = end - n < LANES ? end - n : LANES;
        vf sum = vf_load_part(s->part + n, width);
        for (int64_t part = 1; part < s->parts; part++)
            sum += vf_load_part(s->part + part * all + n, width);
        vf_store_part(s->gradient + n, sum, width);
    }
    return STATUS_OK;
}

int SIMD(conv2d_weight)(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                        float *gradient) /* NOLINT(readability-non-const-parameter): the parts are joined there */
{
    if (SIMD(winograd_takes_weight)(p, y))
        return SIMD(winograd_weight)(ex, p, x, y, gradient);
    struct sums s = {.p = p,
                     .x = x,
                     .y = y,
                     .run = p->kernel_w * p->in,
                     .rows = y->items * y->height,
                     .parts = parts_of(p, y),
                     .part = gradient,
                     .gradient = gradient};
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    s.slices = TASKS / s.parts;
    s.slices = s.slices < k_of(p) / HIGH ? s.slices : k_of(p) / HIGH;
    s.slices = s.slices < 1 ? 1 : s.slices;
    int code = s.parts > 1 ? arena_alloc(arena, (size_t)(s.parts * conv2d_weights(p)) * sizeof(float), &s.part) : 0;
    code = code ? code : exec_parallel(ex, s.parts * s.slices, sum_slice, &s);
    if (!code && s.parts > 1)
        code = exec_parallel(ex, TASKS, join_slice, &s);
    arena_reset(arena, mark);
    return code;
}
