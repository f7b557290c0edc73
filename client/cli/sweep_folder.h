/* sweep_folder - a sweep's folder, HOME/sweeps/NAME (models/sweep_layout.h), as the command begins it and finds it
 * again.
 *
 *   begin        the trials' folders first, sweep.json last: where that stands, all is there
 *   trust        sweep.json may be anything: it is checked, and refused with the reason
 *   errors       STATUS_NOT_FOUND, STATUS_DAMAGED, STATUS_VERSION; STATUS_ARGUMENT: begun with another dataset;
 *                STATUS_IO, STATUS_NOMEM */
#ifndef CLI_SWEEP_FOLDER_H
#define CLI_SWEEP_FOLDER_H
#include "sweep_plan.h"

#include <jansson.h>

int sweep_begin(const char *folder, const char *dataset, const struct sweep_plan *p) MUST_USE;

/* All of sweep.json; the caller's to release. */
int sweep_load(const char *folder, json_t **out) MUST_USE;
bool sweep_is_finished(const json_t *all);

/* What it was begun with. */
int sweep_parse(const json_t *all, const char *folder, const char *dataset, struct sweep_plan *p) MUST_USE;

#endif
