#include "paths.h"
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGNMENT = 8 };

static int write_all(int fd, const char *name, const void *data, uint64_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, at, bytes < 1 << 30 ? bytes : 1 << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "safetensors: cannot write %.200s: %s", name, strerror(errno));
        at += n;
        bytes -= (uint64_t)n;
    }
    return STATUS_OK;
}

static json_t *describe(const struct safetensors_view *v, uint64_t from, uint64_t bytes)
{
    json_t *const shape = json_array();
    for (int i = 0; i < v->rank; i++)
        json_array_append_new(shape, json_integer(v->shape[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", safetensors_dtype_name(v->dtype), "shape", shape, "data_offsets",
                     (json_int_t)from, (json_int_t)(from + bytes));
}

/* Puts the tensor's entry into the header, at *end, which it moves on. */
static int add(json_t *header, const struct safetensors_view *v, uint64_t *end)
{
    uint64_t count, bytes;
    const size_t n = v->name ? strlen(v->name) : 0;
    if (n == 0 || n > SAFETENSORS_NAME_MOST || strcmp(v->name, "__metadata__") == 0 || json_object_get(header, v->name))
        return fail(STATUS_ARGUMENT, "safetensors: a tensor cannot be named '%.80s' here", n ? v->name : "");
    if ((unsigned)v->dtype >= SAFETENSORS_DTYPES || v->rank < 0 || v->rank > SAFETENSORS_DIMS_MOST ||
        !safetensors_measure(v, &count, &bytes) || bytes > INT64_MAX - *end)
        return fail(STATUS_ARGUMENT, "safetensors: tensor '%.80s' has a shape or a dtype that no file can hold",
                    v->name);
    if (json_object_set_new(header, v->name, describe(v, *end, bytes)))
        return fail(STATUS_ARGUMENT, "safetensors: the name '%.80s' is not UTF-8, or memory is short", v->name);
    *end += bytes;
    return STATUS_OK;
}

/* Calls for each tensor, wide dtypes first. */
static int each(const struct safetensors_view *tensors, size_t count,
                int (*visit)(void *context, const struct safetensors_view *v), void *context)
{
    int code = STATUS_OK;
    for (size_t width = ALIGNMENT; width > 0 && !code; width /= 2)
        for (size_t i = 0; i < count && !code; i++)
            if (safetensors_dtype_bytes(tensors[i].dtype) == width)
                code = visit(context, &tensors[i]);
    return code;
}

struct writer {
    int fd;
    const char *name;
    json_t *header;
    uint64_t end;
};

static int add_one(void *context, const struct safetensors_view *v)
{
    struct writer *const w = context;
    return add(w->header, v, &w->end);
}

static int write_one(void *context, const struct safetensors_view *v)
{
    const struct writer *const w = context;
    uint64_t count = 0, bytes = 0;
    return safetensors_measure(v, &count, &bytes) ? write_all(w->fd, w->name, v->data, bytes)
                                                  : fail(STATUS_INTERNAL, "safetensors: a shape changed");
}

static int make_header(struct writer *w, const struct safetensors_view *tensors, size_t count,
                       const struct safetensors_text *metadata, size_t metadata_count)
{
    json_t *const texts = json_object();
    if (json_object_set_new(w->header, "__metadata__", texts))
        return fail(STATUS_NOMEM, "safetensors: out of memory");
    for (size_t i = 0; i < metadata_count; i++)
        if (json_object_set_new(texts, metadata[i].key, json_string(metadata[i].value)))
            return fail(STATUS_ARGUMENT, "safetensors: metadata '%.80s' is not UTF-8, or memory is short",
                        metadata[i].key);
    if (metadata_count == 0)
        json_object_del(w->header, "__metadata__");
    for (size_t i = 0; i < count; i++)
        if ((unsigned)tensors[i].dtype >= SAFETENSORS_DTYPES)
            return fail(STATUS_ARGUMENT, "safetensors: tensor %zu has no dtype", i);
    return each(tensors, count, add_one, w);
}

static int write_header(const struct writer *w)
{
    char *const text = json_dumps(w->header, JSON_COMPACT);
    if (!text)
        return fail(STATUS_NOMEM, "safetensors: out of memory");
    const size_t n = strlen(text);
    const uint64_t length = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int code = STATUS_OK;
    if (length > SAFETENSORS_HEADER_MOST || json_object_size(w->header) > SAFETENSORS_COUNT_MOST)
        code = fail(STATUS_ARGUMENT, "safetensors: %.200s: more tensors or longer names than a header holds", w->name);
    code = code ? code : write_all(w->fd, w->name, &length, sizeof length);
    code = code ? code : write_all(w->fd, w->name, text, n);
    code = code ? code : write_all(w->fd, w->name, "       ", length - n);
    free(text);
    return code;
}

int safetensors_write(int fd, const char *name, const struct safetensors_view *tensors, size_t count,
                      const struct safetensors_text *metadata, size_t metadata_count)
{
    struct writer w = {.fd = fd, .name = name, .header = json_object()};
    if (!w.header)
        return fail(STATUS_NOMEM, "safetensors: out of memory");
    int code = make_header(&w, tensors, count, metadata, metadata_count);
    code = code ? code : write_header(&w);
    code = code ? code : each(tensors, count, write_one, &w);
    json_decref(w.header);
    return code;
}

int safetensors_save(const char *path, const struct safetensors_view *tensors, size_t count,
                     const struct safetensors_text *metadata, size_t metadata_count)
{
    char temporary[PATHS_MAX + 32], folder[PATHS_MAX];
    if (strlen(path) >= sizeof folder)
        return fail(STATUS_ARGUMENT, "safetensors: the path is too long: %.100s...", path);
    snprintf(temporary, sizeof temporary, "%s.part-XXXXXX", path);
    snprintf(folder, sizeof folder, "%s", path);
    char *const slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    const int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return fail(STATUS_IO, "safetensors: cannot write %.200s: %s", path, strerror(errno));
    const mode_t mask = umask(0);
    umask(mask);
    int code = safetensors_write(fd, path, tensors, count, metadata, metadata_count);
    if (!code && (fchmod(fd, 0666 & ~mask) || fsync(fd)))
        code = fail(STATUS_IO, "safetensors: cannot write %.200s: %s", path, strerror(errno));
    if (close(fd) && !code)
        code = fail(STATUS_IO, "safetensors: cannot write %.200s: %s", path, strerror(errno));
    if (!code && rename(temporary, path))
        code = fail(STATUS_IO, "safetensors: cannot write %.200s: %s", path, strerror(errno));
    if (code)
        unlink(temporary);
    return code ? code : status_context(paths_sync(slash ? folder : "."), "safetensors");
}
