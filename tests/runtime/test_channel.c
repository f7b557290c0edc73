#include "channel.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    void *zmq, *router, *dealer;
};

static struct pair open_pair(void)
{
    struct pair p = {.zmq = zmq_ctx_new()};
    CHECK_OK(channel_open(p.zmq, ZMQ_ROUTER, &p.router));
    CHECK_OK(channel_open(p.zmq, ZMQ_DEALER, &p.dealer));
    CHECK(zmq_bind(p.router, "ipc://sock") == 0 && zmq_connect(p.dealer, "ipc://sock") == 0);
    return p;
}

static void close_pair(struct pair *p)
{
    zmq_close(p->dealer);
    zmq_close(p->router);
    zmq_ctx_term(p->zmq);
}

static int receive(void *socket, struct packet *p)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    zmq_poll(&item, 1, 2000);
    return channel_receive(socket, p);
}

TEST(messages_go_round)
{
    struct pair s = open_pair();
    struct packet p;
    struct message_hello hello;
    CHECK_CODE(channel_receive(s.router, &p), STATUS_TIMEOUT);
    const struct message_hello sent = {.name = wire_str("test"), .version = wire_str("1")};
    CHECK_OK(channel_send(s.dealer, NULL, MESSAGE_HELLO, 42, &hello_schema, &sent));
    CHECK_OK(receive(s.router, &p));
    CHECK(p.header.type == MESSAGE_HELLO && p.header.seq == 42 && p.header.minor == WIRE_MINOR && p.peer.bytes > 0);
    CHECK_OK(packet_decode(&p, &hello_schema, &hello));
    CHECK(hello.name.bytes == 4 && memcmp(hello.name.data, "test", 4) == 0);
    CHECK_OK(channel_send_error(s.router, &p.peer, 42, ERROR_BUSY, "later"));
    packet_release(&p);
    packet_release(&p);
    struct message_error e;
    CHECK_OK(receive(s.dealer, &p));
    CHECK_OK(packet_decode(&p, &error_schema, &e));
    CHECK(p.header.type == MESSAGE_ERROR && e.code == ERROR_BUSY && p.peer.bytes == 0);
    packet_release(&p);
    struct channel_peer nobody = {.id = "xyz", .bytes = 3};
    CHECK_CODE(channel_send_error(s.router, &nobody, 1, ERROR_BUSY, ""), STATUS_BUSY);
    static char large[WIRE_BODY_MAX];
    const struct message_submit submit = {.kind = wire_str("k"), .params = {(uint8_t *)large, WIRE_BODY_MAX}};
    CHECK_CODE(channel_send(s.dealer, NULL, MESSAGE_SUBMIT, 1, &submit_schema, &submit), STATUS_ARGUMENT);
    close_pair(&s);
}

TEST(malformed_messages_are_told_apart)
{
    static const struct {
        const char *frames[5];
        size_t bytes[5];
        int count;
        bool other_version;
        const char *reason;
    } cases[] = {{{"WML\x01"}, {4}, 1, false, "one frame"},
                 {{"WML\x01", "\x01\0\0\0\0\0\0\x09"}, {4, 8}, 2, false, "two frames"},
                 {{"WML\x01", "\x01\0\0\0\0\0\0\x09", "\x80", "x"}, {4, 8, 1, 1}, 4, false, "four frames"},
                 {{"HTTP", "\x01\0\0\0\0\0\0\x09", "\x80"}, {4, 8, 1}, 3, false, "another protocol"},
                 {{"WML\x02", "\x01\0\0\0\0\0\0\x09", "\x80"}, {4, 8, 1}, 3, true, "another major version"},
                 {{"WML\x01", "\x01\0\0", "\x80"}, {4, 3, 1}, 3, false, "a short header"},
                 {{"", "", ""}, {0, 0, 0}, 3, false, "empty frames"}};
    struct pair s = open_pair();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct packet p;
        for (int i = 0; i < cases[c].count; i++)
            zmq_send(s.dealer, cases[c].frames[i], cases[c].bytes[i], i + 1 < cases[c].count ? ZMQ_SNDMORE : 0);
        const int code = receive(s.router, &p);
        CHECK(code == STATUS_FORMAT && p.peer.bytes > 0 && p.other_version == cases[c].other_version);
        if (code != STATUS_FORMAT)
            printf("    %s\n", cases[c].reason);
        packet_release(&p);
        /* the next message is whole again */
        CHECK_OK(channel_send(s.dealer, NULL, MESSAGE_PING, 5, &empty_schema, &(struct message_empty){0}));
        CHECK_OK(receive(s.router, &p));
        packet_release(&p);
    }
    close_pair(&s);
}

static int ping(void *socket, const struct channel_peer *peer, uint32_t seq)
{
    return channel_send(socket, peer, MESSAGE_PING, seq, &empty_schema, &(struct message_empty){0});
}

/* Receives a PING with this number; earlier ones are passed over. */
static bool hears_ping(void *socket, uint32_t seq, struct packet *p)
{
    bool heard = false;
    while (!heard && receive(socket, p) == STATUS_OK) {
        heard = p->header.type == MESSAGE_PING && p->header.seq == seq;
        packet_release(p);
    }
    return heard;
}

static void *dealer_of(void *zmq)
{
    void *socket = NULL;
    CHECK_OK(channel_open(zmq, ZMQ_DEALER, &socket));
    CHECK(zmq_connect(socket, "ipc://sock") == 0);
    return socket;
}

/* A frame over the limit ends its sender's connection and nobody else's; one of exactly the limit passes. */
TEST(a_large_frame_ends_one_connection)
{
    struct pair s = open_pair();
    struct packet p;
    void *large = dealer_of(s.zmq);
    CHECK_OK(ping(s.dealer, NULL, 1));
    CHECK(hears_ping(s.router, 1, &p));
    const struct channel_peer friend = p.peer;
    CHECK_OK(ping(large, NULL, 2));
    CHECK(hears_ping(s.router, 2, &p));
    const struct channel_peer before = p.peer;

    char *frame = calloc(1, WIRE_BODY_MAX + 1);
    uint8_t head[WIRE_HEADER_BYTES] = {MESSAGE_PING, 0, 0, 0, 0, 0, 0, 3};
    zmq_send(large, WIRE_MAGIC, 4, ZMQ_SNDMORE);
    zmq_send(large, head, sizeof head, ZMQ_SNDMORE);
    CHECK(zmq_send(large, frame, WIRE_BODY_MAX, 0) == WIRE_BODY_MAX);
    CHECK_OK(receive(s.router, &p));
    CHECK(p.header.seq == 3 && p.body.bytes == WIRE_BODY_MAX);
    packet_release(&p);

    zmq_send(large, WIRE_MAGIC, 4, ZMQ_SNDMORE);
    zmq_send(large, head, sizeof head, ZMQ_SNDMORE);
    zmq_send(large, frame, WIRE_BODY_MAX + 1, 0);
    free(frame);
    p.peer = before;
    for (int i = 0; i < 200 && memcmp(&p.peer, &before, sizeof before) == 0; i++) {
        CHECK_OK(ping(large, NULL, 4)); /* one may be lost with the connection */
        zmq_poll(&(zmq_pollitem_t){s.router, 0, ZMQ_POLLIN, 0}, 1, 20);
        if (channel_receive(s.router, &p))
            p.peer = before;
        packet_release(&p);
    }
    CHECK(p.header.seq == 4); /* the sender has connected again, as somebody new */
    CHECK(p.peer.bytes > 0 && memcmp(&p.peer, &before, sizeof before) != 0);
    CHECK_CODE(ping(s.router, &before, 5), STATUS_BUSY);
    CHECK_OK(ping(s.dealer, NULL, 6));
    CHECK(hears_ping(s.router, 6, &p));
    CHECK(p.peer.bytes == friend.bytes && memcmp(p.peer.id, friend.id, friend.bytes) == 0);
    CHECK_OK(ping(s.router, &friend, 7));
    CHECK(hears_ping(s.dealer, 7, &p));
    zmq_close(large);
    close_pair(&s);
}

TEST(a_peer_that_is_gone_is_busy)
{
    struct pair s = open_pair();
    struct packet p;
    void *other = dealer_of(s.zmq);
    CHECK_OK(ping(other, NULL, 1));
    CHECK(hears_ping(s.router, 1, &p));
    const struct channel_peer gone = p.peer;
    CHECK_OK(ping(s.router, &gone, 1));
    zmq_close(other);
    int code = STATUS_OK;
    for (int i = 0; i < 1000 && !code; i++) { /* ZeroMQ notices in its own time */
        code = ping(s.router, &gone, 2);
        zmq_poll(NULL, 0, 2);
    }
    CHECK(code == STATUS_BUSY);
    CHECK_OK(ping(s.dealer, NULL, 3)); /* half a message to the other is not in the way */
    CHECK(hears_ping(s.router, 3, &p));
    close_pair(&s);
}

/* Who does not read is told to wait, and gets every message that was accepted, whole and in order. */
TEST(a_full_queue_is_busy)
{
    struct pair s = open_pair();
    struct packet p;
    CHECK_OK(ping(s.dealer, NULL, 1));
    CHECK(hears_ping(s.router, 1, &p));
    const struct channel_peer peer = p.peer;
    static char filler[LIMIT_RESULT]; /* so that the system's buffers fill too */
    const struct message_report_entry entry = {.token = 1, .result = {(uint8_t *)filler, sizeof filler}};
    uint32_t sent = 0, got = 0;
    int code = STATUS_OK;
    while (!code && sent < 10000) {
        code = channel_send(s.router, &peer, MESSAGE_REPORT, sent, &report_entry_schema, &entry);
        sent += code == STATUS_OK;
    }
    CHECK(code == STATUS_BUSY && sent >= 1000);
    while (got < sent && receive(s.dealer, &p) == STATUS_OK) {
        CHECK(p.header.seq == got && p.body.bytes > LIMIT_RESULT);
        packet_release(&p);
        got++;
    }
    CHECK(got == sent);
    CHECK_OK(ping(s.router, &peer, 9)); /* and then there is room again */
    CHECK(hears_ping(s.dealer, 9, &p));
    /* a DEALER that is connected to nobody keeps a queue's worth */
    void *alone = NULL;
    CHECK_OK(channel_open(s.zmq, ZMQ_DEALER, &alone));
    CHECK(zmq_connect(alone, "ipc://nobody") == 0);
    for (sent = 0, code = STATUS_OK; !code && sent < 10000; sent += !code)
        code = ping(alone, NULL, sent);
    CHECK(code == STATUS_BUSY && sent >= 1000);
    zmq_close(alone);
    close_pair(&s);
}

/* An identity of a length that we never make: answered by nobody, and not in the way of others. */
TEST(a_long_identity_is_malformed)
{
    struct pair s = open_pair();
    struct packet p;
    for (size_t bytes = CHANNEL_PEER_MAX; bytes <= CHANNEL_PEER_MAX + 8; bytes += 8) {
        char id[CHANNEL_PEER_MAX + 8];
        memset(id, 'i', sizeof id);
        void *odd = NULL;
        CHECK_OK(channel_open(s.zmq, ZMQ_DEALER, &odd));
        CHECK(zmq_setsockopt(odd, ZMQ_ROUTING_ID, id, bytes) == 0 && zmq_connect(odd, "ipc://sock") == 0);
        CHECK_OK(ping(odd, NULL, 1));
        CHECK_CODE(receive(s.router, &p), bytes <= CHANNEL_PEER_MAX ? STATUS_OK : STATUS_FORMAT);
        packet_release(&p);
        CHECK_OK(ping(s.dealer, NULL, 2));
        CHECK(hears_ping(s.router, 2, &p));
        zmq_close(odd);
    }
    close_pair(&s);
}

TEST(broken_sockets_are_io)
{
    void *zmq = zmq_ctx_new(), *router = NULL, *dealer = NULL, *none = NULL, *publisher;
    struct packet p;
    CHECK_OK(channel_open(zmq, ZMQ_ROUTER, &router));
    CHECK_OK(channel_open(zmq, ZMQ_DEALER, &dealer));
    CHECK_CODE(channel_open(zmq, -5, &none), STATUS_IO); /* no such type */
    CHECK(none == NULL);
    publisher = zmq_socket(zmq, ZMQ_PUB);
    CHECK_CODE(channel_receive(publisher, &p), STATUS_IO); /* it cannot receive */
    CHECK_CODE(ping(publisher, NULL, 1), STATUS_OK);
    zmq_close(publisher);
    zmq_ctx_shutdown(zmq);
    CHECK_CODE(channel_receive(router, &p), STATUS_IO);
    CHECK_CODE(channel_receive(dealer, &p), STATUS_IO);
    CHECK(!p.held && p.body.data == NULL);
    CHECK_CODE(ping(dealer, NULL, 1), STATUS_IO);
    CHECK_CODE(channel_open(zmq, ZMQ_DEALER, &none), STATUS_IO);
    zmq_close(router);
    zmq_close(dealer);
    zmq_ctx_term(zmq);
}

/* Random frames, any number of them: told apart without a crash, and never in the way of the next message. */
TEST(random_frames)
{
    struct pair s = open_pair();
    uint64_t seed = 3;
    for (int round = 0; round < 1000; round++) {
        const int count = 1 + (int)(test_random(&seed) % 5);
        bool whole = count == 3;
        for (int i = 0; i < count; i++) {
            uint8_t frame[16];
            size_t bytes = test_random(&seed) % sizeof frame;
            for (size_t k = 0; k < bytes; k++)
                frame[k] = (uint8_t)test_random(&seed);
            if (i == 0 && test_random(&seed) % 4) { /* mostly the right beginning */
                memcpy(frame, WIRE_MAGIC, 4);
                bytes = 4;
            }
            if (i == 1 && test_random(&seed) % 4)
                bytes = 8;
            whole &= i != 0 || (bytes == 4 && memcmp(frame, WIRE_MAGIC, 4) == 0);
            whole &= i != 1 || bytes == 8;
            zmq_send(s.dealer, frame, bytes, i + 1 < count ? ZMQ_SNDMORE : 0);
        }
        struct packet p;
        CHECK(receive(s.router, &p) == (whole ? STATUS_OK : STATUS_FORMAT));
        CHECK(p.peer.bytes > 0 && p.held == whole);
        packet_release(&p);
        CHECK(channel_receive(s.router, &p) == STATUS_TIMEOUT);
    }
    close_pair(&s);
}
