/* winograd_pack - how winograd.h's weights lie: for each sum, at each point the panels (product.h; their bias rows are
 * zeros) of the transformed kernels; behind all of them the bias, as many floats as a panel's order has. Forward has
 * one sum, whose k are [phase][in]; the data gradient four, whose k are [out]. Room-internal. */
#ifndef WINOGRAD_PACK_H
#define WINOGRAD_PACK_H
#include "product.h"
#include "winograd.h"

static inline int64_t winograd_sums(enum conv2d_way way)
{
    return way == CONV2D_FORWARD ? 1 : PHASES;
}

static inline int64_t winograd_k(const struct conv2d_params *p, enum conv2d_way way)
{
    return way == CONV2D_FORWARD ? PHASES * p->in : p->out;
}

static inline int64_t winograd_columns(const struct conv2d_params *p, enum conv2d_way way)
{
    return way == CONV2D_FORWARD ? p->out : p->in;
}

/* Floats of a sum. */
static inline int64_t winograd_panels(const struct conv2d_params *p, enum conv2d_way way)
{
    return POINTS * SIMD(panels_floats)(winograd_k(p, way), winograd_columns(p, way), false);
}

/* Where the bias lies. */
static inline int64_t winograd_bias(const struct conv2d_params *p, enum conv2d_way way)
{
    return winograd_sums(way) * winograd_panels(p, way);
}

#endif
