/* Weights of winograd.h, transformed: a vector of columns at a time, which forward finds side by side and the data
 * gradient by turning a square of weights round. */
#include "winograd_pack.h"

enum {
    TAPS = 4,
    SLICE = 4 * LANES, /* of k that one thread packs at once */
    /* Measured: below, transforms cost what they save; above, transformed weights (six times as many) wait for memory
     * in the batches of a training. */
    CHANNELS_LEAST = 32,
    WEIGHTS_MOST = 128 * 256
};

struct transforming {
    const struct conv2d_params *p;
    enum conv2d_way way;
    const float *weight;
    float *packed;
    int64_t k, columns, vectors, slices;
};

bool SIMD(winograd_takes)(const struct conv2d_params *p)
{
    return p->kernel_h == 4 && p->kernel_w == 4 && p->stride_h == 2 && p->stride_w == 2 && p->in >= CHANNELS_LEAST &&
           p->out >= CHANNELS_LEAST && p->in <= WINOGRAD_CHANNELS && p->out <= WINOGRAD_CHANNELS &&
           p->in * p->out <= WEIGHTS_MOST;
}

bool SIMD(winograd_takes_weight)(const struct conv2d_params *p, const struct maps *y)
{
    return SIMD(winograd_takes)(p) && y->items > 0 && y->height >= TILE_OUT && y->width >= TILE_OUT;
}

size_t SIMD(winograd_pack_bytes)(const struct conv2d_params *p, enum conv2d_way way)
{
    return packed_bytes(winograd_bias(p, way) + SIMD(panels_order_floats)(winograd_columns(p, way), false));
}

/* Where the weights of channel 0, output 0 lie of tap (t, s) of a phase: of forward in the order of the inputs, of the
 * data gradient the other way round. */
static const float *tap_of(const struct transforming *m, int64_t phase, int64_t tap)
{
    const int64_t turned = m->way == CONV2D_FORWARD ? tap : TAPS - 1 - tap;
    const int64_t r = 2 * (turned / 2) + phase / 2, q = 2 * (turned % 2) + phase % 2;
    return m->weight + (r * m->p->kernel_w + q) * m->p->in * m->p->out;
}

/* G g G', each point `apart` from the one before. */
INLINE void transform_taps(const vf g[TAPS], float *to, int64_t apart)
{
    vf low[TILE_IN], high[TILE_IN], u[TILE_IN];
    tile_kernel(g[0], g[2], low);
    tile_kernel(g[1], g[3], high);
#pragma GCC unroll 5
    for (int r = 0; r < TILE_IN; r++) {
        tile_kernel(low[r], high[r], u);
#pragma GCC unroll 5
        for (int c = 0; c < TILE_IN; c++)
            vf_store(to + (r * TILE_IN + c) * apart, u[c]);
    }
}

/* Rows [k, end) of one phase, columns n on; `k` counts in the phase. */
static void forward_rows(const struct transforming *m, int64_t phase, int64_t k, int64_t end, int64_t n, float *to,
                         int64_t lanes, int64_t apart)
{
    const int64_t out = m->p->out, width = out - n < LANES ? out - n : LANES;
    const float *from[TAPS];
    for (int tap = 0; tap < TAPS; tap++)
        from[tap] = tap_of(m, phase, tap) + n;
    for (; k < end; k++, to += lanes) {
        vf g[TAPS];
        for (int tap = 0; tap < TAPS; tap++)
            g[tap] = width == LANES ? vf_load(from[tap] + k * out) : vf_load_part(from[tap] + k * out, width);
        transform_taps(g, to, apart);
    }
}

static void data_rows(const struct transforming *m, int64_t phase, int64_t k, int64_t end, int64_t n, float *to,
                      int64_t lanes, int64_t apart)
{
    const int64_t out = m->p->out, high = m->p->in - n < LANES ? m->p->in - n : LANES;
    for (; k < end; k += LANES) {
        const int64_t width = end - k < LANES ? end - k : LANES;
        vf square[TAPS][LANES];
        for (int tap = 0; tap < TAPS; tap++) {
            const float *const from = tap_of(m, phase, tap) + n * out + k;
            for (int64_t i = 0; i < LANES; i++)
                square[tap][i] = i < high ? vf_load_part(from + i * out, width) : vf_set(0);
            vf_transpose(square[tap]);
        }
        for (int64_t i = 0; i < width; i++, to += lanes)
            transform_taps((const vf[TAPS]){square[0][i], square[1][i], square[2][i], square[3][i]}, to, apart);
    }
}

/* A vector of columns and a slice of a phase's k. */
static int pack_slice(void *context, int64_t i)
{
    const struct transforming *const m = context;
    const int64_t each = m->way == CONV2D_FORWARD ? m->p->in : m->p->out; /* k of a phase */
    const int64_t n = i % m->vectors * LANES, k = i / m->vectors % m->slices * SLICE,
                  phase = i / m->vectors / m->slices;
    const int64_t end = k + SLICE < each ? k + SLICE : each, panel = n / PANEL * PANEL;
    const int64_t lanes = m->columns - panel > LANES ? PANEL : LANES;
    const int64_t apart = SIMD(panels_floats)(m->k, m->columns, false);
    float *const to = m->packed + panel * (m->k + 1) + n % PANEL;
    if (m->way == CONV2D_FORWARD) {
        for (int64_t point = 0; point < POINTS && phase == 0 && k == 0; point++)
            vf_store(to + point * apart, vf_set(0));
        forward_rows(m, phase, k, end, n, to + (1 + phase * each + k) * lanes, lanes, apart);
        return STATUS_OK;
    }
    float *const sum = to + phase * POINTS * apart;
    for (int64_t point = 0; point < POINTS && k == 0; point++)
        vf_store(sum + point * apart, vf_set(0));
    data_rows(m, phase, k, end, n, sum + (1 + k) * lanes, lanes, apart);
    return STATUS_OK;
}

int SIMD(winograd_pack)(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                        const float *bias, float *packed)
{
    struct transforming m = {p, way, weight, packed, winograd_k(p, way), winograd_columns(p, way), 0, 0};
    const int64_t each = way == CONV2D_FORWARD ? p->in : p->out, order = SIMD(panels_order_floats)(m.columns, false);
    m.vectors = order / LANES;
    m.slices = (each + SLICE - 1) / SLICE;
    for (int64_t n = 0; n < order; n++)
        packed[winograd_bias(p, way) + n] = bias && n < m.columns ? bias[n] : 0;
    return exec_parallel(ex, m.vectors * m.slices * PHASES, pack_slice, &m);
}
