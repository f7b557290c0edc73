/* wavemill-bench - our operations beside those of librosa, torch, soxr and libsamplerate: the same signal, one run,
 * alternating, medians, and what arithmetic and memory of this machine allow. */
#include "bench.h"

#include <getopt.h>
#include <math.h>
#include <samplerate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill-bench [OPTION...] [CASE...]\n"
    "Measures operations of the CPU beside their peers on the same signal, alternating, and prints medians and "
    "ratios.\n"
    "Cases: stft istft logmel mfcc centroid contrast rms zcr hpss resample search search1 (default: all).\n\n"
    "  --seconds S     length of the signal (default 300; resample: 60)\n"
    "  --rounds N      runs of each, 1 to 99 (default 5)\n"
    "  --threads N     of ours and of the peers (default 1)\n"
    "  --isa NAME      scalar, avx2 or avx512 (default: the widest there is)\n"
    "  --python FILE   a Python with librosa, torch and soxr (default .deps/peers/bin/python; none: no peers)\n"
    "  --script FILE   the peers' program (default bench/peers/signal_peers.py)\n"
    "  --growth FILE   also measure from 1 s on, and draw time against length into FILE, an SVG\n"
    "  --json          one object per line instead of a table\n";

struct settings {
    double seconds;
    int rounds, threads;
    enum exec_isa isa;
    const char *python, *script, *growth;
    bool json;
    char folder[64];
};

struct outcome {
    double ours, peer[PEERS_MOST]; /* medians in seconds; negative: not measured */
    double limit;                  /* seconds that arithmetic or memory take at least */
    bool memory;                   /* it is memory */
};

/* Memory for results on huge pages, touched before anything is timed. */
static void *touched(size_t bytes)
{
    const size_t whole = (bytes + ((size_t)2 << 20) - 1) / ((size_t)2 << 20) * ((size_t)2 << 20);
    void *const p = aligned_alloc((size_t)2 << 20, whole);
    if (p) {
        madvise(p, whole, MADV_HUGEPAGE);
        memset(p, 0, whole);
    }
    return p;
}

/* libsamplerate's best converter, in this process. */
/* NOLINTNEXTLINE(readability-non-const-parameter): written through the converter's struct */
static double run_libsamplerate(const struct signal *s, float *out)
{
    SRC_DATA d = {.data_in = s->samples,
                  .data_out = out,
                  .input_frames = (long)s->count,
                  .output_frames = (long)s->count,
                  .src_ratio = 44100.0 / s->rate_hz};
    const double began = bench_now();
    return src_simple(&d, SRC_SINC_BEST_QUALITY, 1) ? -1 : bench_now() - began;
}

static double limit_of(const struct case_ *c, const struct signal *s, const struct machine *m, int threads,
                       bool *memory)
{
    const double compute = m->flops > 0 ? c->flops(s) / (m->flops * threads) : 0;
    const double move = m->bytes > 0 ? c->bytes(s) / m->bytes : 0;
    *memory = move > compute;
    return fmax(compute, move);
}

static int measure(const struct settings *t, const struct case_ *c, const struct signal *s, const struct machine *m,
                   struct exec *ex, struct peers *peers, int rounds, struct outcome *out)
{
    double ours[ROUNDS_MOST], theirs[PEERS_MOST][ROUNDS_MOST];
    int counts[PEERS_MOST] = {0};
    void *input = NULL, *output = touched(c->output_bytes(s));
    int code = output ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code && c->prepare)
        code = c->prepare(ex, s, &input);
    if (!code)
        code = c->run(ex, s, output, input); /* plans are made, caches are warm */
    for (int r = 0; r < rounds && !code; r++) {
        const double began = bench_now();
        code = c->run(ex, s, output, input);
        ours[r] = bench_now() - began;
        for (int p = 0; !code && c->peers[p]; p++) {
            const bool here = strcmp(c->peers[p], "libsamplerate") == 0;
            const double seconds = here ? run_libsamplerate(s, output) : peers_run(peers, c->peers[p], c->name, s);
            if (seconds > 0)
                theirs[p][counts[p]++] = seconds;
        }
    }
    if (!code) {
        out->ours = bench_median(ours, rounds);
        for (int p = 0; p < PEERS_MOST; p++)
            out->peer[p] = counts[p] ? bench_median(theirs[p], counts[p]) : -1;
        out->limit = limit_of(c, s, m, t->threads, &out->memory);
    }
    free(input);
    free(output);
    return code;
}

static void print(const struct settings *t, const struct case_ *c, const struct signal *s, const struct outcome *o)
{
    const double seconds = (double)s->count / s->rate_hz;
    if (t->json) {
        printf("{\"case\":\"%s\",\"signal_s\":%g,\"threads\":%d,\"isa\":\"%s\",\"ours_s\":%.6f,\"limit_s\":%.6f,"
               "\"limited_by\":\"%s\"",
               c->name, seconds, t->threads, isa_name(t->isa), o->ours, o->limit, o->memory ? "memory" : "arithmetic");
        for (int p = 0; c->peers[p]; p++)
            if (o->peer[p] > 0)
                printf(",\"%s_s\":%.6f,\"%s_ratio\":%.2f", c->peers[p], o->peer[p], c->peers[p], o->peer[p] / o->ours);
        puts("}");
    } else {
        printf("%-9s %6.0f s %9.2f ms %7.0fx real time, %3.0f %% of %s", c->name, seconds, 1000 * o->ours,
               seconds / o->ours, 100 * o->limit / o->ours, o->memory ? "memory    " : "arithmetic");
        for (int p = 0; c->peers[p]; p++)
            if (o->peer[p] > 0)
                printf("   %s %.1f ms: %.1fx", c->peers[p], 1000 * o->peer[p], o->peer[p] / o->ours);
        putchar('\n');
    }
    fflush(stdout);
}

static int run_case(const struct settings *t, const struct case_ *c, double seconds, int rounds,
                    const struct machine *m, struct exec *ex, struct peers *peers, struct outcome *o)
{
    struct signal s;
    int code = signal_make(&s, c->rate_hz, seconds, t->folder);
    code = code ? code : measure(t, c, &s, m, ex, peers, rounds, o);
    if (!code)
        print(t, c, &s, o);
    signal_free(&s);
    return code;
}

/* ---- growth: time against length, both logarithmic ---- */

enum { LENGTHS = 6, WIDTH = 720, HEIGHT = 420, EDGE = 60 };
static const double lengths[LENGTHS] = {1, 3, 10, 30, 100, 300};

static double place_x(double seconds)
{
    return EDGE + (WIDTH - 3.5 * EDGE) * log10(seconds) / log10(300);
}

static double place_y(double seconds) /* 1e-5 to 10 s */
{
    return HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * (log10(fmax(seconds, 1e-5)) + 5) / 6;
}

static void draw_line(FILE *f, const char *name, const char *colour, const double *seconds)
{
    int last = -1;
    fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (int i = 0; i < LENGTHS; i++)
        if (seconds[i] > 0) {
            fprintf(f, "%.1f,%.1f ", place_x(lengths[i]), place_y(seconds[i]));
            last = i;
        }
    fputs("\"/>\n", f);
    if (last >= 0)
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", place_x(lengths[last]) + 6,
                place_y(seconds[last]) + 4, colour, name);
}

static void draw_axes(FILE *f, const char *what)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"24\" font-size=\"15\">%s: time against length of the signal</text>\n",
            WIDTH, HEIGHT, EDGE, what);
    for (int i = 0; i < LENGTHS; i++)
        fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g s</text>\n", place_x(lengths[i]),
                HEIGHT - EDGE + 20, lengths[i]);
    for (int e = -5; e <= 1; e++)
        fprintf(f,
                "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g s</text>\n",
                EDGE, place_x(300), place_y(pow(10, e)), place_y(pow(10, e)), EDGE - 6, place_y(pow(10, e)) + 4,
                pow(10, e));
}

static int growth(const struct settings *t, const struct case_ *c, const struct machine *m, struct exec *ex,
                  struct peers *peers)
{
    static const char *const colours[PEERS_MOST] = {"#c33", "#38c", "#393"};
    double ours[LENGTHS], theirs[PEERS_MOST][LENGTHS];
    int code = STATUS_OK;
    for (int i = 0; i < LENGTHS && !code; i++) {
        struct outcome o = {0};
        code = run_case(t, c, lengths[i], t->rounds, m, ex, peers, &o);
        ours[i] = o.ours;
        for (int p = 0; p < PEERS_MOST; p++)
            theirs[p][i] = o.peer[p];
    }
    FILE *f = code ? NULL : fopen(t->growth, "w");
    if (!code && !f)
        return fail(STATUS_IO, "cannot write %s", t->growth);
    if (f) {
        draw_axes(f, c->what);
        draw_line(f, "wavemill", "#000", ours);
        for (int p = 0; c->peers[p]; p++)
            draw_line(f, c->peers[p], colours[p], theirs[p]);
        fputs("</svg>\n", f);
        if (fclose(f))
            code = fail(STATUS_IO, "cannot write %s", t->growth);
    }
    return code;
}

static const struct case_ *find(const char *name)
{
    for (int i = 0; i < bench_case_count; i++)
        if (strcmp(bench_cases[i].name, name) == 0)
            return &bench_cases[i];
    return NULL;
}

static int run_all(const struct settings *t, char **names, int count)
{
    struct machine m;
    struct exec *ex = NULL;
    struct peers peers = {0};
    const bool has_peers = access(t->python, X_OK) == 0 && access(t->script, R_OK) == 0;
    machine_measure(&m);
    if (t->json)
        printf("{\"machine\":\"%s\",\"cores\":%ld,\"flops\":%.3g,\"copy_bytes_per_s\":%.3g}\n", m.processor,
               sysconf(_SC_NPROCESSORS_ONLN), m.flops, m.bytes);
    else
        printf("%s, %ld cores: %.0f GFLOP/s, copies at %.1f GB/s; %s, %d threads, medians of %d alternating runs\n",
               m.processor, sysconf(_SC_NPROCESSORS_ONLN), m.flops / 1e9, m.bytes / 1e9, isa_name(t->isa), t->threads,
               t->rounds);
    if (!has_peers)
        fprintf(stderr, "wavemill-bench: no peers: %s or %s is not there\n", t->python, t->script);
    int code = exec_create(&(struct exec_options){.threads = t->threads, .isa = t->isa, .ops = ops_cpu(t->isa)}, &ex);
    if (!code && has_peers)
        code = peers_start(&peers, t->python, t->script, t->threads);
    for (int i = 0; i < (count ? count : bench_case_count) && !code; i++) {
        const struct case_ *const c = count ? find(names[i]) : &bench_cases[i];
        struct outcome o;
        if (!c) {
            code = fail(STATUS_ARGUMENT, "no case '%s' (see --help)", names[i]);
        } else if (t->growth) {
            code = growth(t, c, &m, ex, &peers);
        } else {
            const double standard = strcmp(c->name, "resample") == 0 ? 60 : 300;
            code = run_case(t, c, t->seconds > 0 ? t->seconds : standard, t->rounds, &m, ex, &peers, &o);
        }
    }
    peers_stop(&peers);
    exec_destroy(&ex);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
        {"threads", required_argument, NULL, 't'}, {"isa", required_argument, NULL, 'i'},
        {"python", required_argument, NULL, 'p'},  {"script", required_argument, NULL, 'q'},
        {"growth", required_argument, NULL, 'g'},  {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {0}};
    struct settings t = {.rounds = 5,
                         .threads = 1,
                         .isa = isa_best(),
                         .python = ".deps/peers/bin/python",
                         .script = "bench/peers/signal_peers.py"};
    int code = STATUS_OK;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1 && !code;) {
        switch (o) {
        case 's':
            t.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            t.rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 't':
            t.threads = (int)strtol(optarg, NULL, 10);
            break;
        case 'i':
            code = isa_parse(optarg, &t.isa);
            break;
        case 'p':
            t.python = optarg;
            break;
        case 'q':
            t.script = optarg;
            break;
        case 'g':
            t.growth = optarg;
            break;
        case 'j':
            t.json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (!code && (t.rounds < 1 || t.rounds > ROUNDS_MOST || t.threads < 1 || t.seconds < 0 || t.seconds > 36000))
        code = fail(STATUS_ARGUMENT, "rounds 1 to %d, threads from 1 on, up to 36000 seconds", ROUNDS_MOST);
    if (code) {
        fprintf(stderr, "wavemill-bench: %s\n", status_message());
        return 2;
    }
    snprintf(t.folder, sizeof t.folder, "/tmp/wavemill-bench-XXXXXX");
    if (!mkdtemp(t.folder)) {
        fprintf(stderr, "wavemill-bench: cannot make a folder in /tmp\n");
        return 5;
    }
    code = run_all(&t, argv + optind, argc - optind);
    if (code)
        fprintf(stderr, "wavemill-bench: %s\n", status_message());
    rmdir(t.folder);
    return code == STATUS_OK ? 0 : code == STATUS_ARGUMENT ? 2 : 5;
}
