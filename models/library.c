#include "library.h"

#include "hash.h"
#include "library_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

bool library_is_name(const char *text)
{
    const size_t n = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-");
    return n > 0 && n <= LIBRARY_NAME_MOST && !text[n] && text[0] != '.' && text[0] != '-';
}

static int check_name(const char *name)
{
    return library_is_name(name) ? STATUS_OK
                                 : fail(STATUS_ARGUMENT,
                                        "'%.80s' is no name of a model: 1 to %d letters, digits, '.', '_' and '-', not "
                                        "'.' or '-' first",
                                        name, LIBRARY_NAME_MOST);
}

static int missing(const char *name)
{
    return fail(STATUS_NOT_FOUND, "there is no model '%s'; `wavemill models list` names them", name);
}

/* A JSON object of a model's folder. */
static int load(const char *home, const char *name, const char *file, json_t **out)
{
    char path[PATHS_MAX + 128];
    json_error_t e;
    int code = check_name(name);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/models/%s", home, name);
    if (access(path, F_OK))
        return missing(name);
    snprintf(path, sizeof path, "%s/models/%s/%s", home, name, file);
    *out = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    const json_t *const schema = json_object_get(*out, "schema");
    if (!*out && json_error_code(&e) == json_error_out_of_memory)
        return fail(STATUS_NOMEM, "library: out of memory");
    if (!*out)
        return fail(STATUS_DAMAGED, "model %s: %s: %s", name, file, e.text);
    if (!json_is_integer(schema) && json_is_string(json_object_get(*out, "network")))
        code = fail(STATUS_UNSUPPORTED, "model %s was trained to make sounds: it takes nothing apart", name);
    else if (!json_is_integer(schema))
        code = fail(STATUS_DAMAGED, "model %s: %s has no schema", name, file);
    else if (json_integer_value(schema) != LIBRARY_SCHEMA)
        code = fail(STATUS_VERSION, "model %s: %s is of schema %lld, this version knows %d", name, file,
                    (long long)json_integer_value(schema), LIBRARY_SCHEMA);
    if (code)
        json_decref(*out);
    return code;
}

/* ---- resolve ---- */

/* A text of up to `most` bytes that is a plain name, also for a file. */
static bool copy_text(const json_t *from, char *out, size_t capacity)
{
    const char *const text = json_string_value(from);
    const size_t n = text ? strlen(text) : 0;
    if (n == 0 || n >= capacity || text[0] == '.' || strchr(text, '/'))
        return false;
    memcpy(out, text, n + 1);
    return true;
}

static bool read_network(const json_t *entry, int stems, struct library_network *out)
{
    const json_t *const weights = json_object_get(entry, "weights");
    if (!copy_text(json_object_get(entry, "file"), out->file, sizeof out->file) ||
        json_array_size(weights) != (size_t)stems)
        return false;
    for (int k = 0; k < stems; k++) {
        const json_t *const w = json_array_get(weights, (size_t)k);
        out->weight[k] = json_number_value(w);
        if (!json_is_number(w) || !(out->weight[k] >= 0))
            return false;
    }
    return true;
}

static bool read_config(const json_t *config, struct library_model *out)
{
    const json_t *const stems = json_object_get(config, "stems"), *const networks = json_object_get(config, "networks");
    const size_t s = json_array_size(stems), n = json_array_size(networks);
    bool good = s > 0 && s <= BAG_STEMS_MOST && n > 0 && n <= BAG_NETWORKS_MOST &&
                copy_text(json_object_get(config, "kind"), out->kind, sizeof out->kind);
    out->stems = good ? (int)s : 0;
    out->networks = good ? (int)n : 0;
    for (int i = 0; i < out->stems; i++)
        good = good && copy_text(json_array_get(stems, (size_t)i), out->stem[i], sizeof out->stem[i]);
    for (int i = 0; i < out->networks; i++)
        good = good && read_network(json_array_get(networks, (size_t)i), out->stems, &out->network[i]);
    out->segment_s = json_number_value(json_object_get(config, "segment_s")); /* 0 for null */
    return good && out->segment_s >= 0;
}

static int resolve_name(const char *home, const char *name, struct library_model *out)
{
    json_t *config = NULL;
    int code = load(home, name, "config.json", &config);
    if (code)
        return code;
    snprintf(out->name, sizeof out->name, "%s", name);
    if (snprintf(out->folder, sizeof out->folder, "%s/models/%s", home, name) >= (int)sizeof out->folder)
        code = fail(STATUS_ARGUMENT, "WAVEMILL_HOME is too long");
    else if (!read_config(config, out))
        code = fail(STATUS_DAMAGED, "model %s: config.json lacks stems, networks or weights", name);
    json_decref(config);
    return code;
}

static int resolve_file(const char *path, struct library_model *out)
{
    struct safetensors *s = NULL;
    const char *const slash = strrchr(path, '/'), *const file = slash ? slash + 1 : path;
    const size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    int code = safetensors_open_path(path, &s);
    code = code ? code : library_facts(s, path, out, NULL);
    safetensors_close(&s);
    if (code)
        return code;
    if (n >= sizeof out->folder || strlen(file) >= sizeof out->network[0].file)
        return fail(STATUS_ARGUMENT, "%.200s: the name is too long; `wavemill models import` gives it another", path);
    snprintf(out->folder, sizeof out->folder, "%.*s", (int)n, slash ? path : ".");
    snprintf(out->network[0].file, sizeof out->network[0].file, "%s", file);
    snprintf(out->name, sizeof out->name, "%s", file);
    out->networks = 1;
    for (int k = 0; k < out->stems; k++)
        out->network[0].weight[k] = 1;
    return STATUS_OK;
}

int library_resolve(const char *home, const char *name_or_path, struct library_model *out)
{
    static const char ending[] = ".safetensors";
    const size_t n = strlen(name_or_path), e = strlen(ending);
    const bool is_path = strchr(name_or_path, '/') || (n > e && strcmp(name_or_path + n - e, ending) == 0);
    *out = (struct library_model){0};
    return is_path ? resolve_file(name_or_path, out) : resolve_name(home, name_or_path, out);
}

void library_path(const struct library_model *m, int network, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s/%s", m->folder, m->network[network].file);
}

/* ---- list, show, verify ---- */

int library_show(const char *home, const char *name, json_t **out)
{
    json_t *model = NULL;
    size_t i;
    const json_t *file;
    int code = load(home, name, "model.json", &model);
    if (code)
        return code;
    bool good = json_array_size(json_object_get(model, "files")) > 0 &&
                json_is_array(json_object_get(model, "stems")) && json_is_string(json_object_get(model, "kind")) &&
                json_is_integer(json_object_get(model, "bytes"));
    json_array_foreach(json_object_get(model, "files"), i, file)
    {
        char text[HASH_HEX + 64];
        struct hash h;
        good = good && copy_text(json_object_get(file, "name"), text, sizeof text) &&
               json_is_integer(json_object_get(file, "bytes")) &&
               copy_text(json_object_get(file, "blake2b"), text, sizeof text) && !hash_parse(text, &h) &&
               copy_text(json_object_get(file, "sha256"), text, sizeof text) && !hash_parse(text, &h);
    }
    if (good) {
        *out = model;
        return STATUS_OK;
    }
    json_decref(model);
    return fail(STATUS_DAMAGED, "model %s: model.json lacks files, stems, kind or bytes", name);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_begun(const char *home, const char *name)
{
    char path[PATHS_MAX + 128];
    snprintf(path, sizeof path, "%s/models/%s/model.json", home, name);
    if (access(path, F_OK) == 0)
        return false;
    snprintf(path, sizeof path, "%s/models/%s/" LIBRARY_BEGUN, home, name);
    return access(path, F_OK) == 0;
}

int library_each(const char *home, int (*visit)(void *context, const char *name, const json_t *model), void *context)
{
    char path[PATHS_MAX + 16], (*names)[LIBRARY_NAME_MOST + 1] = NULL;
    size_t count = 0;
    int code = STATUS_OK;
    snprintf(path, sizeof path, "%s/models", home);
    DIR *const d = opendir(path);
    if (!d)
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "%s: %s", path, strerror(errno));
    for (struct dirent *e; !code && (e = readdir(d));) {
        if (!library_is_name(e->d_name))
            continue;
        void *const more = realloc(names, (count + 1) * sizeof *names);
        code = more ? STATUS_OK : fail(STATUS_NOMEM, "library: out of memory");
        names = more ? more : names;
        if (more)
            snprintf(names[count++], sizeof *names, "%s", e->d_name);
    }
    closedir(d);
    if (count)
        qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count && !code; i++) {
        json_t *model = NULL;
        if (is_begun(home, names[i]))
            continue;
        if (library_show(home, names[i], &model))
            model = NULL;
        code = visit(context, names[i], model);
        json_decref(model);
    }
    free(names);
    return code;
}

/* NULL when the file is what it was. */
static const char *look_at(const char *path, const json_t *file)
{
    struct hash blake, sha, want_blake, want_sha;
    uint64_t bytes = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? "it is gone" : "it cannot be opened";
    const bool read = !hash_file(fd, &blake, &bytes) && !hash_file_sha256(fd, &sha, NULL);
    close(fd);
    if (!read)
        return "it cannot be read";
    if (bytes != (uint64_t)json_integer_value(json_object_get(file, "bytes")))
        return "its length is another";
    if (hash_parse(json_string_value(json_object_get(file, "blake2b")), &want_blake) ||
        memcmp(&blake, &want_blake, sizeof blake) != 0)
        return "its BLAKE2b is another";
    if (hash_parse(json_string_value(json_object_get(file, "sha256")), &want_sha) ||
        memcmp(&sha, &want_sha, sizeof sha) != 0)
        return "its SHA-256 is another";
    return NULL;
}

int library_verify(const char *home, const char *name,
                   void (*damaged)(void *context, const char *file, const char *why), void *context)
{
    char path[2 * PATHS_MAX];
    json_t *model = NULL;
    const json_t *file;
    size_t i, bad = 0;
    int code = library_show(home, name, &model);
    if (code)
        return code;
    json_array_foreach(json_object_get(model, "files"), i, file)
    {
        const char *const text = json_string_value(json_object_get(file, "name"));
        snprintf(path, sizeof path, "%s/models/%s/%s", home, name, text);
        const char *const why = look_at(path, file);
        if (why && damaged)
            damaged(context, text, why);
        if (why && !bad++)
            code = fail(STATUS_DAMAGED, "model %s: %.80s: %s", name, text, why);
    }
    json_decref(model);
    return code;
}

/* ---- what changes the library ---- */

bool library_clear(const char *folder)
{
    char path[2 * PATHS_MAX];
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (unlink(path) && errno == EISDIR) /* rmdir tells when something is left */
            library_clear(path);
    }
    if (d)
        closedir(d);
    return rmdir(folder) == 0;
}

int library_lock(const char *home, int *fd)
{
    char path[PATHS_MAX + 320];
    snprintf(path, sizeof path, "%s/models", home);
    int code = paths_make(path);
    if (code)
        return code;
    DIR *const d = opendir(path);
    snprintf(path, sizeof path, "%s/models/.lock", home);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!d || *fd < 0 || flock(*fd, LOCK_EX))
        code = fail(errno == EINTR ? STATUS_CANCELLED : STATUS_IO, "cannot lock %s: %s", path, strerror(errno));
    for (struct dirent *e; !code && (e = readdir(d));)
        if (strncmp(e->d_name, ".new-", 5) == 0 || strncmp(e->d_name, ".old-", 5) == 0) {
            snprintf(path, sizeof path, "%s/models/%s", home, e->d_name);
            if (!library_clear(path))
                code = fail(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
        }
    if (d)
        closedir(d);
    if (code && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return code;
}

int library_remove(const char *home, const char *name)
{
    char path[PATHS_MAX + 128], aside[PATHS_MAX + 32], folder[PATHS_MAX + 16];
    int lock = -1, code = check_name(name);
    code = code ? code : library_lock(home, &lock);
    if (code)
        return code;
    snprintf(folder, sizeof folder, "%s/models", home);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(aside, sizeof aside, "%s/.old-XXXXXX", folder);
    if (access(path, F_OK))
        code = missing(name);
    else if (!mkdtemp(aside) || rename(path, aside)) /* onto an empty folder, which it replaces */
        code = fail(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    code = code ? code : paths_sync(folder);
    if (!code && !library_clear(aside))
        code = fail(STATUS_IO, "cannot remove %s: %s", aside, strerror(errno));
    close(lock);
    return code;
}
