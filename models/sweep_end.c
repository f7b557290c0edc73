#include "sweep_end.h"

#include "library.h"
#include "log.h"
#include "paths.h"
#include "sweep_layout.h"
#include "sweep_records.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_BYTES = LIMIT_PATH + 64, FILE_BYTES = FOLDER_BYTES + 32 };

struct ending {
    const struct sweep_end *s;
    uint64_t token;
    double *scores; /* [rounds][trials] */
    int64_t order[HALVING_TRIALS_MOST], last[HALVING_TRIALS_MOST];
    int64_t finished, models; /* so many came to the end; so many of them become models */
};

static bool is_there(const char *folder, const char *file)
{
    char path[FILE_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

/* ---- models ---- */

static void name_trial(const struct ending *e, int64_t n, char out[FOLDER_BYTES])
{
    snprintf(out, FOLDER_BYTES, "%s/" SWEEP_TRIAL, e->s->folder, (int)e->order[n]);
}

static void name_model(const struct ending *e, int64_t n, char out[FOLDER_BYTES])
{
    if (e->s->keep > 1)
        snprintf(out, FOLDER_BYTES, "%s-%d", e->s->model, (int)n + 1);
    else
        snprintf(out, FOLDER_BYTES, "%s", e->s->model);
}

/* A trial's folder that has gone was made a model by an attempt before this one. */
static int check_place(const struct ending *e, int64_t n)
{
    char trial[FOLDER_BYTES], model[FOLDER_BYTES];
    name_trial(e, n, trial);
    name_model(e, n, model);
    const bool has_trial = is_there(trial, "."), has_model = is_there(model, ".");
    if (has_trial && has_model)
        return fail(STATUS_ARGUMENT, "there is something else in %.200s: when it has gone, --resume ends the sweep",
                    model);
    return has_trial || has_model ? STATUS_OK : fail(STATUS_NOT_FOUND, "%.200s is gone", trial);
}

static int sync_parent(const char *folder)
{
    char parent[FOLDER_BYTES];
    snprintf(parent, sizeof parent, "%s", folder);
    *strrchr(parent, '/') = '\0';
    return paths_sync(parent);
}

static int move_to_library(const char *trial, const char *model)
{
    char path[FILE_BYTES];
    snprintf(path, sizeof path, "%s", model);
    *strrchr(path, '/') = '\0';
    if (mkdir(path, 0777) && errno != EEXIST)
        return fail(STATUS_IO, "cannot make %.200s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/states", trial);
    if (unlink(path) && errno != ENOENT) /* of an attempt that was killed when all else was done */
        return fail(STATUS_IO, "cannot remove %.200s: %s", path, strerror(errno));
    if (rename(trial, model))
        return fail(STATUS_IO, "cannot make %.200s of %.200s: %s", model, trial, strerror(errno));
    return sync_parent(model);
}

static int make_model(struct ending *e, int64_t n)
{
    char trial[FOLDER_BYTES], model[FOLDER_BYTES];
    struct sweep_record record;
    name_trial(e, n, trial);
    name_model(e, n, model);
    int code = is_there(trial, ".") ? move_to_library(trial, model) : STATUS_OK;
    if (code || is_there(model, "model.json"))
        return code;
    code = sweep_record_read(e->s->folder, e->order[n], e->s->h.rounds - 1, &record);
    if (code)
        return code;
    code = library_add_trained(model, "spectral", record.result.parameters);
    sweep_record_free(&record);
    return code;
}

static int make_models(struct ending *e)
{
    const int64_t keep = e->s->keep > 1 ? e->s->keep : 1;
    int code = STATUS_OK;
    e->models = e->finished < keep ? e->finished : keep;
    for (int64_t n = 0; n < e->models && !code; n++)
        code = check_place(e, n);
    for (int64_t n = 0; n < e->models && !code; n++)
        code = make_model(e, n);
    return code;
}

/* ---- the table ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* One that was to go on has failed; one that was not has been stopped. */
static const char *state_of(const struct ending *e, int64_t trial)
{
    bool member[HALVING_TRIALS_MOST];
    const int64_t next = e->last[trial] + 1;
    if (next == e->s->h.rounds)
        return "finished";
    halving_members(&e->s->h, e->scores, next, member);
    return member[trial] ? "failed" : "stopped";
}

static json_t *text(struct wire_slice s)
{
    return s.bytes ? json_stringn((const char *)s.data, s.bytes) : json_null();
}

/* What trained it: losses of another place are rounded otherwise. */
static int add_place(const struct kind_sweep_result *r, json_t *row)
{
    const int bad = json_object_set_new(row, "backend", text(r->backend)) ||
                    json_object_set_new(row, "place", text(r->place)) ||
                    json_object_set_new(row, "moves", json_integer((json_int_t)r->moves));
    return bad ? fail(STATUS_NOMEM, "out of memory") : STATUS_OK;
}

static int add_outcome(const struct ending *e, int64_t trial, json_t *row)
{
    struct sweep_record record;
    char end[LIMIT_NAME + 1];
    int code = sweep_record_read(e->s->folder, trial, e->last[trial], &record);
    if (code)
        return code;
    const struct kind_sweep_result *const r = &record.result;
    wire_copy(r->end, end, sizeof end);
    json_t *const more = json_pack(
        "{s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:I, s:I}", "steps", (json_int_t)r->steps, "best_step",
        (json_int_t)r->best_step, "end", end, "score", number(r->score), "validation_loss", number(r->validation_loss),
        "train_loss", number(r->train_loss), "reconstruction", number(r->reconstruction), "kl_nats", number(r->kl),
        "active_dimensions", (json_int_t)r->active, "training_s", number(r->training_s), "resumed_from",
        number(r->resumed_from), "bad_steps", (json_int_t)r->bad_steps, "parameters", (json_int_t)r->parameters);
    code = !more || json_object_update(row, more) ? fail(STATUS_NOMEM, "out of memory") : STATUS_OK;
    json_decref(more);
    code = code ? code : add_place(r, row);
    sweep_record_free(&record);
    return code;
}

static int add_row(const struct ending *e, int64_t n, json_t *rows)
{
    const int64_t trial = e->order[n];
    const char *const state = state_of(e, trial);
    char why[LIMIT_MESSAGE + 1], model[FOLDER_BYTES];
    json_t *const row = json_pack("{s:I, s:I, s:s, s:I}", "rank", (json_int_t)n + 1, "trial", (json_int_t)trial,
                                  "state", state, "rounds", (json_int_t)e->last[trial] + 1);
    if (json_array_append_new(rows, row))
        return fail(STATUS_NOMEM, "out of memory");
    if (n < e->models) {
        name_model(e, n, model);
        json_object_set_new(row, "model", json_string(strrchr(model, '/') + 1));
    }
    if (strcmp(state, "failed") == 0) {
        sweep_failure_read(e->s->folder, trial, why, sizeof why);
        json_object_set_new(row, "failure", json_string(why));
    }
    return e->last[trial] < 0 ? STATUS_OK : add_outcome(e, trial, row);
}

static int write_table(const char *path, const json_t *all, uint64_t token)
{
    char *const text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    const int code =
        text ? sweep_file_write(path, NULL, 0, text, strlen(text), token) : fail(STATUS_NOMEM, "out of memory");
    free(text);
    return code;
}

static int end_table(const struct ending *e)
{
    char path[FILE_BYTES];
    json_error_t error;
    snprintf(path, sizeof path, "%s/" SWEEP_FILE, e->s->folder);
    json_t *const all = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!all)
        return fail(STATUS_ARGUMENT, "%.200s: %.200s", path, error.text);
    json_t *const rows = json_array();
    int code = json_array_size(json_object_get(all, "trials")) == (size_t)e->s->h.trials
                   ? STATUS_OK
                   : fail(STATUS_ARGUMENT, "%.200s: not of %lld trials", path, (long long)e->s->h.trials);
    for (int64_t n = 0; n < e->s->h.trials && !code; n++)
        code = add_row(e, n, rows);
    if (!code && (json_object_set(all, "ranking", rows) || json_object_set_new(all, "finished", json_true())))
        code = fail(STATUS_NOMEM, "out of memory");
    code = code ? code : write_table(path, all, e->token);
    json_decref(rows);
    json_decref(all);
    return code;
}

/* ---- all of it ---- */

static int rank(struct ending *e)
{
    const struct halving *const h = &e->s->h;
    const int code = sweep_records_scores(e->s->folder, h, h->rounds, e->scores);
    if (code)
        return code;
    halving_rank(h, e->scores, e->order, e->last);
    for (int64_t n = 0; n < h->trials; n++)
        e->finished += e->last[e->order[n]] == h->rounds - 1;
    return STATUS_OK;
}

/* Nobody goes on from the states of those that were stopped, and they are large. */
static void drop_states(const struct ending *e)
{
    char path[FILE_BYTES];
    for (int64_t k = 0; k < e->s->h.trials; k++) {
        snprintf(path, sizeof path, "%s/" SWEEP_TRIAL "/states", e->s->folder, (int)k);
        if (unlink(path) && errno != ENOENT)
            log_warn("cannot remove %s: %s", path, strerror(errno));
    }
}

int sweep_end(const struct sweep_end *s, uint64_t token, int64_t *models)
{
    struct ending *const e = calloc(1, sizeof *e);
    if (!e)
        return fail(STATUS_NOMEM, "out of memory");
    *e = (struct ending){.s = s, .token = token};
    e->scores = calloc((size_t)(s->h.trials * s->h.rounds), sizeof *e->scores);
    int code = e->scores ? rank(e) : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : make_models(e);
    code = code ? code : end_table(e);
    if (!code && !e->finished)
        code = fail(STATUS_ARGUMENT, "none of %lld trials came to the end", (long long)s->h.trials);
    else if (!code)
        drop_states(e);
    *models = e->models;
    free(e->scores);
    free(e);
    return code;
}
