#include "cli.h"
#include "hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at p, 0 when there is none. */
static size_t sequence(const char *p, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++)
        if (wire_is_utf8(p, n))
            return n;
    return 0;
}

json_t *output_path(const char *path, bool *exact)
{
    const size_t n = strlen(path);
    *exact = wire_is_utf8(path, n);
    if (*exact)
        return json_stringn(path, n);
    char *text = malloc(3 * n + 1);
    size_t m = 0;
    if (!text)
        return json_null();
    for (size_t i = 0; i < n;) {
        const size_t k = sequence(path + i, n - i);
        memcpy(text + m, k ? path + i : "\xef\xbf\xbd", k ? k : 3);
        m += k ? k : 3;
        i += k ? k : 1;
    }
    json_t *s = json_stringn(text, m);
    free(text);
    return s;
}

void output_json_line(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

json_t *output_begin(const char *path)
{
    bool exact;
    json_t *input = json_object(), *line = json_object();
    json_object_set_new(input, "path", output_path(path, &exact));
    if (!exact) { /* the bytes, so that a program can find the file */
        const size_t n = strlen(path);
        char *hex = malloc(2 * n + 1);
        for (size_t i = 0; hex && i < n; i++)
            sprintf(hex + 2 * i, "%02x", (unsigned char)path[i]);
        json_object_set_new(input, "path_hex", hex ? json_string(hex) : json_null());
        free(hex);
    }
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
    json_object_set_new(line, "input", input);
    return line;
}

json_t *output_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *slice(struct wire_slice s)
{
    return s.bytes ? json_stringn((const char *)s.data, s.bytes) : json_null();
}

void output_provenance(json_t *line, const struct kind_provenance *p)
{
    json_t *input = json_object_get(line, "input"), *computed = json_object(), *warnings = json_array();
    if (p->hash.bytes == HASH_BYTES) {
        struct hash h;
        char hex[HASH_HEX];
        memcpy(h.bytes, p->hash.data, HASH_BYTES);
        hash_hex(&h, hex);
        json_object_set_new(input, "blake2b", json_string(hex));
    }
    json_object_set_new(input, "sample_rate", json_integer((json_int_t)p->rate_hz));
    json_object_set_new(input, "channels", json_integer((json_int_t)p->channels));
    json_object_set_new(input, "frames_decoded", json_integer((json_int_t)p->frames_decoded));
    json_object_set_new(input, "duration_s",
                        p->rate_hz ? json_real((double)p->frames_decoded / (double)p->rate_hz) : json_null());
    json_object_set_new(input, "codec", slice(p->codec));
    struct wire_list list = p->warnings;
    struct wire_slice text;
    while (wire_next_str(&list, &text))
        json_array_append_new(warnings, slice(text));
    json_object_set_new(line, "warnings", warnings);
    json_object_set_new(computed, "backend", slice(p->backend));
    json_object_set_new(computed, "isa", slice(p->isa));
    json_object_set_new(computed, "version", slice(p->version));
    json_object_set_new(computed, "time_s", output_number(p->seconds));
    json_object_set_new(computed, "from_store", json_boolean(p->from_store));
    json_object_set_new(computed, "decode_s", output_number(p->decode_s));
    if (p->on_device.bytes) {
        json_object_set_new(computed, "on_device", slice(p->on_device));
        json_object_set_new(computed, "copy_in_s", output_number(p->copy_in_s));
        json_object_set_new(computed, "device_s", output_number(p->device_s));
        json_object_set_new(computed, "copy_out_s", output_number(p->copy_out_s));
        if (p->launches) /* else nobody counted */
            json_object_set_new(computed, "launches", json_integer((json_int_t)p->launches));
    }
    json_object_set_new(line, "computed", computed);
}

static json_t *unix_time(uint64_t ms)
{
    return ms ? json_integer((json_int_t)ms) : json_null();
}

json_t *output_job(const struct message_job *j)
{
    json_t *line = json_object(), *items = json_object();
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "job", json_integer((json_int_t)j->job));
    json_object_set_new(line, "state", json_string(job_state_name(j->state)));
    json_object_set_new(line, "kind", slice(j->kind));
    json_object_set_new(line, "name", slice(j->name));
    json_object_set_new(line, "priority", json_integer(j->priority));
    json_object_set_new(line, "paused", json_boolean(j->paused));
    json_object_set_new(line, "submitted_unix_ms", unix_time(j->submitted_unix_ms));
    json_object_set_new(line, "finished_unix_ms", unix_time(j->finished_unix_ms));
    json_object_set_new(line, "start_unix_ms", unix_time(j->start_unix_ms));
    json_object_set_new(line, "deadline_unix_ms", unix_time(j->deadline_unix_ms));
    json_object_set_new(line, "progress", output_number(j->progress));
    json_object_set_new(line, "attempts", json_integer((json_int_t)j->attempts));
    json_object_set_new(line, "max_attempts", json_integer((json_int_t)j->max_attempts));
    json_object_set_new(line, "device_bytes", json_integer((json_int_t)j->device_bytes));
    json_object_set_new(line, "wave", json_integer((json_int_t)j->wave));
    json_object_set_new(items, "total", json_integer((json_int_t)j->items));
    json_object_set_new(items, "queued", json_integer((json_int_t)j->queued));
    json_object_set_new(items, "leased", json_integer((json_int_t)j->leased));
    json_object_set_new(items, "waiting", json_integer((json_int_t)j->waiting));
    json_object_set_new(items, "done", json_integer((json_int_t)j->done));
    json_object_set_new(items, "failed", json_integer((json_int_t)j->dead));
    json_object_set_new(items, "cancelled", json_integer((json_int_t)j->cancelled));
    json_object_set_new(items, "commits", json_integer((json_int_t)j->commits));
    json_object_set_new(line, "items", items);
    return line;
}

void output_job_row(const struct common *c, const struct message_job *j, bool first)
{
    char kind[LIMIT_NAME + 1], name[LIMIT_NAME + 1];
    wire_copy(j->kind, kind, sizeof kind);
    wire_copy(j->name, name, sizeof name);
    if (c->format == OUTPUT_JSON) {
        output_json_line(output_job(j));
        return;
    }
    const bool csv = c->format == OUTPUT_CSV;
    const char *const state = !csv && j->paused ? "paused" : job_state_name(j->state);
    if (first)
        puts(csv ? "job,state,kind,items,done,failed,cancelled,queued,leased,priority,name"
                 : "   job  state      kind                   items      done    failed    queued    leased  name");
    printf(csv ? "%llu,%s,%s,%llu,%llu,%llu" : "%6llu  %-9s  %-18s %9llu %9llu %9llu", (unsigned long long)j->job,
           state, kind, (unsigned long long)j->items, (unsigned long long)j->done, (unsigned long long)j->dead);
    if (csv)
        printf(",%llu", (unsigned long long)j->cancelled);
    printf(csv ? ",%llu,%llu" : " %9llu %9llu", (unsigned long long)j->queued, (unsigned long long)j->leased);
    if (csv) {
        printf(",%lld,", (long long)j->priority);
        output_csv_text(name);
        putchar('\n');
    } else {
        fputs("  ", stdout);
        output_plain(stdout, name);
        putchar('\n');
    }
    fflush(stdout);
}

json_t *output_outcome(uint64_t job, const struct message_outcome *o)
{
    char path[LIMIT_PATH + 1], message[LIMIT_MESSAGE + 1];
    json_t *line;
    wire_copy(o->path, path, sizeof path);
    wire_copy(o->message, message, sizeof message);
    if (*path) {
        line = output_begin(path);
    } else {
        line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
    }
    json_object_set_new(line, "job", json_integer((json_int_t)job));
    json_object_set_new(line, "item", json_integer((json_int_t)o->index));
    json_object_set_new(line, "state", json_string(item_state_name(o->state)));
    json_object_set_new(line, "attempts", json_integer((json_int_t)o->attempts));
    json_object_set_new(line, "retried", json_boolean(o->retried));
    if (o->state != ITEM_DONE && !o->retried) { /* of a retried one the reason is gone */
        json_t *const error = json_object();
        json_object_set_new(error, "class", json_string(failure_name((int)o->failure)));
        json_object_set_new(error, "message", json_string(message));
        json_object_set_new(line, "error", error);
    }
    return line;
}

void output_plain(FILE *to, const char *text)
{
    for (; *text; text++) /* a name may hold anything, also codes that move the cursor */
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, to);
}

void output_csv_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

void output_fit(const char *text, int width, char *out, size_t capacity)
{
    const size_t n = strlen(text);
    int columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += (text[i] & 0xc0) != 0x80;
    size_t from = 0;
    bool cut = false;
    for (; from < n && columns > width - (cut ? 1 : 0); from++) { /* the end of a path tells more than its beginning */
        columns -= (text[from] & 0xc0) != 0x80;
        cut = true;
    }
    while (cut && from < n && (text[from] & 0xc0) == 0x80)
        from++;
    size_t m = (size_t)snprintf(out, capacity, "%s", cut ? "\xe2\x80\xa6" : "");
    columns += cut;
    for (; from < n && m + 1 < capacity; from++)
        out[m++] = (unsigned char)text[from] < 0x20 || text[from] == 0x7f ? '?' : text[from];
    for (; columns < width && m + 1 < capacity; columns++)
        out[m++] = ' ';
    out[m] = '\0';
}

void output_failure(const struct common *c, const char *path, uint64_t failure, const char *message)
{
    if (c->format == OUTPUT_JSON) {
        json_t *line = output_begin(path), *error = json_object();
        json_object_set_new(error, "class", json_string(failure_name((int)failure)));
        json_object_set_new(error, "message", json_string(message));
        json_object_set_new(line, "error", error);
        output_json_line(line);
        return;
    }
    if (c->format == OUTPUT_CSV) {
        output_csv_text(path);
        printf(",,,,,,,,,,%s,", failure_name((int)failure));
        output_csv_text(message);
        putchar('\n');
        fflush(stdout);
        return;
    }
    fflush(stdout);
    fprintf(stderr, "failed: ");
    output_plain(stderr, path);
    fprintf(stderr, ": %s: %s\n", failure_name((int)failure), message);
}
