/* sweep_show - a sweep as its command prints it: the plan, and the table at the end. */
#ifndef SWEEP_SHOW_H
#define SWEEP_SHOW_H
#include "cli.h"
#include "sweep_plan.h"

#include <jansson.h>

/* What would be trained, and in which rounds. */
void sweep_show_plan(const struct common *c, const char *name, const struct sweep_plan *p);

/* One item's end, on stderr. */
void sweep_show_progress(const struct halving *h, const struct sweep_trial *t, const struct kind_sweep_result *r);

/* The table of a finished sweep.json; the number of trials that failed. Where trials were trained in more than one
 * place, or one of them moved, a line on stderr says so. */
int sweep_show_table(const struct common *c, const char *name, const json_t *all, const struct sweep_plan *p);

#endif
