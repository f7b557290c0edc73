#include "session.h"

#include "start.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 100, GREET_MS = 1000, SILENT_BEATS = 3, GREET_AGAIN_MS = 20 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_interrupted(const struct client *c)
{
    return c->options.interrupted && *c->options.interrupted;
}

static int say(struct client *c, enum message_type type, const struct wire_schema *schema, const void *body)
{
    c->said_ms = now_ms();
    return channel_send(c->socket, NULL, type, ++c->seq, schema, body);
}

void session_keep(struct client *c)
{
    if (c->beat_ms && now_ms() - c->said_ms >= c->beat_ms) {
        const int ignored = say(c, MESSAGE_PING, &empty_schema, &(struct message_empty){0});
        (void)ignored; /* the wait that we are in will say that nobody answers */
    }
}

/* An ERROR reply as a status code. */
static int refused(struct client *c)
{
    static const enum status codes[] = {[0] = STATUS_INTERNAL,
                                        [ERROR_VERSION] = STATUS_VERSION,
                                        [ERROR_TYPE] = STATUS_UNSUPPORTED,
                                        [ERROR_BODY] = STATUS_FORMAT,
                                        [ERROR_LIMIT] = STATUS_ARGUMENT,
                                        [ERROR_NOT_FOUND] = STATUS_NOT_FOUND,
                                        [ERROR_STATE] = STATUS_ARGUMENT,
                                        [ERROR_BUSY] = STATUS_BUSY,
                                        [ERROR_SESSION] = STATUS_TIMEOUT,
                                        [ERROR_CONFLICT] = STATUS_ARGUMENT};
    struct message_error m;
    char text[LIMIT_MESSAGE + 1];
    const int code = packet_decode(&c->reply, &error_schema, &m);
    if (code)
        return code;
    wire_copy(m.message, text, sizeof text);
    c->refusal = (enum wire_error)m.code;
    c->is_lost = m.code == ERROR_SESSION;
    return fail(m.code < sizeof codes / sizeof *codes ? codes[m.code] : STATUS_INTERNAL, "scheduler: %s",
                *text ? text : wire_error_name(m.code));
}

/* What came, if it ends the wait: the answer, or an ERROR. A PING's ERROR counts when it says that the session is gone.
 */
static bool is_for_us(struct client *c, enum message_type want, int *code)
{
    const struct wire_header *const h = &c->reply.header;
    c->heard_ms = now_ms();
    if (h->type == MESSAGE_PONG || (h->seq != c->asked && h->type != MESSAGE_ERROR))
        return false; /* late, and nobody waits for it any more */
    if (h->type == MESSAGE_ERROR) {
        *code = refused(c);
        const bool counts = h->seq == c->asked || c->is_lost;
        if (!counts)
            c->refusal = 0;
        return counts;
    }
    *code = h->type == want ? STATUS_OK : fail(STATUS_FORMAT, "scheduler: an answer of type %d, not %d", h->type, want);
    return true;
}

/* Waits for the reply to the last question; it stays in c->reply. */
static int await(struct client *c, enum message_type want, int64_t timeout_ms)
{
    const int64_t begin = now_ms(), end = begin + timeout_ms;
    c->heard_ms = 0;
    for (;;) {
        packet_release(&c->reply);
        int code = channel_receive(c->socket, &c->reply);
        if (code == STATUS_OK) {
            if (is_for_us(c, want, &code))
                return code;
            continue;
        }
        if (code != STATUS_TIMEOUT)
            return code;
        if (is_interrupted(c))
            return fail(STATUS_CANCELLED, "interrupted");
        const int64_t now = now_ms(), heard = c->heard_ms ? c->heard_ms : begin;
        const bool silent = c->beat_ms && now - heard > SILENT_BEATS * c->beat_ms;
        if (now >= end || silent || (c->attaching && !start_is_running(&c->paths))) {
            c->is_lost = silent || !c->heard_ms;
            return fail(STATUS_TIMEOUT, "the scheduler does not answer");
        }
        session_keep(c);
        zmq_pollitem_t item = {c->socket, 0, ZMQ_POLLIN, 0};
        zmq_poll(&item, 1, end - now < POLL_MS ? (long)(end - now) : POLL_MS);
    }
}

static int exchange(struct client *c, const struct question *q, int64_t timeout_ms)
{
    c->is_lost = false;
    c->refusal = 0;
    const int code = say(c, q->type, q->schema, q->body);
    c->asked = c->seq;
    return code ? code : await(c, q->want, timeout_ms + q->wait_ms);
}

static int greet(struct client *c, int64_t timeout_ms)
{
    struct message_welcome w;
    const struct message_hello hello = {
        .name = wire_str(c->name), .version = wire_str(WAVEMILL_VERSION), .key = {c->key, sizeof c->key}};
    const struct question q = {MESSAGE_HELLO, MESSAGE_WELCOME, &hello_schema, &welcome_schema, &hello, 0};
    c->beat_ms = 0; /* no PING before there is a session */
    int code = exchange(c, &q, timeout_ms);
    if (!code)
        code = packet_decode(&c->reply, &welcome_schema, &w);
    if (!code)
        c->beat_ms = (int64_t)w.beat_ms;
    return code;
}

static void disconnect(struct client *c)
{
    packet_release(&c->reply);
    if (c->socket)
        zmq_close(c->socket);
    c->socket = NULL;
}

static int connect_socket(struct client *c)
{
    if (!c->zmq)
        c->zmq = zmq_ctx_new();
    if (!c->zmq)
        return fail(STATUS_NOMEM, "zmq: %s", zmq_strerror(errno));
    const int code = channel_open(c->zmq, ZMQ_DEALER, &c->socket);
    if (!code && zmq_connect(c->socket, c->paths.client_socket))
        return fail(STATUS_IO, "cannot connect to %s: %s", c->paths.client_socket, zmq_strerror(errno));
    return code;
}

/* Greets whoever binds the socket next, on a new connection each time, until end_ms. */
static int greet_again(struct client *c, int64_t end_ms)
{
    for (;;) {
        const int64_t left = end_ms - now_ms();
        if (left <= 0)
            return start_is_running(&c->paths)
                       ? fail(STATUS_TIMEOUT, "the scheduler does not answer")
                       : fail(STATUS_TIMEOUT, "the scheduler of %s has gone, and none came after it", c->paths.home);
        disconnect(c);
        int code = connect_socket(c);
        if (!code)
            code = greet(c, left < GREET_MS ? left : GREET_MS);
        if (code != STATUS_TIMEOUT)
            return code;
        nanosleep(&(struct timespec){0, GREET_AGAIN_MS * 1000000L}, NULL);
    }
}

int session_ask(struct client *c, const struct question *q, void *out)
{
    int64_t end_ms = 0;
    for (;;) {
        int code = exchange(c, q, c->options.timeout_ms);
        if (!c->is_lost)
            return code ? code : packet_decode(&c->reply, q->answer, out);
        if (!end_ms)
            end_ms = now_ms() + c->options.restart_ms;
        code = greet_again(c, end_ms);
        if (code)
            return code;
    }
}

static int find_or_start(struct client *c)
{
    int code = STATUS_OK;
    if (!start_is_running(&c->paths))
        code = c->options.start
                   ? start_serve(&c->paths, &c->options, c->options.timeout_ms)
                   : fail(STATUS_NOT_FOUND, "no scheduler runs for %s; `wavemill serve` starts one", c->paths.home);
    if (!code)
        code = connect_socket(c);
    c->attaching = true;
    if (!code)
        code = greet(c, c->options.timeout_ms);
    c->attaching = false;
    return code;
}

/* With start.lock held from the look for a scheduler to its WELCOME. One that dies in between, as after a kill, is
 * followed by another. */
static int attach(struct client *c)
{
    enum { TRIES = 3 };
    int lock = -1;
    int code = start_lock(&c->paths, &c->options, c->options.timeout_ms, &lock);
    if (code)
        return code;
    for (int i = 0; i < TRIES; i++) {
        code = find_or_start(c);
        if (code != STATUS_TIMEOUT || start_is_running(&c->paths))
            break;
        disconnect(c);
    }
    close(lock);
    return code;
}

/* A scheduler that ended in order took its socket away; one that was killed is started again by `wavemill serve`. */
static bool was_killed(const struct client *c)
{
    const char *const path = c->paths.client_socket + strlen("ipc://");
    return access(path, F_OK) == 0;
}

int session_open(struct client *c)
{
    if (getrandom(c->key, sizeof c->key, 0) != (ssize_t)sizeof c->key)
        return fail(STATUS_IO, "getrandom: %s", strerror(errno));
    int code = attach(c);
    if (code == STATUS_NOT_FOUND && !c->options.start && was_killed(c)) {
        code = greet_again(c, now_ms() + c->options.restart_ms);
        if (code == STATUS_TIMEOUT && !start_is_running(&c->paths))
            code = fail(STATUS_NOT_FOUND, "no scheduler runs for %s: the last one was killed, and none came after it",
                        c->paths.home);
    }
    return code;
}

void session_close(struct client *c)
{
    packet_release(&c->reply);
    if (c->socket) {
        const int linger_ms = 100;
        if (c->beat_ms) {
            const int ignored = say(c, MESSAGE_BYE, &empty_schema, &(struct message_empty){0});
            (void)ignored; /* a scheduler that is gone needs no farewell */
        }
        zmq_setsockopt(c->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(c->socket);
    }
    if (c->zmq)
        zmq_ctx_term(c->zmq);
}
