#include "client.h"

#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { TIMEOUT_MS = 10000, CHUNK_BYTES = 768 << 10, PAGE_LIMIT = 1000 };

int client_open(const struct client_options *options, struct client **out)
{
    *out = NULL; /* client_close takes what is left of a failure */
    if (options->name && strlen(options->name) > LIMIT_NAME)
        return fail(STATUS_ARGUMENT, "a client's name of %zu bytes, allowed %d", strlen(options->name), LIMIT_NAME);
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return fail(STATUS_NOMEM, "client: out of memory");
    c->options = *options;
    snprintf(c->name, sizeof c->name, "%s", options->name ? options->name : "libwavemill");
    if (c->options.timeout_ms <= 0)
        c->options.timeout_ms = TIMEOUT_MS;
    if (c->options.restart_ms == 0)
        c->options.restart_ms = TIMEOUT_MS;
    int code = paths_find(options->home, &c->paths);
    if (!code)
        code = session_open(c);
    if (code)
        client_close(&c);
    else
        *out = c;
    return code;
}

void client_close(struct client **client)
{
    if (!*client)
        return;
    session_close(*client);
    free(*client);
    *client = NULL;
}

enum wire_error client_refusal(const struct client *c)
{
    return c->refusal;
}

/* ---- submitting ---- */

/* Limits that the scheduler holds too: there, a message that is too large ends the connection. */
static int check_job(const struct client_job *job)
{
    const struct {
        const char *what;
        size_t bytes, most;
    } parts[] = {{"a kind", job->kind ? strlen(job->kind) : 0, LIMIT_NAME},
                 {"a name", job->name ? strlen(job->name) : 0, LIMIT_NAME},
                 {"parameters", job->params.bytes, LIMIT_PARAMS},
                 {"a key", job->key.bytes, LIMIT_KEY}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].bytes > parts[i].most)
            return fail(STATUS_ARGUMENT, "%s of %zu bytes, allowed %zu", parts[i].what, parts[i].bytes, parts[i].most);
    return job->kind ? STATUS_OK : fail(STATUS_ARGUMENT, "a job without a kind");
}

static int submit(struct client *c, const struct client_job *job, struct wire_list items, bool sealed,
                  struct message_accepted *out)
{
    uint8_t random[LIMIT_KEY];
    struct wire_slice key = job->key;
    c->refusal = 0; /* also when nothing is sent */
    const int code = check_job(job);
    if (code)
        return code;
    if (!key.bytes) {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return fail(STATUS_IO, "getrandom: %s", strerror(errno));
        key = (struct wire_slice){random, sizeof random};
    }
    const struct message_submit m = {.kind = wire_str(job->kind),
                                     .params = job->params,
                                     .priority = job->priority,
                                     .cancel_on_disconnect = job->cancel_on_disconnect,
                                     .name = wire_str(job->name),
                                     .max_attempts = job->max_attempts,
                                     .items = items,
                                     .sealed = sealed,
                                     .key = key,
                                     .start_unix_ms = job->start_unix_ms,
                                     .deadline_unix_ms = job->deadline_unix_ms,
                                     .backoff_ms = job->backoff_ms,
                                     .attempt_ms = job->attempt_ms,
                                     .stall_ms = job->stall_ms,
                                     .device_bytes = job->device_bytes,
                                     .wave = job->wave};
    const struct question q = {MESSAGE_SUBMIT, MESSAGE_ACCEPTED, &submit_schema, &accepted_schema, &m, 0};
    return session_ask(c, &q, out);
}

/* Encodes items from *next on, as many as one message takes. */
static int encode_items(const struct client_item *items, size_t count, size_t *next, struct wire_buffer *out)
{
    const size_t from = *next;
    int code = STATUS_OK;
    out->bytes = 0;
    while (!code && *next < count && *next - from < LIMIT_LIST && out->bytes <= CHUNK_BYTES) {
        const struct message_item m = {.path = wire_str(items[*next].path),
                                       .params = items[*next].params,
                                       .object = {items[*next].object, items[*next].object ? LIMIT_OBJECT : 0}};
        if (m.path.bytes > LIMIT_PATH || m.params.bytes > LIMIT_ITEM_PARAMS)
            return fail(STATUS_ARGUMENT, "item %zu: a path of %u bytes and parameters of %u, allowed %d and %d", *next,
                        m.path.bytes, m.params.bytes, LIMIT_PATH, LIMIT_ITEM_PARAMS);
        code = wire_encode(&item_schema, &m, out);
        ++*next;
    }
    return code;
}

static int send_items(struct client *c, uint64_t job, struct wire_list items, bool sealed, struct message_accepted *out)
{
    const struct message_add m = {.job = job, .first = c->added, .items = items, .sealed = sealed};
    const struct question q = {MESSAGE_ADD, MESSAGE_ACCEPTED, &add_schema, &accepted_schema, &m, 0};
    const int code = session_ask(c, &q, out);
    if (!code)
        c->added += items.count; /* not out->items: a job that its key has found has all of them already */
    return code;
}

int client_submit(struct client *c, const struct client_job *job, uint64_t *id)
{
    struct message_accepted a;
    const int code = submit(c, job, (struct wire_list){0}, false, &a);
    if (code)
        return code;
    c->added_to = *id = a.job;
    c->added = 0;
    return STATUS_OK;
}

int client_add(struct client *c, uint64_t job, const struct client_item *items, size_t count)
{
    struct wire_buffer chunk = {0};
    struct message_accepted ignored;
    c->refusal = 0;
    int code = job == c->added_to ? STATUS_OK : fail(STATUS_ARGUMENT, "items are added to the job submitted last");
    for (size_t next = 0; next < count && !code;) {
        const size_t from = next;
        code = encode_items(items, count, &next, &chunk);
        if (!code)
            code = send_items(c, job, wire_list_of(&chunk, (uint32_t)(next - from)), false, &ignored);
    }
    wire_free(&chunk);
    return code;
}

int client_seal(struct client *c, uint64_t job)
{
    struct message_accepted ignored;
    c->refusal = 0;
    return job == c->added_to ? send_items(c, job, (struct wire_list){0}, true, &ignored)
                              : fail(STATUS_ARGUMENT, "the job submitted last is the one to be sealed");
}

int client_submit_items(struct client *c, const struct client_job *job, const struct client_item *items, size_t count,
                        struct message_accepted *out)
{
    struct wire_buffer chunk = {0};
    struct message_accepted a = {0}, first = {0};
    size_t next = 0;
    c->refusal = 0;
    int code = encode_items(items, count, &next, &chunk);
    if (!code)
        code = submit(c, job, wire_list_of(&chunk, (uint32_t)next), next == count, &first);
    a = first;
    c->added_to = first.job;
    c->added = next;
    while (!code && next < count) {
        const size_t from = next;
        code = encode_items(items, count, &next, &chunk);
        if (!code)
            code = send_items(c, first.job, wire_list_of(&chunk, (uint32_t)(next - from)), next == count, &a);
    }
    wire_free(&chunk);
    if (first.known && (code ? c->refusal == ERROR_STATE : a.items != count)) {
        c->refusal = ERROR_CONFLICT;
        return fail(STATUS_ARGUMENT, "the key belongs to job %llu, which has other items or was cancelled",
                    (unsigned long long)first.job);
    }
    if (code)
        return code;
    *out = (struct message_accepted){.job = first.job, .items = a.items, .known = first.known};
    return STATUS_OK;
}

/* ---- watching ---- */

static int watch(struct client *c, const struct message_watch *m, struct client_page *out)
{
    struct message_page page;
    const struct question q = {MESSAGE_WATCH, MESSAGE_PAGE, &watch_schema, &page_schema, m, (int64_t)m->wait_ms};
    int code = session_ask(c, &q, &page);
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
    out->over = ended && page.outcomes.count == 0 && page.cursor <= m->cursor;
    return STATUS_OK;
}

int client_watch(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out)
{
    const struct message_watch m = {.job = job, .cursor = cursor, .limit = PAGE_LIMIT, .wait_ms = (uint64_t)wait_ms};
    return watch(c, &m, out);
}

int client_watch_paths(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out)
{
    const struct message_watch m = {
        .job = job, .cursor = cursor, .limit = PAGE_LIMIT, .wait_ms = (uint64_t)wait_ms, .with_path = true};
    return watch(c, &m, out);
}

int client_watch_dead(struct client *c, uint64_t job, uint64_t cursor, int64_t wait_ms, struct client_page *out)
{
    const struct message_watch m = {.job = job,
                                    .cursor = cursor,
                                    .limit = PAGE_LIMIT,
                                    .wait_ms = (uint64_t)wait_ms,
                                    .with_path = true,
                                    .dead_only = true};
    return watch(c, &m, out);
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

/* ---- looking and steering ---- */

static int ask_about(struct client *c, enum message_type type, uint64_t job, struct message_job *out)
{
    const struct message_job_ref m = {job};
    const struct question q = {type, MESSAGE_JOB, &job_ref_schema, &job_schema, &m, 0};
    return session_ask(c, &q, out);
}

int client_show(struct client *c, uint64_t job, struct message_job *out)
{
    return ask_about(c, MESSAGE_SHOW, job, out);
}

int client_cancel(struct client *c, uint64_t job, struct message_job *out)
{
    return ask_about(c, MESSAGE_CANCEL, job, out);
}

int client_pause(struct client *c, uint64_t job, struct message_job *out)
{
    return ask_about(c, MESSAGE_PAUSE, job, out);
}

int client_resume(struct client *c, uint64_t job, struct message_job *out)
{
    return ask_about(c, MESSAGE_RESUME, job, out);
}

int client_priority(struct client *c, uint64_t job, int64_t priority, struct message_job *out)
{
    const struct message_priority m = {job, priority};
    const struct question q = {MESSAGE_PRIORITY, MESSAGE_JOB, &priority_schema, &job_schema, &m, 0};
    return session_ask(c, &q, out);
}

int client_retry(struct client *c, uint64_t job, const uint64_t *indexes, size_t count, struct message_job *out)
{
    struct wire_buffer list = {0};
    c->refusal = 0;
    int code =
        count <= LIMIT_LIST ? STATUS_OK : fail(STATUS_ARGUMENT, "%zu items, allowed %d at once", count, LIMIT_LIST);
    for (size_t i = 0; i < count && !code; i++)
        code = wire_append_uint(&list, indexes[i]);
    const struct message_retry m = {job, wire_list_of(&list, (uint32_t)count)};
    const struct question q = {MESSAGE_RETRY, MESSAGE_JOB, &retry_schema, &job_schema, &m, 0};
    if (!code)
        code = session_ask(c, &q, out);
    wire_free(&list);
    return code;
}

int client_logs(struct client *c, uint64_t job, uint64_t cursor, struct message_lines *out)
{
    const struct message_logs m = {job, cursor};
    const struct question q = {MESSAGE_LOGS, MESSAGE_LINES, &logs_schema, &lines_schema, &m, 0};
    return session_ask(c, &q, out);
}

int client_list(struct client *c, const struct client_filter *filter, uint64_t after, uint64_t limit,
                struct message_jobs *out)
{
    const struct message_list m = {.after = after,
                                   .limit = limit,
                                   .phases = filter ? filter->phases : 0,
                                   .kind = wire_str(filter ? filter->kind : NULL),
                                   .name = wire_str(filter ? filter->name : NULL)};
    const struct question q = {MESSAGE_LIST, MESSAGE_JOBS, &list_schema, &jobs_schema, &m, 0};
    return session_ask(c, &q, out);
}

int client_stats(struct client *c, struct message_server *out)
{
    const struct message_empty m = {0};
    const struct question q = {MESSAGE_STATS, MESSAGE_SERVER, &empty_schema, &server_schema, &m, 0};
    return session_ask(c, &q, out);
}
