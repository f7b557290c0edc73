/* What a network says of itself: the metadata of its file. */
#include "library_state.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* A text of JSON inside the metadata. */
static int read_json(const struct safetensors *s, const char *file, const char *key, json_t **out)
{
    const char *const text = safetensors_metadata(s, key);
    if (!text)
        return fail(STATUS_FORMAT,
                    "%.200s: its metadata have no %s; what demucs 4.1 exports has klass, args and kwargs", file, key);
    *out = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    return *out ? STATUS_OK : fail(STATUS_FORMAT, "%.200s: %s in its metadata is not JSON", file, key);
}

static int read_kind(const char *klass, const char *file, char out[LIBRARY_TEXT_MOST + 1])
{
    const char *const dot = strrchr(klass, '.'), *const last = dot ? dot + 1 : klass;
    const size_t n = strlen(last);
    if (n == 0 || n > LIBRARY_TEXT_MOST)
        return fail(STATUS_FORMAT, "%.200s: klass '%.80s' in its metadata names no class", file, klass);
    for (size_t i = 0; i <= n; i++) {
        if (last[i] && !isalnum((unsigned char)last[i]) && last[i] != '_')
            return fail(STATUS_FORMAT, "%.200s: klass '%.80s' in its metadata names no class", file, klass);
        out[i] = (char)tolower((unsigned char)last[i]);
    }
    return STATUS_OK;
}

/* A stem's name becomes a file's. */
static bool is_stem(const char *text)
{
    return bag_is_signature(text) && strlen(text) <= LIBRARY_TEXT_MOST;
}

static int read_stems(const json_t *kwargs, const char *file, struct library_model *m)
{
    const json_t *const sources = json_object_get(kwargs, "sources");
    const size_t n = json_array_size(sources);
    if (n == 0 || n > BAG_STEMS_MOST)
        return fail(STATUS_FORMAT, "%.200s: kwargs in its metadata name no sources, or more than %d", file,
                    BAG_STEMS_MOST);
    for (size_t i = 0; i < n; i++) {
        const char *const text = json_string_value(json_array_get(sources, i));
        if (!text || !is_stem(text))
            return fail(STATUS_FORMAT, "%.200s: source %zu is not a name of up to %d letters, digits, '_' and '-'",
                        file, i, LIBRARY_TEXT_MOST);
        snprintf(m->stem[i], sizeof m->stem[i], "%s", text);
    }
    m->stems = (int)n;
    return STATUS_OK;
}

static bool same(const struct library_model *a, const struct library_model *b)
{
    bool is_same = a->stems == b->stems && strcmp(a->kind, b->kind) == 0;
    for (int i = 0; i < a->stems && is_same; i++)
        is_same = strcmp(a->stem[i], b->stem[i]) == 0;
    return is_same;
}

static int take(const struct safetensors *s, const char *file, const json_t *args, const json_t *kwargs,
                struct library_model *m)
{
    struct library_model found = {0};
    const char *const klass = safetensors_metadata(s, "klass");
    if (!klass)
        return fail(STATUS_FORMAT,
                    "%.200s: its metadata have no klass; what demucs 4.1 exports has klass, args and kwargs", file);
    if (safetensors_metadata(s, "structure"))
        return fail(STATUS_UNSUPPORTED, "%.200s: its weights are packed (quantised), which is not read here", file);
    if (!json_is_array(args) || !json_is_object(kwargs))
        return fail(STATUS_FORMAT, "%.200s: args in its metadata is no list, or kwargs no object", file);
    int code = read_kind(klass, file, found.kind);
    code = code ? code : read_stems(kwargs, file, &found);
    if (!code && m->stems && !same(m, &found))
        code = fail(STATUS_FORMAT, "%.200s: its class or its stems are not those of the networks before it", file);
    if (code)
        return code;
    memcpy(m->kind, found.kind, sizeof m->kind);
    memcpy(m->stem, found.stem, sizeof m->stem);
    m->stems = found.stems;
    return STATUS_OK;
}

int library_facts(const struct safetensors *s, const char *file, struct library_model *m, json_t *entry)
{
    json_t *args = NULL, *kwargs = NULL;
    int code = read_json(s, file, "args", &args);
    code = code ? code : read_json(s, file, "kwargs", &kwargs);
    code = code ? code : take(s, file, args, kwargs, m);
    if (!code && entry &&
        (json_object_set_new(entry, "klass", json_string(safetensors_metadata(s, "klass"))) ||
         json_object_set(entry, "args", args) || json_object_set(entry, "kwargs", kwargs)))
        code = fail(STATUS_NOMEM, "library: out of memory");
    json_decref(args);
    json_decref(kwargs);
    return code;
}
