/* dataset - sounds to learn from: create, summary, check, thumbnails, list, remove. */
#include "dataset_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill dataset create NAME PATH... [--reference] [--replace] [--validation FRACTION]\n"
    "       wavemill dataset summary NAME | check NAME... | list | remove NAME... [--dry-run]\n"
    "       wavemill dataset thumbnails NAME [--out FILE.png]\n"
    "Sounds to train with, in WAVEMILL_HOME/datasets.\n"
    "create: looks at the files (folders are walked) and keeps a copy of each, so that the dataset stays whole when "
    "they\n"
    "are moved. Equal files are kept once; what cannot be read or has samples that are no numbers is named and left "
    "out\n"
    "(exit code 1). A file's label is the folder that it lies in, below PATH; with several PATHs their names lead the\n"
    "labels. The first tenth of the files, in order of content, is for validation: the same files, the same split.\n"
    "check: reads all bytes again and names what is damaged or gone (exit code 1).\n"
    "thumbnails: one picture with the log-mel of each of up to 500 sounds.\n\n"
    "  --reference        create: keep the paths only, no copies\n"
    "  --replace          create: in the place of a dataset of that name\n"
    "  --validation F     create: part of the files for validation, 0 to 0.9 (default 0.1, at least one file)\n"
    "  --out FILE.png     thumbnails: the picture (default NAME.png)\n\n";

int dataset_tell_failed(const struct dataset_request *r, const char *name, int status)
{
    bool exact;
    const char *const message = status_message();
    if (status == STATUS_CANCELLED)
        return EXIT_INTERRUPTED;
    if (r->common.format == OUTPUT_JSON) {
        json_t *const line = json_object(), *const error = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
        json_object_set_new(line, "dataset", output_path(name, &exact));
        json_object_set_new(error, "class", json_string(failure_name((int)status_class(status))));
        json_object_set_new(error, "message", output_path(message, &exact));
        json_object_set_new(line, "error", error);
        output_json_line(line);
    } else {
        fflush(stdout);
        fputs("wavemill dataset: ", stderr);
        output_plain(stderr, name);
        fputs(": ", stderr);
        output_plain(stderr, message);
        fputc('\n', stderr);
    }
    switch (status) {
    case STATUS_ARGUMENT:
        return EXIT_USAGE;
    case STATUS_NOMEM:
    case STATUS_INTERNAL:
        return EXIT_INTERNAL;
    default:
        return EXIT_SOME_FAILED;
    }
}

static int summary(struct dataset_request *r, const char *name)
{
    struct dataset *d = NULL;
    const int code = dataset_open(r->paths.home, name, &d);
    if (code)
        return dataset_tell_failed(r, name, code);
    if (r->common.format == OUTPUT_CSV)
        dataset_csv_header();
    dataset_show(r, d, true, -1);
    dataset_close(&d);
    return EXIT_DONE;
}

/* ---- check ---- */

/* STATUS_OK when the bytes are what they were. */
static int check_file(const struct dataset *d, size_t i, char *path, size_t capacity)
{
    struct hash got;
    struct stat s;
    int code = dataset_path(d, i, path, capacity);
    if (code)
        return code;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? fail(STATUS_NOT_FOUND, "it is gone")
                                                   : fail(STATUS_IO, "it cannot be opened: %s", strerror(errno));
    if (fstat(fd, &s) || !S_ISREG(s.st_mode))
        code = fail(STATUS_DAMAGED, "it is no file");
    else if ((uint64_t)s.st_size != d->files[i].bytes)
        code = fail(STATUS_DAMAGED, "it has %lld bytes, not %llu", (long long)s.st_size,
                    (unsigned long long)d->files[i].bytes);
    code = code ? code : hash_file(fd, &got, NULL);
    if (!code && memcmp(&got, &d->files[i].hash, sizeof got) != 0)
        code = fail(STATUS_DAMAGED, "its bytes are others");
    close(fd);
    return code;
}

static void tell_bad(const struct dataset_request *r, const struct dataset *d, size_t i, const char *path, int code)
{
    bool exact;
    if (r->common.format != OUTPUT_JSON) {
        fputs(code == STATUS_NOT_FOUND ? "gone: " : "damaged: ", stdout);
        output_plain(stdout, d->files[i].name);
        printf(": %s: ", status_message());
        output_plain(stdout, path);
        putchar('\n');
        return;
    }
    json_t *const line = output_begin(path), *const error = json_object();
    json_object_set_new(line, "dataset", json_string(d->name));
    json_object_set_new(line, "name", output_path(d->files[i].name, &exact));
    json_object_set_new(error, "class", json_string(failure_name((int)status_class(code))));
    json_object_set_new(error, "message", output_path(status_message(), &exact));
    json_object_set_new(line, "error", error);
    output_json_line(line);
}

static int check(struct dataset_request *r, const char *name)
{
    char path[PATHS_MAX + 128], size[32];
    struct dataset *d = NULL;
    size_t bad = 0, i = 0;
    int code = dataset_open(r->paths.home, name, &d);
    if (code)
        return dataset_tell_failed(r, name, code);
    for (; i < d->count && !cli_interrupted; i++)
        if ((code = check_file(d, i, path, sizeof path))) {
            tell_bad(r, d, i, path, code);
            bad++;
        }
    dataset_size(dataset_bytes(d), size, sizeof size);
    if (i == d->count && r->common.format == OUTPUT_JSON)
        output_json_line(json_pack("{s:i, s:s, s:s, s:{s:I, s:I, s:I}}", "schema", OUTPUT_SCHEMA, "tool_version",
                                   WAVEMILL_VERSION, "dataset", name, "results", "files", (json_int_t)d->count, "bad",
                                   (json_int_t)bad, "bytes", (json_int_t)dataset_bytes(d)));
    else if (i == d->count && bad)
        printf("%s: %zu of %zu files are not what they were\n", name, bad, d->count);
    else if (i == d->count)
        printf("%s: %zu files, %s, as they were\n", name, d->count, size);
    dataset_close(&d);
    return cli_interrupted ? EXIT_INTERRUPTED : bad ? EXIT_SOME_FAILED : EXIT_DONE;
}

/* ---- list, remove ---- */

struct listing {
    const struct dataset_request *r;
    int rows, exit_code;
};

static void list_one(void *context, const char *name)
{
    struct listing *const l = context;
    struct dataset *d = NULL;
    const int code = dataset_open(l->r->paths.home, name, &d);
    if (code) {
        l->exit_code = dataset_tell_failed(l->r, name, code);
        return;
    }
    dataset_show_row(l->r, d, l->rows++ == 0);
    dataset_close(&d);
}

static int list(struct dataset_request *r)
{
    struct listing l = {.r = r};
    const int code = dataset_each(r->paths.home, list_one, &l);
    if (code)
        return dataset_tell_failed(r, "datasets", code);
    if (!l.rows && !l.exit_code && r->common.format == OUTPUT_TABLE && !r->common.quiet)
        fprintf(stderr, "there are none in %s/datasets; `wavemill dataset create NAME PATH...` makes one\n",
                r->paths.home);
    return l.exit_code;
}

/* One that is damaged can be removed too. */
static int remove_one(struct dataset_request *r, const char *name)
{
    char place[PATHS_MAX + 128];
    int code = dataset_check_name(name);
    snprintf(place, sizeof place, "%s/datasets/%s", r->paths.home, name);
    if (!code && access(place, F_OK))
        code = fail(STATUS_NOT_FOUND, "there is no such dataset; `wavemill dataset list` names them");
    if (!code && !r->common.dry_run)
        code = dataset_remove(r->paths.home, name);
    if (code)
        return dataset_tell_failed(r, name, code);
    if (r->common.format == OUTPUT_JSON)
        output_json_line(json_pack("{s:i, s:s, s:s, s:{s:b}}", "schema", OUTPUT_SCHEMA, "tool_version",
                                   WAVEMILL_VERSION, "dataset", name, "results", "removed", !r->common.dry_run));
    else if (r->common.dry_run)
        printf("would remove %s\n", place);
    else if (!r->common.quiet)
        printf("%s: removed\n", name);
    return EXIT_DONE;
}

/* ---- the command ---- */

static const struct verb {
    const char *name;
    int (*run)(struct dataset_request *r, const char *name); /* NULL: create, list */
    int most;                                                /* arguments */
    bool csv, dry_run;
} verbs[] = {
    {"create", NULL, 100000, true, true}, {"summary", summary, 1, true, false},
    {"check", check, 1000, false, false}, {"thumbnails", dataset_thumbnails, 1, false, false},
    {"list", NULL, 0, true, false},       {"remove", remove_one, 1000, false, true},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

/* -1: go on; else the exit code. */
static int take_option(struct dataset_request *r, int option)
{
    switch (option) {
    case 'f':
        r->reference = true;
        return -1;
    case 'p':
        r->replace = true;
        return -1;
    case 'v':
        return cli_number("dataset", "--validation", optarg, 0, 0.9, &r->fraction) ? -1 : EXIT_USAGE;
    case 'o':
        r->out = optarg;
        return -1;
    default:
        return cli_common(option, &r->common, "dataset", help);
    }
}

/* -1: go on; else the exit code. */
static int check_usage(const struct dataset_request *r, const struct verb *v, int arguments)
{
    const bool creates = v == &verbs[0], lists = v->most == 0;
    if (creates && arguments < 2)
        return cli_usage("dataset", "create NAME PATH...: %s", arguments ? "of which files?" : "under which name?");
    if (!lists && arguments < 1)
        return cli_usage("dataset", "%s which dataset?", v->name);
    if (arguments > v->most)
        return cli_usage("dataset", "%s takes %d argument%s", v->name, v->most, v->most == 1 ? "" : "s");
    if (!creates && (r->reference || r->replace || isfinite(r->fraction)))
        return cli_usage("dataset", "--reference, --replace and --validation are for create");
    if (r->out && v->run != dataset_thumbnails)
        return cli_usage("dataset", "--out is for thumbnails");
    if (r->common.dry_run && !v->dry_run)
        return cli_usage("dataset", "--dry-run is for create and remove");
    if (r->common.format == OUTPUT_CSV && !v->csv)
        return cli_usage("dataset", "--csv is for create, summary and list");
    return -1;
}

static int run(struct dataset_request *r, const struct verb *v, int count, char **arguments)
{
    int exit_code = EXIT_DONE;
    if (v->most == 0)
        return list(r);
    if (dataset_check_name(arguments[0]))
        return cli_usage("dataset", "%s", status_message());
    if (!v->run)
        return dataset_create(r, arguments[0], count - 1, arguments + 1);
    for (int i = 0; i < count && !cli_interrupted; i++) {
        const int one = v->run(r, arguments[i]);
        exit_code = one > exit_code ? one : exit_code;
    }
    return cli_interrupted ? EXIT_INTERRUPTED : exit_code;
}

int cmd_dataset(int argc, char **argv)
{
    static const struct option options[] = {{"reference", no_argument, NULL, 'f'},
                                            {"replace", no_argument, NULL, 'p'},
                                            {"validation", required_argument, NULL, 'v'},
                                            {"out", required_argument, NULL, 'o'},
                                            CLI_COMMON_OPTIONS};
    static struct dataset_request r; /* its paths are long */
    const struct verb *v = NULL;
    int exit_code = -1;
    r.fraction = NAN;
    for (int o; exit_code < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        exit_code = take_option(&r, o);
    if (exit_code >= 0)
        return exit_code;
    for (int i = 0; optind < argc && i < VERBS; i++)
        if (strcmp(verbs[i].name, argv[optind]) == 0)
            v = &verbs[i];
    if (!v)
        return cli_usage("dataset", "create, summary, check, thumbnails, list or remove?");
    exit_code = check_usage(&r, v, argc - optind - 1);
    if (exit_code >= 0)
        return exit_code;
    const int code = paths_find(NULL, &r.paths);
    return code ? cli_failed("dataset", code) : run(&r, v, argc - optind - 1, argv + optind + 1);
}
