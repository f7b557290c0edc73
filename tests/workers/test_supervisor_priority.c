/* A supervisor that has more important work than what runs. */
#include "boss.h"
#include "test.h"

#include <string.h>

enum { LASTS_MS = 120000, SAVES_MS = 100, SHORT_MS = 1500 };

static const struct boss_item item = {.action = NOOP_SUCCEED};

static void start(struct boss *b, int threads)
{
    boss_init(b);
    b->options.threads = threads;
    boss_start(b);
}

/* save_ms 0: it saves nothing. */
static uint64_t grant(struct boss *b, int64_t priority, uint64_t ms, uint64_t save_ms)
{
    b->priority = priority;
    return boss_grant(b, KIND_NOOP, &kind_noop_params_schema,
                      &(struct kind_noop_params){.sleep_ms = ms, .checkpoint_ms = save_ms}, &item, 1);
}

static bool is_done(struct boss *b, uint64_t token)
{
    const struct outcome *const o = boss_outcome(b, token);
    return o && o->failure == FAILURE_NONE;
}

TEST(what_saves_makes_room_for_what_is_more_important)
{
    struct boss b;
    start(&b, 1);
    const uint64_t lasts = grant(&b, -3, LASTS_MS, SAVES_MS);
    REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS));
    const uint64_t urgent = grant(&b, -2, 0, 0);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == lasts);
    CHECK(strstr(b.log, "it makes room for what is more important"));
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, urgent) && !boss_outcome(&b, lasts));
    boss_stop(&b);
}

TEST(the_least_important_makes_room)
{
    struct boss b;
    start(&b, 2);
    const uint64_t more = grant(&b, 2, LASTS_MS, SAVES_MS);
    const uint64_t less = grant(&b, 1, LASTS_MS, SAVES_MS);
    for (bool saved[2] = {false, false}; !saved[0] || !saved[1]; saved[b.checkpoint.token == less] = true)
        REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS));
    const uint64_t urgent = grant(&b, 3, 0, 0);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == less);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, urgent));
    REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS)); /* its neighbour goes on */
    CHECK(b.checkpoint.token == more && b.checkpoint.progress > 0);
    boss_abort(&b, more);
    boss_stop(&b);
}

/* What does not save would lose everything, and what is as important has come first. */
static void stays(int64_t priority, uint64_t save_ms)
{
    struct boss b;
    start(&b, 1);
    const uint64_t first = grant(&b, 0, SHORT_MS, save_ms);
    REQUIRE(boss_wait(&b, save_ms ? MESSAGE_CHECKPOINT : MESSAGE_BEAT, BOSS_PATIENCE_MS));
    const uint64_t second = grant(&b, priority, 0, 0);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS) && is_done(&b, first) && is_done(&b, second));
    CHECK(b.returned_count == 0);
    boss_stop(&b);
}

TEST(what_does_not_save_stays)
{
    stays(1, 0);
}

TEST(what_is_as_important_stays)
{
    stays(0, SAVES_MS);
}

TEST(what_is_more_important_stays)
{
    stays(-1, SAVES_MS);
}

/* Of what waits here for its turn; nothing makes room for it. */
TEST(the_more_important_goes_first)
{
    struct boss b;
    uint64_t token[4];
    start(&b, 1);
    for (int i = 0; i < 4; i++) /* two leases, then those for TAKEs that ask for more */
        token[i] = grant(&b, i, SHORT_MS, 0);
    CHECK(boss_wait_outcomes(&b, 3, BOSS_PATIENCE_MS) && is_done(&b, token[0]) && is_done(&b, token[1]));
    CHECK(is_done(&b, token[3]) && !boss_outcome(&b, token[2])); /* two are with the child: it has one ahead */
    CHECK(boss_wait_outcomes(&b, 4, BOSS_PATIENCE_MS) && is_done(&b, token[2]) && b.returned_count == 0);
    boss_stop(&b);
}

/* Two leases are all that a worker asks for; when they last, it asks for what is more important than the least. */
TEST(asks_for_what_is_more_important)
{
    struct boss b;
    start(&b, 1);
    const uint64_t first = grant(&b, 7, LASTS_MS, 0);
    REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    CHECK(!b.take_urgent && b.take_above == 0 && b.take_waits);
    const uint64_t second = grant(&b, -4, 0, 0);
    REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    CHECK(b.take_urgent && b.take_above == -4);
    boss_abort(&b, second);
    for (int i = 0; i < 2 && b.take_urgent; i++)
        REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    CHECK(!b.take_urgent);
    boss_abort(&b, first);
    boss_stop(&b);
}

/* What runs, what waits for its turn, and what there is nobody to ask for any more. */
TEST(what_is_asked_back_is_returned)
{
    struct boss b;
    start(&b, 1);
    const uint64_t runs = grant(&b, 0, LASTS_MS, SAVES_MS);
    REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS)); /* else the other may be ready before */
    const uint64_t waits = grant(&b, 0, LASTS_MS, 0);
    boss_yield(&b, runs + 1000);
    boss_yield(&b, waits);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == waits);
    boss_yield(&b, runs);
    boss_yield(&b, runs);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == runs && strstr(b.log, "it was asked back, and goes on later"));
    const uint64_t next = grant(&b, 0, 0, 0);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, next));
    CHECK(!boss_outcome(&b, runs) && !boss_outcome(&b, waits));
    boss_stop(&b);
}

/* What made room does not come back as long as what it made room for is here. */
TEST(what_made_room_stays_away)
{
    struct boss b;
    start(&b, 1);
    const uint64_t less = grant(&b, -1, LASTS_MS, SAVES_MS);
    REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS));
    const uint64_t urgent = grant(&b, 5, SHORT_MS, 0);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == less);
    for (b.take_waits = false; !b.take_waits;)
        REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    CHECK(b.take_urgent && b.take_above == 5 && b.outcome_count == 0);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, urgent));
    while (b.take_urgent)
        REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    boss_stop(&b);
}

/* The scheduler says that something else is important now. */
TEST(a_priority_changes)
{
    struct boss b;
    start(&b, 1);
    const uint64_t runs = grant(&b, 3, LASTS_MS, SAVES_MS);
    REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS));
    const uint64_t waits = grant(&b, 0, 0, 0);
    CHECK(!boss_wait(&b, MESSAGE_RETURN, 600)); /* longer than it takes to make room */
    boss_prefer(&b, waits, 4);
    REQUIRE(boss_wait(&b, MESSAGE_RETURN, BOSS_PATIENCE_MS));
    CHECK(b.returned_count == 1 && b.returned[0] == runs);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, waits));
    boss_stop(&b);
}

/* It comes back when that is over, whatever else is more important and goes on. */
TEST(what_made_room_comes_back)
{
    struct boss b;
    start(&b, 2);
    const uint64_t less = grant(&b, 0, LASTS_MS, SAVES_MS), more = grant(&b, 1, LASTS_MS, SAVES_MS);
    for (bool saved[2] = {false, false}; !saved[0] || !saved[1]; saved[b.checkpoint.token == less] = true)
        REQUIRE(boss_wait(&b, MESSAGE_CHECKPOINT, BOSS_PATIENCE_MS));
    const uint64_t urgent = grant(&b, 5, 0, 0);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS) && is_done(&b, urgent));
    CHECK(b.returned_count == 1 && b.returned[0] == less);
    while (b.take_urgent || !b.take_waits)
        REQUIRE(boss_wait(&b, MESSAGE_TAKE, BOSS_PATIENCE_MS));
    boss_abort(&b, more);
    boss_stop(&b);
}
