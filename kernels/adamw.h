/* adamw - one step of AdamW on flat blocks of parameters, and their running average.
 *
 *   equation     g = grad*clip_factor, m = beta1*m + (1 - beta1)*g, v = beta2*v + (1 - beta2)*g^2,
 *                param = param*(1 - rate*weight_decay*decay)
 *                        - rate/(1 - beta1^step) * m/(sqrt(v)/sqrt(1 - beta2^step) + epsilon),
 *                ema = ema_decay*ema + (1 - ema_decay)*param; decay that of the span that a parameter is in, 0 in none.
 *                All numbers but grad, decay and the blocks are the state's; where it is `bad`, nothing is written
 *   shapes       param, grad, m, v, ema [n] f32; spans [count], ascending and apart, in the exec's memory too: what they
 *                hold is not checked, none of them is read beyond count
 *   limits       1 <= n < 2^40, 0 <= count < 2^20; step >= 1
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (all untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads
 *   accuracy     relative L2 <= 1e-6 after ten steps from oracle_adamw in double; asserted in test_training.c
 *   source       Loshchilov and Hutter, Decoupled Weight Decay Regularization; torch.optim.AdamW */
#ifndef ADAMW_H
#define ADAMW_H
#include "ragged.h"
#include "status.h"
#include "step_state.h"

#include <math.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct adamw_span {
    int64_t begin, count;
    float decay; /* times weight_decay: 1 of weights; biases and gains are in no span, or in one of 0 */
};

struct adamw_blocks {
    float *param;
    const float *grad;
    float *m, *v, *ema;
    int64_t n;
    const struct adamw_span *spans;
    int64_t count;
};

/* What a step multiplies by, from the state alone. */
struct adamw_factors {
    double clip, beta1, rest1, beta2, rest2, rate, root, epsilon, decay, ema, ema_rest;
};

static inline HOST_DEVICE struct adamw_factors adamw_factors(const struct step_state *s)
{
    struct adamw_factors f;
    f.clip = s->clip_factor;
    f.beta1 = s->beta1;
    f.rest1 = 1 - s->beta1;
    f.beta2 = s->beta2;
    f.rest2 = 1 - s->beta2;
    f.rate = s->rate / (1 - pow(s->beta1, (double)s->step));
    f.root = 1 / sqrt(1 - pow(s->beta2, (double)s->step));
    f.epsilon = s->epsilon;
    f.decay = s->rate * s->weight_decay;
    f.ema = s->ema_decay;
    f.ema_rest = 1 - s->ema_decay;
    return f;
}

/* The first span that ends behind i; count where none does. */
static inline HOST_DEVICE int64_t adamw_span_at(const struct adamw_span *spans, int64_t count, int64_t i)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (spans[middle].begin + spans[middle].count <= i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Front: validates, then calls the twin of ex's backend. */
int adamw(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks) MUST_USE;

int adamw_cpu(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks);

#ifdef __cplusplus
}
#endif
#endif
