#include "separate_show.h"

#include "hash.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where it is; of one that is an object, and nowhere else, what its file would be called. */
static void path_of(const struct kind_separate_result *r, const struct kind_stem *stem, char *out, size_t capacity)
{
    if (r->folder.bytes == 0)
        wire_copy(stem->file, out, capacity);
    else
        snprintf(out, capacity, "%.*s/%.*s", (int)r->folder.bytes, (const char *)r->folder.data, (int)stem->file.bytes,
                 (const char *)stem->file.data);
}

/* 32 bytes, or null. */
static json_t *hash_json(struct wire_slice s)
{
    struct hash h;
    char hex[HASH_HEX];
    if (s.bytes != HASH_BYTES)
        return json_null();
    memcpy(h.bytes, s.data, HASH_BYTES);
    hash_hex(&h, hex);
    return json_string(hex);
}

void separate_members(json_t *line, const struct kind_separate_result *r)
{
    bool exact;
    char text[LIMIT_PATH + 512];
    struct wire_list list = r->stems;
    struct kind_stem stem;
    json_t *const results = json_object(), *const stems = json_array();
    while (wire_next(&list, &kind_stem_schema, &stem)) {
        json_t *const one = json_object();
        json_object_set_new(one, "name", json_stringn((const char *)stem.name.data, stem.name.bytes));
        path_of(r, &stem, text, sizeof text);
        json_object_set_new(one, "path", r->folder.bytes ? output_path(text, &exact) : json_null());
        if (stem.object.bytes) {
            json_object_set_new(one, "object", hash_json(stem.object));
            json_object_set_new(one, "bytes", json_integer((json_int_t)stem.bytes));
        }
        json_object_set_new(one, "peak", output_number(stem.peak));
        json_object_set_new(one, "rms", output_number(stem.rms));
        json_object_set_new(one, "si_sdr_db", output_number(stem.si_sdr_db));
        json_object_set_new(one, "verdict", json_stringn((const char *)stem.verdict.data, stem.verdict.bytes));
        if (isfinite(stem.snr_db))
            json_object_set_new(one, "snr_db", output_number(stem.snr_db));
        json_array_append_new(stems, one);
    }
    wire_copy(r->model, text, sizeof text);
    json_object_set_new(results, "model", output_path(text, &exact));
    json_object_set_new(results, "model_blake2b", hash_json(r->model_hash));
    wire_copy(r->track, text, sizeof text);
    json_object_set_new(results, "track", output_path(text, &exact));
    wire_copy(r->folder, text, sizeof text);
    json_object_set_new(results, "folder", r->folder.bytes ? output_path(text, &exact) : json_null());
    json_object_set_new(results, "format", json_stringn((const char *)r->format.data, r->format.bytes));
    json_object_set_new(results, "sample_rate", json_integer((json_int_t)r->stems_rate_hz));
    json_object_set_new(results, "frames", json_integer((json_int_t)r->frames));
    json_object_set_new(results, "stems", stems);
    json_object_set_new(results, "residual_rms", output_number(r->residual_rms));
    json_object_set_new(results, "resumed_from", output_number(r->resumed_from));
    json_object_set_new(line, "results", results);
}

static void show_json(const char *path, const struct kind_separate_result *r)
{
    json_t *const line = output_begin(path);
    output_provenance(line, (const struct kind_provenance *)r);
    separate_members(line, r);
    output_json_line(line);
}

static void print_db(double level)
{
    if (level > 0)
        printf("%8.1f", 20 * log10(level));
    else
        printf("%8s", "-inf");
}

static void show_stem(const struct common *c, const char *path, const struct kind_separate_result *r,
                      const struct kind_stem *stem)
{
    char file[LIMIT_PATH + 512], verdict[32], name[2 * LIMIT_NAME + 1];
    path_of(r, stem, file, sizeof file);
    wire_copy(stem->verdict, verdict, sizeof verdict);
    wire_copy(stem->name, name, sizeof name);
    if (c->format == OUTPUT_CSV) {
        output_csv_text(path);
        putchar(',');
        output_csv_text(name);
        putchar(',');
        output_csv_text(file);
        printf(",%.9g,%.9g,", stem->peak, stem->rms);
        if (isfinite(stem->si_sdr_db))
            printf("%.9g", stem->si_sdr_db);
        printf(",%s,%.9g,%llu,%llu,,\n", verdict, r->residual_rms, (unsigned long long)r->stems_rate_hz,
               (unsigned long long)r->frames);
        return;
    }
    printf("  peak");
    print_db(stem->peak);
    printf(" dB  RMS");
    print_db(stem->rms);
    printf(" dB  %-8s ", verdict);
    if (isfinite(stem->snr_db))
        printf("SNR %5.1f dB ", stem->snr_db);
    output_plain(stdout, file);
    if (r->folder.bytes == 0 && stem->object.bytes) {
        json_t *const object = hash_json(stem->object);
        printf("  object %.12s..", json_string_value(object) ? json_string_value(object) : "");
        json_decref(object);
    }
    putchar('\n');
}

void separate_show_stems(const struct common *c, const char *path, const struct kind_separate_result *r)
{
    struct wire_list list = r->stems;
    struct kind_stem stem;
    while (wire_next(&list, &kind_stem_schema, &stem))
        show_stem(c, path, r, &stem);
}

int separate_show_one(const struct common *c, const char *path, const struct kind_separate_result *r)
{
    if (c->format == OUTPUT_JSON) {
        show_json(path, r);
        return STATUS_OK;
    }
    if (c->format == OUTPUT_TABLE) {
        output_plain(stdout, path);
        printf(": %.1f s of audio", r->stems_rate_hz ? (double)r->frames / (double)r->stems_rate_hz : 0.0);
        if (isfinite(r->seconds))
            printf(" in %.1f s", r->seconds);
        putchar('\n');
    }
    separate_show_stems(c, path, r);
    return STATUS_OK;
}

int separate_show(struct batch *b, const char *path, struct wire_slice result)
{
    struct kind_separate_result r;
    const int code = wire_decode(&kind_separate_result_schema, result.data, result.bytes, &r);
    return code ? code : separate_show_one(b->common, path, &r);
}
