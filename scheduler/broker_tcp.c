/* Workers of other machines, over tcp; and workers, near or far, whose connection has ended.
 *
 * ZeroMQ tells that a connection has ended, but not whose: all workers are then written to, and who cannot be reached
 * has lost it. A killed process loses it at once, a machine that is gone by the heartbeat of its connection. Whoever
 * is not back within a moment, on another connection, is dead: what it held is queued again. */
#include "broker_state.h"
#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_MS = 300,
    HEARTBEAT_TIMEOUT_MS = 1200,
    LOOKS = 6, /* at once, and after 10, 30, 70, 150, 310 ms */
    LOOK_MS = 5,
    BACK_LOCAL_MS = 50,   /* an ipc connection ends with its process */
    BACK_REMOTE_MS = 1500 /* a tcp connection also for other reasons: connect again (10 ms), and beat (1 s) */
};

/* Is this tcp://HOST:PORT an address that only this machine reaches? */
static bool is_loopback(const char *address)
{
    char host[64];
    struct in_addr four;
    const char *from = address + strlen("tcp://"), *end = strrchr(from, ':');
    if (!end || (size_t)(end - from) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(end - from), from);
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || strcmp(host, "lo") == 0)
        return true;
    return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) ? fail(STATUS_IO, "zmq: %s", zmq_strerror(errno)) : 0;
}

/* Options hold for what is bound after them: the heartbeat of the ipc address stays as it is. */
static int listen_tcp(struct broker *b)
{
    const char *address = b->options.listen;
    if (strncmp(address, "tcp://", 6) != 0)
        return fail(STATUS_ARGUMENT, "--listen %s: not an address like tcp://127.0.0.1:7070", address);
    if (!b->options.insecure_tcp && !is_loopback(address))
        return fail(STATUS_ARGUMENT,
                    "--listen %s: other machines reach that address, and whoever reaches it may take and give work, "
                    "because there is no authentication yet; use 127.0.0.1 (with ssh -L or -R in front), or say "
                    "--insecure-tcp",
                    address);
    int code = set_int(b->worker, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    code = code ? code : set_int(b->worker, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    code = code ? code : set_int(b->worker, ZMQ_IPV6, strchr(address, '[') != NULL);
    if (!code && zmq_bind(b->worker, address))
        code = fail(STATUS_IO, "--listen %s: %s", address, zmq_strerror(errno));
    if (!code)
        log_info("listening on %s", address);
    return code;
}

int tcp_open(struct broker *b)
{
    static const char address[] = "inproc://worker-connections";
    b->monitor = zmq_socket(b->context, ZMQ_PAIR);
    /* No high-water mark: what sends to it is ZeroMQ's own thread, which would wait. */
    if (!b->monitor || set_int(b->monitor, ZMQ_RCVHWM, 0) ||
        zmq_socket_monitor(b->worker, address, ZMQ_EVENT_DISCONNECTED) || zmq_connect(b->monitor, address))
        return fail(STATUS_IO, "zmq monitor: %s", zmq_strerror(errno));
    return b->options.listen ? listen_tcp(b) : STATUS_OK;
}

void tcp_note_peer(struct peer *p, const struct packet *ready)
{
    zmq_msg_t *frame = (zmq_msg_t *)(uintptr_t)&ready->frame;
    const char *from = zmq_msg_gets(frame, "Peer-Address"); /* "10.1.2.3"; of ipc "localhost:uid:gid:pid" */
    p->is_remote = from && *from && strncmp(from, "localhost:", 10) != 0;
}

/* Takes what the monitor has told; true when a connection has ended. */
static bool ended(struct broker *b)
{
    bool any = false;
    for (;;) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        const int n = zmq_msg_recv(&m, b->monitor, ZMQ_DONTWAIT);
        any |= n >= 0;
        zmq_msg_close(&m);
        if (n < 0)
            return any;
    }
}

static void look_at_all(struct broker *b)
{
    for (struct peer *p = b->workers.oldest; p; p = p->newer)
        if (!p->lost_ms && channel_send(b->worker, &p->id, MESSAGE_PONG, 0, &empty_schema,
                                        &(struct message_empty){0}) == STATUS_BUSY) {
            p->lost_ms = b->now_ms + (p->is_remote ? BACK_REMOTE_MS : BACK_LOCAL_MS);
            if (!b->next_lost_ms || p->lost_ms < b->next_lost_ms)
                b->next_lost_ms = p->lost_ms;
        }
}

/* Those that did not come back. The queue's answer removes the peer. */
static void end_lost(struct broker *b)
{
    struct peer *newer;
    b->next_lost_ms = 0;
    for (struct peer *p = b->workers.oldest; p; p = newer) {
        newer = p->newer;
        if (!p->lost_ms)
            continue;
        const uint64_t number = p->number;
        if (p->lost_ms > b->now_ms ||
            broker_apply(b, &(struct queue_event){.type = QUEUE_LOST, .worker = number}, NULL, 0)) {
            if (!b->next_lost_ms || p->lost_ms < b->next_lost_ms)
                b->next_lost_ms = p->lost_ms;
            continue;
        }
        log_info("worker %llu has lost its connection and is given up", (unsigned long long)number);
    }
}

/* The word that a connection has ended may come before the socket itself knows of it: then a look finds nothing, and
 * another is due. */
void tcp_work(struct broker *b)
{
    if (ended(b)) {
        b->looks_left = LOOKS;
        b->next_look_ms = b->now_ms;
    }
    if (b->next_look_ms && b->next_look_ms <= b->now_ms) {
        look_at_all(b);
        b->next_look_ms = --b->looks_left > 0 ? b->now_ms + (LOOK_MS << (LOOKS - b->looks_left)) : 0;
    }
    if (b->next_lost_ms && b->next_lost_ms <= b->now_ms)
        end_lost(b);
}

int64_t tcp_next_ms(const struct broker *b)
{
    const int64_t look = b->next_look_ms ? b->next_look_ms : INT64_MAX;
    return b->next_lost_ms && b->next_lost_ms < look ? b->next_lost_ms : look;
}
