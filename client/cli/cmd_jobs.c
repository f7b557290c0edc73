/* jobs - the queue as a user sees it. Never starts a scheduler. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: wavemill jobs [OPTION...]\n"
                           "Lists the jobs of the scheduler that runs for WAVEMILL_HOME, oldest first.\n\n"
                           "  --state A,B        only those that are queued (nothing begun), running, done (and no "
                           "item dead), dead (over, with\n"
                           "                     dead items) or cancelled\n"
                           "  --kind KIND        only those of this kind\n"
                           "  --name NAME        only those with this name\n"
                           "  --after JOB        only those with a higher number\n"
                           "  --limit N          at most so many (default: all, on a terminal 100)\n\n";

enum { PAGE = 500, TERMINAL_LIMIT = 100 };

static bool read_phases(const char *text, uint64_t *phases)
{
    static const char *const names[] = {"queued", "running", "done", "dead", "cancelled"}; /* bits of enum job_phase */
    while (*text) {
        const size_t n = strcspn(text, ",");
        uint64_t bit = 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0)
                bit = UINT64_C(1) << i;
        if (!bit)
            return false;
        *phases |= bit;
        text += n + (text[n] == ',');
    }
    return *phases != 0;
}

struct wanted {
    struct client_filter filter;
    uint64_t after, limit; /* limit 0: all */
};

static int list(const struct common *c, struct client *client, struct wanted *w)
{
    bool more = true;
    uint64_t shown = 0;
    while (more && (w->limit == 0 || shown < w->limit)) {
        struct message_jobs page;
        struct message_job j;
        const uint64_t left = w->limit ? w->limit - shown : PAGE;
        const int code = client_list(client, &w->filter, w->after, left < PAGE ? left : PAGE, &page);
        if (code)
            return code;
        more = page.more;
        while (wire_next(&page.jobs, &job_schema, &j)) {
            output_job_row(c, &j, shown == 0);
            shown++;
            w->after = j.job;
        }
        if (ferror(stdout))
            return fail(STATUS_IO, "cannot write to stdout");
    }
    if (c->format != OUTPUT_TABLE || c->quiet)
        return STATUS_OK;
    if (!shown)
        fputs("no jobs\n", stderr);
    if (more)
        fprintf(stderr, "there are more: --after %llu\n", (unsigned long long)w->after);
    return STATUS_OK;
}

static int take_option(int option, struct wanted *w, struct common *c)
{
    switch (option) {
    case 's':
        return read_phases(optarg, &w->filter.phases)
                   ? -1
                   : cli_usage("jobs", "--state %s: a list of queued, running, done, dead, cancelled", optarg);
    case 'k':
        w->filter.kind = optarg;
        return strlen(optarg) <= LIMIT_NAME ? -1 : cli_usage("jobs", "--kind: at most %d bytes", LIMIT_NAME);
    case 'n':
        w->filter.name = optarg;
        return strlen(optarg) <= LIMIT_NAME ? -1 : cli_usage("jobs", "--name: at most %d bytes", LIMIT_NAME);
    case 'a':
        return cli_id(optarg, UINT64_MAX, &w->after) ? -1
                                                     : cli_usage("jobs", "--after %s: the number of a job", optarg);
    case 'l':
        return cli_id(optarg, UINT64_MAX, &w->limit) && w->limit
                   ? -1
                   : cli_usage("jobs", "--limit %s: a number from 1 on", optarg);
    default:
        return cli_common(option, c, "jobs", help);
    }
}

int cmd_jobs(int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'}, {"kind", required_argument, NULL, 'k'},
        {"name", required_argument, NULL, 'n'},  {"after", required_argument, NULL, 'a'},
        {"limit", required_argument, NULL, 'l'}, CLI_COMMON_OPTIONS};
    struct common common = {0};
    struct wanted w = {0};
    struct client *c = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int exit_code = take_option(o, &w, &common);
        if (exit_code >= 0)
            return exit_code;
    }
    if (optind < argc)
        return cli_usage("jobs", "what is %s?", argv[optind]);
    if (!w.limit && common.format == OUTPUT_TABLE && isatty(STDOUT_FILENO))
        w.limit = TERMINAL_LIMIT;
    int code = cli_connect(&common, false, &c);
    if (!code)
        code = list(&common, c, &w);
    client_close(&c);
    return code ? cli_failed("jobs", code) : EXIT_DONE;
}
