/* Segments through the network, side by side as the items of every map. The frequency branch is maps of
 * [frames][bins][channels], the time branch of [1][samples][channels]; both use the same two work buffers one after the
 * other, and keep what the decoder adds again (the skips) in memory of their own. */
#include "htdemucs_net.h"

#include "exec.h"
#include "ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the network's own normalisation. */
static const float EPSILON = 1e-5F;

struct run {
    const struct htdemucs *net;
    struct exec *ex;
    struct htdemucs_room *room;
    int64_t items; /* segments */
};

static struct maps maps_at(const struct run *r, int branch, int64_t level, int64_t channels, float *memory)
{
    const struct htdemucs *const net = r->net;
    return branch == FREQUENCY ? maps_of(memory, r->items, net->frames, net->bins[level], channels, true)
                               : maps_of(memory, r->items, 1, net->samples[level], channels, true);
}

/* ---- parts ---- */

static int linear(const struct run *r, const struct linear *l, const struct maps *x, const float *scale,
                  const struct maps *add, const struct maps *y)
{
    return conv(r->ex, &l->p, l->packed, x, scale, add, y);
}

static int branches(const struct run *r, const struct branch *branch, int count, const struct maps *x)
{
    int code = STATUS_OK;
    for (int j = 0; j < count && !code; j++)
        code = dconv(r->ex, &branch[j].p, branch[j].packed, x);
    return code;
}

/* x into the skip of layer i. */
static int encode(const struct run *r, int branch, int64_t i, const struct maps *x, struct maps *y)
{
    const struct htdemucs *const net = r->net;
    const struct encoder *const e = &net->encoder[branch][i];
    const int64_t channels = channels_of(&net->c, i);
    const struct maps middle = maps_at(r, branch, i + 1, channels, r->room->b);
    struct maps embedding = maps_of((float *)net->frequency_embedding, r->items, 1, net->bins[1], channels, false);
    *y = maps_at(r, branch, i + 1, channels, r->room->skip[branch][i]);
    embedding.height = net->frames;
    embedding.row_stride = embedding.item_stride = 0;
    int code = clear_margins(r->ex, &middle);
    code = code ? code : clear_margins(r->ex, y);
    code = code ? code : linear(r, &e->conv, x, NULL, NULL, &middle);
    code = code ? code : branches(r, e->branch, e->branches, &middle);
    return code ? code : linear(r, &e->rewrite, &middle, NULL, branch == FREQUENCY && i == 0 ? &embedding : NULL, y);
}

/* x, which has the skip of this level in it, into y, to which the next one's is added. */
static int decode(const struct run *r, int branch, int64_t d, const struct maps *x, struct maps *y)
{
    const struct htdemucs *const net = r->net;
    const struct decoder *const to = &net->decoder[branch][d];
    const int64_t i = net->c.depth - 1 - d;
    const struct maps middle = maps_at(r, branch, i + 1, to->up.in, r->room->b);
    const struct maps skip = i ? maps_at(r, branch, i, to->up.out, r->room->skip[branch][i - 1]) : *y;
    *y = maps_at(r, branch, i, to->up.out, r->room->a);
    int code = clear_margins(r->ex, &middle);
    code = code ? code : linear(r, &to->rewrite, x, NULL, NULL, &middle);
    code = code ? code : branches(r, to->branch, to->branches, &middle);
    code = code ? code : clear_margins(r->ex, y);
    return code ? code : conv_transpose(r->ex, &to->up, to->up_packed, &middle, i ? &skip : NULL, y);
}

/* ---- transformer ---- */

static struct tokens part_of(const struct maps *m, int64_t first)
{
    return (struct tokens){m->data + first, m->items, m->width, m->item_stride, m->channels};
}

static int attend(const struct run *r, const struct attender *a, struct tokens q, struct tokens k, struct tokens v,
                  const struct maps *x, float *memory)
{
    const int64_t heads = r->net->c.heads, width = r->net->width;
    const struct attention_params p = {heads, width / heads};
    const struct maps seen = maps_tokens(memory, x->items, x->width, width);
    const struct tokens to = part_of(&seen, 0);
    const int code = attention(r->ex, &p, &q, &k, &v, &to);
    return code ? code : linear(r, &a->out, &seen, a->scale1, x, x);
}

/* x += scale2 * narrow(GELU(wide(norm(x)))), then the norm over all of it. */
static int feed_forward(const struct run *r, const struct attender *a, const struct affine *norm, const struct maps *x)
{
    const struct maps normed = maps_tokens(r->room->a, x->items, x->width, x->channels);
    const struct maps wide = maps_tokens(r->room->b, x->items, x->width, r->net->c.hidden);
    int code = layer_norm(r->ex, norm->gain, norm->shift, NULL, x, &normed);
    code = code ? code : linear(r, &a->wide, &normed, NULL, NULL, &wide);
    code = code ? code : linear(r, &a->narrow, &wide, a->scale2, x, x);
    return code ? code : group_norm(r->ex, a->norm_out.gain, a->norm_out.shift, x, NULL, x);
}

static int self_layer(const struct run *r, const struct attender *a, const struct maps *x)
{
    const int64_t width = r->net->width, each = x->items * x->width * width;
    const struct maps normed = maps_tokens(r->room->a, x->items, x->width, width);
    const struct maps all = maps_tokens(r->room->a + each, x->items, x->width, 3 * width);
    int code = layer_norm(r->ex, a->norm1.gain, a->norm1.shift, NULL, x, &normed);
    code = code ? code : linear(r, &a->in, &normed, NULL, NULL, &all);
    code =
        code ? code
             : attend(r, a, part_of(&all, 0), part_of(&all, width), part_of(&all, 2 * width), x, r->room->a + 4 * each);
    return code ? code : feed_forward(r, a, &a->norm2, x);
}

/* Keys and values of both branches come from what they were before the layer: those of time are made first, and kept in
 * b, where the frequency branch's attention does not write. */
static int cross_keys(const struct run *r, const struct attender *a, const struct maps *other, float *normed_at,
                      float *pair_at, struct maps *pair)
{
    const int64_t width = r->net->width;
    const struct maps normed = maps_tokens(normed_at, other->items, other->width, width);
    *pair = maps_tokens(pair_at, other->items, other->width, 2 * width);
    const int code = layer_norm(r->ex, a->norm2.gain, a->norm2.shift, NULL, other, &normed);
    return code ? code : linear(r, &a->pair, &normed, NULL, NULL, pair);
}

static int cross_attend(const struct run *r, const struct attender *a, const struct maps *x, const struct maps *pair)
{
    const int64_t width = r->net->width, each = x->items * x->width * width;
    const struct maps normed = maps_tokens(r->room->a, x->items, x->width, width);
    const struct maps query = maps_tokens(r->room->a + each, x->items, x->width, width);
    int code = layer_norm(r->ex, a->norm1.gain, a->norm1.shift, NULL, x, &normed);
    code = code ? code : linear(r, &a->query, &normed, NULL, NULL, &query);
    return code ? code
                : attend(r, a, part_of(&query, 0), part_of(pair, 0), part_of(pair, width), x, r->room->a + 2 * each);
}

static int cross_layer(const struct run *r, int64_t n, const struct maps x[BRANCHES])
{
    const struct attender *const f = &r->net->attender[FREQUENCY][n], *const t = &r->net->attender[TIME][n];
    const int64_t width = r->net->width;
    struct maps for_frequency, for_time;
    float *const kept = r->room->b, *const behind = kept + 2 * x[TIME].items * x[TIME].width * width;
    int code = cross_keys(r, f, &x[TIME], r->room->a, kept, &for_frequency);
    code = code ? code : cross_keys(r, t, &x[FREQUENCY], r->room->a, behind, &for_time);
    /* Both attentions before either wide layer, which needs b. */
    code = code ? code : cross_attend(r, f, &x[FREQUENCY], &for_frequency);
    code = code ? code : cross_attend(r, t, &x[TIME], &for_time);
    code = code ? code : feed_forward(r, f, &f->norm3, &x[FREQUENCY]);
    return code ? code : feed_forward(r, t, &t->norm3, &x[TIME]);
}

/* Maps of the last level as tokens, without margins, in the width of the transformer; position codes added. */
static int enter(const struct run *r, int branch, const struct maps *x, struct maps *tokens)
{
    const struct htdemucs *const net = r->net;
    const struct maps plain = maps_of(r->room->token[branch], x->items, x->height, x->width, net->width, false);
    const struct maps *from = x;
    int code = STATUS_OK;
    *tokens = maps_tokens(r->room->token[branch], x->items, x->height * x->width, net->width);
    if (net->c.bottom) {
        code = linear(r, &net->up[branch], x, NULL, NULL, &plain);
        from = &plain;
    }
    return code ? code
                : layer_norm(r->ex, net->norm_in[branch].gain, net->norm_in[branch].shift, net->positions[branch], from,
                             &plain);
}

/* Tokens back into maps of the last level, plus its skip: what the first decoder takes. */
static int leave(const struct run *r, int branch, const struct maps *skip, struct maps *y)
{
    const struct htdemucs *const net = r->net;
    const struct maps tokens =
        maps_of(r->room->token[branch], skip->items, skip->height, skip->width, net->width, false);
    *y = maps_at(r, branch, net->c.depth, skip->channels, r->room->a);
    const int code = clear_margins(r->ex, y);
    if (code)
        return code;
    return net->c.bottom ? linear(r, &net->down[branch], &tokens, NULL, skip, y) : add_maps(r->ex, &tokens, skip, y);
}

static int transform(const struct run *r, const struct maps last[BRANCHES])
{
    struct maps x[BRANCHES];
    int code = enter(r, FREQUENCY, &last[FREQUENCY], &x[FREQUENCY]);
    code = code ? code : enter(r, TIME, &last[TIME], &x[TIME]);
    for (int64_t n = 0; n < r->net->c.layers && !code; n++) {
        if (n % 2 == 0) {
            code = self_layer(r, &r->net->attender[FREQUENCY][n], &x[FREQUENCY]);
            code = code ? code : self_layer(r, &r->net->attender[TIME][n], &x[TIME]);
        } else {
            code = cross_layer(r, n, x);
        }
    }
    return code;
}

/* ---- in and out ---- */

static struct stft_params transform_of(const struct htdemucs *net, bool centred)
{
    return (struct stft_params){.frame = {net->c.n_fft, net->c.n_fft / 4, centred}, .pad = PAD_ZERO};
}

static struct ragged rows_of(const struct run *r, enum table t, enum dtype dtype, float *data, int64_t channels,
                             int64_t rows)
{
    return (struct ragged){.data = data,
                           .dtype = dtype,
                           .channels = (int32_t)channels,
                           .offset = r->room->begins[t],
                           .offset_device = r->room->begins_there[t],
                           .rows = rows,
                           .total = r->room->begins[t][rows]};
}

static struct maps mixtures(const struct run *r)
{
    return maps_tokens(r->room->mix, r->items, r->net->c.segment, AUDIO_CHANNELS);
}

/* The mixtures' spectra as normalised maps, in a. Frame t covers samples hop*t - 3/2 hop on, the signal mirrored at its
 * ends. */
static int frequency_input(const struct run *r, struct maps *y)
{
    const struct htdemucs *const net = r->net;
    const int64_t samples = padded_samples(net), bins = net->c.n_fft / 2 + 1, rows = AUDIO_CHANNELS * r->items;
    const struct stft_params p = transform_of(net, false);
    const struct complex_maps_params view = {.bins = bins, .scale = 1 / sqrtf((float)net->c.n_fft)};
    const struct maps mix = mixtures(r);
    float *const moment = r->room->moments[FREQUENCY];
    const struct ragged x = rows_of(r, PADDED_ROWS, DTYPE_F32, r->room->padded, 1, rows);
    struct ragged spectra = rows_of(r, SPECTRA_ROWS, DTYPE_C64, r->room->spectra, bins, rows);
    *y = maps_at(r, FREQUENCY, 0, 2 * AUDIO_CHANNELS, r->room->a);
    int code = mirror(r->ex, before_first(net), &mix, samples, r->room->padded);
    code = code ? code : clear_margins(r->ex, y);
    code = code ? code : stft(r->ex, &p, &x, &spectra);
    code = code ? code : maps_from_complex(r->ex, &view, r->room->spectra, y);
    code = code ? code : moments(r->ex, y, moment);
    return code ? code : standardize(r->ex, moment, EPSILON, y, y);
}

static int time_input(const struct run *r, struct maps *y)
{
    const struct maps mix = mixtures(r);
    float *const moment = r->room->moments[TIME];
    *y = maps_at(r, TIME, 0, AUDIO_CHANNELS, r->room->input);
    int code = clear_margins(r->ex, y);
    code = code ? code : moments(r->ex, &mix, moment);
    return code ? code : standardize(r->ex, moment, EPSILON, &mix, y);
}

/* Maps of the frequency branch back to signals, [segments][stems*2] with what lies before each. */
static int frequency_output(const struct run *r, const struct maps *x)
{
    const struct htdemucs *const net = r->net;
    const int64_t rows = (int64_t)net->c.stems * AUDIO_CHANNELS * r->items;
    const struct complex_maps_params view = {
        .bins = net->c.n_fft / 2 + 1, .before = 2, .after = 2, .scale = sqrtf((float)net->c.n_fft)};
    const struct stft_params p = transform_of(net, true);
    const struct ragged spectra = rows_of(r, INVERSE_ROWS, DTYPE_C64, r->room->b, view.bins, rows);
    struct ragged y = rows_of(r, WAVES_ROWS, DTYPE_F32, r->room->waves, 1, rows);
    int code = unstandardize(r->ex, r->room->moments[FREQUENCY], x, x);
    code = code ? code : complex_from_maps(r->ex, &view, x, r->room->b);
    return code ? code : istft(r->ex, &p, &spectra, &y);
}

/* Both branches together. */
static int sum_output(const struct run *r, const struct maps *time)
{
    const struct htdemucs *const net = r->net;
    const struct maps y = maps_tokens(r->room->stems, r->items, net->c.segment, time->channels);
    const int code = unstandardize(r->ex, r->room->moments[TIME], time, &y);
    return code ? code : add_planar(r->ex, r->room->waves + before_first(net), wave_samples(net), &y, &y);
}

static int encode_all(const struct run *r, int branch, const struct maps *input, struct maps skip[])
{
    struct maps x = *input;
    int code = STATUS_OK;
    for (int64_t i = 0; i < r->net->c.depth && !code; i++) {
        code = encode(r, branch, i, &x, &skip[i]);
        x = skip[i];
    }
    return code;
}

static int decode_all(const struct run *r, int branch, const struct maps *last, struct maps *y)
{
    struct maps x;
    int code = leave(r, branch, last, &x);
    for (int64_t d = 0; d < r->net->c.depth && !code; d++) {
        code = decode(r, branch, d, &x, y);
        x = *y;
    }
    return code;
}

int htdemucs_forward(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int count)
{
    const struct run run = {.net = net, .ex = ex, .room = room, .items = count}, *const r = &run;
    const int64_t deepest = net->c.depth - 1;
    struct maps input, skip[BRANCHES][HTDEMUCS_DEPTH_MOST], y = {0};
    int code = frequency_input(r, &input);
    code = code ? code : encode_all(r, FREQUENCY, &input, skip[FREQUENCY]);
    code = code ? code : time_input(r, &input);
    code = code ? code : encode_all(r, TIME, &input, skip[TIME]);
    if (!code)
        code = transform(r, (const struct maps[]){skip[FREQUENCY][deepest], skip[TIME][deepest]});
    code = code ? code : decode_all(r, FREQUENCY, &skip[FREQUENCY][deepest], &y);
    code = code ? code : frequency_output(r, &y);
    code = code ? code : decode_all(r, TIME, &skip[TIME][deepest], &y);
    return code ? code : sum_output(r, &y);
}
