#include "server.h"
#include "test.h"

#include <sys/eventfd.h>
#include <unistd.h>

const struct broker_options server_patient = {.lease_ms = 300000, .session_timeout_ms = 300000};

static void *serve(void *argument)
{
    struct server *s = argument;
    s->code = broker_run(s->broker);
    broker_counts(s->broker, &s->counts);
    broker_destroy(&s->broker);
    return NULL;
}

void server_start(struct server *s, struct broker_options options)
{
    options.run_dir = "run";
    if (!options.linger_ms)
        options.linger_ms = -1;
    s->stop_fd = options.stop_fd = eventfd(0, 0);
    REQUIRE(broker_create(&options, &s->broker) == STATUS_OK);
    REQUIRE(pthread_create(&s->thread, NULL, serve, s) == 0);
}

void server_stop(struct server *s)
{
    const uint64_t one = 1;
    CHECK(write(s->stop_fd, &one, sizeof one) == sizeof one);
    pthread_join(s->thread, NULL);
    close(s->stop_fd);
}

void server_end_well(struct server *s)
{
    server_stop(s);
    CHECK(s->code == STATUS_OK);
}

void server_open_client(struct peer_end *client)
{
    REQUIRE(peer_open(client, "run", "client") && peer_hello(client, NULL));
}

void server_open_both(struct peer_end *client, struct peer_end *worker)
{
    REQUIRE(peer_open(client, "run", "client") && peer_open(worker, "run", "worker"));
    REQUIRE(peer_hello(client, NULL) && peer_ready(worker, "w", "noop", NULL));
}
