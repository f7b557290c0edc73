/* winograd - products of F(4 x 4, 2 x 2) for the convolutions of conv2d.h with kernels of 4 x 4 and strides of 2: 25
 * multiplications for what takes 64. Room-internal.
 *
 * Every second row and every second column of such a kernel, of what it reads or of what its data gradient makes, is a
 * convolution of stride 1 with a kernel of 2 x 2: four of them, one for each phase. A tile of 4 x 4 outputs of one is
 *
 *   out = A' [ (G g G') . (B' d B) ] A
 *
 * of 5 x 5 inputs d, the product taken point by point: at each of 25 points, what remains is a matrix product over
 * channels. Forward adds the phases there; the data gradient has four results. The weight gradient is the same turned
 * round: G' [ sum over tiles of (B' d B) . (A e A') ] G of gradients e.
 *
 * Points of interpolation are 0, -1, 1/2, 2 and infinity: of those with small numbers the set with the smallest error,
 * 9e-7 of the result (relative L2, 256 channels) where 0, 1, -1, 2 gives 1.5e-6 and plain sums 2e-7.
 *
 *   source   Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016; Toom and Cook for the points */
#ifndef WINOGRAD_H
#define WINOGRAD_H
#include "../conv2d.h"
#include "exec.h"
#include "simd.h"

enum { TILE_OUT = 4, TILE_IN = 5, POINTS = TILE_IN * TILE_IN, PHASES = 4, WINOGRAD_CHANNELS = 256 };

/* Where these are faster than direct products. Packed weights are asked for before there are maps, so for both ways
 * the parameters alone decide; maps of less than a tile are slower so. */
bool SIMD(winograd_takes)(const struct conv2d_params *p);
bool SIMD(winograd_takes_weight)(const struct conv2d_params *p, const struct maps *y);

size_t SIMD(winograd_pack_bytes)(const struct conv2d_params *p, enum conv2d_way way);
int SIMD(winograd_pack)(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                        const float *bias, float *packed) MUST_USE;
int SIMD(winograd)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                   const struct maps *y) MUST_USE;
int SIMD(winograd_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                        const struct maps *x) MUST_USE;
int SIMD(winograd_weight)(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                          float *gradient) MUST_USE;
size_t SIMD(winograd_weight_bytes)(const struct conv2d_params *p, const struct maps *y);

/* ---- one axis ---- */

/* B' d */
INLINE void tile_in(vf d0, vf d1, vf d2, vf d3, vf d4, vf to[TILE_IN])
{
    to[0] = (d0 + d3) - (d1 + d2) * 1.5f;
    to[1] = (d1 + d3) - d2 * 2.5f;
    to[2] = (d3 - d2) - d1 * 2.0f;
    to[3] = (d2 - d1) * 0.5f + d3;
    to[4] = (d1 + d4) - (d2 + d3) * 1.5f;
}

/* A' m */
INLINE void tile_out(vf m0, vf m1, vf m2, vf m3, vf m4, vf to[TILE_OUT])
{
    to[0] = (m0 + m1) + (m2 + m3);
    to[1] = (m3 * 2.0f - m1) + m2 * 0.5f;
    to[2] = (m3 * 4.0f + m1) + m2 * 0.25f;
    to[3] = (m3 * 8.0f - m1) + (m2 * 0.125f + m4);
}

/* G g */
INLINE void tile_kernel(vf g0, vf g1, vf to[TILE_IN])
{
    to[0] = g0;
    to[1] = (g1 - g0) * (2.0f / 9);
    to[2] = (g0 * 2.0f + g1) * (-4.0f / 9);
    to[3] = (g1 * 2.0f + g0) * (1.0f / 9);
    to[4] = g1;
}

/* A e */
INLINE void tile_gradient(vf e0, vf e1, vf e2, vf e3, vf to[TILE_IN])
{
    const vf even = e2 * 4.0f + e0, half = e2 * 0.25f + e0;
    to[0] = e0;
    to[1] = (e0 + e2) - (e1 + e3);
    to[2] = (e3 * 0.125f + half) + e1 * 0.5f;
    to[3] = (e3 * 8.0f + even) + e1 * 2.0f;
    to[4] = e3;
}

/* G' s */
INLINE void tile_taps(vf s0, vf s1, vf s2, vf s3, vf s4, vf to[2])
{
    to[0] = (s3 - s1 * 2.0f - s2 * 8.0f) * (1.0f / 9) + s0;
    to[1] = (s1 + s3 - s2 * 2.0f) * (2.0f / 9) + s4;
}

/* ---- tiles of maps ---- */

/* Every `step`th row and column of maps, from a first one on that may lie outside. */
struct grid {
    const struct maps *maps;
    int64_t row, column, step;
};

/* Of tile (i, j): where its floats lie, `zeros` where there is no position; it begins 4i rows and 4j columns of the
 * grid further. */
INLINE void grid_places(const struct grid *g, int64_t item, int64_t i, int64_t j, int size, const float *zeros,
                        const float **at)
{
    const int64_t row = g->row + g->step * TILE_OUT * i, column = g->column + g->step * TILE_OUT * j;
    const int64_t across = g->step * g->maps->channels;
    for (int r = 0; r < size; r++) {
        const int64_t h = row + r * g->step;
        const bool there = (uint64_t)h < (uint64_t)g->maps->height;
        const float *from = there ? maps_row(g->maps, item, h) + column * g->maps->channels : zeros;
        for (int c = 0; c < size; c++, from += across) {
            const int64_t w = column + c * g->step;
            *at++ = there && (uint64_t)w < (uint64_t)g->maps->width ? from : zeros;
        }
    }
}

/* B' d B of a tile: point n goes to to + n*apart. `from`: the 25 places. */
void SIMD(tile_transform)(const float *const from[POINTS], int64_t channels, float *to, int64_t apart);

/* The grid that a phase of forward reads, and of the weight gradient. */
static inline struct grid grid_forward(const struct conv2d_params *p, const struct maps *x, int64_t phase)
{
    return (struct grid){x, phase / 2 - p->pad_h, phase % 2 - p->pad_w, 2};
}

static inline int64_t tiles_of(int64_t outputs)
{
    return (outputs + TILE_OUT - 1) / TILE_OUT;
}

#endif
