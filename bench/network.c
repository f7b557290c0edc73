#include "network.h"

#include "batch.h"
#include "device.h"

#include <stdlib.h>
#include <string.h>

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
static const struct network_case {
    const char *name;
    enum kind kind;
    bool tokens;
    int64_t width, channels;         /* of x */
    int64_t out_width, out_channels; /* of y */
    struct conv_params conv;
} cases[] = {
    {"conv", CONV, false, BANDS, FIRST, BANDS / 4, SECOND, {FIRST, SECOND, 1, 8, 4, 1, 1, 0, 2, ACTIVATION_GELU, 0}},
    {"conv3x3", CONV, false, BANDS, FIRST, BANDS, FIRST, {FIRST, SECOND, 3, 3, 1, 1, 1, 1, 1, ACTIVATION_GLU, 0}},
    {"linear", CONV, true, 1, WIDTH, 1, INNER, {WIDTH, INNER, 1, 1, 1, 1, 1, 0, 0, ACTIVATION_GELU, 0}},
    {"conv_transp", TRANSPOSE, false, BANDS / 4, SECOND, BANDS, FIRST, {0}},
    {"dconv", DCONV, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"layer_norm", LAYER, true, 1, WIDTH, 1, WIDTH, {0}},
    {"group_norm", GROUP, true, 1, WIDTH, 1, WIDTH, {0}},
    {"moments", MOMENTS, false, BINS, 4, BINS, 4, {0}},
    {"attention", ATTENTION, true, 1, 3 * WIDTH, 1, WIDTH, {0}},
    {"to_maps", FROM_COMPLEX, false, BINS + 1, 4, BINS, 4, {0}},
    {"from_maps", TO_COMPLEX, false, BINS, 4, BINS + 1, 4, {0}},
    {"margins", MARGINS, false, BANDS, FIRST, 1, 1, {0}},
    {"mirror", MIRROR, true, HOP, 2, MIRRORED_HOP, 2, {0}},
    {"standardize", STANDARDIZE, false, BINS, 4, BINS, 4, {0}},
    {"unstandard", UNSTANDARDIZE, true, HOP, 2 * STEMS, HOP, 2 * STEMS, {0}},
    {"add_maps", ADD_MAPS, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"add_planar", ADD_PLANAR, true, HOP, 2 * STEMS, HOP, 2 * STEMS, {0}},
    {"conv2d_pack", CONV2D_PACKS, false, 1, 1, 1, 1, {0}},
    {"conv2d", CONV2D_FORTH, false, BANDS, TRAINED, BANDS / 2, 2 * TRAINED, {0}},
    {"conv2d_data", CONV2D_BACK, false, BANDS / 2, 2 * TRAINED, BANDS, TRAINED, {0}},
    {"conv2d_wgt", CONV2D_WEIGHTS, false, BANDS, TRAINED, BANDS / 2, 2 * TRAINED, {0}},
    {"column_sums", COLUMN_SUMS, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"activate", ACTIVATE, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"act_grad", ACTIVATE_GRADIENT, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"latent", LATENT, true, 1, 2 * DIMS, 1, DIMS, {0}},
    {"latent_grad", LATENT_GRADIENT, true, 1, 2 * DIMS, 1, 2 * DIMS, {0}},
    {"reconstruct", RECONSTRUCTION, false, BINS, 1, BINS, 1, {0}},
    {"grad_norm", GRADIENT_NORM, false, BANDS, FIRST, BANDS, FIRST, {0}},
    {"adamw", ADAMW, true, 1, INNER, 1, INNER, {0}},
};
static const struct conv2d_params trained = {TRAINED, 2 * TRAINED, 4, 4, 2, 2, 1, 1, PRECISION_F32};
static const struct conv_transpose_params transpose = {SECOND, FIRST, 4, ACTIVATION_GELU, PRECISION_F32};
static const struct dconv_params branch = {FIRST, FIRST / 8, 1, ALONG_HEIGHT};
static const struct attention_params heads = {HEADS, WIDTH / HEADS};
static const struct activate_params layer = {8, ACTIVATE_SILU, 0, 1e-5F, 0.1F, 0};
static const struct step_state told = {.seed = 1,
                                       .step = 1,
                                       .rate = 1e-3,
                                       .beta = 1,
                                       .clip = 1,
                                       .weight_decay = 0.01,
                                       .beta1 = 0.9,
                                       .beta2 = 0.999,
                                       .epsilon = 1e-8,
                                       .ema_decay = 0.999,
                                       .clip_factor = 1};
enum { WEIGHTS_MOST = WIDTH * INNER + INNER, PARTS_MOST = 2 * FIRST * SECOND };

struct network {
    struct exec *ex;
    const struct network_case *c;
    float *memory[4]; /* x, y, weights, packed (training: its state, and what it keeps): where the exec works */
    struct maps x, y;
    size_t packed_bytes;
};

/* Gives host memory to the network: to keep on the CPU, to copy to a device. */
static int give(struct network *n, int i, float *host, size_t bytes)
{
    const struct device_api *const api = exec_device_api(n->ex);
    if (!host)
        return fail(STATUS_NOMEM, "out of memory: %zu bytes of %s", bytes, n->c->name);
    if (!api) {
        n->memory[i] = host;
        return STATUS_OK;
    }
    void *there = NULL;
    int code = api->allocate(exec_device(n->ex), bytes, &there);
    n->memory[i] = there;
    code = code ? code : api->copy_in(exec_stream(n->ex), there, host, bytes);
    const int waited = api->stream_wait(exec_stream(n->ex));
    free(host);
    return code ? code : waited;
}

static float *touched(size_t bytes)
{
    float *const p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p)
        memset(p, 0, bytes);
    return p;
}

static bool has_margins(const struct network_case *c)
{
    return c->kind == CONV || c->kind == TRANSPOSE || c->kind == MARGINS ||
           (c->kind >= CONV2D_FORTH && c->kind <= CONV2D_WEIGHTS);
}

/* Rows of x and of y. */
static int64_t height_of(const struct network_case *c, bool in, int64_t frames)
{
    const bool half = in ? c->kind == CONV2D_BACK : c->kind == CONV2D_FORTH || c->kind == CONV2D_WEIGHTS;
    return c->tokens ? 1 : half ? (frames + 1) / 2 : frames;
}

/* Noise in positions; margins stay zeros but for where they are cleared. */
static int make_maps(struct network *n, int64_t samples)
{
    const struct network_case *const c = n->c;
    int64_t frames = (samples + NETWORK_FRAME - 1) / NETWORK_FRAME;
    frames = frames > NETWORK_FRAMES_MOST ? NETWORK_FRAMES_MOST : frames;
    const int64_t height = height_of(c, true, frames), out_height = height_of(c, false, frames);
    const int64_t times = c->tokens ? frames * TOKENS_PER_FRAME : 1;
    const int64_t width = c->width * times, out_width = c->out_width * times;
    const size_t bytes = maps_bytes(1, height, width, c->channels, has_margins(c));
    const size_t out_bytes = maps_bytes(1, out_height, out_width, c->out_channels, false);
    float *const x = touched(bytes);
    if (x) {
        const bool whole = c->kind == MARGINS;
        const int64_t noisy = width + (whole ? MAPS_BEFORE + MAPS_AFTER : 0);
        const struct maps m = maps_of(x, 1, height, noisy, c->channels, has_margins(c) && !whole);
        for (int64_t i = 0; i < height; i++)
            gpu_noise((uint32_t)i, DTYPE_F32, noisy * c->channels, maps_row(&m, 0, i));
    }
    float *const y = touched(out_bytes);
    if (y && c->kind == CONV2D_WEIGHTS) /* a gradient: that of zeros is zeros */
        gpu_noise(9, DTYPE_F32, (int64_t)(out_bytes / sizeof *y), y);
    int code = give(n, 0, x, bytes);
    const int given = give(n, 1, y, out_bytes);
    code = code ? code : given;
    if (code)
        return code;
    n->x = maps_of(n->memory[0], 1, height, width, c->channels, has_margins(c));
    n->y = maps_of(n->memory[1], 1, out_height, out_width, c->out_channels, false);
    return STATUS_OK;
}

static int pack(struct network *n, const float *w)
{
    const struct network_case *const c = n->c;
    const bool is_conv = c->kind == CONV, is_transpose = c->kind == TRANSPOSE;
    n->packed_bytes = is_conv        ? conv_pack_bytes(n->ex, &c->conv)
                      : is_transpose ? conv_transpose_pack_bytes(n->ex, &transpose)
                                     : dconv_pack_bytes(n->ex, &branch);
    float *const packed = touched(n->packed_bytes + 64);
    if (!packed)
        return fail(STATUS_NOMEM, "out of memory: weights of %s", c->name);
    const struct dconv_weights of = {w, w + PARTS_MOST, w, w + PARTS_MOST, w, w, w, w + PARTS_MOST, w + SECOND};
    const int code = is_conv        ? conv_pack(n->ex, &c->conv, w, w, packed)
                     : is_transpose ? conv_transpose_pack(n->ex, &transpose, w, w, packed)
                                    : dconv_pack(n->ex, &branch, &of, packed);
    const int given = give(n, 3, packed, n->packed_bytes + 64);
    return code ? code : given;
}

/* The state, and behind it room for three blocks as large as x. */
static int make_state(struct network *n)
{
    const size_t bytes = sizeof told + 3 * maps_bytes(1, n->x.height, n->x.width, n->x.channels, false);
    float *const kept = touched(bytes);
    if (kept)
        memcpy(kept, &told, sizeof told);
    return give(n, 3, kept, bytes);
}

static bool is_conv2d(const struct network_case *c)
{
    return c->kind >= CONV2D_PACKS && c->kind <= CONV2D_WEIGHTS;
}

static enum conv2d_way way_of(const struct network_case *c)
{
    return c->kind == CONV2D_BACK ? CONV2D_DATA : CONV2D_FORWARD;
}

/* Of conv2d, where the weights are there already; the gradient of weights takes the same place. */
static int pack_there(struct network *n)
{
    n->packed_bytes = n->c->kind == CONV2D_WEIGHTS ? (size_t)conv2d_weights(&trained) * sizeof(float)
                                                   : conv2d_pack_bytes(n->ex, &trained, way_of(n->c));
    const int code = give(n, 3, touched(n->packed_bytes + 64), n->packed_bytes + 64);
    if (code || n->c->kind == CONV2D_PACKS || n->c->kind == CONV2D_WEIGHTS)
        return code;
    return conv2d_pack(n->ex, &trained, way_of(n->c), n->memory[2], n->memory[2], n->memory[3]);
}

/* Whether the backend has the row. */
static bool has_twin(const struct exec *ex, enum kind kind)
{
    const struct ops *const o = exec_ops(ex);
    const bool has[] = {[CONV] = o->conv,
                        [TRANSPOSE] = o->conv_transpose,
                        [DCONV] = o->dconv,
                        [LAYER] = o->layer_norm,
                        [GROUP] = o->group_norm,
                        [MOMENTS] = o->moments,
                        [ATTENTION] = o->attention,
                        [FROM_COMPLEX] = o->maps_from_complex,
                        [TO_COMPLEX] = o->complex_from_maps,
                        [MARGINS] = o->clear_margins,
                        [MIRROR] = o->mirror,
                        [STANDARDIZE] = o->standardize,
                        [UNSTANDARDIZE] = o->unstandardize,
                        [ADD_MAPS] = o->add_maps,
                        [ADD_PLANAR] = o->add_planar,
                        [COLUMN_SUMS] = o->column_sums,
                        [ACTIVATE] = o->activate,
                        [ACTIVATE_GRADIENT] = o->activate_gradient,
                        [LATENT] = o->latent,
                        [LATENT_GRADIENT] = o->latent_gradient,
                        [RECONSTRUCTION] = o->reconstruction,
                        [GRADIENT_NORM] = o->gradient_norm,
                        [ADAMW] = o->adamw,
                        [CONV2D_PACKS] = o->conv2d_pack,
                        [CONV2D_FORTH] = o->conv2d,
                        [CONV2D_BACK] = o->conv2d_data,
                        [CONV2D_WEIGHTS] = o->conv2d_weight};
    return has[kind];
}

const char *network_name(int i)
{
    return i >= 0 && i < (int)(sizeof cases / sizeof *cases) ? cases[i].name : NULL;
}

static int make(struct network *n, int64_t samples)
{
    int code = has_twin(n->ex, n->c->kind) ? STATUS_OK : ops_missing(n->ex, n->c->name);
    float *const w = code ? NULL : touched(WEIGHTS_MOST * sizeof(float));
    if (!code && !w)
        code = fail(STATUS_NOMEM, "out of memory: weights");
    if (code)
        return code;
    gpu_noise(1, DTYPE_F32, WEIGHTS_MOST, w);
    code = make_maps(n, samples);
    code = code || n->c->kind > DCONV ? code : pack(n, w);
    code = code || n->c->kind < COLUMN_SUMS ? code : make_state(n);
    const int given = give(n, 2, w, WEIGHTS_MOST * sizeof(float));
    code = code ? code : given;
    return code || !is_conv2d(n->c) ? code : pack_there(n);
}

int network_open(struct network **out, struct exec *ex, const char *name, int64_t samples)
{
    struct network *const n = calloc(1, sizeof *n);
    *out = n;
    if (!n)
        return fail(STATUS_NOMEM, "out of memory");
    n->ex = ex;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0)
            n->c = &cases[i];
    const int code = n->c ? make(n, samples) : fail(STATUS_ARGUMENT, "no network case '%s'", name);
    if (code)
        network_close(out);
    return code;
}

void network_close(struct network **n)
{
    for (int i = 0; *n && i < 4; i++)
        if (!exec_device((*n)->ex))
            free((*n)->memory[i]);
        else if ((*n)->memory[i])
            exec_device_api((*n)->ex)->release(exec_device((*n)->ex), (*n)->memory[i]);
    free(*n);
    *n = NULL;
}

static bool in_place(const struct network_case *c)
{
    return c->kind == DCONV || c->kind == MARGINS;
}

static bool packs(const struct network_case *c)
{
    return c->kind == CONV2D_PACKS || c->kind == CONV2D_WEIGHTS;
}

size_t network_result_bytes(const struct network *n)
{
    if (packs(n->c))
        return n->packed_bytes;
    const struct maps *const y = in_place(n->c) ? &n->x : &n->y;
    if (n->c->kind == MOMENTS || n->c->kind == GRADIENT_NORM) /* that one leaves a state */
        return n->c->kind == MOMENTS ? 2 * sizeof(float) : sizeof(struct step_state);
    const int64_t positions = n->c->kind == COLUMN_SUMS ? 1 : y->height * y->width;
    return (size_t)(positions * y->channels) * sizeof(float);
}

int network_read(struct network *n, void *out)
{
    const float *const from = n->memory[packs(n->c) ? 3 : in_place(n->c) ? 0 : 1];
    const size_t bytes = network_result_bytes(n);
    if (!exec_device(n->ex)) {
        memcpy(out, from, bytes);
        return STATUS_OK;
    }
    const int code = exec_device_api(n->ex)->copy_out(exec_stream(n->ex), out, from, bytes);
    const int waited = exec_device_api(n->ex)->stream_wait(exec_stream(n->ex));
    return code ? code : waited;
}

/* q, k and v are parts of one product's rows. */
static int run_attention(struct network *n)
{
    struct tokens part[3];
    for (int i = 0; i < 3; i++)
        part[i] = (struct tokens){n->x.data + i * WIDTH, 1, n->x.width, n->x.item_stride, 3 * WIDTH};
    const struct tokens y = {n->y.data, 1, n->y.width, n->y.item_stride, WIDTH};
    return attention(n->ex, &heads, &part[0], &part[1], &part[2], &y);
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
        return conv_transpose(n->ex, &transpose, packed, &n->x, NULL, &n->y);
    case DCONV:
        return dconv(n->ex, &branch, packed, &n->x);
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
        return conv2d_pack(n->ex, &trained, CONV2D_FORWARD, w, w, n->memory[3]);
    case CONV2D_FORTH:
        return conv2d(n->ex, &trained, packed, &n->x, &n->y);
    case CONV2D_BACK:
        return conv2d_data(n->ex, &trained, packed, &n->x, &n->y);
    case CONV2D_WEIGHTS:
        return conv2d_weight(n->ex, &trained, &n->x, &n->y, n->memory[3]);
    default:
        return run_training(n);
    }
}

static double margins_floats(const struct network *n)
{
    return (double)(n->x.height * (MAPS_BEFORE + MAPS_AFTER) * n->x.channels);
}

double network_flops(const struct network *n)
{
    const struct network_case *const c = n->c;
    const double positions = (double)(n->y.height * n->y.width), in = (double)(n->x.height * n->x.width * c->channels);
    const double h = (double)branch.hidden, wide = FIRST;
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
        return positions * positions * HEADS * (4.0 * (double)heads.width + 4);
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
        return (double)conv2d_weights(&trained);
    case CONV2D_FORTH:
    case CONV2D_WEIGHTS:
        return 2 * positions * (double)conv2d_weights(&trained);
    case CONV2D_BACK: /* of each position that it reads */
        return 2 * (double)(n->x.height * n->x.width) * (double)conv2d_weights(&trained);
    default:
        return 2 * positions * (double)c->out_channels;
    }
}

double network_bytes(const struct network *n)
{
    const double in = (double)(n->x.height * n->x.width * n->x.channels);
    const double out = packs(n->c) ? (double)(n->y.height * n->y.width * n->y.channels)
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
        return (double)sizeof(float) * (double)conv2d_weights(&trained) + (double)n->packed_bytes;
    return (double)sizeof(float) * (in + (sum ? 2 : 1) * out) + (double)n->packed_bytes;
}
