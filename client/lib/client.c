#include "client.h"

#include "channel.h"
#include "paths.h"
#include "start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000, POLL_MS = 100, CHUNK_BYTES = 768 << 10, PAGE_LIMIT = 1000 };

struct client {
    struct client_options options;
    struct paths paths;
    void *zmq, *socket;
    uint32_t seq;
    int64_t beat_ms, said_ms;
    struct packet reply;      /* the last one, which answers point into */
    bool attaching;           /* between finding a scheduler and its WELCOME */
    uint64_t added_to, added; /* items sent so far to the job that is being filled */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int say(struct client *c, enum message_type type, const struct wire_schema *schema, const void *body)
{
    c->said_ms = now_ms();
    return channel_send(c->socket, NULL, type, ++c->seq, schema, body);
}

static void keep_session(struct client *c)
{
    if (c->beat_ms && now_ms() - c->said_ms >= c->beat_ms) {
        const uint32_t seq = c->seq;
        const int ignored = say(c, MESSAGE_PING, &empty_schema, &(struct message_empty){0});
        (void)ignored; /* the wait that we are in will say that nobody answers */
        c->seq = seq;  /* its PONG answers no request */
    }
}

/* An ERROR reply as a status code. */
static int refused(const struct packet *p)
{
    static const enum status codes[] = {
        [0] = STATUS_INTERNAL,           [ERROR_VERSION] = STATUS_VERSION, [ERROR_TYPE] = STATUS_INTERNAL,
        [ERROR_BODY] = STATUS_FORMAT,    [ERROR_LIMIT] = STATUS_ARGUMENT,  [ERROR_NOT_FOUND] = STATUS_NOT_FOUND,
        [ERROR_STATE] = STATUS_ARGUMENT, [ERROR_BUSY] = STATUS_BUSY,       [ERROR_SESSION] = STATUS_TIMEOUT};
    struct message_error m;
    char text[LIMIT_MESSAGE + 1];
    const int code = packet_decode(p, &error_schema, &m);
    if (code)
        return code;
    wire_copy(m.message, text, sizeof text);
    return fail(m.code <= ERROR_SESSION ? codes[m.code] : STATUS_INTERNAL, "scheduler: %s",
                *text ? text : wire_error_name(m.code));
}

/* Waits for the reply to the last request; it stays in c->reply. */
static int await(struct client *c, enum message_type want, int64_t timeout_ms)
{
    const int64_t end = now_ms() + timeout_ms;
    for (;;) {
        packet_release(&c->reply);
        int code = channel_receive(c->socket, &c->reply);
        if (code == STATUS_OK) {
            if (c->reply.header.type == MESSAGE_PONG || c->reply.header.seq != c->seq)
                continue; /* late, and nobody waits for it any more */
            if (c->reply.header.type == MESSAGE_ERROR)
                return refused(&c->reply);
            return c->reply.header.type == want
                       ? STATUS_OK
                       : fail(STATUS_FORMAT, "scheduler: an answer of type %d, not %d", c->reply.header.type, want);
        }
        if (code != STATUS_TIMEOUT)
            return code;
        if (c->options.interrupted && *c->options.interrupted)
            return fail(STATUS_CANCELLED, "interrupted");
        if (now_ms() >= end || (c->attaching && !start_is_running(&c->paths)))
            return fail(STATUS_TIMEOUT, "the scheduler does not answer");
        keep_session(c);
        zmq_pollitem_t item = {c->socket, 0, ZMQ_POLLIN, 0};
        const int64_t left = end - now_ms();
        zmq_poll(&item, 1, left < POLL_MS ? (long)(left > 0 ? left : 0) : POLL_MS);
    }
}

static int ask(struct client *c, enum message_type type, const struct wire_schema *schema, const void *body,
               enum message_type want, const struct wire_schema *answer_schema, void *answer)
{
    int code = say(c, type, schema, body);
    if (!code)
        code = await(c, want, c->options.timeout_ms);
    return code ? code : packet_decode(&c->reply, answer_schema, answer);
}

static int greet(struct client *c)
{
    struct message_welcome w;
    const struct message_hello hello = {.name = wire_str(c->options.name ? c->options.name : "libwavemill"),
                                        .version = wire_str(WAVEMILL_VERSION)};
    const int code = ask(c, MESSAGE_HELLO, &hello_schema, &hello, MESSAGE_WELCOME, &welcome_schema, &w);
    if (!code)
        c->beat_ms = (int64_t)w.beat_ms;
    return code;
}

static int connect_socket(struct client *c)
{
    c->zmq = zmq_ctx_new();
    if (!c->zmq)
        return fail(STATUS_NOMEM, "zmq: %s", zmq_strerror(errno));
    const int code = channel_open(c->zmq, ZMQ_DEALER, &c->socket);
    if (!code && zmq_connect(c->socket, c->paths.client_socket))
        return fail(STATUS_IO, "cannot connect to %s: %s", c->paths.client_socket, zmq_strerror(errno));
    return code;
}

static int find_or_start(struct client *c)
{
    int code = STATUS_OK;
    if (!start_is_running(&c->paths))
        code = c->options.start
                   ? start_serve(&c->paths, &c->options, c->options.timeout_ms)
                   : fail(STATUS_NOT_FOUND, "no scheduler runs for %s; `wavemill serve` starts one", c->paths.home);
    if (!code)
        code = connect_socket(c);
    c->attaching = true;
    if (!code)
        code = greet(c);
    c->attaching = false;
    return code;
}

static void disconnect(struct client *c)
{
    packet_release(&c->reply);
    if (c->socket)
        zmq_close(c->socket);
    if (c->zmq)
        zmq_ctx_term(c->zmq);
    c->zmq = c->socket = NULL;
}

/* With start.lock held from the look for a scheduler to its WELCOME. One that dies in between, as after a kill, is
 * followed by another. */
static int attach(struct client *c)
{
    enum { TRIES = 3 };
    int lock = -1;
    int code = start_lock(&c->paths, &c->options, c->options.timeout_ms, &lock);
    if (code)
        return code;
    for (int i = 0; i < TRIES; i++) {
        code = find_or_start(c);
        if (code != STATUS_TIMEOUT || start_is_running(&c->paths))
            break;
        disconnect(c);
    }
    close(lock);
    return code;
}

int client_open(const struct client_options *options, struct client **out)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return fail(STATUS_NOMEM, "client: out of memory");
    c->options = *options;
    if (c->options.timeout_ms <= 0)
        c->options.timeout_ms = TIMEOUT_MS;
    int code = paths_find(options->home, &c->paths);
    if (!code)
        code = attach(c);
    if (code)
        client_close(&c);
    else
        *out = c;
    return code;
}

void client_close(struct client **client)
{
    struct client *c = *client;
    if (!c)
        return;
    packet_release(&c->reply);
    if (c->socket) {
        const int linger_ms = 100;
        if (c->beat_ms) {
            const int ignored = say(c, MESSAGE_BYE, &empty_schema, &(struct message_empty){0});
            (void)ignored; /* a scheduler that is gone needs no farewell */
        }
        zmq_setsockopt(c->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(c->socket);
    }
    if (c->zmq)
        zmq_ctx_term(c->zmq);
    free(c);
    *client = NULL;
}

int client_submit(struct client *c, const struct client_job *job, uint64_t *id)
{
    const struct message_submit m = {.kind = wire_str(job->kind),
                                     .params = job->params,
                                     .priority = job->priority,
                                     .cancel_on_disconnect = job->cancel_on_disconnect,
                                     .name = wire_str(job->name),
                                     .max_attempts = job->max_attempts};
    struct message_accepted a;
    const int code = ask(c, MESSAGE_SUBMIT, &submit_schema, &m, MESSAGE_ACCEPTED, &accepted_schema, &a);
    if (code)
        return code;
    c->added_to = a.job;
    c->added = 0;
    *id = a.job;
    return STATUS_OK;
}

static int send_chunk(struct client *c, uint64_t job, const struct wire_buffer *items, uint32_t count, bool sealed)
{
    const struct message_add m = {.job = job, .first = c->added, .items = wire_list_of(items, count), .sealed = sealed};
    struct message_accepted a;
    const int code = ask(c, MESSAGE_ADD, &add_schema, &m, MESSAGE_ACCEPTED, &accepted_schema, &a);
    if (!code)
        c->added = a.items;
    return code;
}

int client_add(struct client *c, uint64_t job, const struct client_item *items, size_t count)
{
    struct wire_buffer chunk = {0};
    uint32_t n = 0;
    int code = job == c->added_to ? STATUS_OK : fail(STATUS_ARGUMENT, "items are added to the job submitted last");
    for (size_t i = 0; i < count && !code; i++) {
        const struct message_item m = {.path = wire_str(items[i].path), .params = items[i].params};
        if (m.path.bytes > LIMIT_PATH)
            code = fail(STATUS_ARGUMENT, "a path of %u bytes, allowed %d", m.path.bytes, LIMIT_PATH);
        if (!code)
            code = wire_encode(&item_schema, &m, &chunk);
        n++;
        if (!code && (n == LIMIT_LIST || chunk.bytes > CHUNK_BYTES || i + 1 == count)) {
            code = send_chunk(c, job, &chunk, n, false);
            chunk.bytes = 0;
            n = 0;
        }
    }
    wire_free(&chunk);
    return code;
}

int client_seal(struct client *c, uint64_t job)
{
    return send_chunk(c, job, &(struct wire_buffer){0}, 0, true);
}

static int watch(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, bool with_path,
                 struct client_page *out)
{
    const struct message_watch m = {
        .job = job, .cursor = cursor, .limit = PAGE_LIMIT, .wait_ms = (uint64_t)wait_ms, .with_path = with_path};
    struct message_page page;
    int code = say(c, MESSAGE_WATCH, &watch_schema, &m);
    if (!code)
        code = await(c, MESSAGE_PAGE, wait_ms + c->options.timeout_ms);
    if (!code)
        code = packet_decode(&c->reply, &page_schema, &page);
    struct packet *held = code ? NULL : malloc(sizeof *held);
    if (code || !held)
        return code ? code : fail(STATUS_NOMEM, "client: out of memory");
    /* The page keeps the message: zmq_msg_t must not be copied, so it is moved. */
    *held = (struct packet){.held = true};
    zmq_msg_init(&held->frame);
    zmq_msg_move(&held->frame, &c->reply.frame);
    packet_release(&c->reply);
    code = wire_decode(&page_schema, zmq_msg_data(&held->frame), zmq_msg_size(&held->frame), &page);
    *out = (struct client_page){.outcomes = page.outcomes, .cursor = page.cursor, .held = held};
    if (!code && !wire_next(&page.job, &job_schema, &out->job))
        code = fail(STATUS_FORMAT, "scheduler: a page without its job");
    if (code) {
        client_page_release(out);
        return code;
    }
    const bool ended = out->job.state == JOB_DONE || out->job.state == JOB_CANCELLED;
    out->over =
        ended && (page.outcomes.count == 0 || page.cursor >= out->job.done + out->job.dead + out->job.cancelled);
    return STATUS_OK;
}

int client_watch(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out)
{
    return watch(c, job, cursor, wait_ms, false, out);
}

int client_watch_paths(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out)
{
    return watch(c, job, cursor, wait_ms, true, out);
}

bool client_next(struct client_page *page, struct message_outcome *out)
{
    return wire_next(&page->outcomes, &outcome_schema, out);
}

void client_page_release(struct client_page *page)
{
    if (page->held)
        packet_release(page->held);
    free(page->held);
    *page = (struct client_page){0};
}

int client_show(struct client *c, uint64_t job, struct message_job *out)
{
    return ask(c, MESSAGE_SHOW, &job_ref_schema, &(struct message_job_ref){job}, MESSAGE_JOB, &job_schema, out);
}

int client_cancel(struct client *c, uint64_t job, struct message_job *out)
{
    return ask(c, MESSAGE_CANCEL, &job_ref_schema, &(struct message_job_ref){job}, MESSAGE_JOB, &job_schema, out);
}

int client_list(struct client *c, uint64_t after, uint64_t limit, struct message_jobs *out)
{
    const struct message_list m = {.after = after, .limit = limit};
    return ask(c, MESSAGE_LIST, &list_schema, &m, MESSAGE_JOBS, &jobs_schema, out);
}

int client_stats(struct client *c, struct message_server *out)
{
    return ask(c, MESSAGE_STATS, &empty_schema, &(struct message_empty){0}, MESSAGE_SERVER, &server_schema, out);
}
