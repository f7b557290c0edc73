/* What each case asks of arithmetic and of memory. */
#include "network_cases.h"

static double margins_floats(const struct network *n)
{
    return (double)(n->x.height * (MAPS_BEFORE + MAPS_AFTER) * n->x.channels);
}

double network_flops(const struct network *n)
{
    const struct network_case *const c = n->c;
    const double positions = (double)(n->y.height * n->y.width), in = (double)(n->x.height * n->x.width * c->channels);
    const double h = (double)network_dconv.hidden, wide = FIRST;
    switch (c->kind) {
    case CONV:
        return 2 * positions * (double)(c->conv.in * c->conv.out * c->conv.kernel_h * c->conv.kernel_w);
    case TRANSPOSE: /* two positions of x reach each of y */
        return 2 * positions * 2 * SECOND * FIRST;
    case DCONV: /* two products; five to each value for a norm; the sum */
        return positions * (2 * 3 * wide * h + 2 * 2 * wide * h + 5 * (h + 2 * wide) + 3 * wide);
    case LAYER:
    case GROUP: /* mean, variance, and what is made with them */
        return 8 * in;
    case MOMENTS:
        return 4 * in;
    case ATTENTION: /* two products; of each score maximum, difference, exponential and sum as one each */
        return positions * positions * HEADS * (4.0 * (double)network_heads.width + 4);
    case MARGINS: /* what is only moved counts as one, like a sum */
        return margins_floats(n);
    case MIRROR:
    case ADD_MAPS:
    case ADD_PLANAR:
    case COLUMN_SUMS:
        return positions * (double)c->out_channels;
    case ACTIVATE: /* a norm, and four of the activation; back, as much again for slope and sums */
        return 12 * in;
    case ACTIVATE_GRADIENT:
        return 24 * in;
    case LATENT: /* of each of x, functions counted as one */
    case LATENT_GRADIENT:
    case RECONSTRUCTION:
        return 5 * in;
    case ADAMW:
        return 16 * in;
    case CONV2D_PACKS:
        return (double)conv2d_weights(&network_conv2d);
    case CONV2D_FORTH:
    case CONV2D_WEIGHTS:
        return 2 * positions * (double)conv2d_weights(&network_conv2d);
    case CONV2D_BACK: /* of each position that it reads */
        return 2 * (double)(n->x.height * n->x.width) * (double)conv2d_weights(&network_conv2d);
    default:
        return 2 * positions * (double)c->out_channels;
    }
}

double network_bytes(const struct network *n)
{
    const double in = (double)(n->x.height * n->x.width * n->x.channels);
    const double out = network_packs(n->c) ? (double)(n->y.height * n->y.width * n->y.channels)
                                           : (double)network_result_bytes(n) / (double)sizeof(float);
    const bool sum = n->c->kind == ADD_MAPS || n->c->kind == ADD_PLANAR || /* y is read too, or as much beside it */
                     n->c->kind == RECONSTRUCTION || n->c->kind == ACTIVATE_GRADIENT;
    if (n->c->kind == MARGINS)
        return (double)sizeof(float) * margins_floats(n);
    if (n->c->kind == LATENT_GRADIENT) /* of z beside that of h */
        return (double)sizeof(float) * (in + out + out / 2);
    if (n->c->kind == ADAMW) /* five blocks, of which all but the gradients are written */
        return (double)sizeof(float) * 9 * in;
    if (n->c->kind == CONV2D_PACKS)
        return (double)sizeof(float) * (double)conv2d_weights(&network_conv2d) + (double)n->packed_bytes;
    return (double)sizeof(float) * (in + (sum ? 2 : 1) * out) + (double)n->packed_bytes;
}
