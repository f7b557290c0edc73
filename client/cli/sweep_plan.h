/* sweep_plan - which trainings a sweep has: the grid of all lists, or some of it at random.
 *
 *   grid         presets, latents, dropouts, weight decays, betas, rates, seeds: the last changes first
 *   draw         fewer than the grid has: that many of it, in its order, none twice. Where a parameter is a range, each
 *                trial has values of its own, between its ends on a logarithmic scale where both are above 0, and what
 *                lists have one by one at random. The first seed decides
 *   default      where no values and seeds are given: three rates and two weights of the divergence about those of the
 *                first preset, two seeds
 *   errors       STATUS_ARGUMENT says what cannot be; STATUS_NOMEM */
#ifndef SWEEP_PLAN_H
#define SWEEP_PLAN_H
#include "halving.h"
#include "kinds.h"

#include <stddef.h>

enum { SWEEP_VALUES_MOST = 100, SWEEP_PRESETS_MOST = 8 };
enum sweep_parameter { SWEEP_LATENT, SWEEP_DROPOUT, SWEEP_WEIGHT_DECAY, SWEEP_BETA, SWEEP_RATE, SWEEP_PARAMETERS };

struct sweep_axis {
    double value[SWEEP_VALUES_MOST]; /* of a range: its ends */
    int count;                       /* 0: the preset's */
    bool is_range;
};

struct sweep_trial {
    struct kind_train_item item;                                            /* without out and preset */
    char preset[LIMIT_FEATURE_NAME + 1], precision[LIMIT_FEATURE_NAME + 1]; /* precision "": the default */
};

struct sweep_plan {
    char preset[SWEEP_PRESETS_MOST][LIMIT_FEATURE_NAME + 1];
    int presets;
    uint64_t seed[SWEEP_VALUES_MOST];
    int seeds;
    struct sweep_axis axis[SWEEP_PARAMETERS];
    struct kind_train_item common;          /* what all have alike */
    char precision[LIMIT_FEATURE_NAME + 1]; /* likewise; "": the default */
    bool upload;                            /* its rounds are jobs for any worker */
    uint64_t draws;                         /* 0: all of the grid */

    uint64_t eta, keep;
    double judge; /* NaN: each by its own loss */
    struct sweep_trial *trials;
    struct halving h; /* of the trials */
};

/* "a,b,c", or for numbers "a..b". What of it cannot be is said by status_message. */
int sweep_plan_presets(struct sweep_plan *p, const char *text) MUST_USE;
int sweep_plan_seeds(struct sweep_plan *p, const char *text) MUST_USE;
int sweep_plan_axis(struct sweep_plan *p, enum sweep_parameter parameter, const char *text) MUST_USE;

/* The trials and their rounds. preset: where the plan names none. */
int sweep_plan_make(struct sweep_plan *p, const char *preset) MUST_USE;
void sweep_plan_free(struct sweep_plan *p);

/* Step that a trial's round ends at. */
int64_t sweep_plan_steps(const struct sweep_plan *p, size_t trial, int64_t round);

/* "tiny, rate 0.002, seed 1": what it does not share with the preset. */
void sweep_trial_text(const struct sweep_trial *t, char *out, size_t capacity);

#endif
