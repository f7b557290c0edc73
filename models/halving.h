/* halving - synchronous successive halving: which of many trainings go on, and how far.
 *
 *   rounds       1 + floor(log_eta(trials)); of `trials` the best ceil(trials / eta^round) take part in a round. eta 1:
 *                one round, with all
 *   steps        the last round ends at the last step, each before at an eta-th of the next one's, raised to the next
 *                multiple of `validate` and at most all
 *   order        lower scores are better; equal ones go by the trial's number. A trial without a score in a round that
 *                it took part in, or with one that is no finite number, is lost: it takes part in no later round
 *   determinism  a function of the scores alone: it does not matter who was done when
 *   source       Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification, algorithm 1 */
#ifndef HALVING_H
#define HALVING_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

enum { HALVING_TRIALS_MOST = 1000, HALVING_ETA_MOST = 1000, HALVING_ROUNDS_MOST = 10 };

struct halving {
    int64_t trials, eta, rounds;
};

/* STATUS_ARGUMENT: trials or eta are not from 1 to their most. */
int halving_plan(int64_t trials, int64_t eta, struct halving *out) MUST_USE;

/* How many take part in a round, where none is lost. */
int64_t halving_members_most(const struct halving *h, int64_t round);

/* The step that a round ends at. */
int64_t halving_steps(const struct halving *h, int64_t round, int64_t steps, int64_t validate);

/* Who takes part in a round: member [trials]. scores: [round][trials], of the rounds before; NaN: none. */
void halving_members(const struct halving *h, const double *scores, int64_t round, bool *member);

/* All trials, the best first: those that came furthest, by their score there. scores: [rounds][trials]; last: [trials]
 * of each trial the last round that it has a score of, -1: none. */
void halving_rank(const struct halving *h, const double *scores, int64_t *order, int64_t *last);

#endif
