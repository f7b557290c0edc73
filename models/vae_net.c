#include "vae_net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALIGNED = 16 }; /* floats: a tensor begins on a cache line */

static struct vae_tensor *tensor(struct vae_net *net, const char *part, int64_t index, const char *name)
{
    struct vae_tensor *const t = &net->tensor[net->tensors++];
    *t = (struct vae_tensor){.offset = net->parameters};
    if (index < 0)
        snprintf(t->name, sizeof t->name, "%s.%s", part, name);
    else
        snprintf(t->name, sizeof t->name, "%s.%d.%s", part, (int)index, name);
    return t;
}

static int64_t placed(struct vae_net *net, struct vae_tensor *t)
{
    t->count = 1;
    for (int i = 0; i < t->rank; i++)
        t->count *= t->shape[i];
    net->parameters += (t->count + ALIGNED - 1) / ALIGNED * ALIGNED;
    return t->offset;
}

static int64_t vector(struct vae_net *net, const char *part, int64_t index, const char *name, int64_t n, float fill)
{
    struct vae_tensor *const t = tensor(net, part, index, name);
    t->rank = 1;
    t->shape[0] = n;
    t->fill = fill;
    return placed(net, t);
}

/* fan_in: values that one of the layer's outputs is summed from. */
static void layer(struct vae_net *net, const char *part, int64_t index, int64_t biases, double fan_in,
                  struct vae_layer *l)
{
    const struct conv2d_params *const p = &l->conv;
    struct vae_tensor *const t = tensor(net, part, index, "weight");
    const int64_t shape[4] = {p->kernel_h, p->kernel_w, p->in, p->out};
    const bool linear = p->kernel_h * p->kernel_w == 1;
    t->rank = linear ? 2 : 4;
    memcpy(t->shape, shape + (linear ? 2 : 0), (size_t)t->rank * sizeof *shape);
    t->deviation = (float)(1 / sqrt(fan_in));
    t->decays = true;
    l->weight = placed(net, t);
    l->bias = vector(net, part, index, "bias", biases, 0);
}

static void norm(struct vae_net *net, const char *part, int64_t index, int64_t channels, uint32_t stream,
                 struct vae_norm *n)
{
    n->p = (struct activate_params){.groups = net->c.groups,
                                    .kind = net->c.activation == VAE_SILU ? ACTIVATE_SILU : ACTIVATE_LEAKY_RELU,
                                    .slope = 0.2F,
                                    .epsilon = 1e-5F,
                                    .dropout = (float)net->c.dropout,
                                    .stream = stream};
    if (net->c.groups == 0)
        return;
    n->gain = vector(net, part, index, "gain", channels, 1);
    n->shift = vector(net, part, index, "shift", channels, 0);
}

/* Kernels of twice the stride, so that each position is in as many taps as any other. */
static struct conv2d_params conv_of(const struct vae_net *net, int64_t i)
{
    const int64_t h = net->c.stride_frames[i], w = net->c.stride_mels[i];
    return (struct conv2d_params){.in = net->level[i].channels,
                                  .out = net->level[i + 1].channels,
                                  .kernel_h = h == 1 ? 3 : 2 * h,
                                  .kernel_w = w == 1 ? 3 : 2 * w,
                                  .stride_h = h,
                                  .stride_w = w,
                                  .pad_h = h == 1 ? 1 : h / 2,
                                  .pad_w = w == 1 ? 1 : w / 2};
}

int vae_net_of(const struct vae_config *c, struct vae_net *net)
{
    const int code = vae_config_check(c);
    if (code)
        return code;
    *net = (struct vae_net){.c = *c, .level[0] = {c->frames, c->mels, 1}};
    for (int64_t i = 0; i < c->depth; i++) {
        const struct vae_level *const l = &net->level[i];
        net->level[i + 1] =
            (struct vae_level){l->height / c->stride_frames[i], l->width / c->stride_mels[i], c->channels[i]};
        net->encoder[i].conv = net->decoder[i].conv = conv_of(net, i);
    }
    for (int64_t i = 0; i < c->depth; i++) {
        const struct conv2d_params *const p = &net->encoder[i].conv;
        layer(net, "encoder", i, p->out, (double)(p->in * p->kernel_h * p->kernel_w), &net->encoder[i]);
        norm(net, "encoder", i, p->out, VAE_STREAM_ENCODER + (uint32_t)i, &net->up[i + 1]);
    }
    const int64_t flat = vae_flat(net);
    net->narrow.conv = conv2d_linear(flat, 2 * c->latent);
    net->wide.conv = conv2d_linear(c->latent, flat);
    layer(net, "latent", -1, 2 * c->latent, (double)flat, &net->narrow);
    layer(net, "decoder.input", -1, flat, (double)c->latent, &net->wide);
    norm(net, "decoder.input", -1, net->level[c->depth].channels, VAE_STREAM_DECODER, &net->down[c->depth]);
    for (int64_t i = c->depth - 1; i >= 0; i--) {
        const struct conv2d_params *const p = &net->decoder[i].conv;
        const double taps = (double)(p->kernel_h * p->kernel_w) / (double)(p->stride_h * p->stride_w);
        layer(net, "decoder", c->depth - 1 - i, p->in, (double)p->out * taps, &net->decoder[i]);
        if (i > 0)
            norm(net, "decoder", c->depth - 1 - i, p->in, VAE_STREAM_DECODER + (uint32_t)(c->depth - i), &net->down[i]);
    }
    return STATUS_OK;
}

void vae_net_round(struct vae_net *net, enum precision precision)
{
    for (int64_t i = 0; i < net->c.depth; i++)
        net->encoder[i].conv.precision = net->decoder[i].conv.precision = precision;
    net->narrow.conv.precision = net->wide.conv.precision = precision;
}
