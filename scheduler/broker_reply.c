/* Answers: collected while events are applied, written and sent after the commit. */
#include "broker_state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int reply_reserve(struct broker *b, size_t more)
{
    if (b->reply_count + more <= b->reply_capacity)
        return STATUS_OK;
    const size_t capacity = 2 * b->reply_count + more;
    struct reply *grown = realloc(b->replies, capacity * sizeof *grown);
    if (!grown)
        return fail(STATUS_NOMEM, "%zu replies", capacity);
    b->replies = grown;
    b->reply_capacity = capacity;
    return STATUS_OK;
}

struct reply *reply_add(struct broker *b, enum reply_type type, bool to_worker, const struct channel_peer *peer,
                        uint32_t seq)
{
    struct reply *r = &b->replies[b->reply_count++];
    *r = (struct reply){.type = type, .to_worker = to_worker, .peer = *peer, .seq = seq};
    return r;
}

void reply_error(struct broker *b, bool to_worker, const struct channel_peer *peer, uint32_t seq, enum wire_error error,
                 const char *text)
{
    struct reply *r = reply_add(b, REPLY_ERROR, to_worker, peer, seq);
    r->error = error;
    r->text = text;
}

static int send_to(struct broker *b, const struct reply *r, enum message_type type, const struct wire_schema *schema,
                   const void *body)
{
    return channel_send(r->to_worker ? b->worker : b->client, &r->peer, type, r->seq, schema, body);
}

static int send_error(struct broker *b, const struct reply *r, enum wire_error error, const char *text)
{
    return channel_send_error(r->to_worker ? b->worker : b->client, &r->peer, r->seq, error, text);
}

static int send_welcome(struct broker *b, const struct reply *r)
{
    const struct message_welcome m = {.epoch = b->rundir.epoch,
                                      .version = wire_str(WAVEMILL_VERSION),
                                      .session = r->number,
                                      .beat_ms = (uint64_t)b->options.beat_ms,
                                      .session_timeout_ms = (uint64_t)b->options.session_timeout_ms,
                                      .body_max = WIRE_BODY_MAX,
                                      .list_max = LIMIT_LIST};
    return send_to(b, r, MESSAGE_WELCOME, &welcome_schema, &m);
}

static int send_job(struct broker *b, const struct reply *r)
{
    struct message_job m;
    if (queue_show(b->queue, r->number, &m))
        return send_error(b, r, ERROR_NOT_FOUND, status_message());
    return send_to(b, r, MESSAGE_JOB, &job_schema, &m);
}

static int send_lines(struct broker *b, const struct reply *r)
{
    struct wire_buffer lines = {0}, jobs = {0};
    struct message_lines m = {0};
    struct message_job job;
    if (queue_show(b->queue, r->logs.job, &job))
        return send_error(b, r, ERROR_NOT_FOUND, status_message());
    int code = logs_view(b, &r->logs, &lines, &m);
    code = code ? code : wire_encode(&job_schema, &job, &jobs);
    m.job = wire_list_of(&jobs, 1);
    code = code ? send_error(b, r, ERROR_BUSY, status_message()) : send_to(b, r, MESSAGE_LINES, &lines_schema, &m);
    wire_free(&lines);
    wire_free(&jobs);
    return code;
}

static int send_jobs(struct broker *b, const struct reply *r)
{
    struct message_list asked = r->list;
    asked.kind = wire_str(r->kind);
    asked.name = wire_str(r->name);
    struct wire_buffer jobs = {0};
    uint32_t count = 0;
    bool more = false;
    int code = queue_list(b->queue, &asked, &jobs, &count, &more);
    const struct message_jobs m = {.jobs = wire_list_of(&jobs, count), .more = more};
    code = code ? send_error(b, r, ERROR_BUSY, status_message()) : send_to(b, r, MESSAGE_JOBS, &jobs_schema, &m);
    wire_free(&jobs);
    return code;
}

static uint64_t resident_bytes(void)
{
    char text[128] = {0}; /* pages: all, resident, ... */
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *second = n > 0 ? strchr(text, ' ') : NULL;
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static int send_server(struct broker *b, const struct reply *r)
{
    struct wire_buffer workers = {0};
    struct journal *const journal = b->options.journal;
    struct queue_stats stats;
    uint32_t count = 0;
    queue_stats(b->queue, &stats);
    int code = queue_workers(b->queue, &workers, &count);
    const struct message_server m = {.epoch = b->rundir.epoch,
                                     .version = wire_str(WAVEMILL_VERSION),
                                     .jobs = stats.jobs,
                                     .queued = stats.queued,
                                     .leased = stats.leased,
                                     .clients = b->clients.count,
                                     .resident_bytes = resident_bytes(),
                                     .uptime_ms = (uint64_t)(b->now_ms - b->started_ms),
                                     .workers = wire_list_of(&workers, count),
                                     .is_full = journal && journal->is_full && journal->is_full(journal)};
    code = code ? send_error(b, r, ERROR_BUSY, status_message()) : send_to(b, r, MESSAGE_SERVER, &server_schema, &m);
    wire_free(&workers);
    return code;
}

static int send_stored(struct broker *b, const struct reply *r)
{
    const struct message_stored m = {.object = {r->object.bytes, HASH_BYTES}, .offset = r->offset, .whole = r->whole};
    return send_to(b, r, MESSAGE_STORED, &stored_schema, &m);
}

static int send_chunk(struct broker *b, const struct reply *r)
{
    struct message_chunk m;
    if (objects_read(b, r, &m))
        return send_error(b, r, ERROR_NOT_FOUND, status_message());
    return send_to(b, r, MESSAGE_CHUNK, &chunk_schema, &m);
}

/* ---- actions of the queue ---- */

static const struct queue_entry *entries_of(const struct broker *b, const struct queue_action *a)
{
    return b->actions.entries + a->first;
}

static int send_engaged(struct broker *b, const struct reply *r, const struct queue_action *a)
{
    struct wire_buffer tokens = {0};
    int code = STATUS_OK;
    for (size_t i = 0; i < a->count && !code; i++)
        code = wire_append_uint(&tokens, entries_of(b, a)[i].token);
    const struct message_engaged m = {.epoch = b->rundir.epoch,
                                      .worker = a->worker,
                                      .lease_ms = (uint64_t)b->options.lease_ms,
                                      .beat_ms = (uint64_t)b->options.beat_ms,
                                      .version = wire_str(WAVEMILL_VERSION),
                                      .resumed = wire_list_of(&tokens, (uint32_t)a->count)};
    if (!code)
        code = send_to(b, r, MESSAGE_ENGAGED, &engaged_schema, &m);
    wire_free(&tokens);
    return code;
}

static int send_verdicts(struct broker *b, const struct reply *r, const struct queue_action *a)
{
    struct wire_buffer list = {0};
    const enum message_type type = a->type == QUEUE_COMMITS ? MESSAGE_COMMITS : MESSAGE_VERDICTS;
    int code = STATUS_OK;
    for (size_t first = 0; !code && (first == 0 || first < a->count); first += LIMIT_LIST) {
        const size_t left = a->count - first;
        const uint32_t count = left < LIMIT_LIST ? (uint32_t)left : LIMIT_LIST;
        list.bytes = 0;
        for (size_t i = first; i < first + count && !code; i++) {
            const struct queue_entry *e = &entries_of(b, a)[i];
            const struct message_verdict m = {
                .token = e->token, .verdict = (uint64_t)e->verdict, .priority = e->priority};
            code = wire_encode(&verdict_schema, &m, &list);
        }
        const struct message_verdicts m = {.verdicts = wire_list_of(&list, count)};
        if (!code)
            code = send_to(b, r, type, &verdicts_schema, &m);
    }
    wire_free(&list);
    return code;
}

static int send_grant(struct broker *b, const struct reply *r, const struct queue_action *a)
{
    struct wire_buffer leases = {0};
    struct message_grant m = {0};
    int code = queue_spec(b->queue, a->job, &m);
    for (size_t i = 0; i < a->count && !code; i++) {
        const struct queue_entry *e = &entries_of(b, a)[i];
        struct message_lease lease;
        code = queue_item(b->queue, e->job, e->index, &lease);
        if (code)
            break;
        lease.token = e->token;
        lease.attempt = e->attempt;
        lease.job = e->job == a->job ? 0 : e->job;
        code = wire_encode(&lease_schema, &lease, &leases);
    }
    m.leases = wire_list_of(&leases, (uint32_t)a->count);
    if (!code)
        code = send_to(b, r, MESSAGE_GRANT, &grant_schema, &m);
    wire_free(&leases);
    return code;
}

static int send_action(struct broker *b, const struct reply *r)
{
    const struct queue_action *a = &b->actions.list[r->action];
    switch (a->type) {
    case QUEUE_REFUSED:
        return send_error(b, r, a->error, a->text);
    case QUEUE_ACCEPTED:
        return send_to(b, r, MESSAGE_ACCEPTED, &accepted_schema,
                       &(struct message_accepted){a->job, a->count, a->known});
    case QUEUE_ENGAGED:
        return send_engaged(b, r, a);
    case QUEUE_GRANT:
        return send_grant(b, r, a);
    case QUEUE_SAVED: {
        const struct queue_entry *e = entries_of(b, a);
        return send_to(b, r, MESSAGE_SAVED, &verdict_schema,
                       &(struct message_verdict){.token = e->token, .verdict = (uint64_t)e->verdict});
    }
    default:
        return send_verdicts(b, r, a);
    }
}

static int send_reply(struct broker *b, const struct reply *r)
{
    switch (r->type) {
    case REPLY_ERROR:
        return send_error(b, r, r->error, r->text);
    case REPLY_WELCOME:
        return send_welcome(b, r);
    case REPLY_PONG:
        return send_to(b, r, MESSAGE_PONG, &empty_schema, &(struct message_empty){0});
    case REPLY_JOB:
        return send_job(b, r);
    case REPLY_JOBS:
        return send_jobs(b, r);
    case REPLY_SERVER:
        return send_server(b, r);
    case REPLY_LINES:
        return send_lines(b, r);
    case REPLY_STORED:
        return send_stored(b, r);
    case REPLY_CHUNK:
        return send_chunk(b, r);
    default:
        return send_action(b, r);
    }
}

/* ---- sending ---- */

void reply_lost(struct broker *b, const struct queue_action *a)
{
    struct lost *l = calloc(1, sizeof *l);
    int code = l ? STATUS_OK : STATUS_NOMEM;
    for (size_t i = 0; i < a->count && !code; i++)
        code = wire_append_uint(&l->tokens, entries_of(b, a)[i].token);
    if (code) { /* its leases will end by time */
        if (l)
            wire_free(&l->tokens);
        free(l);
        return;
    }
    l->worker = a->worker;
    l->count = (uint32_t)a->count;
    l->next = b->lost;
    b->lost = l;
}

/* The worker will never know of these tokens, so their items go back. What this grants is sent with the next group. */
static void take_back(struct broker *b)
{
    while (b->lost) {
        struct lost *l = b->lost;
        const struct message_returned m = {.tokens = wire_list_of(&l->tokens, l->count)};
        b->lost = l->next;
        if (broker_apply(b, &(struct queue_event){.type = QUEUE_RETURN, .worker = l->worker, .returned = &m}, NULL, 0))
            b->counts.unsent++; /* its leases will end by time */
        wire_free(&l->tokens);
        free(l);
    }
}

void reply_flush(struct broker *b)
{
    for (size_t i = 0; i < b->reply_count; i++) {
        const struct reply *r = &b->replies[i];
        if (r->type == REPLY_WATCH) {
            watch_answer(b, r);
        } else if (send_reply(b, r) == STATUS_OK) {
            b->counts.sent++;
        } else {
            b->counts.unsent++;
            if (r->type == REPLY_ACTION && b->actions.list[r->action].type == QUEUE_GRANT)
                reply_lost(b, &b->actions.list[r->action]);
        }
    }
    b->reply_count = 0;
    queue_actions_clear(&b->actions);
    take_back(b);
}
