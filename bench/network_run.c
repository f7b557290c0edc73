/* Each case as a call of its row. */
#include "network_cases.h"

static const struct activate_params layer = {8, ACTIVATE_SILU, 0, 1e-5F, 0.1F, 0};

/* q, k and v are parts of one product's rows. */
static int run_attention(struct network *n)
{
    struct tokens part[3];
    for (int i = 0; i < 3; i++)
        part[i] = (struct tokens){n->x.data + i * WIDTH, 1, n->x.width, n->x.item_stride, 3 * WIDTH};
    const struct tokens y = {n->y.data, 1, n->y.width, n->y.item_stride, WIDTH};
    return attention(n->ex, &network_heads, &part[0], &part[1], &part[2], &y);
}

/* Of a row of training: its gradients are those of what it has. */
static int run_training(struct network *n)
{
    struct step_state *const state = (struct step_state *)n->memory[3];
    const float *const w = n->memory[2];
    float *const kept = n->memory[3] + sizeof *state / sizeof(float);
    const int64_t values = n->x.height * n->x.width * n->x.channels;
    const struct activate_norm norm = {w, w + FIRST, kept};
    const struct latent_params point = {n->x.width, DIMS, 0, true};
    const struct reconstruction_params squares = {0};
    const struct adamw_blocks blocks = {n->memory[1],      n->memory[0], kept, kept + values,
                                        kept + 2 * values, values,       NULL, 0};
    switch (n->c->kind) {
    case COLUMN_SUMS:
        return column_sums(n->ex, &n->x, n->memory[1]);
    case ACTIVATE:
        return activate(n->ex, &layer, state, &norm, &n->x, &n->y);
    case ACTIVATE_GRADIENT: /* with any values as statistics */
        return activate_gradient(n->ex, &layer, state, &(struct activate_norm){w, w + FIRST, n->memory[2]}, &n->x,
                                 &n->x, &n->y, kept, kept + FIRST);
    case LATENT:
        return latent(n->ex, &point, state, n->memory[0], n->memory[1], kept);
    case LATENT_GRADIENT:
        return latent_gradient(n->ex, &point, state, n->memory[0], w, w, n->memory[1]);
    case RECONSTRUCTION:
        return reconstruction(n->ex, &squares, state, &n->y, &n->x, &n->y);
    case GRADIENT_NORM:
        return gradient_norm(n->ex, (struct step_state *)n->memory[1], n->memory[0], values);
    default:
        return adamw(n->ex, state, &blocks);
    }
}

int network_run(struct network *n)
{
    static const struct complex_maps_params spectra = {BINS + 1, 0, 0, 1, 0};
    const float *const w = n->memory[2], *const packed = n->memory[3];
    switch (n->c->kind) {
    case CONV:
        return conv(n->ex, &n->c->conv, packed, &n->x, NULL, NULL, &n->y);
    case TRANSPOSE:
        return conv_transpose(n->ex, &network_transpose, packed, &n->x, NULL, &n->y);
    case DCONV:
        return dconv(n->ex, &network_dconv, packed, &n->x);
    case LAYER:
        return layer_norm(n->ex, w, w + WIDTH, NULL, &n->x, &n->y);
    case GROUP:
        return group_norm(n->ex, w, w + WIDTH, &n->x, NULL, &n->y);
    case MOMENTS:
        return moments(n->ex, &n->x, n->memory[1]);
    case ATTENTION:
        return run_attention(n);
    case FROM_COMPLEX:
        return maps_from_complex(n->ex, &spectra, n->memory[0], &n->y);
    case TO_COMPLEX:
        return complex_from_maps(n->ex, &spectra, &n->x, n->memory[1]);
    case MARGINS:
        return clear_margins(n->ex, &n->x);
    case MIRROR:
        return mirror(n->ex, MIRRORED, &n->x, n->y.width, n->memory[1]);
    case STANDARDIZE:
        return standardize(n->ex, w, 1e-5F, &n->x, &n->y);
    case UNSTANDARDIZE:
        return unstandardize(n->ex, w, &n->x, &n->y);
    case ADD_MAPS:
        return add_maps(n->ex, &n->x, &n->y, &n->y);
    case ADD_PLANAR: /* what x holds, taken as planar signals */
        return add_planar(n->ex, n->memory[0], n->y.width, &n->y, &n->y);
    case CONV2D_PACKS:
        return conv2d_pack(n->ex, &network_conv2d, CONV2D_FORWARD, w, w, n->memory[3]);
    case CONV2D_FORTH:
        return conv2d(n->ex, &network_conv2d, packed, &n->x, &n->y);
    case CONV2D_BACK:
        return conv2d_data(n->ex, &network_conv2d, packed, &n->x, &n->y);
    case CONV2D_WEIGHTS:
        return conv2d_weight(n->ex, &network_conv2d, &n->x, &n->y, n->memory[3]);
    default:
        return run_training(n);
    }
}
