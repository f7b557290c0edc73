/* adamw on CUDA: a thread per four parameters, 36 bytes moved for each; bound by memory. What follows from the state
 * alone is made once in each block, of which there are few. */
#include "adamw.h"

#include "maps.cuh"

enum { ADAMW_THREADS = 256, ADAMW_BLOCKS = 2048 };

/* The state's numbers as floats. */
struct adamw_floats {
    float clip, beta1, rest1, beta2, rest2, rate, root, epsilon, decay, ema, ema_rest;
};

static __device__ inline void adamw_told(const struct step_state *state, struct adamw_floats *to)
{
    const struct adamw_factors f = adamw_factors(state);
    to->clip = (float)f.clip;
    to->beta1 = (float)f.beta1;
    to->rest1 = (float)f.rest1;
    to->beta2 = (float)f.beta2;
    to->rest2 = (float)f.rest2;
    to->rate = (float)f.rate;
    to->root = (float)f.root;
    to->epsilon = (float)f.epsilon;
    to->decay = (float)f.decay;
    to->ema = (float)f.ema;
    to->ema_rest = (float)f.ema_rest;
}

static __device__ inline float decay_at(const struct adamw_blocks *b, int64_t i)
{
    const int64_t span = adamw_span_at(b->spans, b->count, i);
    return span < b->count && b->spans[span].begin <= i ? b->spans[span].decay : 0;
}

static __device__ inline void adamw_one(const struct adamw_floats *f, float decay, float grad, float *param, float *m,
                                        float *v, float *ema)
{
    const float g = grad * f->clip, old = *param;
    *m = *m * f->beta1 + g * f->rest1;
    *v = *v * f->beta2 + g * g * f->rest2;
    *param = old - (old * (f->decay * decay) + *m * f->rate / (sqrtf(*v) * f->root + f->epsilon));
    *ema = *ema * f->ema + *param * f->ema_rest;
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(ADAMW_THREADS, DEVICE_BLOCKS(ADAMW_THREADS, 4))
    adamw_kernel(const struct step_state *state, struct adamw_blocks b, bool wide)
{
    SHARED(struct adamw_floats, f, 1);
    if (state->bad)
        return;
    if (threadIdx.x == 0)
        adamw_told(state, f);
    __syncthreads();
    for (int64_t i = 4 * ((int64_t)blockIdx.x * ADAMW_THREADS + threadIdx.x); i < b.n;
         i += (int64_t)4 * gridDim.x * ADAMW_THREADS) {
        const int64_t left = b.n - i;
        const float4 g = load_part4(b.grad + i, left, wide);
        float4 param = load_part4(b.param + i, left, wide), m = load_part4(b.m + i, left, wide);
        float4 v = load_part4(b.v + i, left, wide), ema = load_part4(b.ema + i, left, wide);
        adamw_one(f, decay_at(&b, i), g.x, &param.x, &m.x, &v.x, &ema.x);
        adamw_one(f, decay_at(&b, i + 1), g.y, &param.y, &m.y, &v.y, &ema.y);
        adamw_one(f, decay_at(&b, i + 2), g.z, &param.z, &m.z, &v.z, &ema.z);
        adamw_one(f, decay_at(&b, i + 3), g.w, &param.w, &m.w, &v.w, &ema.w);
        store_part4(b.param + i, param, left, wide);
        store_part4(b.m + i, m, left, wide);
        store_part4(b.v + i, v, left, wide);
        store_part4(b.ema + i, ema, left, wide);
    }
}

extern "C" int adamw_cuda(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks)
{
    const int64_t units = ((blocks->n + 3) / 4 + ADAMW_THREADS - 1) / ADAMW_THREADS;
    const bool wide = floats_on(blocks->param, 0, 0, 16) && floats_on(blocks->grad, 0, 0, 16) &&
                      floats_on(blocks->m, 0, 0, 16) && floats_on(blocks->v, 0, 0, 16) &&
                      floats_on(blocks->ema, 0, 0, 16);
    LAUNCH(adamw_kernel, (unsigned)(units < ADAMW_BLOCKS ? units : (int64_t)ADAMW_BLOCKS), ADAMW_THREADS, 0,
           device_launch_stream(ex), state, *blocks, wide);
    return device_launched("adamw");
}
