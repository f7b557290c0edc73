/* The scheduler as a process, and peers that speak its protocol. */
#include "bench_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_FD = 9 };

void child_end(pid_t pid, int signal_number)
{
    if (pid > 0) {
        kill(pid, signal_number);
        waitpid(pid, NULL, 0);
    }
}

/* In the child: descriptor `from` becomes `to`, and whatever the program writes elsewhere is dropped. */
static void become(char *const *argv, int from, int to)
{
    const int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (from < 0) /* its complaints when we hang up */
            dup2(null, 2);
    }
    if (from >= 0)
        dup2(from, to);
    execvp(argv[0], argv);
    _exit(127);
}

int child_start(char *const *argv, FILE **out, pid_t *pid)
{
    int ends[2] = {-1, -1};
    if (out && pipe2(ends, O_CLOEXEC))
        return fail(STATUS_IO, "pipe failed");
    *pid = fork();
    if (*pid == 0)
        become(argv, ends[1], 1);
    if (out) {
        close(ends[1]);
        *out = fdopen(ends[0], "r");
    }
    return *pid > 0 && (!out || *out) ? STATUS_OK : fail(STATUS_IO, "cannot start %s", argv[0]);
}

int server_start(struct server *s, double *ready_s)
{
    char run[32], queue[32], log[32], byte = 'E';
    int ends[2];
    snprintf(run, sizeof run, "%s/run", s->folder);
    snprintf(queue, sizeof queue, "%s/queue", s->folder);
    snprintf(log, sizeof log, "%s/log", s->folder);
    const char *const words[] = {s->program,   "--run-dir", run,     "--journal", queue,
                                 "--ready-fd", "9",         "--log", log,         NULL};
    char *argv[sizeof words / sizeof *words];
    memcpy(argv, words, sizeof words); /* execvp wants them writable and leaves them alone */
    if ((mkdir(s->folder, 0700) && errno != EEXIST) || pipe2(ends, O_CLOEXEC))
        return fail(STATUS_IO, "cannot make the folder %s", s->folder);
    const double began = bench_now();
    s->pid = fork();
    if (s->pid == 0)
        become(argv, ends[1], READY_FD);
    close(ends[1]);
    const bool good = s->pid > 0 && read(ends[0], &byte, 1) == 1 && byte == 'R';
    *ready_s = bench_now() - began;
    close(ends[0]);
    if (!good || clock_getcpuclockid(s->pid, &s->cpu)) {
        server_end(s, SIGKILL);
        return fail(STATUS_INTERNAL, "%s did not become ready", s->program);
    }
    return STATUS_OK;
}

void server_end(struct server *s, int signal_number)
{
    child_end(s->pid, signal_number);
    s->pid = 0;
}

double server_cpu(const struct server *s)
{
    struct timespec t = {0};
    clock_gettime(s->cpu, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int end_open(void *context, const struct server *s, const char *socket, struct end *e)
{
    char address[64];
    *e = (struct end){0};
    snprintf(address, sizeof address, "ipc://%s/run/%s.sock", s->folder, socket);
    const int code = channel_open(context, ZMQ_DEALER, &e->socket);
    return code || zmq_connect(e->socket, address) == 0 ? code : fail(STATUS_IO, "cannot connect to %s", address);
}

void end_close(struct end *e)
{
    packet_release(&e->packet);
    if (e->socket)
        zmq_close(e->socket);
    *e = (struct end){0};
}

int end_send(struct end *e, enum message_type type, const struct wire_schema *schema, const void *body)
{
    return channel_send(e->socket, NULL, type, ++e->seq, schema, body);
}

int end_judge(const struct end *e, enum message_type type)
{
    struct message_error m = {0};
    if (e->packet.header.type == type)
        return STATUS_OK;
    if (e->packet.header.type == MESSAGE_ERROR && packet_decode(&e->packet, &error_schema, &m) == STATUS_OK)
        return fail(STATUS_INTERNAL, "the scheduler answers error %d: %.*s", (int)m.code, (int)m.message.bytes,
                    m.message.bytes ? (const char *)m.message.data : "");
    return fail(STATUS_INTERNAL, "message %d came, %d was expected", e->packet.header.type, (int)type);
}

int end_expect(struct end *e, enum message_type type)
{
    zmq_pollitem_t item = {.socket = e->socket, .events = ZMQ_POLLIN};
    packet_release(&e->packet);
    if (zmq_poll(&item, 1, QUEUE_WAIT_MS) <= 0)
        return fail(STATUS_TIMEOUT, "no message %d came in %d ms", (int)type, QUEUE_WAIT_MS);
    const int code = channel_receive(e->socket, &e->packet);
    return code ? code : end_judge(e, type);
}

int end_hello(struct end *e)
{
    const int code = end_send(e, MESSAGE_HELLO, &hello_schema, &(struct message_hello){.name = wire_str("bench")});
    return code ? code : end_expect(e, MESSAGE_WELCOME);
}

int end_ready(struct end *e, const char *name)
{
    struct wire_buffer kinds = {0};
    int code = wire_append_str(&kinds, "noop");
    const struct message_ready ready = {.name = wire_str(name), .kinds = wire_list_of(&kinds, 1)};
    code = code ? code : end_send(e, MESSAGE_READY, &ready_schema, &ready);
    wire_free(&kinds);
    return code ? code : end_expect(e, MESSAGE_ENGAGED);
}

int end_job(struct end *e, uint64_t *job)
{
    struct message_accepted m = {0};
    int code = end_send(e, MESSAGE_SUBMIT, &submit_schema, &(struct message_submit){.kind = wire_str("noop")});
    code = code ? code : end_expect(e, MESSAGE_ACCEPTED);
    code = code ? code : packet_decode(&e->packet, &accepted_schema, &m);
    *job = m.job;
    return code;
}

int end_add(struct end *e, uint64_t job, uint64_t first, uint32_t count, uint32_t bytes, bool sealed)
{
    struct wire_buffer b = {0};
    uint8_t path[PAYLOAD_BYTES];
    int code = STATUS_OK;
    memset(path, 'p', sizeof path);
    for (uint32_t i = 0; i < count && !code; i++) {
        snprintf((char *)path, 32, "/%020llu", (unsigned long long)(first + i));
        path[21] = '/'; /* over the end of the text */
        code = wire_encode(&item_schema, &(struct message_item){.path = {path, bytes}}, &b);
    }
    const struct message_add m = {.job = job, .first = first, .items = wire_list_of(&b, count), .sealed = sealed};
    code = code ? code : end_send(e, MESSAGE_ADD, &add_schema, &m);
    wire_free(&b);
    return code;
}
