/* server - the broker in the test's own process, on a thread. */
#ifndef SERVER_H
#define SERVER_H
#include "broker.h"
#include "peer.h"

#include <pthread.h>

struct server {
    struct broker *broker;
    struct broker_counts counts; /* at its end */
    pthread_t thread;
    int stop_fd, code;
};

/* For tests that are not about time: whoever is silent for a while, because the machine is busy, is not gone. */
extern const struct broker_options server_patient;

void server_start(struct server *s, struct broker_options options); /* in the folder "run" */
void server_stop(struct server *s);
void server_end_well(struct server *s); /* stops it, and checks that it ended well */

void server_open_client(struct peer_end *client); /* that has said HELLO */

/* A client that has said HELLO, and a worker that has said READY, for noop. */
void server_open_both(struct peer_end *client, struct peer_end *worker);

#endif
