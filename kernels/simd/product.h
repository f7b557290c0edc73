/* product - matrix products behind convolutions, linear layers and attention: rows of activations times packed panels
 * of weights, and what follows in the same pass. Room-internal.
 *
 * A panel holds PANEL columns (of the last, what is left of them, rounded up to LANES): bias, then for each k the
 * weights of its columns. With a gated finish a panel is LANES values beside their LANES gates. A tile of PANEL_ROWS
 * rows of activations times one panel stays in registers for all k; activations are read where they lie.
 *
 * Measured beside oneDNN inside PyTorch 2.13 (MKL's sgemm), one thread of an EPYC with AVX-512: 105 to 112 GFLOP/s
 * here, 94 to 95 there, at 1344x2048x512, 2688x512x2048 and 10752x384x1728. */
#ifndef PRODUCT_H
#define PRODUCT_H
#include "../conv.h"
#include "exec.h"
#include "simd.h"

enum { PANEL_VECTORS = 2, PANEL = PANEL_VECTORS * LANES, PANEL_ROWS = LANES == 16 ? 12 : 6 };

enum finish { FINISH_NONE, FINISH_GELU, FINISH_GLU, FINISH_NORM_GLU };

struct product {
    /* Rows of activations: one for each position of items x height x width. */
    const float *x;
    int64_t items, height, width;
    int64_t x_item, x_row, x_step; /* floats */
    int64_t x_height, h_step;      /* row h's own is h_step*h, of x_height that there are */
    int segments;                  /* of each row: runs of `length` floats, in the order of k */
    int64_t length;
    struct segment {
        int64_t dh;     /* rows down from the position's own; outside x_height: zeros */
        int64_t offset; /* floats from the position, dh included */
    } segment[CONV_TAPS_MOST];
    const float *zeros; /* [length] */

    const float *panels;
    int64_t out; /* columns, those of gates included */
    enum finish finish;
    /* FINISH_NORM_GLU: (u - mean)*rstd*gain + shift first; gain and shift in the order of the panels, mean and rstd
     * side by side, one pair for each signal. */
    const float *gain, *shift, *norm;
    int64_t norm_item, norm_row, norm_step; /* floats */

    const float *scale; /* NULL: 1 */
    const float *add;   /* NULL: nothing */
    int64_t add_item, add_row, add_step;
    float *y;
    int64_t y_item, y_row, y_step;
    int64_t y_shift, y_limit; /* a position's columns begin y_shift floats further; only 0 to y_limit of a row exist */
};

static inline bool finish_gated(enum finish f)
{
    return f == FINISH_GLU || f == FINISH_NORM_GLU;
}

/* To whole cache lines: packed weights begin on one, and so may what follows them. */
static inline size_t packed_bytes(int64_t floats)
{
    return ((size_t)floats * sizeof(float) + 63) / 64 * 64;
}

/* Floats of the panels for k rows of weights and `out` columns; of one vector in their order. */
int64_t SIMD(panels_floats)(int64_t k, int64_t out, bool gated);
int64_t SIMD(panels_order_floats)(int64_t out, bool gated);

/* Weight of reduction index k and column n. */
typedef float (*panel_weight)(const void *context, int64_t k, int64_t n);
void SIMD(panels_pack)(int64_t k, int64_t out, bool gated, panel_weight weight, const void *context, const float *bias,
                       float *panels);
/* A vector [out] in the order of the panels. */
void SIMD(panels_order)(int64_t out, bool gated, const float *values, float *ordered);

/* All rows, on the exec's threads. */
int SIMD(product)(struct exec *ex, const struct product *p) MUST_USE;

/* Of one tile: out [PANEL_ROWS][vectors*LANES] = bias + rows times panel. row: of k floats each. */
void SIMD(product_tile)(const float *const row[PANEL_ROWS], int64_t k, const float *panel, int vectors, float *out);

#endif
