#include "sweep_sent.h"

#include "paths.h"
#include "sweep_records.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCHEMA = 1, HEX = 2 * LIMIT_OBJECT };
static const char FILE_NAME[] = "sent.json";

static void name_file(const char *folder, char out[PATHS_MAX + 192])
{
    snprintf(out, PATHS_MAX + 192, "%s/%s", folder, FILE_NAME);
}

/* ---- writing ---- */

static json_t *describe_packs(const struct sweep_sent *s)
{
    json_t *const packs = json_object();
    for (int i = 0; i < s->packs; i++) {
        char hex[HEX + 1];
        for (int k = 0; k < LIMIT_OBJECT; k++)
            snprintf(hex + 2 * k, 3, "%02x", s->pack[i].object[k]);
        json_object_set_new(packs, s->pack[i].preset, json_string(hex));
    }
    return packs;
}

int sweep_sent_write(const char *folder, const struct sweep_sent *s)
{
    char path[PATHS_MAX + 192];
    json_t *const trials = json_array();
    for (size_t i = 0; i < s->count; i++)
        json_array_append_new(trials, json_integer((json_int_t)s->trial[i]));
    json_t *const all =
        json_pack("{s:i, s:o, s:s, s:I, s:I, s:o}", "schema", SCHEMA, "packs", describe_packs(s), "key", s->key,
                  "round", (json_int_t)s->round, "booked_bytes", (json_int_t)s->booked_bytes, "trials", trials);
    char *const text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    name_file(folder, path);
    const int code =
        text ? sweep_file_write(path, NULL, 0, text, strlen(text), 0) : fail(STATUS_NOMEM, "out of memory");
    free(text);
    json_decref(all);
    return code;
}

/* ---- reading ---- */

static bool read_hex(const char *text, uint8_t out[LIMIT_OBJECT])
{
    if (!text || strlen(text) != HEX || strspn(text, "0123456789abcdef") != HEX)
        return false;
    for (int i = 0; i < LIMIT_OBJECT; i++) {
        const char both[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(both, NULL, 16);
    }
    return true;
}

static bool read_packs(json_t *packs, struct sweep_sent *out)
{
    const char *preset;
    json_t *object;
    json_object_foreach(packs, preset, object)
    {
        if (out->packs == SWEEP_PRESETS_MOST || strlen(preset) > LIMIT_FEATURE_NAME ||
            !read_hex(json_string_value(object), out->pack[out->packs].object))
            return false;
        snprintf(out->pack[out->packs++].preset, LIMIT_FEATURE_NAME + 1, "%s", preset);
    }
    return out->packs > 0;
}

static bool read_round(const json_t *all, const struct halving *h, struct sweep_sent *out)
{
    const char *const key = json_string_value(json_object_get(all, "key"));
    const json_t *const trials = json_object_get(all, "trials"), *const booked = json_object_get(all, "booked_bytes");
    out->booked_bytes = (uint64_t)json_integer_value(booked); /* before it was kept nothing was booked */
    out->round = (int64_t)json_integer_value(json_object_get(all, "round"));
    out->count = json_array_size(trials);
    if ((booked && !json_is_integer(booked)) || json_integer_value(booked) < 0)
        return false;
    if (!key || strlen(key) > LIMIT_KEY || out->round < 0 || out->round >= h->rounds || out->count > (size_t)h->trials)
        return false;
    snprintf(out->key, sizeof out->key, "%s", key);
    for (size_t i = 0; i < out->count; i++) {
        const json_t *const trial = json_array_get(trials, i);
        out->trial[i] = (int64_t)json_integer_value(trial);
        if (!json_is_integer(trial) || out->trial[i] < 0 || out->trial[i] >= h->trials)
            return false;
    }
    return true;
}

int sweep_sent_read(const char *folder, const struct halving *h, struct sweep_sent *out)
{
    char path[PATHS_MAX + 192];
    json_error_t e;
    name_file(folder, path);
    *out = (struct sweep_sent){.packs = 0};
    if (access(path, F_OK))
        return fail(STATUS_NOT_FOUND, "there is no %.200s", path);
    json_t *const all = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!all)
        return fail(STATUS_DAMAGED, "%.200s: %.200s", path, e.text);
    const bool good = json_integer_value(json_object_get(all, "schema")) == SCHEMA &&
                      read_packs(json_object_get(all, "packs"), out) && read_round(all, h, out);
    json_decref(all);
    return good ? STATUS_OK
                : fail(STATUS_DAMAGED, "%.200s: packs, key, round, booked_bytes or trials are missing or are none",
                       path);
}
