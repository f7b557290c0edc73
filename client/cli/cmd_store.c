/* store - looks after the feature store, without a scheduler. */
#include "cli.h"
#include "objects.h"
#include "paths.h"
#include "record.h"
#include "store.h"
#include "store_care.h"
#include "store_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char help[] =
    "usage: wavemill store stats|fsck [OPTION...]\n"
    "       wavemill store prune --older AGE|--unused|--to SIZE [--dry-run]\n"
    "       wavemill store gc [--dry-run]\n"
    "       wavemill store export --out FILE [--format csv|npz] [--kind KIND]\n"
    "stats: what the feature store holds. fsck: checks every record and every object; damaged records go to\n"
    "quarantine (they are computed again when they are asked for), and the exit code is then 1.\n"
    "prune: removes records, then the objects that only they named. What is asked for again is computed again.\n"
    "gc: removes objects that no record names and that are older than an hour.\n"
    "export: writes what is stored into one file, which appears when it is whole.\n\n"
    "  --older AGE        records made longer ago than 30d, 12h, 90m or 45s\n"
    "  --unused           entries of known files (device, inode, size, times) that a later one of the same device and\n"
    "                     inode supersedes, then the records of contents that no such entry names any more; whether a\n"
    "                     file still exists is not looked at\n"
    "  --to SIZE          the oldest records, until records and objects take at most SIZE: bytes, or 500M, 2G (the\n"
    "                     database file keeps its length, and its free pages are used again)\n"
    "  --out FILE         where export writes; in a folder: wavemill.csv or wavemill.npz\n"
    "  --format FORMAT    csv (default): a line per analysis; npz: the stored arrays as HASH.KIND.npy, for numpy.load\n"
    "  --kind KIND        npz: arrays of this feature only\n\n";

struct objects_seen {
    uint64_t count, bytes, damaged;
    const struct common *common;
};

static int on_object(void *context, const struct hash *h, uint64_t bytes, bool damaged)
{
    struct objects_seen *o = context;
    char hex[HASH_HEX];
    o->count++;
    o->bytes += bytes;
    o->damaged += damaged;
    hash_hex(h, hex);
    if (damaged && o->common->format == OUTPUT_TABLE)
        printf("damaged: object %s\n", hex);
    return STATUS_OK;
}

/* What the feature kinds cost per minute of the audio that they were made of. */
struct cost {
    double minutes, bytes;
};

struct costs {
    struct cost kinds[FEATURE_KINDS];
};

static int on_record(void *context, const struct store_key *key, const struct record *r)
{
    struct costs *const all = context;
    struct kind_provenance p;
    if (key->kind >= FEATURE_KINDS || wire_decode(&kind_provenance_schema, r->result, r->result_bytes, &p) ||
        p.rate_hz == 0)
        return STATUS_OK; /* a refusal: of no audio */
    struct cost *const c = &all->kinds[key->kind];
    c->minutes += (double)p.frames_decoded / (double)p.rate_hz / 60;
    c->bytes += (double)record_bytes(r) + (r->place == RECORD_OBJECT ? (double)r->array_bytes : 0);
    return STATUS_OK;
}

static void print_stats(const struct paths *paths, const struct store_stats *st, const struct objects_seen *o,
                        const struct costs *costs)
{
    printf("folder       %s\n", paths->features);
    printf("records      %llu, of %llu files, %.1f KiB\n", (unsigned long long)st->records,
           (unsigned long long)st->files, (double)st->record_bytes / 1024);
    for (int k = 1; k < FEATURE_KINDS; k++) {
        const struct cost *const c = &costs->kinds[k];
        if (!st->by_kind[k])
            continue;
        printf("  %-10s %llu, %.1f KiB", feature_name((enum feature_kind)k), (unsigned long long)st->by_kind[k],
               (double)st->bytes_by_kind[k] / 1024);
        if (c->minutes > 0)
            printf("; with objects %.1f KiB per minute of audio", c->bytes / 1024 / c->minutes);
        putchar('\n');
    }
    printf("known files  %llu\n", (unsigned long long)st->stats);
    printf("quarantined  %llu\n", (unsigned long long)st->quarantined);
    printf("objects      %llu, %.1f KiB\n", (unsigned long long)o->count, (double)o->bytes / 1024);
    printf("on disk      %.1f KiB of a map of %.1f MiB\n", (double)st->disk_bytes / 1024,
           (double)st->map_bytes / 1048576);
}

static int stats(const struct common *c, struct store *s, const struct paths *paths)
{
    struct store_stats st;
    struct objects_seen o = {.common = c};
    struct costs costs = {0};
    int code = store_stats(s, &st);
    if (!code)
        code = objects_walk(paths->objects, false, on_object, &o);
    if (!code)
        code = store_each_record(s, on_record, &costs);
    if (code)
        return code;
    if (c->format != OUTPUT_JSON) {
        print_stats(paths, &st, &o, &costs);
        return STATUS_OK;
    }
    json_t *line = json_object(), *kinds = json_object(), *rates = json_object();
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "folder", json_string(paths->features));
    json_object_set_new(line, "records", json_integer((json_int_t)st.records));
    json_object_set_new(line, "files", json_integer((json_int_t)st.files));
    json_object_set_new(line, "known_stats", json_integer((json_int_t)st.stats));
    json_object_set_new(line, "quarantined", json_integer((json_int_t)st.quarantined));
    json_object_set_new(line, "record_bytes", json_integer((json_int_t)st.record_bytes));
    json_object_set_new(line, "disk_bytes", json_integer((json_int_t)st.disk_bytes));
    json_object_set_new(line, "map_bytes", json_integer((json_int_t)st.map_bytes));
    json_object_set_new(line, "objects", json_integer((json_int_t)o.count));
    json_object_set_new(line, "object_bytes", json_integer((json_int_t)o.bytes));
    for (int k = 1; k < FEATURE_KINDS; k++) {
        const char *const name = feature_name((enum feature_kind)k);
        if (st.by_kind[k])
            json_object_set_new(kinds, name, json_integer((json_int_t)st.by_kind[k]));
        if (costs.kinds[k].minutes > 0)
            json_object_set_new(rates, name, json_real(costs.kinds[k].bytes / costs.kinds[k].minutes));
    }
    json_object_set_new(line, "records_by_feature", kinds);
    json_object_set_new(line, "bytes_per_audio_minute", rates);
    output_json_line(line);
    return STATUS_OK;
}

static void on_damage(void *context, const char *line)
{
    const struct common *c = context;
    if (c->format == OUTPUT_TABLE)
        printf("damaged: %s\n", line);
}

static int fsck(const struct common *c, struct store *s, const struct paths *paths, int *exit_code)
{
    struct store_check check;
    struct objects_seen o = {.common = c};
    int code = store_fsck(s, on_damage, (void *)(uintptr_t)c, &check);
    if (!code)
        code = objects_walk(paths->objects, true, on_object, &o);
    if (code)
        return code;
    *exit_code = check.damaged || o.damaged ? EXIT_SOME_FAILED : EXIT_DONE;
    if (c->format == OUTPUT_JSON) {
        json_t *line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "records", json_integer((json_int_t)check.records));
        json_object_set_new(line, "known_stats", json_integer((json_int_t)check.stats));
        json_object_set_new(line, "objects", json_integer((json_int_t)o.count));
        json_object_set_new(line, "damaged_records", json_integer((json_int_t)check.damaged));
        json_object_set_new(line, "damaged_objects", json_integer((json_int_t)o.damaged));
        json_object_set_new(line, "quarantined", json_integer((json_int_t)check.quarantined));
        output_json_line(line);
    } else {
        printf("%llu records, %llu known files, %llu objects: %llu damaged, %llu quarantined\n",
               (unsigned long long)check.records, (unsigned long long)check.stats, (unsigned long long)o.count,
               (unsigned long long)(check.damaged + o.damaged), (unsigned long long)check.quarantined);
    }
    return STATUS_OK;
}

/* ---- prune, gc ---- */

static int tell_removed(const struct common *c, const struct store_pruned *p)
{
    if (c->format == OUTPUT_JSON) {
        json_t *line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "dry_run", json_boolean(c->dry_run));
        json_object_set_new(line, "removed_records", json_integer((json_int_t)p->records));
        json_object_set_new(line, "removed_bytes", json_integer((json_int_t)p->record_bytes));
        json_object_set_new(line, "removed_stats", json_integer((json_int_t)p->stats));
        json_object_set_new(line, "removed_objects", json_integer((json_int_t)p->objects));
        json_object_set_new(line, "freed_bytes", json_integer((json_int_t)(p->record_bytes + p->object_bytes)));
        json_object_set_new(line, "left_bytes", json_integer((json_int_t)p->left_bytes));
        output_json_line(line);
        return STATUS_OK;
    }
    printf("%s %llu records, %llu entries of known files and %llu objects: %.1f KiB; %.1f KiB %s\n",
           c->dry_run ? "would remove" : "removed", (unsigned long long)p->records, (unsigned long long)p->stats,
           (unsigned long long)p->objects, (double)(p->record_bytes + p->object_bytes) / 1024,
           (double)p->left_bytes / 1024, c->dry_run ? "would be left" : "are left");
    return STATUS_OK;
}

static int prune(const struct common *c, struct store *s, const struct paths *paths, struct store_prune what)
{
    struct store_pruned done;
    what.dry_run = c->dry_run;
    const int code = store_prune(s, paths->objects, &what, &done);
    return code ? code : tell_removed(c, &done);
}

static int gc(const struct common *c, struct store *s, const struct paths *paths)
{
    struct store_pruned done;
    const int code = store_gc(s, paths->objects, c->dry_run, &done);
    return code ? code : tell_removed(c, &done);
}

/* "30d": the moment so long ago, in Unix milliseconds, at least 1. */
static bool parse_age(const char *text, uint64_t *before_unix_ms)
{
    struct timespec now;
    uint64_t age_ms;
    if (!cli_duration("store", "--older", text, 1e9 * 1000, &age_ms))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    *before_unix_ms = age_ms < now_ms ? now_ms - age_ms : 1;
    return true;
}

/* ---- the command ---- */

enum verb { STATS, FSCK, PRUNE, GC, EXPORT, VERBS };

struct wishes {
    enum verb verb;
    struct common common;
    struct store_prune prune;
    struct store_export export;
    bool has_condition;
};

/* -1: go on; else the exit code. */
static int take_option(struct wishes *w, int option)
{
    switch (option) {
    case 'o':
        w->has_condition = true;
        return parse_age(optarg, &w->prune.before_unix_ms) ? -1 : EXIT_USAGE;
    case 'u':
        w->has_condition = w->prune.unused = true;
        return -1;
    case 't':
        w->has_condition = w->prune.to_size = true;
        if (store_parse_size(optarg, &w->prune.to_bytes))
            return cli_usage("store", "--to %s", status_message());
        w->prune.over_bytes = w->prune.to_bytes;
        return -1;
    case 'O':
        w->export.out = optarg;
        return -1;
    case 'f':
        w->export.npz = strcmp(optarg, "npz") == 0;
        return w->export.npz || strcmp(optarg, "csv") == 0
                   ? -1
                   : cli_usage("store", "--format %s: there are csv and npz", optarg);
    case 'k':
        return feature_parse(optarg, &w->export.kind) ? cli_usage("store", "--kind %s", status_message()) : -1;
    default:
        return cli_common(option, &w->common, "store", help);
    }
}

static int check_wishes(struct wishes *w, int argc, char **argv)
{
    static const char *const verbs[VERBS] = {"stats", "fsck", "prune", "gc", "export"};
    if (argc - optind != 1)
        return cli_usage("store", "stats, fsck, prune, gc or export?");
    while (w->verb < VERBS && strcmp(argv[optind], verbs[w->verb]) != 0)
        w->verb++;
    if (w->verb == VERBS)
        return cli_usage("store", "there are stats, fsck, prune, gc and export, not %s", argv[optind]);
    if ((w->verb == PRUNE) != w->has_condition)
        return w->has_condition ? cli_usage("store", "--older, --unused and --to are for prune")
                                : cli_usage("store", "prune what? --older AGE, --unused or --to SIZE");
    if ((w->verb == EXPORT) != (w->export.out != NULL))
        return w->export.out ? cli_usage("store", "--out is for export") : cli_usage("store", "export to where? --out");
    if (w->export.kind && !w->export.npz)
        return cli_usage("store", "--kind is for export --format npz");
    return -1;
}

int cmd_store(int argc, char **argv)
{
    static const struct option options[] = {{"older", required_argument, NULL, 'o'},
                                            {"unused", no_argument, NULL, 'u'},
                                            {"to", required_argument, NULL, 't'},
                                            {"out", required_argument, NULL, 'O'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"kind", required_argument, NULL, 'k'},
                                            CLI_COMMON_OPTIONS};
    struct wishes w = {0};
    int exit_code = -1;
    for (int o; exit_code < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        exit_code = take_option(&w, o);
    if (exit_code < 0)
        exit_code = check_wishes(&w, argc, argv);
    if (exit_code >= 0)
        return exit_code;
    exit_code = EXIT_DONE;
    struct paths paths;
    struct store *s = NULL;
    int code = paths_find(NULL, &paths);
    if (!code)
        code = store_open(paths.features, &(struct store_options){0}, &s);
    if (!code)
        code = w.verb == STATS   ? stats(&w.common, s, &paths)
               : w.verb == FSCK  ? fsck(&w.common, s, &paths, &exit_code)
               : w.verb == PRUNE ? prune(&w.common, s, &paths, w.prune)
               : w.verb == GC    ? gc(&w.common, s, &paths)
                                 : store_export(&w.common, s, paths.objects, &w.export);
    store_close(&s);
    return code ? cli_failed("store", code) : exit_code;
}
