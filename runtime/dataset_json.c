/* dataset.json, both ways. Texts that are no UTF-8, as names of files may be, go under KEY_hex. */
#include "dataset.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading ---- */

static int damaged(const char *what)
{
    return fail(STATUS_DAMAGED, "dataset.json: %s", what);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What the hex says, if it can be a text: pairs of digits, no zero byte. NULL: it cannot, or no memory. */
static char *from_hex(const char *hex)
{
    const size_t n = strlen(hex);
    char *const out = n % 2 == 0 && n / 2 <= DATASET_TEXT_MOST ? malloc(n / 2 + 1) : NULL;
    if (!out)
        return NULL;
    out[n / 2] = '\0';
    for (size_t i = 0; i < n / 2; i++) {
        const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0 || (high | low) == 0) {
            free(out);
            return NULL;
        }
        out[i] = (char)(16 * high + low);
    }
    return out;
}

/* The text of KEY, or of KEY_hex; with neither that of `missing`, where NULL means that there must be one. */
static int read_text(const json_t *from, const char *key, const char *missing, char **out)
{
    char hex_key[32], message[80];
    snprintf(hex_key, sizeof hex_key, "%s_hex", key);
    snprintf(message, sizeof message, "a file's %s is no text of up to %d bytes", key, DATASET_TEXT_MOST);
    const json_t *const plain = json_object_get(from, key), *const hex = json_object_get(from, hex_key);
    if (json_is_string(hex)) {
        *out = from_hex(json_string_value(hex));
        return *out ? STATUS_OK : damaged(message);
    }
    const char *const text = json_is_string(plain) ? json_string_value(plain) : !plain && !hex ? missing : NULL;
    if (!text || strlen(text) > DATASET_TEXT_MOST)
        return damaged(message);
    *out = strdup(text);
    return *out ? STATUS_OK : fail(STATUS_NOMEM, "dataset: out of memory");
}

static int read_count(const json_t *from, const char *key, uint64_t least, uint64_t most, uint64_t *out)
{
    const json_t *const n = json_object_get(from, key);
    const json_int_t v = json_integer_value(n);
    if (!json_is_integer(n) || v < 0 || (uint64_t)v < least || (uint64_t)v > most)
        return fail(STATUS_DAMAGED, "dataset.json: a file's %s is no number from %llu to %llu", key,
                    (unsigned long long)least, (unsigned long long)most);
    *out = (uint64_t)v;
    return STATUS_OK;
}

static int read_number(const json_t *from, const char *key, double most, double *out)
{
    const json_t *const n = json_object_get(from, key);
    const double v = json_number_value(n);
    if (!json_is_number(n) || !(v >= 0 && v <= most))
        return fail(STATUS_DAMAGED, "dataset.json: %s is no number from 0 to %g", key, most);
    *out = v;
    return STATUS_OK;
}

static int read_duplicates(const json_t *from, struct dataset_file *f)
{
    const json_t *const list = json_object_get(from, "duplicates");
    const size_t n = json_array_size(list);
    if ((list && !json_is_array(list)) || n > DATASET_FILES_MOST)
        return damaged("a file's duplicates are no list of names");
    f->duplicates = n ? calloc(n, sizeof *f->duplicates) : NULL;
    if (n && !f->duplicates)
        return fail(STATUS_NOMEM, "dataset: out of memory");
    int code = STATUS_OK;
    for (size_t i = 0; i < n && !code; i++, f->duplicates_count += !code)
        code = read_text(json_array_get(list, i), "name", NULL, &f->duplicates[i]);
    return code;
}

/* A number that a double has, and that no file exceeds. */
#define COUNT_MOST ((uint64_t)1 << 53)

static int read_file(const json_t *from, bool keeps_paths, struct dataset_file *f)
{
    static const double duration_most = 1e9, level_most = 3.5e38;
    const char *const hash = json_string_value(json_object_get(from, "blake2b"));
    const char *const split = json_string_value(json_object_get(from, "split"));
    uint64_t rate = 0, channels = 0;
    if (!hash || hash_parse(hash, &f->hash))
        return damaged("a file's blake2b is no hash");
    if (!split || (strcmp(split, "train") != 0 && strcmp(split, "validation") != 0))
        return damaged("a file's split is neither train nor validation");
    f->validation = strcmp(split, "validation") == 0;
    int code = read_text(from, "name", NULL, &f->name);
    code = code ? code : read_text(from, "label", "", &f->label);
    code = code ? code : read_text(from, "codec", "", &f->codec);
    code = code ? code : read_text(from, "warning", "", &f->warning);
    if (!code && keeps_paths)
        code = read_text(from, "path", NULL, &f->path);
    if (!code && !*f->name)
        code = damaged("a file has an empty name");
    if (!code && f->path && f->path[0] != '/')
        code = damaged("a file's path is not absolute");
    code = code ? code : read_duplicates(from, f);
    code = code ? code : read_count(from, "bytes", 1, COUNT_MOST, &f->bytes);
    code = code ? code : read_count(from, "sample_rate", 1, 100000000, &rate);
    code = code ? code : read_count(from, "channels", 1, 1024, &channels);
    code = code ? code : read_count(from, "clipped_samples", 0, COUNT_MOST, &f->clipped_samples);
    code = code ? code : read_number(from, "duration_s", duration_most, &f->duration_s);
    code = code ? code : read_number(from, "peak", level_most, &f->peak);
    code = code ? code : read_number(from, "rms", level_most, &f->rms);
    f->rate_hz = (uint32_t)rate;
    f->channels = (uint32_t)channels;
    return code;
}

static int read_files(const json_t *list, struct dataset *d)
{
    const size_t n = json_array_size(list);
    int code = STATUS_OK;
    if (n == 0 || n > DATASET_FILES_MOST)
        return fail(STATUS_DAMAGED, "dataset.json: files is no list of 1 to %d", DATASET_FILES_MOST);
    d->files = calloc(n, sizeof *d->files);
    if (!d->files)
        return fail(STATUS_NOMEM, "dataset: out of memory");
    d->count = n;
    size_t validation = 0;
    for (size_t i = 0; i < n && !code; i++) {
        code = read_file(json_array_get(list, i), d->keeps_paths, &d->files[i]);
        if (!code && i && memcmp(&d->files[i - 1].hash, &d->files[i].hash, HASH_BYTES) >= 0)
            code = damaged("files are not in ascending order of their hashes");
        if (code)
            return status_context(code, "file %zu", i);
        validation += d->files[i].validation;
    }
    return validation < n ? STATUS_OK : damaged("there is no file to train on");
}

static int read_all(const json_t *from, struct dataset *d)
{
    const json_t *const schema = json_object_get(from, "schema");
    const char *const name = json_string_value(json_object_get(from, "name"));
    const char *const keeps = json_string_value(json_object_get(from, "keeps"));
    if (!json_is_integer(schema))
        return damaged("it has no schema");
    if (json_integer_value(schema) != DATASET_SCHEMA)
        return fail(STATUS_VERSION, "dataset.json is of schema %lld, this version knows %d",
                    (long long)json_integer_value(schema), DATASET_SCHEMA);
    if (!name || !dataset_is_name(name))
        return damaged("its name is none");
    if (!keeps || (strcmp(keeps, "copies") != 0 && strcmp(keeps, "paths") != 0))
        return damaged("keeps is neither copies nor paths");
    snprintf(d->name, sizeof d->name, "%s", name);
    d->keeps_paths = strcmp(keeps, "paths") == 0;
    int code = read_count(from, "created_unix_ms", 0, COUNT_MOST, &d->created_unix_ms);
    code = code ? code : read_number(from, "validation_fraction", 1, &d->fraction);
    return code ? code : read_files(json_object_get(from, "files"), d);
}

int dataset_parse(const char *text, size_t bytes, struct dataset **out)
{
    json_error_t e;
    if (bytes > DATASET_BYTES_MOST)
        return damaged("over 16 MiB");
    json_t *const root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &e);
    if (!root && json_error_code(&e) == json_error_out_of_memory)
        return fail(STATUS_NOMEM, "dataset: out of memory");
    if (!root)
        return fail(STATUS_DAMAGED, "dataset.json: line %d: %.100s", e.line, e.text);
    struct dataset *d = calloc(1, sizeof *d);
    const int code = d ? read_all(root, d) : fail(STATUS_NOMEM, "dataset: out of memory");
    json_decref(root);
    if (code)
        dataset_close(&d);
    else
        *out = d;
    return code;
}

/* ---- writing ---- */

/* Whatever cannot be had is missing from the object, and seen by its size at the end. */
static void set_text(json_t *to, const char *key, const char *text)
{
    json_t *const plain = json_string(text);
    char hex_key[32], *hex;
    if (plain) {
        json_object_set_new(to, key, plain);
        return;
    }
    const size_t n = strlen(text);
    snprintf(hex_key, sizeof hex_key, "%s_hex", key);
    if (!(hex = malloc(2 * n + 1)))
        return;
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text[i]);
    json_object_set_new(to, hex_key, json_string(hex));
    free(hex);
}

static json_t *duplicates_of(const struct dataset_file *f)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < f->duplicates_count; i++) {
        json_t *const one = json_object();
        set_text(one, "name", f->duplicates[i]);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *file_of(const struct dataset_file *f)
{
    char hex[HASH_HEX];
    hash_hex(&f->hash, hex);
    json_t *const to = json_pack("{s:s, s:I, s:f, s:I, s:I, s:f, s:f, s:I, s:s, s:o}", "blake2b", hex, "bytes",
                                 (json_int_t)f->bytes, "duration_s", f->duration_s, "sample_rate",
                                 (json_int_t)f->rate_hz, "channels", (json_int_t)f->channels, "peak", f->peak, "rms",
                                 f->rms, "clipped_samples", (json_int_t)f->clipped_samples, "split",
                                 f->validation ? "validation" : "train", "duplicates", duplicates_of(f));
    enum { FIELDS = 10 };
    set_text(to, "name", f->name);
    set_text(to, "label", f->label);
    set_text(to, "codec", f->codec);
    set_text(to, "warning", f->warning);
    if (f->path)
        set_text(to, "path", f->path);
    if (json_object_size(to) == FIELDS + 4 + (f->path != NULL))
        return to;
    json_decref(to);
    return NULL;
}

static int write_bytes(const char *text, size_t bytes, int fd)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(fd, text + done, bytes - done);
        if (n <= 0 && errno != EINTR)
            return fail(STATUS_IO, "cannot write dataset.json: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return STATUS_OK;
}

int dataset_write(const struct dataset *d, int fd)
{
    json_t *const files = json_array();
    int missing = !files;
    for (size_t i = 0; i < d->count && !missing; i++)
        missing = json_array_append_new(files, file_of(&d->files[i]));
    json_t *const root =
        json_pack("{s:i, s:s, s:s, s:I, s:s, s:f, s:o}", "schema", DATASET_SCHEMA, "name", d->name, "tool_version",
                  WAVEMILL_VERSION, "created_unix_ms", (json_int_t)d->created_unix_ms, "keeps",
                  d->keeps_paths ? "paths" : "copies", "validation_fraction", d->fraction, "files", files);
    char *const text = missing || !root ? NULL : json_dumps(root, JSON_INDENT(1));
    const size_t bytes = text ? strlen(text) : 0;
    int code = text ? STATUS_OK : fail(STATUS_NOMEM, "dataset: out of memory");
    if (bytes > DATASET_BYTES_MOST)
        code = fail(STATUS_ARGUMENT, "dataset.json would have %zu bytes, allowed %d: fewer files, or shorter names",
                    bytes, DATASET_BYTES_MOST);
    code = code ? code : write_bytes(text, bytes, fd);
    free(text);
    json_decref(root);
    return code;
}
