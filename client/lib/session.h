/* session - a client's conversation with the scheduler: one question at a time, repeated when the scheduler that was
 * asked has gone and another has come. Room-internal.
 *
 *   lost         the scheduler says that it does not know the session, or is silent for three beats. A HELLO with the
 *                session's key then goes out on a new connection until it is answered, for at most options.restart_ms,
 *                and the question is asked again: so every question must be one that may be repeated
 *   errors       STATUS_TIMEOUT (no answer, or nobody came back), STATUS_CANCELLED, or what an ERROR reply means */
#ifndef SESSION_H
#define SESSION_H
#include "channel.h"
#include "client.h"
#include "paths.h"

struct client {
    struct client_options options; /* but for `interrupted`, its pointers are the caller's until client_open returns */
    char name[LIMIT_NAME + 1];
    struct paths paths;
    void *zmq, *socket;
    uint8_t key[LIMIT_KEY]; /* of the session */
    uint32_t seq, asked;    /* the last one used; the one that an answer is awaited for */
    int64_t beat_ms, said_ms, heard_ms;
    struct packet reply;      /* the last one, which answers point into */
    bool attaching;           /* between finding a scheduler and its WELCOME */
    bool is_lost;             /* the scheduler that was asked is not there, or does not know us */
    enum wire_error refusal;  /* of the last question; 0: it was not refused */
    uint64_t added_to, added; /* items sent so far to the job that is being filled */
};

struct question {
    enum message_type type, want;
    const struct wire_schema *schema, *answer;
    const void *body;
    int64_t wait_ms; /* that the scheduler may keep it waiting, beyond options.timeout_ms */
};

/* Asks, and decodes the answer into *out, which points into c->reply. */
int session_ask(struct client *c, const struct question *q, void *out) MUST_USE;

/* Keeps the session during something long that asks nothing. */
void session_keep(struct client *c);

/* Finds the scheduler (or starts it, or waits for the one that comes after one that was killed) and greets it. */
int session_open(struct client *c) MUST_USE;
void session_close(struct client *c); /* says BYE */

#endif
