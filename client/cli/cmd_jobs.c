/* jobs and cancel - the queue as a user sees it. They never start a scheduler. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char jobs_help[] = "usage: wavemill jobs [OPTION...]\n"
                                "Lists the jobs of the scheduler that runs for WAVEMILL_HOME, oldest first.\n\n";
static const char cancel_help[] = "usage: wavemill cancel [OPTION...] JOB...\n"
                                  "Cancels jobs by their number. What was finished stays in the store.\n\n";

enum { PAGE = 500 };

static void show_job(const struct common *c, const struct message_job *j, bool first)
{
    char kind[LIMIT_NAME + 1], name[LIMIT_NAME + 1];
    wire_copy(j->kind, kind, sizeof kind);
    wire_copy(j->name, name, sizeof name);
    if (c->format == OUTPUT_JSON) {
        output_json_line(output_job(j));
        return;
    }
    const bool csv = c->format == OUTPUT_CSV;
    if (first)
        puts(csv ? "job,state,kind,items,done,failed,cancelled,queued,leased,priority,name"
                 : "   job  state      kind           items      done    failed    queued    leased  name");
    printf(csv ? "%llu,%s,%s,%llu,%llu,%llu" : "%6llu  %-9s  %-10s %9llu %9llu %9llu", (unsigned long long)j->job,
           job_state_name(j->state), kind, (unsigned long long)j->items, (unsigned long long)j->done,
           (unsigned long long)j->dead);
    if (csv)
        printf(",%llu", (unsigned long long)j->cancelled);
    printf(csv ? ",%llu,%llu" : " %9llu %9llu", (unsigned long long)j->queued, (unsigned long long)j->leased);
    if (csv) {
        printf(",%lld,", (long long)j->priority);
        output_csv_text(name);
        putchar('\n');
    } else {
        printf("  %s\n", name);
    }
}

static int list_all(const struct common *c, struct client *client)
{
    uint64_t after = 0;
    bool first = true, more = true;
    while (more) {
        struct message_jobs page;
        struct message_job j;
        const int code = client_list(client, after, PAGE, &page);
        if (code)
            return code;
        more = page.more;
        while (wire_next(&page.jobs, &job_schema, &j)) {
            show_job(c, &j, first);
            first = false;
            after = j.job;
        }
    }
    if (first && c->format == OUTPUT_TABLE && !c->quiet)
        fputs("no jobs\n", stderr);
    return STATUS_OK;
}

static int parse(int argc, char **argv, struct common *c, const char *command, const char *help)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = cli_common(o, c, command, help);
        if (code >= 0)
            return code;
    }
    return -1;
}

int cmd_jobs(int argc, char **argv)
{
    struct common common = {0};
    struct client *c = NULL;
    int code = parse(argc, argv, &common, "jobs", jobs_help);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cli_usage("jobs", "what is %s?", argv[optind]);
    code = cli_connect(&common, false, &c);
    if (!code)
        code = list_all(&common, c);
    client_close(&c);
    return code ? cli_failed("jobs", code) : EXIT_DONE;
}

int cmd_cancel(int argc, char **argv)
{
    struct common common = {0};
    struct client *c = NULL;
    int exit_code = parse(argc, argv, &common, "cancel", cancel_help);
    if (exit_code >= 0)
        return exit_code;
    if (optind == argc)
        return cli_usage("cancel", "which job?");
    for (int i = optind; i < argc; i++) {
        char *end;
        if (strtoull(argv[i], &end, 10) == 0 || *end || argv[i][0] == '-')
            return cli_usage("cancel", "%s is not the number of a job", argv[i]);
    }
    int code = cli_connect(&common, false, &c);
    if (code)
        return cli_failed("cancel", code);
    exit_code = EXIT_DONE;
    for (int i = optind; i < argc && !code; i++) {
        struct message_job j;
        code = client_cancel(c, strtoull(argv[i], NULL, 10), &j);
        if (code == STATUS_NOT_FOUND) {
            fprintf(stderr, "wavemill cancel: there is no job %s\n", argv[i]);
            exit_code = EXIT_SOME_FAILED;
            code = STATUS_OK;
        } else if (!code) {
            show_job(&common, &j, i == optind);
        }
    }
    client_close(&c);
    return code ? cli_failed("cancel", code) : exit_code;
}
