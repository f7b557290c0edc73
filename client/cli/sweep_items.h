/* sweep_items - the items of a sweep's job: the trials of each round in turn, and one behind them that ends it.
 *
 *   packs        each trial's path is the pack of its preset's rate (train_sounds.h), made where it is missing
 *   errors       those of train_sounds_pack; STATUS_DAMAGED: more presets than a plan has; STATUS_NOMEM */
#ifndef SWEEP_ITEMS_H
#define SWEEP_ITEMS_H
#include "cli.h"
#include "dataset.h"
#include "sweep_plan.h"

struct sweep_target {
    const char *name, *folder, *model, *home; /* folder: the sweep's; model: the best one's */
};

struct sweep_items {
    size_t count, packs;
    const char *preset[SWEEP_PRESETS_MOST]; /* of each pack; the plan's */
    char (*pack)[PATHS_MAX + 64];           /* [SWEEP_PRESETS_MOST] */
    char **paths, **names;                  /* [count]; paths point to packs */
    struct wire_buffer *params;
    struct wire_slice *slices; /* of params */
};

/* *out is to be freed whatever comes of it. */
int sweep_items_make(const struct common *c, const struct sweep_plan *p, const struct sweep_target *t,
                     const struct dataset *d, struct sweep_items *out) MUST_USE;
void sweep_items_free(struct sweep_items *s);

#endif
