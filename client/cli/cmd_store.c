/* store - a look at the feature store, without a scheduler. */
#include "cli.h"
#include "objects.h"
#include "paths.h"
#include "record.h"
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: wavemill store stats|fsck [OPTION...]\n"
    "stats: what the feature store holds. fsck: checks every record and every object; damaged records go to\n"
    "quarantine (they are computed again when they are asked for), and the exit code is then 1.\n\n";

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

static int stats(const struct common *c, struct store *s, const struct paths *paths)
{
    struct store_stats st;
    struct objects_seen o = {.common = c};
    int code = store_stats(s, &st);
    if (!code)
        code = objects_walk(paths->objects, false, on_object, &o);
    if (code)
        return code;
    if (c->format == OUTPUT_JSON) {
        json_t *line = json_object(), *kinds = json_object();
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
        for (int k = 1; k < 16; k++)
            if (st.by_kind[k])
                json_object_set_new(kinds, feature_name((enum feature_kind)k), json_integer((json_int_t)st.by_kind[k]));
        json_object_set_new(line, "records_by_feature", kinds);
        output_json_line(line);
        return STATUS_OK;
    }
    printf("folder       %s\n", paths->features);
    printf("records      %llu, of %llu files, %.1f KiB\n", (unsigned long long)st.records, (unsigned long long)st.files,
           (double)st.record_bytes / 1024);
    for (int k = 1; k < 16; k++)
        if (st.by_kind[k])
            printf("  %-10s %llu, %.1f KiB\n", feature_name((enum feature_kind)k), (unsigned long long)st.by_kind[k],
                   (double)st.bytes_by_kind[k] / 1024);
    printf("known files  %llu\n", (unsigned long long)st.stats);
    printf("quarantined  %llu\n", (unsigned long long)st.quarantined);
    printf("objects      %llu, %.1f KiB\n", (unsigned long long)o.count, (double)o.bytes / 1024);
    printf("on disk      %.1f KiB of a map of %.1f MiB\n", (double)st.disk_bytes / 1024,
           (double)st.map_bytes / 1048576);
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

int cmd_store(int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct common common = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = cli_common(o, &common, "store", help);
        if (code >= 0)
            return code;
    }
    if (argc - optind != 1)
        return cli_usage("store", "stats or fsck?");
    const bool check = strcmp(argv[optind], "fsck") == 0;
    if (!check && strcmp(argv[optind], "stats") != 0)
        return cli_usage("store", "there are stats and fsck, not %s", argv[optind]);
    struct paths paths;
    struct store *s = NULL;
    int exit_code = EXIT_DONE;
    int code = paths_find(NULL, &paths);
    if (!code)
        code = store_open(paths.features, &(struct store_options){0}, &s);
    if (!code)
        code = check ? fsck(&common, s, &paths, &exit_code) : stats(&common, s, &paths);
    store_close(&s);
    return code ? cli_failed("store", code) : exit_code;
}
