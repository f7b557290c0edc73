/* A supervisor and its engagement: verdicts, lost answers, restarts of the scheduler, the end. */
#include "boss.h"
#include "sound.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct boss_item succeed = {.action = NOOP_SUCCEED}, hang = {.action = NOOP_HANG};

static bool done(const struct boss *b, uint64_t token)
{
    const struct outcome *o = boss_outcome(b, token);
    return o && o->failure == FAILURE_NONE;
}

TEST(engages_and_leaves)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    CHECK(boss_wait(&b, MESSAGE_TAKE, 5000));
    CHECK(b.readies == 1 && b.held_count == 0 && b.credits >= 1);
    CHECK(boss_wait(&b, MESSAGE_PING, 2000));
    boss_stop(&b);
}

TEST(abort_while_running)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {succeed, hang, succeed, succeed};
    const uint64_t t = boss_noop(&b, 300, items, 4);
    boss_wait(&b, 0, 150);
    boss_abort(&b, t + 1);
    CHECK(boss_wait_outcomes(&b, 3, 10000));
    CHECK(done(&b, t) && done(&b, t + 2) && done(&b, t + 3) && !boss_outcome(&b, t + 1));
    CHECK(boss_wait(&b, MESSAGE_PING, 2000)); /* holds nothing any more */
    boss_stop(&b);
}

TEST(abort_in_every_stage)
{
    struct boss b;
    boss_init(&b);
    b.options.threads = 1;
    boss_start(&b);
    char path[256];
    snprintf(path, sizeof path, "%s", test_data("rain_mono_44k.ogg"));
    const struct boss_item items[] = {hang, hang, hang, succeed, succeed};
    const uint64_t t = boss_noop(&b, 50, items, 5);
    const struct boss_item files[] = {{.path = path}, {.path = path}, {.path = path}};
    boss_abort(&b, t + 4); /* perhaps being prepared */
    const uint64_t u = boss_grant(&b, KIND_ANALYZE, NULL, NULL, files, 3);
    boss_abort(&b, u);
    boss_wait(&b, 0, 300);
    boss_abort(&b, t + 2); /* queued */
    boss_abort(&b, t + 1); /* with the child, not begun */
    boss_abort(&b, t);     /* running */
    boss_abort(&b, t);     /* again */
    boss_abort(&b, t + 100);
    CHECK(boss_wait_outcomes(&b, 3, 10000));
    CHECK(done(&b, t + 3) && done(&b, u + 1) && done(&b, u + 2));
    boss_wait(&b, 0, 300);
    CHECK(b.outcome_count == 3);
    boss_abort(&b, t + 3); /* over */
    const uint64_t v = boss_noop(&b, 0, items + 3, 2);
    CHECK(boss_wait_outcomes(&b, 5, 5000) && done(&b, v) && done(&b, v + 1));
    boss_stop(&b);
}

/* A user who cancels often must not end the worker. */
TEST(many_quick_aborts)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    for (int i = 0; i < 8; i++) {
        const uint64_t t = boss_noop(&b, 0, &hang, 1);
        boss_wait(&b, 0, 100);
        boss_abort(&b, t);
    }
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000) && done(&b, u));
    boss_stop(&b);
}

TEST(whole_job_aborted)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    struct boss_item items[20];
    for (int i = 0; i < 20; i++)
        items[i] = hang;
    const uint64_t t = boss_noop(&b, 0, items, 20);
    boss_wait(&b, 0, 200);
    const pid_t before = boss_compute(&b);
    for (uint64_t i = 0; i < 20; i++)
        boss_abort(&b, t + i);
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000) && done(&b, u));
    CHECK(boss_compute(&b) != before && boss_compute(&b) > 0);
    boss_stop(&b);
}

TEST(lost_commits)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.keep_commits = true;
    const uint64_t t = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000));
    const uint32_t seq = b.report_seq;
    b.keep_commits = false;
    CHECK(boss_wait(&b, MESSAGE_REPORT, 5000));
    CHECK(b.report_seq == seq && boss_outcome(&b, t)->reports == 2);
    boss_wait(&b, 0, 2500);
    CHECK(b.reports == 2); /* answered now */
    boss_stop(&b);
}

/* An entry without a verdict is to be sent again. */
TEST(commits_of_a_part)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.committed_most = 1;
    const struct boss_item items[] = {succeed, succeed};
    const uint64_t t = boss_noop(&b, 0, items, 2);
    CHECK(boss_wait_outcomes(&b, 2, 5000));
    b.committed_most = 0;
    CHECK(boss_wait(&b, MESSAGE_REPORT, 5000));
    CHECK(boss_outcome(&b, t + 1) && boss_outcome(&b, t + 1)->reports == 2);
    boss_stop(&b);
}

/* What is held is named, also what was reported and is not committed. */
TEST(session_is_lost)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.keep_commits = true;
    const uint64_t reported = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000));
    const uint64_t running = boss_noop(&b, 0, &hang, 1);
    CHECK(boss_wait(&b, MESSAGE_BEAT, 5000));
    b.held_count = 0;
    boss_error(&b, b.beat_seq, ERROR_SESSION);
    CHECK(boss_wait(&b, MESSAGE_READY, 5000));
    CHECK(boss_holds(b.held, b.held_count, running));
    CHECK(boss_holds(b.held, b.held_count, reported));
    b.keep_commits = false;
    CHECK(boss_wait(&b, MESSAGE_REPORT, 5000));
    boss_abort(&b, running);
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 2, 5000) && done(&b, u));
    boss_stop(&b);
}

/* The scheduler says nothing for a while, and has forgotten everything then. */
TEST(silence)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {hang, hang, succeed};
    const uint64_t t = boss_noop(&b, 0, items, 3);
    CHECK(boss_wait(&b, MESSAGE_BEAT, 5000));
    b.mute = true;
    const int before = b.readies;
    CHECK(boss_wait(&b, MESSAGE_READY, 5000));
    CHECK(b.readies == before + 1 && boss_holds(b.held, b.held_count, t));
    b.mute = false;
    b.forget = true;
    CHECK(boss_wait(&b, MESSAGE_READY, 5000));
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000) && done(&b, u));
    CHECK(!boss_outcome(&b, t) && !boss_outcome(&b, t + 2));
    b.beaten_count = 0;
    CHECK(boss_wait(&b, MESSAGE_PING, 2000) && b.beaten_count == 0);
    boss_stop(&b);
}

TEST(report_is_refused)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.keep_commits = true;
    boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000));
    boss_error(&b, b.report_seq, ERROR_BODY);
    boss_wait(&b, 0, 2500);
    CHECK(b.reports == 1); /* not again and again */
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 2, 5000) && done(&b, u));
    boss_stop(&b);
}

/* ---- the end ---- */

TEST(stopped_while_running)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {hang, hang, hang, hang, hang, hang, hang, hang, hang, hang};
    boss_noop(&b, 0, items, 10);
    boss_wait(&b, 0, 200);
    boss_stop(&b);
}

TEST(stopped_with_a_report_that_waits)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.keep_commits = true;
    boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, 5000));
    b.mute = true; /* until it does not count itself as engaged */
    CHECK(boss_wait(&b, MESSAGE_READY, 5000));
    boss_stop(&b);
}

TEST(stopped_without_a_scheduler)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.mute = true;
    CHECK(boss_wait(&b, MESSAGE_READY, 5000));
    boss_stop(&b);
    CHECK(!b.left);
}

/* What waits to be hashed is not hashed any more. */
TEST(stopped_while_preparing)
{
    enum { COUNT = 60 };
    struct boss b;
    boss_init(&b);
    static char path[COUNT][128];
    struct boss_item items[COUNT];
    char here[64];
    REQUIRE(getcwd(here, sizeof here));
    for (int i = 0; i < COUNT; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d.wav", here, i);
        items[i] = (struct boss_item){.path = path[i]};
        REQUIRE(sound_text(path[i], "") && truncate(path[i], 256 << 20) == 0); /* without a block on the disk */
    }
    boss_start(&b);
    boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, COUNT);
    boss_wait(&b, 0, 100);
    boss_stop(&b); /* within ten seconds */
}

/* Its compute child does not outlive it, however it ends. */
TEST(killed)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    boss_noop(&b, 0, &hang, 1);
    boss_wait(&b, 0, 200);
    const pid_t compute = boss_compute(&b);
    REQUIRE(compute > 0);
    kill(b.pid, SIGKILL);
    CHECK(boss_exit_code(&b, 5000) == -SIGKILL);
    for (int i = 0; i < 200 && kill(compute, 0) == 0; i++) {
        char path[64], state[64] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)compute);
        FILE *f = fopen(path, "r");
        const char *at = f && fgets(state, sizeof state, f) ? strchr(state, ')') : NULL;
        if (f)
            fclose(f);
        if (!at || at[2] == 'Z') /* dead; who reaps it is not ours to say */
            break;
        REQUIRE(i < 199);
        usleep(10000);
    }
    boss_close(&b);
}
