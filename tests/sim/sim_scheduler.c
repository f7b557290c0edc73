/* The scheduler's side: messages become events, groups are committed, and a commit that fails ends the process. */
#include "sim.h"

#include <stdio.h>

void sim_scheduler_open(struct sim *s)
{
    shadow_init(&s->shadow, ++s->epoch);
    const struct queue_options options = {.epoch = s->epoch, .lease_ms = SIM_LEASE_MS, .journal = &s->shadow.journal};
    EXPECT(queue_create(&options, &s->queue) == STATUS_OK, "%s", status_message());
    for (size_t i = 0; i < sizeof s->bound / sizeof *s->bound; i++)
        s->bound[i].link = s->bound[i].number = 0;
}

void sim_scheduler_close(struct sim *s)
{
    queue_actions_free(&s->actions, s->queue);
    queue_destroy(&s->queue);
    shadow_free(&s->shadow);
}

/* ---- connections ---- */

static uint64_t number_of(const struct sim *s, uint64_t link)
{
    for (size_t i = 0; i < sizeof s->bound / sizeof *s->bound; i++)
        if (s->bound[i].link == link)
            return s->bound[i].number;
    return 0;
}

static uint64_t link_of(const struct sim *s, uint64_t number)
{
    for (size_t i = 0; i < sizeof s->bound / sizeof *s->bound; i++)
        if (s->bound[i].number == number)
            return s->bound[i].link;
    return 0;
}

/* The number has this connection from now on; link 0: it is gone. */
static void bind_number(struct sim *s, uint64_t number, uint64_t link)
{
    size_t place = 0;
    while (place < sizeof s->bound / sizeof *s->bound && s->bound[place].number != number)
        place++;
    if (place == sizeof s->bound / sizeof *s->bound)
        for (place = 0; s->bound[place].number;)
            place++;
    s->bound[place].number = link ? number : 0;
    s->bound[place].link = link;
}

/* ---- events ---- */

static void apply(struct sim *s, struct queue_event *e)
{
    struct shadow *shadow = &s->shadow;
    struct shadow_worker *w = e->worker ? shadow_worker(shadow, e->worker) : NULL;
    shadow->event = e->type;
    if (e->type != QUEUE_READY)
        shadow->from = e->worker;
    shadow->now_ms = s->now_ms;
    e->unix_ms = s->now_ms;
    if (w) {
        w->heard_ms = s->now_ms;
        if (e->type == QUEUE_TAKE)
            w->credits = (uint32_t)e->take->credits;
    }
    queue_actions_clear(&s->actions);
    EXPECT(queue_apply(s->queue, s->now_ms, e, &s->actions) == STATUS_OK, "%s", status_message());
    shadow_actions(shadow, &s->actions);
    shadow_compare(shadow, s->queue);
    if (e->type == QUEUE_TICK)
        shadow_time(shadow, s->queue);
    s->events++;
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

static void on_ready(struct sim *s, const struct sim_message *m)
{
    struct wire_buffer kinds = {0}, held = {0};
    uint32_t count = 0;
    for (int k = 0; k < 3; k++)
        if (m->kind >> k & 1) {
            EXPECT(wire_append_str(&kinds, (const char *[]){"a", "b", "c"}[k]) == STATUS_OK, "no memory");
            count++;
        }
    tokens_to(&held, m);
    char name[16];
    snprintf(name, sizeof name, "w%d", m->actor);
    const struct message_ready ready = {.name = wire_str(name),
                                        .pid = m->job,
                                        .kinds = wire_list_of(&kinds, count),
                                        .held = wire_list_of(&held, m->count)};
    struct queue_event e = {.type = QUEUE_READY, .worker = number_of(s, m->link), .ready = &ready};
    s->shadow.from = e.worker;
    /* The same process on a new connection, if it holds a token of its old self: the rule of PROTOCOL.md's READY. */
    for (uint32_t i = 0; !s->shadow.from && i < m->count; i++) {
        const struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
        const struct shadow_worker *owner =
            item && item->state == ITEM_LEASED ? shadow_worker(&s->shadow, item->owner) : NULL;
        if (owner && owner->actor == m->actor && owner->pid == m->job)
            s->shadow.from = item->owner;
    }
    struct shadow_worker *w = s->shadow.from ? shadow_worker(&s->shadow, s->shadow.from) : NULL;
    if (w)
        w->credits = 0;
    apply(s, &e);
    const struct queue_action *a = &s->actions.list[0];
    EXPECT(s->actions.count > 0 && a->type == QUEUE_ENGAGED, "READY is not answered with ENGAGED");
    w = shadow_worker(&s->shadow, a->worker);
    if (!w)
        w = shadow_worker(&s->shadow, 0);
    EXPECT(w, "too many workers for the shadow");
    for (size_t k = 0; k < s->shadow.count; k++)
        for (uint32_t i = 0; i < s->shadow.jobs[k].count; i++)
            EXPECT(s->shadow.jobs[k].items[i].state != ITEM_LEASED || s->shadow.jobs[k].items[i].owner != a->worker ||
                       names(m, s->shadow.jobs[k].items[i].token),
                   "a lease goes on that its worker does not hold");
    *w = (struct shadow_worker){
        .id = a->worker, .kinds = m->kind, .heard_ms = s->now_ms, .actor = m->actor, .pid = m->job};
    /* Another process with its name: the old one's time is over. */
    for (size_t k = 0; k < sizeof s->shadow.workers / sizeof *s->shadow.workers; k++) {
        struct shadow_worker *old = &s->shadow.workers[k];
        if (old->id && old != w && old->actor == w->actor && old->pid != w->pid)
            old->heard_ms = s->now_ms - SIM_LEASE_MS;
    }
    bind_number(s, a->worker, m->link);
    wire_free(&kinds);
    wire_free(&held);
}

static void on_beat(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer b = {0};
    for (uint32_t i = 0; i < m->count; i++)
        EXPECT(wire_encode(&beat_entry_schema,
                           &(struct message_beat_entry){m->tokens[i], (double)sim_random(s, 100) / 100},
                           &b) == STATUS_OK,
               "no memory");
    const struct message_beat beat = {wire_list_of(&b, m->count)};
    e.beat = &beat;
    apply(s, &e);
    wire_free(&b);
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

static void on_report(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer b = {0};
    int wanted[SIM_HELD];
    for (uint32_t i = 0; i < m->count; i++) {
        const struct message_report_entry entry = {.token = m->tokens[i],
                                                   .failure = (uint64_t)m->values[i],
                                                   .result = {(const uint8_t *)&m->tokens[i], sizeof m->tokens[i]}};
        EXPECT(wire_encode(&report_entry_schema, &entry, &b) == STATUS_OK, "no memory");
        wanted[i] = shadow_verdict(&s->shadow, m->tokens[i]);
        for (uint32_t k = 0; k < i; k++)
            if (m->tokens[k] == m->tokens[i] && wanted[k] == COMMIT_COMMITTED)
                wanted[i] = COMMIT_DUPLICATE;
        struct shadow_item *item = shadow_token(&s->shadow, m->tokens[i]);
        if (wanted[i] == COMMIT_COMMITTED && e.worker) {
            item->settled = true;
            if (m->values[i] == FAILURE_CRASH)
                note_crash(item);
        }
    }
    const struct message_report report = {wire_list_of(&b, m->count)};
    e.report = &report;
    /* An item that is granted again within the event is no longer settled: put_granted clears it. */
    apply(s, &e);
    wire_free(&b);
    if (s->actions.list[0].type != QUEUE_COMMITS)
        return;
    EXPECT(s->actions.list[0].count == m->count, "%d verdicts for %u reports", (int)s->actions.list[0].count, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct queue_entry *entry = &s->actions.entries[s->actions.list[0].first + i];
        EXPECT(entry->token == m->tokens[i] && entry->verdict == wanted[i], "report answered with %d, not %d",
               entry->verdict, wanted[i]);
        s->commits += entry->verdict == COMMIT_COMMITTED;
        s->stale += entry->verdict == COMMIT_STALE;
        s->duplicates += entry->verdict == COMMIT_DUPLICATE;
    }
}

static void on_worker(struct sim *s, const struct sim_message *m)
{
    static const enum queue_event_type types[] = {
        [SIM_READY] = QUEUE_READY,   [SIM_TAKE] = QUEUE_TAKE,     [SIM_BEAT] = QUEUE_BEAT,
        [SIM_REPORT] = QUEUE_REPORT, [SIM_RETURN] = QUEUE_RETURN, [SIM_LEAVE] = QUEUE_LEAVE};
    struct queue_event e = {.type = types[m->type], .worker = number_of(s, m->link)};
    struct wire_buffer b = {0};
    if (m->type == SIM_READY) {
        on_ready(s, m);
    } else if (m->type == SIM_BEAT) {
        on_beat(s, m, e);
    } else if (m->type == SIM_REPORT) {
        on_report(s, m, e);
    } else {
        tokens_to(&b, m);
        const struct message_take take = {m->count};
        const struct message_returned returned = {wire_list_of(&b, m->count)};
        if (m->type == SIM_TAKE)
            e.take = &take;
        else
            e.returned = &returned;
        apply(s, &e);
        wire_free(&b);
    }
}

static struct wire_list items_of(struct wire_buffer *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        EXPECT(wire_encode(&item_schema, &(struct message_item){.path = wire_str("/p")}, b) == STATUS_OK, "no memory");
    return wire_list_of(b, count);
}

/* What an ADD must be answered with: an error, or 0. */
static int add_verdict(struct sim *s, const struct sim_message *m)
{
    const struct shadow_job *j = shadow_find(&s->shadow, m->job);
    if (!j)
        return ERROR_NOT_FOUND;
    const bool repeated = m->first + m->count <= j->count;
    return repeated || (m->first == j->count && j->state == JOB_OPEN) ? 0 : ERROR_STATE;
}

static void on_client(struct sim *s, const struct sim_message *m)
{
    struct wire_buffer b = {0};
    struct queue_event e = {.session = m->link};
    const struct message_submit submit = {.kind = wire_str((const char *[]){"a", "b", "c"}[m->kind]),
                                          .priority = m->priority,
                                          .max_attempts = (uint64_t)m->max_attempts,
                                          .cancel_on_disconnect = m->fragile,
                                          .sealed = m->sealed,
                                          .items = items_of(&b, m->count)};
    const struct message_add add = {.job = m->job, .first = m->first, .sealed = m->sealed, .items = submit.items};
    const struct message_job_ref ref = {m->job};
    const int wanted = m->type == SIM_ADD ? add_verdict(s, m) : 0;
    if (m->type == SIM_SUBMIT) {
        e.type = QUEUE_SUBMIT;
        e.submit = &submit;
    } else if (m->type == SIM_ADD) {
        e.type = QUEUE_ADD;
        e.add = &add;
    } else if (m->type == SIM_CANCEL) {
        e.type = QUEUE_CANCEL;
        e.cancel = &ref;
    } else {
        e.type = QUEUE_SESSION_GONE;
    }
    apply(s, &e);
    wire_free(&b);
    const struct queue_action *a = s->actions.list;
    const int got = s->actions.count && a->type == QUEUE_REFUSED ? (int)a->error : 0;
    EXPECT(m->type != SIM_ADD || got == wanted, "ADD answered with error %d, not %d", got, wanted);
}

/* ---- answers ---- */

static void answer(struct sim *s, const struct queue_action *a, const struct sim_message *to)
{
    static const enum sim_type types[] = {
        [QUEUE_REFUSED] = SIM_REFUSED,   [QUEUE_ACCEPTED] = SIM_ACCEPTED, [QUEUE_ENGAGED] = SIM_ENGAGED,
        [QUEUE_VERDICTS] = SIM_VERDICTS, [QUEUE_COMMITS] = SIM_COMMITS,   [QUEUE_GRANT] = SIM_GRANT,
        [QUEUE_ABORT] = SIM_VERDICTS};
    const bool unasked = a->type == QUEUE_GRANT || a->type == QUEUE_ABORT;
    struct sim_message m = {.type = types[a->type], .job = a->job, .first = a->worker};
    if (a->type == QUEUE_ACCEPTED)
        m.first = a->count;
    else
        m.count = a->count < SIM_HELD ? (uint32_t)a->count : SIM_HELD;
    m.link = unasked || !to ? link_of(s, a->worker) : to->link;
    m.actor = unasked || !to ? (int)(m.link % 8) : to->actor;
    m.sealed = !unasked && to && to->type >= SIM_SUBMIT; /* for a client */
    for (uint32_t i = 0; i < m.count; i++) {
        m.tokens[i] = s->actions.entries[a->first + i].token;
        m.values[i] = s->actions.entries[a->first + i].verdict;
    }
    if (s->outbox_count < SIM_FLIGHT)
        s->outbox[s->outbox_count++] = m;
}

static void answer_all(struct sim *s, const struct sim_message *to)
{
    for (size_t i = 0; i < s->actions.count; i++) {
        const struct queue_action *a = &s->actions.list[i];
        if (a->type == QUEUE_GONE)
            bind_number(s, a->worker, 0);
        else if (a->type != QUEUE_CHANGED)
            answer(s, a, to);
        s->grants += a->type == QUEUE_GRANT;
    }
}

static void tick(struct sim *s)
{
    struct queue_event e = {.type = QUEUE_TICK};
    apply(s, &e);
    answer_all(s, NULL);
}

/* The next message that has arrived, any of them; false: none. */
static bool arrived(struct sim *s, struct sim_message *out)
{
    const uint32_t start = s->flight_count ? (uint32_t)sim_random(s, s->flight_count) : 0;
    for (uint32_t n = 0; n < s->flight_count; n++) {
        const uint32_t i = (start + n) % s->flight_count;
        if (s->flight[i].type < SIM_ENGAGED && s->flight[i].at_ms <= s->now_ms) {
            *out = s->flight[i];
            s->flight[i] = s->flight[--s->flight_count];
            return true;
        }
    }
    return false;
}

void sim_scheduler_group(struct sim *s)
{
    struct sim_message m;
    s->outbox_count = 0;
    for (uint64_t n = sim_random(s, 6); n && arrived(s, &m); n--) {
        if (m.type >= SIM_SUBMIT)
            on_client(s, &m);
        else
            on_worker(s, &m);
        answer_all(s, &m);
    }
    if (queue_next_deadline_ms(s->queue) <= s->now_ms || sim_chance(s, 5))
        tick(s);
    s->shadow.fail_next = !s->calm && sim_random(s, 3000) == 0;
    if (s->shadow.journal.commit(&s->shadow.journal)) {
        s->crashes++;
        sim_scheduler_close(s);
        sim_scheduler_open(s);
        sim_forget_all(s);
        return;
    }
    for (uint32_t i = 0; i < s->outbox_count; i++)
        sim_send(s, &s->outbox[i]);
}
