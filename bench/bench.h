/* bench - what the parts of wavemill-bench share. */
#ifndef BENCH_H
#define BENCH_H
#include "batch.h"
#include "network.h"

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

/* What an operation starts from: the signal, as one channel or two, or what is made of it before anything is timed; for
 * networks as many frames of noise as one segment of the signal has. */
enum case_source { SOURCE_SAMPLES, SOURCE_STEREO, SOURCE_SPECTRA, SOURCE_BANDS, SOURCE_NETWORK };
/* What is timed: the operation alone, or with the passes that finish a log-mel spectrogram and cepstra. */
enum passes { PASS_ALONE, PASS_TOP_DB, PASS_MFCC };

struct case_ {
    const char *row, *what; /* row: of ops.h, or the output of its spectral row */
    int rate_hz;
    enum case_source source;
    enum passes passes;
    struct gpu_case c;                 /* of networks the name only: network.c has the rest */
    const char *peers[PEERS_MOST + 1]; /* NULL-terminated; "libsamplerate" runs in this process */
};
extern const struct case_ bench_cases[];
extern const int bench_case_count;

/* A case on a signal, in the memory of an exec: everything is there and touched before it is timed. */
struct work {
    struct exec *ex;
    struct gpu_case c;
    enum passes passes;
    struct network *network; /* NULL: a row on batches */
    struct ragged x, y, cepstra, floor;
    int64_t offsets[4][2];
    bool borrowed; /* the data of x are the signal's */
    float peak;
    struct device_event *from, *to; /* NULL on the CPU */
};
int work_open(struct work *w, struct exec *ex, const struct case_ *c, const struct signal *s) MUST_USE;
void work_close(struct work *w);
/* Seconds of one of `calls` calls: by the clock on the CPU, by events on a device. */
int work_time(struct work *w, int calls, double *seconds) MUST_USE;
/* What it has to compute and to move at least. */
double work_flops(const struct work *w);
double work_bytes(const struct work *w);

/* Time against the length of the signal as an SVG; seconds [GROWTH_LENGTHS] of each line, at most 0: not measured. */
enum { GROWTH_LENGTHS = 6 };
extern const double growth_lengths[GROWTH_LENGTHS];
struct growth_line {
    const char *name, *colour;
    double seconds[GROWTH_LENGTHS];
};
int growth_draw(const char *path, const char *what, const struct growth_line *lines, int count) MUST_USE;

#endif
