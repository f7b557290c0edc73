/* A supervisor whose child has a device: found, full, lost. The devices are fakes of tests/runtime. */
#include "boss.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static void fakes(struct boss *b, const char *like)
{
    setenv("WAVEMILL_MODULES", FAKE_MODULES "/good", 1);
    setenv("WAVEMILL_FAKE_DEVICE", like, 1);
    boss_init(b);
    b->options.device = "emulated";
}

static const struct boss_item succeed = {.action = NOOP_SUCCEED}, lose = {.action = NOOP_LOSE_DEVICE};

static bool ended(const struct boss *b, uint64_t token, enum failure_class failure, const char *text)
{
    const struct outcome *o = boss_outcome(b, token);
    return o && o->failure == failure && strstr(o->message, text) && o->reports == 1;
}

TEST(a_child_with_a_device_works_as_one_without)
{
    struct boss b;
    fakes(&b, "");
    boss_start(&b);
    const uint64_t t = boss_noop(&b, 5, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(ended(&b, t, FAILURE_NONE, ""));
    CHECK(strcmp(b.device, "emulated") == 0 && strstr(b.name, "/emulated/"));
    boss_stop(&b);
}

TEST(a_device_that_is_full_leaves_the_cpu)
{
    struct boss b;
    fakes(&b, "full");
    boss_start(&b);
    const uint64_t t = boss_noop(&b, 5, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(ended(&b, t, FAILURE_NONE, ""));
    boss_stop(&b);
}

TEST(a_limit_that_is_too_small_leaves_the_cpu)
{
    struct boss b;
    fakes(&b, "");
    b.options.device_limit = 1 << 20; /* less than the scratch of one thread */
    boss_start(&b);
    const uint64_t t = boss_noop(&b, 5, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    CHECK(ended(&b, t, FAILURE_NONE, ""));
    boss_stop(&b);
}

TEST(a_device_that_is_not_there_ends_the_worker)
{
    static const char *const like[] = {"lost", "none", "driver", "unsupported"};
    struct boss b;
    fakes(&b, "");
    for (size_t i = 0; i < sizeof like / sizeof *like; i++) {
        setenv("WAVEMILL_FAKE_DEVICE", like[i], 1);
        b.mute = true; /* it may be gone before it could be answered */
        boss_start(&b);
        CHECK(boss_exit_code(&b, BOSS_PATIENCE_MS) == 5);
        boss_close(&b);
    }
}

/* Several are at work when it happens; each of the two is found out by itself, and the rest is done. */
TEST(a_lost_device_is_blamed_on_the_right_one)
{
    struct boss b;
    fakes(&b, "");
    boss_start(&b);
    const struct boss_item items[] = {succeed, succeed, lose, succeed, succeed, lose, succeed, succeed};
    const uint64_t t = boss_noop(&b, 20, items, 8);
    CHECK(boss_wait_outcomes(&b, 8, BOSS_PATIENCE_MS));
    for (uint64_t i = 0; i < 8; i++)
        CHECK(i == 2 || i == 5 ? ended(&b, t + i, FAILURE_DEVICE, "the device was lost: noop: lost as it was told to")
                               : ended(&b, t + i, FAILURE_NONE, ""));
    const struct boss_item again = {.action = NOOP_SUCCEED, .attempt = 2};
    const uint64_t u = boss_noop(&b, 5, &again, 1);
    CHECK(boss_wait_outcomes(&b, 9, BOSS_PATIENCE_MS));
    CHECK(ended(&b, u, FAILURE_NONE, ""));
    boss_stop(&b);
}

TEST(another_process_takes_over_after_a_loss)
{
    struct boss b;
    fakes(&b, "");
    boss_start(&b);
    const uint64_t t = boss_noop(&b, 5, &succeed, 1);
    CHECK(boss_wait_outcomes(&b, 1, BOSS_PATIENCE_MS));
    const pid_t first = boss_compute(&b);
    const uint64_t u = boss_noop(&b, 5, &lose, 1);
    CHECK(boss_wait_outcomes(&b, 2, BOSS_PATIENCE_MS));
    CHECK(ended(&b, t, FAILURE_NONE, "") && ended(&b, u, FAILURE_DEVICE, "the device was lost"));
    const pid_t second = boss_compute(&b);
    CHECK(first > 0 && second > 0 && first != second);
    boss_stop(&b);
}
