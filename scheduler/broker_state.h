/* broker_state - the inside of the broker, shared by the broker*.c files only. */
#ifndef BROKER_STATE_H
#define BROKER_STATE_H
#include "broker.h"
#include "hash.h"
#include "heap.h"
#include "peers.h"
#include "rundir.h"

enum {
    GROUP_EVENTS = 512,
    GROUP_MS = 1,
    DEFER_MS = 5, /* a group that can wait is committed with the next that cannot, or so much later */
    WATCHES_MAX = 65536,
    WATCH_BUCKETS = 1024,
    LOGS_JOBS = 256,       /* whose lines are kept */
    LOGS_BYTES = 64 << 10, /* of one job */
    TICK_POSTPONED = 64    /* turns that may pass with messages still waiting before time passes */
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
    REPLY_LINES,
    REPLY_STORED,
    REPLY_CHUNK,
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
        struct message_logs logs;
        struct { /* LIST: its texts are copied, for the message is gone by then */
            struct message_list list;
            char kind[LIMIT_NAME + 1], name[LIMIT_NAME + 1];
        };
        struct {
            struct hash object;
            uint64_t offset, bytes; /* CHUNK: at most so many */
            bool whole;             /* STORED */
        };
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

struct object_service; /* broker_objects.c */

struct broker {
    struct broker_options options;
    struct rundir rundir;
    struct memory memory; /* the plain one */
    void *context, *client, *worker;
    void *monitor;                  /* tells of connections of `worker` that ended */
    struct object_service *objects; /* NULL: PUT and GET are refused */
    struct queue *queue;
    struct queue_actions actions;
    struct peers clients, workers;
    uint64_t last_session;
    struct reply *replies;
    size_t reply_count, reply_capacity;
    struct lost *lost;
    struct job_log *newest_log, *oldest_log;
    uint32_t log_count;
    struct heap watches;
    struct watch *by_job[WATCH_BUCKETS];
    struct broker_counts counts;
    int64_t started_ms, now_ms;
    int64_t next_look_ms; /* a connection has ended: whose? 0: nothing to look for */
    int looks_left;
    int64_t next_lost_ms;   /* 0: no worker has lost its connection */
    int64_t alone_since_ms; /* no session since then */
    int64_t commit_by_ms;   /* a group was answered whose commit has to follow; INT64_MAX: none */
    int postponed;
    int start_lock; /* held while it ends by itself; below 0: not */
};

/* broker.c */
/* Applies an event and collects what it makes the broker say. `from` and seq are those of the message behind it; NULL:
 * nobody waits for an answer. STATUS_NOMEM: nothing has happened. */
int broker_apply(struct broker *b, const struct queue_event *e, const struct channel_peer *from, uint32_t seq) MUST_USE;
void broker_end_session(struct broker *b, struct peer *p);
int64_t broker_unix_ms(void);

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

/* broker_logs.c */
void logs_append(struct broker *b, uint64_t token, struct wire_slice text, int64_t unix_ms);
int logs_view(const struct broker *b, const struct message_logs *asked, struct wire_buffer *out,
              struct message_lines *lines) MUST_USE; /* lines->lines points into out */
void logs_free(struct broker *b);
/* broker_objects.c. PUT and GET are answered in their turn, also from objects_work; what is not whole or not sound is
 * never sent. */
int objects_start(struct broker *b) MUST_USE;
void objects_stop(struct broker *b);
void objects_put(struct broker *b, bool to_worker, const struct packet *p, const struct message_put *m);
void objects_get(struct broker *b, bool to_worker, const struct packet *p, const struct message_get *m);
void objects_work(struct broker *b); /* once a turn, for at most some milliseconds */
/* Another checkpoint may have taken its place: if nobody names it a while later, it goes. */
void objects_followed(struct broker *b, const struct hash *name);
int64_t objects_next_ms(const struct broker *b); /* when objects_work has something to do; INT64_MAX: never */
/* The bytes of a CHUNK, valid until the next call; STATUS_NOT_FOUND. */
int objects_read(struct broker *b, const struct reply *r, struct message_chunk *out) MUST_USE;

/* broker_sweep.c: removes objects that no job has named for long. */
struct sweep;
struct sweep *sweep_create(const char *folder, int64_t keep_ms);
void sweep_destroy(struct sweep **s);
void sweep_work(struct sweep *s, const struct broker *b); /* some of it */
int64_t sweep_next_ms(const struct sweep *s);
void sweep_followed(struct sweep *s, const struct hash *name, int64_t now_ms);

/* broker_tcp.c: the worker socket on tcp, and workers whose connection has ended. */
int tcp_open(struct broker *b) MUST_USE;
void tcp_note_peer(struct peer *p, const struct packet *ready);
void tcp_work(struct broker *b);
int64_t tcp_next_ms(const struct broker *b);

/* broker_watch.c */
void watch_init(struct broker *b);
void watch_answer(struct broker *b, const struct reply *r); /* sends a page, or waits */
void watch_changed(struct broker *b, uint64_t job);
void watch_flush(struct broker *b); /* sends what has become due */
void watch_forget(struct broker *b, uint64_t session);
void watch_free(struct broker *b);

#endif
