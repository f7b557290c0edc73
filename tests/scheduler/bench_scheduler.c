/* bench_scheduler [ITEMS [CREDITS [memory]]] - the real program with one fast worker that computes nothing: items per
 * second from SUBMIT to the last COMMITS, with paths of 60 and results of 250 bytes, the memory that the scheduler then
 * has, and how soon another is ready when it is killed. The journal lies in the current folder; "memory": none. */
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 4096, WAIT_MS = 5000 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t resident(struct peer_end *client)
{
    struct message_server m = {0};
    const bool good = peer_send(client, MESSAGE_STATS, &empty_schema, &(struct message_empty){0}) &&
                      peer_receive(client, WAIT_MS) == MESSAGE_SERVER && peer_decode(client, &server_schema, &m);
    return good ? m.resident_bytes : 0;
}

static bool add_items(struct peer_end *client, uint64_t job, uint64_t first, uint32_t count, bool sealed)
{
    struct wire_buffer b = {0};
    bool good = true;
    for (uint32_t i = 0; i < count && good; i++) {
        char path[80];
        snprintf(path, sizeof path, "/srv/recordings/2026/a-folder-of-music/some-record/%07llu.wav",
                 (unsigned long long)first + i);
        good = wire_encode(&item_schema, &(struct message_item){.path = wire_str(path)}, &b) == STATUS_OK;
    }
    const struct message_add m = {.job = job, .first = first, .items = wire_list_of(&b, count), .sealed = sealed};
    good = good && peer_send(client, MESSAGE_ADD, &add_schema, &m) && peer_receive(client, WAIT_MS) == MESSAGE_ACCEPTED;
    wire_free(&b);
    return good;
}

/* Takes items and reports them until `items` are committed; the next TAKE goes out with each REPORT. */
static bool work(struct peer_end *worker, uint64_t items, uint64_t credits)
{
    static const uint8_t result[250];
    struct wire_buffer b = {0};
    bool good = peer_send(worker, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = credits});
    for (uint64_t done = 0; good && done < items;) {
        struct message_grant grant = {0};
        struct message_lease lease = {0};
        struct message_verdicts commits = {0};
        const int type = peer_receive(worker, WAIT_MS);
        if (type == MESSAGE_COMMITS) {
            good = peer_decode(worker, &verdicts_schema, &commits);
            done += commits.verdicts.count;
            continue;
        }
        good = type == MESSAGE_GRANT && peer_decode(worker, &grant_schema, &grant);
        b.bytes = 0;
        const uint32_t count = grant.leases.count;
        while (good && wire_next(&grant.leases, &lease_schema, &lease)) {
            const struct message_report_entry e = {.token = lease.token, .result = {result, sizeof result}};
            good = wire_encode(&report_entry_schema, &e, &b) == STATUS_OK;
        }
        good = good &&
               peer_send(worker, MESSAGE_REPORT, &report_schema, &(struct message_report){wire_list_of(&b, count)}) &&
               peer_send(worker, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = credits});
    }
    wire_free(&b);
    return good;
}

static bool measure(uint64_t items, uint64_t credits)
{
    struct peer_end client, worker;
    bool good = peer_open(&client, "run", "client") && peer_open(&worker, "run", "worker") &&
                peer_hello(&client, NULL) && peer_ready(&worker, "w", "noop", NULL);
    const uint64_t empty = resident(&client);
    const double start = seconds();
    const uint64_t job = peer_submit(&client, "noop", 0, false);
    for (uint64_t n = 0; good && n < items; n += BATCH)
        good = add_items(&client, job, n, (uint32_t)(items - n < BATCH ? items - n : BATCH), n + BATCH >= items);
    const double submitted = seconds();
    const uint64_t queued = resident(&client);
    good = good && work(&worker, items, credits);
    const double done = seconds();
    printf("%llu items, %llu at a time: submitted in %.3f s (%.0f/s), granted and committed in %.3f s (%.0f/s)\n"
           "resident: %.1f MiB empty, %.1f queued, %.1f done\n",
           (unsigned long long)items, (unsigned long long)credits, submitted - start,
           (double)items / (submitted - start), done - submitted, (double)items / (done - submitted),
           (double)empty / 0x1p20, (double)queued / 0x1p20, (double)resident(&client) / 0x1p20);
    peer_close(&client);
    peer_close(&worker);
    return good;
}

/* Starts it in the current folder; seconds until it is ready, below 0: it is not. */
static double start(const char *program, bool journal, pid_t *pid)
{
    const double began = seconds();
    char byte = 'E';
    int ends[2];
    if (pipe(ends))
        return -1;
    *pid = fork();
    if (*pid == 0) {
        dup2(ends[1], 9);
        execl(program, program, "--run-dir", "run", "--ready-fd", "9", "--log", "log", journal ? "--journal" : NULL,
              "queue", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    const bool good = read(ends[0], &byte, 1) == 1 && byte == 'R';
    close(ends[0]);
    return good ? seconds() - began : -1;
}

static bool is_kept(uint64_t items)
{
    struct peer_end client;
    struct message_job m = {0};
    const bool good = peer_open(&client, "run", "client") && peer_hello(&client, NULL) &&
                      peer_send(&client, MESSAGE_SHOW, &job_ref_schema, &(struct message_job_ref){1}) &&
                      peer_receive(&client, WAIT_MS) == MESSAGE_JOB && peer_decode(&client, &job_schema, &m) &&
                      m.done == items;
    printf("resident: %.1f MiB\n", (double)resident(&client) / 0x1p20);
    peer_close(&client);
    return good;
}

static bool run(const char *program, uint64_t items, uint64_t credits, bool journal)
{
    pid_t pid = 0;
    bool good = start(program, journal, &pid) >= 0 && measure(items, credits);
    if (good && journal) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        const double ready = start(program, journal, &pid);
        good = ready >= 0;
        printf("ready %.3f s after it was started anew; ", ready);
        good = good && is_kept(items);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return good;
}

int main(int argc, char **argv)
{
    const uint64_t items = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    const uint64_t credits = argc > 2 ? strtoull(argv[2], NULL, 10) : 64;
    const char *bin = getenv("WAVEMILL_BIN");
    char name[4096], folder[] = "bench-scheduler-XXXXXX";
    snprintf(name, sizeof name, "%s/wavemill-scheduler", bin ? bin : "bin");
    char *program = realpath(name, NULL);
    if (!program) {
        fputs("WAVEMILL_BIN must name the folder of wavemill-scheduler\n", stderr);
        return 2;
    }
    if (!mkdtemp(folder) || chdir(folder))
        return 5;
    const bool good = run(program, items, credits, argc <= 3 || strcmp(argv[3], "memory") != 0);
    free(program);
    if (chdir("..") == 0 && (fork() == 0))
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
    wait(NULL);
    return good ? 0 : 1;
}
