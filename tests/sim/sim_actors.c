/* Workers and clients: they keep to the protocol, but die, forget, come late and say things twice. */
#include "sim.h"

/* ---- workers ---- */

static void send_from(struct sim *s, int w, struct sim_message m)
{
    m.actor = w;
    m.link = s->workers[w].link;
    sim_send(s, &m);
}

static void forget_token(struct sim_worker *w, uint64_t token)
{
    for (uint32_t i = 0; i < w->held_count; i++)
        if (w->held[i] == token)
            w->held[i--] = w->held[--w->held_count];
}

static void connect_again(struct sim *s, struct sim_worker *w, int n)
{
    w->alive = true;
    w->link = ++s->last_link * 8 + (uint64_t)n;
    w->number = 0;
}

static void say_ready(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    struct sim_message m = {.type = SIM_READY, .kind = w->kinds, .job = w->pid + 1};
    for (; m.count < w->held_count; m.count++)
        m.tokens[m.count] = w->held[m.count];
    for (uint32_t i = 0; i < w->done_count && m.count < SIM_HELD; i++)
        m.tokens[m.count++] = w->done[i];
    send_from(s, n, m);
}

static void finish_one(struct sim *s, struct sim_worker *w)
{
    static const int failures[] = {FAILURE_INPUT,  FAILURE_RESOURCE, FAILURE_TRANSIENT,
                                   FAILURE_DEVICE, FAILURE_INTERNAL, FAILURE_CRASH};
    if (w->held_count == 0 || w->done_count == SIM_HELD)
        return;
    const uint64_t token = w->held[sim_random(s, w->held_count)];
    forget_token(w, token);
    w->done[w->done_count] = token;
    w->failures[w->done_count++] = sim_chance(s, s->calm ? 5 : 35) ? failures[sim_random(s, 6)] : FAILURE_NONE;
}

static void say_report(struct sim *s, int n)
{
    const struct sim_worker *w = &s->workers[n];
    struct sim_message m = {.type = SIM_REPORT, .count = w->done_count};
    for (uint32_t i = 0; i < w->done_count; i++) {
        m.tokens[i] = w->done[i];
        m.values[i] = w->failures[i];
    }
    if (m.count)
        send_from(s, n, m);
}

/* A token of another worker, at times: it has no right to it. */
static uint64_t strange_token(struct sim *s, int n)
{
    const struct sim_worker *other = &s->workers[sim_random(s, SIM_WORKERS)];
    if (s->calm || !sim_chance(s, 5) || other == &s->workers[n] || !other->held_count)
        return 0;
    return other->held[0];
}

static void say_beat(struct sim *s, int n)
{
    const struct sim_worker *w = &s->workers[n];
    struct sim_message m = {.type = SIM_BEAT};
    for (; m.count < w->held_count; m.count++)
        m.tokens[m.count] = w->held[m.count];
    for (uint32_t i = 0; i < w->done_count && m.count < SIM_HELD; i++)
        m.tokens[m.count++] = w->done[i];
    const uint64_t strange = strange_token(s, n);
    if (strange && m.count < SIM_HELD)
        m.tokens[m.count++] = strange;
    send_from(s, n, m);
}

static void give_back(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    const uint64_t strange = strange_token(s, n);
    if (!w->held_count)
        return;
    const struct sim_message m = {.type = SIM_RETURN, .count = strange ? 2 : 1, .tokens = {w->held[0], strange}};
    forget_token(w, w->held[0]);
    send_from(s, n, m);
}

static void misbehave(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    switch (sim_random(s, 4)) {
    case 0: /* dies without a word, and may remember when it comes back */
        w->alive = false;
        if (sim_chance(s, 50)) {
            w->held_count = w->done_count = 0;
            w->pid++;
        }
        break;
    case 1: /* says goodbye */
        send_from(s, n, (struct sim_message){.type = SIM_LEAVE});
        w->held_count = w->done_count = 0;
        w->number = 0;
        break;
    case 2: /* a new connection of the same process */
        connect_again(s, w, n);
        break;
    default: /* other kinds */
        w->kinds = 1 + (int)sim_random(s, 7);
        say_ready(s, n);
    }
}

void sim_worker_step(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    if (!w->alive) {
        if (s->calm || sim_chance(s, 10))
            connect_again(s, w, n);
        return;
    }
    if (!w->number) {
        say_ready(s, n);
        return;
    }
    if (!s->calm && sim_chance(s, 3)) {
        misbehave(s, n);
        return;
    }
    switch (sim_random(s, 6)) {
    case 0:
    case 1:
        if (w->held_count + 4 <= SIM_HELD / 2)
            send_from(s, n, (struct sim_message){.type = SIM_TAKE, .count = (uint32_t)sim_random(s, 5)});
        break;
    case 2:
        finish_one(s, w);
        break;
    case 3:
        say_report(s, n);
        break;
    case 4:
        say_beat(s, n);
        break;
    default:
        if (sim_chance(s, 10))
            give_back(s, n);
    }
}

static void on_commits(struct sim_worker *w, const struct sim_message *m)
{
    for (uint32_t k = 0; k < m->count; k++)
        for (uint32_t i = 0; i < w->done_count; i++)
            if (w->done[i] == m->tokens[k]) {
                w->failures[i] = w->failures[--w->done_count];
                w->done[i--] = w->done[w->done_count];
            }
}

/* Only what is named may be kept. */
static void on_engaged(struct sim_worker *w, const struct sim_message *m)
{
    w->number = m->first;
    for (uint32_t i = 0; i < w->held_count; i++) {
        bool named = false;
        for (uint32_t k = 0; k < m->count; k++)
            named |= m->tokens[k] == w->held[i];
        if (!named)
            w->held[i--] = w->held[--w->held_count];
    }
}

void sim_worker_hears(struct sim *s, const struct sim_message *m)
{
    struct sim_worker *w = &s->workers[m->actor];
    if (!w->alive || m->link != w->link)
        return;
    switch (m->type) {
    case SIM_ENGAGED:
        on_engaged(w, m);
        break;
    case SIM_GRANT:
        for (uint32_t i = 0; i < m->count && w->held_count < SIM_HELD; i++) {
            forget_token(w, m->tokens[i]);
            w->held[w->held_count++] = m->tokens[i];
        }
        break;
    case SIM_VERDICTS:
        for (uint32_t i = 0; i < m->count; i++)
            if (m->values[i] == VERDICT_ABORT)
                forget_token(w, m->tokens[i]);
        break;
    case SIM_COMMITS:
        on_commits(w, m);
        break;
    default:
        w->number = 0;
    }
}

/* ---- clients ---- */

static void submit(struct sim *s, int c)
{
    struct sim_client *client = &s->clients[c];
    const struct sim_message m = {.type = SIM_SUBMIT,
                                  .actor = c,
                                  .link = client->session,
                                  .count = (uint32_t)sim_random(s, 8),
                                  .kind = (int)sim_random(s, 3),
                                  .priority = (int)sim_random(s, 3) - 1,
                                  .max_attempts = (int)sim_random(s, 5),
                                  .sealed = sim_chance(s, 50),
                                  .fragile = sim_chance(s, 20)};
    client->asking = 1;
    client->asked = m.count;
    client->asked_sealed = m.sealed;
    sim_send(s, &m);
}

static void add(struct sim *s, int c, struct sim_job *j)
{
    if (!j->adding && !j->sealing) {
        j->adding = (uint32_t)sim_random(s, 4);
        j->sealing = s->calm || sim_chance(s, 40);
    }
    const struct sim_message m = {.type = SIM_ADD,
                                  .actor = c,
                                  .link = s->clients[c].session,
                                  .job = j->id,
                                  .first = j->sent,
                                  .count = j->adding,
                                  .sealed = j->sealing};
    sim_send(s, &m);
}

/* Reads a page and holds it against the shadow; at times the page is lost, and read again. */
static void read_page(struct sim *s, struct sim_job *j)
{
    struct wire_buffer b = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    const struct message_watch watch = {
        .job = j->id, .cursor = j->cursor, .limit = 1 + sim_random(s, 5), .with_path = true};
    const struct shadow_job *shadow = shadow_find(&s->shadow, j->id);
    const int code = queue_page(s->queue, &watch, &b, &count, &next);
    EXPECT((code == STATUS_NOT_FOUND) == !shadow, "a page of job %d, kept or not", (int)j->id);
    if (!shadow) {
        *j = (struct sim_job){0};
        return;
    }
    const uint64_t there = shadow->outcomes - j->cursor;
    EXPECT(count == (there < watch.limit ? there : watch.limit) && next == j->cursor + count,
           "a page of %u outcomes from %d, of %u", count, (int)j->cursor, shadow->outcomes);
    struct wire_list list = wire_list_of(&b, count);
    struct message_outcome m;
    for (uint32_t i = 0; wire_next(&list, &outcome_schema, &m); i++) {
        const uint32_t index = shadow->order[j->cursor + i];
        const struct shadow_item *item = &shadow->items[index];
        uint64_t result = 0;
        for (uint32_t k = 0; k < m.result.bytes && k < 8; k++)
            result |= (uint64_t)m.result.data[k] << 8 * k;
        EXPECT(m.index == index && (int)m.state == item->state && (int)m.failure == item->failure &&
                   result == item->result && m.attempts == item->attempts && m.path.bytes == 2,
               "the outcome of item %u has changed", index);
    }
    if (s->calm || sim_chance(s, 80))
        j->cursor = next;
    wire_free(&b);
}

void sim_client_step(struct sim *s, int c)
{
    struct sim_client *client = &s->clients[c];
    struct sim_job *j = &client->jobs[sim_random(s, SIM_JOBS)];
    if (client->asking && ++client->asking > 30)
        client->asking = 0; /* the job may be there, without anybody who knows it */
    if (!j->id) {
        if (!s->calm && !client->asking)
            submit(s, c);
        return;
    }
    if (!j->sealed && sim_chance(s, 50)) {
        add(s, c, j);
        return;
    }
    if (!s->calm && sim_chance(s, 2)) {
        sim_send(s, &(struct sim_message){.type = SIM_CANCEL, .actor = c, .link = client->session, .job = j->id});
        return;
    }
    if (!s->calm && sim_random(s, 400) == 0) {
        sim_send(s, &(struct sim_message){.type = SIM_GONE, .actor = c, .link = client->session});
        *client = (struct sim_client){.session = ++s->last_link};
        return;
    }
    read_page(s, j);
    struct message_job m;
    if (j->id && queue_show(s->queue, j->id, &m) == STATUS_OK && m.state >= JOB_DONE && j->cursor == m.commits)
        *j = (struct sim_job){0};
}

void sim_client_hears(struct sim *s, const struct sim_message *m)
{
    struct sim_client *client = &s->clients[m->actor];
    struct sim_job *free_place = NULL, *j = NULL;
    if (m->type != SIM_ACCEPTED || m->link != client->session)
        return;
    for (int i = 0; i < SIM_JOBS; i++) {
        if (client->jobs[i].id == m->job)
            j = &client->jobs[i];
        else if (!client->jobs[i].id)
            free_place = &client->jobs[i];
    }
    if (!j) {
        if (client->asking && free_place && m->first == client->asked)
            *free_place = (struct sim_job){.id = m->job, .sent = m->first, .sealed = client->asked_sealed};
        client->asking = 0;
        return;
    }
    EXPECT(m->first <= j->sent + j->adding, "job %d has %d items, more than were sent", (int)j->id, (int)m->first);
    if (m->first == j->sent + j->adding && (j->adding || j->sealing)) {
        const struct shadow_job *shadow = shadow_find(&s->shadow, j->id);
        j->sent = m->first;
        j->sealed = shadow && shadow->state != JOB_OPEN;
        j->adding = 0;
        j->sealing = false;
    }
}

void sim_forget_all(struct sim *s)
{
    for (int c = 0; c < SIM_CLIENTS; c++)
        s->clients[c] = (struct sim_client){.session = ++s->last_link};
    for (int w = 0; w < SIM_WORKERS; w++)
        connect_again(s, &s->workers[w], w);
    uint32_t kept = 0; /* what was on its way to the old process is lost */
    for (uint32_t i = 0; i < s->flight_count; i++)
        if (s->flight[i].type >= SIM_ENGAGED)
            s->flight[kept++] = s->flight[i];
    s->flight_count = kept;
}
