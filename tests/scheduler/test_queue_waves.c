/* Waves of a job: which items are granted after each event, to a worker whose TAKE always waits. */
#include "rig.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS_MOST = 16, DEADLINE_MS = 500 };

struct world {
    struct rig r;
    uint64_t worker, job;
    uint64_t tokens[ITEMS_MOST]; /* the last of each item */
    char got[64];                /* indexes that were granted since the last step, as "0,1" */
};

/* Notes what the last event granted, and lets the worker wait again. */
static void take_all(struct world *w)
{
    const struct queue_action *a;
    while ((a = rig_action(&w->r, QUEUE_GRANT))) {
        for (size_t i = 0; i < a->count; i++) {
            const struct queue_entry *const e = rig_entry(&w->r, a, i);
            const size_t at = strlen(w->got);
            REQUIRE(e->index < ITEMS_MOST);
            w->tokens[e->index] = e->token;
            snprintf(w->got + at, sizeof w->got - at, "%s%u", at ? "," : "", e->index);
        }
        rig_take(&w->r, w->worker, 9);
    }
}

static void report(struct world *w, unsigned long index, enum failure_class failure)
{
    REQUIRE(index < ITEMS_MOST);
    CHECK(rig_report(&w->r, w->worker, w->tokens[index], failure, 0) == COMMIT_COMMITTED);
}

/* One letter and a number: done, x dead, fails, waits (fails, and its backoff does not pass), time passes, k crashes,
 * give back, add, seal, Retry (one, or all), pause, unpause, cancel, late (the deadline is over). */
static void step(struct world *w, const char *what)
{
    const unsigned long n = what[1] ? strtoul(what + 1, NULL, 10) : 0;
    struct rig *const r = &w->r;
    r->waits = *what == 'w';
    if (*what == 'd')
        report(w, n, FAILURE_NONE);
    else if (*what == 'x')
        report(w, n, FAILURE_INPUT);
    else if (*what == 'f' || *what == 'w')
        report(w, n, FAILURE_TRANSIENT);
    else if (*what == 'k')
        report(w, n, FAILURE_CRASH);
    else if (*what == 't')
        rig_tick(r, 10);
    else if (*what == 'g')
        rig_return(r, w->worker, &w->tokens[n], 1);
    else if (*what == 'a')
        CHECK(rig_add(r, w->job, rig_show(r, w->job).items, (uint32_t)n, false) == 0);
    else if (*what == 's')
        CHECK(rig_add(r, w->job, rig_show(r, w->job).items, 0, true) == 0);
    else if (*what == 'R')
        CHECK(rig_retry(r, w->job, (const uint64_t[]){n}, what[1] != 0) == 0);
    else if (*what == 'p' || *what == 'u')
        CHECK(rig_control(r, *what == 'p' ? QUEUE_PAUSE : QUEUE_RESUME, w->job) == 0);
    else if (*what == 'c')
        CHECK(rig_cancel(r, w->job) == 0);
    else if (*what == 'l')
        rig_tick(r, DEADLINE_MS);
    else
        REQUIRE(!"a letter of the table");
}

/* A script is of steps "what:granted", apart by blanks; the first has no what: the SUBMIT. */
static void play(struct world *w, const char *script, const char *why)
{
    char text[200], *rest = text;
    snprintf(text, sizeof text, "%s", script);
    bool first = true;
    for (char *one; (one = strtok_r(rest, " ", &rest)); first = false) {
        char *const wanted = strchr(one, ':');
        REQUIRE(wanted);
        *wanted = 0;
        if (!first) {
            w->got[0] = 0;
            step(w, one);
        }
        take_all(w);
        test_report(strcmp(w->got, wanted + 1) == 0, __FILE__, __LINE__,
                    "%s: after \"%s\" of \"%s\" items %s were granted, not %s", why, one, script,
                    *w->got ? w->got : "(none)", wanted[1] ? wanted + 1 : "(none)");
    }
}

TEST(an_item_is_granted_when_all_earlier_waves_are_over)
{
    static const struct {
        uint32_t items;
        uint64_t wave;
        bool open, has_deadline;
        enum job_state end;
        const char *script, *why;
    } cases[] = {
        {6, 2, 0, 0, JOB_DONE, ":0,1 d0: d1:2,3 d3: d2:4,5 d4: d5:", "each wave when the one before is over"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 d0: x1:2,3 x2: x3:", "dead is over, also as the last of its wave"},
        {5, 2, 0, 0, JOB_DONE, ":0,1 d0: d1:2,3 d2: d3:4 d4:", "the last wave is what is left"},
        {3, 1, 0, 0, JOB_DONE, ":0 d0:1 x1:2 d2:", "one after the other"},
        {3, 0, 0, 0, JOB_DONE, ":0,1,2 d0: d1: d2:", "no waves"},
        {3, 3, 0, 0, JOB_DONE, ":0,1,2 d0: d1: d2:", "one wave of all items is as none"},
        {3, 4, 0, 0, JOB_DONE, ":0,1,2 d0: d1: d2:", "so is a larger one"},
        {3, UINT32_MAX, 0, 0, JOB_DONE, ":0,1,2 d0: d1: d2:", "and the largest"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 f0:0 d1: f0:0 d0:2,3 d2: d3:", "an item between two attempts is not over"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 d0: f1:1 f1:1 f1:2,3 d3: d2:", "attempts used up are"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 g0:0 d1: g0:0 d0:2,3 d2: d3:", "what is given back is not over"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 k0:0 d1: k0:0 d0:2,3 d2: d3:", "nor what crashed"},
        {6, 2, 0, 0, JOB_DONE, ":0,1 x0: d1:2,3 R0:0 d2: d3: d0:4,5 d4: d5:",
         "an earlier wave is open again: leased items go on, the next wave waits"},
        {6, 2, 0, 0, JOB_DONE, ":0,1 x0: d1:2,3 d2: R0:0 d0: d3:4,5 d5: d4:", "over again before the later wave"},
        {6, 2, 0, 0, JOB_DONE,
         ":0,1 x0: d1:2,3 R0:0 x2: d3: d0:4,5 d4: d5:", "over again after it: dead counts there, too"},
        {6, 2, 0, 0, JOB_DONE,
         ":0,1 x0: d1:2,3 p: R0: g2: u:0 d0:2 d2: d3:4,5 d4: d5:", "given back of a later wave waits"},
        {6, 2, 0, 0, JOB_DONE,
         ":0,1 x0: d1:2,3 R0:0 f2: k3: d0:2,3 d2: d3:4,5 d4: d5:", "so does what failed or crashed, after its backoff"},
        {6, 2, 0, 0, JOB_DONE,
         ":0,1 x0: d1:2,3 R0:0 w2: d0: t:2 d2: d3:4,5 d4: d5:", "its wave opens during the backoff"},
        {6, 2, 0, 0, JOB_DONE, ":0,1 x0: d1:2,3 R0:0 f2: x0:2 d2: d3:4,5 d4: d5:", "dead once more is over, too"},
        {4, 2, 0, 0, JOB_DONE,
         ":0,1 x0: x1:2,3 x2: d3: R:0,1 d1: d0:2 d2:", "all dead ones of a finished job, in waves"},
        {6, 2, 0, 0, JOB_DONE, ":0,1 d0: d1:2,3 x2: d3:4,5 d4: d5: R2:2 d2:", "a middle wave alone"},
        {4, 2, 0, 0, JOB_DONE, ":0,1 p: d0: d1: u:2,3 d2: d3:", "a wave opens while the job is paused"},
        {4, 2, 0, 1, JOB_DONE,
         ":0,1 d0: l: R:1 d1:2,3 d2: d3:", "a deadline ends all waves, RETRY begins with the first"},
        {1, 2, 1, 0, JOB_DONE, ":0 d0: a3:1 d1:2,3 a1: d2: d3:4 s: d4:", "items that come belong to the open wave"},
        {0, 2, 1, 0, JOB_DONE, ": a1:0 a1:1 a1: d1: d0:2 d2: s:", "also the first ones"},
        {2, 2, 1, 0, JOB_DONE, ":0,1 d0: d1: a2:2,3 s: d2: d3:", "and those after a wave that is over"},
        {4, 2, 0, 0, JOB_CANCELLED, ":0,1 d0: c:", "a cancelled job has no next wave"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w = {.worker = 0};
        rig_open(&w.r, NULL);
        w.worker = rig_ready(&w.r, 0, "w", 1, "noop", NULL, 0);
        rig_take(&w.r, w.worker, 9);
        w.job = rig_submit(
            &w.r, (struct rig_job){.items = cases[i].items,
                                   .wave = cases[i].wave,
                                   .open = cases[i].open,
                                   .deadline_unix_ms =
                                       cases[i].has_deadline ? (uint64_t)w.r.now_ms + RIG_WALL_MS + DEADLINE_MS : 0});
        play(&w, cases[i].script, cases[i].why);
        const struct message_job m = rig_show(&w.r, w.job);
        test_report(m.state == cases[i].end && m.wave == cases[i].wave, __FILE__, __LINE__, "%s: state %d, wave %llu",
                    cases[i].why, (int)m.state, (unsigned long long)m.wave);
        rig_close(&w.r);
    }
}

/* Nobody waits for a job that has nothing open, however important it is. */
TEST(a_job_whose_wave_is_leased_holds_up_no_other)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "noop", NULL, 0), b = rig_ready(&r, 0, "b", 2, "noop", NULL, 0);
    const uint64_t sweep = rig_submit(&r, (struct rig_job){.items = 4, .wave = 1, .priority = 9});
    const uint64_t other = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t token = rig_take_one(&r, a);
    rig_take(&r, b, 4);
    const struct queue_action *grant = rig_action(&r, QUEUE_GRANT);
    CHECK(grant && grant->job == other && grant->count == 1);
    rig_take(&r, b, 4);
    CHECK(!rig_action(&r, QUEUE_GRANT)); /* it waits */
    CHECK(rig_report(&r, a, token, FAILURE_NONE, 0) == COMMIT_COMMITTED);
    grant = rig_action(&r, QUEUE_GRANT);
    CHECK(grant && grant->worker == b && grant->job == sweep && rig_entry(&r, grant, 0)->index == 1);
    rig_close(&r);
}

/* The last lease of a wave may end without a word of its worker. */
TEST(a_wave_opens_when_the_last_lease_lapses_for_good)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t gone = rig_ready(&r, 0, "gone", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 2, .wave = 1, .max_attempts = 1});
    CHECK(rig_take_one(&r, gone));
    rig_tick(&r, 9999);
    const uint64_t waits = rig_ready(&r, 0, "waits", 2, "noop", NULL, 0);
    CHECK(!rig_take_one(&r, waits));
    rig_tick(&r, 1);
    const struct queue_action *const grant = rig_action(&r, QUEUE_GRANT);
    CHECK(grant && grant->worker == waits && rig_entry(&r, grant, 0)->index == 1 && rig_show(&r, job).dead == 1);
    rig_close(&r);
}

TEST(a_grant_of_several_jobs_has_the_open_wave_of_each)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    CHECK(rig_submit(&r, (struct rig_job){.items = 4, .wave = 2}) == 1);
    CHECK(rig_submit(&r, (struct rig_job){.items = 4, .wave = 3}) == 2);
    CHECK(rig_submit(&r, (struct rig_job){.items = 1}) == 3);
    rig_take(&r, w, 9);
    const struct queue_action *const grant = rig_action(&r, QUEUE_GRANT);
    REQUIRE(grant && grant->count == 6);
    static const uint64_t jobs[] = {1, 1, 2, 2, 2, 3};
    static const uint32_t indexes[] = {0, 1, 0, 1, 2, 0};
    for (size_t i = 0; i < 6; i++)
        CHECK(rig_entry(&r, grant, i)->job == jobs[i] && rig_entry(&r, grant, i)->index == indexes[i]);
    rig_close(&r);
}

TEST(another_wave_under_the_same_key_is_other_content)
{
    struct rig r;
    rig_open(&r, NULL);
    const struct rig_job plain = {.items = 4, .key = "plain"}, sweep = {.items = 4, .wave = 2, .key = "sweep"};
    const uint64_t first = rig_submit(&r, plain), second = rig_submit(&r, sweep);
    CHECK(first && second && rig_submit(&r, plain) == first && rig_submit(&r, sweep) == second);
    struct rig_job other = plain;
    for (other.wave = 1; other.wave < 4; other.wave++)
        CHECK(!rig_submit(&r, other) && rig_refused(&r) == ERROR_CONFLICT);
    other = sweep;
    for (other.wave = 0; other.wave < 4; other.wave++)
        CHECK(other.wave == 2 || (!rig_submit(&r, other) && rig_refused(&r) == ERROR_CONFLICT));
    rig_close(&r);
}
