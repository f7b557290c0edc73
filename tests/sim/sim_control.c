/* What a client changes of a job afterwards: RETRY, PAUSE, RESUME, PRIORITY, and what must come of each. */
#include "sim.h"

/* The dead items that a RETRY means, as bits. */
static uint64_t choose(const struct shadow_job *j, const struct sim_message *m)
{
    uint64_t chosen = 0;
    EXPECT(j->count <= SIM_INDEXES, "job %d has too many items for the simulator", (int)j->id);
    for (uint32_t i = 0; i < j->count; i++) {
        bool named = m->count == 0;
        for (uint32_t k = 0; k < m->count; k++)
            named |= m->tokens[k] == i;
        if (named && j->items[i].state == ITEM_DEAD)
            chosen |= UINT64_C(1) << i;
    }
    return chosen;
}

static int apply(struct sim *s, const struct sim_message *m, struct queue_event e)
{
    struct wire_buffer b = {0};
    for (uint32_t i = 0; i < m->count; i++)
        EXPECT(wire_append_uint(&b, m->tokens[i]) == STATUS_OK, "no memory");
    const struct message_job_ref ref = {m->job};
    const struct message_priority priority = {m->job, m->priority};
    const struct message_retry retry = {m->job, wire_list_of(&b, m->count)};
    if (m->type == SIM_RETRY) {
        e.type = QUEUE_RETRY;
        e.retry = &retry;
    } else if (m->type == SIM_PRIORITY) {
        e.type = QUEUE_PRIORITY;
        e.priority = &priority;
    } else {
        e.type = m->type == SIM_PAUSE ? QUEUE_PAUSE : QUEUE_RESUME;
        e.job = &ref;
    }
    const int code = sim_apply(s, &e);
    wire_free(&b);
    return code;
}

static void check_retry(const struct shadow_job *j, const struct sim_message *m)
{
    EXPECT(!m->chosen || (j->state <= JOB_ACTIVE && j->deadline_unix_ms == 0), "job %d is not taken up again",
           (int)j->id);
    for (uint32_t i = 0; i < j->count; i++)
        EXPECT(!(m->chosen >> i & 1) || j->items[i].state <= ITEM_LEASED, "item %u of job %d is not tried again", i,
               (int)j->id);
}

int sim_control(struct sim *s, struct sim_message *m, struct queue_event e)
{
    const struct shadow_job *j = shadow_find(&s->shadow, m->job);
    const bool was_paused = j && j->paused;
    const int before = j ? j->priority : 0;
    const bool retry = m->type == SIM_RETRY, over = !j || j->state >= JOB_DONE;
    const int wanted = !j ? ERROR_NOT_FOUND : retry && j->state == JOB_CANCELLED ? ERROR_STATE : 0;
    const size_t first = s->actions.count;
    m->chosen = retry && !wanted ? choose(j, m) : 0;
    m->counts = retry ? m->chosen != 0 : !over;
    const int code = apply(s, m, e);
    if (code) {
        m->counts = false;
        return code;
    }
    const struct queue_action *a = s->actions.count > first ? &s->actions.list[first] : NULL;
    const int got = a && a->type == QUEUE_REFUSED ? (int)a->error : 0;
    EXPECT(got == wanted, "message %d of job %d is answered with error %d, not %d", (int)m->type, (int)m->job, got,
           wanted);
    j = shadow_find(&s->shadow, m->job); /* its time of keeping may have ended */
    if (!j || !m->counts)
        return code;
    if (retry)
        check_retry(j, m);
    else if (m->type == SIM_PRIORITY)
        EXPECT(j->priority == m->priority, "job %d has priority %d, not %d", (int)j->id, j->priority, m->priority);
    else
        EXPECT(j->paused == (m->type == SIM_PAUSE), "job %d is paused, or it is not", (int)j->id);
    for (uint32_t i = 0; i < j->count && m->type == SIM_PRIORITY && before != j->priority; i++)
        EXPECT(j->items[i].state != ITEM_LEASED || sim_tells(s, first, j->items[i].token, VERDICT_PRIORITY),
               "a worker is not told that job %d has another priority", (int)j->id);
    for (uint32_t i = 0; i < j->count && m->type == SIM_PAUSE && !was_paused; i++)
        EXPECT(j->items[i].state != ITEM_LEASED || !j->items[i].saved ||
                   sim_tells(s, first, j->items[i].token, VERDICT_YIELD),
               "an item of job %d, which is paused, goes on though it has saved", (int)j->id);
    return code;
}
