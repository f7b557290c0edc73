/* Submits, starts and restarts of our own queue, and what the disk takes alone. */
#include "bench_queue.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SYNCS = 200, BLOCK = 4096, MANY_A_MESSAGE = 4096, PATH_BYTES = 60 };

int measure_disk(double *p50_s)
{
    char block[BLOCK];
    double seconds[SYNCS];
    int done = 0;
    memset(block, 'f', sizeof block);
    const int fd = open("syncs", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (; fd >= 0 && done < SYNCS; done++) {
        const double began = bench_now();
        if (write(fd, block, sizeof block) != BLOCK || fdatasync(fd))
            break;
        seconds[done] = bench_now() - began;
    }
    if (fd >= 0)
        close(fd);
    unlink("syncs");
    *p50_s = bench_median(seconds, done);
    return done == SYNCS ? STATUS_OK : fail(STATUS_IO, "cannot write and sync a file here");
}

/* Sends items to a job with `window` messages in flight until all are accepted. */
static int submit(struct end *client, uint64_t job, int64_t items, uint32_t count, uint32_t bytes, int window)
{
    int64_t sent = 0;
    int flying = 0, code = STATUS_OK;
    while (!code && (sent < items || flying > 0)) {
        for (; sent < items && flying < window && !code; flying++) {
            const uint32_t now = items - sent < count ? (uint32_t)(items - sent) : count;
            code = end_add(client, job, (uint64_t)sent, now, bytes, false);
            sent += now;
        }
        code = code ? code : end_expect(client, MESSAGE_ACCEPTED);
        flying--;
    }
    return code;
}

int measure_submits(const struct server *s, int64_t items, uint32_t count, int window, double *rate)
{
    void *const context = zmq_ctx_new();
    uint64_t job = 0;
    struct end client;
    int code = end_open(context, s, "client", &client);
    code = code ? code : end_hello(&client);
    code = code ? code : end_job(&client, &job);
    const double began = bench_now();
    code = code ? code : submit(&client, job, items, count, PAYLOAD_BYTES, window);
    *rate = (double)items / (bench_now() - began);
    end_close(&client);
    zmq_ctx_term(context);
    return code;
}

/* ---- submit to start ---- */

static int report(struct end *worker, uint64_t token)
{
    struct wire_buffer b = {0};
    int code = wire_encode(&report_entry_schema, &(struct message_report_entry){.token = token}, &b);
    const struct message_report m = {wire_list_of(&b, 1)};
    code = code ? code : end_send(worker, MESSAGE_REPORT, &report_schema, &m);
    wire_free(&b);
    return code ? code : end_expect(worker, MESSAGE_COMMITS);
}

/* The worker waits before the item is sent: PONG tells that its TAKE has arrived. */
static int start_one(struct end *client, struct end *worker, double *seconds)
{
    uint8_t path[PAYLOAD_BYTES];
    struct wire_buffer item = {0};
    struct message_grant grant = {0};
    struct message_lease lease = {0};
    memset(path, 'p', sizeof path);
    int code = wire_encode(&item_schema, &(struct message_item){.path = {path, sizeof path}}, &item);
    const struct message_submit m = {.kind = wire_str("noop"), .items = wire_list_of(&item, 1), .sealed = true};
    code = code ? code : end_send(worker, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 1});
    code = code ? code : end_send(worker, MESSAGE_PING, &empty_schema, &(struct message_empty){0});
    code = code ? code : end_expect(worker, MESSAGE_PONG);
    const double began = bench_now();
    code = code ? code : end_send(client, MESSAGE_SUBMIT, &submit_schema, &m);
    code = code ? code : end_expect(worker, MESSAGE_GRANT);
    *seconds = bench_now() - began;
    code = code ? code : packet_decode(&worker->packet, &grant_schema, &grant);
    if (!code && !wire_next(&grant.leases, &lease_schema, &lease))
        code = fail(STATUS_INTERNAL, "a GRANT without an item");
    code = code ? code : end_expect(client, MESSAGE_ACCEPTED);
    code = code ? code : report(worker, lease.token);
    wire_free(&item);
    return code;
}

int measure_start(const struct server *s, int64_t items, double *p50_s, double *p99_s)
{
    void *const context = zmq_ctx_new();
    double *const seconds = malloc((size_t)items * sizeof *seconds);
    struct end client = {0}, worker = {0};
    int code = seconds ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : end_open(context, s, "client", &client);
    code = code ? code : end_open(context, s, "worker", &worker);
    code = code ? code : end_hello(&client);
    code = code ? code : end_ready(&worker, "idle");
    for (int64_t i = 0; i < items && !code; i++)
        code = start_one(&client, &worker, &seconds[i]);
    if (!code) {
        *p50_s = bench_median(seconds, (int)items);
        *p99_s = seconds[(99 * items + 99) / 100 - 1]; /* in order now */
    }
    end_close(&client);
    end_close(&worker);
    zmq_ctx_term(context);
    free(seconds);
    return code;
}

/* ---- restarts ---- */

static double resident(pid_t pid)
{
    char name[64];
    long pages = 0, unused = 0;
    char text[128] = "";
    snprintf(name, sizeof name, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(name, "r");
    if (f && fgets(text, sizeof text, f)) {
        char *end = NULL;
        unused = strtol(text, &end, 10); /* the whole size comes first */
        pages = strtol(end, NULL, 10);
    }
    if (f)
        fclose(f);
    return unused > 0 ? (double)pages * (double)sysconf(_SC_PAGESIZE) : 0;
}

static int fill(const struct server *s, int64_t items, uint64_t *job)
{
    void *const context = zmq_ctx_new();
    struct end client;
    int code = end_open(context, s, "client", &client);
    code = code ? code : end_hello(&client);
    code = code ? code : end_job(&client, job);
    code = code ? code : submit(&client, *job, items, MANY_A_MESSAGE, PATH_BYTES, 4);
    code = code ? code : end_add(&client, *job, (uint64_t)items, 0, PATH_BYTES, true); /* sealed: it outlives us */
    code = code ? code : end_expect(&client, MESSAGE_ACCEPTED);
    end_close(&client);
    zmq_ctx_term(context);
    return code;
}

static int is_kept(const struct server *s, uint64_t job, int64_t items)
{
    void *const context = zmq_ctx_new();
    struct message_job m = {0};
    struct end client;
    int code = end_open(context, s, "client", &client);
    code = code ? code : end_hello(&client);
    code = code ? code : end_send(&client, MESSAGE_SHOW, &job_ref_schema, &(struct message_job_ref){job});
    code = code ? code : end_expect(&client, MESSAGE_JOB);
    code = code ? code : packet_decode(&client.packet, &job_schema, &m);
    if (!code && m.queued != (uint64_t)items)
        code = fail(STATUS_INTERNAL, "%llu of %lld items are queued after the restart", (unsigned long long)m.queued,
                    (long long)items);
    end_close(&client);
    zmq_ctx_term(context);
    return code;
}

int measure_restart(struct server *s, int64_t items, double *ready_s, double *resident_bytes)
{
    uint64_t job = 0;
    int code = fill(s, items, &job);
    const double before = resident(s->pid);
    server_end(s, SIGKILL);
    code = code ? code : server_start(s, ready_s);
    code = code ? code : is_kept(s, job, items);
    const double after = code ? 0 : resident(s->pid);
    *resident_bytes = before > after ? before : after;
    return code;
}
