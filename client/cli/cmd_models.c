/* models - the model library: bring in, fetch, list, show, verify, remove. Without a scheduler. */
#include "cli.h"
#include "library.h"
#include "models_fetch.h"
#include "paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "usage: wavemill models list|show NAME|verify [NAME...]|remove NAME... [--json]\n"
    "       wavemill models import FILE|FOLDER [--name NAME] [--licence TEXT] [--source TEXT]\n"
    "       wavemill models fetch NAME [--yes] [--url BASE] [--accept-changed]\n"
    "The models that this home has, in WAVEMILL_HOME/models.\n"
    "import: a .safetensors file as demucs 4.1 exports it, a .yaml of a bag of networks with its files beside it, or "
    "a\n"
    "folder with one of the two. It is copied and checked; pickles (.th, .ckpt, .pt) are refused, because reading "
    "them\n"
    "runs what is in them. verify: reads all files again; the exit code is 1 when one is not what it was.\n"
    "fetch: htdemucs, htdemucs_ft or htdemucs_6s from where demucs gets them. Source and licence are shown first. A\n"
    "download that was broken off goes on; a file's SHA-256 is kept the first time and must be the same ever after.\n\n"
    "  --name NAME        import: under this name, not the file's\n"
    "  --licence TEXT     what `show` and `list` say of the licence\n"
    "  --source TEXT      what `show` says of where it came from\n"
    "  --yes              fetch: licence and source are accepted\n"
    "  --url BASE         fetch: files from BASE/FILE, https or http\n"
    "  --accept-changed   fetch: take files that are not those of the first time\n"
    "  --dry-run          fetch: say what would be fetched\n"
    "  --timeout S        fetch: give up after so long without data (default 30)\n\n";

struct models {
    struct common common;
    struct paths paths;
    const char *name, *licence, *source, *url;
    bool yes, accept_changed;
    int rows, exit_code;
};

/* ---- what is printed ---- */

static json_t *begin(const char *model)
{
    bool exact;
    json_t *const line = json_object();
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
    json_object_set_new(line, "model", output_path(model, &exact));
    return line;
}

/* A model that something could not be done with. `path`: what it was to come from, or NULL. */
static int tell_failed(const struct models *m, const char *what, const char *path, int status)
{
    bool exact;
    const char *const message = status_message();
    if (m->common.format == OUTPUT_JSON) {
        json_t *const line = path ? output_begin(path) : begin(what), *const error = json_object();
        json_object_set_new(error, "class", json_string(failure_name((int)status_class(status))));
        json_object_set_new(error, "message", output_path(message, &exact));
        json_object_set_new(line, "error", error);
        output_json_line(line);
    } else {
        fflush(stdout);
        fputs("wavemill models: ", stderr);
        if (!path) { /* else the message names it */
            output_plain(stderr, what);
            fputs(": ", stderr);
        }
        output_plain(stderr, message);
        fputc('\n', stderr);
    }
    switch (status) {
    case STATUS_CANCELLED:
        return EXIT_INTERRUPTED;
    case STATUS_ARGUMENT:
        return EXIT_USAGE;
    case STATUS_NOMEM:
    case STATUS_INTERNAL:
        return EXIT_INTERNAL;
    default:
        return EXIT_SOME_FAILED;
    }
}

static const char *text_of(const json_t *model, const char *key)
{
    const char *const text = json_string_value(json_object_get(model, key));
    return text ? text : "unknown";
}

static double megabytes(const json_t *model)
{
    return (double)json_integer_value(json_object_get(model, "bytes")) / 1048576;
}

static void join_stems(const json_t *model, char *out, size_t capacity)
{
    size_t i;
    const json_t *stem;
    out[0] = '\0';
    json_array_foreach(json_object_get(model, "stems"), i, stem)
        snprintf(out + strlen(out), capacity - strlen(out), "%s%s", i ? "," : "",
                 json_string_value(stem) ? json_string_value(stem) : "?");
}

static void print_row(struct models *m, const char *name, const json_t *model)
{
    char stems[1200];
    const bool csv = m->common.format == OUTPUT_CSV;
    join_stems(model, stems, sizeof stems);
    if (m->rows++ == 0)
        puts(csv ? "model,kind,networks,bytes,stems,licence"
                 : "model                kind        networks      MiB  stems, licence");
    const long long networks = json_integer_value(json_object_get(model, "networks"));
    if (csv) {
        printf("%s,%s,%lld,%lld,", name, text_of(model, "kind"), networks,
               (long long)json_integer_value(json_object_get(model, "bytes")));
        output_csv_text(stems);
        putchar(',');
        output_csv_text(text_of(model, "licence"));
        putchar('\n');
        return;
    }
    printf("%-20s %-10s %9lld %8.1f  ", name, text_of(model, "kind"), networks, megabytes(model));
    output_plain(stdout, stems);
    fputs("; ", stdout);
    output_plain(stdout, text_of(model, "licence"));
    putchar('\n');
}

/* The model as a line of JSON. `from`: the path of an import, or NULL. */
static void print_json(const char *name, const json_t *model, const char *from)
{
    json_t *const line = from ? output_begin(from) : begin(name);
    if (from)
        json_object_set_new(line, "model", json_string(name));
    json_object_set(line, "results", (json_t *)(uintptr_t)model);
    output_json_line(line);
}

static void print_fact(const char *what, const char *text)
{
    printf("%-12s ", what);
    output_plain(stdout, text);
    putchar('\n');
}

static void print_model(const struct models *m, const char *name, const json_t *model)
{
    char text[1200];
    size_t i;
    const json_t *file;
    struct library_model resolved;
    print_fact("model", name);
    print_fact("kind", text_of(model, "kind"));
    join_stems(model, text, sizeof text);
    print_fact("stems", text);
    for (int n = 0; !library_resolve(m->paths.home, name, &resolved) && n < resolved.networks; n++) {
        snprintf(text, sizeof text, "%s:", resolved.network[n].file);
        for (int k = 0; k < resolved.stems; k++)
            if (resolved.network[n].weight[k] > 0)
                snprintf(text + strlen(text), sizeof text - strlen(text), " %s", resolved.stem[k]);
        print_fact("network", text);
    }
    printf("%-12s %lld\n", "parameters", (long long)json_integer_value(json_object_get(model, "parameters")));
    printf("%-12s %.1f MiB\n", "size", megabytes(model));
    print_fact("source", text_of(model, "source"));
    print_fact("licence", text_of(model, "licence"));
    const time_t at = (time_t)(json_integer_value(json_object_get(model, "imported_unix_ms")) / 1000);
    struct tm tm;
    if (gmtime_r(&at, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm))
        print_fact("imported", text);
    json_array_foreach(json_object_get(model, "files"), i, file)
    {
        snprintf(text, sizeof text, "%s  %s", text_of(file, "sha256"), text_of(file, "name"));
        print_fact("sha256", text);
    }
}

/* ---- the verbs; each gives an exit code ---- */

static int list_one(void *context, const char *name, const json_t *model)
{
    struct models *const m = context;
    if (!model)
        m->exit_code = tell_failed(m, name, NULL, STATUS_DAMAGED);
    else if (m->common.format == OUTPUT_JSON)
        print_json(name, model, NULL);
    else
        print_row(m, name, model);
    return STATUS_OK;
}

static int list(struct models *m, const char *nothing)
{
    const int code = library_each(m->paths.home, list_one, m);
    (void)nothing;
    if (code)
        return tell_failed(m, "models", NULL, code);
    if (m->rows == 0 && m->common.format == OUTPUT_TABLE && !m->exit_code && !m->common.quiet)
        fprintf(stderr, "there are none in %s/models; `wavemill models fetch` offers %s\n", m->paths.home,
                fetch_offers());
    return m->exit_code;
}

static int show(struct models *m, const char *name)
{
    json_t *model = NULL;
    const int code = library_show(m->paths.home, name, &model);
    if (code)
        return tell_failed(m, name, NULL, code);
    if (m->common.format == OUTPUT_JSON)
        print_json(name, model, NULL);
    else
        print_model(m, name, model);
    json_decref(model);
    return EXIT_DONE;
}

static int import(struct models *m, const char *path)
{
    char name[LIBRARY_NAME_MOST + 1];
    json_t *model = NULL;
    char *const source = m->source ? NULL : cli_absolute(path);
    int code = library_import(
        m->paths.home,
        &(struct library_import){
            .path = path, .name = m->name, .licence = m->licence, .source = m->source ? m->source : source},
        name);
    free(source);
    code = code ? code : library_show(m->paths.home, name, &model);
    if (code)
        return tell_failed(m, path, path, code);
    if (m->common.format == OUTPUT_JSON)
        print_json(name, model, path);
    else
        printf("%s: %.1f MiB in %s/models/%s\n", name, megabytes(model), m->paths.home, name);
    json_decref(model);
    return EXIT_DONE;
}

static int fetch(struct models *m, const char *name)
{
    const struct fetch_wish wish = {.common = &m->common,
                                    .home = m->paths.home,
                                    .name = name,
                                    .url = m->url,
                                    .licence = m->licence,
                                    .source = m->source,
                                    .yes = m->yes,
                                    .accept_changed = m->accept_changed};
    const int code = fetch_model(&wish);
    if (code)
        return tell_failed(m, name, NULL, code);
    return m->common.dry_run ? EXIT_DONE : show(m, name);
}

static int remove_one(struct models *m, const char *name)
{
    const int code = library_remove(m->paths.home, name);
    if (code)
        return tell_failed(m, name, NULL, code);
    if (m->common.format == OUTPUT_JSON) {
        json_t *const line = begin(name);
        json_object_set_new(line, "results", json_pack("{s:b}", "removed", 1));
        output_json_line(line);
    } else if (!m->common.quiet) {
        printf("%s: removed\n", name);
    }
    return EXIT_DONE;
}

static void on_damage(void *context, const char *file, const char *why)
{
    const struct models *const m = context;
    if (m->common.format != OUTPUT_JSON)
        printf("damaged: %s: %s\n", file, why);
}

static int verify_one(struct models *m, const char *name)
{
    json_t *model = NULL;
    int code = library_verify(m->paths.home, name, on_damage, m);
    code = code ? code : library_show(m->paths.home, name, &model);
    if (code)
        return tell_failed(m, name, NULL, code);
    const size_t files = json_array_size(json_object_get(model, "files"));
    if (m->common.format == OUTPUT_JSON) {
        json_t *const line = begin(name);
        json_object_set_new(
            line, "results",
            json_pack("{s:I, s:O}", "files", (json_int_t)files, "bytes", json_object_get(model, "bytes")));
        output_json_line(line);
    } else {
        printf("%s: %zu files, %.1f MiB, as they were\n", name, files, megabytes(model));
    }
    json_decref(model);
    return EXIT_DONE;
}

static int verify_each(void *context, const char *name, const json_t *model)
{
    struct models *const m = context;
    (void)model;
    const int code = cli_interrupted ? EXIT_INTERRUPTED : verify_one(m, name);
    m->exit_code = code > m->exit_code ? code : m->exit_code;
    return code == EXIT_INTERRUPTED ? STATUS_CANCELLED : STATUS_OK;
}

static int verify_all(struct models *m, const char *nothing)
{
    (void)nothing;
    const int code = library_each(m->paths.home, verify_each, m);
    return code && code != STATUS_CANCELLED ? tell_failed(m, "models", NULL, code) : m->exit_code;
}

/* ---- the command ---- */

static const struct verb {
    const char *name;
    int (*run)(struct models *m, const char *argument);
    int (*run_all)(struct models *m, const char *nothing); /* without an argument; NULL: one is needed */
    int most;                                              /* arguments */
    const char *asks;
} verbs[] = {
    {"list", NULL, list, 0, NULL},
    {"show", show, NULL, 1, "which model?"},
    {"import", import, NULL, 1, "which file or folder?"},
    {"fetch", fetch, NULL, 1, "which? There are htdemucs, htdemucs_ft and htdemucs_6s"},
    {"remove", remove_one, NULL, 1000, "which models?"},
    {"verify", verify_one, verify_all, 1000, NULL},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

/* -1: go on; else the exit code. */
static int take_option(struct models *m, int option)
{
    switch (option) {
    case 'n':
        m->name = optarg;
        return -1;
    case 'l':
        m->licence = optarg;
        return -1;
    case 's':
        m->source = optarg;
        return -1;
    case 'u':
        m->url = optarg;
        return -1;
    case 'y':
        m->yes = true;
        return -1;
    case 'a':
        m->accept_changed = true;
        return -1;
    default:
        return cli_common(option, &m->common, "models", help);
    }
}

static const struct verb *find_verb(const char *name)
{
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* -1: go on; else the exit code. */
static int check(const struct models *m, const struct verb *v, int arguments)
{
    const bool is_fetch = v->run == fetch, is_import = v->run == import;
    if (arguments == 0 && !v->run_all)
        return cli_usage("models", "%s %s", v->name, v->asks);
    if (arguments > v->most)
        return cli_usage("models", "%s takes %d argument%s", v->name, v->most, v->most == 1 ? "" : "s");
    if (!is_fetch && (m->url || m->yes || m->accept_changed || m->common.dry_run))
        return cli_usage("models", "--url, --yes, --accept-changed and --dry-run are for fetch");
    if (!is_import && m->name)
        return cli_usage("models", "--name is for import");
    if (!is_import && !is_fetch && (m->licence || m->source))
        return cli_usage("models", "--licence and --source are for import and fetch");
    if (m->common.format == OUTPUT_CSV && v->run_all != list)
        return cli_usage("models", "--csv is for list");
    return -1;
}

int cmd_models(int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"licence", required_argument, NULL, 'l'},
                                            {"source", required_argument, NULL, 's'},
                                            {"url", required_argument, NULL, 'u'},
                                            {"yes", no_argument, NULL, 'y'},
                                            {"accept-changed", no_argument, NULL, 'a'},
                                            CLI_COMMON_OPTIONS};
    static struct models m; /* its paths are long */
    int exit_code = -1;
    for (int o; exit_code < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        exit_code = take_option(&m, o);
    if (exit_code >= 0)
        return exit_code;
    const struct verb *const v = optind < argc ? find_verb(argv[optind]) : NULL;
    if (!v)
        return cli_usage("models", "list, show, import, fetch, remove or verify?");
    exit_code = check(&m, v, argc - optind - 1);
    if (exit_code >= 0)
        return exit_code;
    const int code = paths_find(NULL, &m.paths);
    if (code)
        return cli_failed("models", code);
    if (argc - optind == 1)
        return v->run_all(&m, NULL);
    for (int i = optind + 1; i < argc && !cli_interrupted; i++) {
        const int one = v->run(&m, argv[i]);
        m.exit_code = one > m.exit_code ? one : m.exit_code;
    }
    return cli_interrupted ? EXIT_INTERRUPTED : m.exit_code;
}
