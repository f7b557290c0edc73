#include "channel.h"

#include <errno.h>
#include <string.h>

enum {
    HIGH_WATER = 1000,
    HEARTBEAT_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 10000,
    RECONNECT_MS = 10,
    RECONNECT_MAX_MS = 500
};

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

int channel_open(void *zmq_context, int type, void **socket)
{
    void *s = zmq_socket(zmq_context, type);
    if (!s)
        return fail(STATUS_IO, "zmq socket: %s", zmq_strerror(errno));
    const int64_t body_max = WIRE_BODY_MAX;
    int failed = zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &body_max, sizeof body_max);
    failed |= set_int(s, ZMQ_SNDHWM, HIGH_WATER) | set_int(s, ZMQ_RCVHWM, HIGH_WATER) | set_int(s, ZMQ_LINGER, 0);
    failed |= set_int(s, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) | set_int(s, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    failed |= set_int(s, ZMQ_RECONNECT_IVL, RECONNECT_MS) | set_int(s, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    failed |= set_int(s, ZMQ_HANDSHAKE_IVL, 2000);
    if (type == ZMQ_ROUTER)
        failed |= set_int(s, ZMQ_ROUTER_MANDATORY, 1);
    if (failed) {
        zmq_close(s);
        return fail(STATUS_IO, "zmq socket options: %s", zmq_strerror(errno));
    }
    *socket = s;
    return STATUS_OK;
}

static bool has_more(void *socket)
{
    int more = 0;
    size_t bytes = sizeof more;
    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &bytes) == 0 && more;
}

/* Reads the rest of a message that is already known to be bad. */
static void drain(void *socket)
{
    while (has_more(socket)) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        const int n = zmq_msg_recv(&m, socket, ZMQ_DONTWAIT);
        zmq_msg_close(&m);
        if (n < 0)
            return;
    }
}

static int receive_peer(void *socket, struct packet *p)
{
    int type = 0;
    size_t bytes = sizeof type;
    zmq_getsockopt(socket, ZMQ_TYPE, &type, &bytes);
    if (type != ZMQ_ROUTER)
        return STATUS_OK;
    const int n = zmq_recv(socket, p->peer.id, sizeof p->peer.id, ZMQ_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? STATUS_TIMEOUT : fail(STATUS_IO, "zmq receive: %s", zmq_strerror(errno));
    p->peer.bytes = n > CHANNEL_PEER_MAX ? CHANNEL_PEER_MAX : (uint32_t)n;
    return n <= CHANNEL_PEER_MAX && has_more(socket) ? STATUS_OK : fail(STATUS_FORMAT, "message of no frames");
}

static int receive_head(void *socket, struct packet *p)
{
    uint8_t magic[4] = {0}, head[WIRE_HEADER_BYTES] = {0};
    int n = zmq_recv(socket, magic, sizeof magic, ZMQ_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? STATUS_TIMEOUT : fail(STATUS_IO, "zmq receive: %s", zmq_strerror(errno));
    p->other_version = n == 4 && memcmp(magic, WIRE_MAGIC, 3) == 0 && magic[3] != WIRE_MAJOR;
    if (n != 4 || (memcmp(magic, WIRE_MAGIC, 4) != 0 && !p->other_version) || !has_more(socket))
        return fail(STATUS_FORMAT, "not a Wavemill message");
    n = zmq_recv(socket, head, sizeof head, ZMQ_DONTWAIT);
    if (n != WIRE_HEADER_BYTES)
        return fail(STATUS_FORMAT, "header of %d bytes, not %d", n, WIRE_HEADER_BYTES);
    wire_header_decode(head, &p->header);
    if (p->other_version)
        return fail(STATUS_FORMAT, "major version %d, not %d", magic[3], WIRE_MAJOR);
    return has_more(socket) ? STATUS_OK : fail(STATUS_FORMAT, "message without a body frame");
}

int channel_receive(void *socket, struct packet *out)
{
    *out = (struct packet){0};
    int code = receive_peer(socket, out);
    if (!code)
        code = receive_head(socket, out);
    if (code) {
        if (code != STATUS_TIMEOUT)
            drain(socket);
        return code;
    }
    zmq_msg_init(&out->frame);
    if (zmq_msg_recv(&out->frame, socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&out->frame);
        return fail(STATUS_IO, "zmq receive: %s", zmq_strerror(errno));
    }
    out->held = true;
    out->body = (struct wire_slice){zmq_msg_data(&out->frame), (uint32_t)zmq_msg_size(&out->frame)};
    if (has_more(socket)) {
        drain(socket);
        packet_release(out);
        return fail(STATUS_FORMAT, "message of more than three frames");
    }
    return STATUS_OK;
}

void packet_release(struct packet *p)
{
    if (p->held)
        zmq_msg_close(&p->frame);
    p->held = false;
    p->body = (struct wire_slice){0};
}

int packet_decode(const struct packet *p, const struct wire_schema *schema, void *out)
{
    return wire_decode(schema, p->body.data, p->body.bytes, out);
}

static int send_frame(void *socket, const void *data, size_t bytes, int flags)
{
    if (zmq_send(socket, data, bytes, flags | ZMQ_DONTWAIT) >= 0)
        return STATUS_OK;
    const int gone = errno == EAGAIN || errno == EHOSTUNREACH;
    return fail(gone ? STATUS_BUSY : STATUS_IO, "zmq send: %s", zmq_strerror(errno));
}

int channel_send(void *socket, const struct channel_peer *peer, enum message_type type, uint32_t seq,
                 const struct wire_schema *schema, const void *body)
{
    struct wire_buffer b = {0};
    uint8_t head[WIRE_HEADER_BYTES];
    wire_header_encode(&(struct wire_header){.type = (uint8_t)type, .minor = WIRE_MINOR, .seq = seq}, head);
    int code = wire_encode(schema, body, &b);
    if (!code && b.bytes > WIRE_BODY_MAX)
        code = fail(STATUS_ARGUMENT, "%s: body of %zu bytes, allowed %d", schema->name, b.bytes, WIRE_BODY_MAX);
    if (!code && peer)
        code = send_frame(socket, peer->id, peer->bytes, ZMQ_SNDMORE);
    if (!code)
        code = send_frame(socket, WIRE_MAGIC, 4, ZMQ_SNDMORE);
    if (!code)
        code = send_frame(socket, head, sizeof head, ZMQ_SNDMORE);
    if (!code)
        code = send_frame(socket, b.data, b.bytes, 0);
    wire_free(&b);
    return code;
}

int channel_send_error(void *socket, const struct channel_peer *peer, uint32_t seq, enum wire_error error,
                       const char *message)
{
    const struct message_error body = {.code = error, .message = wire_str(message)};
    return channel_send(socket, peer, MESSAGE_ERROR, seq, &error_schema, &body);
}
