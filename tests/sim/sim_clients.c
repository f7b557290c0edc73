/* Clients: they open sessions, submit, add, cancel and read; what has no answer they say again. */
#include "sim.h"

enum { ASK_AGAIN_MS = 600 };

static void send_from(struct sim *s, int c, struct sim_message m)
{
    m.actor = SIM_WORKERS + c;
    m.link = s->clients[c].link;
    if (!m.seq)
        m.seq = ++s->last_seq;
    sim_send(s, &m);
}

/* On a new connection; jobs and cursors are remembered, and a SUBMIT without an answer. */
void sim_client_hung_up(struct sim *s, int c)
{
    struct sim_client *client = &s->clients[c];
    client->session = 0;
    client->link = sim_new_link(s, SIM_WORKERS + c);
    client->hello_ms = s->now_ms - SIM_LEASE_MS;
    client->asked_ms = s->now_ms;
}

/* ---- what a client does; the job is one of its own, or an empty place ---- */

static void new_job(struct sim *s, struct sim_message *m)
{
    static const uint64_t backoffs[] = {0, 1, 50, 400}, attempts[] = {0, 0, 0, 0, 300, 1500},
                          stalls[] = {0, 0, 0, 0, 200, 800}, bytes[] = {0, 0, 0, 30, 60},
                          waves[] = {0, 0, 0, 1, 2, 3, 100};
    const uint64_t wall = (uint64_t)sim_unix_ms(s);
    *m = (struct sim_message){.type = SIM_SUBMIT, .seq = m->seq, .nonce = ++s->last_nonce};
    m->count = (uint32_t)sim_random(s, 8);
    m->kind = (int)sim_random(s, 3);
    m->priority = (int)sim_random(s, 3) - 1;
    m->max_attempts = (int)sim_random(s, 5);
    m->sealed = sim_chance(s, 50);
    m->fragile = sim_chance(s, 30);
    m->key = sim_chance(s, 40) ? ++s->last_nonce : 0;
    m->start_unix_ms = sim_chance(s, 10) ? wall + sim_random(s, 2000) : 0;
    m->deadline_unix_ms = sim_chance(s, 15) ? wall + sim_random(s, 6000) : 0;
    m->backoff_ms = backoffs[sim_random(s, sizeof backoffs / sizeof *backoffs)];
    m->attempt_ms = attempts[sim_random(s, sizeof attempts / sizeof *attempts)];
    m->stall_ms = stalls[sim_random(s, sizeof stalls / sizeof *stalls)];
    m->device_bytes = bytes[sim_random(s, sizeof bytes / sizeof *bytes)];
    m->wave = waves[sim_random(s, sizeof waves / sizeof *waves)];
}

static void submit(struct sim *s, int c, struct sim_job *j)
{
    struct sim_client *client = &s->clients[c];
    (void)j;
    if (client->asking.seq) {
        if (s->now_ms - client->asked_ms >= ASK_AGAIN_MS) { /* there may be two of it then */
            client->asked_ms = s->now_ms;
            send_from(s, c, client->asking);
        }
        return;
    }
    client->asking = client->asked;
    client->asking.seq = ++s->last_seq;
    if (!client->asked.key || sim_chance(s, 80))
        new_job(s, &client->asking);
    else if (sim_chance(s, 30))
        client->asking.nonce = ++s->last_nonce; /* other content under the same key */
    else if (sim_chance(s, 10))
        client->asking.wave++; /* the same, in other waves */
    client->asked_ms = s->now_ms;
    send_from(s, c, client->asking);
}

static void add(struct sim *s, int c, struct sim_job *j)
{
    if (j->sealed)
        return;
    if (!j->adding && !j->sealing) {
        j->adding = j->sent + 4 < SIM_INDEXES ? (uint32_t)sim_random(s, 4) : 0;
        j->sealing = s->calm || j->adding == 0 || sim_chance(s, 40);
        j->nonce = ++s->last_nonce;
    }
    send_from(s, c,
              (struct sim_message){.type = SIM_ADD,
                                   .job = j->id,
                                   .first = j->sent,
                                   .count = j->adding,
                                   .nonce = j->nonce,
                                   .sealed = j->sealing});
}

static void cancel(struct sim *s, int c, struct sim_job *j)
{
    if (sim_fault(s, FAULT_CLIENT))
        send_from(s, c, (struct sim_message){.type = SIM_CANCEL, .job = j->id});
}

static void try_again(struct sim *s, int c, struct sim_job *j)
{
    uint64_t other = j->id; /* one that it has read to the end, or another's */
    for (int n = 0; n < 8 && s->shadow.count && sim_chance(s, 90); n++) {
        const struct shadow_job *drawn = &s->shadow.jobs[sim_random(s, s->shadow.count)];
        other = drawn->state == JOB_DONE ? drawn->id : other;
    }
    struct sim_message m = {.type = SIM_RETRY, .job = sim_chance(s, 50) ? other : j->id};
    if (s->calm)
        return;
    for (uint64_t n = sim_random(s, 4); n > 0; n--) /* 0: all */
        m.tokens[m.count++] = sim_random(s, j->sent + 1);
    send_from(s, c, m);
}

static void control(struct sim *s, int c, struct sim_job *j)
{
    static const enum sim_type types[] = {SIM_PAUSE, SIM_RESUME, SIM_RESUME, SIM_PRIORITY};
    const struct sim_message m = {.type = types[sim_random(s, 4)], .job = j->id};
    if (!s->calm)
        send_from(
            s, c,
            m.type != SIM_PRIORITY
                ? m
                : (struct sim_message){.type = SIM_PRIORITY, .job = j->id, .priority = (int)sim_random(s, 5) - 2});
}

/* What would never end by itself, or not soon. */
static void clear_away(struct sim *s, int c)
{
    for (size_t i = 0; i < s->shadow.count; i++) {
        const struct shadow_job *j = &s->shadow.jobs[i];
        if (j->state <= JOB_ACTIVE && j->paused)
            send_from(s, c, (struct sim_message){.type = SIM_RESUME, .job = j->id});
        if (j->state <= JOB_ACTIVE && j->early)
            send_from(s, c, (struct sim_message){.type = SIM_CANCEL, .job = j->id});
    }
}

/* Reads a page and holds it against the shadow and what was promised; at times the page is lost, and read again. */
static void read_page(struct sim *s, int c, struct sim_job *j)
{
    struct wire_buffer b = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    const struct message_watch watch = {
        .job = j->id, .cursor = j->cursor, .limit = 1 + sim_random(s, 5), .with_path = true};
    const struct shadow_job *shadow = shadow_find(&s->shadow, j->id);
    const int code = queue_page(s->queue, &watch, &b, &count, &next);
    (void)c;
    EXPECT((code == STATUS_NOT_FOUND) == !shadow, "a page of job %d, kept or not", (int)j->id);
    if (!shadow) {
        *j = (struct sim_job){0};
        return;
    }
    EXPECT(j->cursor <= shadow->outcomes, "job %d has %u outcomes, and %d were read", (int)j->id, shadow->outcomes,
           (int)j->cursor);
    const uint64_t there = shadow->outcomes - j->cursor;
    EXPECT(count == (there < watch.limit ? there : watch.limit) && next == j->cursor + count,
           "a page of %u outcomes from %d, of %u", count, (int)j->cursor, shadow->outcomes);
    struct wire_list list = wire_list_of(&b, count);
    struct message_outcome m;
    for (uint32_t i = 0; wire_next(&list, &outcome_schema, &m); i++) {
        const uint32_t index = shadow->order[j->cursor + i] & ~SHADOW_RETRIED;
        const struct shadow_item *item = &shadow->items[index];
        const bool retried = shadow->order[j->cursor + i] & SHADOW_RETRIED;
        EXPECT(m.index == index && m.retried == retried &&
                   (retried ||
                    ((int)m.state == item->state && (int)m.failure == item->failure && m.attempts == item->attempts)),
               "outcome %d of job %d differs from the journal's", (int)(j->cursor + i), (int)j->id);
        ledger_outcome(s, j->id, j->cursor + i, &m);
    }
    if (s->calm || sim_chance(s, 80))
        j->cursor = next;
    wire_free(&b);
    struct message_job job;
    if (queue_show(s->queue, j->id, &job) == STATUS_OK && job.state >= JOB_DONE && j->cursor == job.commits)
        *j = (struct sim_job){0};
}

static void leave(struct sim *s, int c, struct sim_job *j)
{
    (void)j;
    if (!sim_fault(s, FAULT_CLIENT))
        return;
    const bool comes_back = sim_chance(s, 30); /* with the key of its session, if it has one */
    if (!comes_back && sim_chance(s, 50))
        send_from(s, c, (struct sim_message){.type = SIM_BYE});
    sim_client_hung_up(s, c);
    if (comes_back)
        return;
    s->clients[c].key = sim_chance(s, 50) ? ++s->last_nonce : 0;
    s->clients[c].asked.key = 0;
    for (int i = 0; i < SIM_JOBS; i++)
        if (sim_chance(s, 50)) /* another one, which knows nothing of it */
            s->clients[c].jobs[i] = (struct sim_job){0};
    s->clients[c].asking.seq = 0;
}

/* The row is drawn by its weight. */
static const struct {
    void (*act)(struct sim *s, int c, struct sim_job *j);
    int weight;
    bool of_job;
} acts[] = {{submit, 10, false},  {leave, 6, false},   {add, 40, true},   {read_page, 40, true},
            {try_again, 6, true}, {control, 10, true}, {cancel, 10, true}};
enum { ACTS = sizeof acts / sizeof *acts };

static void act(struct sim *s, int c, struct sim_job *j)
{
    const bool of_job = j->id != 0;
    int total = 0, i = 0;
    for (int k = 0; k < ACTS; k++)
        total += acts[k].of_job == of_job ? acts[k].weight : 0;
    int at = (int)sim_random(s, (uint64_t)total);
    while (acts[i].of_job != of_job || (at -= acts[i].weight) >= 0)
        i++;
    acts[i].act(s, c, j);
}

void sim_client_step(struct sim *s, int c)
{
    struct sim_client *client = &s->clients[c];
    struct sim_job *j = &client->jobs[sim_random(s, SIM_JOBS)];
    if (!client->session) {
        if (s->now_ms - client->hello_ms >= SIM_BEAT_MS) {
            client->hello_ms = s->now_ms;
            send_from(s, c, (struct sim_message){.type = SIM_HELLO, .key = client->key});
        }
        return;
    }
    if (!s->queue)
        return;
    if (s->calm)
        clear_away(s, c);
    if (!j->id && s->calm) {
        client->asking.seq = 0;
        return;
    }
    act(s, c, j);
}

/* ---- what it hears ---- */

static void on_accepted(struct sim *s, struct sim_client *client, const struct sim_message *m)
{
    struct sim_job *empty = NULL, *j = NULL;
    for (int i = 0; i < SIM_JOBS; i++)
        if (client->jobs[i].id == m->job)
            j = &client->jobs[i];
        else if (!client->jobs[i].id)
            empty = &client->jobs[i];
    if (m->seq == client->asking.seq) {
        EXPECT(m->first == client->asking.count || client->asking.key, "job %d has %d items, not the %u of its SUBMIT",
               (int)m->job, (int)m->first, client->asking.count);
        if (empty && !j)
            *empty = (struct sim_job){
                .id = m->job, .sent = m->first, .sealed = client->asking.sealed, .known = client->asking.key};
        client->asking.seq = 0;
        client->asked = client->asking;
        return;
    }
    if (!j)
        return;
    EXPECT(m->first <= j->sent + j->adding || j->known, "job %d has %d items, more than were sent", (int)j->id,
           (int)m->first);
    if (m->first >= j->sent + j->adding && (j->adding || j->sealing)) {
        const struct shadow_job *shadow = shadow_find(&s->shadow, j->id);
        j->sent = m->first;
        j->sealed = shadow && shadow->state != JOB_OPEN;
        j->adding = 0;
        j->sealing = false;
    }
}

static void on_refused(struct sim *s, int c, const struct sim_message *m)
{
    struct sim_client *client = &s->clients[c];
    if (m->values[0] == ERROR_SESSION) {
        sim_client_hung_up(s, c);
        return;
    }
    if (m->values[0] == ERROR_CONFLICT && m->seq == client->asking.seq)
        client->asking.seq = 0;
    for (int i = 0; i < SIM_JOBS && m->job; i++) /* it was sealed by another, or cancelled by a restart */
        if (client->jobs[i].id == m->job && m->values[0] == ERROR_STATE && m->values[1] == SIM_ADD) {
            client->jobs[i].adding = 0;
            client->jobs[i].sealing = false;
            client->jobs[i].sealed = true;
        }
}

void sim_client_hears(struct sim *s, const struct sim_message *m)
{
    const int c = m->actor - SIM_WORKERS;
    struct sim_client *client = &s->clients[c];
    if (m->link != client->link)
        return;
    sim_note(s, "client hears", (uint64_t)m->actor, m->type, m->job);
    ledger_heard(s, m);
    if (m->type == SIM_WELCOME)
        client->session = m->first;
    else if (m->type == SIM_ACCEPTED)
        on_accepted(s, client, m);
    else
        on_refused(s, c, m);
}
