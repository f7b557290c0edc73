/* broker_state - the inside of the broker, shared by the broker*.c files only. */
#ifndef BROKER_STATE_H
#define BROKER_STATE_H
#include "broker.h"
#include "heap.h"
#include "peers.h"
#include "rundir.h"

enum {
    GROUP_EVENTS = 512,
    GROUP_MS = 1,
    WATCHES_MAX = 65536,
    WATCH_BUCKETS = 1024,
    TICK_POSTPONED = 64 /* turns that may pass with messages still waiting before time passes */
};

/* An answer that is sent after the commit; it is written only then, from what the queue says. */
enum reply_type {
    REPLY_ERROR,
    REPLY_WELCOME,
    REPLY_PONG,
    REPLY_JOB,
    REPLY_JOBS,
    REPLY_WATCH,
    REPLY_SERVER,
    REPLY_ACTION
};

struct reply {
    enum reply_type type;
    bool to_worker;
    struct channel_peer peer;
    uint32_t seq;
    union {
        struct {
            enum wire_error error;
            const char *text; /* static */
        };
        uint64_t number; /* WELCOME: session; JOB: job */
        size_t action;   /* ACTION: which one of broker.actions */
        struct message_list list;
        struct {
            struct message_watch watch;
            uint64_t session;
        };
    };
};

struct watch {
    int64_t until_ms;
    size_t position; /* in broker.watches */
    struct watch *next;
    uint64_t session;
    struct channel_peer peer;
    uint32_t seq;
    struct message_watch what;
};

/* A GRANT that did not reach its worker. */
struct lost {
    struct lost *next;
    uint64_t worker;
    struct wire_buffer tokens;
    uint32_t count;
};

struct broker {
    struct broker_options options;
    struct rundir rundir;
    struct memory memory; /* the plain one */
    void *context, *client, *worker;
    struct queue *queue;
    struct queue_actions actions;
    struct peers clients, workers;
    uint64_t last_session;
    struct reply *replies;
    size_t reply_count, reply_capacity;
    struct lost *lost;
    struct heap watches;
    struct watch *by_job[WATCH_BUCKETS];
    struct broker_counts counts;
    int64_t started_ms, now_ms;
    int64_t alone_since_ms; /* no session since then */
    int postponed;
    int start_lock; /* held while it ends by itself; below 0: not */
};

/* broker.c */
/* Applies an event and collects what it makes the broker say. `from` and seq are those of the message behind it; NULL:
 * nobody waits for an answer. STATUS_NOMEM: nothing has happened. */
int broker_apply(struct broker *b, const struct queue_event *e, const struct channel_peer *from, uint32_t seq) MUST_USE;
void broker_end_session(struct broker *b, struct peer *p);

/* broker_client.c, broker_worker.c: one message, which is well-formed as far as its frames go */
void client_message(struct broker *b, const struct packet *p);
void worker_message(struct broker *b, const struct packet *p);

/* broker_reply.c */
int reply_reserve(struct broker *b, size_t more) MUST_USE;
struct reply *reply_add(struct broker *b, enum reply_type type, bool to_worker, const struct channel_peer *peer,
                        uint32_t seq); /* reserved */
void reply_error(struct broker *b, bool to_worker, const struct channel_peer *peer, uint32_t seq, enum wire_error error,
                 const char *text);
void reply_lost(struct broker *b, const struct queue_action *grant);
void reply_flush(struct broker *b);

/* broker_watch.c */
void watch_init(struct broker *b);
void watch_answer(struct broker *b, const struct reply *r); /* sends a page, or waits */
void watch_changed(struct broker *b, uint64_t job);
void watch_flush(struct broker *b); /* sends what has become due */
void watch_forget(struct broker *b, uint64_t session);
void watch_free(struct broker *b);

#endif
