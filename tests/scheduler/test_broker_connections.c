/* Which addresses a broker listens on, and workers whose connection ends; real sockets, raw peers. */
#include "server.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

/* Takes one item under the name; false when none comes. */
static bool take_one(struct peer_end *w, struct message_lease *out, int wait_ms)
{
    struct message_grant g;
    return peer_send(w, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 1}) &&
           peer_receive(w, wait_ms) == MESSAGE_GRANT && peer_decode(w, &grant_schema, &g) &&
           wire_next(&g.leases, &lease_schema, out);
}

TEST(addresses_that_others_reach_are_refused)
{
    static const struct {
        const char *address;
        bool insecure;
        int code;
    } cases[] = {
        {"tcp://0.0.0.0:17991", false, STATUS_ARGUMENT},   {"tcp://*:17991", false, STATUS_ARGUMENT},
        {"tcp://[::]:17991", false, STATUS_ARGUMENT},      {"tcp://127.evil.example:17991", false, STATUS_ARGUMENT},
        {"udp://127.0.0.1:17991", false, STATUS_ARGUMENT}, {"tcp://127.0.0.1", false, STATUS_ARGUMENT},
        {"tcp://127.0.0.1:*", false, STATUS_OK},           {"tcp://0.0.0.0:*", true, STATUS_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker *b = NULL;
        const struct broker_options o = {
            .run_dir = "run", .stop_fd = -1, .listen = cases[i].address, .insecure_tcp = cases[i].insecure};
        CHECK_CODE(broker_create(&o, &b), cases[i].code);
        if (cases[i].code)
            CHECK(b == NULL && strstr(status_message(), "--listen"));
        broker_destroy(&b);
    }
}

/* A worker goes without a word: another gets its item long before the lease is over, the attempt counted. */
TEST(a_lost_connection_ends_its_worker)
{
    for (int i = 0; i < 2; i++) {
        char address[PEER_ADDRESS];
        struct server s;
        struct peer_end client, first, second;
        struct message_lease lease;
        REQUIRE(peer_free_address(address));
        server_start(&s, (struct broker_options){
                             .listen = i ? address : NULL, .lease_ms = 300000, .session_timeout_ms = 300000});
        server_open_client(&client);
        CHECK(peer_submit(&client, "noop", 1, true) > 0);
        REQUIRE(i ? peer_open_at(&first, address) : peer_open(&first, "run", "worker"));
        REQUIRE(peer_open(&second, "run", "worker"));
        REQUIRE(peer_ready(&first, "first", "noop", NULL) && take_one(&first, &lease, PEER_PATIENCE_MS) &&
                lease.attempt == 1);
        REQUIRE(peer_ready(&second, "second", "noop", NULL));
        const int64_t began = peer_clock_ms();
        peer_close(&first);
        CHECK(take_one(&second, &lease, PEER_PATIENCE_MS) && lease.attempt == 2);
        printf("%s: the item of a worker that is gone was granted again after %lld ms\n", i ? "tcp" : "ipc",
               (long long)(peer_clock_ms() - began));
        peer_close(&second);
        peer_close(&client);
        server_end_well(&s);
    }
}

static bool ready_as(struct peer_end *w, const struct message_ready *ready, const char *address)
{
    return peer_open_at(w, address) && peer_send(w, MESSAGE_READY, &ready_schema, ready) &&
           peer_receive(w, PEER_PATIENCE_MS) == MESSAGE_ENGAGED;
}

/* One try; false: the machine let more than the 1.5 s pass in which it had to be back, and nothing is said. */
static bool comes_back_and_goes_on(void)
{
    struct server s;
    struct peer_end client, worker;
    struct message_lease lease = {0}, again = {0};
    struct wire_buffer kinds = {0}, held = {0};
    struct message_engaged e = {0};
    uint64_t token = 0;
    char address[PEER_ADDRESS];
    REQUIRE(peer_free_address(address));
    server_start(&s, (struct broker_options){.listen = address, .lease_ms = 300000, .session_timeout_ms = 300000});
    server_open_client(&client);
    CHECK(peer_submit(&client, "noop", 1, true) > 0);
    CHECK_OK(wire_append_str(&kinds, "noop"));
    struct message_ready ready = {.name = wire_str("w"), .pid = 77, .kinds = wire_list_of(&kinds, 1)};
    REQUIRE(ready_as(&worker, &ready, address) && take_one(&worker, &lease, PEER_PATIENCE_MS));
    CHECK_OK(wire_append_uint(&held, lease.token));
    ready.held = wire_list_of(&held, 1);
    const int64_t lost = peer_clock_ms();
    peer_close(&worker);
    usleep(300000);
    REQUIRE(ready_as(&worker, &ready, address) && peer_decode(&worker, &engaged_schema, &e));
    const bool late = peer_clock_ms() - lost >= 1500;
    CHECK(late || (wire_next_uint(&e.resumed, &token) && token == lease.token));
    CHECK(late || !take_one(&worker, &again, 2500)); /* it was not given up, also not later */
    peer_close(&worker);
    peer_close(&client);
    server_end_well(&s);
    wire_free(&kinds);
    wire_free(&held);
    return !late;
}

/* The same process on a new connection keeps its item. */
TEST(a_worker_that_comes_back_in_time_goes_on)
{
    bool in_time = false;
    for (int i = 0; i < 10 && !in_time; i++)
        in_time = comes_back_and_goes_on();
    CHECK(in_time);
}
