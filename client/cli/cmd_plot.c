/* plot - pictures of a training: its curves, and its sounds beside what became of them. */
#include "cli.h"
#include "paths.h"
#include "plot_curves.h"
#include "plot_sheet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill plot [OPTION...] NAME...\n"
    "Draws the training of models that `wavemill train` has made or is making: NAME-curves (losses of training and\n"
    "validation, reconstruction and KL against the step, the best validation marked) and NAME-sheet (log-mel pictures "
    "of\n"
    "validation sounds above what the network makes of them), from metrics.jsonl and previews/ in\n"
    "WAVEMILL_HOME/models/NAME. Of a training that goes on: as far as it has come; without previews yet, curves only.\n"
    "Works without a scheduler.\n\n"
    "  --out DIR          where pictures go (default: here); made where it is not\n"
    "  --format LIST      png, svg (default: png,svg)\n"
    "  --skip-existing    leave pictures alone that are there\n\n";

enum { OUT = 1, FORMAT, SKIP };
enum { FORMATS = 2, PICTURES = 2, FILES_MOST = FORMATS * PICTURES, PATH_ROOM = PATHS_MAX + 128 };
enum picture { CURVES, SHEET };

static const char *const formats[FORMATS] = {"png", "svg"}, *const pictures[PICTURES] = {"curves", "sheet"};

struct request {
    struct common common;
    struct paths paths;
    const char *out;
    bool format[FORMATS], skip_existing;
};

/* A model's pictures. */
struct drawn {
    char written[FILES_MOST][PATH_ROOM], skipped[FILES_MOST][PATH_ROOM];
    int written_count, skipped_count;
};

static int set_formats(struct request *r, const char *text)
{
    memset(r->format, 0, sizeof r->format);
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");
        int i = 0;
        while (i < FORMATS && (strlen(formats[i]) != n || memcmp(formats[i], at, n) != 0))
            i++;
        if (i == FORMATS)
            return cli_usage("plot", "--format %s: there are png and svg", text);
        r->format[i] = true;
        at += n;
        if (!*at)
            return -1;
    }
}

static int set_option(struct request *r, int option)
{
    switch (option) {
    case OUT:
        r->out = optarg;
        return *optarg ? -1 : cli_usage("plot", "--out: which folder?");
    case FORMAT:
        return set_formats(r, optarg);
    case SKIP:
        r->skip_existing = true;
        return -1;
    default:
        return cli_common(option, &r->common, "plot", help);
    }
}

static int tell_failed(const struct request *r, const char *name, int status)
{
    bool exact;
    if (r->common.format == OUTPUT_JSON) {
        output_json_line(json_pack("{s:i, s:s, s:o, s:{s:s, s:o}}", "schema", OUTPUT_SCHEMA, "tool_version",
                                   WAVEMILL_VERSION, "model", output_path(name, &exact), "error", "class",
                                   failure_name((int)status_class(status)), "message",
                                   output_path(status_message(), &exact)));
    } else {
        fflush(stdout);
        fputs("wavemill plot: ", stderr);
        output_plain(stderr, status_message());
        fputc('\n', stderr);
    }
    return status == STATUS_ARGUMENT                             ? EXIT_USAGE
           : status == STATUS_NOMEM || status == STATUS_INTERNAL ? EXIT_INTERNAL
                                                                 : EXIT_SOME_FAILED;
}

/* ---- drawing ---- */

/* Draws what is to be written; nothing when all of it stands already. */
static int draw(const struct request *r, const struct plot_data *d, enum picture p, struct drawn *out)
{
    struct figure *f = NULL;
    int code = STATUS_OK;
    for (int i = 0; i < FORMATS && !code; i++) {
        char path[PATH_ROOM];
        if (!r->format[i])
            continue;
        snprintf(path, sizeof path, "%.*s%s%s-%s.%s", PATHS_MAX - 1, r->out ? r->out : "", r->out ? "/" : "", d->name,
                 pictures[p], formats[i]);
        if (r->skip_existing && access(path, F_OK) == 0) {
            memcpy(out->skipped[out->skipped_count++], path, sizeof path);
            continue;
        }
        if (!r->common.dry_run && !f)
            code = p == CURVES ? plot_curves(d, &f) : plot_sheet(d, &f);
        if (!r->common.dry_run && !code)
            code = i == 0 ? figure_write_png(f, path) : figure_write_svg(f, path);
        if (!code)
            memcpy(out->written[out->written_count++], path, sizeof path);
    }
    figure_destroy(&f);
    return code;
}

static int make_folder(const struct request *r)
{
    struct stat s;
    if (!r->out || r->common.dry_run)
        return STATUS_OK;
    if (mkdir(r->out, 0777) && errno != EEXIST)
        return fail(STATUS_IO, "cannot make %.200s: %s", r->out, strerror(errno));
    return stat(r->out, &s) == 0 && S_ISDIR(s.st_mode) ? STATUS_OK : fail(STATUS_IO, "%.200s is not a folder", r->out);
}

/* ---- what is said ---- */

static json_t *list_of(char paths[FILES_MOST][PATH_ROOM], int count)
{
    bool exact;
    json_t *const list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, output_path(paths[i], &exact));
    return list;
}

static void show(const struct request *r, const struct plot_data *d, struct drawn *all)
{
    if (r->common.format == OUTPUT_JSON) {
        const struct vae_metric *const best = d->best >= 0 ? &d->metrics[d->best] : NULL;
        output_json_line(json_pack(
            "{s:i, s:s, s:s, s:{s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:b}}", "schema", OUTPUT_SCHEMA, "tool_version",
            WAVEMILL_VERSION, "model", d->name, "results", "files", list_of(all->written, all->written_count),
            "skipped", list_of(all->skipped, all->skipped_count), "validations", (json_int_t)d->count, "steps",
            (json_int_t)d->metrics[d->count - 1].step, "best_step", best ? json_integer(best->step) : json_null(),
            "best_validation_loss", best ? json_real(best->validation_loss) : json_null(), "sounds",
            (json_int_t)d->sounds, "finished", d->finished));
        return;
    }
    for (int i = 0; i < all->written_count && (!r->common.quiet || r->common.dry_run); i++) {
        output_plain(stdout, all->written[i]);
        putchar('\n');
    }
    if (!d->sounds && !r->common.quiet)
        fprintf(stderr, "wavemill plot: %s has no previews%s: no sheet\n", d->name, d->finished ? "" : " yet");
    fflush(stdout);
}

static int plot(const struct request *r, const char *name)
{
    struct plot_data d;
    struct drawn *const all = calloc(1, sizeof *all);
    int code = all ? plot_load(r->paths.home, name, &d) : fail(STATUS_NOMEM, "plot: out of memory");
    if (!code) {
        code = make_folder(r);
        code = code ? code : draw(r, &d, CURVES, all);
        code = code || !d.sounds ? code : draw(r, &d, SHEET, all);
        if (!code)
            show(r, &d, all);
        plot_release(&d);
    }
    free(all);
    return code ? tell_failed(r, name, code) : EXIT_DONE;
}

int cmd_plot(int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, OUT},
                                            {"format", required_argument, NULL, FORMAT},
                                            {"skip-existing", no_argument, NULL, SKIP},
                                            CLI_COMMON_OPTIONS};
    struct request r = {.format = {true, true}};
    int exit_code = EXIT_DONE;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if ((exit_code = set_option(&r, o)) >= 0)
            return exit_code;
    if (r.common.format == OUTPUT_CSV)
        return cli_usage("plot", "there is no table: --json, or as it is");
    if (optind == argc)
        return cli_usage("plot", "which model?");
    const int code = paths_find(NULL, &r.paths);
    if (code)
        return cli_failed("plot", code);
    exit_code = EXIT_DONE;
    for (int i = optind; i < argc && !cli_interrupted; i++) {
        const int one = plot(&r, argv[i]);
        exit_code = exit_code ? exit_code : one;
    }
    return cli_interrupted ? EXIT_INTERRUPTED : exit_code;
}
