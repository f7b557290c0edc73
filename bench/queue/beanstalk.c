/* beanstalkd, by its own protocol over a local socket. */
#include "bench_queue.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PUTS = 64, CYCLE_PUTS = 256, TEXT = 1 << 16, CONNECTS = 200 };
#define SOCKET "beanstalkd.sock"

struct link {
    int fd;
    size_t bytes; /* in text */
    char text[TEXT];
};

static int link_open(struct link *l)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    l->bytes = 0;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval most = {.tv_sec = QUEUE_WAIT_MS / 1000}; /* nothing waits for ever */
    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    for (int i = 0; i < CONNECTS && l->fd >= 0; i++) {
        if (connect(l->fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return STATUS_OK;
        usleep(20000);
    }
    return fail(STATUS_IO, "beanstalkd does not answer");
}

static void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

static int send_all(const struct link *l, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = send(l->fd, data, bytes, MSG_NOSIGNAL);
        if (n <= 0)
            return fail(STATUS_IO, "beanstalkd does not take or send anything any more");
        data += n;
        bytes -= (size_t)n;
    }
    return STATUS_OK;
}

static int put(const struct link *l, int count)
{
    static const char command[] = "put 0 0 60 200\r\n";
    char text[CYCLE_PUTS * (PAYLOAD_BYTES + 24)];
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        memcpy(text + bytes, command, sizeof command - 1);
        bytes += sizeof command - 1;
        memset(text + bytes, 'p', PAYLOAD_BYTES);
        bytes += PAYLOAD_BYTES;
        memcpy(text + bytes, "\r\n", 2);
        bytes += 2;
    }
    return count ? send_all(l, text, bytes) : STATUS_OK;
}

/* Waits until something has come, and reads it. */
static int fill(struct link *l)
{
    const ssize_t n = recv(l->fd, l->text + l->bytes, sizeof l->text - l->bytes, 0);
    if (n <= 0)
        return fail(STATUS_IO, "beanstalkd does not take or send anything any more");
    l->bytes += (size_t)n;
    return STATUS_OK;
}

/* The next whole line without its end; false: there is none yet. A RESERVED line comes with its body. */
static bool next_line(struct link *l, size_t *at, char line[128])
{
    const char *const begin = l->text + *at, *const end = memchr(begin, '\n', l->bytes - *at);
    if (!end)
        return false;
    const size_t bytes = (size_t)(end - begin);
    snprintf(line, 128, "%.*s", (int)(bytes ? bytes - 1 : 0), begin);
    const size_t body = strncmp(line, "RESERVED", 8) == 0 ? PAYLOAD_BYTES + 2 : 0;
    if (*at + bytes + 1 + body > l->bytes)
        return false;
    *at += bytes + 1 + body;
    return true;
}

static void forget(struct link *l, size_t at)
{
    memmove(l->text, l->text + at, l->bytes - at);
    l->bytes -= at;
}

/* Counts the answers INSERTED that are there. */
static int inserted(struct link *l, int64_t *count)
{
    char line[128];
    size_t at = 0;
    int code = STATUS_OK;
    while (!code && next_line(l, &at, line)) {
        if (strncmp(line, "INSERTED", 8) != 0)
            code = fail(STATUS_INTERNAL, "beanstalkd answers '%s'", line);
        ++*count;
    }
    forget(l, at);
    return code;
}

static int puts_rate(int64_t items, double *rate)
{
    static struct link l;
    int64_t sent = 0, done = 0;
    int code = link_open(&l);
    const double began = bench_now();
    while (!code && done < items) {
        int64_t more = PUTS - (sent - done);
        more = more < items - sent ? more : items - sent;
        code = put(&l, (int)more);
        sent += more;
        code = code ? code : fill(&l);
        code = code ? code : inserted(&l, &done);
    }
    *rate = (double)items / (bench_now() - began);
    link_close(&l);
    return code;
}

/* A worker's answers: what is reserved is deleted, and then the next reserved. One command at a time: sent together,
 * another connection was seen to be read no more (1.12). */
static int work(struct link *l, int64_t *deleted)
{
    char line[128], text[96];
    size_t at = 0;
    int code = fill(l);
    while (!code && next_line(l, &at, line)) {
        if (strcmp(line, "DELETED") == 0) {
            ++*deleted;
            code = send_all(l, "reserve\r\n", 9);
        } else if (strncmp(line, "RESERVED ", 9) == 0) {
            snprintf(text, sizeof text, "delete %lld\r\n", strtoll(line + 9, NULL, 10));
            code = send_all(l, text, strlen(text));
        } else {
            code = fail(STATUS_INTERNAL, "beanstalkd answers '%s'", line);
        }
    }
    forget(l, at);
    return code;
}

static int cycle(struct link *links, int64_t items, double *rate)
{
    struct pollfd fds[WORKERS + 1];
    int64_t sent = 0, put_done = 0, deleted = 0;
    int code = STATUS_OK;
    for (int i = 0; i <= WORKERS; i++)
        fds[i] = (struct pollfd){links[i].fd, POLLIN, 0};
    for (int i = 1; i <= WORKERS && !code; i++)
        code = send_all(&links[i], "reserve\r\n", 9);
    const double began = bench_now();
    while (!code && deleted < items) {
        int64_t more = CYCLE_PUTS - (sent - deleted);
        more = more < items - sent ? more : items - sent;
        code = put(&links[0], (int)more);
        sent += more;
        if (!code && poll(fds, WORKERS + 1, QUEUE_WAIT_MS) <= 0)
            code = fail(STATUS_TIMEOUT, "beanstalkd sends nothing in %d ms", QUEUE_WAIT_MS);
        if (!code && fds[0].revents) {
            code = fill(&links[0]);
            code = code ? code : inserted(&links[0], &put_done);
        }
        for (int i = 1; i <= WORKERS && !code; i++)
            if (fds[i].revents)
                code = work(&links[i], &deleted);
    }
    *rate = (double)items / (bench_now() - began);
    return code;
}

static int cycles_rate(int64_t items, double *rate)
{
    static struct link links[WORKERS + 1];
    int code = STATUS_OK;
    for (int i = 0; i <= WORKERS; i++)
        links[i].fd = -1;
    for (int i = 0; i <= WORKERS && !code; i++)
        code = link_open(&links[i]);
    code = code ? code : cycle(links, items, rate);
    for (int i = 0; i <= WORKERS; i++)
        link_close(&links[i]);
    return code;
}

/* Started anew for each figure, with an empty log. */
static int with_server(const char *sync_ms, int64_t items, int (*body)(int64_t, double *), double *rate)
{
    static int count;
    char folder[32];
    pid_t pid = 0;
    snprintf(folder, sizeof folder, "beanstalkd-%d", count++);
    const char *const words[] = {"beanstalkd", "-l", "unix:beanstalkd.sock", "-b", folder, "-f", sync_ms, NULL};
    char *argv[sizeof words / sizeof *words];
    memcpy(argv, words, sizeof words); /* execvp wants them writable and leaves them alone */
    if (mkdir(folder, 0700))
        return fail(STATUS_IO, "cannot make the folder %s", folder);
    unlink(SOCKET);
    int code = child_start(argv, NULL, &pid);
    code = code ? code : body(items, rate);
    child_end(pid, SIGKILL);
    return code;
}

int measure_beanstalk(int sync_ms, int64_t puts, int64_t cycles, struct beanstalk *out)
{
    char text[16];
    snprintf(text, sizeof text, "%d", sync_ms);
    const int code = with_server(text, puts, puts_rate, &out->puts);
    return code ? code : with_server(text, cycles, cycles_rate, &out->cycles);
}
