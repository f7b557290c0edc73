/* activate.cuh - what the two directions of activate share on CUDA: four neighbours of a row with their statistics,
 * gain and shift, what dropout keeps of them. */
#ifndef ACTIVATE_CUH
#define ACTIVATE_CUH
#include "activate.h"
#include "elementwise.cuh"
#include "philox.h"

struct activate_view {
    struct activate_params p;
    struct maps x, from, to; /* from: dy */
    const float *gain, *shift;
    const float *statistics;
    const struct step_state *state;
    struct elementwise e;
    int64_t each; /* channels of a group */
    bool fours;   /* no four is of two groups */
    uint32_t threshold;
    float scale;
};

static inline struct activate_view activate_view_of(const struct activate_params *p, const struct step_state *state,
                                                    const struct activate_norm *norm, const struct maps *x,
                                                    const struct maps *from, const struct maps *to)
{
    struct activate_view k = {};
    k.p = *p;
    k.x = *x;
    k.from = *from;
    k.to = *to;
    k.state = state;
    k.e = elementwise_of(x, to);
    k.e.wide = k.e.wide && maps_wide(from);
    k.threshold = activate_threshold(p);
    k.scale = activate_scale(p);
    k.each = p->groups ? x->channels / p->groups : 1;
    k.fours = x->channels % 4 == 0 && k.each % 4 == 0;
    if (norm) {
        k.gain = norm->gain;
        k.shift = norm->shift;
        k.statistics = norm->statistics;
    }
    return k;
}

/* Of four neighbours: channel and group. */
struct activate_four {
    int64_t channel[4], group[4];
};

static __device__ inline struct activate_four activate_four_of(const struct activate_view *k, const struct element *at)
{
    struct activate_four f;
    int64_t c, rest;
    divided(at->at, k->x.channels, &c);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        f.channel[i] = c;
        f.group[i] = i > 0 && k->fours ? f.group[0] : at->item * k->p.groups + divided(c, k->each, &rest);
        c = c + 1 < k->x.channels ? c + 1 : 0;
    }
    return f;
}

static __device__ inline float activate_normed(const struct activate_view *k, int64_t group, float x)
{
    return (x - k->statistics[2 * group]) * k->statistics[2 * group + 1];
}

/* What the four from value `index` on are multiplied by. */
static __device__ inline float4 activate_kept(const struct activate_view *k, int64_t index)
{
    if (k->p.dropout == 0)
        return make_float4(1, 1, 1, 1);
    const uint64_t seed = k->state->seed, step = k->state->step;
    const int ahead = (int)(index % 4);
    const struct philox a = philox_at(seed, k->p.stream, step, index);
    const struct philox b = ahead ? philox_at(seed, k->p.stream, step, index + 4) : a;
    const uint32_t word[7] = {a.word[0], a.word[1], a.word[2], a.word[3], b.word[0], b.word[1], b.word[2]};
    float kept[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t low = ahead & 1 ? word[i + 1] : word[i];
        const uint32_t high = ahead & 1 ? word[i + 3] : word[i + 2];
        kept[i] = (ahead & 2 ? high : low) < k->threshold ? 0 : k->scale;
    }
    return make_float4(kept[0], kept[1], kept[2], kept[3]);
}

static __device__ inline int64_t activate_index(const struct activate_view *k, const struct element *at)
{
    return (at->item * k->e.height + at->row) * k->e.floats + at->at;
}

static __device__ inline float activate_gate(float u)
{
    return 1 / (1 + expf(-u));
}

#endif
