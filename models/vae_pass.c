#include "vae_pass.h"

#include "arena.h"
#include "column_sums.h"
#include "ops.h"
#include "reconstruction.h"

enum { BIASES_MOST = 132 * 64, PACK_HEAD = 256 };

/* ---- memory ---- */

struct placing {
    uint8_t *base;
    size_t used;
};

static void *place(struct placing *p, size_t bytes)
{
    void *const at = p->base ? p->base + p->used : NULL;
    p->used += arena_round(bytes);
    return at;
}

static float *place_floats(struct placing *p, int64_t n)
{
    return place(p, (size_t)n * sizeof(float));
}

static int64_t up_to(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

/* On a device (product.cuh): k in steps of 16, columns in tiles of 16 or up to 64, biases for each product, of a stride
 * or of a part of a linear layer. */
static size_t most_packed(const struct conv2d_params *p, int way)
{
    const int64_t taps = (p->kernel_w + p->stride_w - 1) / p->stride_w;
    const int64_t length = way == CONV2D_FORWARD ? p->kernel_w * p->in : taps * p->out;
    const int64_t out = way == CONV2D_FORWARD ? p->out : p->stride_w * p->in;
    const int64_t columns = out <= 16 ? 16 : up_to(out, 64), biases = p->kernel_h * p->kernel_w > 1 ? 0 : BIASES_MOST;
    const int64_t floats = (p->kernel_h * up_to(length, 16) + p->stride_h) * columns + biases;
    return (size_t)floats * sizeof(float) + PACK_HEAD;
}

static void place_packs(struct placing *p, const struct exec *ex, const struct vae_layer *l, float *packed[2])
{
    for (int way = 0; way < 2; way++)
        packed[way] = place(p, ex ? conv2d_pack_bytes(ex, &l->conv, (enum conv2d_way)way) : most_packed(&l->conv, way));
}

void vae_room_place(const struct vae_net *net, int64_t batch, const struct exec *ex, void *memory,
                    struct vae_room *room)
{
    struct placing p = {.base = memory};
    const int64_t depth = net->c.depth, latent = batch * net->c.latent, flat = batch * vae_flat(net);
    *room = (struct vae_room){.state = place(&p, sizeof(struct step_state))};
    for (int64_t l = 0; l <= depth; l++) {
        const struct vae_level *const v = &net->level[l];
        const size_t bytes = maps_bytes(batch, v->height, v->width, v->channels, true);
        const int64_t statistics = 2 * batch * (net->c.groups ? net->c.groups : 1);
        room->d[l] = place(&p, bytes);
        if (l < depth)
            room->down[l] = place(&p, bytes);
        if (l == 0) {
            room->input = place(&p, bytes);
            continue;
        }
        room->up[l] = place(&p, bytes);
        room->a[l] = l < depth ? place(&p, bytes) : place_floats(&p, flat);
        room->b[l] = place(&p, bytes);
        room->up_statistics[l] = place_floats(&p, statistics);
        room->down_statistics[l] = place_floats(&p, statistics);
    }
    room->low = place_floats(&p, flat);
    room->dlow = place_floats(&p, flat);
    room->h = place_floats(&p, 2 * latent);
    room->dh = place_floats(&p, 2 * latent);
    room->z = place_floats(&p, latent);
    room->dz = place_floats(&p, latent);
    room->kl = place_floats(&p, net->c.latent);
    for (int64_t i = 0; i < depth; i++) {
        place_packs(&p, ex, &net->encoder[i], room->encoder[i]);
        place_packs(&p, ex, &net->decoder[i], room->decoder[i]);
    }
    place_packs(&p, ex, &net->narrow, room->narrow);
    place_packs(&p, ex, &net->wide, room->wide);
    room->bytes = p.used;
}

/* ---- views ---- */

static struct maps at_level(const struct vae_pass *p, int64_t level, float *memory)
{
    const struct vae_level *const l = &p->net->level[level];
    return maps_of(memory, p->items, l->height, l->width, l->channels, true);
}

static struct maps dense_top(const struct vae_pass *p, float *memory)
{
    const struct vae_level *const l = &p->net->level[p->net->c.depth];
    return maps_of(memory, p->items, l->height, l->width, l->channels, false);
}

/* An item as one position. */
static struct maps vectors(const struct vae_pass *p, float *memory, int64_t n)
{
    return maps_of(memory, p->items, 1, 1, n, false);
}

/* What the encoder has made of level l. */
static struct maps encoded(const struct vae_pass *p, int64_t l)
{
    return l == 0                 ? at_level(p, 0, p->room->input)
           : l == p->net->c.depth ? dense_top(p, p->room->a[l])
                                  : at_level(p, l, p->room->a[l]);
}

/* ---- forward ---- */

static int pack(const struct vae_pass *p, const struct vae_layer *l, enum conv2d_way way, bool bias, float *packed)
{
    return conv2d_pack(p->ex, &l->conv, way, p->weights + l->weight, bias ? p->weights + l->bias : NULL, packed);
}

static struct activate_norm norm_of(const struct vae_pass *p, const struct vae_norm *n, float *statistics)
{
    return (struct activate_norm){p->weights + n->gain, p->weights + n->shift, statistics};
}

static struct activate_params activation_of(const struct vae_pass *p, const struct vae_norm *n)
{
    struct activate_params a = n->p;
    a.dropout = p->training ? a.dropout : 0;
    return a;
}

static int activation(const struct vae_pass *p, const struct vae_norm *n, float *statistics, const struct maps *x,
                      const struct maps *y)
{
    const struct activate_params a = activation_of(p, n);
    const struct activate_norm norm = norm_of(p, n, statistics);
    return activate(p->ex, &a, a.dropout > 0 ? p->room->state : NULL, a.groups ? &norm : NULL, x, y);
}

static struct latent_params latent_of(const struct vae_pass *p)
{
    return (struct latent_params){p->items, p->net->c.latent, VAE_STREAM_LATENT, p->training};
}

int vae_encode(const struct vae_pass *p)
{
    const struct vae_net *const net = p->net;
    const struct vae_room *const r = p->room;
    const int64_t depth = net->c.depth;
    int code = STATUS_OK;
    for (int64_t i = 0; i < depth && !code; i++) {
        const struct maps x = encoded(p, i), u = at_level(p, i + 1, r->up[i + 1]), y = encoded(p, i + 1);
        code = pack(p, &net->encoder[i], CONV2D_FORWARD, true, r->encoder[i][CONV2D_FORWARD]);
        code = code ? code : conv2d(p->ex, &net->encoder[i].conv, r->encoder[i][CONV2D_FORWARD], &x, &u);
        code = code ? code : activation(p, &net->up[i + 1], r->up_statistics[i + 1], &u, &y);
    }
    const struct maps flat = vectors(p, r->a[depth], vae_flat(net)), h = vectors(p, r->h, 2 * net->c.latent);
    const struct latent_params latent_params = latent_of(p);
    code = code ? code : pack(p, &net->narrow, CONV2D_FORWARD, true, r->narrow[CONV2D_FORWARD]);
    code = code ? code : conv2d(p->ex, &net->narrow.conv, r->narrow[CONV2D_FORWARD], &flat, &h);
    return code ? code : latent(p->ex, &latent_params, r->state, r->h, r->z, r->kl);
}

int vae_decode(const struct vae_pass *p)
{
    const struct vae_net *const net = p->net;
    const struct vae_room *const r = p->room;
    const int64_t depth = net->c.depth;
    const struct maps z = vectors(p, r->z, net->c.latent), low = vectors(p, r->low, vae_flat(net));
    const struct maps top = dense_top(p, r->low);
    struct maps b = at_level(p, depth, r->b[depth]);
    int code = pack(p, &net->wide, CONV2D_FORWARD, true, r->wide[CONV2D_FORWARD]);
    code = code ? code : conv2d(p->ex, &net->wide.conv, r->wide[CONV2D_FORWARD], &z, &low);
    code = code ? code : activation(p, &net->down[depth], r->down_statistics[depth], &top, &b);
    for (int64_t i = depth - 1; i >= 0 && !code; i--) {
        const struct maps u = at_level(p, i, r->down[i]);
        code = pack(p, &net->decoder[i], CONV2D_DATA, true, r->decoder[i][CONV2D_DATA]);
        code = code ? code : conv2d_data(p->ex, &net->decoder[i].conv, r->decoder[i][CONV2D_DATA], &b, &u);
        if (code || i == 0)
            return code;
        b = at_level(p, i, r->b[i]);
        code = activation(p, &net->down[i], r->down_statistics[i], &u, &b);
    }
    return code;
}

int vae_compare(const struct vae_pass *p, float weight_l1, bool gradient)
{
    const struct maps y = at_level(p, 0, p->room->down[0]), x = at_level(p, 0, p->room->input);
    const struct maps dy = at_level(p, 0, p->room->d[0]);
    const struct reconstruction_params params = {weight_l1};
    return reconstruction(p->ex, &params, p->room->state, &y, &x, gradient ? &dy : NULL);
}

/* ---- backward ---- */

/* dy of an activation into the gradient of its input, and those of gain and shift. */
static int activation_back(const struct vae_pass *p, const struct vae_norm *n, float *statistics, const struct maps *x,
                           const struct maps *dy, const struct maps *dx, float *gradients)
{
    const struct activate_params a = activation_of(p, n);
    const struct activate_norm norm = norm_of(p, n, statistics);
    return activate_gradient(p->ex, &a, a.dropout > 0 ? p->room->state : NULL, a.groups ? &norm : NULL, x, dy, dx,
                             a.groups ? gradients + n->gain : NULL, a.groups ? gradients + n->shift : NULL);
}

/* Of a layer's parameters. big, small: its sides with more and with fewer positions, one of them a gradient: the one
 * that `sums` is, which the biases are added to. */
static int layer_back(const struct vae_pass *p, const struct vae_layer *l, const struct maps *big,
                      const struct maps *small, const struct maps *sums, float *gradients)
{
    const int code = column_sums(p->ex, sums, gradients + l->bias);
    return code ? code : conv2d_weight(p->ex, &l->conv, big, small, gradients + l->weight);
}

static int decoder_back(const struct vae_pass *p, float *gradients)
{
    const struct vae_net *const net = p->net;
    const struct vae_room *const r = p->room;
    const int64_t depth = net->c.depth;
    int code = STATUS_OK;
    for (int64_t i = 0; i < depth && !code; i++) {
        const struct vae_layer *const l = &net->decoder[i];
        const struct maps du = at_level(p, i, r->d[i]), b = at_level(p, i + 1, r->b[i + 1]);
        const struct maps db = at_level(p, i + 1, r->d[i + 1]), low = dense_top(p, r->low),
                          dlow = dense_top(p, r->dlow);
        const struct maps u = i + 1 < depth ? at_level(p, i + 1, r->down[i + 1]) : low;
        code = layer_back(p, l, &du, &b, &du, gradients);
        code = code ? code : pack(p, l, CONV2D_FORWARD, false, r->decoder[i][CONV2D_FORWARD]);
        code = code ? code : conv2d(p->ex, &l->conv, r->decoder[i][CONV2D_FORWARD], &du, &db);
        code = code ? code
                    : activation_back(p, &net->down[i + 1], r->down_statistics[i + 1], &u, &db,
                                      i + 1 < depth ? &db : &dlow, gradients);
    }
    return code;
}

static int latent_back(const struct vae_pass *p, float *gradients)
{
    const struct vae_net *const net = p->net;
    const struct vae_room *const r = p->room;
    const int64_t flat = vae_flat(net), latent = net->c.latent;
    const struct maps z = vectors(p, r->z, latent), dz = vectors(p, r->dz, latent), dlow = vectors(p, r->dlow, flat);
    const struct maps a = vectors(p, r->a[net->c.depth], flat), dh = vectors(p, r->dh, 2 * latent);
    const struct latent_params params = latent_of(p);
    int code = layer_back(p, &net->wide, &z, &dlow, &dlow, gradients);
    code = code ? code : pack(p, &net->wide, CONV2D_DATA, false, r->wide[CONV2D_DATA]);
    code = code ? code : conv2d_data(p->ex, &net->wide.conv, r->wide[CONV2D_DATA], &dlow, &dz);
    code = code ? code : latent_gradient(p->ex, &params, r->state, r->h, r->kl, r->dz, r->dh);
    code = code ? code : layer_back(p, &net->narrow, &a, &dh, &dh, gradients);
    code = code ? code : pack(p, &net->narrow, CONV2D_DATA, false, r->narrow[CONV2D_DATA]);
    return code ? code : conv2d_data(p->ex, &net->narrow.conv, r->narrow[CONV2D_DATA], &dh, &dlow);
}

static int encoder_back(const struct vae_pass *p, float *gradients)
{
    const struct vae_net *const net = p->net;
    const struct vae_room *const r = p->room;
    const int64_t depth = net->c.depth;
    int code = STATUS_OK;
    for (int64_t i = depth - 1; i >= 0 && !code; i--) {
        const struct vae_layer *const l = &net->encoder[i];
        const struct maps du = at_level(p, i + 1, r->d[i + 1]), u = at_level(p, i + 1, r->up[i + 1]);
        const struct maps dlow = dense_top(p, r->dlow), x = encoded(p, i), dx = at_level(p, i, r->d[i]);
        code = activation_back(p, &net->up[i + 1], r->up_statistics[i + 1], &u, i + 1 < depth ? &du : &dlow, &du,
                               gradients);
        code = code ? code : layer_back(p, l, &x, &du, &du, gradients);
        if (code || i == 0)
            return code; /* nobody asks for the gradient of the input */
        code = pack(p, l, CONV2D_DATA, false, r->encoder[i][CONV2D_DATA]);
        code = code ? code : conv2d_data(p->ex, &l->conv, r->encoder[i][CONV2D_DATA], &du, &dx);
    }
    return code;
}

int vae_backward(const struct vae_pass *p, float *gradients)
{
    int code = decoder_back(p, gradients);
    code = code ? code : latent_back(p, gradients);
    return code ? code : encoder_back(p, gradients);
}
