/* peer - a client or worker for tests: a DEALER that sends any message and waits for any answer. */
#ifndef PEER_H
#define PEER_H
#include "channel.h"

#include <stdbool.h>

/* How long what must come is waited for. Only a broken program lets it pass: a machine on which tests run may be slow,
 * busy with others, and stand still for seconds. */
enum { PEER_PATIENCE_MS = 30000, PEER_ADDRESS = 32 };

struct peer_end {
    void *context, *socket;
    struct packet packet; /* the last one received */
    uint32_t seq;         /* of the last request */
};

/* Connects to RUN/client.sock or RUN/worker.sock, or to an address. */
bool peer_open(struct peer_end *p, const char *run_dir, const char *socket);
bool peer_open_at(struct peer_end *p, const char *address);
void peer_close(struct peer_end *p);

bool peer_free_address(char address[PEER_ADDRESS]); /* tcp, of this machine; nobody listens there now */

bool peer_send(struct peer_end *p, enum message_type type, const struct wire_schema *schema, const void *body);
bool peer_send_raw(struct peer_end *p, const void *const *frames, const size_t *bytes, int count);

/* Waits up to wait_ms for the next message; 0: none came, else its type. */
int peer_receive(struct peer_end *p, int wait_ms);
bool peer_decode(struct peer_end *p, const struct wire_schema *schema, void *out);

/* The next message is an ERROR with this code. */
bool peer_gets_error(struct peer_end *p, enum wire_error code);

/* Messages that are sent in many places; and what answers them: the leases of the next GRANT and their number, the
 * verdict on this one token in the next VERDICTS or COMMITS. 0: something else came, or nothing. */
bool peer_send_empty(struct peer_end *p, enum message_type type);
bool peer_take(struct peer_end *p, uint64_t credits);
bool peer_watch(struct peer_end *p, uint64_t job, uint64_t cursor, uint64_t wait_ms);
uint32_t peer_granted(struct peer_end *p, struct message_lease *leases, uint32_t most);
uint64_t peer_verdict(struct peer_end *p, enum message_type type, uint64_t token);

/* PING and PONG: all that it said before has been heard, and what that made others hear was sent. */
bool peer_in_step(struct peer_end *p);

/* Whole exchanges. */
bool peer_hello(struct peer_end *p, struct message_welcome *out);
bool peer_ready(struct peer_end *p, const char *name, const char *kind, struct message_engaged *out);
bool peer_send_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed);
uint64_t peer_submit(struct peer_end *p, const char *kind, uint32_t items, bool sealed); /* the job; 0: failed */

int64_t peer_clock_ms(void); /* monotonic */

#endif
