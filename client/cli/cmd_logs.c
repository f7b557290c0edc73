/* logs - the log lines that workers wrote about a job's items, as far as the scheduler keeps them. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] = "usage: wavemill logs [OPTION...] JOB\n"
                           "Prints the log lines that workers wrote about a job's items. The last 64 KiB of a job are "
                           "kept, until the scheduler\n"
                           "ends; the last lines of a dead item stay with it (`wavemill dead JOB`).\n\n"
                           "  --follow           go on until the job is over\n"
                           "  --item N           only lines of this item\n\n";

enum { LOOK_MS = 250 };

struct reader {
    const struct common *common;
    struct client *client;
    uint64_t job, cursor, item;
    bool one_item, follow;
};

static void show_line(const struct reader *r, const struct message_line *l)
{
    char text[LIMIT_LOG + 1], when[32];
    wire_copy(l->text, text, sizeof text);
    if (r->common->format == OUTPUT_JSON) {
        json_t *const line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "job", json_integer((json_int_t)r->job));
        json_object_set_new(line, "item", json_integer((json_int_t)l->index));
        json_object_set_new(line, "attempt", json_integer((json_int_t)l->attempt));
        json_object_set_new(line, "unix_ms", json_integer((json_int_t)l->unix_ms));
        json_object_set_new(line, "text", json_string(text));
        output_json_line(line);
        return;
    }
    const time_t seconds = (time_t)(l->unix_ms / 1000);
    struct tm tm;
    strftime(when, sizeof when, "%H:%M:%S", localtime_r(&seconds, &tm));
    printf("%s.%03u  item %llu, attempt %llu: ", when, (unsigned)(l->unix_ms % 1000), (unsigned long long)l->index,
           (unsigned long long)l->attempt);
    output_plain(stdout, text);
    putchar('\n');
}

static int read_once(struct reader *r, bool *over, bool *any)
{
    struct message_lines m;
    struct message_line line;
    struct message_job job = {0};
    const int code = client_logs(r->client, r->job, r->cursor, &m);
    if (code)
        return code;
    *any = m.lines.count > 0;
    if (!wire_next(&m.job, &job_schema, &job))
        return fail(STATUS_FORMAT, "scheduler: log lines without their job");
    if (m.lost)
        fprintf(stderr, "wavemill logs: %llu lines are not kept any more\n", (unsigned long long)m.lost);
    while (wire_next(&m.lines, &line_schema, &line))
        if (!r->one_item || line.index == r->item)
            show_line(r, &line);
    r->cursor = m.cursor;
    *over = job.state == JOB_DONE || job.state == JOB_CANCELLED;
    fflush(stdout);
    return ferror(stdout) ? fail(cli_interrupted ? STATUS_CANCELLED : STATUS_IO, "cannot write to stdout") : STATUS_OK;
}

static int read_all(struct reader *r)
{
    bool over = false, any = true;
    int code = cli_connect(r->common, false, &r->client);
    if (code)
        return cli_failed("logs", code);
    while (!code && (any || (r->follow && !over))) {
        code = read_once(r, &over, &any);
        if (!code && !any && r->follow && !over)
            nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
        if (!code && cli_interrupted)
            code = fail(STATUS_CANCELLED, "interrupted");
    }
    const int exit_code = cli_answered("logs", r->client, r->job, code);
    client_close(&r->client);
    return exit_code;
}

int cmd_logs(int argc, char **argv)
{
    static const struct option options[] = {
        {"follow", no_argument, NULL, 'f'}, {"item", required_argument, NULL, 'i'}, CLI_COMMON_OPTIONS};
    struct common common = {0};
    struct reader r = {.common = &common};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int exit_code = -1;
        if (o == 'f')
            r.follow = true;
        else if (o != 'i')
            exit_code = cli_common(o, &common, "logs", help);
        else if (!(r.one_item = cli_id(optarg, UINT64_MAX, &r.item)))
            exit_code = cli_usage("logs", "--item %s: the number of an item", optarg);
        if (exit_code >= 0)
            return exit_code;
    }
    if (common.format == OUTPUT_CSV)
        return cli_usage("logs", "there is no table: --json, or as it is");
    if (optind + 1 != argc)
        return cli_usage("logs", optind == argc ? "which job?" : "one job at a time");
    return cli_jobs("logs", 1, argv + optind, &r.job) ? read_all(&r) : EXIT_USAGE;
}
