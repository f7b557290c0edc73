#include "peer.h"

#include <stdio.h>
#include <string.h>

bool peer_open(struct peer_end *p, const char *run_dir, const char *socket)
{
    char address[200];
    *p = (struct peer_end){.context = zmq_ctx_new()};
    snprintf(address, sizeof address, "ipc://%s/%s.sock", run_dir, socket);
    return channel_open(p->context, ZMQ_DEALER, &p->socket) == STATUS_OK && zmq_connect(p->socket, address) == 0;
}

void peer_close(struct peer_end *p)
{
    packet_release(&p->packet);
    if (p->socket)
        zmq_close(p->socket);
    if (p->context)
        zmq_ctx_term(p->context);
    *p = (struct peer_end){0};
}

bool peer_send(struct peer_end *p, enum message_type type, const struct wire_schema *schema, const void *body)
{
    return channel_send(p->socket, NULL, type, ++p->seq, schema, body) == STATUS_OK;
}

bool peer_send_raw(struct peer_end *p, const void *const *frames, const size_t *bytes, int count)
{
    for (int i = 0; i < count; i++)
        if (zmq_send(p->socket, frames[i], bytes[i], i + 1 < count ? ZMQ_SNDMORE : 0) < 0)
            return false;
    return true;
}

int peer_receive(struct peer_end *p, int wait_ms)
{
    zmq_pollitem_t item = {.socket = p->socket, .events = ZMQ_POLLIN};
    packet_release(&p->packet);
    if (zmq_poll(&item, 1, wait_ms) <= 0 || channel_receive(p->socket, &p->packet))
        return 0;
    return p->packet.header.type;
}

bool peer_decode(struct peer_end *p, const struct wire_schema *schema, void *out)
{
    return packet_decode(&p->packet, schema, out) == STATUS_OK;
}

bool peer_gets_error(struct peer_end *p, enum wire_error code)
{
    struct message_error m;
    return peer_receive(p, 2000) == MESSAGE_ERROR && peer_decode(p, &error_schema, &m) && m.code == code;
}

bool peer_hello(struct peer_end *p, struct message_welcome *out)
{
    struct message_welcome m;
    const bool good = peer_send(p, MESSAGE_HELLO, &hello_schema, &(struct message_hello){.name = wire_str("test")}) &&
                      peer_receive(p, 2000) == MESSAGE_WELCOME && p->packet.header.seq == p->seq &&
                      peer_decode(p, &welcome_schema, &m);
    if (good && out)
        *out = m;
    return good;
}

bool peer_ready(struct peer_end *p, const char *name, const char *kind, struct message_engaged *out)
{
    struct wire_buffer kinds = {0};
    struct message_engaged m;
    const bool encoded = wire_append_str(&kinds, kind) == STATUS_OK;
    const struct message_ready ready = {.name = wire_str(name), .kinds = wire_list_of(&kinds, 1)};
    const bool good = encoded && peer_send(p, MESSAGE_READY, &ready_schema, &ready) &&
                      peer_receive(p, 2000) == MESSAGE_ENGAGED && p->packet.header.seq == p->seq &&
                      peer_decode(p, &engaged_schema, &m);
    wire_free(&kinds);
    if (good && out)
        *out = m;
    return good;
}

uint64_t peer_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed)
{
    struct wire_buffer list = {0};
    struct message_accepted accepted = {0};
    bool good = true;
    for (uint32_t i = 0; i < items && good; i++) {
        char path[64];
        snprintf(path, sizeof path, "/a/folder/with/some/music/in/it/number_%06u.wav", i);
        good = wire_encode(&item_schema, &(struct message_item){.path = wire_str(path)}, &list) == STATUS_OK;
    }
    const struct message_submit m = {.kind = wire_str(kind), .items = wire_list_of(&list, items), .sealed = sealed};
    good = good && peer_send(p, MESSAGE_SUBMIT, &submit_schema, &m) && peer_receive(p, 2000) == MESSAGE_ACCEPTED &&
           peer_decode(p, &accepted_schema, &accepted) && accepted.items == items;
    wire_free(&list);
    return good ? accepted.job : 0;
}
