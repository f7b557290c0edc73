/* sim [--seed N] [--seeds COUNT] [--steps M] [--trace] [--twice] - runs the world; see sim.h. A failure names the
 * command line that replays it. --trace prints what happens, --twice runs each seed again and wants the same. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALM_STEPS = 6000, SETTLED_MS = 4 * SIM_LEASE_MS };

static struct sim world;
static unsigned long long steps = 1500;

_Noreturn void sim_broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("BROKEN: ");
    vprintf(format, args); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(args);
    printf("\n  seed %llu, step %llu, time %lld ms; replay: sim --seed %llu --seeds 1 --steps %llu --trace\n",
           (unsigned long long)world.seed, (unsigned long long)world.step, (long long)world.now_ms,
           (unsigned long long)world.seed, steps);
    exit(1);
}

/* ---- chance ---- */

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

/* Each fault comes `intensity` times in so many occasions. The intensity is drawn for each seed: some worlds know only
 * one kind of fault, and some have much of it. */
static const uint32_t occasions[FAULTS] = {
    [FAULT_DROP] = 50,   [FAULT_DOUBLE] = 50,  [FAULT_LATE] = 40,     [FAULT_CUT] = 200,
    [FAULT_WALL] = 200,  [FAULT_STALL] = 400,  [FAULT_SUSPEND] = 400, [FAULT_HOUR] = 700,
    [FAULT_CRASH] = 250, [FAULT_COMMIT] = 500, [FAULT_MEMORY] = 40,   [FAULT_GRANTS] = 2,
    [FAULT_WORKER] = 60, [FAULT_WORK] = 6,     [FAULT_TOKEN] = 40,    [FAULT_CLIENT] = 40,
};

bool sim_fault(struct sim *s, enum sim_fault f)
{
    return !s->calm && sim_random(s, occasions[f]) < (uint64_t)s->intensity[f];
}

static void draw_intensities(struct sim *s)
{
    static const int of[] = {0, 0, 1, 1, 1, 3};
    for (int f = 0; f < FAULTS; f++)
        s->intensity[f] = of[sim_random(s, sizeof of / sizeof *of)];
}

/* ---- what happened ---- */

uint64_t sim_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

void sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    s->hash = sim_mix(sim_mix(sim_mix(sim_mix(s->hash, (uint64_t)what[0] << 8 | (uint8_t)what[1]), a), b), c);
    if (s->trace)
        printf("%6llu %9lld ms  %-22s %llx %llx %llx\n", (unsigned long long)s->step, (long long)s->now_ms, what,
               (unsigned long long)a, (unsigned long long)b, (unsigned long long)c);
}

/* ---- items ---- */

void sim_item(uint64_t nonce, uint64_t index, struct sim_item *out)
{
    const uint64_t hash = sim_mix(sim_mix(5, nonce), index);
    const int path =
        snprintf(out->path, sizeof out->path, "/%llx/%llx", (unsigned long long)nonce, (unsigned long long)index);
    memcpy(out->object, &hash, sizeof out->object);
    memcpy(out->params, &hash, sizeof out->params);
    out->m = (struct message_item){.path = {(const uint8_t *)out->path, (uint32_t)path},
                                   .object = {out->object, hash % 3 ? sizeof out->object : 0},
                                   .params = {out->params, (uint32_t)(hash % 4)}};
}

static uint64_t add_bytes(uint64_t hash, struct wire_slice s)
{
    hash = sim_mix(hash, s.bytes);
    for (uint32_t i = 0; i < s.bytes; i++)
        hash = sim_mix(hash, s.data[i]);
    return hash;
}

int sim_item_of(const struct queue *q, uint64_t job, uint32_t index, struct message_item *out)
{
    struct message_lease l;
    const int code = queue_item(q, job, index, &l);
    if (!code)
        *out = (struct message_item){.path = l.path, .object = l.object, .params = l.params};
    return code;
}

uint64_t sim_bytes(struct wire_slice s)
{
    return add_bytes(7, s);
}

uint64_t sim_content(const struct message_item *m)
{
    return add_bytes(add_bytes(add_bytes(7, m->path), m->object), m->params);
}

struct wire_slice sim_result(uint64_t content, uint64_t token, uint8_t out[SIM_RESULT])
{
    const uint32_t bytes = 16 + (uint32_t)(token % 4) * 60;
    memset(out, (int)(content & 255), bytes);
    memcpy(out, &content, sizeof content);
    memcpy(out + 8, &token, sizeof token);
    return (struct wire_slice){out, bytes};
}

/* Many jobs have the same ones: those may be granted together. */
struct wire_slice sim_params(uint64_t nonce, uint8_t out[8])
{
    const bool own = nonce % 4 == 3;
    memset(out, 'p', 8);
    if (own)
        memcpy(out, &nonce, sizeof nonce);
    return (struct wire_slice){out, own ? 8 : (uint32_t)(nonce % 4)};
}

uint64_t sim_job_content(const struct sim_message *m)
{
    uint8_t params[8];
    const uint64_t numbers[] = {(uint64_t)m->kind,
                                (uint64_t)m->priority,
                                (uint64_t)m->max_attempts,
                                m->sealed,
                                m->start_unix_ms,
                                m->deadline_unix_ms,
                                m->backoff_ms,
                                m->attempt_ms,
                                m->stall_ms,
                                m->device_bytes,
                                m->wave,
                                m->count};
    uint64_t hash = sim_bytes(sim_params(m->nonce, params));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hash = sim_mix(hash, numbers[i]);
    for (uint32_t i = 0; i < m->count; i++) {
        struct sim_item item;
        sim_item(m->nonce, i, &item);
        hash = sim_mix(hash, sim_content(&item.m));
    }
    return hash;
}

struct wire_slice sim_object(uint64_t nonce, uint8_t out[LIMIT_OBJECT])
{
    for (size_t i = 0; i < LIMIT_OBJECT; i += sizeof nonce)
        memcpy(out + i, &nonce, sizeof nonce);
    return (struct wire_slice){out, LIMIT_OBJECT};
}

uint64_t sim_number(struct wire_slice s)
{
    uint64_t nonce = 0;
    if (s.bytes == LIMIT_OBJECT)
        memcpy(&nonce, s.data, sizeof nonce);
    return nonce;
}

/* ---- the world goes on ---- */

static void pass_time(struct sim *s)
{
    static const int64_t jumps[] = {2400000, -2400000, 3600000, -3600000, 86400000, -86400000};
    s->now_ms += (int64_t)sim_random(s, 40);
    if (sim_fault(s, FAULT_SUSPEND))
        s->now_ms += (int64_t)sim_random(s, 3 * (uint64_t)SIM_LEASE_MS);
    if (sim_fault(s, FAULT_HOUR))
        s->now_ms += QUEUE_KEEP_MS;
    if (sim_fault(s, FAULT_WALL))
        s->unix_offset_ms += jumps[sim_random(s, sizeof jumps / sizeof *jumps)];
    if (sim_fault(s, FAULT_STALL))
        s->stalled_until_ms = s->now_ms + (int64_t)sim_random(s, 3 * (uint64_t)SIM_LEASE_MS);
}

static void step(struct sim *s)
{
    struct sim_message m;
    s->step++;
    pass_time(s);
    sim_disturb(s);
    sim_worker_step(s, (int)sim_random(s, SIM_WORKERS));
    if (s->calm) /* so that beats are never late */
        for (int w = 0; w < SIM_WORKERS; w++)
            sim_worker_step(s, w);
    sim_client_step(s, (int)sim_random(s, SIM_CLIENTS));
    sim_scheduler_group(s);
    while (sim_arrived(s, true, &m))
        sim_deliver(s, &m);
    if (s->calm && s->now_ms > s->calm_ms + SETTLED_MS)
        audit_claims(s);
}

/* No faults any more, and the workers can do everything: every job must come to its end. */
static void calm_down(struct sim *s)
{
    struct queue_stats stats;
    if (s->queue && sim_chance(s, 50))
        sim_crash(s, CRASH_BEFORE_COMMIT);
    s->calm = true;
    s->calm_ms = s->queue || s->down_until_ms < s->now_ms ? s->now_ms : s->down_until_ms;
    s->stalled_until_ms = 0;
    for (int w = 0; w < SIM_WORKERS; w++) {
        s->workers[w].kinds = 7;
        s->workers[w].device = 1 + w % 2;
        s->workers[w].clean_ms = s->calm_ms + SETTLED_MS;
        sim_worker_hung_up(s, w, false); /* READY says it on a new connection */
    }
    for (int c = 0; c < SIM_CLIENTS; c++) { /* jobs that nobody knows end with their sessions */
        s->clients[c].key = 0;
        sim_client_hung_up(s, c);
    }
    for (int n = 0; n < CALM_STEPS; n++) {
        step(s);
        if (!s->queue)
            continue;
        queue_stats(s->queue, &stats);
        if (stats.jobs == 0 && s->now_ms > s->calm_ms + 2 * (int64_t)SETTLED_MS)
            return;
    }
    sim_broken("%d jobs do not end although nothing fails any more", s->queue ? (int)stats.jobs : -1);
}

/* Returns a number for all that happened. */
static uint64_t run(uint64_t seed, bool trace)
{
    struct sim *s = &world;
    *s = (struct sim){.random = seed * 0x9e3779b97f4a7c15u, .seed = seed, .hash = 1, .now_ms = 1000, .trace = trace};
    draw_intensities(s);
    disk_init(&s->disk);
    ledger_create(s);
    for (int a = 0; a < SIM_ACTORS; a++)
        if (a < SIM_WORKERS) {
            s->workers[a].kinds = 1 + (int)sim_random(s, 7);
            s->workers[a].device = (int)sim_random(s, SIM_DEVICES + 1);
        } else {
            s->clients[a - SIM_WORKERS].key = sim_chance(s, 50) ? ++s->last_nonce : 0;
            sim_client_hung_up(s, a - SIM_WORKERS);
        }
    sim_scheduler_open(s);
    while (s->step < steps)
        step(s);
    calm_down(s);
    ledger_audit(s);
    audit_disk(s);
    s->done.steps = s->step;
    sim_scheduler_close(s);
    ledger_destroy(s);
    disk_free(&s->disk);
    return s->hash;
}

/* ---- the program ---- */

static double seconds_since(const struct timespec *from)
{
    struct timespec to;
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from->tv_sec) + (double)(to.tv_nsec - from->tv_nsec) * 1e-9;
}

/* done is nothing but counters: they are added up as such. */
static void add_up(uint64_t *total)
{
    const uint64_t *one = (const uint64_t *)&world.done;
    for (size_t i = 0; i < sizeof world.done / sizeof *one; i++)
        total[i] += one[i];
}

static void run_all(uint64_t seed, uint64_t seeds, bool trace, bool twice)
{
    static struct sim total;
    struct timespec from;
    uint64_t hash = 1;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (uint64_t n = 0; n < seeds; n++) {
        const uint64_t once = run(seed + n, trace);
        add_up((uint64_t *)&total.done);
        EXPECT(!twice || run(seed + n, false) == once, "the same seed does not do the same twice");
        hash = sim_mix(hash, once);
    }
    const double seconds = seconds_since(&from);
    printf("seeds %llu to %llu, hash %016llx:", (unsigned long long)seed, (unsigned long long)(seed + seeds - 1),
           (unsigned long long)hash);
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {{"steps", total.done.steps},
                  {"events", total.done.events},
                  {"grants", total.done.grants},
                  {"commits", total.done.commits},
                  {"stale", total.done.stale},
                  {"duplicate", total.done.duplicates},
                  {"restarts", total.done.restarts},
                  {"failed commits", total.done.failed_commits},
                  {"lost grants", total.done.lost_grants},
                  {"pauses and priorities", total.done.controls},
                  {"items tried again", total.done.retried},
                  {"checkpoints", total.done.checkpoints},
                  {"sessions taken up", total.done.resumed},
                  {"keys known", total.done.known},
                  {"keys in conflict", total.done.conflicts},
                  {"ended by time", total.done.timeouts},
                  {"out of memory", total.done.starved},
                  {"disk audits", total.done.audits}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        printf(" %llu %s,", (unsigned long long)counts[i].count, counts[i].name);
        /* A fault that never comes makes a test of nothing. */
        if (seeds >= 20 && steps >= 1000 && counts[i].count == 0)
            sim_broken("not one of: %s", counts[i].name);
    }
    printf(" %.0f steps/s, %.0f events/s\n", (double)total.done.steps / seconds * (1 + twice),
           (double)total.done.events / seconds * (1 + twice));
}

int main(int argc, char **argv)
{
    unsigned long long seed = 1, seeds = 1;
    bool trace = false, twice = false;
    for (int i = 1; i < argc; i++) {
        unsigned long long *to = strcmp(argv[i], "--seed") == 0    ? &seed
                                 : strcmp(argv[i], "--seeds") == 0 ? &seeds
                                 : strcmp(argv[i], "--steps") == 0 ? &steps
                                                                   : NULL;
        bool *flag = strcmp(argv[i], "--trace") == 0 ? &trace : strcmp(argv[i], "--twice") == 0 ? &twice : NULL;
        char *end = NULL;
        if (flag) {
            *flag = true;
        } else if (!to || ++i == argc || (*to = strtoull(argv[i], &end, 10), *end)) {
            fputs("usage: sim [--seed N] [--seeds COUNT] [--steps M] [--trace] [--twice]\n", stderr);
            return 2;
        }
    }
    run_all(seed, seeds, trace, twice);
    return 0;
}
