#include "sweep_folder.h"

#include "paths.h"
#include "sweep_layout.h"
#include "train_begun.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = PATHS_MAX + 192 };

/* What a trial is trained with, as `train` keeps it. */
static struct train_begun begun_of(struct sweep_trial *t, const char *dataset)
{
    return (struct train_begun){.item = &t->item, .dataset = dataset, .preset = t->preset, .precision = t->precision};
}

static json_t *describe(const char *dataset, const struct sweep_plan *p)
{
    json_t *const trials = json_array();
    for (int64_t i = 0; i < p->h.trials; i++) {
        const struct train_begun b = begun_of(&p->trials[i], dataset);
        json_array_append_new(trials, train_begun_describe(&b));
    }
    return json_pack("{s:i, s:s, s:b, s:I, s:I, s:o, s:o}", "schema", SWEEP_SCHEMA, "dataset", dataset, "upload",
                     p->upload, "halving", (json_int_t)p->eta, "keep", (json_int_t)p->keep, "judge",
                     isnan(p->judge) ? json_null() : json_real(p->judge), "trials", trials);
}

static int write_file(const char *folder, const json_t *all)
{
    char path[FILE_BYTES], temporary[FILE_BYTES + 24];
    snprintf(path, sizeof path, "%s/" SWEEP_FILE, folder);
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (!json_dump_file(all, temporary, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) && !rename(temporary, path))
        return STATUS_OK;
    const int code = fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
    unlink(temporary);
    return code;
}

int sweep_begin(const char *folder, const char *dataset, const struct sweep_plan *p)
{
    char path[FILE_BYTES];
    int code = paths_make(folder);
    for (int64_t i = 0; i < p->h.trials && !code; i++) {
        const struct train_begun b = begun_of(&p->trials[i], dataset);
        snprintf(path, sizeof path, "%s/" SWEEP_TRIAL, folder, (int)i);
        code = train_begun_write(path, &b);
    }
    json_t *const all = code ? NULL : describe(dataset, p);
    if (!code)
        code = all ? write_file(folder, all) : fail(STATUS_NOMEM, "out of memory");
    json_decref(all);
    return code;
}

int sweep_load(const char *folder, json_t **out)
{
    char path[FILE_BYTES];
    json_error_t e;
    snprintf(path, sizeof path, "%s/" SWEEP_FILE, folder);
    if (access(path, F_OK))
        return fail(STATUS_NOT_FOUND, "there is no %.200s", path);
    json_t *const all = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!all)
        return fail(STATUS_DAMAGED, "%.200s: %.200s", path, e.text);
    if (json_integer_value(json_object_get(all, "schema")) != SWEEP_SCHEMA) {
        json_decref(all);
        return fail(STATUS_VERSION, "%.200s: not of schema %d", path, SWEEP_SCHEMA);
    }
    *out = all;
    return STATUS_OK;
}

bool sweep_is_finished(const json_t *all)
{
    return json_is_true(json_object_get(all, "finished"));
}

static int read_trials(const json_t *list, const char *path, const char *dataset, struct sweep_plan *p)
{
    int code = STATUS_OK;
    for (int64_t i = 0; i < p->h.trials && !code; i++) {
        struct train_begun b = begun_of(&p->trials[i], dataset);
        code = train_begun_parse(json_array_get(list, (size_t)i), path, &b);
    }
    return code;
}

int sweep_parse(const json_t *all, const char *folder, const char *dataset, struct sweep_plan *p)
{
    char path[FILE_BYTES];
    const json_t *const judge = json_object_get(all, "judge"), *const list = json_object_get(all, "trials");
    snprintf(path, sizeof path, "%s/" SWEEP_FILE, folder);
    p->judge = json_is_number(judge) ? json_number_value(judge) : (double)NAN;
    p->upload = json_is_true(json_object_get(all, "upload"));
    p->eta = (uint64_t)json_integer_value(json_object_get(all, "halving"));
    p->keep = (uint64_t)json_integer_value(json_object_get(all, "keep"));
    const int code = halving_plan((int64_t)json_array_size(list), (int64_t)p->eta, &p->h);
    if (code)
        return fail(STATUS_DAMAGED, "%.200s: trials or halving are missing", path);
    if (p->keep < 1 || p->keep > (uint64_t)p->h.trials)
        return fail(STATUS_DAMAGED, "%.200s: keep is none of 1 to %lld", path, (long long)p->h.trials);
    p->trials = calloc((size_t)p->h.trials, sizeof *p->trials);
    return p->trials ? read_trials(list, path, dataset, p) : fail(STATUS_NOMEM, "out of memory");
}
