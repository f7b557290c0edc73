/* sim [--seed N] [--seeds COUNT] [--steps M] [--verbose] - runs the world; see sim.h. A failure names the seed and the
 * step, and the same seed and number of steps replay it. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALM_ROUNDS = 20000 };

static struct sim world;

_Noreturn void sim_broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("BROKEN: ");
    vprintf(format, args);
    printf("\n  seed %llu, step %llu, time %lld ms; replay: sim --seed %llu --steps N with the same N\n",
           (unsigned long long)world.seed, (unsigned long long)world.step, (long long)world.now_ms,
           (unsigned long long)world.seed);
    va_end(args);
    exit(1);
}

uint64_t sim_random(struct sim *s, uint64_t below) /* splitmix64 */
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

bool sim_chance(struct sim *s, int percent)
{
    return (int)sim_random(s, 100) < percent;
}

void sim_send(struct sim *s, const struct sim_message *m)
{
    const bool once = m->type == SIM_SUBMIT; /* not idempotent, and sent over a connection that does not repeat */
    int copies = s->calm ? 1 : sim_chance(s, 4) ? 0 : sim_chance(s, 4) && !once ? 2 : 1;
    for (; copies && s->flight_count < SIM_FLIGHT; copies--) {
        struct sim_message *copy = &s->flight[s->flight_count++];
        *copy = *m;
        copy->at_ms = s->now_ms + (s->calm ? 0 : (int64_t)sim_random(s, sim_chance(s, 5) ? 3000 : 50));
    }
}

/* Messages that have come to workers and clients. */
static void deliver(struct sim *s)
{
    for (uint32_t i = 0; i < s->flight_count; i++) {
        if (s->flight[i].type < SIM_ENGAGED || s->flight[i].at_ms > s->now_ms)
            continue;
        const struct sim_message m = s->flight[i];
        s->flight[i--] = s->flight[--s->flight_count];
        if (m.sealed)
            sim_client_hears(s, &m);
        else
            sim_worker_hears(s, &m);
    }
}

static void pass_time(struct sim *s)
{
    s->now_ms += (int64_t)sim_random(s, 40);
    if (!s->calm && sim_random(s, 300) == 0)
        s->now_ms += (int64_t)sim_random(s, 3 * (uint64_t)SIM_LEASE_MS);
    if (!s->calm && sim_random(s, 5000) == 0)
        s->now_ms += QUEUE_KEEP_MS;
}

static void step(struct sim *s)
{
    s->step++;
    pass_time(s);
    sim_worker_step(s, (int)sim_random(s, SIM_WORKERS));
    sim_client_step(s, (int)sim_random(s, SIM_CLIENTS));
    sim_scheduler_group(s);
    deliver(s);
}

/* No faults any more, and the workers can do everything: every job must come to its end. */
static void calm_down(struct sim *s)
{
    struct queue_stats stats;
    s->calm = true;
    for (int w = 0; w < SIM_WORKERS; w++) {
        s->workers[w].kinds = 7;
        s->workers[w].number = 0;
    }
    for (int round = 0; round < CALM_ROUNDS; round++) {
        step(s);
        if (round == CALM_ROUNDS / 2) /* jobs that nobody knows: their sessions end */
            for (uint64_t session = 1; session <= s->last_link; session++)
                sim_send(s, &(struct sim_message){.type = SIM_GONE, .link = session}), step(s);
        queue_stats(s->queue, &stats);
        if (stats.jobs == 0)
            return;
    }
    sim_broken("%d jobs do not end although nothing fails any more", (int)stats.jobs);
}

static void run(uint64_t seed, uint64_t steps, struct sim *total)
{
    struct sim *s = &world;
    *s = (struct sim){.random = seed, .seed = seed, .now_ms = 1000};
    sim_scheduler_open(s);
    for (int w = 0; w < SIM_WORKERS; w++)
        s->workers[w].kinds = 1 + (int)sim_random(s, 7);
    sim_forget_all(s);
    while (s->step < steps)
        step(s);
    calm_down(s);
    total->step += s->step;
    total->events += s->events;
    total->crashes += s->crashes;
    total->grants += s->grants;
    total->commits += s->commits;
    total->stale += s->stale;
    total->duplicates += s->duplicates;
    sim_scheduler_close(s);
}

int main(int argc, char **argv)
{
    unsigned long long seed = 1, seeds = 1, steps = 2000;
    for (int i = 1; i < argc; i++) {
        unsigned long long *to = strcmp(argv[i], "--seed") == 0    ? &seed
                                 : strcmp(argv[i], "--seeds") == 0 ? &seeds
                                 : strcmp(argv[i], "--steps") == 0 ? &steps
                                                                   : NULL;
        char *end = NULL;
        if (!to || ++i == argc || (*to = strtoull(argv[i], &end, 10), *end)) {
            fputs("usage: sim [--seed N] [--seeds COUNT] [--steps M]\n", stderr);
            return 2;
        }
    }
    static struct sim total;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned long long n = 0; n < seeds; n++)
        run(seed + n, steps, &total);
    clock_gettime(CLOCK_MONOTONIC, &to);
    const double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
    printf("seeds %llu to %llu: %llu steps, %llu events, %llu grants, %llu commits, %llu stale, %llu duplicate, "
           "%llu journal failures; %.0f steps/s, %.0f events/s\n",
           seed, seed + seeds - 1, (unsigned long long)total.step, (unsigned long long)total.events,
           (unsigned long long)total.grants, (unsigned long long)total.commits, (unsigned long long)total.stale,
           (unsigned long long)total.duplicates, (unsigned long long)total.crashes, (double)total.step / seconds,
           (double)total.events / seconds);
    return 0;
}
