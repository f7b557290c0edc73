/* What clients ask. Every handler has a decoded body and, but for HELLO, a session. */
#include "broker_state.h"
#include "hash.h"

#include <string.h>

enum { SESSION_KEY_LEAST = 8 };

union body {
    struct message_empty empty;
    struct message_submit submit;
    struct message_add add;
    struct message_job_ref job_ref;
    struct message_retry retry;
    struct message_priority priority;
    struct message_logs logs;
    struct message_list list;
    struct message_watch watch;
    struct message_hello hello;
    struct message_put put;
    struct message_get get;
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

/* Sessions with a key are numbered by it, so that they are the same on another connection and after a restart. */
static uint64_t session_number(struct wire_slice key)
{
    uint8_t digest[16];
    uint64_t number;
    hash_short(key.data, key.bytes, digest);
    memcpy(&number, digest, sizeof number);
    return number | QUEUE_SESSION_KEYED;
}

static void on_hello(struct request *r)
{
    const struct wire_slice key = r->body.hello.key;
    if (key.bytes && key.bytes < SESSION_KEY_LEAST) {
        refuse(r, ERROR_BODY, "a session's key has 8 to 16 bytes");
        return;
    }
    if (!r->peer) {
        const uint64_t number = key.bytes ? session_number(key) : r->b->last_session + 1;
        struct peer *before = peers_numbered(&r->b->clients, number);
        if (peers_add(&r->b->clients, &r->packet->peer, number, r->b->now_ms, &r->peer)) {
            refuse(r, ERROR_BUSY, "too many sessions");
            return;
        }
        if (before) { /* it goes on here; who waited there does so no more */
            watch_forget(r->b, number);
            peers_remove(&r->b->clients, before);
        }
        r->b->last_session += !key.bytes;
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

/* What adds to the queue is refused in time, so that there is room for what ends. */
static bool is_full(const struct request *r)
{
    struct journal *const journal = r->b->options.journal;
    if (!journal || !journal->is_full || !journal->is_full(journal))
        return false;
    refuse(r, ERROR_BUSY, "the journal's disk is nearly full");
    return true;
}

static void on_submit(struct request *r)
{
    if (!queue_has_key(r->b->queue, r->body.submit.key) && is_full(r))
        return;
    apply(r, &(struct queue_event){.type = QUEUE_SUBMIT, .session = r->peer->number, .submit = &r->body.submit});
}

/* Without items it only seals the job, which may then end. */
static void on_add(struct request *r)
{
    struct message_job job;
    const struct message_add *m = &r->body.add;
    const bool is_there = queue_show(r->b->queue, m->job, &job) == STATUS_OK && m->first + m->items.count <= job.items;
    if (m->items.count && !is_there && is_full(r))
        return;
    apply(r, &(struct queue_event){.type = QUEUE_ADD, .session = r->peer->number, .add = &r->body.add});
}

/* Applies what changes a job, and answers with the job as it then is, unless it was refused. */
static void change(struct request *r, const struct queue_event *e)
{
    const size_t first = r->b->actions.count;
    if (!apply(r, e))
        return;
    for (size_t i = first; i < r->b->actions.count; i++)
        if (r->b->actions.list[i].type == QUEUE_REFUSED)
            return;
    answer(r, REPLY_JOB)->number = r->body.job_ref.job; /* the first field of each of these messages */
}

static void on_cancel(struct request *r)
{
    change(r, &(struct queue_event){.type = QUEUE_CANCEL, .job = &r->body.job_ref});
}

static void on_retry(struct request *r)
{
    change(r, &(struct queue_event){.type = QUEUE_RETRY, .retry = &r->body.retry});
}

static void on_pause(struct request *r)
{
    change(r, &(struct queue_event){.type = QUEUE_PAUSE, .job = &r->body.job_ref});
}

static void on_resume(struct request *r)
{
    change(r, &(struct queue_event){.type = QUEUE_RESUME, .job = &r->body.job_ref});
}

static void on_priority(struct request *r)
{
    change(r, &(struct queue_event){.type = QUEUE_PRIORITY, .priority = &r->body.priority});
}

static void on_logs(struct request *r)
{
    answer(r, REPLY_LINES)->logs = r->body.logs;
}

static void on_show(struct request *r)
{
    answer(r, REPLY_JOB)->number = r->body.job_ref.job;
}

static void on_list(struct request *r)
{
    struct reply *reply = answer(r, REPLY_JOBS);
    reply->list = r->body.list;
    wire_copy(r->body.list.kind, reply->kind, sizeof reply->kind);
    wire_copy(r->body.list.name, reply->name, sizeof reply->name);
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

static void on_put(struct request *r)
{
    objects_put(r->b, false, r->packet, &r->body.put);
}

static void on_get(struct request *r)
{
    objects_get(r->b, false, r->packet, &r->body.get);
}

static const struct {
    const struct wire_schema *schema;
    void (*handle)(struct request *r);
} requests[] = {
    [MESSAGE_HELLO] = {&hello_schema, on_hello},     [MESSAGE_PING] = {&empty_schema, on_ping},
    [MESSAGE_BYE] = {&empty_schema, on_bye},         [MESSAGE_SUBMIT] = {&submit_schema, on_submit},
    [MESSAGE_ADD] = {&add_schema, on_add},           [MESSAGE_CANCEL] = {&job_ref_schema, on_cancel},
    [MESSAGE_SHOW] = {&job_ref_schema, on_show},     [MESSAGE_LIST] = {&list_schema, on_list},
    [MESSAGE_WATCH] = {&watch_schema, on_watch},     [MESSAGE_STATS] = {&empty_schema, on_stats},
    [MESSAGE_RETRY] = {&retry_schema, on_retry},     [MESSAGE_PAUSE] = {&job_ref_schema, on_pause},
    [MESSAGE_RESUME] = {&job_ref_schema, on_resume}, [MESSAGE_PRIORITY] = {&priority_schema, on_priority},
    [MESSAGE_LOGS] = {&logs_schema, on_logs},        [MESSAGE_PUT] = {&put_schema, on_put},
    [MESSAGE_GET] = {&get_schema, on_get},
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
