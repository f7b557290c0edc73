#include "store_export.h"

#include "npy.h"
#include "objects.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ZIP_MEMBERS_MOST = 65534, LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, NAME_MOST = 128 };
#define ZIP_BYTES_MOST UINT64_C(0xfffffffe)

/* A series that some analysis has. */
struct column {
    char name[LIMIT_NAME + 1];
    uint64_t values;
};

struct member {
    char name[NAME_MOST];
    uint32_t crc, bytes, at;
};

struct writer {
    const struct store_export *wish;
    const char *objects;
    FILE *file;
    char path[PATHS_MAX + 32], temporary[PATHS_MAX + 64];
    uint64_t rows, skipped; /* rows or arrays written; arrays whose object is gone or damaged */
    struct column *columns;
    size_t column_count;
    struct member *members;
    size_t member_count, member_capacity;
};

static int cannot_write(const struct writer *w)
{
    return fail(STATUS_IO, "cannot write %s: %s", w->path, strerror(errno));
}

/* ---- csv ---- */

static struct column *find_column(const struct writer *w, const char *name)
{
    for (size_t i = 0; i < w->column_count; i++)
        if (strcmp(w->columns[i].name, name) == 0)
            return &w->columns[i];
    return NULL;
}

static int note_columns(void *context, const struct store_key *key, const struct record *r)
{
    struct writer *const w = context;
    struct kind_analyze_result a;
    struct kind_series s;
    if (key->kind != FEATURE_SUMMARY || wire_decode(&kind_analyze_result_schema, r->result, r->result_bytes, &a))
        return STATUS_OK;
    while (wire_next(&a.series, &kind_series_schema, &s)) {
        char name[LIMIT_NAME + 1];
        wire_copy(s.name, name, sizeof name);
        struct column *c = find_column(w, name);
        if (!c) {
            struct column *more = realloc(w->columns, (w->column_count + 1) * sizeof *more);
            if (!more)
                return fail(STATUS_NOMEM, "export: out of memory");
            w->columns = more;
            c = &more[w->column_count++];
            *c = (struct column){0};
            memcpy(c->name, name, sizeof name);
        }
        c->values = s.values > c->values ? s.values : c->values;
    }
    return STATUS_OK;
}

static void write_number(FILE *f, double v, int digits)
{
    fputc(',', f);
    if (isfinite(v))
        fprintf(f, "%.*g", digits, v);
}

static void write_series(FILE *f, const struct column *c, struct wire_list list)
{
    struct kind_series s = {0};
    bool found = false;
    while (!found && wire_next(&list, &kind_series_schema, &s))
        found = strlen(c->name) == s.name.bytes && memcmp(c->name, s.name.data, s.name.bytes) == 0;
    for (uint64_t k = 0; k < 10; k++)
        for (uint64_t i = 0; i < c->values; i++) {
            float v = NAN;
            const uint64_t at = (k * s.values + i) * sizeof v;
            if (found && i < s.values && at + sizeof v <= s.statistics.bytes)
                memcpy(&v, s.statistics.data + at, sizeof v);
            write_number(f, v, 9);
        }
}

static int write_row(void *context, const struct store_key *key, const struct record *r)
{
    struct writer *const w = context;
    struct kind_analyze_result a;
    char hex[HASH_HEX], codec[LIMIT_NAME + 1];
    if (key->kind != FEATURE_SUMMARY || wire_decode(&kind_analyze_result_schema, r->result, r->result_bytes, &a))
        return STATUS_OK;
    hash_hex(&key->file, hex);
    wire_copy(a.codec, codec, sizeof codec);
    for (char *at = codec; *at; at++) /* a name, but of a file's own choice */
        *at = (char)(*at == ',' || *at == '"' || *at == '\n' || *at == '\r' ? ' ' : *at);
    fprintf(w->file, "%s,%llu,%llu,%llu,%llu,%s", hex, (unsigned long long)r->made_unix_ms,
            (unsigned long long)a.rate_hz, (unsigned long long)a.channels, (unsigned long long)a.frames_decoded, codec);
    const double numbers[] = {a.duration_s, a.rms, a.peak, a.zero_crossing_rate, a.spectral_centroid_hz};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        write_number(w->file, numbers[i], 17);
    fprintf(w->file, ",%llu,%llu,%llu", (unsigned long long)a.n_fft, (unsigned long long)a.hop,
            (unsigned long long)a.frames);
    for (size_t i = 0; i < w->column_count; i++)
        write_series(w->file, &w->columns[i], a.series);
    fputc('\n', w->file);
    w->rows++;
    return ferror(w->file) ? cannot_write(w) : STATUS_OK;
}

static int write_csv(struct writer *w, struct store *s)
{
    static const char *const statistics[] = {"mean",       "var",       "median",       "min",       "max",
                                             "delta_mean", "delta_var", "delta_median", "delta_min", "delta_max"};
    int code = store_each_record(s, note_columns, w);
    if (code)
        return code;
    fputs("file,made_unix_ms,rate_hz,channels,frames_decoded,codec,duration_s,rms,peak,zero_crossing_rate,"
          "spectral_centroid_hz,n_fft,hop,frames",
          w->file);
    for (size_t i = 0; i < w->column_count; i++)
        for (size_t k = 0; k < sizeof statistics / sizeof *statistics; k++)
            for (uint64_t v = 0; v < w->columns[i].values; v++)
                fprintf(w->file, ",%s.%s.%llu", w->columns[i].name, statistics[k], (unsigned long long)v);
    fputc('\n', w->file);
    return store_each_record(s, write_row, w);
}

/* ---- npz ---- */

/* CRC-32 of ZIP (polynomial 0xEDB88320), four bits at a time. */
static uint32_t zip_crc(uint32_t crc, const void *data, size_t bytes)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc = table[(crc ^ p[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ (uint32_t)p[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

static void put(uint8_t **at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(value >> 8 * i);
}

/* What local and central headers share: version, flags, method (stored), time and date (1980-01-01), sizes. */
static void put_common(uint8_t **at, const struct member *m)
{
    put(at, 20, 2);
    put(at, 0, 2);
    put(at, 0, 2);
    put(at, 0, 2);
    put(at, 0x21, 2);
    put(at, m->crc, 4);
    put(at, m->bytes, 4);
    put(at, m->bytes, 4);
    put(at, (uint32_t)strlen(m->name), 2);
    put(at, 0, 2);
}

static void write_local(FILE *f, const struct member *m)
{
    uint8_t header[LOCAL_BYTES], *at = header;
    put(&at, 0x04034b50, 4);
    put_common(&at, m);
    fwrite(header, 1, sizeof header, f);
    fputs(m->name, f);
}

static int write_directory(struct writer *w)
{
    const uint32_t from = (uint32_t)ftello(w->file);
    for (size_t i = 0; i < w->member_count; i++) {
        const struct member *m = &w->members[i];
        uint8_t header[CENTRAL_BYTES] = {0}, *at = header;
        put(&at, 0x02014b50, 4);
        put(&at, 20, 2);
        put_common(&at, m);
        at += 2 + 2 + 2 + 4; /* comment, disk, attributes */
        put(&at, m->at, 4);
        fwrite(header, 1, sizeof header, w->file);
        fputs(m->name, w->file);
    }
    uint8_t end[END_BYTES] = {0}, *at = end;
    put(&at, 0x06054b50, 4);
    at += 4;
    put(&at, (uint32_t)w->member_count, 2);
    put(&at, (uint32_t)w->member_count, 2);
    put(&at, (uint32_t)ftello(w->file) - from, 4);
    put(&at, from, 4);
    fwrite(end, 1, sizeof end, w->file);
    return ferror(w->file) ? cannot_write(w) : STATUS_OK;
}

/* Copies the array's bytes into the archive. */
static int write_object(struct writer *w, int fd, uint64_t bytes, uint32_t *crc)
{
    static char block[65536];
    for (uint64_t at = 0; at < bytes;) {
        const ssize_t n = pread(fd, block, bytes - at < sizeof block ? bytes - at : sizeof block, (off_t)at);
        if (n <= 0)
            return fail(STATUS_IO, "cannot read an object: %s", n ? strerror(errno) : "it ends early");
        *crc = zip_crc(*crc, block, (size_t)n);
        if (fwrite(block, 1, (size_t)n, w->file) != (size_t)n)
            return cannot_write(w);
        at += (uint64_t)n;
    }
    return STATUS_OK;
}

static struct member *new_member(struct writer *w)
{
    if (w->member_count == w->member_capacity) {
        const size_t capacity = w->member_capacity ? 2 * w->member_capacity : 64;
        struct member *more = realloc(w->members, capacity * sizeof *more);
        if (!more)
            return NULL;
        w->members = more;
        w->member_capacity = capacity;
    }
    w->members[w->member_count] = (struct member){0};
    return &w->members[w->member_count++];
}

/* Records come in order of file and kind, so a name that is taken is the last one's or a neighbour's. */
static void name_member(const struct writer *w, const struct store_key *key, char out[NAME_MOST])
{
    char hex[HASH_HEX];
    hash_hex(&key->file, hex);
    const char *const kind = feature_name((enum feature_kind)key->kind);
    snprintf(out, NAME_MOST, "%s.%s.npy", hex, kind);
    const size_t stem = strlen(hex) + 1 + strlen(kind);
    if (w->member_count && strncmp(w->members[w->member_count - 1].name, out, stem) == 0 &&
        strchr(".-", w->members[w->member_count - 1].name[stem]))
        snprintf(out, NAME_MOST, "%s.%s-%02x%02x%02x%02x.npy", hex, kind, key->params[0], key->params[1],
                 key->params[2], key->params[3]);
}

static int write_member(struct writer *w, const struct store_key *key, const struct record *r, int fd,
                        const char header[NPY_HEADER_BYTES])
{
    struct member m = {.bytes = (uint32_t)(NPY_HEADER_BYTES + r->array_bytes), .at = (uint32_t)ftello(w->file)};
    name_member(w, key, m.name);
    write_local(w->file, &m); /* without the checksum, which is put in below */
    fwrite(header, 1, NPY_HEADER_BYTES, w->file);
    m.crc = zip_crc(0, header, NPY_HEADER_BYTES);
    int code = STATUS_OK;
    if (fd >= 0) {
        code = write_object(w, fd, r->array_bytes, &m.crc);
    } else {
        m.crc = zip_crc(m.crc, r->array, r->array_bytes);
        fwrite(r->array, 1, r->array_bytes, w->file);
    }
    const off_t end = ftello(w->file);
    if (!code && (fseeko(w->file, m.at, SEEK_SET) || (write_local(w->file, &m), fseeko(w->file, end, SEEK_SET)) ||
                  ferror(w->file)))
        code = cannot_write(w);
    struct member *const kept = code ? NULL : new_member(w);
    if (kept)
        *kept = m;
    return code || kept ? code : fail(STATUS_NOMEM, "export: out of memory");
}

static int write_array(void *context, const struct store_key *key, const struct record *r)
{
    struct writer *const w = context;
    char header[NPY_HEADER_BYTES];
    if (r->place == RECORD_NO_ARRAY || (w->wish->kind && w->wish->kind != (enum feature_kind)key->kind))
        return STATUS_OK;
    uint64_t bytes = r->array_bytes, described = 0;
    int fd = -1;
    int code =
        feature_npy_header((enum feature_kind)r->kind, (enum dtype)r->dtype, r->bins, (int64_t)r->frames, header);
    code = code ? code : npy_array_bytes((enum dtype)r->dtype, r->bins, r->frames, &described);
    if (!code && r->place == RECORD_OBJECT)
        code = objects_open(w->objects, &r->object, true, &fd, &bytes);
    if (code == STATUS_NOT_FOUND || code == STATUS_DAMAGED || code == STATUS_ARGUMENT ||
        (!code && (bytes != r->array_bytes || bytes != described))) {
        w->skipped++;
        code = STATUS_OK;
    } else if (!code) {
        /* the directory at the end takes the same space again for names and headers */
        const uint64_t so_far = (uint64_t)ftello(w->file) + (w->member_count + 1) * (CENTRAL_BYTES + NAME_MOST);
        if (so_far + bytes + 1024 > ZIP_BYTES_MOST || w->member_count == ZIP_MEMBERS_MOST)
            code = fail(STATUS_UNSUPPORTED,
                        "%s would be larger than 4 GiB or have more than 65534 arrays: export one --kind at a time",
                        w->path);
        else
            code = write_member(w, key, r, fd, header);
        w->rows += !code;
    }
    if (fd >= 0)
        close(fd);
    return code;
}

/* ---- the file ---- */

static int open_file(struct writer *w)
{
    struct stat s;
    const bool is_folder = stat(w->wish->out, &s) == 0 && S_ISDIR(s.st_mode);
    const int n = snprintf(w->path, sizeof w->path, "%s%s%s", w->wish->out, is_folder ? "/wavemill." : "",
                           is_folder ? (w->wish->npz ? "npz" : "csv") : "");
    if (n < 0 || (size_t)n >= sizeof w->path)
        return fail(STATUS_ARGUMENT, "--out: the name is too long");
    snprintf(w->temporary, sizeof w->temporary, "%s.part-XXXXXX", w->path);
    const int fd = mkostemp(w->temporary, O_CLOEXEC);
    const mode_t mask = umask(0);
    umask(mask);
    if (fd >= 0 && fchmod(fd, 0666 & ~mask) == 0 && (w->file = fdopen(fd, "w")))
        return STATUS_OK;
    const int code = cannot_write(w);
    if (fd >= 0) {
        close(fd);
        unlink(w->temporary);
    }
    return code;
}

static int close_file(struct writer *w, int code)
{
    if (!code && (fflush(w->file) || fsync(fileno(w->file))))
        code = cannot_write(w);
    if (fclose(w->file) && !code)
        code = cannot_write(w);
    if (!code && rename(w->temporary, w->path))
        code = cannot_write(w);
    if (code)
        unlink(w->temporary);
    return code;
}

static void tell(const struct common *c, const struct writer *w)
{
    if (c->format == OUTPUT_JSON) {
        bool exact;
        json_t *line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "out", output_path(w->path, &exact));
        json_object_set_new(line, w->wish->npz ? "arrays" : "rows", json_integer((json_int_t)w->rows));
        json_object_set_new(line, "skipped", json_integer((json_int_t)w->skipped));
        output_json_line(line);
        return;
    }
    printf("%s: %llu %s\n", w->path, (unsigned long long)w->rows, w->wish->npz ? "arrays" : "analyses");
    if (w->skipped)
        fprintf(stderr, "wavemill store: %llu arrays are gone or damaged and were left out\n",
                (unsigned long long)w->skipped);
}

int store_export(const struct common *c, struct store *s, const char *objects, const struct store_export *e)
{
    struct writer w = {.wish = e, .objects = objects};
    int code = open_file(&w);
    if (code)
        return code;
    code = e->npz ? store_each_record(s, write_array, &w) : write_csv(&w, s);
    if (!code && e->npz)
        code = write_directory(&w);
    code = close_file(&w, code);
    if (!code)
        tell(c, &w);
    free(w.columns);
    free(w.members);
    return code;
}
