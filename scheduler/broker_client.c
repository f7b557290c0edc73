/* What clients ask. Every handler has a decoded body and, but for HELLO, a session. */
#include "broker_state.h"

union body {
    struct message_empty empty;
    struct message_submit submit;
    struct message_add add;
    struct message_job_ref job_ref;
    struct message_list list;
    struct message_watch watch;
    struct message_hello hello;
};

struct request {
    struct broker *b;
    const struct packet *packet;
    struct peer *peer; /* NULL: no session */
    union body body;
};

static struct reply *answer(const struct request *r, enum reply_type type)
{
    return reply_add(r->b, type, false, &r->packet->peer, r->packet->header.seq);
}

static void refuse(const struct request *r, enum wire_error error, const char *text)
{
    reply_error(r->b, false, &r->packet->peer, r->packet->header.seq, error, text);
}

/* True when the queue took the event; its answer, or its refusal, is then on its way. */
static bool apply(const struct request *r, const struct queue_event *e)
{
    if (broker_apply(r->b, e, &r->packet->peer, r->packet->header.seq) == STATUS_OK)
        return true;
    refuse(r, ERROR_BUSY, "out of memory");
    return false;
}

static void on_hello(struct request *r)
{
    if (!r->peer) {
        if (peers_add(&r->b->clients, &r->packet->peer, r->b->last_session + 1, r->b->now_ms, &r->peer)) {
            refuse(r, ERROR_BUSY, "too many sessions");
            return;
        }
        r->b->last_session++;
    }
    answer(r, REPLY_WELCOME)->number = r->peer->number;
}

static void on_ping(struct request *r)
{
    answer(r, REPLY_PONG);
}

static void on_bye(struct request *r)
{
    broker_end_session(r->b, r->peer);
}

static void on_submit(struct request *r)
{
    apply(r, &(struct queue_event){.type = QUEUE_SUBMIT, .session = r->peer->number, .submit = &r->body.submit});
}

static void on_add(struct request *r)
{
    apply(r, &(struct queue_event){.type = QUEUE_ADD, .session = r->peer->number, .add = &r->body.add});
}

static void on_cancel(struct request *r)
{
    struct message_job job;
    if (queue_show(r->b->queue, r->body.job_ref.job, &job))
        refuse(r, ERROR_NOT_FOUND, "no such job");
    else if (apply(r, &(struct queue_event){.type = QUEUE_CANCEL, .cancel = &r->body.job_ref}))
        answer(r, REPLY_JOB)->number = r->body.job_ref.job;
}

static void on_show(struct request *r)
{
    answer(r, REPLY_JOB)->number = r->body.job_ref.job;
}

static void on_list(struct request *r)
{
    answer(r, REPLY_JOBS)->list = r->body.list;
}

static void on_watch(struct request *r)
{
    struct reply *reply = answer(r, REPLY_WATCH);
    reply->watch = r->body.watch;
    reply->session = r->peer->number;
}

static void on_stats(struct request *r)
{
    answer(r, REPLY_SERVER);
}

static const struct {
    const struct wire_schema *schema;
    void (*handle)(struct request *r);
} requests[] = {
    [MESSAGE_HELLO] = {&hello_schema, on_hello}, [MESSAGE_PING] = {&empty_schema, on_ping},
    [MESSAGE_BYE] = {&empty_schema, on_bye},     [MESSAGE_SUBMIT] = {&submit_schema, on_submit},
    [MESSAGE_ADD] = {&add_schema, on_add},       [MESSAGE_CANCEL] = {&job_ref_schema, on_cancel},
    [MESSAGE_SHOW] = {&job_ref_schema, on_show}, [MESSAGE_LIST] = {&list_schema, on_list},
    [MESSAGE_WATCH] = {&watch_schema, on_watch}, [MESSAGE_STATS] = {&empty_schema, on_stats},
};

void client_message(struct broker *b, const struct packet *p)
{
    const uint8_t type = p->header.type;
    struct request r = {.b = b, .packet = p, .peer = peers_find(&b->clients, &p->peer)};
    if (r.peer)
        peers_touch(&b->clients, r.peer, b->now_ms);
    if (type >= sizeof requests / sizeof *requests || !requests[type].handle)
        refuse(&r, ERROR_TYPE, "no message for this socket");
    else if (!r.peer && type == MESSAGE_BYE)
        return;
    else if (!r.peer && type != MESSAGE_HELLO)
        refuse(&r, ERROR_SESSION, "HELLO must come first");
    else if (packet_decode(p, requests[type].schema, &r.body))
        refuse(&r, ERROR_BODY, "the body breaks its table");
    else {
        requests[type].handle(&r);
        return;
    }
    b->counts.bad_messages++;
}
