/* channel - three-frame messages (PROTOCOL.md section 1) over a ZeroMQ socket: the only code that knows the framing.
 *
 *   ownership    struct packet owns the frames it was received in until packet_release; its body points into them
 *   errors       STATUS_FORMAT for a message that is not three well-formed frames (the packet then still names the
 *                peer, so that it can be answered), STATUS_BUSY when the peer's queue is full or it is gone,
 *                STATUS_TIMEOUT when nothing is waiting */
#ifndef CHANNEL_H
#define CHANNEL_H
#include "messages.h"

#include <zmq.h>

enum { CHANNEL_PEER_MAX = 32 };

/* A peer of a ROUTER socket; bytes = 0 on a DEALER. */
struct channel_peer {
    uint8_t id[CHANNEL_PEER_MAX];
    uint32_t bytes;
};

struct packet {
    struct channel_peer peer;
    struct wire_header header;
    struct wire_slice body;
    bool other_version; /* the magic is ours but for the major version */
    zmq_msg_t frame;    /* holds the body */
    bool held;
};

/* Options that every socket of ours has: message limit, high-water marks, no linger, ZMTP heartbeat, quick reconnect.
 * The caller binds or connects. */
int channel_open(void *zmq_context, int type, void **socket) MUST_USE;

/* Receives one message without waiting. */
int channel_receive(void *socket, struct packet *out) MUST_USE;
void packet_release(struct packet *p);

/* Decodes a packet's body with its table. */
int packet_decode(const struct packet *p, const struct wire_schema *schema, void *out) MUST_USE;

/* Sends without waiting; `peer` NULL on a DEALER. */
int channel_send(void *socket, const struct channel_peer *peer, enum message_type type, uint32_t seq,
                 const struct wire_schema *schema, const void *body) MUST_USE;
int channel_send_error(void *socket, const struct channel_peer *peer, uint32_t seq, enum wire_error code,
                       const char *message) MUST_USE;

#endif
