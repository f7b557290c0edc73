#include "network_cases.h"

#include "batch.h"
#include "device.h"

#include <stdlib.h>
#include <string.h>

static const struct network_case cases[] = {
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
const struct conv2d_params network_conv2d = {TRAINED, 2 * TRAINED, 4, 4, 2, 2, 1, 1, PRECISION_F32};
const struct conv_transpose_params network_transpose = {SECOND, FIRST, 4, ACTIVATION_GELU, PRECISION_F32};
const struct dconv_params network_dconv = {FIRST, FIRST / 8, 1, ALONG_HEIGHT};
const struct attention_params network_heads = {HEADS, WIDTH / HEADS};
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
                      : is_transpose ? conv_transpose_pack_bytes(n->ex, &network_transpose)
                                     : dconv_pack_bytes(n->ex, &network_dconv);
    float *const packed = touched(n->packed_bytes + 64);
    if (!packed)
        return fail(STATUS_NOMEM, "out of memory: weights of %s", c->name);
    const struct dconv_weights of = {w, w + PARTS_MOST, w, w + PARTS_MOST, w, w, w, w + PARTS_MOST, w + SECOND};
    const int code = is_conv        ? conv_pack(n->ex, &c->conv, w, w, packed)
                     : is_transpose ? conv_transpose_pack(n->ex, &network_transpose, w, w, packed)
                                    : dconv_pack(n->ex, &network_dconv, &of, packed);
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
    n->packed_bytes = n->c->kind == CONV2D_WEIGHTS ? (size_t)conv2d_weights(&network_conv2d) * sizeof(float)
                                                   : conv2d_pack_bytes(n->ex, &network_conv2d, way_of(n->c));
    const int code = give(n, 3, touched(n->packed_bytes + 64), n->packed_bytes + 64);
    if (code || n->c->kind == CONV2D_PACKS || n->c->kind == CONV2D_WEIGHTS)
        return code;
    return conv2d_pack(n->ex, &network_conv2d, way_of(n->c), n->memory[2], n->memory[2], n->memory[3]);
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

bool network_packs(const struct network_case *c)
{
    return c->kind == CONV2D_PACKS || c->kind == CONV2D_WEIGHTS;
}

size_t network_result_bytes(const struct network *n)
{
    if (network_packs(n->c))
        return n->packed_bytes;
    const struct maps *const y = in_place(n->c) ? &n->x : &n->y;
    if (n->c->kind == MOMENTS || n->c->kind == GRADIENT_NORM) /* that one leaves a state */
        return n->c->kind == MOMENTS ? 2 * sizeof(float) : sizeof(struct step_state);
    const int64_t positions = n->c->kind == COLUMN_SUMS ? 1 : y->height * y->width;
    return (size_t)(positions * y->channels) * sizeof(float);
}

int network_read(struct network *n, void *out)
{
    const float *const from = n->memory[network_packs(n->c) ? 3 : in_place(n->c) ? 0 : 1];
    const size_t bytes = network_result_bytes(n);
    if (!exec_device(n->ex)) {
        memcpy(out, from, bytes);
        return STATUS_OK;
    }
    const int code = exec_device_api(n->ex)->copy_out(exec_stream(n->ex), out, from, bytes);
    const int waited = exec_device_api(n->ex)->stream_wait(exec_stream(n->ex));
    return code ? code : waited;
}
