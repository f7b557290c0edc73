/* rogue_compute - a compute child that misbehaves: WAVEMILL_ROGUE says how. For test_supervisor. */
#include "log.h"
#include "task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TASK_SOCKET = 3 };

static _Alignas(16) char buffer[sizeof(struct task_request) + TASK_PARAMS_MAX];

static int bytes_of(const char *text, long more)
{
    const int fd = memfd_create("handed", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || ftruncate(fd, (long)strlen(text) + more))
        return -1;
    return fd;
}

static int hand(uint64_t id, uint32_t output, const char *line, int fd)
{
    struct task_reply r = {.magic = TASK_MAGIC, .event = TASK_HANDED, .id = id, .output = output};
    snprintf(r.message, sizeof r.message, "%s", line);
    const int code = fd < 0 ? task_send_reply(TASK_SOCKET, &r) : task_send_saved(TASK_SOCKET, &r, fd);
    if (fd >= 0)
        close(fd);
    return code;
}

/* A large file, which takes a while; meanwhile some that cannot be, and one that is replaced again and again. */
static int hand_all(uint64_t id)
{
    int ends[2];
    char text[32];
    if (pipe(ends))
        return 1;
    int code = hand(id, TRAIN_HOW, "large", bytes_of("x", 60 << 20));
    code = code ? code : hand(id, UINT32_MAX, "", bytes_of("nowhere", 0));
    code = code ? code : hand(id, TRAIN_FILES + 3 * 2, "", bytes_of("of a third sound", 0));
    code = code ? code : hand(id + 1000, TRAIN_METRICS, "", bytes_of("of another item", 0));
    code = code ? code : hand(id, TRAIN_METRICS, "without a file", -1);
    code = code ? code : hand(id, TRAIN_CONFIG, "a pipe", ends[0]);
    code = code ? code : hand(id, TRAIN_MAPS, "too large", bytes_of("x", 65 << 20));
    for (int i = 0; i < 300 && !code; i++) {
        snprintf(text, sizeof text, "number %d", i);
        code = hand(id, TRAIN_METRICS, i == 299 ? "the last" : "one of many", bytes_of(text, 0));
    }
    close(ends[1]);
    return code;
}

int main(void)
{
    const char *how = getenv("WAVEMILL_ROGUE");
    const struct task_request *r;
    const uint8_t *params;
    int fds[TASK_FDS_MOST], i = 0;
    while (how && task_receive_request(TASK_SOCKET, buffer, &r, &params, fds) == STATUS_OK) {
        struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_STARTED, .id = r->id};
        int code = task_send_reply(TASK_SOCKET, &reply);
        if (strcmp(how, "garbage") == 0 && i++ == 0)
            code = send(TASK_SOCKET, "garbage", 7, MSG_NOSIGNAL) == 7 ? code : STATUS_IO;
        if (strcmp(how, "progress") == 0) {
            static const double values[] = {INFINITY, NAN, -3, 1e300};
            reply.event = TASK_PROGRESS;
            for (; i < 4 && !code; i++) {
                reply.progress = values[i];
                code = task_send_reply(TASK_SOCKET, &reply);
                usleep(300000);
            }
            reply.progress = 0.5;
            code = code ? code : task_send_reply(TASK_SOCKET, &reply);
            pause();
        }
        if (strcmp(how, "stranger") == 0) { /* answers for an item that it does not have */
            reply.event = TASK_DONE;
            reply.id = r->id + 1000;
            code = task_send_reply(TASK_SOCKET, &reply);
        }
        if (strcmp(how, "talks") == 0)
            for (int line = 0; line < 500; line++)
                fprintf(stderr, "%c%016llxline %03d of five hundred, longer than most of what is said in a log\n",
                        LOG_TAG, (unsigned long long)r->id, line);
        if (strcmp(how, "hands") == 0) {
            reply.event = TASK_FAILED;
            reply.code = STATUS_ARGUMENT;
            snprintf(reply.message, sizeof reply.message, "that was all");
            if (code || hand_all(r->id) || task_send_reply(TASK_SOCKET, &reply))
                return 1;
            continue;
        }
        reply.event = TASK_DONE;
        reply.id = r->id;
        reply.result_bytes = strcmp(how, "large") == 0 ? UINT32_MAX : 1;
        code = code || pwrite(fds[TASK_FD_RESULT], "\x80", 1, 0) != 1;
        if (code || task_send_reply(TASK_SOCKET, &reply))
            return 1;
        for (int k = 0; k < TASK_FDS_MOST; k++)
            if (fds[k] >= 0)
                close(fds[k]);
    }
    return 3;
}
