/* watch - a job's outcomes as they come, from a cursor on, to its end; a scheduler that restarts is waited for. */
#include "outcome_show.h"
#include "stems_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: wavemill watch [OPTION...] JOB\n"
    "Prints a job's outcomes in the order of their commit, one line each, until it is over; goes on where it was when\n"
    "the scheduler restarts. The exit code is 1 when items are dead or the job was cancelled. Stems and scores are\n"
    "printed as `wavemill separate` and `wavemill score` do, also by --json; what else was measured is in the store:\n"
    "`wavemill analyze` of the same files prints it. With --json each line has the cursor behind it.\n\n"
    "  --from CURSOR      leave out the outcomes before it\n"
    "  --out DIR          write stems that are objects (`wavemill submit separate --upload`) to\n"
    "                     DIR/MODEL/TRACK/STEM.wav; the scheduler keeps them for a day\n\n";

enum { WAIT_MS = 500 };

struct watcher {
    const struct common *common;
    struct client *client;
    struct progress progress;
    uint64_t job, cursor;
    enum outcome_kind kind;
    struct score_summary scores;
    char *out; /* NULL: stems are not fetched */
    uint64_t not_fetched;
    struct message_job last; /* counters only: its texts are gone */
};

/* Stems that are objects, of an item that is done. *why: what it cost; else *folder is where they are, or NULL. */
static int fetch(struct watcher *w, const struct message_outcome *o, char **folder, enum failure_class *why)
{
    struct kind_separate_result r;
    *folder = NULL;
    *why = FAILURE_NONE;
    if (!w->out || w->kind != OUTCOME_SEPARATE || o->state != ITEM_DONE || o->retried)
        return STATUS_OK;
    int code = wire_decode(&kind_separate_result_schema, o->result.data, o->result.bytes, &r);
    if (!code && stems_are_objects(&r))
        code = stems_fetch(w->client, w->out, &r, folder);
    if (!code || !stems_cost_themselves(code))
        return code;
    *why = status_class(code);
    w->not_fetched++;
    return STATUS_OK;
}

static int show_json(struct watcher *w, const struct message_outcome *o)
{
    char *folder;
    enum failure_class why;
    const int code = fetch(w, o, &folder, &why);
    json_t *const line = code ? NULL : output_outcome(w->job, o);
    if (!code) {
        json_object_set_new(line, "cursor", json_integer((json_int_t)w->cursor));
        if (why)
            json_object_set_new(line, "error",
                                json_pack("{s:s, s:s}", "class", failure_name(why), "message", status_message()));
        else if (o->state == ITEM_DONE)
            outcome_members(w->kind, line, o->result, folder);
        output_json_line(line);
    }
    free(folder);
    return code;
}

static int show_text(struct watcher *w, const struct message_outcome *o)
{
    char path[LIMIT_PATH + 1], message[LIMIT_MESSAGE + 1], *folder;
    enum failure_class why;
    int code = fetch(w, o, &folder, &why);
    if (code)
        return code;
    wire_copy(o->path, path, sizeof path);
    wire_copy(o->message, message, sizeof message);
    printf("%7llu  %-9s", (unsigned long long)o->index, o->retried ? "retried" : item_state_name(o->state));
    if (*path) {
        fputs("  ", stdout);
        output_plain(stdout, path);
    }
    if (o->state != ITEM_DONE && !o->retried) {
        printf("  %s: ", failure_name((int)o->failure));
        output_plain(stdout, message);
        printf(" (attempt %llu)", (unsigned long long)o->attempts);
    }
    putchar('\n');
    if (why)
        output_failure(w->common, path, why, status_message());
    else if (o->state == ITEM_DONE && !o->retried)
        code = outcome_details(w->kind, w->common, path, o->result, folder, &w->scores);
    free(folder);
    return code;
}

static int show_page(struct watcher *w, bool *over)
{
    struct client_page page;
    struct message_outcome o;
    int code = client_watch_paths(w->client, w->job, w->cursor, WAIT_MS, &page);
    if (code)
        return code;
    w->kind = outcome_kind_of(page.job.kind);
    if (page.outcomes.count)
        progress_clear(&w->progress);
    for (w->cursor = page.cursor - page.outcomes.count; !code && client_next(&page, &o);) {
        w->cursor++;
        if (w->common->format == OUTPUT_JSON)
            code = show_json(w, &o);
        else
            code = show_text(w, &o);
    }
    w->cursor = page.cursor;
    w->last = page.job;
    *over = page.over;
    client_page_release(&page);
    progress_show(&w->progress, w->last.done + w->last.dead, w->last.items);
    fflush(stdout);
    if (code)
        return code;
    return ferror(stdout) ? fail(cli_interrupted ? STATUS_CANCELLED : STATUS_IO, "cannot write to stdout") : STATUS_OK;
}

static int watch(struct watcher *w)
{
    bool over = false;
    progress_init(&w->progress, w->common->progress, "watch");
    w->progress.job = w->job;
    int code = cli_connect(w->common, false, &w->client);
    if (code)
        return cli_failed("watch", code);
    while (!code && !over)
        code = show_page(w, &over);
    const struct message_job *const j = &w->last;
    progress_end(&w->progress, j->done + j->dead, j->items,
                 code == STATUS_CANCELLED ? "interrupted"
                 : code                   ? "failed"
                                          : job_state_name(j->state));
    const int exit_code = cli_answered("watch", w->client, w->job, code);
    if (!exit_code && w->scores.tracks && w->common->format == OUTPUT_TABLE)
        score_show_summary(w->common, &w->scores, j->dead);
    score_summary_free(&w->scores);
    if (!exit_code && !w->common->quiet)
        fprintf(stderr, "job %llu is %s: %llu done, %llu dead, %llu cancelled\n", (unsigned long long)w->job,
                j->state == JOB_CANCELLED ? "cancelled" : "over", (unsigned long long)j->done,
                (unsigned long long)j->dead, (unsigned long long)j->cancelled);
    client_close(&w->client);
    return exit_code                                                ? exit_code
           : j->dead || w->not_fetched || j->state == JOB_CANCELLED ? EXIT_SOME_FAILED
                                                                    : EXIT_DONE;
}

int cmd_watch(int argc, char **argv)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, 'f'}, {"out", required_argument, NULL, 'o'}, CLI_COMMON_OPTIONS};
    struct common common = {0};
    struct watcher w = {.common = &common};
    const char *out = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int exit_code = -1;
        if (o == 'o')
            out = optarg;
        else if (o != 'f')
            exit_code = cli_common(o, &common, "watch", help);
        else if (!cli_id(optarg, UINT64_MAX, &w.cursor))
            exit_code = cli_usage("watch", "--from %s: a number", optarg);
        if (exit_code >= 0)
            return exit_code;
    }
    if (common.format == OUTPUT_CSV)
        return cli_usage("watch", "there is no table: --json, or as it is");
    if (optind + 1 != argc)
        return cli_usage("watch", optind == argc ? "which job?" : "one job at a time");
    if (!cli_jobs("watch", 1, argv + optind, &w.job))
        return EXIT_USAGE;
    if (out && !(w.out = cli_absolute(out)))
        return cli_failed("watch", fail(STATUS_NOMEM, "out of memory"));
    const int exit_code = watch(&w);
    free(w.out);
    return exit_code;
}
