/* How a dataset is printed: its files, its labels, its sums, its warnings. */
#include "dataset_verbs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_COLUMNS = 36, LABEL_COLUMNS = 14 };

double dataset_duration_s(const struct dataset *d)
{
    double sum = 0;
    for (size_t i = 0; i < d->count; i++)
        sum += d->files[i].duration_s;
    return sum;
}

uint64_t dataset_bytes(const struct dataset *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->count; i++)
        sum += d->files[i].bytes;
    return sum;
}

static size_t count_validation(const struct dataset *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += d->files[i].validation;
    return n;
}

void dataset_time(double seconds, char *out, size_t capacity)
{
    const double tenths = floor(10 * seconds + 0.5);
    const unsigned long long minutes = (unsigned long long)(tenths / 600);
    const double rest = (tenths - 600 * (double)minutes) / 10;
    if (minutes >= 60)
        snprintf(out, capacity, "%llu:%02llu:%04.1f", minutes / 60, minutes % 60, rest);
    else if (minutes)
        snprintf(out, capacity, "%llu:%04.1f", minutes, rest);
    else
        snprintf(out, capacity, "%.1f s", rest);
}

void dataset_size(uint64_t bytes, char *out, size_t capacity)
{
    if (bytes < UINT64_C(1) << 30)
        snprintf(out, capacity, "%.1f MiB", (double)bytes / (1 << 20));
    else
        snprintf(out, capacity, "%.1f GiB", (double)bytes / (1 << 30));
}

/* ---- the files ---- */

static void print_level(double level)
{
    if (level > 0)
        printf(" %8.2f", 20 * log10(level));
    else
        printf(" %8s", "-inf");
}

static void print_file(const struct dataset_file *f)
{
    char name[4 * NAME_COLUMNS + 8], label[4 * LABEL_COLUMNS + 8];
    output_fit(f->name, NAME_COLUMNS, name, sizeof name);
    output_fit(*f->label ? f->label : "-", LABEL_COLUMNS, label, sizeof label);
    printf("%-*s %-*s %-10s %10.3f %7u %3u", NAME_COLUMNS, name, LABEL_COLUMNS, label,
           f->validation ? "validation" : "train", f->duration_s, f->rate_hz, f->channels);
    print_level(f->rms);
    print_level(f->peak);
    printf(" %8llu\n", (unsigned long long)f->clipped_samples);
}

void dataset_csv_header(void)
{
    puts("path,label,split,blake2b,duration_s,sample_rate,channels,rms,peak,clipped_samples,error_class,error_message");
}

static void print_csv(const struct dataset_file *f)
{
    char hex[HASH_HEX];
    hash_hex(&f->hash, hex);
    output_csv_text(f->name);
    putchar(',');
    output_csv_text(f->label);
    printf(",%s,%s,%.9g,%u,%u,%.9g,%.9g,%llu,,\n", f->validation ? "validation" : "train", hex, f->duration_s,
           f->rate_hz, f->channels, f->rms, f->peak, (unsigned long long)f->clipped_samples);
}

static void print_json(const struct dataset *d, size_t i)
{
    const struct dataset_file *const f = &d->files[i];
    char path[PATHS_MAX + 128], hex[HASH_HEX];
    bool exact;
    hash_hex(&f->hash, hex);
    if (dataset_path(d, i, path, sizeof path))
        snprintf(path, sizeof path, "%s", hex);
    json_t *const line = output_begin(path), *const input = json_object_get(line, "input");
    json_t *const results = json_object(), *const same = json_array();
    json_object_set_new(line, "dataset", json_string(d->name));
    json_object_set_new(input, "blake2b", json_string(hex));
    json_object_set_new(input, "sample_rate", json_integer(f->rate_hz));
    json_object_set_new(input, "channels", json_integer(f->channels));
    json_object_set_new(input, "duration_s", output_number(f->duration_s));
    json_object_set_new(input, "codec", *f->codec ? output_path(f->codec, &exact) : json_null());
    json_object_set_new(results, "name", output_path(f->name, &exact));
    json_object_set_new(results, "label", *f->label ? output_path(f->label, &exact) : json_null());
    json_object_set_new(results, "split", json_string(f->validation ? "validation" : "train"));
    json_object_set_new(results, "bytes", json_integer((json_int_t)f->bytes));
    json_object_set_new(results, "rms", output_number(f->rms));
    json_object_set_new(results, "peak", output_number(f->peak));
    json_object_set_new(results, "clipped_samples", json_integer((json_int_t)f->clipped_samples));
    for (size_t k = 0; k < f->duplicates_count; k++)
        json_array_append_new(same, output_path(f->duplicates[k], &exact));
    json_object_set_new(results, "duplicates", same);
    json_object_set_new(line, "results", results);
    output_json_line(line);
}

/* ---- sums ---- */

struct label {
    const char *name;
    size_t files;
    double duration_s;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* Ascending by name; *out is the caller's to free. */
static size_t labels_of(const struct dataset *d, struct label **out)
{
    struct label *const all = calloc(d->count + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; all && i < d->count; i++)
        all[i] = (struct label){d->files[i].label, 1, d->files[i].duration_s};
    if (all && d->count)
        qsort(all, d->count, sizeof *all, by_name);
    for (size_t i = 0; all && i < d->count; i++) {
        if (n && strcmp(all[n - 1].name, all[i].name) == 0) {
            all[n - 1].files++;
            all[n - 1].duration_s += all[i].duration_s;
        } else {
            all[n++] = all[i];
        }
    }
    *out = all;
    return n;
}

static json_t *totals(const struct dataset *d)
{
    const size_t validation = count_validation(d);
    json_t *const results = json_object(), *const list = json_array();
    struct label *labels;
    bool exact;
    const size_t n = labels_of(d, &labels);
    for (size_t i = 0; i < n; i++) {
        json_t *const one = json_object();
        json_object_set_new(one, "label", *labels[i].name ? output_path(labels[i].name, &exact) : json_null());
        json_object_set_new(one, "files", json_integer((json_int_t)labels[i].files));
        json_object_set_new(one, "duration_s", output_number(labels[i].duration_s));
        json_array_append_new(list, one);
    }
    free(labels);
    json_object_set_new(results, "files", json_integer((json_int_t)d->count));
    json_object_set_new(results, "train", json_integer((json_int_t)(d->count - validation)));
    json_object_set_new(results, "validation", json_integer((json_int_t)validation));
    json_object_set_new(results, "duration_s", output_number(dataset_duration_s(d)));
    json_object_set_new(results, "bytes", json_integer((json_int_t)dataset_bytes(d)));
    json_object_set_new(results, "keeps", json_string(d->keeps_paths ? "paths" : "copies"));
    json_object_set_new(results, "created_unix_ms", json_integer((json_int_t)d->created_unix_ms));
    json_object_set_new(results, "labels", list);
    return results;
}

static json_t *begin(const struct dataset *d)
{
    json_t *const line = json_object();
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
    json_object_set_new(line, "dataset", json_string(d->name));
    return line;
}

static void print_totals(const struct dataset *d, int64_t rejected)
{
    char time[32], size[32];
    struct label *labels;
    const size_t validation = count_validation(d), n = labels_of(d, &labels);
    dataset_time(dataset_duration_s(d), time, sizeof time);
    dataset_size(dataset_bytes(d), size, sizeof size);
    printf("%s: %zu file%s, %s, %s%s; %zu to train on, %zu for validation", d->name, d->count, d->count == 1 ? "" : "s",
           time, size, d->keeps_paths ? " where they were" : "", d->count - validation, validation);
    if (rejected > 0)
        printf("; %lld rejected", (long long)rejected);
    putchar('\n');
    for (size_t i = 0; i < n && (n > 1 || *labels[0].name); i++) {
        dataset_time(labels[i].duration_s, time, sizeof time);
        printf("  %6zu  %12s  ", labels[i].files, time);
        output_plain(stdout, *labels[i].name ? labels[i].name : "(no label)");
        putchar('\n');
    }
    free(labels);
}

/* ---- warnings ---- */

static void print_warning(void *context, const struct dataset_warning *w)
{
    (void)context;
    fputs("warning: ", stderr);
    if (w->file) {
        output_plain(stderr, w->file->name);
        fputs(": ", stderr);
    }
    output_plain(stderr, w->text);
    fputc('\n', stderr);
}

static void add_warning(void *context, const struct dataset_warning *w)
{
    bool exact;
    json_t *const one = json_object();
    json_object_set_new(one, "kind", json_string(w->kind));
    json_object_set_new(one, "name", w->file ? output_path(w->file->name, &exact) : json_null());
    json_object_set_new(one, "text", output_path(w->text, &exact));
    json_array_append_new(context, one);
}

/* ---- */

void dataset_show(const struct dataset_request *r, const struct dataset *d, bool all, int64_t rejected)
{
    const enum output_format format = r->common.format;
    if (format == OUTPUT_TABLE && all)
        printf("%-*s %-*s %-10s %10s %7s %3s %8s %8s %8s\n", NAME_COLUMNS, "file", LABEL_COLUMNS, "label", "split",
               "duration s", "rate Hz", "ch", "RMS dB", "peak dB", "clipped");
    for (size_t i = 0; i < d->count; i++) {
        if (format == OUTPUT_JSON)
            print_json(d, i);
        else if (format == OUTPUT_CSV)
            print_csv(&d->files[i]);
        else if (all)
            print_file(&d->files[i]);
    }
    if (format == OUTPUT_JSON) {
        json_t *const line = begin(d), *const results = totals(d), *const warnings = json_array();
        dataset_warnings(d, add_warning, warnings);
        if (rejected >= 0)
            json_object_set_new(results, "rejected", json_integer((json_int_t)rejected));
        json_object_set_new(line, "warnings", warnings);
        json_object_set_new(line, "results", results);
        output_json_line(line);
        return;
    }
    if (format == OUTPUT_TABLE)
        print_totals(d, rejected);
    fflush(stdout);
    if (!r->common.quiet)
        dataset_warnings(d, print_warning, NULL);
}

void dataset_show_row(const struct dataset_request *r, const struct dataset *d, bool first)
{
    const size_t validation = count_validation(d);
    char time[32], size[32], made[32] = "";
    if (r->common.format == OUTPUT_JSON) {
        json_t *const line = begin(d);
        json_object_set_new(line, "results", totals(d));
        output_json_line(line);
        return;
    }
    const bool csv = r->common.format == OUTPUT_CSV;
    const time_t at = (time_t)(d->created_unix_ms / 1000);
    struct tm tm;
    if (gmtime_r(&at, &tm))
        strftime(made, sizeof made, "%Y-%m-%d", &tm);
    if (csv && first)
        puts("dataset,files,train,validation,duration_s,bytes,keeps,created");
    if (!csv && first)
        puts("dataset                   files   train  validation    duration        size  created");
    dataset_time(dataset_duration_s(d), time, sizeof time);
    dataset_size(dataset_bytes(d), size, sizeof size);
    if (csv)
        printf("%s,%zu,%zu,%zu,%.9g,%llu,%s,%s\n", d->name, d->count, d->count - validation, validation,
               dataset_duration_s(d), (unsigned long long)dataset_bytes(d), d->keeps_paths ? "paths" : "copies", made);
    else
        printf("%-22s %8zu %7zu %11zu %11s %11s  %s%s\n", d->name, d->count, d->count - validation, validation, time,
               size, made, d->keeps_paths ? "  (paths only)" : "");
}
