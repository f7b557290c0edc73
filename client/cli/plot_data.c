#include "plot_data.h"

#include "kinds.h"
#include "npy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MOST = 4096, CONFIG_MOST = 1 << 20, PATH_ROOM = PATHS_MAX + 160 };

static void path_of(const char *home, const char *name, const char *file, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%.*s/models/%.63s/%.60s", PATHS_MAX - 1, home, name, file);
}

static bool stands(const char *home, const char *name, const char *file)
{
    char path[PATH_ROOM];
    path_of(home, name, file, path);
    return access(path, F_OK) == 0;
}

static int cannot_read(const char *path)
{
    return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot read %.200s: %s", path, strerror(errno));
}

/* What is not as it should be there was written by us. */
static int as_damaged(int code)
{
    char why[256];
    if (!code || code == STATUS_NOMEM)
        return code;
    snprintf(why, sizeof why, "%s", status_message());
    return fail(STATUS_DAMAGED, "%s", why);
}

/* ---- curves ---- */

/* A loss that was not finite is null. */
static bool read_number(const json_t *line, const char *name, double *out)
{
    const json_t *const v = json_object_get(line, name);
    *out = json_is_number(v) ? json_number_value(v) : (double)NAN;
    return json_is_number(v) || json_is_null(v);
}

static int read_metric(const char *text, int64_t before, struct vae_metric *m)
{
    json_error_t e;
    json_t *const line = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    int code = STATUS_OK;
    if (!line)
        return fail(STATUS_DAMAGED, "%.100s", e.text);
    const json_t *const step = json_object_get(line, "step");
    m->step = json_integer_value(step);
    if (!json_is_integer(step) || !read_number(line, "train_loss", &m->train_loss) ||
        !read_number(line, "validation_loss", &m->validation_loss) ||
        !read_number(line, "reconstruction", &m->reconstruction) || !read_number(line, "kl", &m->kl))
        code = fail(STATUS_DAMAGED, "step or a loss is missing, or no number");
    else if (m->step <= before)
        code = fail(STATUS_DAMAGED, "step %lld comes after step %lld", (long long)m->step, (long long)before);
    json_decref(line);
    return code;
}

static int read_lines(FILE *from, const char *path, struct plot_data *d)
{
    char text[LINE_MOST];
    while (fgets(text, sizeof text, from)) {
        const long long number = (long long)d->count + 1;
        if (!strchr(text, '\n'))
            return fail(STATUS_DAMAGED, "%.200s, line %lld: it has no end", path, number);
        if (d->count == VAE_METRICS_MOST)
            return fail(STATUS_DAMAGED, "%.200s: more than %d lines", path, VAE_METRICS_MOST);
        struct vae_metric *const m = &d->metrics[d->count];
        const int code = read_metric(text, d->count ? m[-1].step : 0, m);
        if (code)
            return status_context(code, "%.200s, line %lld", path, number);
        d->count++;
        if (isfinite(m->validation_loss) &&
            (d->best < 0 || m->validation_loss < d->metrics[d->best].validation_loss)) /* as the training has it */
            d->best = d->count - 1;
    }
    if (ferror(from))
        return cannot_read(path);
    return d->count ? STATUS_OK : fail(STATUS_DAMAGED, "%.200s: it is empty", path);
}

static int read_metrics(const char *home, struct plot_data *d)
{
    char path[PATH_ROOM];
    path_of(home, d->name, "metrics.jsonl", path);
    FILE *const from = fopen(path, "re");
    if (!from)
        return cannot_read(path);
    d->metrics = calloc(VAE_METRICS_MOST, sizeof *d->metrics);
    const int code = d->metrics ? read_lines(from, path, d) : fail(STATUS_NOMEM, "plot: out of memory");
    fclose(from);
    return code;
}

/* ---- pictures ---- */

static int read_config(const char *home, struct plot_data *d)
{
    char path[PATH_ROOM];
    path_of(home, d->name, "config.json", path);
    FILE *const from = fopen(path, "re");
    char *const text = from ? calloc(1, CONFIG_MOST + 1) : NULL;
    int code = from ? STATUS_OK : cannot_read(path);
    if (from && !text)
        code = fail(STATUS_NOMEM, "plot: out of memory");
    if (!code && fread(text, 1, CONFIG_MOST, from) == CONFIG_MOST)
        code = fail(STATUS_DAMAGED, "%.200s: more than %d bytes", path, CONFIG_MOST);
    if (!code && ferror(from))
        code = cannot_read(path);
    code = code ? code : as_damaged(vae_config_parse(text, path, &d->config));
    free(text);
    if (from)
        fclose(from);
    return code;
}

static int check_values(const struct plot_data *d, size_t values)
{
    for (size_t i = 0; i < values; i++)
        if (!isfinite(d->maps[i]))
            return fail(STATUS_DAMAGED, "value %zu is not finite", i);
    return STATUS_OK;
}

static int read_values(FILE *from, struct plot_data *d)
{
    char head[NPY_READ_MOST + 10];
    int64_t shape[3];
    size_t at = 0;
    const size_t n = fread(head, 1, sizeof head, from);
    const int code = as_damaged(npy_rows_read(head, n, 3, shape, &at));
    if (code)
        return code;
    if (shape[0] < 2 || shape[0] % 2 != 0 || shape[0] > 2 * (int64_t)LIMIT_PREVIEWS || shape[1] != d->config.frames ||
        shape[2] != d->config.mels)
        return fail(STATUS_DAMAGED, "it is not of shape (2*sounds, %lld, %lld)", (long long)d->config.frames,
                    (long long)d->config.mels);
    const size_t values = (size_t)(shape[0] * shape[1] * shape[2]);
    char beyond;
    if (!(d->maps = malloc(values * sizeof *d->maps)))
        return fail(STATUS_NOMEM, "plot: out of memory");
    if (fseek(from, (long)at, SEEK_SET) || fread(d->maps, sizeof *d->maps, values, from) != values ||
        fread(&beyond, 1, 1, from) != 0)
        return fail(STATUS_DAMAGED, "it has not %zu values", values);
    d->sounds = shape[0] / 2;
    return check_values(d, values);
}

static int read_maps(const char *home, struct plot_data *d)
{
    char path[PATH_ROOM];
    path_of(home, d->name, "previews/maps.npy", path);
    FILE *const from = fopen(path, "re");
    if (!from)
        return errno == ENOENT ? STATUS_OK : cannot_read(path); /* none yet */
    int code = read_config(home, d);
    code = code ? code : status_context(read_values(from, d), "%.200s", path);
    fclose(from);
    return code;
}

/* ---- whose it is ---- */

static void read_origin(const char *home, struct plot_data *d)
{
    char path[PATH_ROOM];
    path_of(home, d->name, LIBRARY_BEGUN, path);
    json_t *const all = json_load_file(path, 0, NULL);
    const char *dataset = NULL, *preset = NULL, *seed = NULL;
    if (all && json_unpack(all, "{s:s, s:s, s:s}", "dataset", &dataset, "preset", &preset, "seed", &seed) == 0)
        snprintf(d->origin, sizeof d->origin, "dataset %.100s, preset %.40s, seed %.24s", dataset, preset, seed);
    json_decref(all);
}

static int check_model(const char *home, struct plot_data *d)
{
    if (!library_is_name(d->name))
        return fail(STATUS_ARGUMENT, "'%.80s' is no name of a model", d->name);
    if (!stands(home, d->name, "."))
        return fail(STATUS_NOT_FOUND, "there is no model %s", d->name);
    d->finished = stands(home, d->name, "model.json");
    if (stands(home, d->name, "metrics.jsonl"))
        return STATUS_OK;
    return d->finished ? fail(STATUS_NOT_FOUND, "%s has no curves: it was not trained here", d->name)
                       : fail(STATUS_NOT_FOUND, "%s has no curves yet: no validation has been", d->name);
}

int plot_load(const char *home, const char *name, struct plot_data *out)
{
    *out = (struct plot_data){.best = -1};
    if (strlen(name) > LIBRARY_NAME_MOST)
        return fail(STATUS_ARGUMENT, "'%.80s' is no name of a model", name);
    snprintf(out->name, sizeof out->name, "%s", name);
    int code = check_model(home, out);
    if (!code)
        read_origin(home, out);
    code = code ? code : read_metrics(home, out);
    code = code ? code : read_maps(home, out);
    if (code)
        plot_release(out);
    return code;
}

void plot_release(struct plot_data *d)
{
    free(d->metrics);
    free(d->maps);
    d->metrics = NULL;
    d->maps = NULL;
}
