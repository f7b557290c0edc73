/* What workers say. READY binds a connection to a worker of the queue; everything else needs one. */
#include "broker_state.h"

#include <string.h>

union body {
    struct message_empty empty;
    struct message_ready ready;
    struct message_take take;
    struct message_beat beat;
    struct message_report report;
    struct message_returned returned;
    struct message_checkpoint checkpoint;
    struct message_put put;
    struct message_get get;
};

struct request {
    struct broker *b;
    const struct packet *packet;
    struct peer *peer; /* NULL: no worker */
    union body body;
};

static void refuse(const struct request *r, enum wire_error error, const char *text)
{
    reply_error(r->b, true, &r->packet->peer, r->packet->header.seq, error, text);
}

static bool apply(const struct request *r, struct queue_event e)
{
    e.worker = r->peer ? r->peer->number : 0;
    if (broker_apply(r->b, &e, &r->packet->peer, r->packet->header.seq) == STATUS_OK)
        return true;
    refuse(r, ERROR_BUSY, "out of memory");
    return false;
}

/* The number that the queue has given to the one who said READY; 0: it was refused. */
static uint64_t engaged(const struct broker *b, size_t first)
{
    for (size_t i = first; i < b->actions.count; i++)
        if (b->actions.list[i].type == QUEUE_ENGAGED)
            return b->actions.list[i].worker;
    return 0;
}

static void on_ready(struct request *r)
{
    struct broker *b = r->b;
    const size_t first = b->actions.count, replies = b->reply_count;
    if (!apply(r, (struct queue_event){.type = QUEUE_READY, .ready = &r->body.ready}))
        return;
    const uint64_t worker = engaged(b, first);
    struct peer *known = worker ? peers_numbered(&b->workers, worker) : NULL;
    if (!worker || (known && known == r->peer))
        return;
    if (known)
        peers_remove(&b->workers, known); /* the same process, on a connection that is no more */
    if (peers_add(&b->workers, &r->packet->peer, worker, b->now_ms, &r->peer)) {
        b->reply_count = replies;
        (void)!broker_apply(b, &(struct queue_event){.type = QUEUE_LEAVE, .worker = worker}, NULL, 0);
        refuse(r, ERROR_BUSY, "too many workers");
        return;
    }
    tcp_note_peer(r->peer, r->packet);
}

static void on_ping(struct request *r)
{
    const size_t before = r->b->reply_count;
    if (apply(r, (struct queue_event){.type = QUEUE_HEARD}) && r->b->reply_count == before)
        reply_add(r->b, REPLY_PONG, true, &r->packet->peer, r->packet->header.seq);
}

static void on_take(struct request *r)
{
    if (r->peer)
        r->peer->take_seq = r->packet->header.seq;
    apply(r, (struct queue_event){.type = QUEUE_TAKE, .take = &r->body.take});
}

static void on_beat(struct request *r)
{
    struct wire_list entries = r->body.beat.entries;
    struct message_beat_entry m;
    apply(r, (struct queue_event){.type = QUEUE_BEAT, .beat = &r->body.beat});
    while (r->peer && wire_next(&entries, &beat_entry_schema, &m))
        logs_append(r->b, m.token, m.log, broker_unix_ms());
}

static void on_report(struct request *r)
{
    apply(r, (struct queue_event){.type = QUEUE_REPORT, .report = &r->body.report});
}

/* The checkpoint of whoever holds this token. */
static bool find_checkpoint(const struct request *r, uint64_t token, struct hash *out)
{
    uint64_t job;
    uint32_t index, attempt;
    struct message_lease l;
    if (!queue_token(r->b->queue, token, &job, &index, &attempt) || queue_item(r->b->queue, job, index, &l) ||
        l.checkpoint.bytes != HASH_BYTES)
        return false;
    memcpy(out->bytes, l.checkpoint.data, HASH_BYTES);
    return true;
}

static void on_checkpoint(struct request *r)
{
    struct hash before;
    const struct wire_slice now = r->body.checkpoint.object;
    const bool had = find_checkpoint(r, r->body.checkpoint.token, &before) &&
                     (now.bytes != HASH_BYTES || memcmp(now.data, before.bytes, HASH_BYTES) != 0);
    if (apply(r, (struct queue_event){.type = QUEUE_CHECKPOINT, .checkpoint = &r->body.checkpoint}) && had)
        objects_followed(r->b, &before);
}

static void on_return(struct request *r)
{
    apply(r, (struct queue_event){.type = QUEUE_RETURN, .returned = &r->body.returned});
}

static void on_leave(struct request *r)
{
    if (r->peer)
        apply(r, (struct queue_event){.type = QUEUE_LEAVE});
}

static void on_put(struct request *r)
{
    if (r->peer)
        objects_put(r->b, true, r->packet, &r->body.put);
    else
        refuse(r, ERROR_SESSION, "READY must come first");
}

static void on_get(struct request *r)
{
    if (r->peer)
        objects_get(r->b, true, r->packet, &r->body.get);
    else
        refuse(r, ERROR_SESSION, "READY must come first");
}

static const struct {
    const struct wire_schema *schema;
    void (*handle)(struct request *r);
} requests[] = {
    [MESSAGE_PING] = {&empty_schema, on_ping},      [MESSAGE_READY] = {&ready_schema, on_ready},
    [MESSAGE_TAKE] = {&take_schema, on_take},       [MESSAGE_BEAT] = {&beat_schema, on_beat},
    [MESSAGE_REPORT] = {&report_schema, on_report}, [MESSAGE_RETURN] = {&returned_schema, on_return},
    [MESSAGE_LEAVE] = {&empty_schema, on_leave},    [MESSAGE_CHECKPOINT] = {&checkpoint_schema, on_checkpoint},
    [MESSAGE_PUT] = {&put_schema, on_put},          [MESSAGE_GET] = {&get_schema, on_get},
};

void worker_message(struct broker *b, const struct packet *p)
{
    const uint8_t type = p->header.type;
    struct request r = {.b = b, .packet = p, .peer = peers_find(&b->workers, &p->peer)};
    if (type >= sizeof requests / sizeof *requests || !requests[type].handle)
        refuse(&r, ERROR_TYPE, "no message for this socket");
    else if (packet_decode(p, requests[type].schema, &r.body))
        refuse(&r, ERROR_BODY, "the body breaks its table");
    else {
        requests[type].handle(&r);
        return;
    }
    b->counts.bad_messages++;
}
