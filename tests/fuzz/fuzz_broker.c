/* The broker's two doors (client_message, worker_message) under frames of any type and body, without sockets.
 *
 *   input        steps: door and flags u8, peer u8, type u8, milliseconds u8, then the body: made by a table (u16 of
 *                its name, or 0: the one that goes with the type), or raw bytes behind their length
 *   properties   what the scheduler sends is decoded by the table it is sent under, within the limits that it
 *                announces; the queue passes queue_check after every turn; nothing leaks when the broker ends at
 *                any time
 *
 * channel_send and channel_send_error are replaced by this file's (the linker's --wrap). */
#include "broker_state.h"
#include "shape.h"

#include <string.h>

enum { STEPS_MOST = 100, PEERS = 6, SPACE = 1024 };
enum flags { FLAG_WORKER = 1, FLAG_RAW = 2, FLAG_TURN = 4, FLAG_DEAF = 8, FLAG_ANY_TABLE = 16, FLAG_LATER = 32 };

static struct shape_pool pool;
static bool deaf;                /* the peers' queues are full */
static bool sent[256];           /* types of messages */
static enum message_type wanted; /* what a seed is for; 0: any */

int WRAP(channel_send)(void *socket, const struct channel_peer *peer, enum message_type type, uint32_t seq,
                       const struct wire_schema *schema, const void *body);
int WRAP(channel_send_error)(void *socket, const struct channel_peer *peer, uint32_t seq, enum wire_error error,
                             const char *message);

/* The tables by message type, for bodies that are likely to fit. */
static const struct wire_schema *const by_type[MESSAGE_CHECKPOINT + 1] = {
    [MESSAGE_HELLO] = &hello_schema,       [MESSAGE_SUBMIT] = &submit_schema, [MESSAGE_ADD] = &add_schema,
    [MESSAGE_CANCEL] = &job_ref_schema,    [MESSAGE_SHOW] = &job_ref_schema,  [MESSAGE_LIST] = &list_schema,
    [MESSAGE_WATCH] = &watch_schema,       [MESSAGE_READY] = &ready_schema,   [MESSAGE_TAKE] = &take_schema,
    [MESSAGE_BEAT] = &beat_schema,         [MESSAGE_REPORT] = &report_schema, [MESSAGE_RETURN] = &returned_schema,
    [MESSAGE_RETRY] = &retry_schema,       [MESSAGE_PAUSE] = &job_ref_schema, [MESSAGE_RESUME] = &job_ref_schema,
    [MESSAGE_PRIORITY] = &priority_schema, [MESSAGE_LOGS] = &logs_schema,     [MESSAGE_CHECKPOINT] = &checkpoint_schema,
};

/* Types that a peer may send, and any other now and then. */
static uint8_t type_of(uint8_t c, bool worker)
{
    static const uint8_t clients[] = {MESSAGE_SUBMIT, MESSAGE_HELLO, MESSAGE_ADD,    MESSAGE_CANCEL,   MESSAGE_SHOW,
                                      MESSAGE_LIST,   MESSAGE_WATCH, MESSAGE_PING,   MESSAGE_STATS,    MESSAGE_BYE,
                                      MESSAGE_RETRY,  MESSAGE_PAUSE, MESSAGE_RESUME, MESSAGE_PRIORITY, MESSAGE_LOGS};
    static const uint8_t workers[] = {MESSAGE_TAKE, MESSAGE_READY,  MESSAGE_BEAT,  MESSAGE_REPORT,
                                      MESSAGE_PING, MESSAGE_RETURN, MESSAGE_LEAVE, MESSAGE_CHECKPOINT};
    if (c >= 160)
        return c - 160;
    return worker ? workers[c % sizeof workers] : clients[c % sizeof clients];
}

int WRAP(channel_send)(void *socket, const struct channel_peer *peer, enum message_type type, uint32_t seq,
                       const struct wire_schema *schema, const void *body)
{
    _Alignas(16) char message[SPACE];
    struct wire_buffer b = {0};
    (void)socket;
    (void)seq;
    FUZZ_CHECK(peer && peer->bytes && peer->bytes <= CHANNEL_PEER_MAX && schema->bytes <= sizeof message);
    FUZZ_CHECK(wire_encode(schema, body, &b) == STATUS_OK && b.bytes <= WIRE_BODY_MAX);
    FUZZ_CHECK(wire_decode(schema, b.data, b.bytes, message) == STATUS_OK);
    sent[type & 255] = true;
    if (type == MESSAGE_GRANT && !deaf) {
        struct wire_list leases = ((struct message_grant *)message)->leases;
        struct message_lease l;
        while (wire_next(&leases, &lease_schema, &l))
            shape_note(&pool, l.token);
    }
    wire_free(&b);
    return deaf ? fail(STATUS_BUSY, "its queue is full") : STATUS_OK;
}

int WRAP(channel_send_error)(void *socket, const struct channel_peer *peer, uint32_t seq, enum wire_error error,
                             const char *message)
{
    const struct message_error body = {.code = error, .message = wire_str(message)};
    return WRAP(channel_send)(socket, peer, MESSAGE_ERROR, seq, &error_schema, &body);
}

/* As broker.c's drain does for what has come, and then as its work, without a journal. */
static void turn(struct broker *b)
{
    if (queue_next_deadline_ms(b->queue) <= b->now_ms)
        FUZZ_CHECK(broker_apply(b, &(struct queue_event){.type = QUEUE_TICK}, NULL, 0) == STATUS_OK);
    while (b->clients.oldest && b->now_ms - b->clients.oldest->heard_ms >= b->options.session_timeout_ms)
        broker_end_session(b, b->clients.oldest);
    reply_flush(b);
    watch_flush(b);
    FUZZ_CHECK(queue_check(b->queue) == STATUS_OK);
}

static void step(struct broker *b, struct fuzz_input *in)
{
    const uint8_t flags = fuzz_byte(in), peer = fuzz_byte(in);
    const bool worker = flags & FLAG_WORKER;
    struct packet p = {.peer = {{'p', (uint8_t)(peer % PEERS)}, 2}};
    struct wire_buffer body = {0};
    deaf = flags & FLAG_DEAF;
    p.header.type = type_of(fuzz_byte(in), worker);
    p.header.seq = peer;
    b->now_ms += fuzz_byte(in) * (flags & FLAG_LATER ? 100 : 1);
    const struct wire_schema *schema = p.header.type <= MESSAGE_CHECKPOINT ? by_type[p.header.type] : NULL;
    if (flags & FLAG_ANY_TABLE || !schema)
        schema = flags & FLAG_ANY_TABLE ? shape_table((uint16_t)fuzz_number(in, 2)) : &empty_schema;
    if (flags & FLAG_RAW) {
        const struct wire_slice raw = fuzz_slice(in, fuzz_byte(in));
        FUZZ_CHECK(wire_append(&body, raw.data, raw.bytes) == STATUS_OK);
    } else {
        shape_encode(schema, in, &pool, &body);
    }
    p.body = (struct wire_slice){body.data, (uint32_t)body.bytes};
    FUZZ_CHECK(reply_reserve(b, 4) == STATUS_OK);
    (worker ? worker_message : client_message)(b, &p);
    wire_free(&body);
    if (flags & FLAG_TURN)
        turn(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct broker *b = calloc(1, sizeof *b);
    FUZZ_CHECK(b);
    pool = (struct shape_pool){0};
    memset(sent, 0, sizeof sent);
    b->options = (struct broker_options){.lease_ms = 10000, .beat_ms = 1000, .session_timeout_ms = 5000};
    b->rundir.folder = b->rundir.lock = b->start_lock = -1;
    b->now_ms = b->started_ms = 1000;
    watch_init(b);
    FUZZ_CHECK(queue_create(&(struct queue_options){.epoch = 1, .lease_ms = 10000}, &b->queue) == STATUS_OK);
    for (int i = 0; i < STEPS_MOST && in.left; i++)
        step(b, &in);
    turn(b);
    if (pool.count && (!wanted || sent[wanted]))
        fuzz_accept();
    broker_destroy(&b);
    return 0;
}

/* ---- seeds, of the steps' bytes ---- */

#define CLIENT(type) FLAG_TURN, 1, type, 0
#define WORKER(type) FLAG_WORKER | FLAG_TURN, 2, type, 0
#define HELLO CLIENT(1), 0, 0, 0
/* SUBMIT of noop, sealed; key, start, deadline, backoff, attempt, stall, device, wave follow: one of the three below.
 */
#define SUBMIT_THREE CLIENT(0), 0, 0, 0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 1
#define SUBMIT_ONE CLIENT(0), 0, 0, 0, 0, 0, 255, 1, 255, 1, 0, 0, 0, 255, 1 /* of one attempt */
#define PLAIN 0, 0, 0, 0, 0, 0, 0, 0
#define KEYED 255, 3, 0, 0, 0, 0, 0, 0, 0
#define OVER 0, 0, 255, 1, 0, 0, 0, 0, 0 /* its deadline */
#define WATCH CLIENT(6), 1, 0, 0, 0, 0, 0
#define RETRY_ALL CLIENT(10), 1, 0
#define PAUSE CLIENT(11), 1
#define RESUME CLIENT(12), 1
#define LOWER CLIENT(13), 1, 5, 1 /* PRIORITY -5 */
#define LOGS CLIENT(14), 1, 0
#define READY WORKER(1), 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0 /* for noop */
#define TAKE(credits) WORKER(0), credits, 0, 0
#define REPORT(token, failure) WORKER(3), 1, token, 255, failure, 0, 0, 0
#define BYTES_8 1, 2, 3, 4, 5, 6, 7, 8
#define CHECKPOINT(token) WORKER(7), token, 212, BYTES_8, BYTES_8, BYTES_8, BYTES_8, 255, 1

static void seed(const char *name, enum message_type answer, const uint8_t *begin, size_t bytes)
{
    uint8_t input[600];
    FUZZ_CHECK(bytes + 300 <= sizeof input);
    memcpy(input, begin, bytes);
    fuzz_noise(name, input + bytes, 300);
    wanted = answer;
    fuzz_seed(name, input, bytes + 300);
    wanted = 0;
}

/* What each begins with, and which answer it must get; then noise, which differs by the name. */
void fuzz_seeds(void)
{
    static const uint8_t grant[] = {HELLO, SUBMIT_THREE, PLAIN, READY, TAKE(2)};
    static const uint8_t retry[] = {HELLO, SUBMIT_ONE, PLAIN,   READY, TAKE(1), REPORT(0, FAILURE_INPUT),
                                    WATCH, RETRY_ALL,  TAKE(1), LOGS};
    static const uint8_t pause[] = {HELLO, SUBMIT_THREE, PLAIN, READY, PAUSE, TAKE(1), LOWER, RESUME};
    static const uint8_t again[] = {HELLO, SUBMIT_THREE, KEYED, SUBMIT_THREE, KEYED, READY, TAKE(2)};
    static const uint8_t save[] = {HELLO, SUBMIT_THREE, PLAIN, READY, TAKE(2), CHECKPOINT(0), WATCH};
    static const uint8_t over[] = {HELLO, READY, TAKE(2), SUBMIT_THREE, OVER, WATCH};
    seed("a", MESSAGE_GRANT, grant, sizeof grant);
    seed("b", MESSAGE_GRANT, grant, sizeof grant);
    seed("retry", MESSAGE_LINES, retry, sizeof retry);
    seed("pause", MESSAGE_JOB, pause, sizeof pause);
    seed("again", MESSAGE_ACCEPTED, again, sizeof again);
    seed("save", MESSAGE_SAVED, save, sizeof save);
    seed("over", MESSAGE_ENGAGED, over, sizeof over);
}
