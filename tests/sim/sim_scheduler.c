/* The scheduler in the broker's place: several events, one commit, then the answers; and every way for it to end. */
#include "sim.h"

#include <stdlib.h>

enum { TICK_POSTPONED = 64, SOME = 6, MOST = 40 };

int64_t sim_clock_ms(const struct sim *s)
{
    return s->now_ms - s->base_ms;
}

int64_t sim_unix_ms(const struct sim *s)
{
    return INT64_C(1800000000000) + s->now_ms + s->unix_offset_ms;
}

static void *resize(void *context, void *block, size_t bytes)
{
    struct sim_memory *m = context;
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    if (m->countdown && --m->countdown < m->failing) {
        m->failed = true;
        return NULL;
    }
    return realloc(block, bytes);
}

/* ---- life ---- */

void sim_scheduler_close(struct sim *s)
{
    if (s->queue) {
        queue_actions_free(&s->actions, s->queue);
        queue_destroy(&s->queue);
    }
    shadow_free(&s->shadow);
    s->group_count = 0;
}

/* One try to start: a queue from what the disk has, and what the restart itself records is committed. */
static bool start(struct sim *s)
{
    struct journal_loaded loaded;
    const struct queue_options options = {
        .epoch = s->epoch, .lease_ms = SIM_LEASE_MS, .journal = &s->shadow.journal, .memory = {resize, &s->memory}};
    shadow_open(&s->shadow, &s->disk, s->epoch, sim_clock_ms(s), sim_unix_ms(s));
    EXPECT(queue_create(&options, &s->queue) == STATUS_OK, "%s", status_message());
    s->memory.failed = false;
    s->memory.failing = 1 + sim_random(s, 3);
    s->memory.countdown = sim_fault(s, FAULT_MEMORY) ? 1 + sim_random(s, 100) : 0;
    const int code = queue_restore(s->queue, sim_clock_ms(s), sim_unix_ms(s), &loaded);
    s->memory.countdown = 0;
    EXPECT(code == STATUS_OK || (code == STATUS_NOMEM && s->memory.failed), "restore: %s", status_message());
    sim_note(s, "start", s->epoch, loaded.jobs, (uint64_t)-code);
    if (code || sim_fault(s, FAULT_CRASH)) { /* before its first commit */
        disk_drop_group(&s->disk);
        return false;
    }
    s->epoch = queue_epoch(s->queue); /* the run folder hears of it, and keeps it until a reboot */
    shadow_sessions(&s->shadow, 0);
    shadow_compare(&s->shadow, s->queue);
    EXPECT(s->shadow.journal.commit(&s->shadow.journal) == STATUS_OK, "%s", status_message());
    ledger_audit(s);
    audit_disk(s);
    return !sim_fault(s, FAULT_CRASH);
}

/* Those with a key have their time to come back. */
static void expect_sessions(struct sim *s)
{
    for (uint64_t n = 0; (n = queue_session_after(s->queue, n)) != 0;)
        *sim_bound_of(s->sessions, n) = (struct sim_bound){.number = n, .heard_ms = sim_clock_ms(s)};
    for (size_t i = 0; i < s->shadow.count; i++) {
        const struct shadow_job *j = &s->shadow.jobs[i];
        EXPECT(!shadow_needs_session(j) || sim_bound_of(s->sessions, j->session)->number,
               "nobody waits for the session of job %d", (int)j->id);
    }
}

void sim_scheduler_open(struct sim *s)
{
    bool up = false;
    while (!up) {
        if (!s->epoch_repeats)
            s->epoch++;
        for (int i = 0; i < SIM_BOUND; i++)
            s->workers_bound[i] = s->sessions[i] = (struct sim_bound){0};
        s->last_session = 0;
        s->commit_by_ms = 0;
        s->postponed = 0;
        up = start(s);
        if (!up)
            sim_scheduler_close(s);
    }
    s->epoch_repeats = false;
    expect_sessions(s);
}

void sim_crash(struct sim *s, enum sim_crash where)
{
    const bool reboot = !s->calm && sim_chance(s, 10);
    sim_note(s, "CRASH", where, s->commit_by_ms != 0, reboot);
    s->done.restarts++;
    s->done.lost_grants += s->commit_by_ms != 0;
    sim_scheduler_close(s);
    disk_drop_group(&s->disk);
    sim_hang_up(s, reboot);
    s->down_until_ms = s->now_ms + (int64_t)sim_random(s, sim_chance(s, 80) ? 200 : 5 * (uint64_t)SIM_LEASE_MS);
    if (!reboot)
        return;
    s->base_ms = s->now_ms - 500; /* its monotonic clock begins anew */
    s->epoch_repeats = sim_chance(s, 50);
    ledger_lost(s);
}

/* ---- answers ---- */

static void send_action(struct sim *s, const struct sim_applied *applied, const struct queue_action *a)
{
    static const enum sim_type types[] = {
        [QUEUE_REFUSED] = SIM_REFUSED,   [QUEUE_ACCEPTED] = SIM_ACCEPTED, [QUEUE_ENGAGED] = SIM_ENGAGED,
        [QUEUE_VERDICTS] = SIM_VERDICTS, [QUEUE_COMMITS] = SIM_COMMITS,   [QUEUE_GRANT] = SIM_GRANT,
        [QUEUE_ABORT] = SIM_VERDICTS,    [QUEUE_SAVED] = SIM_SAVED};
    const bool unasked = a->type == QUEUE_GRANT || a->type == QUEUE_ABORT || !applied->from_actor;
    const struct sim_bound *to = sim_bound_of(s->workers_bound, a->worker);
    struct sim_message m = {.type = types[a->type], .job = a->job, .first = a->worker};
    if (unasked && !to->number)
        return; /* a worker of before a restart, or one that has left in this group */
    m.link = unasked ? to->link : applied->m.link;
    m.actor = unasked ? to->actor : applied->m.actor;
    m.seq = unasked ? 0 : applied->m.seq;
    if (a->type == QUEUE_ACCEPTED)
        m.first = a->count;
    else
        m.count = a->count < SIM_HELD ? (uint32_t)a->count : SIM_HELD;
    if (a->type == QUEUE_REFUSED) {
        m.values[0] = (int)a->error;
        m.values[1] = (int)applied->m.type;
        m.job = applied->m.job;
    }
    for (uint32_t i = 0; i < m.count; i++) {
        const struct queue_entry *entry = &s->actions.entries[a->first + i];
        struct message_item item;
        m.tokens[i] = entry->token;
        m.values[i] = entry->verdict;
        if (a->type != QUEUE_GRANT)
            continue;
        if (sim_item_of(s->queue, entry->job, entry->index, &item))
            return; /* it was cancelled and removed in this group */
        m.contents[i] = sim_content(&item);
        m.attempts[i] = entry->attempt;
    }
    s->done.grants += a->type == QUEUE_GRANT;
    sim_send(s, &m);
}

static void refuse(struct sim *s, const struct sim_applied *applied)
{
    sim_send(s, &(struct sim_message){.type = SIM_REFUSED,
                                      .actor = applied->m.actor,
                                      .link = applied->m.link,
                                      .seq = applied->m.seq,
                                      .job = applied->m.job,
                                      .values = {(int)applied->refused}});
}

static void answer(struct sim *s, const struct sim_applied *applied)
{
    for (size_t i = applied->first; i < applied->first + applied->count; i++) {
        const struct queue_action *a = &s->actions.list[i];
        if (a->type != QUEUE_GONE && a->type != QUEUE_CHANGED && a->type != QUEUE_BLAMED)
            send_action(s, applied, a);
    }
    if (applied->refused)
        refuse(s, applied);
    if (applied->from_actor && applied->m.type == SIM_HELLO)
        sim_send(s, &(struct sim_message){.type = SIM_WELCOME,
                                          .actor = applied->m.actor,
                                          .link = applied->m.link,
                                          .seq = applied->m.seq,
                                          .first = sim_number_of(s->sessions, applied->m.link)});
}

/* ---- a group ---- */

static struct sim_applied *begin(struct sim *s, const struct sim_message *m)
{
    struct sim_applied *applied = &s->group[s->group_count++];
    *applied = (struct sim_applied){.first = s->actions.count, .from_actor = m != NULL};
    if (m)
        applied->m = *m;
    return applied;
}

static void end(struct sim *s, struct sim_applied *applied)
{
    applied->count = s->actions.count - applied->first;
    for (size_t i = applied->first; i < s->actions.count; i++)
        if (s->actions.list[i].type == QUEUE_GONE)
            *sim_bound_of(s->workers_bound, s->actions.list[i].worker) = (struct sim_bound){0};
}

static bool end_session(struct sim *s, struct sim_bound *session)
{
    struct sim_applied *applied = begin(s, NULL);
    struct queue_event e = {.type = QUEUE_SESSION_GONE, .session = session->number};
    const int code = sim_apply(s, &e);
    end(s, applied);
    if (!code)
        *session = (struct sim_bound){0};
    else
        session->heard_ms = sim_clock_ms(s); /* again after another time-out */
    return !code;
}

/* A session with a key goes on, from whatever connection. */
static struct sim_bound *hello(struct sim *s, const struct sim_message *m)
{
    const uint64_t number = m->key ? m->key | QUEUE_SESSION_KEYED : ++s->last_session;
    struct sim_bound *session = sim_bound_of(s->sessions, number);
    s->done.resumed += session->number != 0;
    *session = (struct sim_bound){.number = number, .link = m->link, .actor = m->actor};
    return session;
}

static void take_message(struct sim *s, const struct sim_message *m)
{
    struct sim_bound *session =
        m->type < SIM_SUBMIT ? NULL : sim_bound_of(s->sessions, sim_number_of(s->sessions, m->link));
    if (session && !session->number && m->type == SIM_HELLO)
        session = hello(s, m);
    if (session)
        session->heard_ms = sim_clock_ms(s);
    if (session && session->number && m->type == SIM_BYE) {
        end_session(s, session);
        return;
    }
    struct sim_applied *applied = begin(s, m);
    if (session && !session->number)
        applied->refused = ERROR_SESSION;
    else if (m->type != SIM_HELLO && sim_event(s, &applied->m))
        applied->refused = ERROR_BUSY;
    end(s, applied);
    if (session && !session->number)
        *session = (struct sim_bound){0};
}

/* Leases, workers and sessions end only when no message waits that may keep them alive. */
static void pass_time(struct sim *s)
{
    if (sim_waits(s) && ++s->postponed < TICK_POSTPONED)
        return;
    s->postponed = 0;
    if (queue_next_deadline_ms(s->queue) <= sim_clock_ms(s) || sim_chance(s, 5)) {
        struct sim_applied *applied = begin(s, NULL);
        struct queue_event e = {.type = QUEUE_TICK};
        (void)!sim_apply(s, &e);
        end(s, applied);
    }
    for (int i = 0; i < SIM_BOUND && s->group_count < SIM_GROUP; i++)
        if (s->sessions[i].number && sim_clock_ms(s) - s->sessions[i].heard_ms >= SIM_SESSION_MS)
            end_session(s, &s->sessions[i]);
}

static enum sim_crash draw_crash(struct sim *s)
{
    if (sim_fault(s, FAULT_CRASH))
        return CRASH_BETWEEN_EVENTS + (enum sim_crash)sim_random(s, CRASH_AFTER_ANSWERS);
    if (sim_fault(s, FAULT_COMMIT))
        return COMMIT_FAILS_ABSENT + (enum sim_crash)sim_random(s, 2);
    return CRASH_NOT;
}

/* Grants alone need not be on the disk before they are answered: a crash then loses them. */
static bool can_wait(struct sim *s)
{
    const bool can = s->disk.waiting_count && s->disk.journal.can_wait(&s->disk.journal);
    if (can && s->commit_by_ms == 0 && sim_fault(s, FAULT_GRANTS))
        s->commit_by_ms = s->now_ms + SIM_DEFER_MS;
    if (can && s->now_ms < s->commit_by_ms)
        return true;
    return false;
}

/* The group reaches the disk, or the process ends; true: it goes on, the answers may be sent. */
static bool commit(struct sim *s, enum sim_crash where)
{
    static const struct {
        bool present, answers;
    } comes[CRASHES] = {[CRASH_NOT] = {true, true},
                        [CRASH_BEFORE_COMMIT] = {false, false},
                        [CRASH_IN_COMMIT_BEFORE] = {false, false},
                        [CRASH_IN_COMMIT_AFTER] = {true, false},
                        [CRASH_AMID_ANSWERS] = {true, true},
                        [CRASH_AFTER_ANSWERS] = {true, true},
                        [COMMIT_FAILS_ABSENT] = {false, false},
                        [COMMIT_FAILS_PRESENT] = {true, false}};
    s->done.failed_commits += where >= COMMIT_FAILS_ABSENT;
    if (comes[where].present && comes[where].answers && can_wait(s)) {
        ledger_group(s);
        return true;
    }
    if (comes[where].present) {
        s->commit_by_ms = 0;
        EXPECT(s->shadow.journal.commit(&s->shadow.journal) == STATUS_OK, "%s", status_message());
        ledger_group(s);
    }
    if (!comes[where].answers)
        sim_crash(s, where);
    else if (sim_random(s, 32) == 0)
        audit_disk(s);
    return comes[where].answers;
}

void sim_scheduler_group(struct sim *s)
{
    struct sim_message m;
    if (!s->queue && s->now_ms >= s->down_until_ms)
        sim_scheduler_open(s);
    if (!s->queue || s->now_ms < s->stalled_until_ms)
        return;
    const enum sim_crash where = draw_crash(s);
    s->group_count = 0;
    for (uint64_t n = s->calm ? MOST : sim_random(s, SOME); n && sim_arrived(s, false, &m); n--)
        take_message(s, &m);
    if (where == CRASH_BETWEEN_EVENTS) {
        sim_crash(s, where);
        return;
    }
    pass_time(s);
    if (!commit(s, where))
        return;
    const uint32_t sent = where == CRASH_AMID_ANSWERS ? (uint32_t)sim_random(s, s->group_count + 1) : s->group_count;
    for (uint32_t i = 0; i < sent; i++)
        answer(s, &s->group[i]);
    queue_actions_clear(&s->actions);
    if (where != CRASH_NOT)
        sim_crash(s, where);
    else if (sim_random(s, 64) == 0)
        ledger_audit(s);
}
