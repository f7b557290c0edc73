#include "product.h"

#include "network.h"

enum { CHUNK_MOST = 384 }; /* rows that one thread takes at once */

static int64_t columns_of(int64_t out, bool gated) /* of a panel: outputs that it finishes */
{
    return gated ? out / 2 : out;
}

/* Vectors of panel `at` of these columns. */
static int panel_vectors(int64_t columns, bool gated, int64_t at)
{
    return gated || columns - at * PANEL > LANES ? PANEL_VECTORS : 1;
}

static int64_t panel_count(int64_t columns, bool gated)
{
    const int64_t each = gated ? LANES : PANEL;
    return (columns + each - 1) / each;
}

int64_t SIMD(panels_order_floats)(int64_t out, bool gated)
{
    const int64_t columns = columns_of(out, gated), count = panel_count(columns, gated);
    return ((count - 1) * PANEL_VECTORS + panel_vectors(columns, gated, count - 1)) * LANES;
}

int64_t SIMD(panels_floats)(int64_t k, int64_t out, bool gated)
{
    return SIMD(panels_order_floats)(out, gated) * (k + 1);
}

/* Column of the weights that stands in lane `lane` of a panel; -1: none. */
static int64_t column_of(int64_t out, bool gated, int64_t panel, int64_t lane)
{
    const int64_t columns = columns_of(out, gated);
    const int64_t n = gated ? panel * LANES + lane % LANES : panel * PANEL + lane;
    return n >= columns ? -1 : gated && lane >= LANES ? n + columns : n;
}

void SIMD(panels_order)(int64_t out, bool gated, const float *values, float *ordered)
{
    const int64_t columns = columns_of(out, gated);
    for (int64_t p = 0; p < panel_count(columns, gated); p++)
        for (int64_t l = 0; l < panel_vectors(columns, gated, p) * LANES; l++) {
            const int64_t n = column_of(out, gated, p, l);
            *ordered++ = n < 0 || !values ? 0 : values[n];
        }
}

void SIMD(panels_pack)(int64_t k, int64_t out, bool gated, panel_weight weight, const void *context, const float *bias,
                       float *panels)
{
    const int64_t columns = columns_of(out, gated);
    for (int64_t p = 0; p < panel_count(columns, gated); p++) {
        const int64_t lanes = panel_vectors(columns, gated, p) * LANES;
        for (int64_t l = 0; l < lanes; l++) {
            const int64_t n = column_of(out, gated, p, l);
            panels[l] = n < 0 || !bias ? 0 : bias[n];
            for (int64_t i = 0; i < k; i++)
                panels[(i + 1) * lanes + l] = n < 0 ? 0 : weight(context, i, n);
        }
        panels += (k + 1) * lanes;
    }
}

enum { RUN = 128 }; /* of k that is summed in one chain: longer ones cost digits, 8 dB of a whole network at 2048 */

/* out = rows times weights over at most RUN of k, added to `begin` [vectors] of every row, or to out where that is
 * NULL. Rows begin at k `first`. */
#define TILE_RUN(name, vectors) \
    static __attribute__((noinline)) void name(const float *const row[PANEL_ROWS], int64_t first, int64_t end, \
                                               const float *weights, const float *begin, float *out) \
    { \
        vf acc[PANEL_ROWS][vectors]; \
        _Pragma("GCC unroll 12") for (int r = 0; r < PANEL_ROWS; r++) \
        { \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] = vf_set(0); \
        } \
        for (int64_t i = first; i < end; i++) { \
            vf b[vectors]; \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) b[v] = vf_load(weights + v * LANES); \
            weights += (vectors)*LANES; \
            _Pragma("GCC unroll 12") for (int r = 0; r < PANEL_ROWS; r++) \
            { \
                const vf a = vf_set(row[r][i]); \
                _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) acc[r][v] += a * b[v]; \
            } \
        } \
        _Pragma("GCC unroll 12") for (int r = 0; r < PANEL_ROWS; r++) \
        { \
            float *const to = out + r * (vectors)*LANES; \
            const float *const from = begin ? begin : to; \
            _Pragma("GCC unroll 2") for (int v = 0; v < (vectors); v++) \
                vf_store(to + v * LANES, acc[r][v] + vf_load(from + v * LANES)); \
        } \
    }

TILE_RUN(run_one, 1)
TILE_RUN(run_two, 2)

static void run(const float *const row[PANEL_ROWS], int64_t k, const float *weights, const float *begin, int vectors,
                float *out)
{
    for (int64_t first = 0; first < k; first += RUN) {
        const int64_t end = first + RUN < k ? first + RUN : k;
        if (vectors == 1)
            run_one(row, first, end, weights, first ? NULL : begin, out);
        else
            run_two(row, first, end, weights, first ? NULL : begin, out);
        weights += RUN * vectors * LANES;
    }
}

void SIMD(product_tile)(const float *const row[PANEL_ROWS], int64_t k, const float *panel, int vectors, float *out)
{
    run(row, k, panel + vectors * LANES, panel, vectors, out);
}

/* Where the rows of a chunk lie. */
struct place {
    const float *x;
    int64_t h;
    const float *norm;
    const float *add; /* of the row of y: y's offset counts from here too */
    float *y;
    int64_t at; /* floats from the row's first to this position's first, below 0 or above the limit at the ends */
};

static void place_rows(const struct product *p, int64_t first, int64_t count, struct place *to)
{
    int64_t w = first % p->width, h = first / p->width % p->height, b = first / p->width / p->height;
    for (int64_t r = 0; r < count; r++) {
        to[r] = (struct place){.x = p->x + b * p->x_item + h * p->x_row + w * p->x_step,
                               .h = h * p->h_step,
                               .y = p->y + b * p->y_item + h * p->y_row,
                               .at = w * p->y_step + p->y_shift};
        if (p->norm)
            to[r].norm = p->norm + b * p->norm_item + h * p->norm_row + w * p->norm_step;
        if (p->add) /* positions of add lie add_step apart, those of y y_step: the same, as both are packed */
            to[r].add = p->add + b * p->add_item + h * p->add_row;
        if (++w == p->width) {
            w = 0;
            if (++h == p->height) {
                h = 0;
                b++;
            }
        }
    }
    for (int64_t r = count; r % PANEL_ROWS; r++) /* a tile's missing rows repeat the last */
        to[r] = to[count - 1];
}

static void tile(const struct product *p, const struct place *place, const float *panel, int vectors, float *out)
{
    const float *weights = panel + vectors * LANES;
    for (int s = 0; s < p->segments; s++) {
        const float *row[PANEL_ROWS];
        for (int r = 0; r < PANEL_ROWS; r++) {
            const bool inside = (uint64_t)(place[r].h + p->segment[s].dh) < (uint64_t)p->x_height;
            row[r] = inside ? place[r].x + p->segment[s].offset : p->zeros;
        }
        run(row, p->length, weights, s ? NULL : panel, vectors, out);
        weights += p->length * vectors * LANES;
    }
}

/* Scale, add, store: the first `width` of a vector, columns n on. */
INLINE void put(const struct product *p, const struct place *to, int64_t n, vf v, int64_t width)
{
    const int64_t at = to->at + n;
    if (at < 0 || at + width > p->y_limit) { /* cut by an end of the row */
        float value[LANES];
        vf_store(value, v);
        for (int64_t i = 0; i < width; i++)
            if (at + i >= 0 && at + i < p->y_limit)
                to->y[at + i] = value[i] * (p->scale ? p->scale[n + i] : 1) + (p->add ? to->add[at + i] : 0);
        return;
    }
    if (width == LANES) {
        v = p->scale ? v * vf_load(p->scale + n) : v;
        v = p->add ? v + vf_load(to->add + at) : v;
        vf_store(to->y + at, v);
        return;
    }
    v = p->scale ? v * vf_load_part(p->scale + n, width) : v;
    v = p->add ? v + vf_load_part(to->add + at, width) : v;
    vf_store_part(to->y + at, v, width);
}

static void finish_gates(const struct product *p, const struct place *to, int64_t panel, const float *u,
                         int64_t columns)
{
    const int64_t n = panel * LANES, width = columns - n < LANES ? columns - n : LANES;
    vf value = vf_load(u), gate = vf_load(u + LANES);
    if (p->finish == FINISH_NORM_GLU) {
        const float *const gain = p->gain + panel * PANEL, *const shift = p->shift + panel * PANEL;
        const vf mean = vf_set(to->norm[0]), rstd = vf_set(to->norm[1]);
        value = (value - mean) * (rstd * vf_load(gain)) + vf_load(shift);
        gate = (gate - mean) * (rstd * vf_load(gain + LANES)) + vf_load(shift + LANES);
    }
    put(p, to, n, value * vf_sigmoid(gate), width);
}

static void finish_plain(const struct product *p, const struct place *to, int64_t panel, int vectors, const float *u)
{
    for (int v = 0; v < vectors; v++) {
        const int64_t n = panel * PANEL + v * LANES, width = p->out - n < LANES ? p->out - n : LANES;
        const vf value = vf_load(u + v * LANES);
        put(p, to, n, p->finish == FINISH_GELU ? vf_gelu(value) : value, width);
    }
}

struct product_loop {
    const struct product *p;
    int64_t rows, chunk;
};

/* All panels for a chunk of rows: its activations stay in the second cache, and each panel is read once for all of
 * them.
 */
static int product_chunk(void *context, int64_t i)
{
    const struct product_loop *const l = context;
    const struct product *const p = l->p;
    const bool gated = finish_gated(p->finish);
    const int64_t first = i * l->chunk, count = l->rows - first < l->chunk ? l->rows - first : l->chunk;
    const int64_t columns = columns_of(p->out, gated), k = p->segments * p->length;
    struct place place[CHUNK_MOST + PANEL_ROWS];
    float u[PANEL_ROWS * PANEL] __attribute__((aligned(64)));
    place_rows(p, first, count, place);
    const float *panel = p->panels;
    for (int64_t n = 0; n < panel_count(columns, gated); n++) {
        const int vectors = panel_vectors(columns, gated, n);
        for (int64_t r = 0; r < count; r += PANEL_ROWS) {
            tile(p, place + r, panel, vectors, u);
            for (int64_t q = 0; q < PANEL_ROWS && r + q < count; q++)
                if (gated)
                    finish_gates(p, place + r + q, n, u + q * PANEL, columns);
                else
                    finish_plain(p, place + r + q, n, vectors, u + q * vectors * LANES);
        }
        panel += (k + 1) * vectors * LANES;
    }
    return STATUS_OK;
}

int SIMD(product)(struct exec *ex, const struct product *p)
{
    enum { CACHE_FLOATS = 96 << 10 };
    struct product_loop l = {.p = p, .rows = p->items * p->height * p->width};
    l.chunk = CACHE_FLOATS / (p->segments * p->length) / PANEL_ROWS * PANEL_ROWS;
    l.chunk = l.chunk < 4 * PANEL_ROWS ? 4 * PANEL_ROWS : l.chunk > CHUNK_MOST ? CHUNK_MOST : l.chunk;
    /* Few rows: no thread shall be left with the last chunk alone. */
    const int64_t even = l.rows / (8 * exec_threads(ex)) / PANEL_ROWS * PANEL_ROWS;
    l.chunk = even < 4 * PANEL_ROWS ? 4 * PANEL_ROWS : even < l.chunk ? even : l.chunk;
    _Static_assert(CHUNK_MOST % PANEL_ROWS == 0, "chunks are whole tiles");
    return exec_parallel(ex, (l.rows + l.chunk - 1) / l.chunk, product_chunk, &l);
}
