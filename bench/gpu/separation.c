/* separation check|speed [--backend cuda|emulated] [--size tiny|small|full] [--folder F] [--seconds S] - HTDemucs on a
 * device, with weights from a seed. check: beside the CPU's own on the same machine, in every precision, one segment
 * and eight, each plain, recorded and played. speed: what a segment takes, a song of four minutes, and many songs.
 *
 * With --folder check leaves there what bench/gpu/separation_peer.py compares: the network of four stems
 * (model.safetensors), a segment (mix.raw) and its stems (fp32.raw and so on; float32, [frames][2],
 * [frames][stems][2]).
 *
 * One line of JSON per row. Exit status: 0, 1 a check fails, 2 usage, 4 no device, 5 anything else. */
#include "separation.h"

#include "batch.h"
#include "ops.h"

#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIXES = 2, RUNS = 3, THREADS_MOST = 64 };

/* Below it more than rounding is wrong; models/htdemucs.md has what is usual. */
static const double least_db[SEPARATION_PRECISIONS] = {110, 40, 25};

struct checked { /* one network */
    struct separation_bench *b;
    struct seeded *weights;
    struct htdemucs_config c;
    size_t wave, all; /* floats of a mixture, of its stems */
    float *mix[MIXES], *want[MIXES], *got[SEPARATION_BATCH];
};

struct found {           /* of one precision */
    double db, db_batch; /* of the worst stem: alone, among others */
    bool equal;          /* bits, of what runs again and beside others */
    uint64_t launches[RUNS], graphs[RUNS];
};

void separation_mix(int number, int64_t frames, float *mix)
{
    seeded_noise((uint64_t)number + 100, (size_t)frames * 2, mix);
    for (int64_t t = 0; t < frames; t++)
        for (int channel = 0; channel < 2; channel++)
            mix[2 * t + channel] += (float)sin((double)t * (0.03 + 0.01 * (number + channel)));
}

void separation_not_run(const char *row, const char *why)
{
    printf("{\"row\":\"%s\",\"not_run\":\"", row);
    for (; *why; why++)
        if ((unsigned char)*why >= ' ')
            printf(*why == '"' || *why == '\\' ? "\\%c" : "%c", *why);
    printf("\"}\n");
    fflush(stdout);
}

/* The worse; NaN, which no limit lets pass, stays. */
static double worse(double a, double b)
{
    return isnan(a) || a <= b ? a : b;
}

/* Of the worst stem. */
static double worst_db(const struct checked *k, const float *want, const float *got)
{
    double worst = INFINITY;
    for (int s = 0; s < k->c.stems; s++) {
        double signal = 0, error = 0;
        for (int64_t i = 0; i < k->c.segment * 2; i++) {
            const size_t at = (size_t)((i / 2 * k->c.stems + s) * 2 + i % 2);
            const double d = (double)got[at] - (double)want[at];
            signal += (double)want[at] * (double)want[at];
            error += d * d;
        }
        worst = worse(worst, 10 * log10(signal / error));
    }
    return worst;
}

static void close_checked(struct checked *k)
{
    for (int i = 0; i < MIXES; i++) {
        free(k->mix[i]);
        free(k->want[i]);
    }
    for (int i = 0; i < SEPARATION_BATCH; i++)
        free(k->got[i]);
    seeded_destroy(&k->weights);
}

static int run_on_cpu(struct checked *k)
{
    struct htdemucs *net = NULL;
    struct htdemucs_room *room = NULL;
    int code = seeded_load(k->weights, PRECISION_F32, k->b->cpu, &net);
    code = code ? code : htdemucs_room_create(net, k->b->cpu, 1, &room);
    for (int i = 0; i < MIXES && !code; i++)
        code = htdemucs_run(net, k->b->cpu, room, &(struct htdemucs_segment){k->mix[i], k->want[i]}, 1);
    htdemucs_room_destroy(&room);
    htdemucs_unload(&net);
    return code;
}

static int open_checked(struct separation_bench *b, int stems, struct checked *k)
{
    *k = (struct checked){.b = b, .c = seeded_config(b->size, stems)};
    bool room = true;
    k->wave = (size_t)k->c.segment * 2;
    k->all = k->wave * (size_t)stems;
    for (int i = 0; i < MIXES; i++) {
        k->mix[i] = calloc(k->wave, sizeof(float));
        k->want[i] = calloc(k->all, sizeof(float));
        room = room && k->mix[i] && k->want[i];
    }
    for (int i = 0; i < SEPARATION_BATCH; i++)
        room = (k->got[i] = calloc(k->all, sizeof(float))) && room;
    if (!room)
        return fail(STATUS_NOMEM, "out of memory");
    for (int i = 0; i < MIXES; i++)
        separation_mix(i, k->c.segment, k->mix[i]);
    const int code = seeded_create(&k->c, SEPARATION_SEED, b->cpu, &k->weights);
    return code ? code : run_on_cpu(k);
}

/* ---- files for others ---- */

static int write_floats(const struct checked *k, const char *name, const float *x, size_t floats)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.raw", k->b->folder, name);
    FILE *const out = fopen(path, "wb");
    bool written = out && fwrite(x, sizeof *x, floats, out) == floats;
    written = out && fclose(out) == 0 && written;
    return written ? STATUS_OK : fail(STATUS_IO, "cannot write %s", path);
}

static int write_network(const struct checked *k)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model.safetensors", k->b->folder);
    const int code = seeded_write(k->weights, path);
    return code ? code : write_floats(k, "mix", k->mix[0], k->wave);
}

/* ---- on the device ---- */

/* One segment: plain, recorded and played. */
static int run_alone(struct checked *k, const struct htdemucs *net, struct htdemucs_room *room, float *again,
                     struct found *f)
{
    struct separation_bench *const b = k->b;
    struct device_counters before, after;
    int code = STATUS_OK;
    f->db = INFINITY;
    for (int i = 0; i < RUNS && !code; i++) {
        float *const stems = i == 0 ? k->got[0] : i == 1 ? again : k->got[1];
        const int mix = i == 2;
        b->api->counters(exec_device(b->ex), &before);
        code = htdemucs_run(net, b->ex, room, &(struct htdemucs_segment){k->mix[mix], stems}, 1);
        b->api->counters(exec_device(b->ex), &after);
        f->launches[i] = after.launches - before.launches;
        f->graphs[i] = after.graph_launches - before.graph_launches;
        f->db = worse(f->db, worst_db(k, k->want[mix], stems));
    }
    f->equal = memcmp(k->got[0], again, k->all * sizeof *again) == 0;
    return code;
}

/* Several, of two mixtures in turns: each as it is alone. */
static int run_batch(struct checked *k, const struct htdemucs *net, struct htdemucs_room *room, float *const alone[],
                     struct found *f)
{
    struct htdemucs_segment segments[SEPARATION_BATCH];
    const int batch = separation_batch(k->b);
    int code = STATUS_OK;
    f->db_batch = INFINITY;
    for (int r = 0; r < 2 && !code; r++) {
        for (int i = 0; i < batch; i++) {
            memset(k->got[i], 0xff, k->all * sizeof(float));
            segments[i] = (struct htdemucs_segment){k->mix[(i + r) % MIXES], k->got[i]};
        }
        code = htdemucs_run(net, k->b->ex, room, segments, batch);
        for (int i = 0; i < batch && !code; i++) {
            f->db_batch = worse(f->db_batch, worst_db(k, k->want[(i + r) % MIXES], k->got[i]));
            f->equal = f->equal && memcmp(k->got[i], alone[(i + r) % MIXES], k->all * sizeof(float)) == 0;
        }
    }
    return code;
}

static int run_precision(struct checked *k, enum precision precision, struct found *f)
{
    struct htdemucs *net = NULL;
    struct htdemucs_room *room = NULL;
    float *alone[MIXES] = {malloc(k->all * sizeof(float)), malloc(k->all * sizeof(float))};
    int code = alone[0] && alone[1] ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : seeded_load(k->weights, precision, k->b->ex, &net);
    code = code ? code : htdemucs_room_create(net, k->b->ex, separation_batch(k->b), &room);
    code = code ? code : run_alone(k, net, room, alone[0], f);
    if (!code && k->b->folder && k->c.stems == 4)
        code = write_floats(k, precision_name(precision), k->got[0], k->all);
    if (!code) {
        memcpy(alone[1], k->got[1], k->all * sizeof(float));
        code = run_batch(k, net, room, alone, f);
    }
    htdemucs_room_destroy(&room);
    htdemucs_unload(&net);
    free(alone[0]);
    free(alone[1]);
    return code;
}

/* From the second run on one launch of a graph, which the second recorded; the third launches nothing else. */
static bool plays(const struct found *f)
{
    return f->launches[0] > 0 && f->graphs[0] == 0 && f->graphs[1] == 1 && f->graphs[2] == 1 && f->launches[2] == 0;
}

/* JSON has neither infinities nor NaN. */
static double shown(double db)
{
    return isnan(db) ? -1 : fmin(db, 999);
}

static void print_found(const struct checked *k, enum precision p, const struct found *f, bool *failed)
{
    const bool near = f->db >= least_db[p] && f->db_batch >= least_db[p], passed = near && f->equal && plays(f);
    *failed |= !passed;
    printf("{\"row\":\"%d stems, "
           "%s\",\"db\":%.2f,\"db_batch\":%.2f,\"batch\":%d,\"least_db\":%.0f,\"equal\":%s,\"launches\":%llu,"
           "\"graph_launches\":%llu,\"launches_later\":%llu,\"passed\":%s}\n",
           k->c.stems, precision_name(p), shown(f->db), shown(f->db_batch), separation_batch(k->b), least_db[p],
           f->equal ? "true" : "false", (unsigned long long)f->launches[0], (unsigned long long)f->graphs[2],
           (unsigned long long)f->launches[2], passed ? "true" : "false");
    fflush(stdout);
}

int separation_check(struct separation_bench *b, bool *failed)
{
    int code = STATUS_OK;
    for (int stems = 4; stems <= 6 && !code; stems += 2) {
        struct checked k;
        code = open_checked(b, stems, &k);
        if (!code && b->folder && stems == 4)
            code = write_network(&k);
        for (int p = PRECISION_F32; p < SEPARATION_PRECISIONS && !code; p++) {
            struct found f = {0};
            code = run_precision(&k, (enum precision)p, &f);
            if (!code)
                print_found(&k, (enum precision)p, &f, failed);
        }
        close_checked(&k);
    }
    return code;
}

/* ---- set-up ---- */

static int open_execs(struct separation_bench *b, const char *backend)
{
    struct exec_options o = {.isa = isa_best()};
    cpu_set_t set;
    o.threads = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    o.threads = o.threads > THREADS_MOST ? THREADS_MOST : o.threads;
    o.ops = ops_cpu(o.isa);
    if (!o.ops) { /* built without the vector twins */
        o.isa = ISA_SCALAR;
        o.ops = ops_cpu(o.isa);
    }
    int code = batch_open(backend, &b->ex);
    code = code ? code : exec_create(&o, &b->cpu);
    if (!code) {
        b->api = exec_device_api(b->ex);
        printf("{\"row\":\"cpu\",\"isa\":\"%s\",\"threads\":%d}\n", isa_name(o.isa), o.threads);
    }
    return code;
}

static int usage(void)
{
    fprintf(stderr, "separation check|speed [--backend cuda|emulated] [--size tiny|small|full] [--folder F] "
                    "[--seconds S]\n");
    return 2;
}

static bool parse_size(const char *name, enum seeded_size *out)
{
    static const char *const sizes[] = {"tiny", "small", "full"};
    for (int i = SEEDED_TINY; i <= SEEDED_FULL; i++)
        if (strcmp(name, sizes[i]) == 0) {
            *out = (enum seeded_size)i;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"backend", required_argument, NULL, 'b'},
                                            {"size", required_argument, NULL, 'z'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {0}};
    struct separation_bench b = {.size = SEEDED_FULL, .seconds = 15};
    const char *backend = "cuda";
    bool failed = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b')
            backend = optarg;
        else if (o == 'f')
            b.folder = optarg;
        else if (o == 's')
            b.seconds = strtod(optarg, NULL);
        else if (o != 'z' || !parse_size(optarg, &b.size))
            return usage();
    }
    const char *const what = optind + 1 == argc ? argv[optind] : "";
    const bool speed = strcmp(what, "speed") == 0;
    if ((!speed && strcmp(what, "check") != 0) || !(b.seconds > 0))
        return usage();
    int code = open_execs(&b, backend);
    code = code ? code : speed ? separation_speed(&b) : separation_check(&b, &failed);
    exec_destroy(&b.ex);
    exec_destroy(&b.cpu);
    if (code)
        fprintf(stderr, "separation: %s\n", status_message());
    return code == STATUS_UNSUPPORTED ? 4 : code ? 5 : failed ? 1 : 0;
}
