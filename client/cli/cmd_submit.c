/* submit - sends jobs and leaves them to the scheduler. `analyze`, `features`, `separate` and `score` read their own
 * options; what every submission has is taken out of the command line before. */
#include "cli.h"
#include "store_care.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: wavemill submit KIND [OPTION...] [PATH...]\n"
    "Sends a job to the scheduler that runs for WAVEMILL_HOME and returns when it is acknowledged, which means: on "
    "disk.\n"
    "KIND is analyze, features, separate or score, with the options of those commands, or noop, for drills.\n"
    "The job outlives this command, so a scheduler must run (`wavemill serve`): none is started here, and without one\n"
    "the exit code is 3; one that is being started again is waited for. A scheduler that a command started ends with "
    "that\n"
    "command; the job is kept then, and goes on when the next one starts.\n"
    "`wavemill watch JOB` prints outcomes as they come. --json prints {\"job\", \"items\", \"known\"} for each job.\n\n"
    "  --name TEXT        a name to find it by, up to 64 bytes\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n"
    "  --key TEXT         the same key and the same content is the same job, however often it is sent; other content\n"
    "                     under it is refused (exit code 1). Up to 16 bytes are taken as they are, more by their\n"
    "                     BLAKE2b-128. A key is known as long as its job is kept\n"
    "  --start-after T    begin nothing before: +30m from now, or 2026-01-31T18:30:00 (local time; with Z: UTC)\n"
    "                     (with --key: not +.., which is another time, and so other content, whenever it is sent)\n"
    "  --deadline T       what is not over by then is dead (TIMEOUT); as --start-after\n"
    "  --backoff D        wait before a second attempt, doubled with each further one: 250ms, 10s, 5m, 1h (default "
    "100ms)\n"
    "  --attempt-timeout D  the longest that an attempt may take\n"
    "  --stall-timeout D  the longest that an attempt may go without progress\n"
    "  --max-attempts N   1 to 100 (default 3)\n"
    "  --device-memory SIZE  device memory that one item needs: bytes, or 500M, 2G; auto: what the networks of "
    "separate\n"
    "                     need. Only workers that have so much get it (of the CPU: of --memory-limit)\n"
    "  --jobs N           so many jobs of the same (their keys: that of the n-th is made of --key and n)\n\n"
    "noop:\n"
    "  --count N          items (default 1)\n"
    "  --sleep-ms T       how long each takes (default 0)\n"
    "  --checkpoint-ms T  how often each saves how far it is (default: never)\n"
    "  --payload BYTES    bytes that travel with each item, and back in its result, up to 8000\n"
    "  --fail RATE        part of the items, 0 to 1, that fail, that crash their process, that hang: which ones "
    "depends\n"
    "  --crash RATE       on --seed and their index only\n"
    "  --hang RATE\n"
    "  --seed N           (default 1)\n\n";

enum { PAYLOAD_MOST = 8000, JOBS_MOST = 20000, ITEMS_MOST = 4000000 };

const struct submission *cli_submission;

/* ---- what every submission has ---- */

static bool whole(const char *option, const char *text, double least, double most, uint64_t *out)
{
    double number;
    if (!cli_number("submit", option, text, least, most, &number))
        return false;
    *out = (uint64_t)(int64_t)number;
    if (number != (double)(int64_t)number)
        cli_usage("submit", "%s %s: a whole number", option, text);
    return number == (double)(int64_t)number;
}

static bool refuse(const char *option, const char *what)
{
    cli_usage("submit", "%s: %s", option, what);
    return false;
}

static bool short_text(const char *option, const char *text, size_t most)
{
    const bool good = strlen(text) <= most && wire_is_utf8(text, strlen(text));
    if (!good)
        cli_usage("submit", "%s: UTF-8 of at most %zu bytes", option, most);
    return good;
}

static bool set(struct submission *s, const char *option, const char *text)
{
    struct client_job *const j = &s->job;
    uint64_t number;
    if (strcmp(option, "--name") == 0) {
        j->name = text;
        return short_text(option, text, LIMIT_NAME);
    }
    if (strcmp(option, "--key") == 0) {
        s->key = text;
        return *text || refuse(option, "it is empty");
    }
    if (strcmp(option, "--priority") == 0) {
        const bool good = whole(option, text, -LIMIT_PRIORITY, LIMIT_PRIORITY, &number);
        j->priority = good ? (int64_t)number : 0;
        return good;
    }
    if (strcmp(option, "--start-after") == 0)
        return cli_moment("submit", option, text, &j->start_unix_ms);
    if (strcmp(option, "--deadline") == 0)
        return cli_moment("submit", option, text, &j->deadline_unix_ms);
    if (strcmp(option, "--backoff") == 0)
        return cli_duration("submit", option, text, LIMIT_BACKOFF_MS, &j->backoff_ms);
    if (strcmp(option, "--attempt-timeout") == 0)
        return cli_duration("submit", option, text, LIMIT_TIMEOUT_MS, &j->attempt_ms);
    if (strcmp(option, "--stall-timeout") == 0)
        return cli_duration("submit", option, text, LIMIT_TIMEOUT_MS, &j->stall_ms);
    if (strcmp(option, "--max-attempts") == 0)
        return whole(option, text, 1, LIMIT_ATTEMPTS, &j->max_attempts);
    if (strcmp(option, "--jobs") == 0)
        return whole(option, text, 1, JOBS_MOST, &s->jobs);
    s->books = strcmp(text, "auto") == 0;
    return s->books || store_parse_size(text, &j->device_bytes) == STATUS_OK || refuse(option, status_message());
}

/* The option that a word is, and its value: behind a '=', or the next word. NULL: not one of ours. */
static const char *our_option(char **word, const char *const *names, const char **value)
{
    for (; *names; names++) {
        const size_t n = strlen(*names);
        if (strncmp(*word, *names, n) != 0 || (word[0][n] && word[0][n] != '='))
            continue;
        *value = word[0][n] ? *word + n + 1 : word[1];
        return *names;
    }
    return NULL;
}

/* Takes our options out of argv. -1: go on; else the exit code. */
static int take_options(int *argc, char **argv, struct submission *s)
{
    static const char *const ours[] = {"--name",         "--key",     "--priority",        "--start-after",
                                       "--deadline",     "--backoff", "--attempt-timeout", "--stall-timeout",
                                       "--max-attempts", "--jobs",    "--device-memory",   NULL};
    static const char *const serves[] = {"--csv",          "--device",      "--threads", "--gpu-mem-limit",
                                         "--memory-limit", "--store-limit", NULL};
    int kept = 1, i = 1;
    for (; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = NULL;
        if (our_option(argv + i, serves, &value))
            return cli_usage("submit", "%s: not here (what computes is up to `wavemill serve`)", argv[i]);
        const char *const option = our_option(argv + i, ours, &value);
        if (!option) {
            argv[kept++] = argv[i];
            continue;
        }
        if (!value)
            return cli_usage("submit", "%s: its value is missing", option);
        i += value == argv[i + 1];
        if (!set(s, option, value))
            return EXIT_USAGE;
    }
    for (; i < *argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    *argc = kept;
    return -1;
}

static void tell(const struct common *c, const struct message_accepted *a)
{
    if (c->format == OUTPUT_JSON) {
        json_t *const line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "job", json_integer((json_int_t)a->job));
        json_object_set_new(line, "items", json_integer((json_int_t)a->items));
        json_object_set_new(line, "known", json_boolean(a->known));
        output_json_line(line);
    } else if (!c->quiet) {
        printf("job %llu: %llu items%s\n", (unsigned long long)a->job, (unsigned long long)a->items,
               a->known ? ", known by its key" : "");
        fflush(stdout);
    }
}

int submit_jobs(const struct common *c, const char *kind, struct wire_slice params, struct client_item *items,
                size_t count, uint8_t (*objects)[LIMIT_OBJECT], struct batch *b)
{
    struct client *client = NULL;
    struct client_job job = cli_submission->job;
    uint8_t key[LIMIT_KEY];
    if (cli_submission->books && !(b && b->device_bytes))
        return cli_usage("submit", "--device-memory auto: there are no networks whose files say what they need");
    int code = cli_connect(c, false, &client);
    if (code)
        return cli_failed("submit", code);
    job.priority = c->priority ? c->priority : job.priority;
    job.device_bytes = cli_submission->books ? b->device_bytes : job.device_bytes;
    job.wave = b ? b->wave : 0;
    job.kind = kind;
    job.params = params;
    for (size_t i = 0; objects && i < count && !code; i++) {
        bool is_there;
        code = batch_put_file(client, items[i].path, objects[i], &is_there);
        if (!code && is_there)
            items[i].object = objects[i];
    }
    for (size_t i = 0; b && b->ready && i < count && !code; i++) {
        code = b->ready(b, client, i);
        items[i].params = b->item_params[i];
    }
    for (uint64_t n = 0; n < cli_submission->jobs && !code; n++) {
        struct message_accepted a;
        if (cli_submission->key)
            job.key = cli_key(cli_submission->key, n, key);
        code = client_submit_items(client, &job, items, count, &a);
        if (!code)
            tell(c, &a);
        if (!code && ferror(stdout))
            code = fail(STATUS_IO, "cannot write to stdout");
    }
    const int exit_code = cli_answered("submit", client, 0, code);
    client_close(&client);
    return exit_code;
}

/* ---- noop ---- */

struct drill {
    uint64_t count, sleep_ms, checkpoint_ms, payload, seed;
    double fail, crash, hang;
};

/* A number from 0 to 1 that only depends on the two (splitmix64). */
static double part_of(uint64_t seed, uint64_t index)
{
    uint64_t z = seed * UINT64_C(0x9e3779b97f4a7c15) + (index + 1) * UINT64_C(0xd1342543de82ef95);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static enum noop_action action_of(const struct drill *d, uint64_t index)
{
    const double at = part_of(d->seed, index);
    return at < d->fail                        ? NOOP_FAIL
           : at < d->fail + d->crash           ? NOOP_CRASH
           : at < d->fail + d->crash + d->hang ? NOOP_HANG
                                               : NOOP_SUCCEED;
}

/* The same payload for all items: one encoding for each action. */
static int send_drill(const struct common *c, const struct drill *d)
{
    struct wire_buffer params = {0}, kinds[NOOP_HANG + 1] = {{0}};
    struct client_item *const items = calloc(d->count + 1, sizeof *items);
    uint8_t payload[PAYLOAD_MOST];
    for (uint64_t i = 0; i < d->payload; i++)
        payload[i] = (uint8_t)(256 * part_of(d->seed, i));
    const struct kind_noop_params p = {.sleep_ms = d->sleep_ms, .checkpoint_ms = d->checkpoint_ms};
    int code = items ? wire_encode(&kind_noop_params_schema, &p, &params) : fail(STATUS_NOMEM, "out of memory");
    for (int a = 0; a <= NOOP_HANG && !code; a++) {
        const struct kind_noop_item item = {.action = (uint64_t)a, .payload = {payload, (uint32_t)d->payload}};
        code = wire_encode(&kind_noop_item_schema, &item, &kinds[a]);
    }
    for (uint64_t i = 0; i < d->count && !code; i++) {
        const struct wire_buffer *const b = &kinds[action_of(d, i)];
        items[i].params = (struct wire_slice){b->data, (uint32_t)b->bytes};
    }
    const int exit_code = code ? cli_failed("submit", code)
                          : c->dry_run
                              ? EXIT_DONE
                              : submit_jobs(c, KIND_NOOP, (struct wire_slice){params.data, (uint32_t)params.bytes},
                                            items, d->count, NULL, NULL);
    for (int a = 0; a <= NOOP_HANG; a++)
        wire_free(&kinds[a]);
    wire_free(&params);
    free(items);
    return exit_code;
}

static int submit_noop(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'n'},
                                            {"sleep-ms", required_argument, NULL, 's'},
                                            {"fail", required_argument, NULL, 'f'},
                                            {"checkpoint-ms", required_argument, NULL, 'k'},
                                            {"crash", required_argument, NULL, 'c'},
                                            {"payload", required_argument, NULL, 'p'},
                                            {"hang", required_argument, NULL, 'h'},
                                            {"seed", required_argument, NULL, 'S'},
                                            CLI_COMMON_OPTIONS};
    struct drill d = {.count = 1, .seed = 1};
    struct common common = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;
        int code = -1;
        switch (o) {
        case 'n':
            good = whole("--count", optarg, 0, ITEMS_MOST, &d.count);
            break;
        case 's':
            good = whole("--sleep-ms", optarg, 0, LIMIT_TIMEOUT_MS, &d.sleep_ms);
            break;
        case 'k':
            good = whole("--checkpoint-ms", optarg, 0, LIMIT_TIMEOUT_MS, &d.checkpoint_ms);
            break;
        case 'p':
            good = whole("--payload", optarg, 0, PAYLOAD_MOST, &d.payload);
            break;
        case 'S':
            good = whole("--seed", optarg, 0, 1e15, &d.seed);
            break;
        case 'f':
            good = cli_number("submit", "--fail", optarg, 0, 1, &d.fail);
            break;
        case 'c':
            good = cli_number("submit", "--crash", optarg, 0, 1, &d.crash);
            break;
        case 'h':
            good = cli_number("submit", "--hang", optarg, 0, 1, &d.hang);
            break;
        default:
            code = cli_common(o, &common, "submit", help);
        }
        if (!good || code >= 0)
            return good ? code : EXIT_USAGE;
    }
    if (optind < argc)
        return cli_usage("submit", "what is %s?", argv[optind]);
    if (d.fail + d.crash + d.hang > 1)
        return cli_usage("submit", "--fail, --crash and --hang: together more than all items");
    return send_drill(&common, &d);
}

int cmd_submit(int argc, char **argv)
{
    static struct submission s = {.jobs = 1};
    const int exit_code = take_options(&argc, argv, &s);
    if (exit_code >= 0)
        return exit_code;
    const char *const kind = argc > 1 ? argv[1] : "";
    if (strcmp(kind, "--help") == 0) {
        fputs(help, stdout);
        return EXIT_DONE;
    }
    cli_submission = &s;
    if (strcmp(kind, KIND_NOOP) == 0)
        return submit_noop(argc - 1, argv + 1);
    if (strcmp(kind, KIND_ANALYZE) == 0)
        return cmd_analyze(argc - 1, argv + 1);
    if (strcmp(kind, KIND_FEATURES) == 0)
        return cmd_features(argc - 1, argv + 1);
    if (strcmp(kind, KIND_SEPARATE) == 0)
        return cmd_separate(argc - 1, argv + 1);
    if (strcmp(kind, KIND_SCORE) == 0)
        return cmd_score(argc - 1, argv + 1);
    return cli_usage("submit",
                     *kind ? "%s: there are the kinds analyze, features, separate, score and noop" : "which kind?%s",
                     kind);
}
