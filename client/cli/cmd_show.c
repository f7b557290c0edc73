/* show - one job: its items, where their time went, and what failed. Reads the job's outcomes; waits for nothing. */
#include "outcome_show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: wavemill show [OPTION...] JOB\n"
    "Shows one job of the scheduler that runs for WAVEMILL_HOME: its items, where their time went\n"
    "(decoding, copies, kernels), and each item that failed; of stems and scores also what `wavemill separate` and\n"
    "`wavemill score` print of them.\n\n";

/* Sums over the results that were computed for this job. */
struct stages {
    uint64_t results, from_store, on_device, launches;
    double seconds, decode_s, copy_in_s, compute_s, copy_out_s;
};

static double finite_or_zero(double v)
{
    return isfinite(v) ? v : 0;
}

/* A result that measures begins with its provenance; that of a drill, or of a kind of others, only counts. */
static void add(struct stages *s, struct wire_slice result)
{
    struct kind_provenance p;
    s->results++;
    if (wire_decode(&kind_provenance_schema, result.data, result.bytes, &p))
        return;
    s->from_store += p.from_store;
    if (p.from_store) /* its times are those of the job that computed it */
        return;
    s->seconds += finite_or_zero(p.seconds);
    s->decode_s += finite_or_zero(p.decode_s);
    s->on_device += p.on_device.bytes > 0;
    s->copy_in_s += finite_or_zero(p.copy_in_s);
    s->compute_s += finite_or_zero(p.device_s);
    s->copy_out_s += finite_or_zero(p.copy_out_s);
    s->launches += p.launches;
}

static json_t *failed_item(const struct message_outcome *o)
{
    json_t *const item = json_object(), *const error = json_object();
    char path[LIMIT_PATH + 1], message[LIMIT_MESSAGE + 1];
    bool exact;
    wire_copy(o->path, path, sizeof path);
    wire_copy(o->message, message, sizeof message);
    json_object_set_new(error, "class", json_string(failure_name((int)o->failure)));
    json_object_set_new(error, "message", json_string(message));
    json_object_set_new(item, "index", json_integer((json_int_t)o->index));
    json_object_set_new(item, "path", output_path(path, &exact));
    json_object_set_new(item, "attempts", json_integer((json_int_t)o->attempts));
    json_object_set_new(item, "error", error);
    return item;
}

/* All outcomes that are there now. `failures` gets a line each. *job is what the last page says. */
static int read_all(struct client *c, uint64_t id, struct stages *s, json_t *failures, json_t **job, double *wall_s)
{
    uint64_t cursor = 0, count;
    int code;
    do {
        struct client_page page;
        struct message_outcome o;
        code = client_watch_paths(c, id, cursor, 0, &page);
        if (code)
            return code;
        count = page.outcomes.count;
        while (client_next(&page, &o))
            if (o.state != ITEM_DONE && !o.retried)
                json_array_append_new(failures, failed_item(&o));
            else if (o.result.bytes)
                add(s, o.result);
        cursor = page.cursor;
        json_decref(*job);
        *job = output_job(&page.job);
        const uint64_t from = page.job.submitted_unix_ms, to = page.job.finished_unix_ms;
        *wall_s = from && to > from ? (double)(to - from) / 1000 : NAN;
        client_page_release(&page);
    } while (!code && count);
    return code;
}

static json_t *stages_json(const struct stages *s, double wall_s)
{
    const double busy = s->copy_in_s + s->compute_s + s->copy_out_s;
    json_t *const j = json_object();
    json_object_set_new(j, "results", json_integer((json_int_t)s->results));
    json_object_set_new(j, "from_store", json_integer((json_int_t)s->from_store));
    json_object_set_new(j, "on_device", json_integer((json_int_t)s->on_device));
    json_object_set_new(j, "time_s", output_number(s->seconds));
    json_object_set_new(j, "decode_s", output_number(s->decode_s));
    json_object_set_new(j, "copy_in_s", output_number(s->copy_in_s));
    json_object_set_new(j, "device_s", output_number(s->compute_s));
    json_object_set_new(j, "copy_out_s", output_number(s->copy_out_s));
    json_object_set_new(j, "launches", json_integer((json_int_t)s->launches));
    json_object_set_new(j, "device_busy", output_number(s->on_device ? fmin(1, busy / wall_s) : NAN));
    return j;
}

static void print_text(const json_t *job, const struct stages *s, const json_t *failures, double wall_s)
{
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)job, name, value)
    {
        char *const text = json_dumps(value, JSON_ENCODE_ANY);
        printf("%-18s %s\n", name, json_is_string(value) ? json_string_value(value) : text ? text : "");
        free(text);
    }
    printf("%-18s %llu, %llu from the store; %.3f s of the threads, decoding %.3f s\n", "results",
           (unsigned long long)s->results, (unsigned long long)s->from_store, s->seconds, s->decode_s);
    if (s->on_device)
        printf("%-18s %llu results, %llu launches; copies in %.3f s, kernels %.3f s, copies out %.3f s, busy %.1f %%\n",
               "device", (unsigned long long)s->on_device, (unsigned long long)s->launches, s->copy_in_s, s->compute_s,
               s->copy_out_s, fmin(100, 100 * (s->copy_in_s + s->compute_s + s->copy_out_s) / wall_s));
    json_array_foreach((json_t *)failures, i, value)
    {
        const json_t *const error = json_object_get(value, "error");
        const char *const path = json_string_value(json_object_get(value, "path"));
        const char *const message = json_string_value(json_object_get(error, "message"));
        printf("failed             %s: %s: %s\n", path ? path : "", json_string_value(json_object_get(error, "class")),
               message ? message : "");
    }
}

/* An item that is done, as `watch` has it. */
static int show_outcome(const struct common *common, enum outcome_kind kind, uint64_t id,
                        const struct message_outcome *o, json_t *lines, struct score_summary *scores)
{
    char path[LIMIT_PATH + 1];
    wire_copy(o->path, path, sizeof path);
    if (lines) {
        json_t *const line = output_outcome(id, o);
        outcome_members(kind, line, o->result, NULL);
        json_array_append_new(lines, line);
        return STATUS_OK;
    }
    fputs("done               ", stdout);
    output_plain(stdout, path);
    putchar('\n');
    return outcome_details(kind, common, path, o->result, NULL, scores);
}

/* Stems and scores: into `lines`, or, where that is NULL, printed. */
static int show_results(const struct common *common, struct client *c, uint64_t id, json_t *lines)
{
    struct score_summary scores = {0};
    uint64_t cursor = 0, count = 1;
    int code = STATUS_OK;
    while (!code && count) {
        struct client_page page;
        struct message_outcome o;
        code = client_watch_paths(c, id, cursor, 0, &page);
        if (code)
            break;
        const enum outcome_kind kind = outcome_kind_of(page.job.kind);
        const bool shows = kind == OUTCOME_SEPARATE || kind == OUTCOME_SCORE;
        while (!code && shows && client_next(&page, &o))
            if (o.state == ITEM_DONE && !o.retried)
                code = show_outcome(common, kind, id, &o, lines, &scores);
        count = shows ? page.outcomes.count : 0;
        cursor = page.cursor;
        client_page_release(&page);
    }
    if (!code && !lines && scores.tracks)
        score_show_summary(common, &scores, 0);
    score_summary_free(&scores);
    return code;
}

static int show(const struct common *common, struct client *c, uint64_t id)
{
    struct stages s = {0};
    double wall_s = NAN;
    json_t *const failures = json_array();
    json_t *job = NULL;
    int code = read_all(c, id, &s, failures, &job, &wall_s);
    if (!code && common->format == OUTPUT_JSON) {
        json_t *const lines = json_array();
        code = show_results(common, c, id, lines);
        json_object_set_new(job, "stages", stages_json(&s, wall_s));
        json_object_set(job, "failures", failures);
        json_object_set_new(job, "outcomes", lines);
        output_json_line(json_incref(job)); /* which lets go of one */
    } else if (!code) {
        print_text(job, &s, failures, wall_s);
        code = show_results(common, c, id, NULL);
    }
    json_decref(job);
    json_decref(failures);
    return code;
}

int cmd_show(int argc, char **argv)
{
    struct common common = {0};
    struct client *c = NULL;
    uint64_t id;
    int exit_code = cli_plain_options(argc, argv, &common, "show", help);
    if (exit_code >= 0)
        return exit_code;
    if (optind + 1 != argc)
        return cli_usage("show", optind == argc ? "which job?" : "one job, not %d", argc - optind);
    if (!cli_jobs("show", 1, argv + optind, &id))
        return EXIT_USAGE;
    if (common.format == OUTPUT_CSV)
        return cli_usage("show", "one job is no table: --json, or as it is");
    const int code = cli_connect(&common, false, &c);
    if (code)
        return cli_failed("show", code);
    exit_code = cli_answered("show", c, id, show(&common, c, id));
    client_close(&c);
    return exit_code;
}
