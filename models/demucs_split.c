#include "demucs_split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = SEPARATION_CHANNELS, STATE_VERSION = 2 };

/* The signal behind some zeros, cut into chunks; one for each shift. */
struct lane {
    int64_t zeros;    /* before the signal */
    int64_t received; /* frames, zeros included */
    int64_t next;     /* where the next chunk begins */
    float *audio;     /* normalised, frames `first` to `received` */
    int64_t first, room;
    float *sum, *norm; /* of weighed stems [chunk][values] and of weights [chunk], from frame `next` on */
};

struct demucs_split {
    struct separation s;
    struct demucs_split_params p;
    int64_t segment, chunk, stride, values; /* values: stems*2 */
    int most, together;                     /* chunks that are run at once, ever and now */
    int lanes;
    struct lane lane[DEMUCS_SHIFTS_MOST];
    float *weight;                /* [chunk] */
    float *padded, *stems, *part; /* [most][..]; part: NULL where one network runs */
    /* Finished by some lanes and not by all: sums over the lanes from frame `emitted` of the signal on. */
    float *waiting;
    int64_t waiting_room, emitted, pushed;
};

static struct demucs_split *split_of(struct separation *s)
{
    return (struct demucs_split *)s;
}

/* ---- chunks ---- */

/* Samples of the chunk at frame `from`, surrounded by what lies around it, zeros outside of the signal. */
static void cut_out(const struct demucs_split *d, const struct lane *l, int64_t from, int64_t length, float *padded)
{
    const int64_t start = from - (d->chunk - length) / 2;
    const int64_t first = start > l->first ? start : l->first;
    const int64_t last = start + d->chunk < l->received ? start + d->chunk : l->received;
    memset(padded, 0, (size_t)(d->segment * CHANNELS) * sizeof *padded);
    if (last > first)
        memcpy(padded + (first - start) * CHANNELS, l->audio + (first - l->first) * CHANNELS,
               (size_t)((last - first) * CHANNELS) * sizeof *padded);
}

static int64_t length_at(const struct demucs_split *d, const struct lane *l, int64_t from)
{
    return l->received - from < d->chunk ? l->received - from : d->chunk;
}

/* ---- what comes out ---- */

static int64_t delivered(const struct lane *l)
{
    return l->next > l->zeros ? l->next - l->zeros : 0;
}

/* Passes on what all lanes have finished. */
static int emit(struct demucs_split *d)
{
    int64_t end = d->pushed;
    for (int i = 0; i < d->lanes; i++)
        end = delivered(&d->lane[i]) < end ? delivered(&d->lane[i]) : end;
    const int64_t frames = end - d->emitted;
    if (frames <= 0)
        return STATUS_OK;
    int64_t filled = end;
    for (int i = 0; i < d->lanes; i++)
        filled = delivered(&d->lane[i]) > filled ? delivered(&d->lane[i]) : filled;
    const float deviation = d->p.deviation + 1e-8F, lanes = (float)d->lanes;
    for (int64_t i = 0; i < frames * d->values; i++)
        d->waiting[i] = d->waiting[i] / lanes * deviation + d->p.mean;
    for (int s = 0; s < d->s.stems; s++)
        for (int64_t i = 0; i < frames && !d->p.bag.wanted[s]; i++)
            memset(d->waiting + i * d->values + s * CHANNELS, 0, CHANNELS * sizeof *d->waiting);
    const int code = d->s.emit(d->s.context, d->waiting, frames);
    const int64_t left = filled - end;
    memmove(d->waiting, d->waiting + frames * d->values, (size_t)(left * d->values) * sizeof *d->waiting);
    memset(d->waiting + left * d->values, 0, (size_t)(frames * d->values) * sizeof *d->waiting);
    d->emitted = end;
    return code;
}

/* Frames `next` to `next` + count of a lane have all their chunks: into the sum over the lanes, and the lane moves on.
 */
static void deliver(struct demucs_split *d, struct lane *l, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = l->next + i - l->zeros - d->emitted;
        if (l->next + i < l->zeros)
            continue;
        for (int64_t v = 0; v < d->values; v++)
            d->waiting[at * d->values + v] += l->sum[i * d->values + v] / l->norm[i];
    }
    const int64_t left = d->chunk - count;
    memmove(l->sum, l->sum + count * d->values, (size_t)(left * d->values) * sizeof *l->sum);
    memset(l->sum + left * d->values, 0, (size_t)(count * d->values) * sizeof *l->sum);
    memmove(l->norm, l->norm + count, (size_t)left * sizeof *l->norm);
    memset(l->norm + left, 0, (size_t)count * sizeof *l->norm);
    l->next += count;
}

/* The chunk at frame `next` has these stems. */
static void add_chunk(struct demucs_split *d, struct lane *l, const float *stems)
{
    const int64_t length = length_at(d, l, l->next);
    stems += (d->chunk - length) / 2 * d->values;
    for (int64_t i = 0; i < length; i++) {
        for (int64_t v = 0; v < d->values; v++)
            l->sum[i * d->values + v] += d->weight[i] * stems[i * d->values + v];
        l->norm[i] += d->weight[i];
    }
    deliver(d, l, d->stride < length ? d->stride : length);
}

static void forget_audio(const struct demucs_split *d, struct lane *l)
{
    const int64_t keep = l->next - d->chunk / 2 - 1; /* a short chunk looks back as far as that */
    if (keep <= l->first)
        return;
    memmove(l->audio, l->audio + (keep - l->first) * CHANNELS,
            (size_t)((l->received - keep) * CHANNELS) * sizeof *l->audio);
    l->first = keep;
}

/* The next `count` chunks of a lane. */
static int run_chunks(struct demucs_split *d, struct lane *l, int64_t count)
{
    struct htdemucs_segment segments[HTDEMUCS_SEGMENTS_MOST];
    for (int64_t k = 0; k < count; k++) {
        const int64_t from = l->next + k * d->stride;
        float *const padded = d->padded + k * d->segment * CHANNELS;
        cut_out(d, l, from, length_at(d, l, from), padded);
        segments[k] = (struct htdemucs_segment){padded, d->stems + k * d->segment * d->values};
    }
    const int code = demucs_bag_run(&d->p.bag, segments, (int)count, d->part);
    for (int64_t k = 0; k < count && !code; k++)
        add_chunk(d, l, segments[k].stems);
    if (!code)
        forget_audio(d, l);
    return code;
}

/* ---- what goes in ---- */

/* Frame of the signal up to which a lane is through. */
static int64_t through(const struct lane *l)
{
    return l->next - l->zeros;
}

/* Chunks of lane i that can run now. Each lane waits for the one before it, so that every frame of the sum over them
 * has the same order of terms, however the signal comes and however many chunks are run at once. */
static int64_t ready(const struct demucs_split *d, int i, bool at_end)
{
    const struct lane *const l = &d->lane[i];
    const int64_t left = l->received - l->next;
    int64_t count = at_end             ? (left + d->stride - 1) / d->stride
                    : left >= d->chunk ? (left - d->chunk) / d->stride + 1
                                       : 0;
    if (i > 0) {
        const int64_t ahead = through(l - 1) - through(l);
        const int64_t most = ahead >= left ? count : ahead < 0 ? 0 : ahead / d->stride;
        count = most < count ? most : count;
    } else if ((!at_end && count < d->together) || through(l) - d->emitted >= d->stride) {
        return 0; /* too few, or the others are behind */
    }
    return count < d->together ? count : d->together;
}

static int run_ready(struct demucs_split *d, bool at_end)
{
    d->together = demucs_bag_together(&d->p.bag);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < d->lanes; i++) {
            const int64_t count = ready(d, i, at_end);
            const int code = count ? run_chunks(d, &d->lane[i], count) : STATUS_OK;
            if (code)
                return code;
            moved = moved || count;
        }
        const int code = emit(d);
        if (code)
            return code;
    }
    return STATUS_OK;
}

static void lane_push(const struct demucs_split *d, struct lane *l, const float *x, int64_t frames)
{
    const float factor = 1 / (d->p.deviation + 1e-8F);
    float *const to = l->audio + (l->received - l->first) * CHANNELS;
    for (int64_t i = 0; i < frames * CHANNELS; i++)
        to[i] = (x[i] - d->p.mean) * factor;
    l->received += frames;
}

static int push(struct separation *s, const float *x, int64_t frames)
{
    struct demucs_split *const d = split_of(s);
    while (frames > 0) {
        const int64_t some = frames < d->stride ? frames : d->stride;
        for (int i = 0; i < d->lanes; i++)
            lane_push(d, &d->lane[i], x, some);
        d->pushed += some;
        const int code = run_ready(d, false);
        if (code)
            return code;
        x += some * CHANNELS;
        frames -= some;
    }
    return STATUS_OK;
}

static int finish(struct separation *s)
{
    struct demucs_split *const d = split_of(s);
    return d->pushed > 0 ? run_ready(d, true) : STATUS_OK;
}

/* ---- state ---- */

struct state {
    int64_t version, chunk, stride, values, lanes, pushed, emitted;
    struct {
        int64_t zeros, received, next, first;
    } lane[DEMUCS_SHIFTS_MOST];
};

/* Behind the struct: `waiting`, of which the lanes are less than a stride apart, and of each lane the samples that it
 * keeps and the sums that are not finished. */
static size_t state_bytes(const struct separation *s)
{
    const struct demucs_split *const d = (const struct demucs_split *)s;
    int64_t floats = d->lanes > 1 ? d->stride * d->values : 0;
    for (int i = 0; i < d->lanes; i++)
        floats += (d->lane[i].received - d->lane[i].first) * CHANNELS + (d->chunk - d->stride) * (d->values + 1);
    return sizeof(struct state) + (size_t)floats * sizeof(float);
}

/* One pass over all that is kept, to or from a block. */
static void move_state(const struct demucs_split *d, float *block, bool saving)
{
    const int64_t tail = d->chunk - d->stride;
    const size_t one = sizeof *block;
#define MOVE(at, count) \
    do { \
        const size_t floats = (size_t)(count); \
        memcpy(saving ? block : (at), saving ? (at) : block, floats *one); \
        block += floats; \
    } while (0)
    if (d->lanes > 1)
        MOVE(d->waiting, d->stride * d->values);
    for (int i = 0; i < d->lanes; i++) {
        const struct lane *const l = &d->lane[i];
        MOVE(l->audio, (l->received - l->first) * CHANNELS);
        MOVE(l->sum, tail * d->values);
        MOVE(l->norm, tail);
    }
#undef MOVE
}

static void save(const struct separation *s, void *state)
{
    const struct demucs_split *const d = (const struct demucs_split *)s;
    struct state head = {STATE_VERSION, d->chunk, d->stride, d->values, d->lanes, d->pushed, d->emitted, {{0}}};
    for (int i = 0; i < d->lanes; i++) {
        const struct lane *const l = &d->lane[i];
        head.lane[i].zeros = l->zeros;
        head.lane[i].received = l->received;
        head.lane[i].next = l->next;
        head.lane[i].first = l->first;
    }
    memcpy(state, &head, sizeof head);
    move_state(d, (float *)(void *)((char *)state + sizeof head), true);
}

/* Whether lane i can stand there; how many chunks were run at once does not matter. */
static bool can_stand(const struct demucs_split *d, const struct state *head, int i)
{
    const int64_t received = head->lane[i].received, next = head->lane[i].next, first = head->lane[i].first;
    return head->lane[i].zeros == d->lane[i].zeros && received == head->pushed + d->lane[i].zeros && first >= 0 &&
           next >= first && next - first <= d->chunk / 2 + 1 && next <= received && next % d->stride == 0 &&
           received - next < d->chunk + HTDEMUCS_SEGMENTS_MOST * d->stride;
}

static bool is_of(const struct demucs_split *d, const struct state *head, size_t bytes)
{
    const int64_t most = INT64_C(1) << 48;
    bool fits = head->version == STATE_VERSION && head->chunk == d->chunk && head->stride == d->stride &&
                head->values == d->values && head->lanes == d->lanes && head->pushed >= 0 && head->pushed < most;
    int64_t before = head->pushed, farthest = 0; /* frames that lanes have finished: each at most those before it */
    size_t floats = d->lanes > 1 ? (size_t)(d->stride * d->values) : 0;
    for (int i = 0; i < d->lanes && fits; i++) {
        if (!can_stand(d, head, i))
            return false;
        const int64_t past = head->lane[i].next - head->lane[i].zeros, done = past > 0 ? past : 0;
        fits = done <= before;
        farthest = i == 0 ? done : farthest;
        before = done;
        floats += (size_t)((head->lane[i].received - head->lane[i].first) * CHANNELS +
                           (d->chunk - d->stride) * (d->values + 1));
    }
    return fits && head->emitted == before && farthest - before < d->stride &&
           bytes == sizeof *head + floats * sizeof(float);
}

/* More samples may wait than this separation would let: the other ran more chunks at once. */
static int make_audio_fit(const struct demucs_split *d, struct lane *l, int64_t frames)
{
    if (frames + d->stride <= l->room)
        return STATUS_OK;
    float *const audio = realloc(l->audio, (size_t)((frames + d->stride) * CHANNELS) * sizeof *audio);
    if (!audio)
        return fail(STATUS_NOMEM, "demucs: out of memory");
    l->audio = audio;
    l->room = frames + d->stride;
    return STATUS_OK;
}

static int restore(struct separation *s, const void *state, size_t bytes)
{
    struct demucs_split *const d = split_of(s);
    struct state head;
    if (bytes < sizeof head)
        return fail(STATUS_FORMAT, "demucs: a state of %zu bytes", bytes);
    memcpy(&head, state, sizeof head);
    if (!is_of(d, &head, bytes))
        return fail(STATUS_FORMAT, "demucs: the state is of another separation");
    for (int i = 0; i < d->lanes; i++) {
        const int code = make_audio_fit(d, &d->lane[i], head.lane[i].received - head.lane[i].first);
        if (code)
            return code;
    }
    for (int i = 0; i < d->lanes; i++) {
        d->lane[i].received = head.lane[i].received;
        d->lane[i].next = head.lane[i].next;
        d->lane[i].first = head.lane[i].first;
    }
    d->pushed = head.pushed;
    d->emitted = head.emitted;
    move_state(d, (float *)(void *)((char *)state + sizeof head), false);
    return STATUS_OK;
}

/* ---- making ---- */

static void destroy(struct separation *s)
{
    struct demucs_split *const d = split_of(s);
    for (int i = 0; i < d->lanes; i++) {
        free(d->lane[i].audio);
        free(d->lane[i].sum);
        free(d->lane[i].norm);
    }
    demucs_bag_give_back(&d->p.bag);
    free(d->weight);
    free(d->padded);
    free(d->stems);
    free(d->part);
    free(d->waiting);
    free(d);
}

/* Steele, Lea and Flood 2014 (splitmix64): well spread for any seed. */
static uint64_t spread(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t zeros_of(const struct demucs_split_params *p, int shift)
{
    return p->shifts ? DEMUCS_SHIFT_FRAMES - (int64_t)(spread(p->seed, (uint64_t)shift) % (DEMUCS_SHIFT_FRAMES + 1))
                     : 0;
}

static int check(const struct demucs_split_params *p)
{
    const int code = demucs_bag_check(&p->bag);
    if (code)
        return code;
    if (p->shifts < 0 || p->shifts > DEMUCS_SHIFTS_MOST)
        return fail(STATUS_ARGUMENT, "demucs: %d shifts, allowed 0 to %d", p->shifts, DEMUCS_SHIFTS_MOST);
    const struct htdemucs_config *const c = demucs_bag_config(&p->bag);
    if (!(p->overlap >= 0 && p->overlap <= 0.99))
        return fail(STATUS_ARGUMENT, "demucs: overlap %g, allowed 0 to 0.99", p->overlap);
    if (p->chunk < 0 || p->chunk > c->segment || (p->chunk && p->chunk < c->rate_hz / 10))
        return fail(STATUS_ARGUMENT, "demucs: segment of %.3f s, allowed 0.1 to %.3f",
                    (double)p->chunk / (double)c->rate_hz, (double)c->segment / (double)c->rate_hz);
    if (!isfinite(p->mean) || !(p->deviation >= 0 && isfinite(p->deviation)))
        return fail(STATUS_ARGUMENT, "demucs: mean %g, deviation %g", (double)p->mean, (double)p->deviation);
    return STATUS_OK;
}

static int64_t stride_of(const struct demucs_split_params *p, int64_t chunk)
{
    const int64_t stride = (int64_t)((1 - p->overlap) * (double)chunk);
    return stride < 1 ? 1 : stride;
}

/* Lanes in the order of what their zeros leave of a stride: so, waiting for each other, they stay within one. */
static void order_lanes(struct demucs_split *d)
{
    for (int i = 0; i < d->lanes; i++) {
        const int64_t zeros = zeros_of(&d->p, i);
        int at = i;
        for (; at > 0 && d->lane[at - 1].zeros % d->stride > zeros % d->stride; at--)
            d->lane[at].zeros = d->lane[at - 1].zeros;
        d->lane[at].zeros = zeros;
    }
}

static bool make_lane(const struct demucs_split *d, struct lane *l)
{
    l->received = l->zeros;
    l->room = d->chunk / 2 + d->chunk + (d->most + 1) * d->stride + DEMUCS_SHIFT_FRAMES + 2;
    l->audio = calloc((size_t)(l->room * CHANNELS), sizeof *l->audio);
    l->sum = calloc((size_t)(d->chunk * d->values), sizeof *l->sum);
    l->norm = calloc((size_t)d->chunk, sizeof *l->norm);
    return l->audio && l->sum && l->norm;
}

static int make(struct demucs_split *d)
{
    static const struct separation_methods methods = {push, finish, destroy, state_bytes, save, restore};
    const struct htdemucs_config *const c = demucs_bag_config(&d->p.bag);
    d->s.methods = &methods;
    d->s.stems = c->stems;
    for (int s = 0; s < c->stems; s++)
        d->s.stem[s] = c->stem[s];
    d->segment = c->segment;
    d->chunk = d->p.chunk ? d->p.chunk : c->segment;
    d->stride = stride_of(&d->p, d->chunk);
    d->values = (int64_t)c->stems * CHANNELS;
    d->most = demucs_bag_most(&d->p.bag);
    d->lanes = d->p.shifts ? d->p.shifts : 1;
    d->waiting_room = (d->most + 2) * d->stride;
    order_lanes(d);
    const size_t all = (size_t)(d->most * d->segment * d->values);
    d->weight = calloc((size_t)d->chunk, sizeof *d->weight);
    d->padded = calloc((size_t)(d->most * d->segment * CHANNELS), sizeof *d->padded);
    d->stems = calloc(all, sizeof *d->stems);
    d->part = demucs_bag_runs(&d->p.bag) > 1 ? calloc(all, sizeof *d->part) : NULL;
    d->waiting = calloc((size_t)(d->waiting_room * d->values), sizeof *d->waiting);
    bool made = d->weight && d->padded && d->stems && (d->part || demucs_bag_runs(&d->p.bag) <= 1) && d->waiting;
    for (int i = 0; i < d->lanes && made; i++)
        made = make_lane(d, &d->lane[i]);
    if (!made)
        return fail(STATUS_NOMEM, "demucs: no memory for a segment of %lld frames", (long long)d->chunk);
    const int64_t middle = (d->chunk + 1) / 2;
    for (int64_t i = 0; i < d->chunk; i++)
        d->weight[i] = (float)(i + 1 < d->chunk - i ? i + 1 : d->chunk - i) / (float)middle;
    return STATUS_OK;
}

int demucs_split_create(const struct demucs_split_params *p, separation_emit emit_to, void *context,
                        struct separation **out)
{
    int code = check(p);
    if (code)
        return code;
    struct demucs_split *const d = calloc(1, sizeof *d);
    if (!d)
        return fail(STATUS_NOMEM, "demucs: out of memory");
    d->p = *p;
    d->s.emit = emit_to;
    d->s.context = context;
    code = make(d);
    if (code) { /* the networks stay with the caller */
        d->p.bag.networks = 0;
        destroy(&d->s);
    } else {
        *out = &d->s;
    }
    return code;
}

int64_t demucs_split_runs(const struct demucs_split_params *p, int64_t frames)
{
    const struct htdemucs_config *const c = demucs_bag_config(&p->bag);
    const int64_t stride = stride_of(p, p->chunk ? p->chunk : c->segment);
    int64_t chunks = 0;
    for (int i = 0; i < (p->shifts ? p->shifts : 1); i++)
        chunks += (frames + zeros_of(p, i) + stride - 1) / stride;
    return frames > 0 ? chunks * demucs_bag_runs(&p->bag) : 0;
}
