/* A supervisor and its engagement: verdicts, lost answers, restarts of the scheduler, the end. */
#include "boss.h"
#include "hash.h"
#include "sound.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
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
    CHECK(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    CHECK(b.readies == 1 && b.held_count == 0 && b.credits >= 1);
    CHECK(boss_wait(&b, MESSAGE_PING, BOSS_PATIENCE_MS));
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
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(done(&b, t) && done(&b, t + 2) && done(&b, t + 3) && !boss_outcome(&b, t + 1));
    CHECK(boss_wait(&b, MESSAGE_PING, BOSS_PATIENCE_MS)); /* holds nothing any more */
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
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(done(&b, t + 3) && done(&b, u + 1) && done(&b, u + 2));
    boss_wait(&b, 0, 300);
    CHECK(b.outcome_count == 3);
    boss_abort(&b, t + 3); /* over */
    const uint64_t v = boss_noop(&b, 0, items + 3, 2);
    CHECK(boss_wait_outcomes(&b, 5, BOSS_PATIENCE_MS) && done(&b, v) && done(&b, v + 1));
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
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && done(&b, u));
    boss_stop(&b);
}

TEST(whole_job_aborted)
{
    struct boss b;
    boss_init(&b);
    b.options.threads = 1;
    boss_start(&b);
    const struct boss_item items[20] = {0};
    const struct kind_noop_params long_ones = {.sleep_ms = 60000, .checkpoint_ms = 500};
    const uint64_t t = boss_grant(&b, KIND_NOOP, &kind_noop_params_schema, &long_ones, items, 20);
    CHECK(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS)); /* now the child is at work on one */
    const pid_t before = boss_compute(&b);
    for (uint64_t i = 0; i < 20; i++)
        boss_abort(&b, t + i);
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && done(&b, u));
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
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const uint32_t seq = b.report_seq;
    b.keep_commits = false;
    CHECK(boss_wait(&b, MESSAGE_REPORT, BOSS_PATIENCE_MS));
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
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS));
    b.committed_most = 0;
    CHECK(boss_wait(&b, MESSAGE_REPORT, BOSS_PATIENCE_MS));
    CHECK(boss_outcome(&b, t + 1) && boss_outcome(&b, t + 1)->reports == 2);
    boss_stop(&b);
}

/* What has ended is reported, and not named any more, while a neighbour in its lease goes on for as long as it likes.
 */
TEST(results_do_not_wait_for_their_lease)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    const struct boss_item items[] = {succeed, hang, {.action = NOOP_FAIL}, succeed};
    const uint64_t t = boss_noop(&b, 0, items, 4);
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS));
    CHECK(done(&b, t) && done(&b, t + 3) && boss_outcome(&b, t + 2));
    CHECK(boss_wait(&b, MESSAGE_BEAT, BOSS_PATIENCE_MS)); /* it may have been on its way when they were reported */
    CHECK(boss_wait(&b, MESSAGE_BEAT, BOSS_PATIENCE_MS));
    CHECK(b.beaten_count == 1 && boss_holds(b.beaten, b.beaten_count, t + 1));
    char path[256];
    snprintf(path, sizeof path, "%s", test_data("speech_mono_8k.wav"));
    const struct boss_item files[] = {{.path = path}, {.path = "/not/there.wav"}};
    const uint64_t u = boss_grant(&b, KIND_ANALYZE, NULL, NULL, files, 2); /* another lease goes on beside it */
    CHECK(boss_wait_outcomes(&b, 5, BOSS_PATIENCE_MS) && done(&b, u));
    boss_abort(&b, t + 1);
    CHECK(boss_wait(&b, MESSAGE_PING, BOSS_PATIENCE_MS)); /* holds nothing any more */
    CHECK(!boss_outcome(&b, t + 1));
    for (uint64_t i = 0; i < 4; i++)
        CHECK(i == 1 || boss_outcome(&b, t + i)->reports == 1);
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
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const uint64_t running = boss_noop(&b, 0, &hang, 1);
    CHECK(boss_wait(&b, MESSAGE_BEAT, BOSS_PATIENCE_MS));
    b.held_count = 0;
    boss_error(&b, b.beat_seq, ERROR_SESSION);
    CHECK(boss_wait(&b, MESSAGE_READY, BOSS_PATIENCE_MS));
    CHECK(boss_holds(b.held, b.held_count, running));
    CHECK(boss_holds(b.held, b.held_count, reported));
    b.keep_commits = false;
    CHECK(boss_wait(&b, MESSAGE_REPORT, BOSS_PATIENCE_MS));
    boss_abort(&b, running);
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS) && done(&b, u));
    boss_stop(&b);
}

/* The scheduler says nothing for a while, and has forgotten everything then. */
TEST(silence)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    /* Four threads: the last waits, also where one of the two that prepare items is late with the one before it. */
    const struct boss_item items[] = {hang, hang, hang, hang, hang, succeed};
    const uint64_t t = boss_noop(&b, 0, items, 6);
    CHECK(boss_wait(&b, MESSAGE_BEAT, BOSS_PATIENCE_MS));
    b.mute = true;
    const int before = b.readies;
    CHECK(boss_wait(&b, MESSAGE_READY, BOSS_PATIENCE_MS));
    CHECK(b.readies == before + 1 && boss_holds(b.held, b.held_count, t));
    b.mute = false;
    b.forget = true;
    CHECK(boss_wait(&b, MESSAGE_READY, BOSS_PATIENCE_MS));
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && done(&b, u));
    CHECK(!boss_outcome(&b, t) && !boss_outcome(&b, t + 5));
    b.beaten_count = 0;
    CHECK(boss_wait(&b, MESSAGE_PING, BOSS_PATIENCE_MS) && b.beaten_count == 0);
    boss_stop(&b);
}

TEST(report_is_refused)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.keep_commits = true;
    boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    boss_error(&b, b.report_seq, ERROR_BODY);
    boss_wait(&b, 0, 2500);
    CHECK(b.reports == 1); /* not again and again */
    const uint64_t u = boss_noop(&b, 0, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS) && done(&b, u));
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
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    b.mute = true; /* until it does not count itself as engaged */
    CHECK(boss_wait(&b, MESSAGE_READY, BOSS_PATIENCE_MS));
    boss_stop(&b);
}

TEST(stopped_without_a_scheduler)
{
    struct boss b;
    boss_init(&b);
    boss_start(&b);
    b.mute = true;
    CHECK(boss_wait(&b, MESSAGE_READY, BOSS_PATIENCE_MS));
    boss_stop(&b);
    CHECK(!b.left);
}

/* What waits to be hashed is not hashed any more: the end takes as long as the file that is being hashed, and all would
 * take sixty times as long. How long one takes, this machine says. */
TEST(stopped_while_preparing)
{
    enum { COUNT = 60 };
    struct boss b;
    boss_init(&b);
    b.options.threads = 1;
    static char path[COUNT][128];
    struct boss_item items[COUNT];
    char here[64];
    REQUIRE(getcwd(here, sizeof here));
    for (int i = 0; i < COUNT; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d.wav", here, i);
        items[i] = (struct boss_item){.path = path[i]};
        REQUIRE(sound_text(path[i], "") && truncate(path[i], 256 << 20) == 0); /* without a block on the disk */
    }
    struct hash hash;
    uint64_t bytes;
    const int fd = open(path[0], O_RDONLY | O_CLOEXEC);
    int64_t began = boss_clock_ms();
    CHECK_OK(hash_file(fd, &hash, &bytes));
    const int64_t one_ms = boss_clock_ms() - began;
    close(fd);
    boss_start(&b);
    boss_grant(&b, KIND_ANALYZE, NULL, NULL, items, COUNT);
    boss_wait(&b, 0, 100);
    began = boss_clock_ms();
    boss_stop(&b);
    CHECK(boss_clock_ms() - began <= COUNT / 4 * one_ms);
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
    CHECK(boss_exit_code(&b, BOSS_PATIENCE_MS) == -SIGKILL);
    for (int i = 0; i < BOSS_PATIENCE_MS / 10 && kill(compute, 0) == 0; i++) {
        char path[64], state[64] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)compute);
        FILE *f = fopen(path, "r");
        const char *at = f && fgets(state, sizeof state, f) ? strchr(state, ')') : NULL;
        if (f)
            fclose(f);
        if (!at || at[2] == 'Z') /* dead; who reaps it is not ours to say */
            break;
        REQUIRE(i < BOSS_PATIENCE_MS / 10 - 1);
        usleep(10000);
    }
    boss_close(&b);
}
