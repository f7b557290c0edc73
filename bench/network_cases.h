/* network_cases - what a case of network.h is inside: its sizes, its parameters, its memory. Of these files alone. */
#ifndef NETWORK_CASES_H
#define NETWORK_CASES_H
#include "network.h"

enum {
    FIRST = 48,
    SECOND = 96,
    BANDS = 512,
    BINS = 2048,
    WIDTH = 512,
    INNER = 2048,
    HEADS = 8,
    TOKENS_PER_FRAME = 8,
    DIMS = 128,
    TRAINED = 32
};
enum { HOP = NETWORK_FRAME / TOKENS_PER_FRAME, MIRRORED_HOP = HOP + 4 /* 3 % more */, MIRRORED = 1536, STEMS = 4 };

enum kind {
    CONV,
    TRANSPOSE,
    DCONV,
    LAYER,
    GROUP,
    MOMENTS,
    ATTENTION,
    FROM_COMPLEX,
    TO_COMPLEX,
    MARGINS,
    MIRROR,
    STANDARDIZE,
    UNSTANDARDIZE,
    ADD_MAPS,
    ADD_PLANAR,
    CONV2D_PACKS,
    CONV2D_FORTH,
    CONV2D_BACK,
    CONV2D_WEIGHTS,
    COLUMN_SUMS, /* from here on training */
    ACTIVATE,
    ACTIVATE_GRADIENT,
    LATENT,
    LATENT_GRADIENT,
    RECONSTRUCTION,
    GRADIENT_NORM,
    ADAMW
};

/* Where the frames of a segment are: the rows of its maps, or so many tokens each. Of conv2d's y half of them. */
struct network_case {
    const char *name;
    enum kind kind;
    bool tokens;
    int64_t width, channels;         /* of x */
    int64_t out_width, out_channels; /* of y */
    struct conv_params conv;
};

struct network {
    struct exec *ex;
    const struct network_case *c;
    float *memory[4]; /* x, y, weights, packed (training: its state, and what it keeps): where the exec works */
    struct maps x, y;
    size_t packed_bytes;
};

/* Of the kinds that have one set of parameters. */
extern const struct conv2d_params network_conv2d;
extern const struct conv_transpose_params network_transpose;
extern const struct dconv_params network_dconv;
extern const struct attention_params network_heads;

bool network_packs(const struct network_case *c); /* the result is what is packed, or its gradient */

#endif
