#include "hash.h"
#include "library_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COPY_BLOCK = 1 << 20 };

struct importer {
    const struct library_import *wish;
    char from[PATHS_MAX];             /* folder of the weights */
    char single[PATHS_MAX];           /* the one file that is no bag's; else empty */
    char base[LIBRARY_NAME_MOST + 1]; /* the name that the file suggests; may be none */
    struct bag bag;
    struct library_model model; /* its folder is where the new one is made */
    json_t *networks, *files;
    uint64_t bytes, parameters;
};

static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n > m && strcmp(text + n - m, with) == 0;
}

/* ---- what there is to import ---- */

/* The file's name without folder and ending, as far as it can be a model's. */
static void suggest(struct importer *im, const char *path)
{
    const char *const slash = strrchr(path, '/'), *const file = slash ? slash + 1 : path;
    const char *const dot = strrchr(file, '.');
    snprintf(im->base, sizeof im->base, "%.*s", dot ? (int)(dot - file) : (int)strlen(file), file);
}

static int read_bag(struct importer *im, const char *path)
{
    char text[BAG_BYTES_MOST + 1];
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a pipe of that name must not hold us */
        return fail(STATUS_FORMAT, "%.200s: not a file", path);
    FILE *const f = fopen(path, "rbe");
    if (!f)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%.200s: %s", path, strerror(errno));
    const size_t n = fread(text, 1, sizeof text, f);
    const int failed = ferror(f);
    if (fclose(f) || failed)
        return fail(STATUS_IO, "%.200s: cannot read it", path);
    suggest(im, path);
    return bag_parse(text, n, path, &im->bag);
}

static int take_single(struct importer *im, const char *path)
{
    suggest(im, path);
    im->bag.networks = 1;
    snprintf(im->single, sizeof im->single, "%s", path);
    snprintf(im->bag.signature[0], sizeof im->bag.signature[0], "%s",
             bag_is_signature(im->base) ? im->base : "weights");
    return STATUS_OK;
}

/* A folder: its one bag, or its one file of weights. */
static int look_into(struct importer *im, const char *folder)
{
    char bag[PATHS_MAX] = "", file[PATHS_MAX] = "", other[PATHS_MAX] = "";
    int bags = 0, files = 0;
    DIR *const d = opendir(folder);
    if (!d)
        return fail(STATUS_IO, "%.200s: %s", folder, strerror(errno));
    snprintf(im->from, sizeof im->from, "%s", folder);
    for (struct dirent *e; (e = readdir(d));) {
        const bool is_bag = ends(e->d_name, ".yaml"), is_file = ends(e->d_name, ".safetensors");
        char *const to = is_bag ? bag : is_file ? file : ends(e->d_name, ".th") ? other : NULL;
        bags += is_bag;
        files += is_file;
        if (to)
            snprintf(to, PATHS_MAX, "%s/%s", folder, e->d_name);
    }
    closedir(d);
    if (bags == 1)
        return read_bag(im, bag);
    if (bags > 1)
        return fail(STATUS_ARGUMENT, "%.200s: %d .yaml files; name the one to import", folder, bags);
    if (files == 1)
        return take_single(im, file);
    if (files > 1)
        return fail(STATUS_ARGUMENT, "%.200s: %d .safetensors files and no .yaml; name the one to import", folder,
                    files);
    return *other ? take_single(im, other) /* a pickle: refused with its reason */
                  : fail(STATUS_FORMAT, "%.200s: neither a .safetensors file nor a .yaml that names some", folder);
}

static int find(struct importer *im)
{
    const char *const path = im->wish->path, *const slash = strrchr(path, '/');
    struct stat st;
    if (strlen(path) >= PATHS_MAX - 300)
        return fail(STATUS_ARGUMENT, "the path is too long: %.100s...", path);
    if (stat(path, &st))
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%.200s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return look_into(im, path);
    snprintf(im->from, sizeof im->from, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
    return ends(path, ".yaml") ? read_bag(im, path) : take_single(im, path);
}

/* ---- the files of the new one ---- */

static int copy(int from, const char *path, int to)
{
    char *const block = malloc(COPY_BLOCK);
    int code = block ? STATUS_OK : fail(STATUS_NOMEM, "library: out of memory");
    while (!code) {
        const ssize_t n = read(from, block, COPY_BLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = fail(STATUS_IO, "%.200s: cannot read: %s", path, strerror(errno));
        for (ssize_t done = 0, m; !code && done < n; done += m)
            if ((m = write(to, block + done, (size_t)(n - done))) <= 0)
                code = fail(STATUS_IO, "%.200s: cannot copy: %s", path, strerror(errno));
        if (n == 0)
            break;
    }
    free(block);
    return code;
}

/* Every number must be one: what a network computes with a NaN is lost, and nobody would see where. */
static int check_numbers(struct importer *im, const struct safetensors *s, const char *path)
{
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensors_view *const v = safetensors_at(s, i);
        int64_t bad = -1;
        const int code = safetensors_floats(v, NULL, &bad);
        if (!code && bad >= 0)
            return fail(STATUS_FORMAT, "%.200s: tensor '%.80s' has a NaN or an infinity at %lld", path, v->name,
                        (long long)bad);
        im->parameters += code ? 0 : v->count; /* whole numbers are counters, not weights */
    }
    return STATUS_OK;
}

/* A finished file, flushed, into model.json's list. */
static int enter(struct importer *im, int fd, const char *name)
{
    if (fsync(fd))
        return fail(STATUS_IO, "library: cannot write %.80s: %s", name, strerror(errno));
    return library_enter(fd, name, im->files, &im->bytes);
}

static int create(const struct importer *im, const char *name, int *fd)
{
    char path[2 * PATHS_MAX];
    snprintf(path, sizeof path, "%s/%s", im->model.folder, name);
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *fd < 0 ? fail(STATUS_IO, "library: cannot write %.200s: %s", path, strerror(errno)) : STATUS_OK;
}

static json_t *weights_of(const struct importer *im, int network)
{
    json_t *const list = json_array();
    for (int k = 0; k < im->model.stems; k++)
        json_array_append_new(list, json_real(im->bag.stems ? im->bag.weight[network][k] : 1));
    return list;
}

/* Where the weights of a network come from; a bag of pickles is found out here. */
static void path_of(const struct importer *im, int network, char *out, size_t capacity)
{
    struct stat st;
    snprintf(out, capacity, "%s/%s.safetensors", im->from, im->bag.signature[network]);
    if (*im->single)
        snprintf(out, capacity, "%s", im->single);
    else if (stat(out, &st) && errno == ENOENT) {
        char pickle[2 * PATHS_MAX];
        snprintf(pickle, sizeof pickle, "%s/%s.th", im->from, im->bag.signature[network]);
        if (stat(pickle, &st) == 0)
            snprintf(out, capacity, "%s", pickle);
    }
}

/* The bytes that are checked are those of the copy, which nobody else changes. */
static int bring(struct importer *im, int network, const char *file, json_t *entry)
{
    char path[2 * PATHS_MAX];
    struct safetensors *s = NULL;
    int to = -1;
    path_of(im, network, path, sizeof path);
    int code = safetensors_open_path(path, &s); /* so that gigabytes of something else are not copied */
    safetensors_close(&s);
    if (code)
        return code;
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    code = from < 0 ? fail(STATUS_IO, "%.200s: %s", path, strerror(errno)) : create(im, file, &to);
    code = code ? code : copy(from, path, to);
    code = code ? code : safetensors_open(to, path, &s);
    code = code ? code : library_facts(s, path, &im->model, entry);
    code = code ? code : check_numbers(im, s, path);
    code = code ? code : enter(im, to, file);
    safetensors_close(&s);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    return code;
}

/* A bag may name a network twice: the file is there once. */
static int bring_once(struct importer *im, int network, json_t *entry)
{
    char file[BAG_SIGNATURE_MOST + 16];
    snprintf(file, sizeof file, "%s.safetensors", im->bag.signature[network]);
    for (int i = 0; i < network; i++)
        if (strcmp(im->bag.signature[i], im->bag.signature[network]) == 0)
            return json_object_update(entry, json_array_get(im->networks, (size_t)i))
                       ? fail(STATUS_NOMEM, "library: out of memory")
                       : STATUS_OK;
    const int code = json_object_set_new(entry, "file", json_string(file))
                         ? fail(STATUS_NOMEM, "library: out of memory")
                         : STATUS_OK;
    return code ? code : bring(im, network, file, entry);
}

static int bring_all(struct importer *im)
{
    int code = STATUS_OK;
    for (int i = 0; i < im->bag.networks && !code; i++) {
        json_t *const entry = json_object();
        code = bring_once(im, i, entry);
        if (!code && im->bag.stems && im->bag.stems != im->model.stems)
            code = fail(STATUS_FORMAT, "%.200s: weights for %d stems, but the networks have %d", im->wish->path,
                        im->bag.stems, im->model.stems);
        if (!code && json_object_set_new(entry, "weights", weights_of(im, i)))
            code = fail(STATUS_NOMEM, "library: out of memory");
        if (!code && json_array_append(im->networks, entry))
            code = fail(STATUS_NOMEM, "library: out of memory");
        json_decref(entry);
    }
    return code;
}

/* ---- what is said about it ---- */

static json_t *stems_of(const struct importer *im)
{
    json_t *const list = json_array();
    for (int k = 0; k < im->model.stems; k++)
        json_array_append_new(list, json_string(im->model.stem[k]));
    return list;
}

/* Releases what it writes. */
static int write_json(struct importer *im, const char *name, json_t *what, bool is_entered)
{
    int fd = -1;
    int code = what ? create(im, name, &fd) : fail(STATUS_NOMEM, "library: out of memory");
    if (!code && (json_dumpfd(what, fd, JSON_INDENT(2)) || write(fd, "\n", 1) != 1 || fsync(fd)))
        code = fail(STATUS_IO, "library: cannot write %s: %s", name, strerror(errno));
    if (!code && is_entered)
        code = enter(im, fd, name);
    if (fd >= 0)
        close(fd);
    json_decref(what);
    return code;
}

static json_t *text_or_null(const char *text)
{
    json_t *const s = text ? json_string(text) : NULL;
    return s ? s : json_null();
}

static int describe(struct importer *im)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *const segment = im->bag.segment_s > 0 ? json_real(im->bag.segment_s) : json_null();
    int code = write_json(im, "config.json",
                          json_pack("{s:i, s:s, s:o, s:O, s:o}", "schema", LIBRARY_SCHEMA, "kind", im->model.kind,
                                    "stems", stems_of(im), "networks", im->networks, "segment_s", segment),
                          true);
    if (code)
        return code;
    return write_json(im, "model.json",
                      json_pack("{s:i, s:s, s:s, s:o, s:i, s:I, s:I, s:o, s:o, s:I, s:s, s:O}", "schema",
                                LIBRARY_SCHEMA, "name", im->model.name, "kind", im->model.kind, "stems", stems_of(im),
                                "networks", im->bag.networks, "parameters", (json_int_t)im->parameters, "bytes",
                                (json_int_t)im->bytes, "source", text_or_null(im->wish->source), "licence",
                                text_or_null(im->wish->licence), "imported_unix_ms",
                                (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, "tool_version", WAVEMILL_VERSION,
                                "files", im->files),
                      false);
}

/* ---- */

static int choose_name(struct importer *im)
{
    const char *const name = im->wish->name ? im->wish->name : im->base;
    if (!library_is_name(name))
        return fail(STATUS_ARGUMENT,
                    "'%.80s' is no name of a model: 1 to %d letters, digits, '.', '_' and '-', not '.' or '-' first%s",
                    name, LIBRARY_NAME_MOST, im->wish->name ? "" : "; --name gives another");
    snprintf(im->model.name, sizeof im->model.name, "%s", name);
    return STATUS_OK;
}

static int settle(struct importer *im, const char *home)
{
    char path[PATHS_MAX + 128], folder[PATHS_MAX + 16];
    snprintf(folder, sizeof folder, "%s/models", home);
    snprintf(path, sizeof path, "%s/%s", folder, im->model.name);
    const int code = paths_sync(im->model.folder);
    if (code)
        return code;
    if (rename(im->model.folder, path))
        return errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
                   ? fail(STATUS_BUSY, "a model '%s' is there; --name gives another", im->model.name)
                   : fail(STATUS_IO, "library: cannot write %.200s: %s", path, strerror(errno));
    return paths_sync(folder);
}

static int make(struct importer *im, const char *home)
{
    char path[PATHS_MAX + 128];
    snprintf(path, sizeof path, "%s/models/%s", home, im->model.name);
    if (access(path, F_OK) == 0)
        return fail(STATUS_BUSY, "a model '%s' is there; `wavemill models remove %s`, or another --name",
                    im->model.name, im->model.name);
    const int n = snprintf(im->model.folder, sizeof im->model.folder, "%s/models/.new-XXXXXX", home);
    if (n >= (int)sizeof im->model.folder || !mkdtemp(im->model.folder))
        return fail(STATUS_IO, "library: cannot write in %.200s/models: %s", home, strerror(errno));
    int code = bring_all(im);
    code = code ? code : describe(im);
    code = code ? code : settle(im, home);
    if (code)
        library_clear(im->model.folder); /* what is left now, the next that locks the library clears */
    return code;
}

int library_import(const char *home, const struct library_import *what, char name[LIBRARY_NAME_MOST + 1])
{
    struct importer *const im = calloc(1, sizeof *im);
    int lock = -1;
    if (!im)
        return fail(STATUS_NOMEM, "library: out of memory");
    im->wish = what;
    im->networks = json_array();
    im->files = json_array();
    int code = im->networks && im->files ? find(im) : fail(STATUS_NOMEM, "library: out of memory");
    code = code ? code : choose_name(im);
    code = code ? code : library_lock(home, &lock);
    code = code ? code : make(im, home);
    if (!code)
        memcpy(name, im->model.name, sizeof im->model.name);
    if (lock >= 0)
        close(lock);
    json_decref(im->networks);
    json_decref(im->files);
    free(im);
    return code;
}
