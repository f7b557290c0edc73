/* peer - a client or worker for tests: a DEALER that sends any message and waits for any answer. */
#ifndef PEER_H
#define PEER_H
#include "channel.h"

#include <stdbool.h>

struct peer_end {
    void *context, *socket;
    struct packet packet; /* the last one received */
    uint32_t seq;         /* of the last request */
};

/* Connects to RUN/client.sock or RUN/worker.sock. */
bool peer_open(struct peer_end *p, const char *run_dir, const char *socket);
void peer_close(struct peer_end *p);

bool peer_send(struct peer_end *p, enum message_type type, const struct wire_schema *schema, const void *body);
bool peer_send_raw(struct peer_end *p, const void *const *frames, const size_t *bytes, int count);

/* Waits up to wait_ms for the next message; 0: none came, else its type. */
int peer_receive(struct peer_end *p, int wait_ms);
bool peer_decode(struct peer_end *p, const struct wire_schema *schema, void *out);

/* The next message is an ERROR with this code. */
bool peer_gets_error(struct peer_end *p, enum wire_error code);

/* Whole exchanges. */
bool peer_hello(struct peer_end *p, struct message_welcome *out);
bool peer_ready(struct peer_end *p, const char *name, const char *kind, struct message_engaged *out);
uint64_t peer_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed); /* the job; 0: failed */

#endif
