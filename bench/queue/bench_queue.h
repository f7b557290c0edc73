/* queue - what the parts of `wavemill-bench queue` share: the job queue beside others on the same disk.
 *
 *   folder     everything runs in a folder of its own, which is the current one: sockets and journals have short names
 *   errors     functions that can fail return STATUS_*; a rival that is not there is STATUS_NOT_FOUND
 *   time       seconds by bench_now() */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H
#include "bench.h"
#include "channel.h"

#include <sys/types.h>
#include <time.h>

enum { PAYLOAD_BYTES = 200, WORKERS = 4, QUEUE_WAIT_MS = 10000 };

/* ---- rows of the table ---- */

enum row_bar { BAR_NONE, BAR_LEAST, BAR_MOST }; /* the median must be at least, or at most, the bar */

enum row_id {
    ROW_DISK,
    ROW_SUBMITS,
    ROW_SUBMITS_64,
    ROW_PUTS,
    ROW_PUTS_LAX,
    ROW_SUBMITS_RATIO,
    ROW_BATCHED,
    ROW_UNBATCHED,
    ROW_JOBS,
    ROW_BEANSTALKD,
    ROW_BEANSTALKD_LAX,
    ROW_RQ_BATCHED,
    ROW_RQ,
    ROW_CELERY,
    ROW_BATCHED_RATIO,
    ROW_UNBATCHED_RATIO,
    ROW_JOBS_RATIO,
    ROW_BEANSTALKD_RATIO,
    ROW_START_P50,
    ROW_START_P99,
    ROW_CPU_BATCHED,
    ROW_CPU_UNBATCHED,
    ROW_CPU_JOBS,
    ROW_READY_FEW,
    ROW_READY_MANY,
    ROW_MEMORY_FEW,
    ROW_MEMORY_MANY,
    ROWS
};

struct row {
    const char *name, *unit;
    enum row_bar kind;
    double bar;     /* in the unit */
    double scale;   /* from what is measured to the unit */
    bool full_size; /* the bar is of the full number of items only */
    int count;      /* of values */
    char why[200];  /* why it has none */
    double value[ROUNDS_MOST];
};
extern struct row queue_rows[ROWS];

void row_add(enum row_id id, double value); /* one round's, not scaled */
void row_skip(enum row_id id, const char *why);
double row_median(enum row_id id);         /* not scaled; 0: none */
void rows_name(int64_t few, int64_t many); /* of the restarts: how many items */
void rows_print(bool json, bool judged);

/* ---- the server and its peers ---- */

struct server {
    const char *program;
    char folder[16]; /* under the current one */
    pid_t pid;
    clockid_t cpu;
};
int server_start(struct server *s, double *ready_s) MUST_USE; /* on what the folder holds */
void server_end(struct server *s, int signal_number);
double server_cpu(const struct server *s); /* seconds that it has computed since it was started */

/* Starts a program that ends with this one; its standard output is *out unless that is NULL, else goes nowhere. */
int child_start(char *const *argv, FILE **out, pid_t *pid) MUST_USE;
void child_end(pid_t pid, int signal_number);

struct end { /* a DEALER */
    void *socket;
    struct packet packet; /* the last one received */
    uint32_t seq;
};
int end_open(void *context, const struct server *s, const char *socket, struct end *e) MUST_USE;
void end_close(struct end *e);
int end_send(struct end *e, enum message_type type, const struct wire_schema *schema, const void *body) MUST_USE;
int end_expect(struct end *e, enum message_type type) MUST_USE;      /* waits for it; anything else is an error */
int end_judge(const struct end *e, enum message_type type) MUST_USE; /* of what was received: as above */
int end_hello(struct end *e) MUST_USE;
int end_ready(struct end *e, const char *name) MUST_USE;
/* An open job without items; *job. */
int end_job(struct end *e, uint64_t *job) MUST_USE;
/* Sends `count` items of PAYLOAD_BYTES (`bytes`: of so many) from `first` on. */
int end_add(struct end *e, uint64_t job, uint64_t first, uint32_t count, uint32_t bytes, bool sealed) MUST_USE;

/* ---- what is measured; each of a server that is new, or was killed ---- */

int measure_disk(double *p50_s) MUST_USE; /* fdatasync of a 4 KiB append */
/* Items per second until all are accepted, `count` a message, `window` messages in flight. */
int measure_submits(const struct server *s, int64_t items, uint32_t count, int window, double *rate) MUST_USE;

enum cycle { CYCLE_BATCHED, CYCLE_UNBATCHED, CYCLE_JOBS };
struct cycles {
    double rate;  /* items per second until the watcher has seen them all */
    double cpu_s; /* of the scheduler, per item */
};
int measure_cycles(const struct server *s, enum cycle how, int64_t items, struct cycles *out) MUST_USE;
int measure_start(const struct server *s, int64_t items, double *p50_s, double *p99_s) MUST_USE;
/* Items are queued, the server is killed and started anew. */
int measure_restart(struct server *s, int64_t items, double *ready_s, double *resident_bytes) MUST_USE;

/* beanstalkd that syncs at most every so many milliseconds, 0: each time. */
struct beanstalk {
    double puts, cycles; /* per second */
};
int measure_beanstalk(int sync_ms, int64_t puts, int64_t cycles, struct beanstalk *out) MUST_USE;

/* The Python rivals: jobs per second. */
struct python_rival {
    double batched, single; /* batched: 0 where it has no such thing */
};
int measure_python(const char *python, const char *script, const char *rival, int64_t items,
                   struct python_rival *out) MUST_USE;

int queue_main(int argc, char **argv);

#endif
