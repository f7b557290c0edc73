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
                      const int fds[TASK_FDS_MOST])
{
    struct iovec parts[3] = {{(void *)(uintptr_t)request, sizeof *request},
                             {(void *)(uintptr_t)params, request->params_bytes},
                             {(void *)(uintptr_t)item_params, request->item_params_bytes}};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * TASK_FDS_MOST)] = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3, .msg_control = control};
    int present[TASK_FDS_MOST], count = 0;
    if (request->extra > TASK_EXTRA)
        return fail(STATUS_INTERNAL, "task request: %u more descriptors", request->extra);
    while (count < TASK_FDS && fds[count] >= 0) {
        present[count] = fds[count];
        count++;
    }
    memcpy(present + count, fds + TASK_FDS, request->extra * sizeof *fds);
    count += (int)request->extra;
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

/* How many there were. */
static int take_fds(struct msghdr *message, int *fds, int most)
{
    int n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < most)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
    return n;
}

int task_receive_request(int socket, void *buffer, const struct task_request **request, const uint8_t **params,
                         int fds[TASK_FDS_MOST])
{
    struct iovec part = {buffer, sizeof(struct task_request) + TASK_PARAMS_MAX};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * TASK_FDS_MOST)];
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
    for (int i = 0; i < TASK_FDS_MOST; i++)
        fds[i] = -1;
    const int count = take_fds(&message, fds, TASK_FDS_MOST);
    const struct task_request *r = buffer;
    if ((size_t)n < sizeof *r || r->magic != TASK_MAGIC || r->extra > (uint32_t)count ||
        (size_t)count - r->extra > TASK_FDS ||
        (size_t)n != sizeof *r + (size_t)r->params_bytes + r->item_params_bytes) {
        for (int i = 0; i < TASK_FDS_MOST; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        return fail(STATUS_FORMAT, "task request of %zd bytes is not of this build", n);
    }
    const int fixed = count - (int)r->extra;
    memmove(fds + TASK_FDS, fds + fixed, r->extra * sizeof *fds);
    for (int i = fixed; i < TASK_FDS; i++)
        fds[i] = -1;
    for (int i = TASK_FDS + (int)r->extra; i < TASK_FDS_MOST; i++)
        fds[i] = -1;
    *request = r;
    *params = (const uint8_t *)(r + 1);
    return STATUS_OK;
}

int task_extra(const struct task_request *request, const int fds[TASK_FDS_MOST], enum task_role role, int n)
{
    for (uint32_t i = 0; i < request->extra; i++)
        if (request->role[i] == role && n-- == 0)
            return fds[TASK_FDS + i];
    return -1;
}

int task_send_reply(int socket, const struct task_reply *reply)
{
    ssize_t n;
    do
        n = send(socket, reply, sizeof *reply, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? socket_failed("reply") : STATUS_OK;
}

int task_send_saved(int socket, const struct task_reply *reply, int fd)
{
    struct iovec part = {(void *)(uintptr_t)reply, sizeof *reply};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? socket_failed("reply") : STATUS_OK;
}

int task_receive_reply(int socket, struct task_reply *reply, int *fd)
{
    struct iovec part = {reply, sizeof *reply};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *fd = -1;
    if (n < 0)
        return errno == EAGAIN ? STATUS_TIMEOUT : socket_failed("reply");
    (void)take_fds(&message, fd, 1); /* an empty message may bring some, too */
    if (n == sizeof *reply && reply->magic == TASK_MAGIC) {
        reply->message[sizeof reply->message - 1] = '\0';
        return STATUS_OK;
    }
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    if (n == 0)
        return fail(STATUS_IO, "the compute child has gone");
    return fail(STATUS_FORMAT, "task reply of %zd bytes is not of this build", n);
}
