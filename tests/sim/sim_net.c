/* The network: messages come late, twice, in another order or not at all, and parts of it are cut off for a while. */
#include "sim.h"

uint64_t sim_new_link(struct sim *s, int actor)
{
    return ++s->last_link * SIM_ACTORS + (uint64_t)actor;
}

void sim_send(struct sim *s, const struct sim_message *m)
{
    const bool answer = sim_is_answer(m);
    const bool cut = s->now_ms < s->cuts[m->actor].until_ms && (answer ? s->cuts[m->actor].to : s->cuts[m->actor].from);
    const bool once =
        m->type == SIM_SUBMIT && !m->key; /* not idempotent, and sent over a connection that does not repeat */
    int copies = sim_fault(s, FAULT_DROP) || (cut && !s->cuts[m->actor].hold) ? 0
                 : sim_fault(s, FAULT_DOUBLE) && !once                        ? 2
                                                                              : 1;
    for (; copies && s->flight_count < SIM_FLIGHT; copies--) {
        struct sim_message *copy = &s->flight[s->flight_count++];
        *copy = *m;
        copy->at_ms = s->now_ms + (s->calm ? 0 : (int64_t)sim_random(s, sim_fault(s, FAULT_LATE) ? 3000 : 50));
        if (cut && copy->at_ms < s->cuts[m->actor].until_ms)
            copy->at_ms = s->cuts[m->actor].until_ms;
    }
}

bool sim_arrived(struct sim *s, bool answers, struct sim_message *out)
{
    const uint32_t start = s->flight_count && !s->calm ? (uint32_t)sim_random(s, s->flight_count) : 0;
    for (uint32_t n = 0; n < s->flight_count; n++) {
        const uint32_t i = (start + n) % s->flight_count;
        if (sim_is_answer(&s->flight[i]) != answers || s->flight[i].at_ms > s->now_ms)
            continue;
        *out = s->flight[i];
        if (s->calm) { /* and in their order */
            for (uint32_t k = i + 1; k < s->flight_count; k++)
                s->flight[k - 1] = s->flight[k];
            s->flight_count--;
        } else {
            s->flight[i] = s->flight[--s->flight_count];
        }
        return true;
    }
    return false;
}

bool sim_waits(const struct sim *s)
{
    for (uint32_t i = 0; i < s->flight_count; i++)
        if (!sim_is_answer(&s->flight[i]) && s->flight[i].at_ms <= s->now_ms)
            return true;
    return false;
}

bool sim_is_under_way(const struct sim *s, uint64_t token)
{
    for (uint32_t i = 0; i < s->flight_count; i++)
        for (uint32_t k = 0; k < s->flight[i].count && k < SIM_HELD; k++)
            if (s->flight[i].tokens[k] == token)
                return true;
    return false;
}

void sim_disturb(struct sim *s)
{
    if (!sim_fault(s, FAULT_CUT))
        return;
    const int actor = (int)sim_random(s, SIM_ACTORS);
    const uint64_t ways = 1 + sim_random(s, 3);
    s->cuts[actor].until_ms = s->now_ms + (int64_t)sim_random(s, 3 * (uint64_t)SIM_LEASE_MS);
    s->cuts[actor].to = ways & 1;
    s->cuts[actor].from = ways & 2;
    s->cuts[actor].hold = sim_chance(s, 50);
    sim_note(s, "cut off", (uint64_t)actor, ways, s->cuts[actor].hold);
}

void sim_deliver(struct sim *s, const struct sim_message *m)
{
    if (m->actor < SIM_WORKERS)
        sim_worker_hears(s, m);
    else
        sim_client_hears(s, m);
}

/* Messages to the old process are lost, or wait in the peer and reach the new one. Those from it are lost, or were
 * received before the connection broke. */
void sim_hang_up(struct sim *s, bool reboot)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->flight_count && !reboot; i++) {
        if (!sim_chance(s, 50))
            continue;
        if (sim_is_answer(&s->flight[i]))
            sim_deliver(s, &s->flight[i]);
        else
            s->flight[kept++] = s->flight[i];
    }
    s->flight_count = kept;
    for (int w = 0; w < SIM_WORKERS; w++)
        sim_worker_hung_up(s, w, reboot);
    for (int c = 0; c < SIM_CLIENTS; c++)
        sim_client_hung_up(s, c);
}
