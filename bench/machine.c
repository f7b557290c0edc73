#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, rising);
    return n == 0 ? NAN : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* Copies of 64 MiB, so that every byte comes from memory and goes there. */
static double copy_bytes_per_second(void)
{
    const size_t bytes = (size_t)64 << 20;
    char *const from = malloc(bytes), *const to = malloc(bytes);
    double best = 0;
    if (from && to) {
        memset(from, 1, bytes);
        memset(to, 2, bytes);
        for (int round = 0; round < 5; round++) {
            const double began = bench_now();
            memcpy(to, from, bytes);
            const double rate = 2 * (double)bytes / (bench_now() - began);
            best = rate > best && to[bytes - 1] == 1 ? rate : best;
        }
    }
    free(from);
    free(to);
    return best;
}

static void read_processor(char *out, size_t capacity)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, capacity, "unknown");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(out, capacity, "%s", strchr(line, ':') + 2);
            out[strcspn(out, "\n")] = '\0';
            break;
        }
    if (f)
        fclose(f);
}

double machine_flops(void);

void machine_measure(struct machine *m)
{
    m->flops = machine_flops();
    m->bytes = copy_bytes_per_second();
    read_processor(m->processor, sizeof m->processor);
}

int signal_make(struct signal *s, int rate_hz, double seconds, const char *folder)
{
    *s = (struct signal){.count = (int64_t)(seconds * rate_hz), .rate_hz = rate_hz};
    s->samples = malloc((size_t)(s->count + 1) * sizeof *s->samples);
    if (!s->samples)
        return fail(STATUS_NOMEM, "out of memory");
    uint32_t state = 1;
    for (int64_t i = 0; i < s->count; i++) {
        state = state * 1664525u + 1013904223u;
        const double t = (double)i / rate_hz, noise = (double)(state >> 8) / 8388608.0 - 1;
        s->samples[i] = (float)(0.1 * noise + 0.4 * sin(2 * M_PI * (220 + 30 * sin(t)) * t));
    }
    snprintf(s->path, sizeof s->path, "%s/signal-%d-%lld.f32", folder, rate_hz, (long long)s->count);
    FILE *f = fopen(s->path, "wb");
    const bool whole = f && fwrite(s->samples, sizeof *s->samples, (size_t)s->count, f) == (size_t)s->count;
    if ((f && fclose(f)) || !whole)
        return fail(STATUS_IO, "cannot write %s", s->path);
    return STATUS_OK;
}

void signal_free(struct signal *s)
{
    free(s->samples);
    if (s->path[0])
        unlink(s->path);
    *s = (struct signal){0};
}

int peers_start(struct peers *p, const char *python, const char *script, int threads)
{
    int in[2], out[2];
    char text[16];
    *p = (struct peers){0};
    if (pipe(in) || pipe(out))
        return fail(STATUS_IO, "pipe failed");
    snprintf(text, sizeof text, "%d", threads);
    p->pid = fork();
    if (p->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        setenv("WAVEMILL_BENCH_THREADS", text, 1);
        execl(python, python, script, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    return p->pid > 0 && p->to && p->from ? STATUS_OK : fail(STATUS_IO, "cannot start %s", python);
}

void peers_stop(struct peers *p)
{
    if (p->to)
        fclose(p->to);
    if (p->from)
        fclose(p->from);
    if (p->pid > 0)
        waitpid(p->pid, NULL, 0);
    *p = (struct peers){0};
}

double peers_run(struct peers *p, const char *peer, const char *name, const struct signal *s)
{
    char line[512];
    if (!p->to)
        return -1;
    fprintf(p->to, "%s %s %d %s\n", peer, name, s->rate_hz, s->path);
    fflush(p->to);
    if (!fgets(line, sizeof line, p->from)) {
        fprintf(stderr, "wavemill-bench: the peers' process has ended\n");
        return -1;
    }
    if (line[0] == '-') {
        fprintf(stderr, "wavemill-bench: %s %s: %s", peer, name, line + 2);
        return -1;
    }
    return strtod(line, NULL);
}
