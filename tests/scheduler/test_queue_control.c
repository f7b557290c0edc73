/* Keys, times, retry, pause, priority, checkpoints, quarantine and bookings, through the core by hand. */
#include "rig.h"
#include "test.h"

#include <string.h>

/* The outcomes of a job from `cursor` on, in `out`; how many. */
static uint32_t outcomes(const struct rig *r, uint64_t job, uint64_t cursor, bool dead_only,
                         struct message_outcome out[16])
{
    static struct wire_buffer b;
    uint32_t count = 0, n = 0;
    uint64_t next = 0;
    b.bytes = 0;
    CHECK_OK(queue_page(r->queue, &(struct message_watch){.job = job, .cursor = cursor, .dead_only = dead_only}, &b,
                        &count, &next));
    struct wire_list list = wire_list_of(&b, count);
    while (n < 16 && wire_next(&list, &outcome_schema, &out[n]))
        n++;
    return n;
}

static uint64_t granted_job(struct rig *r, uint64_t worker, uint32_t credits)
{
    rig_take(r, worker, credits);
    const struct queue_action *a = rig_action(r, QUEUE_GRANT);
    return a ? a->job : 0;
}

/* ---- keys ---- */

TEST(a_key_names_one_job)
{
    static const struct {
        struct rig_job job;
        uint64_t want; /* job; 0: refused */
        int error;
    } cases[] = {
        {{.items = 2, .key = "k"}, 1, 0},
        {{.items = 2, .key = "k"}, 1, 0},                                             /* again */
        {{.items = 2, .key = "k", .session = 9, .cancel_on_disconnect = true}, 1, 0}, /* by another session */
        {{.items = 3, .key = "k"}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "k", .priority = 1}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "k", .params = "others"}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "k", .kind = "other"}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "k", .deadline_unix_ms = 5}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "k", .open = true}, 0, ERROR_CONFLICT},
        {{.items = 2, .key = "K"}, 2, 0},
        {{.items = 2}, 3, 0}, /* without a key each is a job of its own */
        {{.items = 2}, 4, 0},
    };
    struct rig r;
    rig_open(&r, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t before = i ? rig_show(&r, 1).items : 0;
        CHECK(rig_submit(&r, cases[i].job) == cases[i].want && rig_refused(&r) == cases[i].error);
        const struct queue_action *a = rig_action(&r, QUEUE_ACCEPTED);
        CHECK(!a || a->known == (i == 1 || i == 2));
        CHECK(i == 0 || rig_show(&r, 1).items == before);
    }
    rig_cancel(&r, 1);
    CHECK(rig_submit(&r, cases[0].job) == 1); /* as long as it is kept */
    rig_tick(&r, QUEUE_KEEP_MS);
    CHECK(rig_submit(&r, cases[0].job) == 5);
    rig_close(&r);
}

/* ---- times ---- */

TEST(a_job_starts_when_it_is_time)
{
    static const struct {
        int64_t start_in_ms, jump_ms; /* of the wall clock, after the submission */
        int64_t granted_after_ms;
    } cases[] = {
        {500, 0, 500},
        {-500, 0, 0},
        {500, 3600000, 500},      /* set forward: looked at when it was expected, and then over */
        {500, -3600000, 3600500}, /* set back: it waits on */
        {200000, 190000, 60000},  /* looked at once a minute */
        {200000, -100000, 300000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        rig_open(&r, &(struct queue_options){.epoch = 1, .lease_ms = 10000000});
        const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
        rig_take(&r, w, 1);
        const int64_t submitted = r.now_ms;
        rig_submit(&r, (struct rig_job){.items = 1,
                                        .start_unix_ms = (uint64_t)(r.now_ms + RIG_WALL_MS + cases[i].start_in_ms)});
        bool granted = rig_action(&r, QUEUE_GRANT) != NULL;
        r.wall_jump_ms = cases[i].jump_ms;
        for (int n = 0; n < 1000 && !granted && queue_next_deadline_ms(r.queue) < submitted + 8000000; n++) {
            const int64_t wait = queue_next_deadline_ms(r.queue) - r.now_ms;
            rig_tick(&r, wait > 0 ? wait : 0);
            granted = rig_action(&r, QUEUE_GRANT) != NULL;
        }
        CHECK(granted && r.now_ms - submitted == cases[i].granted_after_ms);
        rig_close(&r);
    }
}

TEST(a_deadline_ends_what_is_left)
{
    struct message_outcome m[16];
    struct rig r;
    rig_open(&r, &(struct queue_options){.epoch = 1, .lease_ms = 100000});
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t end = (uint64_t)r.now_ms + RIG_WALL_MS + 1000;
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 5, .deadline_unix_ms = end, .open = true});
    r.waits = true;
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 3) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED); /* waits for its backoff */
    const uint64_t held = rig_take_one(&r, w);
    rig_tick(&r, 999);
    CHECK(rig_show(&r, job).dead == 0);
    rig_tick(&r, 1);
    struct message_job j = rig_show(&r, job);
    CHECK(j.done == 1 && j.dead == 4 && j.queued == 0 && j.leased == 0 && j.state == JOB_OPEN);
    CHECK(rig_report(&r, w, held, FAILURE_NONE, 3) == COMMIT_STALE);
    CHECK(outcomes(&r, job, 1, false, m) == 4 && m[3].failure == FAILURE_TIMEOUT && m[0].message.bytes > 0);
    rig_add(&r, job, 5, 3, true); /* comes too late */
    rig_tick(&r, 0);
    CHECK(rig_show(&r, job).dead == 7 && rig_show(&r, job).state == JOB_DONE);
    rig_add(&r, job, 5, 3, true); /* once more: its answer was lost */
    CHECK(queue_next_deadline_ms(r.queue) > r.now_ms + RIG_WALL_MS / 1000);
    CHECK(rig_retry(&r, job, NULL, 0) == 0);
    j = rig_show(&r, job);
    CHECK(j.state == JOB_ACTIVE && j.queued == 7 && j.deadline_unix_ms == 0);
    for (int i = 0; i < 7; i++)
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 3) == COMMIT_COMMITTED);
    CHECK(rig_show(&r, job).state == JOB_DONE && rig_show(&r, job).done == 8);
    rig_close(&r);
}

/* More items than one tick ends, with one that comes back in between. */
TEST(a_deadline_ends_many)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t end = (uint64_t)r.now_ms + RIG_WALL_MS + 1000;
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4000, .deadline_unix_ms = end});
    const uint64_t first = rig_take_one(&r, w);
    CHECK(first);
    const uint64_t other = rig_submit(&r, (struct rig_job){.items = 3000, .deadline_unix_ms = end});
    rig_tick(&r, 1000);
    CHECK(rig_show(&r, job).dead + rig_show(&r, other).dead == 2048); /* of both jobs together */
    CHECK(rig_report(&r, w, first, FAILURE_TRANSIENT, 0) == COMMIT_STALE);
    for (int i = 0; i < 10 && (rig_show(&r, job).queued || rig_show(&r, other).queued); i++)
        rig_tick(&r, 0);
    CHECK(rig_show(&r, job).dead == 4000 && rig_show(&r, job).state == JOB_DONE);
    CHECK(rig_show(&r, other).dead == 3000 && rig_show(&r, other).state == JOB_DONE);
    rig_close(&r);
}

TEST(attempts_wait_longer_each_time)
{
    enum { BACKOFF = 1000 };
    struct rig r;
    int64_t waits[4] = {0};
    bool same = true;
    rig_open(&r, &(struct queue_options){.epoch = 1, .lease_ms = 1000000});
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    r.waits = true;
    for (int n = 0; n < 2; n++) {
        const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1, .backoff_ms = BACKOFF, .max_attempts = 4});
        for (int t = 0; t < 3; t++) {
            const int64_t most = (int64_t)BACKOFF << t;
            CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
            CHECK(rig_show(&r, job).waiting == 1 && rig_show(&r, job).queued == 1);
            const int64_t wait = queue_next_deadline_ms(r.queue) - r.now_ms;
            CHECK(wait >= most / 2 && wait <= most);
            same &= n == 0 || wait == waits[t];
            waits[t] = wait;
            CHECK(!rig_take_one(&r, w));
            rig_tick(&r, wait - 1);
            CHECK(rig_show(&r, job).waiting == 1);
            rig_take(&r, w, 0);
            rig_tick(&r, 1);
            CHECK(rig_show(&r, job).waiting == 0);
        }
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 0) == COMMIT_COMMITTED);
    }
    CHECK(!same); /* two items do not wait equally long */
    rig_close(&r);
}

TEST(attempts_have_their_time)
{
    static const struct {
        uint32_t attempt_ms, stall_ms;
        double progress[4]; /* in beats, one a second */
        int64_t over_ms;    /* when it has ended */
    } cases[] = {
        {2500, 0, {0.1, 0.2, 0.3, 0.4}, 2500}, {0, 2500, {0.1, 0.1, 0.1, 0.1}, 3500},
        {0, 2500, {0.1, 0.2, 0.3, 0.3}, 5500}, {3000, 2500, {0, 0, 0, 0}, 2500},
        {0, 0, {0, 0, 0, 0}, 14000}, /* the lease, after the last beat */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r;
        struct message_outcome m[16];
        rig_open(&r, NULL);
        const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
        const uint64_t job = rig_submit(
            &r, (struct rig_job){
                    .items = 1, .max_attempts = 1, .attempt_ms = cases[c].attempt_ms, .stall_ms = cases[c].stall_ms});
        const uint64_t token = rig_take_one(&r, w);
        const int64_t begun = r.now_ms;
        for (int i = 0; i < 4 && rig_show(&r, job).leased; i++) {
            while (queue_next_deadline_ms(r.queue) < begun + 1000 * (i + 1) && rig_show(&r, job).leased)
                rig_tick(&r, queue_next_deadline_ms(r.queue) - r.now_ms);
            if (!rig_show(&r, job).leased)
                break;
            r.now_ms = begun + (int64_t)1000 * (i + 1);
            rig_beat(&r, w, &token, 1, cases[c].progress[i]);
        }
        while (rig_show(&r, job).leased)
            rig_tick(&r, queue_next_deadline_ms(r.queue) - r.now_ms);
        CHECK(r.now_ms - begun == cases[c].over_ms);
        REQUIRE(outcomes(&r, job, 0, false, m) == 1);
        const bool by_time = cases[c].attempt_ms || cases[c].stall_ms;
        CHECK(m[0].failure == (by_time ? FAILURE_TIMEOUT : FAILURE_STALE) && m[0].message.bytes > 0);
        CHECK(rig_report(&r, w, token, FAILURE_NONE, 0) == (by_time ? COMMIT_STALE : 0)); /* 0: the worker is gone */
        rig_close(&r);
    }
}

/* ---- what people change ---- */

TEST(dead_items_are_tried_again)
{
    struct message_outcome m[16];
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4});
    for (int i = 0; i < 4; i++)
        rig_report(&r, w, rig_take_one(&r, w), i < 3 ? FAILURE_INPUT : FAILURE_NONE, 0);
    CHECK(rig_show(&r, job).state == JOB_DONE && outcomes(&r, job, 0, true, m) == 3);
    CHECK(rig_retry(&r, job, (const uint64_t[]){1, 3, 1, 77}, 4) == 0); /* 3 is done, 77 is not there */
    struct message_job j = rig_show(&r, job);
    CHECK(j.state == JOB_ACTIVE && j.queued == 1 && j.dead == 2 && j.done == 1 && j.commits == 4);
    CHECK(j.finished_unix_ms == 0 && outcomes(&r, job, 0, true, m) == 2);
    CHECK(outcomes(&r, job, 0, false, m) == 4 && m[1].retried && m[1].index == 1 && !m[0].retried && !m[2].retried);
    const uint64_t token = rig_take_one(&r, w);
    CHECK(rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->attempt == 1);
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 5) == COMMIT_COMMITTED);
    CHECK(rig_show(&r, job).state == JOB_DONE && rig_show(&r, job).done == 2);
    CHECK(outcomes(&r, job, 4, false, m) == 1 && m[0].index == 1 && m[0].state == ITEM_DONE && !m[0].retried);
    CHECK(rig_retry(&r, job, (const uint64_t[]){1}, 1) == 0 && rig_show(&r, job).state == JOB_DONE); /* done stays */
    for (int round = 0; round < 5; round++) { /* the order grows beyond the items */
        CHECK(rig_retry(&r, job, NULL, 0) == 0 && rig_show(&r, job).queued == 2);
        for (int i = 0; i < 2; i++)
            rig_report(&r, w, rig_take_one(&r, w), FAILURE_INPUT, 0);
        CHECK(rig_show(&r, job).dead == 2 && outcomes(&r, job, 0, true, m) == 2);
    }
    CHECK(rig_show(&r, job).commits == 15);
    CHECK(rig_retry(&r, 99, NULL, 0) == ERROR_NOT_FOUND);
    const uint64_t gone = rig_submit(&r, (struct rig_job){.items = 1});
    rig_cancel(&r, gone);
    CHECK(rig_retry(&r, gone, NULL, 0) == ERROR_STATE);
    rig_tick(&r, QUEUE_KEEP_MS); /* it counts from the last end */
    rig_close(&r);
}

TEST(paused_jobs_are_not_granted)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3});
    const uint64_t token = rig_take_one(&r, w);
    CHECK(rig_control(&r, QUEUE_PAUSE, job) == 0 && rig_show(&r, job).paused);
    CHECK(rig_control(&r, QUEUE_PAUSE, job) == 0);
    CHECK(!rig_take_one(&r, w));
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 0) == COMMIT_COMMITTED); /* what was leased goes on */
    CHECK(rig_control(&r, QUEUE_RESUME, job) == 0 && rig_action(&r, QUEUE_GRANT) && !rig_show(&r, job).paused);
    CHECK(rig_control(&r, QUEUE_PAUSE, job) == 0);
    CHECK(rig_cancel(&r, job) == 0 && rig_show(&r, job).state == JOB_CANCELLED);
    CHECK(rig_control(&r, QUEUE_RESUME, job) == 0 && rig_control(&r, QUEUE_RESUME, 99) == ERROR_NOT_FOUND);
    rig_close(&r);
}

TEST(priorities_change_the_order)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t a = rig_submit(&r, (struct rig_job){.items = 9, .params = "a"});
    const uint64_t b = rig_submit(&r, (struct rig_job){.items = 9, .params = "b"});
    CHECK(granted_job(&r, w, 1) == a);
    CHECK(rig_priority(&r, b, 1) == 0 && granted_job(&r, w, 1) == b);
    CHECK(rig_priority(&r, a, 1000) == 0 && granted_job(&r, w, 1) == a);
    CHECK(rig_priority(&r, a, -1000) == 0 && granted_job(&r, w, 1) == b && rig_show(&r, a).priority == -1000);
    CHECK(rig_control(&r, QUEUE_PAUSE, b) == 0 && rig_priority(&r, b, 7) == 0 && granted_job(&r, w, 1) == a);
    CHECK(rig_priority(&r, 99, 1) == ERROR_NOT_FOUND);
    rig_close(&r);
}

/* ---- granting ---- */

TEST(jobs_of_one_group_go_out_together)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop other", NULL, 0);
    const struct rig_job jobs[] = {{.items = 1, .params = "p"},
                                   {.items = 2, .params = "q"},
                                   {.items = 2, .params = "p"},
                                   {.items = 2, .params = "p", .kind = "other"},
                                   {.items = 2, .params = "p", .priority = -1},
                                   {.items = 3, .params = "p"}};
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        CHECK(rig_submit(&r, jobs[i]) == i + 1);
    rig_take(&r, w, 5);
    const struct queue_action *a = rig_action(&r, QUEUE_GRANT);
    REQUIRE(a && a->job == 1 && a->count == 5);
    static const uint64_t want[] = {1, 3, 3, 6, 6};
    for (size_t i = 0; i < 5; i++)
        CHECK(rig_entry(&r, a, i)->job == want[i]);
    CHECK(granted_job(&r, w, 5) == 2 && rig_action(&r, QUEUE_GRANT)->count == 2);
    rig_close(&r);
}

TEST(device_memory_is_booked_before_the_lease)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready_on(&r, "a", 1, "gpu", 100), b = rig_ready_on(&r, "b", 2, "gpu", 100);
    const uint64_t poor = rig_ready(&r, 0, "poor", 3, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4, .device_bytes = 40});
    rig_take(&r, poor, 4);
    CHECK(!rig_action(&r, QUEUE_GRANT)); /* it has named no memory */
    rig_take(&r, a, 4);
    CHECK(rig_action(&r, QUEUE_GRANT) && rig_action(&r, QUEUE_GRANT)->count == 2);
    const uint64_t token = rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->token;
    rig_take(&r, b, 4);
    CHECK(!rig_action(&r, QUEUE_GRANT)); /* 20 of 100 are left */
    CHECK(rig_report(&r, a, token, FAILURE_NONE, 0) == COMMIT_COMMITTED);
    const struct queue_action *grant = rig_action(&r, QUEUE_GRANT);
    CHECK(grant && grant->worker == b && grant->count == 1);
    rig_submit(&r, (struct rig_job){.items = 1}); /* needs nothing: anybody may have it */
    grant = rig_action(&r, QUEUE_GRANT);
    CHECK(grant && grant->worker == poor);
    rig_leave(&r, a);
    rig_take(&r, b, 4);
    CHECK(rig_action(&r, QUEUE_GRANT) && rig_show(&r, job).leased == 2);
    const uint64_t large = rig_submit(&r, (struct rig_job){.items = 1, .device_bytes = 101, .priority = 9});
    CHECK(rig_show(&r, large).queued == 1); /* waits, and holds nobody up */
    rig_close(&r);
}

TEST(a_worker_that_crashes_on_three_is_passed_over)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t bad = rig_ready(&r, 0, "bad", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3, .max_attempts = 9});
    uint64_t tokens[3];
    rig_take(&r, bad, 3);
    REQUIRE(rig_action(&r, QUEUE_GRANT) && rig_action(&r, QUEUE_GRANT)->count == 3);
    for (int i = 0; i < 3; i++)
        tokens[i] = rig_entry(&r, rig_action(&r, QUEUE_GRANT), (size_t)i)->token;
    for (int i = 0; i < 3; i++) {
        CHECK(rig_report(&r, bad, tokens[i], FAILURE_CRASH, 0) == COMMIT_COMMITTED);
        CHECK(rig_count(&r, QUEUE_BLAMED) == (i == 2));
    }
    const uint64_t again = rig_take_one(&r, bad);
    CHECK(again); /* nobody else is there */
    rig_return(&r, bad, &again, 1);
    const uint64_t good = rig_ready(&r, 0, "good", 2, "noop", NULL, 0);
    const uint64_t other = rig_submit(&r, (struct rig_job){.items = 1, .priority = 9});
    CHECK(!rig_take_one(&r, bad));
    CHECK(rig_report(&r, good, rig_take_one(&r, good), FAILURE_NONE, 0) == COMMIT_COMMITTED);
    CHECK(rig_show(&r, other).done == 1);
    /* What crashes elsewhere too is to blame itself: the worker is good again. */
    CHECK(rig_report(&r, good, rig_take_one(&r, good), FAILURE_CRASH, 0) == COMMIT_COMMITTED);
    const struct queue_action *grant = rig_action(&r, QUEUE_GRANT); /* after the backoff */
    CHECK(grant && grant->worker == bad);
    CHECK(rig_show(&r, job).dead == 0);
    rig_close(&r);
}

TEST(checkpoints_go_to_the_next_attempt)
{
    struct rig r;
    struct message_lease l;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "noop", NULL, 0), b = rig_ready(&r, 0, "b", 2, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t token = rig_take_one(&r, a);
    CHECK_OK(queue_item(r.queue, job, 0, &l));
    CHECK(l.checkpoint.bytes == 0);
    CHECK(rig_checkpoint(&r, a, token, 7, 0.25) == COMMIT_COMMITTED);
    CHECK(rig_checkpoint(&r, a, token, 8, 0.5) == COMMIT_COMMITTED);
    CHECK(rig_checkpoint(&r, b, token, 9, 0.75) == COMMIT_STALE); /* not b's */
    CHECK(rig_report(&r, a, token, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    CHECK(rig_checkpoint(&r, a, token, 9, 0.75) == COMMIT_STALE);
    CHECK(rig_take_one(&r, b));
    CHECK_OK(queue_item(r.queue, job, 0, &l));
    CHECK(l.checkpoint.bytes == LIMIT_OBJECT && l.checkpoint.data[0] == 8);
    CHECK(l.progress > 0.49 && l.progress < 0.51);
    rig_close(&r);
}

/* What each attempt saves before it crashes, and the number that the next one has; 0: dead. With two attempts. */
TEST(only_attempts_that_bring_nothing_use_an_item_up)
{
    static const struct {
        double saved[6]; /* negative: nothing */
        uint32_t attempt[6];
        const char *why;
    } cases[] = {
        {{-1, -1}, {2, 0}, "no checkpoints: as ever"},
        {{0.1, 0.2, 0.3, 0.4, -1}, {2, 2, 2, 2, 0}, "each further than all before"},
        {{0.5, 0.5}, {2, 0}, "as far as before is no progress"},
        {{0.5, 0.4}, {2, 0}, "less far than before"},
        {{0.5, 0, 0.4}, {2, 0}, "begun anew: what counts is the furthest of all, not the last"},
        {{0, -1}, {2, 0}, "a checkpoint of nothing"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r;
        rig_open(&r, NULL);
        const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
        const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1, .max_attempts = 2});
        bool good = true, alive = true;
        for (int i = 0; alive; i++) {
            const uint64_t token = rig_take_one(&r, w);
            const struct queue_action *const grant = rig_action(&r, QUEUE_GRANT);
            const uint32_t number = grant ? rig_entry(&r, grant, 0)->attempt : 0;
            good = good && token && number == (i ? cases[c].attempt[i - 1] : 1);
            if (cases[c].saved[i] >= 0)
                good = good && rig_checkpoint(&r, w, token, 7, cases[c].saved[i]) == COMMIT_COMMITTED;
            good = good && rig_report(&r, w, token, FAILURE_CRASH, 0) == COMMIT_COMMITTED;
            alive = cases[c].attempt[i] != 0;
            good = good && rig_show(&r, job).dead == !alive;
            alive = alive && good;
        }
        if (!good)
            test_report(false, __FILE__, __LINE__, "%s", cases[c].why);
        rig_close(&r);
    }
}

TEST(sessions_with_a_key_are_told_of)
{
    struct rig r;
    rig_open(&r, NULL);
    rig_submit(&r, (struct rig_job){.items = 1, .session = 5});
    rig_submit(&r, (struct rig_job){.items = 1, .session = 9, .cancel_on_disconnect = true});
    rig_submit(&r, (struct rig_job){.items = 1, .session = 7, .open = true});
    CHECK(queue_session_after(r.queue, 0) == 7 && queue_session_after(r.queue, 7) == 9);
    CHECK(queue_session_after(r.queue, 9) == 0);
    rig_close(&r);
}
