/* conv2d_phases - the data gradient of a strided convolution as products: rows r of x with the same (r + pad_h) modulo
 * stride_h take the same taps. Of each such phase, group j of a row is the stride_w positions from j*stride_w - pad_w
 * on; they are made of positions j - taps_w + 1 to j of taps_h rows of y. Room-internal, for all twins but the scalar
 * one. */
#ifndef CONV2D_PHASES_H
#define CONV2D_PHASES_H
#include "conv2d.h"

struct conv2d_phase {
    int64_t taps;    /* rows of y that a row is made of */
    int64_t x_first; /* the first row of x, which lies stride_h from the next */
    int64_t y_first; /* the row of y that its tap 0 takes */
    int64_t rows;    /* of x; 0: none */
};

static inline int64_t conv2d_taps(int64_t kernel, int64_t stride, int64_t phase)
{
    return (kernel - phase + stride - 1) / stride; /* at least one: no stride is longer than its kernel */
}

/* Positions of y along the width that a group is made of, and groups that reach into a row of x. */
static inline int64_t conv2d_taps_w(const struct conv2d_params *p)
{
    return conv2d_taps(p->kernel_w, p->stride_w, 0);
}

static inline int64_t conv2d_groups(const struct conv2d_params *p, int64_t width)
{
    return (width - 1 + p->pad_w) / p->stride_w + 1;
}

static inline struct conv2d_phase conv2d_phase_of(const struct conv2d_params *p, int64_t phase, int64_t height)
{
    const int64_t y = phase >= p->pad_h ? 0 : (p->pad_h - phase + p->stride_h - 1) / p->stride_h;
    const int64_t x = y * p->stride_h + phase - p->pad_h;
    const struct conv2d_phase f = {conv2d_taps(p->kernel_h, p->stride_h, phase), x, y,
                                   x < height ? (height - 1 - x) / p->stride_h + 1 : 0};
    return f;
}

#endif
