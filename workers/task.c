#include "task.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int socket_failed(const char *what)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return fail(STATUS_BUSY, "task %s: would block", what);
    return fail(STATUS_IO, "task %s: %s", what, strerror(errno));
}

int task_send_request(int socket, const struct task_request *request, const void *params, const void *item_params,
                      const int fds[TASK_FDS])
{
    struct iovec parts[3] = {{(void *)(uintptr_t)request, sizeof *request},
                             {(void *)(uintptr_t)params, request->params_bytes},
                             {(void *)(uintptr_t)item_params, request->item_params_bytes}};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * TASK_FDS)] = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3, .msg_control = control};
    int present[TASK_FDS], count = 0;
    while (count < TASK_FDS && fds[count] >= 0) {
        present[count] = fds[count];
        count++;
    }
    if (count) {
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(c), present, sizeof(int) * (size_t)count);
    } else {
        message.msg_control = NULL;
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? socket_failed("request") : STATUS_OK;
}

static void take_fds(struct msghdr *message, int fds[TASK_FDS])
{
    int n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < TASK_FDS)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
}

int task_receive_request(int socket, void *buffer, const struct task_request **request, const uint8_t **params,
                         int fds[TASK_FDS])
{
    struct iovec part = {buffer, sizeof(struct task_request) + TASK_PARAMS_MAX};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * TASK_FDS)];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return socket_failed("request");
    if (n == 0)
        return STATUS_NOT_FOUND;
    for (int i = 0; i < TASK_FDS; i++)
        fds[i] = -1;
    take_fds(&message, fds);
    const struct task_request *r = buffer;
    if ((size_t)n < sizeof *r || r->magic != TASK_MAGIC ||
        (size_t)n != sizeof *r + (size_t)r->params_bytes + r->item_params_bytes) {
        for (int i = 0; i < TASK_FDS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        return fail(STATUS_FORMAT, "task request of %zd bytes is not of this build", n);
    }
    *request = r;
    *params = (const uint8_t *)(r + 1);
    return STATUS_OK;
}

int task_send_reply(int socket, const struct task_reply *reply)
{
    ssize_t n;
    do
        n = send(socket, reply, sizeof *reply, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? socket_failed("reply") : STATUS_OK;
}

int task_receive_reply(int socket, struct task_reply *reply)
{
    ssize_t n;
    do
        n = recv(socket, reply, sizeof *reply, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? STATUS_TIMEOUT : socket_failed("reply");
    if (n == 0)
        return fail(STATUS_IO, "the compute child has gone");
    if (n != sizeof *reply || reply->magic != TASK_MAGIC)
        return fail(STATUS_FORMAT, "task reply of %zd bytes is not of this build", n);
    reply->message[sizeof reply->message - 1] = '\0';
    return STATUS_OK;
}
