/* conv2d - which products conv2d and its data gradient are on the device. Room-internal. */
#ifndef CONV2D_CUH
#define CONV2D_CUH
#include "conv2d.h"
#include "product.cuh"

/* Parts that the sums of a linear layer are cut into, of whole steps and equal length. */
int64_t conv2d_parts(const struct conv2d_params *p, enum conv2d_way way);

/* Products: the parts, or the phases of the data gradient, or one. The shape of each, and the floats of the panels
 * before its own. */
int64_t conv2d_products(const struct conv2d_params *p, enum conv2d_way way);
struct product_shape conv2d_shape(const struct conv2d_params *p, enum conv2d_way way, int64_t product);
int64_t conv2d_panels_before(const struct conv2d_params *p, enum conv2d_way way, int64_t product);

#endif
