/* Workers: they keep to the protocol, but die, forget, come late and say things twice. */
#include "sim.h"

static void send_from(struct sim *s, int n, struct sim_message m)
{
    m.actor = n;
    m.link = s->workers[n].link;
    m.seq = ++s->last_seq;
    sim_send(s, &m);
}

static void forget_at(struct sim_worker *w, uint32_t i)
{
    w->held[i] = w->held[--w->held_count];
    w->held_content[i] = w->held_content[w->held_count];
}

static void forget_token(struct sim_worker *w, uint64_t token)
{
    for (uint32_t i = 0; i < w->held_count; i++)
        if (w->held[i] == token)
            forget_at(w, i--);
}

static void connect_again(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    w->alive = true;
    w->link = sim_new_link(s, n);
    w->number = 0;
    w->ready_ms = s->now_ms - SIM_LEASE_MS;
}

static void die(struct sim *s, int n, bool forgets)
{
    struct sim_worker *w = &s->workers[n];
    sim_note(s, "worker dies", (uint64_t)n, forgets, 0);
    w->alive = false;
    if (!forgets)
        return;
    w->held_count = w->done_count = 0;
    w->pid++;
}

void sim_worker_hung_up(struct sim *s, int n, bool reboot)
{
    if (reboot)
        die(s, n, true);
    else if (s->workers[n].alive)
        connect_again(s, n);
}

/* ---- what a worker does ---- */

/* All that it holds or has a report of. */
static void name_tokens(const struct sim_worker *w, struct sim_message *m)
{
    for (; m->count < w->held_count; m->count++)
        m->tokens[m->count] = w->held[m->count];
    for (uint32_t i = 0; i < w->done_count && m->count < SIM_HELD; i++)
        m->tokens[m->count++] = w->done[i];
}

/* A token of another worker, at times: it has no right to it. */
static void name_strange(struct sim *s, int n, struct sim_message *m)
{
    const struct sim_worker *other = &s->workers[sim_random(s, SIM_WORKERS)];
    if (other != &s->workers[n] && other->held_count && m->count < SIM_HELD && sim_fault(s, FAULT_TOKEN))
        m->tokens[m->count++] = other->held[0];
}

static void say_ready(struct sim *s, int n)
{
    struct sim_message m = {
        .type = SIM_READY, .kind = s->workers[n].kinds, .device = s->workers[n].device, .pid = s->workers[n].pid + 1};
    name_tokens(&s->workers[n], &m);
    s->workers[n].ready_ms = s->now_ms;
    send_from(s, n, m);
}

static void say_beat(struct sim *s, int n)
{
    struct sim_message m = {.type = SIM_BEAT};
    name_tokens(&s->workers[n], &m);
    name_strange(s, n, &m);
    for (uint32_t i = 0; i < m.count; i++)
        m.values[i] = (int)sim_random(s, 100);
    s->workers[n].beat_ms = s->now_ms;
    send_from(s, n, m);
}

static void take(struct sim *s, int n)
{
    if (s->workers[n].held_count + 4 <= SIM_HELD / 2)
        send_from(s, n,
                  (struct sim_message){.type = SIM_TAKE,
                                       .count = (uint32_t)sim_random(s, 5),
                                       .urgent = sim_chance(s, 30),
                                       .priority = (int)sim_random(s, 4) - 2});
}

static void finish_one(struct sim *s, int n)
{
    static const int failures[] = {FAILURE_INPUT,    FAILURE_RESOURCE, FAILURE_TRANSIENT, FAILURE_DEVICE,
                                   FAILURE_INTERNAL, FAILURE_CRASH,    FAILURE_CRASH};
    struct sim_worker *w = &s->workers[n];
    if (w->held_count == 0 || w->done_count == SIM_HELD)
        return;
    const uint64_t i = sim_random(s, w->held_count);
    w->done[w->done_count] = w->held[i];
    w->done_content[w->done_count] = w->held_content[i];
    w->failures[w->done_count++] =
        sim_fault(s, FAULT_WORK) ? failures[sim_random(s, sizeof failures / sizeof *failures)] : FAILURE_NONE;
    forget_at(w, (uint32_t)i);
}

static void say_report(struct sim *s, int n)
{
    const struct sim_worker *w = &s->workers[n];
    struct sim_message m = {.type = SIM_REPORT, .count = w->done_count};
    for (uint32_t i = 0; i < w->done_count; i++) {
        m.tokens[i] = w->done[i];
        m.contents[i] = w->done_content[i];
        m.values[i] = w->failures[i];
    }
    if (m.count)
        send_from(s, n, m);
}

static void give_back(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    if (!w->held_count)
        return;
    struct sim_message m = {.type = SIM_RETURN, .count = 1, .tokens = {w->held[0]}};
    name_strange(s, n, &m);
    forget_token(w, w->held[0]);
    send_from(s, n, m);
}

/* Asked for an item; one that is as good as done is done instead. */
static void yield(struct sim *s, int n, uint64_t token)
{
    struct sim_worker *const w = &s->workers[n];
    const uint32_t before = w->held_count;
    if (sim_chance(s, 30))
        return;
    forget_token(w, token);
    if (w->held_count < before)
        send_from(s, n, (struct sim_message){.type = SIM_RETURN, .count = 1, .tokens = {token}});
}

static void save(struct sim *s, int n)
{
    const struct sim_worker *w = &s->workers[n];
    struct sim_message strange = {0};
    if (!w->held_count)
        return;
    name_strange(s, n, &strange);
    const uint64_t token = strange.count ? strange.tokens[0] : w->held[sim_random(s, w->held_count)];
    send_from(s, n,
              (struct sim_message){.type = SIM_CHECKPOINT,
                                   .count = 1,
                                   .tokens = {token},
                                   .nonce = ++s->last_nonce,
                                   .values = {(int)sim_random(s, 100)}});
}

static void leave(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    send_from(s, n, (struct sim_message){.type = SIM_LEAVE});
    w->held_count = w->done_count = 0;
    w->number = 0;
}

static void fall(struct sim *s, int n) /* without a word; it may remember when it comes back */
{
    die(s, n, sim_chance(s, 50));
}

static void change_kinds(struct sim *s, int n)
{
    s->workers[n].kinds = 1 + (int)sim_random(s, 7);
    s->workers[n].device = (int)sim_random(s, SIM_DEVICES + 1);
    say_ready(s, n);
}

/* The row is drawn by its weight. */
static const struct {
    void (*act)(struct sim *s, int n);
    int weight;
    bool fault; /* only when FAULT_WORKER says so */
} acts[] = {
    {take, 34, false},        {finish_one, 20, false}, {say_report, 20, false}, {say_beat, 10, false},
    {give_back, 2, false},    {save, 4, false},        {fall, 1, true},         {leave, 1, true},
    {connect_again, 1, true}, {change_kinds, 1, true},
};
enum { ACTS = sizeof acts / sizeof *acts };

static void act(struct sim *s, int n, bool fault)
{
    int total = 0, i = 0;
    for (int k = 0; k < ACTS; k++)
        total += acts[k].fault == fault ? acts[k].weight : 0;
    int at = (int)sim_random(s, (uint64_t)total);
    while (acts[i].fault != fault || (at -= acts[i].weight) >= 0)
        i++;
    acts[i].act(s, n);
}

void sim_worker_step(struct sim *s, int n)
{
    struct sim_worker *w = &s->workers[n];
    if (!w->alive) {
        if (s->calm || sim_chance(s, 10))
            connect_again(s, n);
    } else if (!w->number) {
        if (s->now_ms - w->ready_ms >= SIM_BEAT_MS)
            say_ready(s, n);
    } else if (sim_fault(s, FAULT_WORKER)) {
        act(s, n, true);
    } else if (s->now_ms - w->beat_ms >= SIM_BEAT_MS && (s->calm || sim_chance(s, 80))) {
        say_beat(s, n);
    } else {
        act(s, n, false);
    }
}

/* ---- what it hears ---- */

static void on_commits(struct sim_worker *w, const struct sim_message *m)
{
    for (uint32_t k = 0; k < m->count; k++)
        for (uint32_t i = 0; i < w->done_count; i++)
            if (w->done[i] == m->tokens[k]) {
                w->failures[i] = w->failures[--w->done_count];
                w->done_content[i] = w->done_content[w->done_count];
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
            forget_at(w, i--);
    }
}

static void on_grant(struct sim *s, int n, const struct sim_message *m)
{
    struct sim_worker *w = &s->workers[n];
    for (uint32_t i = 0; i < m->count && w->held_count < SIM_HELD; i++) {
        bool known = false; /* a message that came twice */
        for (uint32_t k = 0; k < w->done_count; k++)
            known |= w->done[k] == m->tokens[i];
        if (known)
            continue;
        for (int other = 0; other < SIM_WORKERS; other++)
            for (uint32_t k = 0; k < s->workers[other].held_count && other != n; k++)
                EXPECT(s->workers[other].held[k] != m->tokens[i], "workers %d and %d hold the same token", n, other);
        forget_token(w, m->tokens[i]);
        w->held_content[w->held_count] = m->contents[i];
        w->held[w->held_count++] = m->tokens[i];
    }
}

void sim_worker_hears(struct sim *s, const struct sim_message *m)
{
    struct sim_worker *w = &s->workers[m->actor];
    if (!w->alive || m->link != w->link)
        return;
    sim_note(s, "worker hears", (uint64_t)m->actor, m->type, m->count);
    ledger_heard(s, m);
    switch (m->type) {
    case SIM_ENGAGED:
        on_engaged(w, m);
        break;
    case SIM_GRANT:
        on_grant(s, m->actor, m);
        break;
    case SIM_VERDICTS:
        for (uint32_t i = 0; i < m->count; i++)
            if (m->values[i] == VERDICT_ABORT)
                forget_token(w, m->tokens[i]);
            else if (m->values[i] == VERDICT_YIELD)
                yield(s, m->actor, m->tokens[i]);
        break;
    case SIM_SAVED:
        break;
    case SIM_COMMITS:
        on_commits(w, m);
        break;
    default:
        w->number = 0;
    }
}
