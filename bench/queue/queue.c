/* wavemill-bench queue - the job queue beside beanstalkd, Redis + RQ and Celery on one disk. */
#include "bench_queue.h"

#include "paths.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill-bench queue [OPTION...]\n"
    "Measures the scheduler beside beanstalkd, Redis + RQ and Celery, where they are installed: everything on one "
    "disk,\n"
    "durable, by turns, with payloads of 200 bytes and jobs that do nothing. Prints medians, from the least to the "
    "most,\n"
    "and for rows with a bar whether it is reached; the exit status says nothing of that.\n\n"
    "  --rounds N      1 to 33 (default 5)\n"
    "  --quick         two rounds with a fifth of the items, and no restart with 1,000,000\n"
    "  --items N       so many items in every row, ten times as many in the larger restart: bars of absolute figures\n"
    "                  are not judged then\n"
    "  --dir DIR       where the journals lie (default: the current folder)\n"
    "  --python FILE   a Python with rq and celery (default /usr/bin/python3; none: without them)\n"
    "  --script FILE   what runs them (default bench/peers/queue_peers.py)\n"
    "  --no-rivals     our own rows only\n"
    "  --json          one object per line instead of a table\n\n"
    "The rivals come from Debian: apt-get install beanstalkd redis-server python3-rq python3-celery\n";

struct counts { /* items in a round */
    int64_t submits, submits_64, batched, single, starts, puts, puts_lax, rival, few, many;
};

struct options {
    int rounds;
    bool quick, rivals, json;
    int64_t items;
    const char *dir, *python;
    char script[4096], program[4096];
    struct counts counts;
};

static void set_counts(struct options *o)
{
    const int64_t part = o->quick ? 5 : 1, n = o->items;
    o->counts = (struct counts){50000 / part, 10000 / part, 50000 / part, 10000 / part, 1000 / part,
                                4000 / part,  20000 / part, 400 / part,   10000,        o->quick ? 0 : 1000000};
    if (n) /* rows are named after their numbers */
        o->counts = (struct counts){n, n, n, n, n, n, n, n, n, 10 * n};
}

/* A server with an empty journal, in a folder of its own. */
static int new_server(const struct options *o, struct server *s)
{
    static int count;
    double ready = 0;
    *s = (struct server){.program = o->program};
    snprintf(s->folder, sizeof s->folder, "s%d", count++);
    return server_start(s, &ready);
}

static int run_submits(const struct options *o, enum row_id id, int64_t items, int window)
{
    struct server s;
    double rate = 0;
    int code = new_server(o, &s);
    code = code ? code : measure_submits(&s, items, 64, window, &rate);
    server_end(&s, SIGTERM);
    if (!code)
        row_add(id, rate);
    return code;
}

static int run_cycles(const struct options *o, enum cycle how, int64_t items, enum row_id id, enum row_id cpu)
{
    struct server s;
    struct cycles c = {0};
    int code = new_server(o, &s);
    code = code ? code : measure_cycles(&s, how, items, &c);
    server_end(&s, SIGTERM);
    if (!code) {
        row_add(id, c.rate);
        row_add(cpu, c.cpu_s);
    }
    return code;
}

static int run_start(const struct options *o)
{
    struct server s;
    double p50 = 0, p99 = 0;
    int code = new_server(o, &s);
    code = code ? code : measure_start(&s, o->counts.starts, &p50, &p99);
    server_end(&s, SIGTERM);
    if (!code) {
        row_add(ROW_START_P50, p50);
        row_add(ROW_START_P99, p99);
    }
    return code;
}

static int run_restart(const struct options *o, int64_t items, enum row_id ready, enum row_id memory)
{
    struct server s;
    double seconds = 0, bytes = 0;
    int code = new_server(o, &s);
    code = code ? code : measure_restart(&s, items, &seconds, &bytes);
    server_end(&s, SIGTERM);
    if (!code) {
        row_add(ready, seconds);
        row_add(memory, bytes);
    }
    return code;
}

/* A rival that fails costs its rows, and the reason is printed with them. */
static void run_beanstalk(int sync_ms, int64_t items, enum row_id puts, enum row_id cycles)
{
    struct beanstalk b = {0};
    if (measure_beanstalk(sync_ms, items, items, &b)) {
        row_skip(puts, status_message());
        row_skip(cycles, status_message());
        return;
    }
    row_add(puts, b.puts);
    row_add(cycles, b.cycles);
}

static void run_python(const struct options *o, const char *rival, enum row_id batched, enum row_id single)
{
    struct python_rival r = {0};
    if (measure_python(o->python, o->script, rival, o->counts.rival, &r)) {
        row_skip(batched, status_message());
        row_skip(single, status_message());
        return;
    }
    if (batched != single)
        row_add(batched, r.batched);
    row_add(single, r.single);
}

static bool on_path(const char *program)
{
    char name[4096], *rest = NULL, text[8192];
    snprintf(text, sizeof text, "%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    for (char *folder = strtok_r(text, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) {
        snprintf(name, sizeof name, "%s/%s", folder, program);
        if (access(name, X_OK) == 0)
            return true;
    }
    return false;
}

static void run_rivals(const struct options *o)
{
    static const enum row_id python_rows[] = {ROW_RQ_BATCHED, ROW_RQ, ROW_CELERY};
    static const enum row_id beanstalk_rows[] = {ROW_PUTS, ROW_PUTS_LAX, ROW_BEANSTALKD, ROW_BEANSTALKD_LAX};
    const bool scripted = o->rivals && access(o->python, X_OK) == 0 && access(o->script, R_OK) == 0;
    const bool beanstalk = o->rivals && on_path("beanstalkd");
    for (int i = 0; i < 3 && !scripted; i++)
        row_skip(python_rows[i], o->rivals ? "--python or --script names no file that is there" : "--no-rivals");
    for (int i = 0; i < 4 && !beanstalk; i++)
        row_skip(beanstalk_rows[i], o->rivals ? "beanstalkd is not installed" : "--no-rivals");
    if (beanstalk) {
        run_beanstalk(0, o->counts.puts, ROW_PUTS, ROW_BEANSTALKD);
        run_beanstalk(50, o->counts.puts_lax, ROW_PUTS_LAX, ROW_BEANSTALKD_LAX);
    }
    if (scripted) {
        run_python(o, "rq", ROW_RQ_BATCHED, ROW_RQ);
        run_python(o, "celery", ROW_CELERY, ROW_CELERY);
    }
}

static int run_disk(void)
{
    double p50 = 0;
    const int code = measure_disk(&p50);
    if (!code)
        row_add(ROW_DISK, p50);
    return code;
}

static int run_round(const struct options *o)
{
    const struct counts *const n = &o->counts;
    int code = run_disk();
    code = code ? code : run_submits(o, ROW_SUBMITS, n->submits, 16);
    code = code ? code : run_submits(o, ROW_SUBMITS_64, n->submits_64, 1);
    code = code ? code : run_cycles(o, CYCLE_BATCHED, n->batched, ROW_BATCHED, ROW_CPU_BATCHED);
    code = code ? code : run_cycles(o, CYCLE_UNBATCHED, n->single, ROW_UNBATCHED, ROW_CPU_UNBATCHED);
    code = code ? code : run_cycles(o, CYCLE_JOBS, n->single, ROW_JOBS, ROW_CPU_JOBS);
    code = code ? code : run_disk();
    code = code ? code : run_start(o);
    code = code ? code : run_disk();
    if (!code)
        run_rivals(o);
    code = code ? code : run_restart(o, n->few, ROW_READY_FEW, ROW_MEMORY_FEW);
    if (n->many)
        return code ? code : run_restart(o, n->many, ROW_READY_MANY, ROW_MEMORY_MANY);
    row_skip(ROW_READY_MANY, "--quick");
    row_skip(ROW_MEMORY_MANY, "--quick");
    return code;
}

/* One ratio a round, of what was measured in that round. */
static void add_ratio(enum row_id id, enum row_id ours, enum row_id theirs, enum row_id other)
{
    const struct row *const a = &queue_rows[ours], *const b = &queue_rows[theirs], *const c = &queue_rows[other];
    if (!b->count && !c->count)
        row_skip(id, "the rival is not there");
    for (int i = 0; i < a->count && (i < b->count || i < c->count); i++) {
        const double x = i < b->count ? b->value[i] : 0, y = i < c->count ? c->value[i] : 0;
        row_add(id, a->value[i] / (x > y ? x : y));
    }
}

static void finish_rows(void)
{
    add_ratio(ROW_SUBMITS_RATIO, ROW_SUBMITS_64, ROW_PUTS, ROW_PUTS);
    add_ratio(ROW_BATCHED_RATIO, ROW_BATCHED, ROW_RQ_BATCHED, ROW_CELERY);
    add_ratio(ROW_UNBATCHED_RATIO, ROW_UNBATCHED, ROW_RQ, ROW_CELERY);
    add_ratio(ROW_JOBS_RATIO, ROW_JOBS, ROW_RQ, ROW_CELERY);
    add_ratio(ROW_BEANSTALKD_RATIO, ROW_UNBATCHED, ROW_BEANSTALKD, ROW_BEANSTALKD);
    queue_rows[ROW_START_P99].bar = 1e3 * (4 * row_median(ROW_DISK) + 0.002);
}

static int parse(int argc, char **argv, struct options *o, bool *ended)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'}, {"quick", no_argument, NULL, 'q'},
        {"items", required_argument, NULL, 'i'},  {"dir", required_argument, NULL, 'd'},
        {"python", required_argument, NULL, 'p'}, {"script", required_argument, NULL, 's'},
        {"no-rivals", no_argument, NULL, 'n'},    {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {0}};
    const char *script = "bench/peers/queue_peers.py";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'r':
            o->rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 'q':
            o->quick = true;
            break;
        case 'i':
            o->items = strtoll(optarg, NULL, 10);
            break;
        case 'd':
            o->dir = optarg;
            break;
        case 'p':
            o->python = optarg;
            break;
        case 's':
            script = optarg;
            break;
        case 'n':
            o->rivals = false;
            break;
        case 'j':
            o->json = true;
            break;
        case 'h':
            *ended = true;
            fputs(help, stdout);
            return STATUS_OK;
        default:
            return fail(STATUS_ARGUMENT, "see wavemill-bench queue --help");
        }
    }
    o->rounds = o->rounds ? o->rounds : o->quick ? 2 : 5;
    if (o->rounds < 1 || o->rounds > ROUNDS_MOST / 3 || o->items < 0 || o->items > 100000 || argc > optind)
        return fail(STATUS_ARGUMENT, "rounds 1 to %d, items 1 to 100000, and no more words", ROUNDS_MOST / 3);
    if (!realpath(script, o->script)) /* the folder changes; run_rivals says what is not there */
        o->script[0] = '\0';
    set_counts(o);
    rows_name(o->counts.few, o->items ? o->counts.many : 1000000);
    return STATUS_OK;
}

static int remove_one(const char *path, const struct stat *unused, int type, struct FTW *ftw)
{
    (void)unused;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int find_program(struct options *o)
{
    char folder[4000];
    const int code = paths_program_folder(folder, sizeof folder);
    snprintf(o->program, sizeof o->program, "%s/wavemill-scheduler", folder);
    return code || access(o->program, X_OK) == 0 ? code : fail(STATUS_NOT_FOUND, "there is no %s", o->program);
}

static int run(const struct options *o)
{
    char folder[4096];
    int code = STATUS_OK;
    snprintf(folder, sizeof folder, "%s/wavemill-queue-XXXXXX", o->dir);
    if (!mkdtemp(folder))
        return fail(STATUS_ARGUMENT, "cannot make a folder in %s: %s", o->dir, strerror(errno));
    char *const whole = realpath(folder, NULL);
    if (!whole || chdir(whole))
        code = fail(STATUS_IO, "cannot go to %s", folder);
    for (int i = 0; i < o->rounds && !code; i++) {
        fprintf(stderr, "wavemill-bench: round %d of %d\n", i + 1, o->rounds);
        code = run_round(o);
    }
    if (!code) {
        finish_rows();
        rows_print(o->json, o->items == 0);
    }
    if (whole && chdir("/") == 0)
        nftw(whole, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(whole);
    return code;
}

int queue_main(int argc, char **argv)
{
    static struct options o = {.rivals = true, .dir = ".", .python = "/usr/bin/python3"};
    bool ended = false;
    int code = parse(argc, argv, &o, &ended);
    if (ended)
        return 0;
    signal(SIGPIPE, SIG_IGN); /* NOLINT(bugprone-signal-handler,cert-sig30-c): ignored, not handled */
    code = code ? code : find_program(&o);
    code = code ? code : run(&o);
    if (code)
        fprintf(stderr, "wavemill-bench: %s\n", status_message());
    return code == STATUS_OK ? 0 : code == STATUS_ARGUMENT ? 2 : 5;
}
