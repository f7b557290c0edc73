/* dead - the items that failed for good: of one job, or of all that are kept. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "usage: wavemill dead [OPTION...] [JOB]\n"
                           "Lists items that failed for good, with the reason, the attempts and their last log lines: "
                           "of one job, or of all that\n"
                           "the scheduler keeps. `wavemill retry JOB [ITEM...]` queues them again.\n\n";

enum { PAGE = 500 };

struct dead {
    const struct common *common;
    struct client *client;
    uint64_t shown;
};

static void show_text(struct dead *d, uint64_t job, const struct message_outcome *o)
{
    char path[LIMIT_PATH + 1], message[LIMIT_MESSAGE + 1], log[LIMIT_LOG + 1];
    wire_copy(o->path, path, sizeof path);
    wire_copy(o->message, message, sizeof message);
    wire_copy(o->log, log, sizeof log);
    if (d->shown == 0)
        puts("   job     item  attempts  class      message");
    printf("%6llu %8llu %9llu  %-9s  ", (unsigned long long)job, (unsigned long long)o->index,
           (unsigned long long)o->attempts, failure_name((int)o->failure));
    if (*path) {
        output_plain(stdout, path);
        fputs(": ", stdout);
    }
    output_plain(stdout, message);
    putchar('\n');
    char *rest = log;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!*line)
            continue;
        fputs("        log: ", stdout);
        output_plain(stdout, line);
        putchar('\n');
    }
}

static void show(struct dead *d, uint64_t job, const struct message_outcome *o)
{
    if (o->state != ITEM_DEAD || o->retried)
        return;
    if (d->common->format == OUTPUT_JSON) {
        char log[LIMIT_LOG + 1];
        json_t *const line = output_outcome(job, o);
        wire_copy(o->log, log, sizeof log);
        json_object_set_new(line, "log", json_string(log));
        output_json_line(line);
    } else {
        show_text(d, job, o);
    }
    d->shown++;
}

static int of_job(struct dead *d, uint64_t job)
{
    uint64_t cursor = 0, before;
    int code = STATUS_OK;
    do {
        struct client_page page;
        struct message_outcome o;
        code = client_watch_dead(d->client, job, cursor, 0, &page);
        if (code)
            return code;
        while (client_next(&page, &o))
            show(d, job, &o);
        before = cursor;
        cursor = page.cursor;
        client_page_release(&page);
    } while (cursor > before && !ferror(stdout));
    return ferror(stdout) ? fail(STATUS_IO, "cannot write to stdout") : STATUS_OK;
}

/* Also jobs that are not over may have dead items: all are looked at, page by page. */
static int of_all(struct dead *d)
{
    uint64_t after = 0;
    int code = STATUS_OK;
    for (bool more = true; more && !code;) {
        struct message_jobs page;
        struct message_job j;
        uint64_t ids[PAGE];
        size_t count = 0;
        code = client_list(d->client, NULL, after, PAGE, &page);
        if (code)
            return code;
        more = page.more;
        while (count < PAGE && wire_next(&page.jobs, &job_schema, &j)) { /* the page ends with the next question */
            after = j.job;
            if (j.dead)
                ids[count++] = j.job;
        }
        for (size_t i = 0; i < count && !code; i++) {
            code = of_job(d, ids[i]);
            if (client_refusal(d->client) == ERROR_NOT_FOUND)
                code = STATUS_OK; /* it has been let go in the meantime */
        }
    }
    return code;
}

int cmd_dead(int argc, char **argv)
{
    struct common common = {0};
    struct dead d = {.common = &common};
    uint64_t job = 0;
    int exit_code = cli_plain_options(argc, argv, &common, "dead", help);
    if (exit_code >= 0)
        return exit_code;
    if (common.format == OUTPUT_CSV)
        return cli_usage("dead", "there is no table: --json, or as it is");
    if (argc - optind > 1)
        return cli_usage("dead", "one job, or none for all");
    if (optind < argc && !cli_jobs("dead", 1, argv + optind, &job))
        return EXIT_USAGE;
    const int code = cli_connect(&common, false, &d.client);
    if (code)
        return cli_failed("dead", code);
    exit_code = cli_answered("dead", d.client, job, job ? of_job(&d, job) : of_all(&d));
    if (!exit_code && !d.shown && common.format == OUTPUT_TABLE && !common.quiet)
        fputs("no dead items\n", stderr);
    client_close(&d.client);
    return exit_code;
}
