/* From tensors to packed weights, in two passes over the same functions. The first asks for every tensor by name and
 * shape and lays out the block; nothing is allocated for weights before it has found them all, so that a small file
 * cannot ask for more memory than its own tensors take, packed. The second reads them and fills the block. On a device
 * this is one of the host, which is copied; a third pass, which reads nothing, points to the copy. Who wants to know
 * which tensors there are gets a first pass that tells instead of asking. */
#include "htdemucs_net.h"
#include "safetensors.h"

#include "arena.h"
#include "exec.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSOR_NAME = 128 };

static _Atomic uint64_t loaded; /* networks, so far */

struct by_name {
    const struct safetensors_view *view;
};

struct loader {
    const struct safetensors_view *tensors;
    struct by_name *by_name;
    size_t count;
    const char *name;                       /* of the file */
    const struct htdemucs_visitor *visitor; /* wants to know; NULL: nobody */
    struct exec *exec;
    enum precision precision;
    struct htdemucs *net;
    bool filling;      /* the second pass */
    char *block;       /* what pointers are to: NULL in the first pass */
    size_t used;       /* bytes of the block */
    bool *taken;       /* in their order */
    float *scratch[9]; /* of the tensors of one operation, as PyTorch has them */
    int code;          /* the first failure; everything after it does nothing */
};

/* Room in the block. */
static float *place(struct loader *l, size_t bytes)
{
    float *const at = l->block ? (float *)(void *)(l->block + l->used) : NULL;
    l->used += arena_round(bytes);
    return at;
}

/* A shape as PyTorch has it: dimensions of 1 belong to it. */
struct shape {
    int rank;
    int64_t at[SAFETENSORS_DIMS_MOST];
};
#define SHAPE(...) ((struct shape){(int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

enum { SHAPE_TEXT = SAFETENSORS_DIMS_MOST * 23 + 3 }; /* the longest: 8 numbers of 20 characters, commas, brackets */

static const char *shape_text(int rank, const int64_t *at, char text[SHAPE_TEXT])
{
    size_t used = 0;
    text[used++] = '[';
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, i ? ", %lld" : "%lld", (long long)at[i]);
    text[used++] = ']';
    text[used] = 0;
    return text;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct by_name *)a)->view->name, ((const struct by_name *)b)->view->name);
}

static const struct safetensors_view *find(const struct loader *l, const char *tensor)
{
    const struct safetensors_view wanted = {.name = tensor};
    const struct by_name key = {&wanted};
    const struct by_name *const found =
        l->by_name ? bsearch(&key, l->by_name, l->count, sizeof key, compare_names) : NULL;
    return found ? found->view : NULL;
}

/* Whether the tensor is there as it should be; marks it as taken. */
static int claim(struct loader *l, const char *tensor, const struct shape *shape)
{
    if (l->visitor)
        return l->visitor->tell(l->visitor->context, tensor, shape->rank, shape->at);
    const struct safetensors_view *const v = find(l, tensor);
    char has[SHAPE_TEXT], wanted[SHAPE_TEXT];
    if (!v)
        return fail(STATUS_FORMAT, "%s: tensor %s is missing", l->name, tensor);
    if (v->rank != shape->rank || memcmp(v->shape, shape->at, (size_t)v->rank * sizeof *v->shape) != 0)
        return fail(STATUS_FORMAT, "%s: tensor %s is %s, and %s belongs there", l->name, tensor,
                    shape_text(v->rank, v->shape, has), shape_text(shape->rank, shape->at, wanted));
    l->taken[v - l->tensors] = true;
    return STATUS_OK;
}

/* The floats of a claimed tensor, in memory of their own. */
static int read_tensor(struct loader *l, const char *tensor, float **out)
{
    const struct safetensors_view *const v = find(l, tensor);
    int64_t bad;
    free(*out);
    *out = malloc((size_t)v->count * sizeof **out);
    if (!*out)
        return fail(STATUS_NOMEM, "%s: tensor %s", l->name, tensor);
    const int code = safetensors_floats(v, *out, &bad);
    if (code)
        return status_context(code, "%s", l->name);
    if (bad >= 0)
        return fail(STATUS_FORMAT, "%s: tensor %s: element %lld is not finite", l->name, tensor, (long long)bad);
    return STATUS_OK;
}

/* The floats of tensor prefix.suffix in scratch `slot`; NULL in the first pass, which only looks at its shape. */
static const float *tensor(struct loader *l, int slot, struct shape shape, const char *prefix, const char *suffix)
{
    char name[2 * TENSOR_NAME];
    if (l->code)
        return NULL;
    snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    l->code = l->filling ? read_tensor(l, name, &l->scratch[slot]) : claim(l, name, &shape);
    return l->code || !l->filling ? NULL : l->scratch[slot];
}

static void pack(struct loader *l, struct linear *to, const float *weight, const float *bias)
{
    to->p.precision = l->precision;
    float *const packed = place(l, conv_pack_bytes(l->exec, &to->p));
    if (l->filling && !l->code)
        l->code = conv_pack(l->exec, &to->p, weight, bias, packed);
    to->packed = packed;
}

/* PyTorch's shapes of the same convolution in each branch: Conv2d with the frequencies before the frames, and Conv1d.
 */
static struct shape conv_shape(int branch, const struct conv_params *p)
{
    return branch == FREQUENCY ? SHAPE(p->out, p->in, p->kernel_w, p->kernel_h) : SHAPE(p->out, p->in, p->kernel_w);
}

static void take_conv(struct loader *l, struct linear *to, struct conv_params p, struct shape shape, const char *prefix)
{
    const float *const weight = tensor(l, 0, shape, prefix, "weight");
    const float *const bias = tensor(l, 1, SHAPE(p.out), prefix, "bias");
    to->p = p;
    pack(l, to, weight, bias);
}

static void take_linear(struct loader *l, struct linear *to, struct conv_params p, const char *prefix)
{
    take_conv(l, to, p, SHAPE(p.out, p.in), prefix);
}

/* `count` floats as they are, times a factor. */
static const float *take_floats(struct loader *l, struct shape shape, int64_t count, double factor, const char *prefix,
                                const char *suffix)
{
    const float *const from = tensor(l, 0, shape, prefix, suffix);
    float *const to = place(l, (size_t)count * sizeof *to);
    for (int64_t i = 0; from && i < count; i++)
        to[i] = (float)(from[i] * factor);
    return to;
}

static const float *take_vector(struct loader *l, int64_t count, const char *prefix, const char *suffix)
{
    return take_floats(l, SHAPE(count), count, 1, prefix, suffix);
}

static struct affine take_affine(struct loader *l, int64_t count, const char *prefix, const char *which)
{
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, "%s.%s", prefix, which);
    const float *const gain = take_vector(l, count, name, "weight");
    return (struct affine){gain, take_vector(l, count, name, "bias")};
}

static int take_branches(struct loader *l, struct branch *to, int64_t channels, int branch, const char *layer)
{
    const struct htdemucs_config *const c = &l->net->c;
    for (int64_t j = 0; j < c->dconv_depth; j++) {
        char prefix[TENSOR_NAME];
        const int64_t hidden = channels / c->compress;
        snprintf(prefix, sizeof prefix, "%s.dconv.layers.%lld", layer, (long long)j);
        to[j].p =
            (struct dconv_params){channels, hidden, INT64_C(1) << j, branch == FREQUENCY ? ALONG_HEIGHT : ALONG_WIDTH};
        const struct dconv_weights w = {.conv1 = tensor(l, 0, SHAPE(hidden, channels, 3), prefix, "0.weight"),
                                        .bias1 = tensor(l, 1, SHAPE(hidden), prefix, "0.bias"),
                                        .gain1 = tensor(l, 2, SHAPE(hidden), prefix, "1.weight"),
                                        .shift1 = tensor(l, 3, SHAPE(hidden), prefix, "1.bias"),
                                        .conv2 = tensor(l, 4, SHAPE(2 * channels, hidden, 1), prefix, "3.weight"),
                                        .bias2 = tensor(l, 5, SHAPE(2 * channels), prefix, "3.bias"),
                                        .gain2 = tensor(l, 6, SHAPE(2 * channels), prefix, "4.weight"),
                                        .shift2 = tensor(l, 7, SHAPE(2 * channels), prefix, "4.bias"),
                                        .scale = tensor(l, 8, SHAPE(channels), prefix, "6.scale")};
        float *const packed = place(l, dconv_pack_bytes(l->exec, &to[j].p));
        if (l->filling && !l->code)
            l->code = dconv_pack(l->exec, &to[j].p, &w, packed);
        to[j].packed = packed;
    }
    return (int)c->dconv_depth;
}

static void take_encoder(struct loader *l, int branch, int64_t i)
{
    const struct htdemucs_config *const c = &l->net->c;
    struct encoder *const e = &l->net->encoder[branch][i];
    char layer[TENSOR_NAME], prefix[TENSOR_NAME + 16];
    const int64_t out = channels_of(c, i);
    const int64_t in = i ? channels_of(c, i - 1) : AUDIO_CHANNELS * (branch == FREQUENCY ? 2 : 1);
    snprintf(layer, sizeof layer, "%sencoder.%lld", branch == TIME ? "t" : "", (long long)i);
    snprintf(prefix, sizeof prefix, "%s.conv", layer);
    const struct conv_params p = {in, out, 1, KERNEL, STRIDE, 1, 1, 0, PAD, ACTIVATION_GELU, PRECISION_F32};
    take_conv(l, &e->conv, p, conv_shape(branch, &p), prefix);
    e->branches = c->dconv_mode & 1 ? take_branches(l, e->branch, out, branch, layer) : 0;
    snprintf(prefix, sizeof prefix, "%s.rewrite", layer);
    const struct conv_params rewrite = conv_linear(out, 2 * out, ACTIVATION_GLU);
    take_conv(l, &e->rewrite, rewrite, conv_shape(branch, &rewrite), prefix);
}

/* PyTorch's taps of the frequency branch are [frequency][time], ours [height = time][width = frequency]. */
static void turn_taps(float *w, int64_t count)
{
    for (int64_t i = 0; i < count; i++, w += 9)
        for (int r = 0; r < 3; r++)
            for (int q = 0; q < r; q++) {
                const float kept = w[3 * r + q];
                w[3 * r + q] = w[3 * q + r];
                w[3 * q + r] = kept;
            }
}

static void take_decoder(struct loader *l, int branch, int64_t d)
{
    const struct htdemucs_config *const c = &l->net->c;
    struct decoder *const to = &l->net->decoder[branch][d];
    char layer[TENSOR_NAME], prefix[TENSOR_NAME + 16];
    const int64_t i = c->depth - 1 - d, in = channels_of(c, i);
    const int64_t out = i ? channels_of(c, i - 1) : (int64_t)c->stems * AUDIO_CHANNELS * (branch == FREQUENCY ? 2 : 1);
    const int64_t taps = branch == FREQUENCY ? 3 : 1;
    snprintf(layer, sizeof layer, "%sdecoder.%lld", branch == TIME ? "t" : "", (long long)d);
    snprintf(prefix, sizeof prefix, "%s.rewrite", layer);
    to->rewrite.p = (struct conv_params){in, 2 * in, taps, 3, 1, 1, 1, taps / 2, 1, ACTIVATION_GLU, PRECISION_F32};
    const float *const weight = tensor(l, 0, conv_shape(branch, &to->rewrite.p), prefix, "weight");
    const float *const bias = tensor(l, 1, SHAPE(2 * in), prefix, "bias");
    if (weight && branch == FREQUENCY)
        turn_taps(l->scratch[0], 2 * in * in);
    pack(l, &to->rewrite, weight, bias);
    to->branches = c->dconv_mode & 2 ? take_branches(l, to->branch, in, branch, layer) : 0;
    snprintf(prefix, sizeof prefix, "%s.conv_tr", layer);
    to->up = (struct conv_transpose_params){in, out, STRIDE, i ? ACTIVATION_GELU : ACTIVATION_NONE, l->precision};
    const struct shape shape = branch == FREQUENCY ? SHAPE(in, out, KERNEL, 1) : SHAPE(in, out, KERNEL);
    const float *const up_weight = tensor(l, 0, shape, prefix, "weight");
    const float *const up_bias = tensor(l, 1, SHAPE(out), prefix, "bias");
    float *const packed = place(l, conv_transpose_pack_bytes(l->exec, &to->up));
    if (l->filling && !l->code)
        l->code = conv_transpose_pack(l->exec, &to->up, up_weight, up_bias, packed);
    to->up_packed = packed;
}

static void take_attender(struct loader *l, int branch, int64_t n)
{
    const struct htdemucs *const net = l->net;
    struct attender *const a = &l->net->attender[branch][n];
    const int64_t width = net->width;
    const bool cross = n % 2 == 1;
    char layer[TENSOR_NAME], prefix[TENSOR_NAME + 24];
    snprintf(layer, sizeof layer, "crosstransformer.layers%s.%lld", branch == TIME ? "_t" : "", (long long)n);
    snprintf(prefix, sizeof prefix, "%s.%s", layer, cross ? "cross_attn" : "self_attn");
    const float *const weight = tensor(l, 0, SHAPE(3 * width, width), prefix, "in_proj_weight");
    const float *const bias = tensor(l, 1, SHAPE(3 * width), prefix, "in_proj_bias");
    if (cross) {
        a->query.p = conv_linear(width, width, ACTIVATION_NONE);
        a->pair.p = conv_linear(width, 2 * width, ACTIVATION_NONE);
        pack(l, &a->query, weight, bias);
        pack(l, &a->pair, weight ? weight + width * width : NULL, bias ? bias + width : NULL);
    } else {
        a->in.p = conv_linear(width, 3 * width, ACTIVATION_NONE);
        pack(l, &a->in, weight, bias);
    }
    snprintf(prefix, sizeof prefix, "%s.%s.out_proj", layer, cross ? "cross_attn" : "self_attn");
    take_linear(l, &a->out, conv_linear(width, width, ACTIVATION_NONE), prefix);
    snprintf(prefix, sizeof prefix, "%s.linear1", layer);
    take_linear(l, &a->wide, conv_linear(width, net->c.hidden, ACTIVATION_GELU), prefix);
    snprintf(prefix, sizeof prefix, "%s.linear2", layer);
    take_linear(l, &a->narrow, conv_linear(net->c.hidden, width, ACTIVATION_NONE), prefix);
    a->norm1 = take_affine(l, width, layer, "norm1");
    a->norm2 = take_affine(l, width, layer, "norm2");
    if (cross)
        a->norm3 = take_affine(l, width, layer, "norm3");
    a->norm_out = take_affine(l, width, layer, "norm_out");
    a->scale1 = take_vector(l, width, layer, "gamma_1.scale");
    a->scale2 = take_vector(l, width, layer, "gamma_2.scale");
}

static void take_positions(struct loader *l)
{
    struct htdemucs *const net = l->net;
    const size_t tokens = (size_t)(net->frames * net->bins[net->c.depth]);
    float *const frequency = place(l, tokens * (size_t)net->width * sizeof(float));
    float *const time = place(l, (size_t)(net->samples[net->c.depth] * net->width) * sizeof(float));
    if (l->filling && !l->code)
        htdemucs_positions(net, frequency, time);
    net->positions[FREQUENCY] = frequency;
    net->positions[TIME] = time;
}

static void take_all(struct loader *l)
{
    struct htdemucs *const net = l->net;
    const struct htdemucs_config *const c = &net->c;
    const int64_t deepest = channels_of(c, c->depth - 1);
    l->used = 0;
    for (int branch = FREQUENCY; branch < BRANCHES; branch++) {
        const char *const t = branch == TIME ? "_t" : "";
        char prefix[TENSOR_NAME];
        for (int64_t i = 0; i < c->depth; i++) {
            take_encoder(l, branch, i);
            take_decoder(l, branch, i);
        }
        if (c->bottom) {
            snprintf(prefix, sizeof prefix, "channel_upsampler%s", t);
            take_conv(l, &net->up[branch], conv_linear(deepest, c->bottom, ACTIVATION_NONE),
                      SHAPE(c->bottom, deepest, 1), prefix);
            snprintf(prefix, sizeof prefix, "channel_downsampler%s", t);
            take_conv(l, &net->down[branch], conv_linear(c->bottom, deepest, ACTIVATION_NONE),
                      SHAPE(deepest, c->bottom, 1), prefix);
        }
        snprintf(prefix, sizeof prefix, "norm_in%s", t);
        net->norm_in[branch] = take_affine(l, net->width, "crosstransformer", prefix);
        for (int64_t n = 0; n < c->layers; n++)
            take_attender(l, branch, n);
    }
    net->frequency_embedding = take_floats(l, SHAPE(net->bins[1], c->channels), net->bins[1] * c->channels,
                                           c->frequency_weight, "freq_emb.embedding", "weight");
    take_positions(l);
}

/* A tensor that nothing has asked for is a sign that the file is another network than it says. */
static int check_left_over(const struct loader *l)
{
    const char *first = NULL;
    size_t left = 0;
    for (size_t i = l->count; i-- > 0;)
        if (!l->taken[i]) {
            first = l->tensors[i].name;
            left++;
        }
    if (!left)
        return STATUS_OK;
    return fail(STATUS_FORMAT, "%s: tensor %.100s belongs to no layer of this network; so do %zu others", l->name,
                first, left - 1);
}

static int fill(struct loader *l, void *block)
{
    l->block = block;
    l->filling = true;
    take_all(l);
    l->filling = false;
    return l->code;
}

static int fill_and_copy(struct loader *l)
{
    const struct exec_memory *const there = &l->net->block;
    void *const here = aligned_alloc(ARENA_ALIGN, l->net->bytes);
    if (!here)
        return fail(STATUS_NOMEM, "%s: %zu bytes of weights", l->name, l->net->bytes);
    int code = fill(l, here);
    code = code ? code : exec_memory_put(l->exec, there->data, here, l->net->bytes);
    l->block = there->data;
    if (!code)
        take_all(l);
    free(here);
    return code ? code : l->code;
}

static int load(struct loader *l)
{
    struct htdemucs *const net = l->net;
    int code = htdemucs_shape(l->name, net);
    if (code)
        return code;
    const size_t segment = htdemucs_room_bytes(&net->c, 1);
    if (segment > HTDEMUCS_ROOM_MOST)
        return fail(STATUS_UNSUPPORTED, "%s: a segment takes %zu MiB of memory, at most %zu are allowed", l->name,
                    segment >> 20, HTDEMUCS_ROOM_MOST >> 20);
    take_all(l);
    code = l->code ? l->code : check_left_over(l);
    if (code)
        return code;
    net->bytes = l->used;
    code = exec_memory_allocate(l->exec, net->bytes, &net->block);
    if (code)
        return status_context(code, "%s: weights", l->name);
    return net->block.device ? fill_and_copy(l) : fill(l, net->block.data);
}

static int sort_names(struct loader *l)
{
    l->taken = calloc(l->count + 1, sizeof *l->taken);
    l->by_name = calloc(l->count + 1, sizeof *l->by_name);
    if (!l->taken || !l->by_name)
        return fail(STATUS_NOMEM, "%s", l->name);
    for (size_t i = 0; i < l->count; i++)
        l->by_name[i].view = &l->tensors[i];
    qsort(l->by_name, l->count, sizeof *l->by_name, compare_names);
    return STATUS_OK;
}

int htdemucs_make(const struct htdemucs_config *c, const struct safetensors_view *tensors, size_t count,
                  const char *name, enum precision precision, struct exec *ex, struct htdemucs **out)
{
    struct loader l = {.tensors = tensors, .count = count, .name = name, .precision = precision, .exec = ex};
    l.net = calloc(1, sizeof *l.net);
    int code = l.net ? sort_names(&l) : fail(STATUS_NOMEM, "%s", name);
    if (!code) {
        l.net->c = *c;
        code = load(&l);
    }
    free(l.taken);
    free(l.by_name);
    for (size_t i = 0; i < sizeof l.scratch / sizeof *l.scratch; i++)
        free(l.scratch[i]);
    if (code) {
        htdemucs_unload(&l.net);
    } else {
        l.net->id = atomic_fetch_add(&loaded, 1) + 1;
        *out = l.net;
    }
    return code;
}

int htdemucs_tensors(const struct htdemucs_config *c, struct exec *ex, const struct htdemucs_visitor *visitor)
{
    struct htdemucs *const net = calloc(1, sizeof *net);
    struct loader l = {.name = "", .exec = ex, .net = net, .visitor = visitor};
    if (!net)
        return fail(STATUS_NOMEM, "htdemucs: out of memory");
    net->c = *c;
    l.code = htdemucs_shape("", net);
    if (!l.code)
        take_all(&l);
    free(net);
    return l.code;
}

void htdemucs_unload(struct htdemucs **net)
{
    if (*net)
        exec_memory_release(&(*net)->block);
    free(*net);
    *net = NULL;
}

const struct htdemucs_config *htdemucs_config(const struct htdemucs *net)
{
    return &net->c;
}

size_t htdemucs_bytes(const struct htdemucs *net)
{
    return net->bytes;
}

/* Half floats become floats, in panels that are padded. */
size_t htdemucs_bytes_at_most(size_t file_bytes)
{
    return file_bytes * 9 / 4;
}
