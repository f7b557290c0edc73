/* Whole cycles: submitted, leased, reported, committed, and seen by who watches. One thread drives a client and four
 * workers, so that the scheduler has a processor for itself. */
#include "bench_queue.h"

#include <string.h>

enum { BATCH = 64, BATCHES = 16, SINGLES = 256, RESULT_BYTES = 16, ENDS = WORKERS + 1, PAGE = 1000, WATCH_MS = 10000 };

struct run {
    struct end end[ENDS]; /* the client, then the workers */
    enum cycle how;
    int64_t items, sent, seen;
    int flying; /* messages that are not accepted; of CYCLE_JOBS jobs that are not seen */
    uint64_t job;
    struct wire_buffer list;
};

static int submit_job(struct run *r)
{
    uint8_t path[PAYLOAD_BYTES];
    memset(path, 'p', sizeof path);
    r->list.bytes = 0;
    const int code = wire_encode(&item_schema, &(struct message_item){.path = {path, sizeof path}}, &r->list);
    const struct message_submit m = {.kind = wire_str("noop"), .items = wire_list_of(&r->list, 1), .sealed = true};
    return code ? code : end_send(&r->end[0], MESSAGE_SUBMIT, &submit_schema, &m);
}

/* Sends what the window lets. */
static int feed(struct run *r)
{
    const int window = r->how == CYCLE_BATCHED ? BATCHES : SINGLES;
    int code = STATUS_OK;
    for (; r->sent < r->items && r->flying < window && !code; r->flying++) {
        const int64_t left = r->items - r->sent, now = r->how != CYCLE_BATCHED ? 1 : left < BATCH ? left : BATCH;
        code = r->how == CYCLE_JOBS ? submit_job(r)
                                    : end_add(&r->end[0], r->job, (uint64_t)r->sent, (uint32_t)now, PAYLOAD_BYTES,
                                              r->sent + now == r->items);
        r->sent += now;
    }
    return code;
}

static int watch(struct run *r, uint64_t job, uint64_t cursor)
{
    const struct message_watch m = {.job = job, .cursor = cursor, .limit = PAGE, .wait_ms = WATCH_MS};
    return end_send(&r->end[0], MESSAGE_WATCH, &watch_schema, &m);
}

static int client_page(struct run *r)
{
    struct message_page page = {0};
    struct message_job job = {0};
    int code = packet_decode(&r->end[0].packet, &page_schema, &page);
    if (!code && !wire_next(&page.job, &job_schema, &job))
        code = fail(STATUS_INTERNAL, "a PAGE without its job");
    r->seen += page.outcomes.count;
    const bool over = r->how == CYCLE_JOBS ? page.outcomes.count > 0 : r->seen >= r->items;
    if (r->how == CYCLE_JOBS && over)
        r->flying--;
    if (!code && !over)
        code = watch(r, job.job, page.cursor);
    return code ? code : feed(r);
}

static int client_message(struct run *r)
{
    struct message_accepted m = {0};
    if (r->end[0].packet.header.type == MESSAGE_PAGE)
        return client_page(r);
    int code = end_judge(&r->end[0], MESSAGE_ACCEPTED);
    code = code ? code : packet_decode(&r->end[0].packet, &accepted_schema, &m);
    if (r->how == CYCLE_JOBS)
        return code ? code : watch(r, m.job, 0);
    r->flying--;
    return code ? code : feed(r);
}

/* Reports all of a GRANT, and takes the next. */
static int worker_message(struct run *r, struct end *worker)
{
    static const uint8_t result[RESULT_BYTES];
    struct message_grant grant = {0};
    struct message_lease lease = {0};
    if (worker->packet.header.type == MESSAGE_COMMITS)
        return STATUS_OK;
    int code = end_judge(worker, MESSAGE_GRANT);
    code = code ? code : packet_decode(&worker->packet, &grant_schema, &grant);
    r->list.bytes = 0;
    const uint32_t count = grant.leases.count;
    while (!code && wire_next(&grant.leases, &lease_schema, &lease)) {
        const struct message_report_entry e = {.token = lease.token, .result = {result, sizeof result}};
        code = wire_encode(&report_entry_schema, &e, &r->list);
    }
    const struct message_report m = {wire_list_of(&r->list, count)};
    code = code ? code : end_send(worker, MESSAGE_REPORT, &report_schema, &m);
    return code ? code : end_send(worker, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = BATCH});
}

/* All that has come for one end. */
static int drain(struct run *r, int which)
{
    struct end *const e = &r->end[which];
    for (;;) {
        packet_release(&e->packet);
        int code = channel_receive(e->socket, &e->packet);
        if (code == STATUS_TIMEOUT)
            return STATUS_OK;
        code = code ? code : which == 0 ? client_message(r) : worker_message(r, e);
        if (code)
            return code;
    }
}

static int drive(struct run *r)
{
    zmq_pollitem_t items[ENDS] = {0};
    int code = feed(r);
    if (!code && r->how != CYCLE_JOBS)
        code = watch(r, r->job, 0);
    for (int i = 0; i < ENDS; i++)
        items[i] = (zmq_pollitem_t){.socket = r->end[i].socket, .events = ZMQ_POLLIN};
    while (r->seen < r->items && !code) {
        if (zmq_poll(items, ENDS, QUEUE_WAIT_MS) <= 0)
            return fail(STATUS_TIMEOUT, "nothing came in %d ms, %lld of %lld items seen", QUEUE_WAIT_MS,
                        (long long)r->seen, (long long)r->items);
        for (int i = 0; i < ENDS && !code; i++)
            if (items[i].revents)
                code = drain(r, i);
    }
    return code;
}

static int open_all(struct run *r, void *context, const struct server *s)
{
    int code = end_open(context, s, "client", &r->end[0]);
    code = code ? code : end_hello(&r->end[0]);
    for (int i = 1; i < ENDS && !code; i++) {
        char name[16];
        snprintf(name, sizeof name, "worker %d", i);
        code = end_open(context, s, "worker", &r->end[i]);
        code = code ? code : end_ready(&r->end[i], name);
        code = code ? code : end_send(&r->end[i], MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = BATCH});
    }
    return code || r->how == CYCLE_JOBS ? code : end_job(&r->end[0], &r->job);
}

int measure_cycles(const struct server *s, enum cycle how, int64_t items, struct cycles *out)
{
    void *const context = zmq_ctx_new();
    struct run r = {.how = how, .items = items};
    int code = open_all(&r, context, s);
    const double began = bench_now(), computed = server_cpu(s);
    code = code ? code : drive(&r);
    out->rate = (double)items / (bench_now() - began);
    out->cpu_s = (server_cpu(s) - computed) / (double)items;
    for (int i = 0; i < ENDS; i++)
        end_close(&r.end[i]);
    zmq_ctx_term(context);
    wire_free(&r.list);
    return code;
}
