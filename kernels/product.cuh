/* product - matrix products behind convolutions on the device: rows of activations, which may overlap in memory, times
 * packed tiles of weights, and what follows in the same pass. Room-internal; the device's simd/product.h.
 *
 *   u[r][n] = bias[n] + sum over segments s, k < length of x[row r + offset of s + k] * w[s*length + k][n]
 *   v = u, GELU(u), u[n]*sigmoid(u[columns + n]) or the same of (u - mean)*rstd*gain + shift; y = v*scale + add
 *
 * Packed: tiles of `tile` columns (product_tile), the last filled up with zeros; of each the bias, then for each k of a
 * segment, filled up to whole steps of PRODUCT_STEP, the weights of its columns; for tensor cores of each step and
 * column the weights of its k, rounded, bfloat16 in 16 bits. A gated tile is tile/2 values and their gates. The host
 * packs; the caller copies the block to the device as it is.
 *
 *   determinism  an output is summed in one order, in f32 in chains of 128, whatever the other rows are */
#ifndef PRODUCT_CUH
#define PRODUCT_CUH
#include "conv.h"
#include "device.cuh"
#include "maps.h"

enum { PRODUCT_STEP = 16 };

enum product_finish { PRODUCT_NONE, PRODUCT_GELU, PRODUCT_GLU, PRODUCT_NORM_GLU };

struct device_segment {
    int64_t dh;     /* rows down from the position's own; outside x_height: zeros */
    int64_t offset; /* floats from the position, dh included */
};

struct device_product {
    /* Rows: one for each position of items x height x width. */
    const float *x;
    int64_t items, height, width;
    int64_t x_item, x_row, x_step; /* floats */
    int64_t x_height, h_step;      /* row h's own is h_step*h, of x_height that there are */
    int segments, length;          /* of each row: runs of `length` floats */
    struct device_segment segment[CONV_TAPS_MOST];

    const float *panels;
    int64_t out; /* columns, those of gates included */
    enum precision precision;
    enum product_finish finish;
    /* PRODUCT_NORM_GLU: in the order of the tiles; mean and rstd side by side, a pair for each signal. */
    const float *gain, *shift, *norm;
    int64_t norm_item, norm_row, norm_step; /* floats */

    const float *scale, *add; /* or NULL */
    int64_t add_item, add_row;
    float *y;
    int64_t y_item, y_row, y_step; /* add's positions lie y_step apart too */
    int64_t y_shift, y_limit;      /* a position's columns begin y_shift floats further; 0 to y_limit of a row exist */

    /* Products beside each other, of other runs and panels to other places; 0: one. */
    int64_t parts, x_part, panels_part, y_part; /* floats */

    int copy;  /* floats of x that lie together on as many: 1, 2 or 4; product_launch sets it */
    bool pair; /* columns of y and add lie on 8 bytes in pairs; product_launch sets it */
};

static inline bool product_gated(enum product_finish f)
{
    return f == PRODUCT_GLU || f == PRODUCT_NORM_GLU;
}

/* What is packed. */
struct product_shape {
    int64_t segments, length, out;
    bool gated;
    enum precision precision;
};

/* Columns of a tile: 16, 48 or 64; how many tiles. Floats of a vector in their order; of all. */
int64_t product_tile(int64_t out);
int64_t product_tiles(int64_t out, bool gated);
int64_t product_order_floats(int64_t out, bool gated);
int64_t product_floats(const struct product_shape *s);

/* Weight of k < segments*length and column n. */
typedef float (*product_weight)(const void *context, int64_t k, int64_t n);
void product_pack(const struct product_shape *s, product_weight weight, const void *context, const float *bias,
                  int64_t bias_period, float *panels);
/* A vector [out] in the order of the tiles. */
void product_order(int64_t out, bool gated, const float *values, float *ordered);

/* y, and add where there is one; the operation's own fields stay. */
void product_to_maps(struct device_product *p, const struct maps *y, const struct maps *add);

/* STATUS_SHAPE where there are more rows than one launch takes. */
int product_launch(struct exec *ex, const char *op, const struct device_product *p) MUST_USE;

/* Of a precision other than F32, from product_launch; STATUS_UNSUPPORTED where the device has none. */
int product_mma_launch(struct exec *ex, const char *op, dim3 grid, const struct device_product *p,
                       int64_t tiles) MUST_USE;

#endif
