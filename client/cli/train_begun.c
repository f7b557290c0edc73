#include "train_begun.h"

#include "cli.h"
#include "paths.h"
#include "vae_fit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA = 1 };

/* The numbers of an item by their names. */
static const struct whole {
    const char *name;
    size_t place;
} wholes[] = {{"latent", offsetof(struct kind_train_item, latent)},
              {"steps", offsetof(struct kind_train_item, steps)},
              {"batch", offsetof(struct kind_train_item, batch)},
              {"patience", offsetof(struct kind_train_item, patience)},
              {"validate_steps", offsetof(struct kind_train_item, validate_steps)},
              {"previews", offsetof(struct kind_train_item, previews)},
              {"preview_every", offsetof(struct kind_train_item, preview_every)}};
static const struct whole reals[] = {{"rate", offsetof(struct kind_train_item, rate)},
                                     {"beta", offsetof(struct kind_train_item, beta)},
                                     {"free_nats", offsetof(struct kind_train_item, free_nats)},
                                     {"dropout", offsetof(struct kind_train_item, dropout)},
                                     {"weight_decay", offsetof(struct kind_train_item, weight_decay)}};
enum { WHOLES = sizeof wholes / sizeof *wholes, REALS = sizeof reals / sizeof *reals };

static uint64_t *whole_of(struct kind_train_item *item, int i)
{
    return (uint64_t *)(void *)((char *)item + wholes[i].place);
}

static double *real_of(struct kind_train_item *item, int i)
{
    return (double *)(void *)((char *)item + reals[i].place);
}

json_t *train_begun_describe(const struct train_begun *b)
{
    char seed[24]; /* JSON's numbers end at 2^53 */
    snprintf(seed, sizeof seed, "%" PRIu64, b->item->seed);
    json_t *const all =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:b}", "schema", SCHEMA, "dataset", b->dataset, "preset", b->preset,
                  "seed", seed, "no_changes", b->item->no_changes, "previews_at_end", b->item->previews_at_end);
    if (b->precision[0])
        json_object_set_new(all, "precision", json_string(b->precision));
    if (b->upload[0])
        json_object_set_new(all, "upload_key", json_string(b->upload));
    if (b->booked_bytes)
        json_object_set_new(all, "booked_bytes", json_integer((json_int_t)b->booked_bytes));
    for (int i = 0; i < WHOLES; i++)
        if (*whole_of(b->item, i))
            json_object_set_new(all, wholes[i].name, json_integer((json_int_t)*whole_of(b->item, i)));
    for (int i = 0; i < REALS; i++)
        if (isfinite(*real_of(b->item, i)))
            json_object_set_new(all, reals[i].name, json_real(*real_of(b->item, i)));
    return all;
}

static int make_folders(const char *folder)
{
    char parent[PATHS_MAX + 128];
    snprintf(parent, sizeof parent, "%s", folder);
    *strrchr(parent, '/') = '\0';
    const char *const both[2] = {parent, folder};
    for (int i = 0; i < 2; i++)
        if (mkdir(both[i], 0777) && errno != EEXIST)
            return fail(STATUS_IO, "cannot make %.200s: %s", both[i], strerror(errno));
    return STATUS_OK;
}

int train_begun_write(const char *folder, const struct train_begun *b)
{
    char path[PATHS_MAX + 160], temporary[PATHS_MAX + 180];
    int code = make_folders(folder);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/" LIBRARY_BEGUN, folder);
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    json_t *const all = train_begun_describe(b);
    if (!all)
        return fail(STATUS_NOMEM, "out of memory");
    if (json_dump_file(all, temporary, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) || rename(temporary, path)) {
        code = fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
        unlink(temporary);
    }
    json_decref(all);
    return code;
}

int train_begun_parse(const json_t *all, const char *path, struct train_begun *b)
{
    const char *const preset = json_string_value(json_object_get(all, "preset"));
    const char *const dataset = json_string_value(json_object_get(all, "dataset"));
    const char *const seed = json_string_value(json_object_get(all, "seed"));
    if (json_integer_value(json_object_get(all, "schema")) != SCHEMA)
        return fail(STATUS_VERSION, "%.200s: not of schema %d", path, SCHEMA);
    if (!preset || strlen(preset) > LIMIT_FEATURE_NAME || !dataset || !seed ||
        !cli_id(seed, UINT64_MAX, &b->item->seed))
        return fail(STATUS_DAMAGED, "%.200s: dataset, preset or seed is missing", path);
    if (strcmp(dataset, b->dataset) != 0)
        return fail(STATUS_ARGUMENT, "it was begun with dataset %.80s", dataset);
    snprintf(b->preset, LIMIT_FEATURE_NAME + 1, "%s", preset);
    const char *const upload = json_string_value(json_object_get(all, "upload_key"));
    snprintf(b->upload, sizeof b->upload, "%s", upload ? upload : "");
    const json_int_t booked = json_integer_value(json_object_get(all, "booked_bytes"));
    b->booked_bytes = booked > 0 ? (uint64_t)booked : 0;
    const char *const precision = json_string_value(json_object_get(all, "precision"));
    snprintf(b->precision, LIMIT_FEATURE_NAME + 1, "%s", precision ? precision : "");
    b->item->no_changes = json_is_true(json_object_get(all, "no_changes"));
    b->item->previews_at_end = json_is_true(json_object_get(all, "previews_at_end"));
    for (int i = 0; i < WHOLES; i++)
        *whole_of(b->item, i) = (uint64_t)json_integer_value(json_object_get(all, wholes[i].name));
    for (int i = 0; i < REALS; i++) {
        const json_t *const v = json_object_get(all, reals[i].name);
        *real_of(b->item, i) = json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    return STATUS_OK;
}

int train_begun_read(const char *folder, struct train_begun *b)
{
    char path[PATHS_MAX + 160];
    json_error_t e;
    snprintf(path, sizeof path, "%s/" LIBRARY_BEGUN, folder);
    json_t *const all = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!all)
        return fail(STATUS_DAMAGED, "%.200s: %s", path, e.text);
    const int code = train_begun_parse(all, path, b);
    json_decref(all);
    return code;
}

uint64_t train_begun_device_bytes(const struct kind_train_item *item, const char *preset)
{
    struct vae_fit_options o;
    size_t network, host;
    if (vae_fit_preset(preset, &o))
        return 0;
    o.recipe.batch = item->batch ? (int64_t)item->batch : o.recipe.batch;
    o.config.latent = item->latent ? (int64_t)item->latent : o.config.latent;
    return vae_fit_needs(&o, NULL, &network, &host) ? 0 : network + EXEC_ARENA_BYTES;
}
