#include "train_fetch.h"

#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEP_MOST = 3 };

/* What every trained model has; the library names these. */
static const char *const needed[] = {"config.json", "training.json", "metrics.jsonl", "model.safetensors"};
/* What the folder has of this machine. */
static const char *const ours[] = {"model.json", LIBRARY_BEGUN, "states"};
enum { NEEDED = sizeof needed / sizeof *needed, OURS = sizeof ours / sizeof *ours };

struct fetched {
    char *path, *temporary; /* NULL: not made */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

/* FILE or FOLDER/FILE and so on, of plain names that do not begin with a dot. */
static bool is_place(const char *name)
{
    int deep = 1;
    bool begins = true;
    for (const char *at = name; *at; at++) {
        if (*at == '/' ? begins || ++deep > DEEP_MOST : !is_letter(*at) || (begins && *at == '.'))
            return false;
        begins = *at == '/';
    }
    for (int i = 0; i < OURS; i++)
        if (strcmp(name, ours[i]) == 0)
            return false;
    return !begins;
}

static int check_names(const struct kind_train_result *r)
{
    struct wire_list list = r->files;
    struct kind_trained_file f;
    bool there[NEEDED] = {false};
    while (wire_next(&list, &kind_trained_file_schema, &f)) {
        char name[LIMIT_TRAINED_NAME + 1];
        wire_copy(f.name, name, sizeof name);
        if (strlen(name) != f.name.bytes || !is_place(name))
            return fail(STATUS_FORMAT, "'%.80s' is no file of a model", name);
        if (f.object.bytes != LIMIT_OBJECT)
            return fail(STATUS_FORMAT, "%.80s is no object", name);
        for (int i = 0; i < NEEDED; i++)
            there[i] |= strcmp(name, needed[i]) == 0;
    }
    for (int i = 0; i < NEEDED; i++)
        if (!there[i])
            return fail(STATUS_FORMAT, "the result has no %s", needed[i]);
    return STATUS_OK;
}

static int make_folders(char *path, size_t from)
{
    for (char *slash = path + from; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        const bool failed = mkdir(path, 0777) && errno != EEXIST;
        const int code = failed ? fail(STATUS_IO, "cannot make %.200s: %s", path, strerror(errno)) : STATUS_OK;
        *slash = '/';
        if (code)
            return code;
    }
    return STATUS_OK;
}

static int fetch_one(struct client *c, const char *folder, const struct kind_trained_file *f, struct fetched *out)
{
    char name[LIMIT_TRAINED_NAME + 1];
    wire_copy(f->name, name, sizeof name);
    if (asprintf(&out->path, "%s/%s", folder, name) < 0) {
        out->path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    const char *const slash = strrchr(out->path, '/');
    int code = make_folders(out->path, strlen(folder) + 1);
    if (asprintf(&out->temporary, "%.*s/.%s.part", (int)(slash - out->path), out->path, slash + 1) < 0) {
        out->temporary = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    if (code)
        return code;
    const int fd = open(out->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fail(STATUS_IO, "cannot write %.200s: %s", out->temporary, strerror(errno));
    code = status_context(client_get_object(c, f->object.data, fd), "%s", name);
    if (!code && fsync(fd))
        code = fail(STATUS_IO, "cannot write %.200s: %s", out->path, strerror(errno));
    if (close(fd) && !code)
        code = fail(STATUS_IO, "cannot write %.200s: %s", out->path, strerror(errno));
    return code;
}

static int fetch_all(struct client *c, const char *folder, const struct kind_train_result *r)
{
    struct wire_list list = r->files;
    struct kind_trained_file f;
    int code = STATUS_OK, count = 0;
    struct fetched *const files = calloc(list.count + 1, sizeof *files);
    if (!files)
        return fail(STATUS_NOMEM, "out of memory");
    while (!code && wire_next(&list, &kind_trained_file_schema, &f))
        code = fetch_one(c, folder, &f, &files[count++]);
    for (int i = 0; i < count && !code; i++)
        if (rename(files[i].temporary, files[i].path))
            code = fail(STATUS_IO, "cannot write %.200s: %s", files[i].path, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (code && files[i].temporary)
            unlink(files[i].temporary);
        free(files[i].path);
        free(files[i].temporary);
    }
    free(files);
    return code ? code : library_add_trained(folder, "spectral", r->parameters);
}

/* One at a time: files on their way have fixed names, so that what a killed one left is written over. */
int train_fetch(struct client *c, const char *folder, const struct kind_train_result *r)
{
    int code = check_names(r);
    if (code)
        return code;
    const int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX))
        code = errno == EINTR ? fail(STATUS_CANCELLED, "interrupted")
                              : fail(STATUS_IO, "cannot lock %.200s: %s", folder, strerror(errno));
    code = code ? code : fetch_all(c, folder, r);
    if (lock >= 0)
        close(lock);
    return code;
}
