/* A supervisor whose compute child dies for one item's sake: the others go on from what they saved last. */
#include "boss.h"
#include "test.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { SLEEP_MS = 120000, CHECKPOINT_MS = 100, STEPS = 12, SLEEPERS = 2 };

struct sleeper {
    double last; /* progress of the checkpoint that came last */
    int count;
    bool fell; /* one had less than one before it */
};

/* Serves until a checkpoint comes, and keeps account of whose it is; false: none did. */
static bool take_checkpoint(struct boss *b, uint64_t first, struct sleeper sleepers[SLEEPERS], int wait_ms)
{
    if (!boss_wait(b, MESSAGE_CHECKPOINT, wait_ms))
        return false;
    REQUIRE(b->checkpoint.token >= first && b->checkpoint.token < first + SLEEPERS);
    struct sleeper *const s = &sleepers[b->checkpoint.token - first];
    s->fell |= b->checkpoint.progress < s->last;
    s->last = b->checkpoint.progress;
    s->count++;
    return true;
}

/* Two sleepers of two minutes save ten times a second, each time with more progress. Whoever goes on after the child
 * was replaced saves more than it had saved before; to begin anew would be to come back to the first of 1,200 steps. */
static void goes_on(bool kills)
{
    struct boss b;
    struct sleeper sleepers[SLEEPERS] = {{0}};
    const struct boss_item items[SLEEPERS] = {{.action = NOOP_SUCCEED}, {.action = NOOP_SUCCEED}};
    boss_init(&b);
    boss_start(&b);
    const uint64_t t =
        boss_grant(&b, KIND_NOOP, &kind_noop_params_schema,
                   &(struct kind_noop_params){.sleep_ms = SLEEP_MS, .checkpoint_ms = CHECKPOINT_MS}, items, SLEEPERS);
    while (sleepers[0].count < STEPS || sleepers[1].count < STEPS) /* both run, and are beyond the first steps */
        REQUIRE(take_checkpoint(&b, t, sleepers, BOSS_PATIENCE_MS));
    const pid_t child = boss_compute(&b);
    REQUIRE(child > 0);
    if (kills)
        CHECK(kill(child, SIGKILL) == 0);
    else
        boss_abort(&b, t + 1);
    const int64_t end = boss_clock_ms() + BOSS_PATIENCE_MS;
    for (pid_t now = child; now == child || now <= 0; now = boss_compute(&b)) {
        REQUIRE(boss_clock_ms() < end);
        take_checkpoint(&b, t, sleepers, 20);
    }
    for (int i = 0; i < 6; i++) /* some may have been on their way */
        REQUIRE(take_checkpoint(&b, t, sleepers, BOSS_PATIENCE_MS));
    CHECK(!sleepers[0].fell && !sleepers[1].fell && b.outcome_count == 0);
    boss_abort(&b, t);
    boss_abort(&b, t + 1);
    boss_stop(&b);
}

TEST(a_neighbour_is_cancelled_and_this_one_goes_on)
{
    goes_on(false);
}

/* Both are suspect, and tried alone, one after the other. */
TEST(after_a_crash_the_suspects_go_on)
{
    goes_on(true);
}

/* The scheduler's disk is full: the item goes on, its lines say so, and when there is room again it is saved. */
TEST(no_room_for_a_checkpoint_is_said)
{
    struct boss b;
    const struct boss_item item = {.action = NOOP_SUCCEED};
    boss_init(&b);
    b.busy = 1 << 30;
    boss_start(&b);
    const uint64_t t =
        boss_grant(&b, KIND_NOOP, &kind_noop_params_schema,
                   &(struct kind_noop_params){.sleep_ms = SLEEP_MS, .checkpoint_ms = CHECKPOINT_MS}, &item, 1);
    const int64_t end = boss_clock_ms() + BOSS_PATIENCE_MS;
    while (!strstr(b.log, " warn  wavemill-worker: a checkpoint is not saved: the scheduler") && boss_clock_ms() < end)
        boss_wait(&b, MESSAGE_BEAT, 100);
    CHECK(strstr(b.log, " warn  wavemill-worker: a checkpoint is not saved: the scheduler"));
    CHECK(b.checkpoints == 0 && b.outcome_count == 0);
    b.busy = 0;
    CHECK(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS) && b.checkpoint.token == t);
    boss_abort(&b, t);
    boss_stop(&b);
}
