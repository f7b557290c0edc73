/* bench - what the parts of wavemill-bench share. */
#ifndef BENCH_H
#define BENCH_H
#include "ops.h"

#include <stdbool.h>
#include <stdio.h>

enum { ROUNDS_MOST = 99, PEERS_MOST = 3 };

double bench_now(void);                     /* seconds, monotonic */
double bench_median(double *values, int n); /* reorders */

/* What one core of this machine can do, measured now. */
struct machine {
    double flops; /* f32 per second, multiply and add counted apart, of the widest instruction set */
    double bytes; /* per second, read and written, of copies that fit no cache */
    char processor[128];
};
void machine_measure(struct machine *m);

/* A signal that both sides have: noise and tones from a seed, also as a raw file for the peers. */
struct signal {
    float *samples;
    int64_t count;
    int rate_hz;
    char path[256];
};
int signal_make(struct signal *s, int rate_hz, double seconds, const char *folder) MUST_USE;
void signal_free(struct signal *s);

/* The peers' process. */
struct peers {
    FILE *to, *from;
    int pid;
};
int peers_start(struct peers *p, const char *python, const char *script, int threads) MUST_USE;
void peers_stop(struct peers *p);
/* Seconds that a peer took; negative when it cannot, which is said once on standard error. */
double peers_run(struct peers *p, const char *peer, const char *name, const struct signal *s);

/* One operation of ours, on a signal, with its output in memory that is there and touched. */
struct case_ {
    const char *name, *what;
    int rate_hz;
    const char *peers[PEERS_MOST + 1]; /* NULL-terminated; "libsamplerate" runs in this process */
    int (*run)(struct exec *ex, const struct signal *s, void *output, void *input) MUST_USE;
    size_t (*output_bytes)(const struct signal *s);
    int (*prepare)(struct exec *ex, const struct signal *s, void **input) MUST_USE; /* may be NULL; not timed */
    double (*flops)(const struct signal *s);
    double (*bytes)(const struct signal *s); /* that must move, at least */
};
extern const struct case_ bench_cases[];
extern const int bench_case_count;

#endif
