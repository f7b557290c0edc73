/* peers - who is connected to one of the broker's sockets: found by routing id and by number, oldest sign of life
 * first.
 *
 *   ownership    the table owns its peers; a pointer is valid until peers_remove
 *   limits       PEERS_MAX; more is STATUS_BUSY */
#ifndef PEERS_H
#define PEERS_H
#include "channel.h"

#include <stdbool.h>

enum { PEERS_MAX = 4096, PEERS_BUCKETS = 4096 };

struct peer {
    struct channel_peer id;
    uint64_t number; /* of the session or of the worker; one peer has it */
    int64_t heard_ms;
    uint32_t take_seq; /* workers: of the TAKE that waits */
    bool is_remote;    /* workers: connected over tcp */
    int64_t lost_ms;   /* workers: not 0: its connection has ended, and so does it then, unless it is back */
    struct peer *next_id, *next_number;
    struct peer *older, *newer;
};

struct peers {
    struct peer *by_id[PEERS_BUCKETS], *by_number[PEERS_BUCKETS];
    struct peer *oldest, *newest; /* by heard_ms */
    uint32_t count;
};

struct peer *peers_find(const struct peers *t, const struct channel_peer *id);
struct peer *peers_numbered(const struct peers *t, uint64_t number);
int peers_add(struct peers *t, const struct channel_peer *id, uint64_t number, int64_t now_ms,
              struct peer **out) MUST_USE;
void peers_touch(struct peers *t, struct peer *p, int64_t now_ms);
void peers_remove(struct peers *t, struct peer *p);
void peers_free(struct peers *t);

#endif
