#include "channel.h"
#include "test.h"

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
