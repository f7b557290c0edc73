/* wavemill-bench - our operations beside those of librosa, torch, numpy, soxr and libsamplerate: the same signal, one
 * run, alternating, medians, and what arithmetic and memory of this machine allow; or on a device, by its events. */
#include "bench.h"
#include "bench_queue.h"
#include "device_choice.h"
#include "module.h"

#include <getopt.h>
#include <math.h>
#include <samplerate.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill-bench [OPTION...] [CASE...]\n"
    "       wavemill-bench queue [OPTION...]          the job queue beside others (queue --help)\n"
    "Measures operations beside their peers on the same signal, alternating, and prints medians: time, GB/s of what\n"
    "must be moved, GFLOP/s of what the equation asks for, the share of the limit that binds, and ratios.\n"
    "A CASE is one that --list names, or a row of it with all its cases (default: all).\n\n"
    "  --list          the cases: name, row of the table of operations, what it is\n"
    "  --device D      cpu (default), cuda, cuda:N or emulated: the operations run there, with their input there, and\n"
    "                  times are those of its events; no peers. Without such a device: exit status 4\n"
    "  --seconds S     length of the signal (default 300, resample 60; on cuda 3600, emulated 0.25); networks see 7.8 "
    "of\n"
    "                  it at most, one segment\n"
    "  --rounds N      runs of each, 1 to 99 (default 5)\n"
    "  --threads N     of ours and of the peers (default 1)\n"
    "  --isa NAME      scalar, avx2 or avx512 (default: the widest there is)\n"
    "  --python FILE   a Python with librosa, torch and soxr (default .deps/peers/bin/python; none: no peers)\n"
    "  --script FILE   the peers' program (default bench/peers/signal_peers.py)\n"
    "  --growth FILE   also measure from 1 s on, and draw time against length into FILE, an SVG\n"
    "  --json          one object per line instead of a table\n\n"
    "Limits: on the CPU one core's multiply-adds times the threads, and its copies, both measured first; on a GPU the\n"
    "rate of its memory in the datasheet (tools/gpu-check measures what a GPU does). Emulated times mean nothing.\n";

struct settings {
    double seconds;
    int rounds, threads;
    enum exec_isa isa;
    struct device_choice device;
    const char *python, *script, *growth;
    bool json;
    char folder[64];
};

/* What everything is measured with. */
struct bench {
    struct settings t;
    struct machine m;
    struct device_info info;
    struct exec *ex;
    struct peers peers;
};

struct outcome {
    double ours, peer[PEERS_MOST]; /* medians in seconds; negative: not measured */
    double flops, bytes;
    double limit; /* seconds that arithmetic or memory take at least; 0: not known */
    bool memory;  /* it is memory */
};

/* libsamplerate's best converter, in this process. */
static double run_libsamplerate(const struct signal *s)
{
    SRC_DATA d = {.data_in = s->samples,
                  .data_out = malloc((size_t)s->count * sizeof(float)),
                  .input_frames = (long)s->count,
                  .output_frames = (long)s->count,
                  .src_ratio = 44100.0 / s->rate_hz};
    if (d.data_out)
        memset(d.data_out, 0, (size_t)s->count * sizeof(float));
    const double began = bench_now();
    const bool good = d.data_out && src_simple(&d, SRC_SINC_BEST_QUALITY, 1) == 0;
    const double seconds = bench_now() - began;
    free(d.data_out);
    return good ? seconds : -1;
}

static bool on_device(const struct bench *b)
{
    return b->t.device.backend != BACKEND_CPU;
}

static void set_limit(const struct bench *b, struct outcome *o)
{
    const bool emulated = b->t.device.backend == BACKEND_EMULATED;
    const double flops = on_device(b) ? 0 : b->m.flops * b->t.threads;
    const double bytes = emulated ? 0 : on_device(b) ? 1e9 * b->info.copy_gbps : b->m.bytes;
    const double compute = flops > 0 ? o->flops / flops : 0, move = bytes > 0 ? o->bytes / bytes : 0;
    o->memory = move > compute;
    o->limit = fmax(compute, move);
}

/* Calls between two events: on a GPU so many that launching hides behind running. */
static int calls_of(const struct bench *b, double seconds)
{
    const double wanted = 1e-3 / fmax(seconds, 1e-6);
    return b->t.device.backend != BACKEND_CUDA ? 1 : wanted > 40 ? 40 : wanted < 4 ? 4 : (int)wanted;
}

static int measure(struct bench *b, const struct case_ *c, const struct signal *s, struct outcome *o)
{
    double ours[ROUNDS_MOST], theirs[PEERS_MOST][ROUNDS_MOST], warm = 0;
    int counts[PEERS_MOST] = {0};
    struct work w;
    int code = work_open(&w, b->ex, c, s);
    if (code)
        return code;
    code = work_time(&w, 1, &warm); /* plans are made */
    code = code ? code : work_time(&w, 1, &warm);
    const int calls = calls_of(b, warm);
    for (int r = 0; r < b->t.rounds && !code; r++) {
        code = work_time(&w, calls, &ours[r]);
        for (int p = 0; !code && !on_device(b) && c->peers[p]; p++) {
            const bool here = strcmp(c->peers[p], "libsamplerate") == 0;
            const double seconds = here ? run_libsamplerate(s) : peers_run(&b->peers, c->peers[p], c->c.name, s);
            if (seconds > 0)
                theirs[p][counts[p]++] = seconds;
        }
    }
    if (!code) {
        o->ours = bench_median(ours, b->t.rounds);
        for (int p = 0; p < PEERS_MOST; p++)
            o->peer[p] = counts[p] ? bench_median(theirs[p], counts[p]) : -1;
        o->flops = work_flops(&w);
        o->bytes = work_bytes(&w);
        set_limit(b, o);
    }
    work_close(&w);
    return code;
}

static void print_json(const struct bench *b, const struct case_ *c, double seconds, const struct outcome *o)
{
    char device[DEVICE_NAME];
    device_choice_name(&b->t.device, device);
    printf("{\"case\":\"%s\",\"row\":\"%s\",\"device\":\"%s\",\"signal_s\":%g,\"threads\":%d,", c->c.name, c->row,
           device, seconds, b->t.threads);
    if (!on_device(b))
        printf("\"isa\":\"%s\",", isa_name(b->t.isa));
    printf("\"ours_s\":%.9f,\"bytes\":%.0f,\"flops\":%.0f", o->ours, o->bytes, o->flops);
    if (o->limit > 0)
        printf(",\"limit_s\":%.9f,\"limited_by\":\"%s\",\"share\":%.4g", o->limit, o->memory ? "memory" : "arithmetic",
               o->limit / o->ours);
    for (int p = 0; c->peers[p]; p++)
        if (o->peer[p] > 0)
            printf(",\"%s_s\":%.6f,\"%s_ratio\":%.2f", c->peers[p], o->peer[p], c->peers[p], o->peer[p] / o->ours);
    puts("}");
    fflush(stdout);
}

static void print(const struct bench *b, const struct case_ *c, const struct signal *s, const struct outcome *o)
{
    const double seconds = (double)s->count / s->rate_hz;
    if (b->t.json) {
        print_json(b, c, seconds, o);
        return;
    }
    printf("%-12s %6g s %9.3f ms %8.0fx real time %7.2f GB/s %8.2f GFLOP/s", c->c.name, seconds, 1000 * o->ours,
           seconds / o->ours, 1e-9 * o->bytes / o->ours, 1e-9 * o->flops / o->ours);
    if (o->limit > 0)
        printf(" %4.0f %% of %s", 100 * o->limit / o->ours, o->memory ? "memory    " : "arithmetic");
    else
        printf(" %s", b->t.device.backend == BACKEND_EMULATED ? "emulated" : "limit unknown");
    for (int p = 0; c->peers[p]; p++)
        if (o->peer[p] > 0)
            printf("   %s %.1f ms: %.1fx", c->peers[p], 1000 * o->peer[p], o->peer[p] / o->ours);
    putchar('\n');
    fflush(stdout);
}

static int run_case(struct bench *b, const struct case_ *c, double seconds, struct outcome *o)
{
    struct signal s;
    int code = signal_make(&s, c->rate_hz, seconds, b->t.folder);
    code = code ? code : measure(b, c, &s, o);
    if (!code)
        print(b, c, &s, o);
    signal_free(&s);
    return code;
}

/* A row without a twin there: said, and the rest goes on. */
static void print_missing(const struct bench *b, const struct case_ *c, double seconds)
{
    char device[DEVICE_NAME];
    device_choice_name(&b->t.device, device);
    if (b->t.json)
        printf("{\"case\":\"%s\",\"row\":\"%s\",\"device\":\"%s\",\"signal_s\":%g,\"threads\":%d,\"not_run\":\"%s\"}\n",
               c->c.name, c->row, device, seconds, b->t.threads, status_message());
    else
        printf("%-12s not run: %s\n", c->c.name, status_message());
    fflush(stdout);
}

static int growth(struct bench *b, const struct case_ *c)
{
    if (c->source == SOURCE_NETWORK)
        return fail(STATUS_ARGUMENT, "a network sees one segment, however long the signal is");
    static const char *const colours[PEERS_MOST] = {"#c33", "#38c", "#393"};
    struct growth_line lines[PEERS_MOST + 1] = {{.name = "wavemill", .colour = "#000"}};
    int code = STATUS_OK, count = 1;
    for (; count <= PEERS_MOST && c->peers[count - 1]; count++)
        lines[count] = (struct growth_line){.name = c->peers[count - 1], .colour = colours[count - 1]};
    for (int i = 0; i < GROWTH_LENGTHS && !code; i++) {
        struct outcome o = {0};
        code = run_case(b, c, growth_lengths[i], &o);
        lines[0].seconds[i] = o.ours;
        for (int p = 1; p < count; p++)
            lines[p].seconds[i] = o.peer[p - 1];
    }
    return code ? code : growth_draw(b->t.growth, c->what, lines, count);
}

static double seconds_of(const struct bench *b, const struct case_ *c)
{
    const double segment = (double)NETWORK_FRAMES_MOST * NETWORK_FRAME / c->rate_hz;
    if (c->source == SOURCE_NETWORK)
        return b->t.seconds > 0 && b->t.seconds < segment ? b->t.seconds : segment;
    if (b->t.seconds > 0)
        return b->t.seconds;
    switch (b->t.device.backend) {
    case BACKEND_CUDA:
        return 3600;
    case BACKEND_EMULATED:
        return 0.25;
    default:
        return c->c.op == GPU_RESAMPLE ? 60 : 300;
    }
}

/* Runs the case of that name, or else the cases of that row; NULL: all. */
static int run_named(struct bench *b, const char *name)
{
    bool exact = false, found = false;
    int code = STATUS_OK;
    for (int i = 0; i < bench_case_count && name; i++)
        exact = exact || strcmp(bench_cases[i].c.name, name) == 0;
    for (int i = 0; i < bench_case_count && !code; i++) {
        const struct case_ *const c = &bench_cases[i];
        struct outcome o;
        if (name && strcmp(exact ? c->c.name : c->row, name) != 0)
            continue;
        found = true;
        code = b->t.growth ? growth(b, c) : run_case(b, c, seconds_of(b, c), &o);
        if (code == STATUS_UNSUPPORTED) {
            print_missing(b, c, seconds_of(b, c));
            code = STATUS_OK;
        }
        if (code == STATUS_ARGUMENT || code == STATUS_SHAPE) {
            char why[400];
            snprintf(why, sizeof why, "%s", status_message());
            code = fail((enum status)code, "%s: %s", c->c.name, why);
        }
    }
    return code || found ? code : fail(STATUS_ARGUMENT, "no case '%s' (see --list)", name);
}

static int open_exec(struct bench *b)
{
    struct exec_options options = {.threads = b->t.threads};
    int code = device_choice_resolve(&b->t.device);
    if (code)
        return code;
    options.backend = b->t.device.backend;
    if (on_device(b)) {
        options.module = b->t.device.module;
        options.device = b->t.device.index;
        code = options.module->device->describe(options.device, &b->info);
    } else {
        options.isa = b->t.isa;
        options.ops = ops_cpu(b->t.isa);
    }
    return code ? code : exec_create(&options, &b->ex);
}

static void print_cpu(const struct bench *b)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (b->t.json)
        printf("{\"machine\":\"%s\",\"cores\":%ld,\"flops\":%.3g,\"copy_bytes_per_s\":%.3g}\n", b->m.processor, cores,
               b->m.flops, b->m.bytes);
    else
        printf("%s, %ld cores: %.0f GFLOP/s, copies at %.1f GB/s; %s, %d threads, medians of %d alternating runs\n",
               b->m.processor, cores, b->m.flops / 1e9, b->m.bytes / 1e9, isa_name(b->t.isa), b->t.threads,
               b->t.rounds);
}

static void print_device(const struct bench *b)
{
    char device[DEVICE_NAME], rate[64] = "the rate of its memory is not known: no shares";
    const bool emulated = b->t.device.backend == BACKEND_EMULATED;
    device_choice_name(&b->t.device, device);
    if (b->info.copy_gbps > 0)
        snprintf(rate, sizeof rate, "memory at %.0f GB/s by the datasheet", b->info.copy_gbps);
    if (b->t.json)
        printf("{\"device\":\"%s\",\"name\":\"%s\",\"targets\":\"%s\",\"copy_bytes_per_s\":%.4g,\"meaningful\":%s}\n",
               device, b->info.name, b->t.device.module->targets, 1e9 * b->info.copy_gbps, emulated ? "false" : "true");
    else if (emulated)
        puts("emulated on the CPU: this shows that every case runs on a device; its times mean nothing");
    else
        printf("%s: %s, %d multiprocessors, %s; medians of %d rounds by events\n", device, b->info.name,
               b->info.multiprocessors, rate, b->t.rounds);
}

static int run_all(struct bench *b, char **names, int count)
{
    const struct settings *const t = &b->t;
    const bool has_peers = access(t->python, X_OK) == 0 && access(t->script, R_OK) == 0;
    int code = open_exec(b);
    if (!code && on_device(b)) {
        print_device(b);
    } else if (!code) {
        machine_measure(&b->m);
        print_cpu(b);
        if (has_peers)
            code = peers_start(&b->peers, t->python, t->script, t->threads);
        else
            fprintf(stderr, "wavemill-bench: no peers: %s or %s is not there\n", t->python, t->script);
    }
    for (int i = 0; i < count && !code; i++)
        code = run_named(b, names[i]);
    if (count == 0 && !code)
        code = run_named(b, NULL);
    peers_stop(&b->peers);
    exec_destroy(&b->ex);
    return code;
}

static int list(void)
{
    for (int i = 0; i < bench_case_count; i++)
        printf("%-12s %-17s %s\n", bench_cases[i].c.name, bench_cases[i].row, bench_cases[i].what);
    return 0;
}

static int parse(int argc, char **argv, struct settings *t, bool *ended)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
        {"threads", required_argument, NULL, 't'}, {"isa", required_argument, NULL, 'i'},
        {"python", required_argument, NULL, 'p'},  {"script", required_argument, NULL, 'q'},
        {"growth", required_argument, NULL, 'g'},  {"json", no_argument, NULL, 'j'},
        {"device", required_argument, NULL, 'd'},  {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},          {0}};
    int code = STATUS_OK;
    for (int o; !*ended && !code && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            t->seconds = strtod(optarg, NULL);
            break;
        case 'r':
            t->rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 't':
            t->threads = (int)strtol(optarg, NULL, 10);
            break;
        case 'i':
            code = isa_parse(optarg, &t->isa);
            break;
        case 'd':
            code = device_choice_parse(optarg, &t->device);
            break;
        case 'p':
            t->python = optarg;
            break;
        case 'q':
            t->script = optarg;
            break;
        case 'g':
            t->growth = optarg;
            break;
        case 'j':
            t->json = true;
            break;
        case 'l':
            *ended = true;
            return list();
        case 'h':
            *ended = true;
            fputs(help, stdout);
            return 0;
        default:
            *ended = true;
            return 2;
        }
    }
    if (!code && (t->rounds < 1 || t->rounds > ROUNDS_MOST || t->threads < 1))
        code = fail(STATUS_ARGUMENT, "rounds 1 to %d, threads from 1 on", ROUNDS_MOST);
    if (!code && t->seconds != 0 && !(t->seconds >= 0.1 && t->seconds <= 36000))
        code = fail(STATUS_ARGUMENT, "signals of 0.1 to 36000 seconds");
    return code;
}

static int exit_status(int code)
{
    switch (code) {
    case STATUS_OK:
        return 0;
    case STATUS_ARGUMENT:
    case STATUS_SHAPE: /* of a signal that is too short for an operation */
        return 2;
    case STATUS_UNSUPPORTED:
    case STATUS_DEVICE:
        return 4;
    default:
        return 5;
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.t = {.rounds = 5,
                                   .threads = 1,
                                   .device = {.backend = BACKEND_CPU, .index = -1},
                                   .python = ".deps/peers/bin/python",
                                   .script = "bench/peers/signal_peers.py",
                                   .folder = "/tmp/wavemill-bench-XXXXXX"}};
    bool ended = false;
    if (argc > 1 && strcmp(argv[1], "queue") == 0)
        return queue_main(argc - 1, argv + 1);
    b.t.isa = isa_best();
    int code = parse(argc, argv, &b.t, &ended);
    if (ended)
        return code;
    if (code) {
        fprintf(stderr, "wavemill-bench: %s\n", status_message());
        return 2;
    }
    if (!mkdtemp(b.t.folder)) {
        fprintf(stderr, "wavemill-bench: cannot make a folder in /tmp\n");
        return 5;
    }
    code = run_all(&b, argv + optind, argc - optind);
    if (code)
        fprintf(stderr, "wavemill-bench: %s\n", status_message());
    rmdir(b.t.folder);
    return exit_status(code);
}
