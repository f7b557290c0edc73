#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8 };
static const char METADATA[] = "__metadata__";

/* What is wrong with a tensor is said with the file's and the tensor's name, both cut. */
#define REFUSED "safetensors: %.200s: tensor '%.80s': "

struct by_name {
    const struct safetensors_view *view;
};

struct safetensors {
    const char *file; /* for messages, while it is opened */
    uint8_t *map;
    uint64_t bytes, data_at;
    json_t *header; /* holds the names and the metadata */
    struct safetensors_view *views;
    struct by_name *by_name;
    size_t count;
};

/* ---- opening: from the bytes to checked views ---- */

static int refuse_pickle(const struct safetensors *s)
{
    return fail(
        STATUS_FORMAT,
        "%s%.40s: a pickle, which runs code when read; convert where trusted: python3 -c \"import json,sys,torch;"
        "from safetensors.torch import save_file;p=torch.load(sys.argv[1],'cpu',weights_only=False);k=p['klass'];"
        "save_file({n:v.contiguous() for n,v in p['state'].items()},sys.argv[2],dict(klass=k.__module__+'.'+"
        "k.__name__,args=json.dumps(p['args']),kwargs=json.dumps(p['kwargs'],default=lambda f:dict("
        "_type='fraction',numerator=f.numerator,denominator=f.denominator))))\" IN OUT",
        strlen(s->file) > 40 ? "..." : "", s->file + (strlen(s->file) > 40 ? strlen(s->file) - 40 : 0));
}

/* torch.save writes a ZIP, in older versions a bare pickle: 0x80 and the protocol. */
static int refuse_head(const struct safetensors *s, uint64_t length)
{
    const bool is_zip = s->bytes >= 4 && memcmp(s->map, "PK\3\4", 4) == 0;
    if (is_zip || (s->bytes >= 2 && s->map[0] == 0x80 && s->map[1] >= 2 && s->map[1] <= 5))
        return refuse_pickle(s);
    if (s->bytes < LENGTH_BYTES)
        return fail(STATUS_FORMAT, "safetensors: %.200s: %llu bytes, too short for a header", s->file,
                    (unsigned long long)s->bytes);
    if (length > s->bytes - LENGTH_BYTES)
        return fail(STATUS_FORMAT, "safetensors: %.200s: the header claims %llu bytes, the file has %llu", s->file,
                    (unsigned long long)length, (unsigned long long)s->bytes);
    if (length > SAFETENSORS_HEADER_MOST)
        return fail(STATUS_FORMAT, "safetensors: %.200s: a header of %llu bytes, the limit is %llu", s->file,
                    (unsigned long long)length, (unsigned long long)SAFETENSORS_HEADER_MOST);
    return fail(STATUS_FORMAT, "safetensors: %.200s: the header does not begin with '{'", s->file);
}

static int read_header(struct safetensors *s)
{
    uint64_t length = 0;
    json_error_t e;
    if (s->bytes >= LENGTH_BYTES)
        memcpy(&length, s->map, LENGTH_BYTES);
    if (s->bytes <= LENGTH_BYTES || length == 0 || length > s->bytes - LENGTH_BYTES ||
        length > SAFETENSORS_HEADER_MOST || s->map[LENGTH_BYTES] != '{')
        return refuse_head(s, length);
    s->data_at = LENGTH_BYTES + length;
    s->header = json_loadb((const char *)s->map + LENGTH_BYTES, length, JSON_REJECT_DUPLICATES, &e);
    if (s->header)
        return STATUS_OK;
    if (json_error_code(&e) == json_error_out_of_memory)
        return fail(STATUS_NOMEM, "safetensors: %.200s: out of memory", s->file);
    return fail(STATUS_FORMAT, "safetensors: %.200s: the header is not JSON: %s, at byte %d", s->file, e.text,
                e.position);
}

static int check_metadata(const struct safetensors *s)
{
    const json_t *const m = json_object_get(s->header, METADATA);
    const char *key;
    json_t *value;
    if (m && !json_is_object(m))
        return fail(STATUS_FORMAT, "safetensors: %.200s: %s is not an object", s->file, METADATA);
    json_object_foreach((json_t *)(uintptr_t)m, key, value) if (!json_is_string(value)) return fail(
        STATUS_FORMAT, "safetensors: %.200s: metadata '%.80s' is not a text", s->file, key);
    return STATUS_OK;
}

static int read_dtype(const struct safetensors *s, const json_t *entry, struct safetensors_view *v)
{
    const char *const text = json_string_value(json_object_get(entry, "dtype"));
    for (int i = 0; text && i < SAFETENSORS_DTYPES; i++)
        if (strcmp(text, safetensors_dtype_name((enum safetensors_dtype)i)) == 0) {
            v->dtype = (enum safetensors_dtype)i;
            return STATUS_OK;
        }
    return fail(STATUS_FORMAT, REFUSED "dtype %.20s is not known", s->file, v->name, text ? text : "(no text)");
}

static int read_shape(const struct safetensors *s, const json_t *entry, struct safetensors_view *v)
{
    const json_t *const shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_DIMS_MOST)
        return fail(STATUS_FORMAT, REFUSED "its shape is not a list of at most %d numbers", s->file, v->name,
                    SAFETENSORS_DIMS_MOST);
    v->rank = (int)json_array_size(shape);
    for (int i = 0; i < v->rank; i++) {
        const json_t *const n = json_array_get(shape, (size_t)i);
        v->shape[i] = json_integer_value(n);
        if (!json_is_integer(n) || v->shape[i] < 0)
            return fail(STATUS_FORMAT, REFUSED "dimension %d is not a whole number from 0", s->file, v->name, i);
    }
    if (!safetensors_measure(v, &v->count, &v->bytes))
        return fail(STATUS_FORMAT, REFUSED "its shape has more elements than can be counted", s->file, v->name);
    return STATUS_OK;
}

static int read_offsets(const struct safetensors *s, const json_t *entry, struct safetensors_view *v)
{
    const json_t *const pair = json_object_get(entry, "data_offsets");
    const json_t *const a = json_array_get(pair, 0), *const b = json_array_get(pair, 1);
    const json_int_t from = json_integer_value(a), to = json_integer_value(b);
    const uint64_t room = s->bytes - s->data_at;
    if (json_array_size(pair) != 2 || !json_is_integer(a) || !json_is_integer(b) || from < 0 || to < from)
        return fail(STATUS_FORMAT, REFUSED "its data_offsets are not two whole numbers, from and to", s->file, v->name);
    if ((uint64_t)to > room)
        return fail(STATUS_FORMAT, REFUSED "it ends at byte %lld of %llu: the file is cut short, or lies", s->file,
                    v->name, (long long)to, (unsigned long long)room);
    if ((uint64_t)(to - from) != v->bytes)
        return fail(STATUS_FORMAT, REFUSED "%lld bytes for a shape of %llu", s->file, v->name, (long long)(to - from),
                    (unsigned long long)v->bytes);
    v->data = s->map + s->data_at + from;
    return STATUS_OK;
}

static int read_entry(const struct safetensors *s, const char *name, const json_t *entry, struct safetensors_view *v)
{
    v->name = name;
    if (!*name || strlen(name) > SAFETENSORS_NAME_MOST)
        return fail(STATUS_FORMAT, REFUSED "its name has %zu bytes, of 1 to %d", s->file, name, strlen(name),
                    SAFETENSORS_NAME_MOST);
    if (json_object_size(entry) != 3)
        return fail(STATUS_FORMAT, REFUSED "it has not exactly dtype, shape and data_offsets", s->file, name);
    int code = read_dtype(s, entry, v);
    code = code ? code : read_shape(s, entry, v);
    return code ? code : read_offsets(s, entry, v);
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_view *const x = a, *const y = b;
    if (x->data != y->data)
        return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1; /* an empty one lies before the one that begins there */
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct by_name *)a)->view->name, ((const struct by_name *)b)->view->name);
}

/* Each tensor begins where the one before it ends, and the last ends with the file. */
static int check_cover(const struct safetensors *s)
{
    const uint8_t *at = s->map + s->data_at;
    for (size_t i = 0; i < s->count; i++) {
        const struct safetensors_view *const v = &s->views[i];
        if ((const uint8_t *)v->data != at)
            return fail(STATUS_FORMAT, REFUSED "%s before it", s->file, v->name,
                        (const uint8_t *)v->data < at ? "it overlaps the one" : "there is a gap");
        at += v->bytes;
    }
    if (at != s->map + s->bytes)
        return fail(STATUS_FORMAT, "safetensors: %.200s: %llu bytes at its end belong to no tensor", s->file,
                    (unsigned long long)(s->map + s->bytes - at));
    return STATUS_OK;
}

static int read_views(struct safetensors *s)
{
    const size_t most = json_object_size(s->header);
    const char *name;
    json_t *entry;
    int code = STATUS_OK;
    if (most > SAFETENSORS_COUNT_MOST)
        return fail(STATUS_FORMAT, "safetensors: %.200s: %zu tensors, the limit is %d", s->file, most,
                    SAFETENSORS_COUNT_MOST);
    s->views = calloc(most + 1, sizeof *s->views);
    s->by_name = calloc(most + 1, sizeof *s->by_name);
    if (!s->views || !s->by_name)
        return fail(STATUS_NOMEM, "safetensors: %.200s: out of memory", s->file);
    json_object_foreach(s->header, name, entry)
    {
        if (strcmp(name, METADATA) == 0)
            continue;
        if ((code = read_entry(s, name, entry, &s->views[s->count])))
            return code;
        s->count++;
    }
    qsort(s->views, s->count, sizeof *s->views, by_place);
    for (size_t i = 0; i < s->count; i++)
        s->by_name[i].view = &s->views[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, compare_names);
    return check_cover(s);
}

static int map_file(struct safetensors *s, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(STATUS_IO, "safetensors: %.200s: %s", s->file, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(STATUS_FORMAT, "safetensors: %.200s: not a file", s->file);
    if (st.st_size == 0) /* which cannot be mapped */
        return fail(STATUS_FORMAT, "safetensors: %.200s: the file is empty", s->file);
    void *const map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return fail(STATUS_IO, "safetensors: %.200s: cannot map it: %s", s->file, strerror(errno));
    s->map = map;
    s->bytes = (uint64_t)st.st_size;
    return STATUS_OK;
}

int safetensors_open(int fd, const char *name, struct safetensors **out)
{
    struct safetensors *s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "safetensors: %.200s: out of memory", name);
    s->file = name;
    int code = map_file(s, fd);
    code = code ? code : read_header(s);
    code = code ? code : check_metadata(s);
    code = code ? code : read_views(s);
    s->file = NULL; /* the caller's */
    if (code)
        safetensors_close(&s);
    else
        *out = s;
    return code;
}

int safetensors_open_path(const char *path, struct safetensors **out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not hold us */
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "safetensors: %.200s: %s", path, strerror(errno));
    const int code = safetensors_open(fd, path, out);
    close(fd);
    return code;
}

void safetensors_close(struct safetensors **s)
{
    if (!*s)
        return;
    if ((*s)->map)
        munmap((*s)->map, (*s)->bytes);
    json_decref((*s)->header);
    free((*s)->views);
    free((*s)->by_name);
    free(*s);
    *s = NULL;
}

/* ---- what an open file holds ---- */

size_t safetensors_count(const struct safetensors *s)
{
    return s->count;
}

const struct safetensors_view *safetensors_at(const struct safetensors *s, size_t index)
{
    return index < s->count ? &s->views[index] : NULL;
}

const struct safetensors_view *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct safetensors_view wanted = {.name = name};
    const struct by_name key = {&wanted}, *const found = bsearch(&key, s->by_name, s->count, sizeof key, compare_names);
    return found ? found->view : NULL;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    return json_string_value(json_object_get(json_object_get(s->header, METADATA), key));
}
