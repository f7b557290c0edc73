/* conv2d_narrow - the data gradient of a convolution of few inputs, of which a vector would hold few: at each position
 * of y the products with all taps, a vector or two, and then their sums at the positions of x. Room-internal. */
#ifndef CONV2D_NARROW_H
#define CONV2D_NARROW_H
#include "../conv2d.h"
#include "exec.h"
#include "simd.h"

/* Whether the packed weights of the data gradient are those of these functions. */
bool SIMD(narrow_takes)(const struct conv2d_params *p);
size_t SIMD(narrow_pack_bytes)(const struct conv2d_params *p);
void SIMD(narrow_pack)(const struct conv2d_params *p, const float *weight, const float *bias, float *packed);
int SIMD(narrow_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                      const struct maps *x) MUST_USE;

#endif
