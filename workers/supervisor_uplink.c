/* The supervisor towards the scheduler: PROTOCOL.md section 5. */
#include "log.h"
#include "supervisor_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RESEND_MS = 2000,
    LINES_BEATS_MOST = 2 * ITEM_LOG_MOST / LIMIT_LOG, /* an entry may be cut at half of what it may have */
    LEASE_AIM_MS = 250,
    REPORT_BYTES = 768 << 10 /* and one more entry: below WIRE_BODY_MAX */
};

uint32_t uplink_send(struct supervisor *s, enum message_type type, const struct wire_schema *schema, const void *body)
{
    if (channel_send(s->socket, NULL, type, ++s->seq, schema, body))
        log_debug("cannot send to the scheduler: %s", status_message()); /* a beat later everything is said again */
    return s->seq;
}

/* The tokens of a report that has not been answered: held too, or the scheduler takes them back. */
static int append_reported(const struct pending_report *r, struct wire_buffer *held, uint32_t *tokens)
{
    struct message_report m;
    struct message_report_entry e;
    int code = wire_decode(&report_schema, r->body.data, r->body.bytes, &m);
    while (!code && wire_next(&m.entries, &report_entry_schema, &e) && !(code = wire_append_uint(held, e.token)))
        ++*tokens;
    return code;
}

void uplink_ready(struct supervisor *s)
{
    struct wire_buffer kinds = {0}, held = {0};
    char host[48] = "host", name[LIMIT_NAME], device_id[LIMIT_NAME];
    uint32_t tokens = 0;
    gethostname(host, sizeof host - 1);
    const char *device = s->options->device ? s->options->device : "cpu";
    snprintf(name, sizeof name, "%.30s/%s/%ld", host, device, s->options->place);
    uint32_t kind_count = 5;
    int code = wire_append_str(&kinds, KIND_ANALYZE);
    code = code ? code : wire_append_str(&kinds, KIND_NOOP);
    code = code ? code : wire_append_str(&kinds, KIND_SEPARATE_OBJECTS);
    code = code ? code : wire_append_str(&kinds, KIND_SCORE_OBJECTS);
    code = code ? code : wire_append_str(&kinds, KIND_TRAIN_OBJECTS);
    if (!code && !s->places.is_remote) { /* what they write, look at or compare has paths of the scheduler's machine */
        code = wire_append_str(&kinds, KIND_FEATURES);
        code = code ? code : wire_append_str(&kinds, KIND_INSPECT);
        code = code ? code : wire_append_str(&kinds, KIND_SEPARATE);
        code = code ? code : wire_append_str(&kinds, KIND_SEPARATE_CLIPS);
        code = code ? code : wire_append_str(&kinds, KIND_SCORE);
        code = code ? code : wire_append_str(&kinds, KIND_TRAIN);
        code = code ? code : wire_append_str(&kinds, KIND_SWEEP);
        kind_count += 7;
    }
    snprintf(device_id, sizeof device_id, "%.30s/%s", host, device);
    EACH_ITEM (s, l, it)
        if (!it->reported && (!it->aborted || (it->yields && !it->over)) && !code &&
            !(code = wire_append_uint(&held, it->token)))
            tokens++;
    for (const struct pending_report *r = s->reports; r; r = r->next)
        code = code ? code : append_reported(r, &held, &tokens);
    const struct message_ready ready = {.name = wire_str(name),
                                        .pid = (uint64_t)getpid(),
                                        .device = wire_str(device),
                                        .threads = (uint64_t)s->options->threads,
                                        .kinds = wire_list_of(&kinds, kind_count),
                                        .version = wire_str(WAVEMILL_VERSION),
                                        .held = wire_list_of(&held, tokens),
                                        .device_id = wire_str(device_id),
                                        .device_bytes = s->options->device_bytes};
    if (!code)
        uplink_send(s, MESSAGE_READY, &ready_schema, &ready);
    s->ready_ms = supervisor_now_ms();
    wire_free(&kinds);
    wire_free(&held);
}

void uplink_beat(struct supervisor *s)
{
    struct wire_buffer entries = {0};
    size_t budget = item_log_budget();
    uint32_t count = 0;
    int code = STATUS_OK;
    s->beat_at_ms = supervisor_now_ms();
    s->says_much = false;
    EACH_ITEM (s, l, it)
        if (!it->reported && (!it->aborted || (it->yields && !it->over)) && !code) {
            const struct message_beat_entry e = {
                .token = it->token, .progress = it->progress, .log = item_log_unsent(&it->log, &budget)};
            code = wire_encode(&beat_entry_schema, &e, &entries);
            count++;
            s->says_much |= it->log.bytes - it->log.sent > LIMIT_LOG / 2;
        }
    if (!code && count)
        uplink_send(s, MESSAGE_BEAT, &beat_schema, &(struct message_beat){wire_list_of(&entries, count)});
    else
        uplink_send(s, MESSAGE_PING, &empty_schema, &(struct message_empty){0});
    wire_free(&entries);
}

/* Leases are sized so that one takes about LEASE_AIM_MS: one transaction and one report for each, and results that come
 * steadily. Of one that takes longer, what has ended shows how fast it goes. */
static void adapt_credits(struct supervisor *s, const struct lease *l)
{
    const int64_t took = supervisor_now_ms() - l->granted_ms;
    size_t done = 0;
    for (size_t i = 0; i < l->count; i++)
        done += l->items[i].over && !l->items[i].aborted;
    const double rate = (double)done / (double)(took > 0 ? took : 1);
    double wanted = rate * LEASE_AIM_MS;
    const double most = 4.0 * s->credits;
    wanted = wanted > most ? most : wanted < s->credits / 2.0 ? s->credits / 2.0 : wanted;
    s->credits = wanted < s->options->threads ? (uint32_t)s->options->threads
                 : wanted > CREDITS_MOST      ? CREDITS_MOST
                                              : (uint32_t)wanted;
}

/* Lines of items that end, or are given back, before the next beat would bring them. */
static bool has_unsent_lines(const struct supervisor *s)
{
    EACH_ITEM (s, l, it)
        if (((it->committing && !it->aborted) || (it->yields && !it->over)) && it->log.bytes > it->log.sent)
            return true;
    return false;
}

void uplink_send_lines(struct supervisor *s)
{
    for (int i = 0; i < LINES_BEATS_MOST && s->engaged && has_unsent_lines(s); i++)
        uplink_beat(s);
}

/* A report of its own for each so many bytes: one message has room for some hundred results only. */
static int keep_report(struct supervisor *s, struct wire_buffer *entries, uint32_t *count)
{
    struct pending_report *r = *count ? calloc(1, sizeof *r) : NULL;
    int code = r || !*count ? STATUS_OK : fail(STATUS_NOMEM, "report");
    if (r) {
        code = wire_encode(&report_schema, &(struct message_report){wire_list_of(entries, *count)}, &r->body);
        r->next = s->reports;
        s->reports = r;
    }
    entries->bytes = 0;
    *count = 0;
    return code;
}

void uplink_report(struct supervisor *s, struct lease *l)
{
    struct wire_buffer entries = {0};
    uint32_t count = 0;
    int code = STATUS_OK;
    uplink_send_lines(s);
    for (size_t i = 0; i < l->count && !code; i++) {
        const struct item *it = &l->items[i];
        if (!it->committing || it->aborted)
            continue;
        const struct message_report_entry e = {
            .token = it->token,
            .failure = it->code ? it->failure : FAILURE_NONE,
            .message = it->code ? wire_str(it->message) : (struct wire_slice){0},
            .result =
                it->code ? (struct wire_slice){0} : (struct wire_slice){it->result.data, (uint32_t)it->result.bytes},
            .log = it->code ? item_log_last(&it->log) : (struct wire_slice){0}};
        code = wire_encode(&report_entry_schema, &e, &entries);
        count++;
        if (!code && entries.bytes > REPORT_BYTES)
            code = keep_report(s, &entries, &count);
    }
    code = code ? code : keep_report(s, &entries, &count);
    wire_free(&entries);
    if (code)
        log_error("results are not reported for want of memory; their leases will run out");
    l->reported = l->left == 0;
    for (size_t i = 0; i < l->count; i++) {
        l->items[i].reported |= l->items[i].committing;
        l->items[i].committing = false;
        l->reported &= l->items[i].reported;
    }
    l->committing = false;
    l->told_ms = supervisor_now_ms();
    adapt_credits(s, l);
    uplink_resend(s);
}

/* A report is its encoded body; sending takes a schema, so this wraps the bytes. */
static int send_report(struct supervisor *s, struct pending_report *r)
{
    struct message_report body;
    const int code = wire_decode(&report_schema, r->body.data, r->body.bytes, &body);
    return code ? code : channel_send(s->socket, NULL, MESSAGE_REPORT, r->seq, &report_schema, &body);
}

void uplink_resend(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    for (struct pending_report *r = s->reports; r; r = r->next) {
        if (!s->engaged || (r->seq && now - r->sent_ms < RESEND_MS))
            continue;
        if (!r->seq)
            r->seq = ++s->seq;
        r->sent_ms = now;
        if (send_report(s, r))
            log_warn("cannot send a report now: %s", status_message());
    }
}

static void forget_report(struct supervisor *s, uint32_t seq)
{
    for (struct pending_report **at = &s->reports; *at; at = &(*at)->next)
        if ((*at)->seq == seq) {
            struct pending_report *r = *at;
            *at = r->next;
            wire_free(&r->body);
            free(r);
            return;
        }
}

/* An entry without a verdict is to be sent again, and the others with it: they are duplicates then. */
static void on_commits(struct supervisor *s, const struct packet *p)
{
    struct message_verdicts m;
    struct message_report report;
    const struct pending_report *r = s->reports;
    while (r && r->seq != p->header.seq)
        r = r->next;
    if (packet_decode(p, &verdicts_schema, &m)) {
        log_error("commits: %s", status_message());
        return;
    }
    if (r && wire_decode(&report_schema, r->body.data, r->body.bytes, &report) == STATUS_OK &&
        m.verdicts.count < report.entries.count)
        return;
    forget_report(s, p->header.seq);
}

void uplink_leave(struct supervisor *s)
{
    if (s->engaged)
        uplink_send(s, MESSAGE_LEAVE, &empty_schema, &(struct message_empty){0});
    while (s->reports)
        forget_report(s, s->reports->seq);
}

struct item *supervisor_find(struct supervisor *s, uint64_t token)
{
    EACH_ITEM (s, l, it)
        if (it->token == token)
            return it;
    return NULL;
}

/* Those that are marked as aborted and are with the child, or wait for it. With what the child has begun it ends, and
 * its other items begin again. */
void supervisor_stop_aborted(struct supervisor *s)
{
    bool runs = false;
    EACH_ITEM (s, l, it) {
        runs |= it->aborted && it->stage == STAGE_RUNNING;
        if (it->aborted && it->queued)
            child_side_drop(s, it);
    }
    if (!runs)
        return;
    snprintf(s->killed_for, sizeof s->killed_for, "another item was cancelled");
    child_side_died(s);
}

void supervisor_abort(struct supervisor *s, struct item *it)
{
    if (it->aborted)
        return;
    it->aborted = true;
    supervisor_stop_aborted(s);
}

void uplink_drop_all(struct supervisor *s)
{
    EACH_ITEM (s, l, it)
        if (!it->over) /* what has ended is still reported: its token decides */
            supervisor_abort(s, it);
}

static void on_engaged(struct supervisor *s, const struct packet *p)
{
    struct message_engaged m;
    if (packet_decode(p, &engaged_schema, &m)) {
        log_error("scheduler: %s", status_message());
        return;
    }
    s->engaged = true;
    s->epoch = m.epoch;
    s->beat_ms = m.beat_ms ? (int64_t)m.beat_ms : 1000;
    s->lease_ms = (int64_t)m.lease_ms;
    s->take_waits = false;
    EACH_ITEM (s, l, it) {
        struct wire_list resumed = m.resumed;
        uint64_t token;
        bool good = it->reported;
        while (!good && wire_next_uint(&resumed, &token))
            good = token == it->token;
        if (!good)
            supervisor_abort(s, it);
    }
    log_info("engaged as worker %llu, epoch %llu", (unsigned long long)m.worker, (unsigned long long)m.epoch);
    for (struct pending_report *r = s->reports; r; r = r->next)
        r->sent_ms = supervisor_now_ms() - RESEND_MS; /* what was sent before may have died with a scheduler */
    uplink_resend(s);
}

static void on_grant(struct supervisor *s, const struct packet *p)
{
    struct message_grant m;
    struct lease *l = NULL;
    s->take_waits = false;
    if (packet_decode(p, &grant_schema, &m) || lease_create(&m, &s->places, &l)) {
        log_error("grant: %s", status_message()); /* not held: the leases run out and are granted again */
        return;
    }
    if (l->count == 0 || supervisor_find(s, l->items[0].token)) { /* nothing, or a message that came twice */
        lease_destroy(&l);
        return;
    }
    l->granted_ms = l->told_ms = supervisor_now_ms();
    l->next = s->leases;
    s->leases = l;
    uplink_return_surplus(s, l);
    for (size_t i = 0; i < l->count; i++) {
        struct item *it = &l->items[i];
        if (it->stage == STAGE_OVER) {
            supervisor_item_over(s, it);
            continue;
        }
        it->work.run = item_prepare;
        supervisor_submit(s, it);
    }
    if (s->drain_until_ms) /* it crossed the word that no more is wanted */
        uplink_return(s);
}

static void on_verdicts(struct supervisor *s, const struct packet *p)
{
    struct message_verdicts m;
    struct message_verdict v;
    if (packet_decode(p, &verdicts_schema, &m)) {
        log_error("verdicts: %s", status_message());
        return;
    }
    bool yields = false;
    while (wire_next(&m.verdicts, &verdict_schema, &v)) {
        struct item *const it = supervisor_find(s, v.token);
        if (it && v.verdict == VERDICT_ABORT)
            it->aborted = true;
        else if (it && v.verdict == VERDICT_PRIORITY)
            child_side_prefer(s, it, v.priority);
        else if (it && v.verdict == VERDICT_YIELD)
            yields |= uplink_mark_yielding(it, "it was asked back, and goes on later");
    }
    if (yields)
        uplink_send_lines(s);
    supervisor_stop_aborted(s);
}

static void on_error(struct supervisor *s, const struct packet *p)
{
    struct message_error m;
    char text[LIMIT_MESSAGE + 1];
    if (packet_decode(p, &error_schema, &m))
        return;
    wire_copy(m.message, text, sizeof text);
    if (m.code != ERROR_SESSION && transfers_refused(s, p->header.seq, (enum wire_error)m.code, text))
        return;
    if (m.code == ERROR_SESSION) {
        s->engaged = false;
        uplink_ready(s);
        return;
    }
    log_error("the scheduler refuses a message: %s: %s", wire_error_name(m.code), text);
    if (m.code != ERROR_BUSY) /* then it is sent again */
        forget_report(s, p->header.seq);
}

void uplink_receive(struct supervisor *s)
{
    for (int i = 0; i < 256; i++) {
        struct packet p;
        const int code = channel_receive(s->socket, &p);
        if (code == STATUS_TIMEOUT)
            return;
        if (code) {
            log_error("scheduler: %s", status_message());
            continue;
        }
        s->heard_ms = supervisor_now_ms();
        switch (p.header.type) {
        case MESSAGE_ENGAGED:
            on_engaged(s, &p);
            break;
        case MESSAGE_GRANT:
            on_grant(s, &p);
            break;
        case MESSAGE_VERDICTS:
            on_verdicts(s, &p);
            break;
        case MESSAGE_CHUNK:
            uplink_chunk(s, &p);
            break;
        case MESSAGE_STORED:
            uplink_stored(s, &p);
            break;
        case MESSAGE_SAVED:
            uplink_saved(s, &p);
            break;
        case MESSAGE_COMMITS:
            on_commits(s, &p);
            break;
        case MESSAGE_ERROR:
            on_error(s, &p);
            break;
        default:
            break; /* PONG */
        }
        packet_release(&p);
    }
}
