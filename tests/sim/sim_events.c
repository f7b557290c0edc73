/* Messages become events of the queue. Before each the shadow says what must come of it. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

uint64_t sim_number_of(const struct sim_bound *bound, uint64_t link)
{
    for (int i = 0; i < SIM_BOUND; i++)
        if (bound[i].number && bound[i].link == link)
            return bound[i].number;
    return 0;
}

/* Its place, or an empty one. */
struct sim_bound *sim_bound_of(struct sim_bound *bound, uint64_t number)
{
    for (int i = 0; i < SIM_BOUND; i++)
        if (bound[i].number == number)
            return &bound[i];
    EXPECT(number, "the simulator's table of connections is full");
    return sim_bound_of(bound, 0);
}

static void heard(struct shadow_worker *w, int64_t now_ms, bool surely)
{
    w->heard_ms = now_ms;
    if (surely)
        w->heard_least_ms = now_ms;
}

int sim_apply(struct sim *s, struct queue_event *e)
{
    struct shadow *shadow = &s->shadow;
    struct shadow_worker *w = e->worker ? shadow_worker(shadow, e->worker) : NULL;
    const size_t first = s->actions.count;
    shadow->event = (int)e->type;
    shadow->session = e->session;
    shadow->events++;
    if (e->type != QUEUE_READY)
        shadow->from = e->worker;
    shadow->now_ms = sim_clock_ms(s);
    shadow->unix_ms = e->unix_ms = sim_unix_ms(s);
    s->memory.failed = false;
    s->memory.countdown = sim_fault(s, FAULT_MEMORY) ? 1 + sim_random(s, sim_chance(s, 50) ? 1 : 6) : 0;
    s->memory.failing = 1 + sim_random(s, 3);
    const int code = queue_apply(s->queue, shadow->now_ms, e, &s->actions);
    s->memory.countdown = 0;
    s->done.events++;
    s->done.starved += s->memory.failed;
    shadow->starved = s->memory.failed;
    sim_note(s, "event", e->type, e->worker, (uint64_t)-code);
    EXPECT(code == STATUS_OK || (code == STATUS_NOMEM && s->memory.failed), "event %d: %s", (int)e->type,
           status_message());
    if (w)
        heard(w, shadow->now_ms, code == STATUS_OK);
    if (w && e->type == QUEUE_TAKE && !code) {
        w->credits = (uint32_t)e->take->credits;
        w->urgent = e->take->urgent;
        w->above = (int)e->take->above;
    }
    if (e->type == QUEUE_READY && !code && shadow->from && shadow_worker(shadow, shadow->from))
        shadow_worker(shadow, shadow->from)->credits = 0;
    if (shadow->starved)
        shadow_no_backoff(shadow);
    if (e->type == QUEUE_TICK && !code)
        shadow_tick(shadow);
    shadow_actions(shadow, s->queue, &s->actions, first);
    for (size_t i = first; i < s->actions.count; i++) {
        const struct queue_action *a = &s->actions.list[i];
        sim_note(s, "  action", a->type, a->worker << 32 | a->job, a->count);
        for (size_t k = 0; k < a->count && a->type > QUEUE_ACCEPTED; k++)
            s->hash = sim_mix(sim_mix(s->hash, s->actions.entries[a->first + k].token),
                              (uint64_t)s->actions.entries[a->first + k].verdict);
    }
    shadow_compare(shadow, s->queue);
    if (e->type == QUEUE_TICK && !code)
        shadow_time(shadow, s->queue);
    if (e->type == QUEUE_SESSION_GONE && !code)
        shadow_sessions(shadow, e->session);
    return code;
}

static void tokens_to(struct wire_buffer *b, const struct sim_message *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        EXPECT(wire_append_uint(b, m->tokens[i]) == STATUS_OK, "no memory");
}

static bool names(const struct sim_message *m, uint64_t token)
{
    bool named = false;
    for (uint32_t i = 0; i < m->count; i++)
        named |= m->tokens[i] == token;
    return named;
}

/* ---- READY ---- */

/* Who says READY, if it is known: by its connection, or as the same process on a new one that holds a token of its old
 * self (the rule of PROTOCOL.md). */
static uint64_t who_is_ready(struct sim *s, const struct sim_message *m)
{
    uint64_t from = sim_number_of(s->workers_bound, m->link);
    for (uint32_t i = 0; !from && i < m->count; i++) {
        const struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
        const struct shadow_worker *owner =
            item && item->state == ITEM_LEASED ? shadow_worker(&s->shadow, item->owner) : NULL;
        if (owner && owner->actor == m->actor && owner->pid == m->pid)
            from = item->owner;
    }
    return from;
}

static void engaged(struct sim *s, const struct sim_message *m, const struct queue_action *a)
{
    struct shadow *shadow = &s->shadow;
    EXPECT(a->type == QUEUE_ENGAGED, "READY is not answered with ENGAGED");
    struct shadow_worker *w = shadow_worker(shadow, a->worker);
    w = w ? w : shadow_worker(shadow, 0);
    EXPECT(w, "too many workers for the shadow");
    for (size_t k = 0; k < shadow->count; k++)
        for (uint32_t i = 0; i < shadow->jobs[k].count; i++) {
            const struct shadow_item *item = &shadow->jobs[k].items[i];
            const bool leased = item->state == ITEM_LEASED;
            EXPECT(!leased || item->owner != a->worker || names(m, item->token),
                   "a lease goes on that its worker does not hold");
            EXPECT(!leased || item->owner == a->worker || !names(m, item->token),
                   "a worker names the token of a good lease, and does not get it");
        }
    *w = (struct shadow_worker){
        .id = a->worker, .kinds = m->kind, .actor = m->actor, .pid = m->pid, .device = m->device};
    heard(w, shadow->now_ms, true);
    /* Another process with its name: the old one's time is over. */
    for (int k = 0; k < SIM_BOUND; k++) {
        struct shadow_worker *old = &shadow->workers[k];
        if (old->id && old != w && old->actor == w->actor && old->pid != w->pid)
            heard(old, shadow->now_ms - SIM_LEASE_MS, true);
    }
    struct sim_bound *bound = sim_bound_of(s->workers_bound, a->worker);
    *bound = (struct sim_bound){.link = m->link, .number = a->worker, .actor = m->actor};
}

static int on_ready(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer kinds = {0}, held = {0};
    uint32_t count = 0;
    char name[16];
    for (int k = 0; k < 3; k++)
        if (m->kind >> k & 1) {
            EXPECT(wire_append_str(&kinds, (const char *[]){"a", "b", "c"}[k]) == STATUS_OK, "no memory");
            count++;
        }
    tokens_to(&held, m);
    snprintf(name, sizeof name, "w%d", m->actor);
    const struct message_ready ready = {.name = wire_str(name),
                                        .pid = m->pid,
                                        .kinds = wire_list_of(&kinds, count),
                                        .device_id = wire_str((const char *[]){"", "d1", "d2", "d3", "d4"}[m->device]),
                                        .device_bytes = m->device ? SIM_DEVICE : 0,
                                        .held = wire_list_of(&held, m->count)};
    const size_t first = s->actions.count;
    e.ready = &ready;
    s->shadow.from = who_is_ready(s, m);
    s->shadow.device = m->device;
    const int code = sim_apply(s, &e);
    EXPECT(code || s->actions.count > first, "READY has no answer");
    if (!code)
        engaged(s, m, &s->actions.list[first]);
    wire_free(&kinds);
    wire_free(&held);
    return code;
}

/* ---- BEAT, REPORT ---- */

static int on_beat(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer b = {0};
    for (uint32_t i = 0; i < m->count; i++) {
        const struct message_beat_entry entry = {.token = m->tokens[i], .progress = (double)m->values[i] / 100};
        EXPECT(wire_encode(&beat_entry_schema, &entry, &b) == STATUS_OK, "no memory");
    }
    const struct message_beat beat = {wire_list_of(&b, m->count)};
    e.beat = &beat;
    const int code = sim_apply(s, &e);
    for (uint32_t i = 0; i < m->count && !code; i++)
        shadow_moved(&s->shadow, m->tokens[i], e.worker, m->values[i]);
    wire_free(&b);
    return code;
}

bool sim_tells(const struct sim *s, size_t first, uint64_t token, enum lease_verdict verdict)
{
    for (size_t i = first; i < s->actions.count; i++) {
        const struct queue_action *const a = &s->actions.list[i];
        const bool grants = a->type == QUEUE_GRANT && verdict == VERDICT_PRIORITY; /* a GRANT names it */
        for (size_t k = 0; (grants || a->type == QUEUE_ABORT) && k < a->count; k++)
            if (s->actions.entries[a->first + k].token == token &&
                (grants || s->actions.entries[a->first + k].verdict == (int)verdict))
                return true;
    }
    return false;
}

static int on_checkpoint(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    uint8_t object[LIMIT_OBJECT];
    const struct shadow_item *item = shadow_token(&s->shadow, m->tokens[0]);
    const int wanted = item && item->state == ITEM_LEASED && item->owner == e.worker ? COMMIT_COMMITTED : COMMIT_STALE;
    const struct message_checkpoint checkpoint = {m->tokens[0], sim_object(m->nonce, object),
                                                  (double)m->values[0] / 100};
    const size_t first = s->actions.count;
    e.checkpoint = &checkpoint;
    const int code = sim_apply(s, &e);
    if (code)
        return code;
    shadow_moved(&s->shadow, m->tokens[0], e.worker, m->values[0]);
    EXPECT(wanted != COMMIT_COMMITTED || !item->gained || item->attempts == 1,
           "an attempt that got further than all before counts %u", item->attempts);
    const struct queue_action *a = &s->actions.list[first];
    EXPECT(a->type == QUEUE_REFUSED || (a->type == QUEUE_SAVED && s->actions.entries[a->first].verdict == wanted),
           "a checkpoint of %llx is not answered with %d", (unsigned long long)m->tokens[0], wanted);
    const struct shadow_job *const j = wanted == COMMIT_COMMITTED ? shadow_find(&s->shadow, item->job) : NULL;
    EXPECT(!j || a->type == QUEUE_REFUSED || sim_tells(s, first, m->tokens[0], VERDICT_YIELD) == j->paused,
           "an item of job %d is asked for, and not paused, or the other way round", (int)item->job);
    return code;
}

static void note_crash(struct shadow_item *item)
{
    int i = 0;
    while (i < SIM_CRASHED - 1 && item->crashed[i] != item->owner)
        i++;
    for (; i > 0; i--)
        item->crashed[i] = item->crashed[i - 1];
    item->crashed[0] = item->owner;
}

/* Encodes the reports, and says what each must be answered with. An item that is granted again within the event is no
 * longer settled: the shadow clears that when it hears of the grant. */
static void expect_reports(struct sim *s, const struct sim_message *m, bool known, struct wire_buffer *b, int *wanted)
{
    for (uint32_t i = 0; i < m->count; i++) {
        uint8_t result[SIM_RESULT];
        const char *message = m->values[i] ? "it failed" : "";
        const struct message_report_entry entry = {.token = m->tokens[i],
                                                   .failure = (uint64_t)m->values[i],
                                                   .message = wire_str(message),
                                                   .result = sim_result(m->contents[i], m->tokens[i], result)};
        EXPECT(wire_encode(&report_entry_schema, &entry, b) == STATUS_OK, "no memory");
        wanted[i] = shadow_verdict(&s->shadow, m->tokens[i]);
        for (uint32_t k = 0; k < i; k++)
            if (m->tokens[k] == m->tokens[i] && wanted[k] == COMMIT_COMMITTED)
                wanted[i] = COMMIT_DUPLICATE;
        struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
        if (wanted[i] != COMMIT_COMMITTED || !known)
            continue;
        item->settled = true;
        if (m->values[i] == FAILURE_CRASH)
            note_crash(item);
    }
}

/* An entry may be missing only when memory ran out; its item is then still leased. */
static void check_reports(struct sim *s, const struct sim_message *m, const struct queue_action *a, const int *wanted)
{
    size_t k = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct queue_entry *entry = k < a->count ? &s->actions.entries[a->first + k] : NULL;
        if (!entry || entry->token != m->tokens[i]) {
            struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
            EXPECT(s->memory.failed && item && item->state == ITEM_LEASED, "a report has no verdict");
            item->settled = false;
            continue;
        }
        k++;
        EXPECT(entry->verdict == wanted[i] || (s->memory.failed && wanted[i] == COMMIT_DUPLICATE),
               "report of %llx answered with %d, not %d", (unsigned long long)entry->token, entry->verdict, wanted[i]);
        s->done.commits += entry->verdict == COMMIT_COMMITTED;
        s->done.stale += entry->verdict == COMMIT_STALE;
        s->done.duplicates += entry->verdict == COMMIT_DUPLICATE;
    }
    EXPECT(k == a->count, "verdicts for what was not reported");
}

static int on_report(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer b = {0};
    int wanted[SIM_HELD] = {0};
    const size_t first = s->actions.count;
    const bool known = shadow_worker(&s->shadow, e.worker) && e.worker;
    struct shadow_item before[SIM_HELD];
    for (uint32_t i = 0; i < m->count; i++) {
        const struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
        before[i] = item ? *item : (struct shadow_item){0};
    }
    expect_reports(s, m, known, &b, wanted);
    const struct message_report report = {wire_list_of(&b, m->count)};
    e.report = &report;
    const int code = sim_apply(s, &e);
    wire_free(&b);
    if (code) /* nothing has happened */
        for (uint32_t i = m->count; i-- > 0;)
            if (before[i].token)
                *shadow_token(&s->shadow, m->tokens[i]) = before[i];
    if (!code && s->actions.list[first].type == QUEUE_COMMITS)
        check_reports(s, m, &s->actions.list[first], wanted);
    return code;
}

static int on_worker(struct sim *s, const struct sim_message *m)
{
    static const enum queue_event_type types[] = {
        [SIM_READY] = QUEUE_READY,          [SIM_TAKE] = QUEUE_TAKE,     [SIM_BEAT] = QUEUE_BEAT,
        [SIM_REPORT] = QUEUE_REPORT,        [SIM_RETURN] = QUEUE_RETURN, [SIM_LEAVE] = QUEUE_LEAVE,
        [SIM_CHECKPOINT] = QUEUE_CHECKPOINT};
    struct queue_event e = {.type = types[m->type], .worker = sim_number_of(s->workers_bound, m->link)};
    if (m->type == SIM_READY)
        return on_ready(s, m, e);
    if (m->type == SIM_BEAT)
        return on_beat(s, m, e);
    if (m->type == SIM_REPORT)
        return on_report(s, m, e);
    if (m->type == SIM_CHECKPOINT)
        return on_checkpoint(s, m, e);
    struct wire_buffer b = {0};
    if (m->type == SIM_RETURN)
        tokens_to(&b, m);
    const struct message_take take = {.credits = m->count, .urgent = m->urgent, .above = m->priority};
    const struct message_returned returned = {wire_list_of(&b, m->type == SIM_RETURN ? m->count : 0)};
    if (m->type == SIM_TAKE)
        e.take = &take;
    else
        e.returned = &returned;
    const int code = sim_apply(s, &e);
    wire_free(&b);
    return code;
}

/* ---- clients ---- */

static struct wire_list items_of(struct wire_buffer *b, const struct sim_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct sim_item item;
        sim_item(m->nonce, i, &item);
        EXPECT(wire_encode(&item_schema, &item.m, b) == STATUS_OK, "no memory");
    }
    return wire_list_of(b, m->count);
}

/* What an ADD must be answered with: an error, or 0. */
static int add_verdict(const struct sim *s, const struct sim_message *m)
{
    const struct shadow_job *j = shadow_find(&s->shadow, m->job);
    if (!j)
        return ERROR_NOT_FOUND;
    const bool repeated = m->first + m->count <= j->count;
    return repeated || (m->first == j->count && j->state == JOB_OPEN) ? 0 : ERROR_STATE;
}

static int on_client(struct sim *s, const struct sim_message *m)
{
    struct wire_buffer b = {0};
    uint8_t params[8];
    struct queue_event e = {.session = sim_number_of(s->sessions, m->link)};
    const struct message_submit submit = {.kind = wire_str((const char *[]){"a", "b", "c"}[m->kind]),
                                          .name = wire_str("job"),
                                          .params = sim_params(m->nonce, params),
                                          .priority = m->priority,
                                          .max_attempts = (uint64_t)m->max_attempts,
                                          .cancel_on_disconnect = m->fragile,
                                          .sealed = m->sealed,
                                          .key = {(const uint8_t *)&m->key, m->key ? sizeof m->key : 0},
                                          .start_unix_ms = m->start_unix_ms,
                                          .deadline_unix_ms = m->deadline_unix_ms,
                                          .backoff_ms = m->backoff_ms,
                                          .attempt_ms = m->attempt_ms,
                                          .stall_ms = m->stall_ms,
                                          .device_bytes = m->device_bytes,
                                          .wave = m->wave,
                                          .items = items_of(&b, m)};
    const struct message_add add = {.job = m->job, .first = m->first, .sealed = m->sealed, .items = submit.items};
    const struct message_job_ref ref = {m->job};
    const int wanted = m->type == SIM_ADD ? add_verdict(s, m) : 0;
    const size_t first = s->actions.count;
    if (m->type == SIM_SUBMIT) {
        e.type = QUEUE_SUBMIT;
        e.submit = &submit;
    } else if (m->type == SIM_ADD) {
        e.type = QUEUE_ADD;
        e.add = &add;
    } else if (m->type == SIM_CANCEL) {
        e.type = QUEUE_CANCEL;
        e.job = &ref;
    } else {
        e.type = QUEUE_SESSION_GONE;
    }
    const int code = sim_apply(s, &e);
    wire_free(&b);
    const struct queue_action *a = s->actions.count > first ? &s->actions.list[first] : NULL;
    const int got = a && a->type == QUEUE_REFUSED ? (int)a->error : 0;
    EXPECT(code || m->type != SIM_ADD || got == wanted, "ADD answered with error %d, not %d", got, wanted);
    return code;
}

int sim_event(struct sim *s, struct sim_message *m)
{
    sim_note(s, "message", m->type, (uint64_t)m->actor, m->job ? m->job : m->count);
    if (m->type >= SIM_RETRY && m->type <= SIM_PRIORITY)
        return sim_control(s, m, (struct queue_event){.session = sim_number_of(s->sessions, m->link)});
    return m->type < SIM_SUBMIT ? on_worker(s, m) : on_client(s, m);
}
