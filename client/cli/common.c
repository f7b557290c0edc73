#include "cli.h"
#include "store_care.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_common_help[] =
    "Output:\n"
    "  --json             one JSON object per item on stdout, flushed as it is finished\n"
    "  --csv              comma-separated values with a header line\n"
    "  --progress KIND    bar, json or none, on stderr (default: bar on a terminal)\n"
    "  --quiet            no summary, no progress\n"
    "  --dry-run          say what would be done, do nothing\n"
    "Work (for a scheduler that this command has to start):\n"
    "  --device DEV       auto (default: a GPU if there is one, else the cpu), cpu, cuda,\n"
    "                     cuda:N or emulated; where a scheduler runs, its workers' device\n"
    "  --gpu-mem-limit SIZE  memory to take of the GPU at most (bytes, or 500M, 2G)\n"
    "  --threads N        files computed at once (default: the processors)\n"
    "  --memory-limit MB  resident memory of the compute process\n"
    "  --store-limit SIZE records and objects above it (bytes, or 500M, 2G): the oldest go\n"
    "  --timeout S        how long to wait for the scheduler's answers, and for one that restarts\n"
    "                     (default 10)\n";

int cli_usage(const char *command, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "wavemill %s: %s\n`wavemill %s --help` tells how\n", command, text, command);
    return EXIT_USAGE;
}

int cli_failed(const char *command, int status)
{
    if (status == STATUS_CANCELLED)
        return EXIT_INTERRUPTED;
    fprintf(stderr, "wavemill %s: %s\n", command, status_message());
    switch (status) {
    case STATUS_NOT_FOUND:
    case STATUS_TIMEOUT:
    case STATUS_BUSY:
    case STATUS_VERSION:
        return EXIT_NO_SCHEDULER;
    case STATUS_DEVICE:
        return EXIT_NO_DEVICE;
    case STATUS_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_INTERNAL;
    }
}

int cli_answered(const char *command, const struct client *c, uint64_t job, int status)
{
    if (!status)
        return EXIT_DONE;
    switch (client_refusal(c)) {
    case ERROR_NOT_FOUND:
        fprintf(stderr, "wavemill %s: no job %llu\n", command, (unsigned long long)job);
        return EXIT_SOME_FAILED;
    case ERROR_STATE:
    case ERROR_CONFLICT:
        fprintf(stderr, "wavemill %s: %s\n", command, status_message());
        return EXIT_SOME_FAILED;
    default:
        return cli_failed(command, status);
    }
}

bool cli_number(const char *command, const char *option, const char *text, double least, double most, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (*text && !*end && !errno && *out >= least && *out <= most)
        return true;
    cli_usage(command, "%s %s: not a number from %.10g to %.10g", option, text, least, most);
    return false;
}

static int set_progress(struct common *c, const char *command, const char *text)
{
    if (strcmp(text, "bar") == 0)
        c->progress = PROGRESS_BAR;
    else if (strcmp(text, "json") == 0)
        c->progress = PROGRESS_JSON;
    else if (strcmp(text, "none") == 0)
        c->progress = PROGRESS_NONE;
    else
        return cli_usage(command, "--progress %s: there are bar, json, none", text);
    return -1;
}

static int pass_to_serve(struct common *c, const char *option, const char *value)
{
    if (c->serve_count + 3 < (int)(sizeof c->serve / sizeof *c->serve)) {
        c->serve[c->serve_count++] = option;
        c->serve[c->serve_count++] = value;
    }
    return -1;
}

static int set_device(struct common *c, const char *command, const char *text)
{
    if (device_choice_parse(text, &c->device))
        return cli_usage(command, "--device: %s", status_message());
    c->names_device = !c->device.automatic;
    return pass_to_serve(c, "--device", text);
}

static int set_size(struct common *c, const char *command, const char *option, const char *text)
{
    uint64_t bytes;
    return store_parse_size(text, &bytes) ? cli_usage(command, "%s: %s", option, status_message())
                                          : pass_to_serve(c, option, text);
}

int cli_common(int option, struct common *c, const char *command, const char *help)
{
    double number;
    switch (option) {
    case OPT_JSON:
        c->format = OUTPUT_JSON;
        return -1;
    case OPT_CSV:
        c->format = OUTPUT_CSV;
        return -1;
    case OPT_PROGRESS:
        return set_progress(c, command, optarg);
    case OPT_QUIET:
        c->quiet = true;
        if (c->progress == PROGRESS_AUTO)
            c->progress = PROGRESS_NONE;
        return -1;
    case OPT_DRY_RUN:
        c->dry_run = true;
        return -1;
    case OPT_DEVICE:
        return set_device(c, command, optarg);
    case OPT_THREADS:
        return cli_number(command, "--threads", optarg, 1, 256, &number) ? pass_to_serve(c, "--threads", optarg)
                                                                         : EXIT_USAGE;
    case OPT_MEMORY:
        return cli_number(command, "--memory-limit", optarg, 64, 1 << 20, &number)
                   ? pass_to_serve(c, "--memory-limit", optarg)
                   : EXIT_USAGE;
    case OPT_GPU_MEMORY:
        return set_size(c, command, "--gpu-mem-limit", optarg);
    case OPT_STORE_LIMIT:
        return set_size(c, command, "--store-limit", optarg);
    case OPT_TIMEOUT:
        if (!cli_number(command, "--timeout", optarg, 0.001, 86400, &number))
            return EXIT_USAGE;
        c->timeout_ms = (int64_t)(number * 1000);
        return -1;
    case OPT_PRIORITY:
        if (!cli_number(command, "--priority", optarg, -LIMIT_PRIORITY, LIMIT_PRIORITY, &number))
            return EXIT_USAGE;
        c->priority = (int64_t)number;
        return (double)c->priority == number ? -1 : cli_usage(command, "--priority %s: a whole number", optarg);
    case OPT_HELP:
        fputs(help, stdout);
        fputs(cli_common_help, stdout);
        return EXIT_DONE;
    default: /* getopt has said what it does not know */
        fprintf(stderr, "`wavemill %s --help` tells how\n", command);
        return EXIT_USAGE;
    }
}

int cli_plain_options(int argc, char **argv, struct common *c, const char *command, const char *help)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = cli_common(o, c, command, help);
        if (code >= 0)
            return code;
    }
    if (c->dry_run) /* it would be done all the same */
        return cli_usage(command, "--dry-run: not here");
    return -1;
}

int cli_connect(const struct common *c, bool start, struct client **out)
{
    return client_open(&(struct client_options){.name = "wavemill",
                                                .start = start,
                                                .serve_options = c->serve,
                                                .timeout_ms = c->timeout_ms,
                                                .restart_ms = c->timeout_ms,
                                                .interrupted = &cli_interrupted},
                       out);
}

char *cli_absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *folder = getcwd(NULL, 0), *out = NULL;
    if (!folder || asprintf(&out, "%s/%s", folder, path) < 0)
        out = NULL;
    free(folder);
    return out;
}

bool cli_names(const char *text, struct wire_buffer *buffer, struct wire_list *out)
{
    uint32_t count = 0;
    buffer->bytes = 0;
    for (;; count++) {
        char name[LIMIT_FEATURE_NAME + 1];
        const size_t n = strcspn(text, ",");
        if (n == 0 || n >= sizeof name || count == LIMIT_SERIES)
            return false;
        memcpy(name, text, n);
        name[n] = '\0';
        if (wire_append_str(buffer, name))
            return false;
        if (!text[n])
            break;
        text += n + 1;
    }
    *out = wire_list_of(buffer, count + 1);
    return true;
}
