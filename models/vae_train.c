#include "adamw.h"
#include "device.h"
#include "exec_memory.h"
#include "gradient_norm.h"
#include "ops.h"
#include "philox.h"
#include "vae_pass.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_INIT = 1 << 16 }; /* and as many more as there are tensors */

struct vae_trainer {
    struct vae_net net;
    struct vae_recipe recipe;
    uint64_t seed;
    struct exec *ex;
    struct exec_memory block;  /* VAE_BLOCKS of parameters, then the spans that decay */
    struct exec_memory memory; /* the room */
    struct vae_room room;
    float *input, *output;      /* the host's: level 0 of a batch with its margins, and dense */
    struct device_graph *graph; /* of a step, from the second on */
    bool stepped, plain;        /* once; it could not be recorded */
    struct adamw_span *spans;
    int64_t span_count;
};

static float *block_at(const struct vae_trainer *t, enum vae_block block)
{
    return (float *)t->block.data + block * t->net.parameters;
}

static size_t block_bytes(const struct vae_net *net)
{
    return (size_t)net->parameters * sizeof(float);
}

static size_t blocks_bytes(const struct vae_net *net)
{
    return VAE_BLOCKS * block_bytes(net) + VAE_TENSORS_MOST * sizeof(struct adamw_span);
}

static size_t input_bytes(const struct vae_net *net, int64_t batch)
{
    return maps_bytes(batch, net->c.frames, net->c.mels, 1, true);
}

int vae_trainer_needs(const struct vae_config *c, int64_t batch, const struct exec *ex, size_t *out)
{
    struct vae_net *const net = malloc(sizeof *net);
    struct vae_room room;
    if (!net)
        return fail(STATUS_NOMEM, "vae: out of memory");
    const int code = vae_net_of(c, net);
    if (!code) {
        vae_room_place(net, batch, ex, NULL, &room);
        *out = room.bytes + blocks_bytes(net);
    }
    free(net);
    return code;
}

size_t vae_trainer_bytes(const struct vae_trainer *t)
{
    return t->room.bytes + blocks_bytes(&t->net);
}

/* ---- begin and end ---- */

static int check_recipe(const struct vae_recipe *r)
{
    if (r->precision < PRECISION_F32 || r->precision > PRECISION_BF16)
        return fail(STATUS_ARGUMENT, "vae: no precision %d", (int)r->precision);
    if (r->batch < 1 || r->batch > VAE_BATCH_MOST || r->steps < 1)
        return fail(STATUS_ARGUMENT, "vae: batches of %lld, %lld steps: allowed are 1 to %d, and at least one",
                    (long long)r->batch, (long long)r->steps, VAE_BATCH_MOST);
    if (!(r->rate > 0 && r->rate <= 1) || !(r->weight_decay >= 0 && r->weight_decay <= 1) || !(r->clip > 0) ||
        !(r->ema_decay >= 0 && r->ema_decay < 1) || !(r->beta >= 0) || !(r->free_nats >= 0) || !(r->weight_l1 >= 0))
        return fail(STATUS_ARGUMENT, "vae: rate %g, weight decay %g, clip %g, average %g, beta %g: one cannot be",
                    r->rate, r->weight_decay, r->clip, r->ema_decay, r->beta);
    return STATUS_OK;
}

/* A tensor each has its own numbers, so that the order of the layers does not matter. */
static void draw(const struct vae_net *net, uint64_t seed, float *weights)
{
    memset(weights, 0, block_bytes(net));
    for (int n = 0; n < net->tensors; n++) {
        const struct vae_tensor *const t = &net->tensor[n];
        for (int64_t i = 0; i < t->count; i++)
            weights[t->offset + i] = t->deviation > 0
                                         ? (float)(t->deviation * philox_normal(seed, STREAM_INIT + (uint32_t)n, 0, i))
                                         : t->fill;
    }
}

static int draw_weights(struct vae_trainer *t)
{
    float *const weights = malloc(block_bytes(&t->net));
    if (!weights)
        return fail(STATUS_NOMEM, "vae: %zu bytes of weights", block_bytes(&t->net));
    draw(&t->net, t->seed, weights);
    int code = vae_trainer_put(t, VAE_WEIGHTS, weights);
    code = code ? code : vae_trainer_put(t, VAE_AVERAGE, weights);
    memset(weights, 0, block_bytes(&t->net));
    for (int b = VAE_GRADIENTS; b < VAE_AVERAGE && !code; b++)
        code = vae_trainer_put(t, (enum vae_block)b, weights);
    free(weights);
    return code;
}

static int put_spans(struct vae_trainer *t)
{
    struct adamw_span spans[VAE_TENSORS_MOST];
    t->spans = (struct adamw_span *)block_at(t, VAE_BLOCKS);
    for (int n = 0; n < t->net.tensors; n++)
        if (t->net.tensor[n].decays)
            spans[t->span_count++] = (struct adamw_span){t->net.tensor[n].offset, t->net.tensor[n].count, 1};
    return exec_memory_put(t->ex, t->spans, spans, (size_t)t->span_count * sizeof *spans);
}

/* Zeros: margins stay what they are now. */
static int clear_room(struct vae_trainer *t)
{
    if (t->memory.device)
        return t->memory.api->clear(exec_stream(t->ex), t->memory.data, t->room.bytes);
    memset(t->memory.data, 0, t->room.bytes);
    return STATUS_OK;
}

static int allocate(struct vae_trainer *t)
{
    const int64_t batch = t->recipe.batch;
    vae_room_place(&t->net, batch, t->ex, NULL, &t->room);
    int code = exec_memory_allocate(t->ex, blocks_bytes(&t->net), &t->block);
    code = code ? code : exec_memory_allocate(t->ex, t->room.bytes, &t->memory);
    if (code)
        return code;
    vae_room_place(&t->net, batch, t->ex, t->memory.data, &t->room);
    t->input = calloc(1, input_bytes(&t->net, batch));
    t->output = malloc(input_bytes(&t->net, batch));
    if (!t->input || !t->output)
        return fail(STATUS_NOMEM, "vae: batches of %lld", (long long)batch);
    code = clear_room(t);
    code = code ? code : put_spans(t);
    return code ? code : draw_weights(t);
}

int vae_trainer_create(const struct vae_config *c, const struct vae_recipe *r, uint64_t seed, struct exec *ex,
                       struct vae_trainer **out)
{
    struct vae_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return fail(STATUS_NOMEM, "vae: out of memory");
    t->recipe = *r;
    t->seed = seed;
    t->ex = ex;
    int code = check_recipe(r);
    code = code ? code : vae_net_of(c, &t->net);
    if (!code)
        vae_net_round(&t->net, r->precision);
    code = code ? code : allocate(t);
    if (code)
        vae_trainer_destroy(&t);
    *out = t;
    return code;
}

void vae_trainer_destroy(struct vae_trainer **t)
{
    if (!*t)
        return;
    if ((*t)->graph)
        (*t)->memory.api->graph_destroy(&(*t)->graph);
    exec_memory_release(&(*t)->memory);
    exec_memory_release(&(*t)->block);
    free((*t)->input);
    free((*t)->output);
    free(*t);
    *t = NULL;
}

const struct vae_config *vae_trainer_config(const struct vae_trainer *t)
{
    return &t->net.c;
}

int64_t vae_trainer_parameters(const struct vae_trainer *t)
{
    return t->net.parameters;
}

const struct vae_tensor *vae_trainer_tensors(const struct vae_trainer *t, int *count)
{
    *count = t->net.tensors;
    return t->net.tensor;
}

int vae_trainer_get(struct vae_trainer *t, enum vae_block block, float *out)
{
    return exec_memory_get(t->ex, out, block_at(t, block), block_bytes(&t->net));
}

int vae_trainer_put(struct vae_trainer *t, enum vae_block block, const float *from)
{
    return exec_memory_put(t->ex, block_at(t, block), from, block_bytes(&t->net));
}

/* ---- a step ---- */

static int put_examples(struct vae_trainer *t, const float *examples, int64_t items)
{
    const int64_t mels = t->net.c.mels;
    const struct maps in = maps_of(t->input, items, t->net.c.frames, mels, 1, true);
    for (int64_t row = 0; row < items * t->net.c.frames; row++)
        memcpy(in.data + row * in.row_stride, examples + row * mels, (size_t)mels * sizeof *examples);
    return exec_memory_put(t->ex, t->room.input, t->input, input_bytes(&t->net, items));
}

static int tell(struct vae_trainer *t, const struct vae_step *s)
{
    const struct vae_recipe *const r = &t->recipe;
    const struct step_state told = {.seed = t->seed,
                                    .step = s->step,
                                    .rate = s->rate,
                                    .beta = s->beta,
                                    .kl_floor = r->free_nats,
                                    .clip = r->clip,
                                    .weight_decay = r->weight_decay,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .epsilon = 1e-8,
                                    .ema_decay = r->ema_decay};
    return exec_memory_put(t->ex, t->room.state, &told, STEP_STATE_TOLD);
}

static int found(struct vae_trainer *t, struct vae_losses *out)
{
    struct step_state s;
    const int code = exec_memory_get(t->ex, &s, t->room.state, sizeof s);
    if (!code)
        *out = (struct vae_losses){.loss = s.reconstruction + s.beta * s.kl,
                                   .reconstruction = s.reconstruction,
                                   .kl = s.kl,
                                   .gradient_norm = s.gradient_norm,
                                   .bad = s.bad != 0};
    return code;
}

static struct vae_pass pass_of(struct vae_trainer *t, int64_t items, enum vae_block weights, bool training)
{
    return (struct vae_pass){&t->net, &t->room, t->ex, items, block_at(t, weights), training};
}

static int forward_and_back(struct vae_trainer *t)
{
    const struct vae_pass p = pass_of(t, t->recipe.batch, VAE_WEIGHTS, true);
    float *const gradients = block_at(t, VAE_GRADIENTS);
    const struct adamw_blocks blocks = {.param = block_at(t, VAE_WEIGHTS),
                                        .grad = gradients,
                                        .m = block_at(t, VAE_MOMENT1),
                                        .v = block_at(t, VAE_MOMENT2),
                                        .ema = block_at(t, VAE_AVERAGE),
                                        .n = t->net.parameters,
                                        .spans = t->spans,
                                        .count = t->span_count};
    int code = vae_encode(&p);
    code = code ? code : vae_decode(&p);
    code = code ? code : vae_compare(&p, (float)t->recipe.weight_l1, true);
    code = code ? code : vae_backward(&p, gradients);
    code = code ? code : gradient_norm(t->ex, t->room.state, gradients, t->net.parameters);
    return code ? code : adamw(t->ex, t->room.state, &blocks);
}

static int record(struct vae_trainer *t)
{
    const struct device_api *const api = exec_device_api(t->ex);
    int code = api->graph_begin(exec_stream(t->ex));
    if (code)
        return code;
    code = forward_and_back(t);
    const int ended = api->graph_end(exec_stream(t->ex), &t->graph);
    if (code && !ended)
        api->graph_destroy(&t->graph);
    return code ? code : ended;
}

/* One launch in place of hundreds, from the second step on. */
static int step_on_device(struct vae_trainer *t)
{
    if (!t->stepped) {
        const int code = forward_and_back(t);
        t->stepped = !code;
        return code;
    }
    int code = STATUS_OK;
    if (!t->graph && !t->plain)
        code = record(t);
    if (code == STATUS_DEVICE)
        return code;
    t->plain = t->plain || code; /* it could not be recorded: as before, then */
    return t->graph ? exec_device_api(t->ex)->graph_launch(t->graph, exec_stream(t->ex)) : forward_and_back(t);
}

int vae_trainer_step(struct vae_trainer *t, const struct vae_step *s, const float *examples, struct vae_losses *out)
{
    if (s->step < 1)
        return fail(STATUS_ARGUMENT, "vae: steps are counted from 1");
    int code = put_examples(t, examples, t->recipe.batch);
    code = code ? code : tell(t, s);
    code = code ? code : t->memory.device ? step_on_device(t) : forward_and_back(t);
    return code ? code : found(t, out);
}

/* ---- what it has learnt ---- */

static int check_count(const struct vae_trainer *t, int64_t count)
{
    if (count >= 1 && count <= t->recipe.batch)
        return STATUS_OK;
    return fail(STATUS_ARGUMENT, "vae: %lld examples at once, allowed 1 to %lld", (long long)count,
                (long long)t->recipe.batch);
}

static int get_output(struct vae_trainer *t, int64_t count, float *y)
{
    const int64_t mels = t->net.c.mels;
    const struct maps out = maps_of(t->output, count, t->net.c.frames, mels, 1, true);
    const int code = exec_memory_get(t->ex, t->output, t->room.down[0], input_bytes(&t->net, count));
    for (int64_t row = 0; !code && row < count * t->net.c.frames; row++)
        memcpy(y + row * mels, out.data + row * out.row_stride, (size_t)mels * sizeof *y);
    return code;
}

int vae_trainer_validate(struct vae_trainer *t, double beta, const float *examples, int64_t count,
                         struct vae_losses *out, float *kl)
{
    const struct vae_pass p = pass_of(t, count, VAE_AVERAGE, false);
    int code = check_count(t, count);
    code = code ? code : put_examples(t, examples, count);
    code = code ? code : tell(t, &(struct vae_step){.step = 1, .beta = beta});
    code = code ? code : vae_encode(&p);
    code = code ? code : vae_decode(&p);
    code = code ? code : vae_compare(&p, (float)t->recipe.weight_l1, false);
    if (!code && kl)
        code = exec_memory_get(t->ex, kl, t->room.kl, (size_t)t->net.c.latent * sizeof *kl);
    return code ? code : found(t, out);
}

int vae_trainer_reconstruct(struct vae_trainer *t, const float *examples, int64_t count, float *latent, float *y)
{
    const struct vae_pass p = pass_of(t, count, VAE_AVERAGE, false);
    int code = check_count(t, count);
    code = code ? code : put_examples(t, examples, count);
    code = code ? code : vae_encode(&p);
    code = code ? code : vae_decode(&p);
    if (!code && latent)
        code = exec_memory_get(t->ex, latent, t->room.z, (size_t)(count * t->net.c.latent) * sizeof *latent);
    return code ? code : get_output(t, count, y);
}

int vae_trainer_decode(struct vae_trainer *t, const float *latent, int64_t count, float *y)
{
    const struct vae_pass p = pass_of(t, count, VAE_AVERAGE, false);
    int code = check_count(t, count);
    code = code ? code : exec_memory_put(t->ex, t->room.z, latent, (size_t)(count * t->net.c.latent) * sizeof *latent);
    code = code ? code : vae_decode(&p);
    return code ? code : get_output(t, count, y);
}
