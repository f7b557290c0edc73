#include "peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t peer_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool peer_open_at(struct peer_end *p, const char *address)
{
    *p = (struct peer_end){.context = zmq_ctx_new()};
    return channel_open(p->context, ZMQ_DEALER, &p->socket) == STATUS_OK && zmq_connect(p->socket, address) == 0;
}

bool peer_open(struct peer_end *p, const char *run_dir, const char *socket)
{
    char address[200];
    snprintf(address, sizeof address, "ipc://%s/%s.sock", run_dir, socket);
    return peer_open_at(p, address);
}

bool peer_free_address(char address[PEER_ADDRESS])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof a;
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool good = s >= 0 && bind(s, (const struct sockaddr *)&a, sizeof a) == 0 &&
                      getsockname(s, (struct sockaddr *)&a, &bytes) == 0;
    if (s >= 0)
        close(s);
    snprintf(address, PEER_ADDRESS, "tcp://127.0.0.1:%d", ntohs(a.sin_port));
    return good;
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
    do {
        packet_release(&p->packet);
        if (zmq_poll(&item, 1, wait_ms) <= 0 || channel_receive(p->socket, &p->packet))
            return 0;
    } while (p->packet.header.type == MESSAGE_PONG && p->packet.header.seq == 0); /* unasked: are you there? */
    return p->packet.header.type;
}

bool peer_decode(struct peer_end *p, const struct wire_schema *schema, void *out)
{
    return packet_decode(&p->packet, schema, out) == STATUS_OK;
}

bool peer_gets_error(struct peer_end *p, enum wire_error code)
{
    struct message_error m;
    return peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_ERROR && peer_decode(p, &error_schema, &m) && m.code == code;
}

bool peer_send_empty(struct peer_end *p, enum message_type type)
{
    return peer_send(p, type, &empty_schema, &(struct message_empty){0});
}

bool peer_take(struct peer_end *p, uint64_t credits)
{
    return peer_send(p, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = credits});
}

uint32_t peer_granted(struct peer_end *p, struct message_lease *leases, uint32_t most)
{
    struct message_grant m = {0};
    uint32_t n = 0;
    if (peer_receive(p, PEER_PATIENCE_MS) != MESSAGE_GRANT || p->packet.header.seq != p->seq ||
        !peer_decode(p, &grant_schema, &m))
        return 0;
    while (n < most && wire_next(&m.leases, &lease_schema, &leases[n]))
        n++;
    return n;
}

uint64_t peer_verdict(struct peer_end *p, enum message_type type, uint64_t token)
{
    struct message_verdicts m = {0};
    struct message_verdict v = {0};
    if (peer_receive(p, PEER_PATIENCE_MS) != (int)type || !peer_decode(p, &verdicts_schema, &m) ||
        m.verdicts.count != 1 || !wire_next(&m.verdicts, &verdict_schema, &v) || v.token != token)
        return 0;
    return v.verdict;
}

bool peer_watch(struct peer_end *p, uint64_t job, uint64_t cursor, uint64_t wait_ms)
{
    const struct message_watch m = {.job = job, .cursor = cursor, .wait_ms = wait_ms, .with_path = true};
    return peer_send(p, MESSAGE_WATCH, &watch_schema, &m);
}

bool peer_in_step(struct peer_end *p)
{
    return peer_send_empty(p, MESSAGE_PING) && peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_PONG &&
           p->packet.header.seq == p->seq;
}

bool peer_hello(struct peer_end *p, struct message_welcome *out)
{
    struct message_welcome m;
    const bool good = peer_send(p, MESSAGE_HELLO, &hello_schema, &(struct message_hello){.name = wire_str("test")}) &&
                      peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_WELCOME && p->packet.header.seq == p->seq &&
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
                      peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_ENGAGED && p->packet.header.seq == p->seq &&
                      peer_decode(p, &engaged_schema, &m);
    wire_free(&kinds);
    if (good && out)
        *out = m;
    return good;
}

bool peer_send_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed)
{
    struct wire_buffer list = {0};
    bool good = true;
    for (uint32_t i = 0; i < items && good; i++) {
        char path[64];
        snprintf(path, sizeof path, "/a/folder/with/some/music/in/it/number_%06u.wav", i);
        good = wire_encode(&item_schema, &(struct message_item){.path = wire_str(path)}, &list) == STATUS_OK;
    }
    const struct message_submit m = {.kind = wire_str(kind), .items = wire_list_of(&list, items), .sealed = sealed};
    good = good && peer_send(p, MESSAGE_SUBMIT, &submit_schema, &m);
    wire_free(&list);
    return good;
}

uint64_t peer_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed)
{
    struct message_accepted accepted = {0};
    const bool good = peer_send_submit(p, kind, items, sealed) &&
                      peer_receive(p, PEER_PATIENCE_MS) == MESSAGE_ACCEPTED &&
                      peer_decode(p, &accepted_schema, &accepted) && accepted.items == items;
    return good ? accepted.job : 0;
}
