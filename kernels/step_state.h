/* step_state - what one step of training is told and what it finds, in the memory of its exec: a step recorded as a
 * graph reads it there, and the host changes it between two runs of the graph.
 *
 *   ownership    the caller's memory, on 8 bytes; fronts pass its address on and never read it
 *   the host     writes the first STEP_STATE_TOLD bytes before each step, and zeros behind them before the first
 *   rows         each result has one writer: reconstruction its loss; latent the divergence; gradient_norm the norm,
 *                the clip factor and `bad`, which it takes from the losses too, so it comes after them. adamw reads all
 *                and writes none. Divergences of single dimensions are an array of latent's */
#ifndef STEP_STATE_H
#define STEP_STATE_H
#include <stddef.h>
#include <stdint.h>

struct step_state {
    /* told by the host */
    uint64_t seed;
    uint64_t step; /* from 1: the bias correction of adamw divides by 1 - beta1^step */
    double rate;
    double beta;     /* weight of the divergence in the loss */
    double kl_floor; /* nats of each latent dimension that cost nothing */
    double clip;     /* largest norm of all gradients; infinity for any */
    double weight_decay;
    double beta1, beta2, epsilon;
    double ema_decay;

    /* found by rows */
    double reconstruction; /* loss, without the divergence */
    double kl;             /* nats, after the floor, before beta */
    double gradient_norm;  /* before clipping */
    double clip_factor;    /* that gradients are multiplied by */
    int64_t bad;           /* 1: a loss or the norm is not finite, and adamw writes nothing */
};

#define STEP_STATE_TOLD offsetof(struct step_state, reconstruction)

#endif
