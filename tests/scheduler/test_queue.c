/* The life of jobs and items, by hand. After every event rig.c recounts the whole queue. */
#include "rig.h"
#include "test.h"

#include <math.h>
#include <string.h>

static bool counts_are(const struct rig *r, uint64_t job, int state, int queued, int leased, int done, int dead,
                       int cancelled)
{
    const struct message_job m = rig_show(r, job);
    const bool good = (int)m.state == state && (int)m.queued == queued && (int)m.leased == leased &&
                      (int)m.done == done && (int)m.dead == dead && (int)m.cancelled == cancelled;
    if (!good)
        printf("    job %d: state %d, queued %d, leased %d, done %d, dead %d, cancelled %d\n", (int)job, (int)m.state,
               (int)m.queued, (int)m.leased, (int)m.done, (int)m.dead, (int)m.cancelled);
    return good;
}

TEST(a_job_lives)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3, .priority = -5});
    CHECK(job == 1 && counts_are(&r, job, JOB_ACTIVE, 3, 0, 0, 0, 0));
    CHECK(rig_show(&r, job).priority == -5 && rig_show(&r, job).submitted_unix_ms == 1001000);
    rig_take(&r, w, 2);
    const struct queue_action *grant = rig_action(&r, QUEUE_GRANT);
    REQUIRE(grant && grant->count == 2 && grant->job == job && grant->worker == w);
    const uint64_t tokens[] = {rig_entry(&r, grant, 0)->token, rig_entry(&r, grant, 1)->token};
    CHECK(tokens[0] == (UINT64_C(1) << 40) + 1 && tokens[1] == tokens[0] + 1);
    CHECK(rig_entry(&r, grant, 0)->index == 0 && rig_entry(&r, grant, 1)->index == 1);
    CHECK(rig_entry(&r, grant, 0)->attempt == 1);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 1, 2, 0, 0, 0) && rig_show(&r, job).attempts == 2);
    rig_beat(&r, w, tokens, 2, 0.5);
    const struct queue_action *verdicts = rig_action(&r, QUEUE_VERDICTS);
    REQUIRE(verdicts && verdicts->count == 2);
    CHECK(rig_entry(&r, verdicts, 1)->verdict == VERDICT_EXTEND);
    CHECK_AT_MOST(fabs(rig_show(&r, job).progress - 1.0 / 3), 1e-9);
    rig_beat(&r, w, tokens, 2, NAN);
    CHECK_AT_MOST(fabs(rig_show(&r, job).progress - 1.0 / 3), 1e-9);
    rig_beat(&r, w, tokens, 1, 7);
    CHECK_AT_MOST(fabs(rig_show(&r, job).progress - 0.5), 1e-9);
    CHECK(rig_report(&r, w, tokens[1], FAILURE_NONE, 10) == COMMIT_COMMITTED);
    CHECK(rig_count(&r, QUEUE_CHANGED) == 1 && rig_action(&r, QUEUE_CHANGED)->job == job);
    CHECK(rig_report(&r, w, tokens[1], FAILURE_NONE, 20) == COMMIT_DUPLICATE);
    CHECK(rig_report(&r, w, tokens[0], FAILURE_INPUT, 0) == COMMIT_COMMITTED);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 1, 0, 1, 1, 0));
    const uint64_t last = rig_take_one(&r, w);
    CHECK(rig_report(&r, w, last, FAILURE_NONE, 0) == COMMIT_COMMITTED);
    CHECK(counts_are(&r, job, JOB_DONE, 0, 0, 2, 1, 0) && rig_show(&r, job).commits == 3);
    CHECK(rig_show(&r, job).finished_unix_ms == 1001000 && !(rig_show(&r, job).progress < 1));
    rig_close(&r);
}

TEST(outcomes_are_read_by_cursor)
{
    struct rig r;
    struct wire_buffer b = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    struct message_outcome m = {0};
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3});
    const uint64_t first = rig_take_one(&r, w), second = rig_take_one(&r, w);
    CHECK(rig_report(&r, w, second, FAILURE_NONE, 5) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, first, FAILURE_INPUT, 0) == COMMIT_COMMITTED);
    CHECK_OK(queue_page(r.queue, &(struct message_watch){.job = job, .with_path = true}, &b, &count, &next));
    CHECK(count == 2 && next == 2);
    struct wire_list list = wire_list_of(&b, count);
    CHECK(wire_next(&list, &outcome_schema, &m) && m.index == 1 && m.state == ITEM_DONE && m.result.bytes == 5);
    CHECK(m.path.bytes == 15 && memcmp(m.path.data, "/music/00000001", 15) == 0 && m.attempts == 1);
    CHECK(wire_next(&list, &outcome_schema, &m) && m.index == 0 && m.state == ITEM_DEAD && m.failure == FAILURE_INPUT);
    CHECK(m.message.bytes == 9 && memcmp(m.message.data, "it failed", 9) == 0);
    static const struct {
        uint64_t cursor, limit;
        uint32_t count;
        uint64_t next;
    } cases[] = {{0, 1, 1, 1}, {1, 1, 1, 2}, {1, 9, 1, 2}, {2, 0, 0, 2}, {99, 0, 0, 2}, {UINT64_MAX, 1, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b.bytes = 0;
        const struct message_watch watch = {.job = job, .cursor = cases[i].cursor, .limit = cases[i].limit};
        CHECK_OK(queue_page(r.queue, &watch, &b, &count, &next));
        CHECK(count == cases[i].count && next == cases[i].next);
    }
    CHECK_CODE(queue_page(r.queue, &(struct message_watch){.job = 9}, &b, &count, &next), STATUS_NOT_FOUND);
    wire_free(&b);
    rig_close(&r);
}

TEST(pages_end_at_256_KiB_and_a_thousand)
{
    struct rig r;
    struct wire_buffer b = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t large = rig_submit(&r, (struct rig_job){.items = 8});
    for (int i = 0; i < 8; i++)
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, LIMIT_RESULT) == COMMIT_COMMITTED);
    uint64_t cursor = 0;
    for (const int *want = (const int[]){3, 3, 2, 0, -1}; *want >= 0; want++) {
        b.bytes = 0;
        CHECK_OK(queue_page(r.queue, &(struct message_watch){.job = large, .cursor = cursor}, &b, &count, &next));
        CHECK((int)count == *want && b.bytes <= QUEUE_PAGE_BYTES && next == cursor + count);
        cursor = next;
    }
    const uint64_t many = rig_submit(&r, (struct rig_job){.items = 1500});
    r.unchecked = true;
    for (int i = 0; i < 1500; i++)
        CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 0) == COMMIT_COMMITTED);
    CHECK_OK(queue_page(r.queue, &(struct message_watch){.job = many, .limit = 5000}, &b, &count, &next));
    CHECK(count == 1000 && next == 1000);
    wire_free(&b);
    rig_close(&r);
}

TEST(priority_then_age_then_kind)
{
    static const struct {
        const char *kind;
        int priority;
    } jobs[] = {{"a", 0}, {"a", 5}, {"b", 1000}, {"a", 5}, {"a", -1000}, {"b", 5}};
    static const struct {
        const char *kinds;
        int order[7]; /* jobs, 0 ends */
    } cases[] = {
        {"a", {2, 4, 1, 5, 0}},           {"b", {3, 6, 0}}, {"a b", {3, 2, 4, 6, 1, 5, 0}},
        {"b a c", {3, 2, 4, 6, 1, 5, 0}}, {"c", {0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r;
        rig_open(&r, NULL);
        for (size_t j = 0; j < sizeof jobs / sizeof *jobs; j++)
            CHECK(rig_submit(&r, (struct rig_job){.items = 1, .kind = jobs[j].kind, .priority = jobs[j].priority}) ==
                  j + 1);
        const uint64_t w = rig_ready(&r, 0, "w", 1, cases[c].kinds, NULL, 0);
        for (const int *want = cases[c].order; *want; want++) {
            rig_take(&r, w, 1);
            const struct queue_action *a = rig_action(&r, QUEUE_GRANT);
            CHECK(a && (int)a->job == *want && a->count == 1);
        }
        rig_take(&r, w, 8);
        CHECK(!rig_action(&r, QUEUE_GRANT));
        rig_close(&r);
    }
}

TEST(failure_classes)
{
    static const struct {
        enum failure_class failure;
        uint32_t max_attempts;
        int tries;
        int recorded;
    } cases[] = {
        {FAILURE_INPUT, 3, 1, FAILURE_INPUT},       {FAILURE_INTERNAL, 3, 1, FAILURE_INTERNAL},
        {FAILURE_RESOURCE, 0, 3, FAILURE_RESOURCE}, {FAILURE_TRANSIENT, 3, 3, FAILURE_TRANSIENT},
        {FAILURE_DEVICE, 1, 1, FAILURE_DEVICE},     {FAILURE_CRASH, 2, 2, FAILURE_CRASH},
        {FAILURE_CRASH, 9, 9, FAILURE_CRASH}, /* more would wait longer than the worker lives */
        {FAILURE_STALE, 3, 1, FAILURE_INTERNAL},    {(enum failure_class)99, 3, 1, FAILURE_INTERNAL},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r;
        struct wire_buffer b = {0};
        struct message_outcome m = {0};
        uint32_t count = 0;
        uint64_t next = 0;
        rig_open(&r, NULL);
        const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
        const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1, .max_attempts = cases[c].max_attempts});
        for (int t = 1; t <= cases[c].tries; t++) {
            const uint64_t token = rig_take_one(&r, w);
            REQUIRE(token);
            CHECK((int)rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->attempt == t);
            CHECK(counts_are(&r, job, JOB_ACTIVE, 0, 1, 0, 0, 0));
            CHECK(rig_report(&r, w, token, cases[c].failure, 0) == COMMIT_COMMITTED);
            CHECK(rig_report(&r, w, token, cases[c].failure, 0) == COMMIT_DUPLICATE);
        }
        CHECK(counts_are(&r, job, JOB_DONE, 0, 0, 0, 1, 0));
        CHECK_OK(queue_page(r.queue, &(struct message_watch){.job = job}, &b, &count, &next));
        struct wire_list list = wire_list_of(&b, count);
        CHECK(wire_next(&list, &outcome_schema, &m) && (int)m.failure == cases[c].recorded);
        CHECK((int)m.attempts == cases[c].tries);
        wire_free(&b);
        rig_close(&r);
    }
}

TEST(tried_items_come_alone_and_take_turns_with_new_ones)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 10});
    rig_take(&r, w, 2);
    const uint64_t first = rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->token;
    CHECK(rig_report(&r, w, first, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, w, first + 1, FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    static const int counts[] = {1, 4, 1, 4}, attempts[] = {2, 1, 2, 1};
    for (int i = 0; i < 4; i++) {
        rig_take(&r, w, 4);
        const struct queue_action *a = rig_action(&r, QUEUE_GRANT);
        REQUIRE(a);
        CHECK((int)a->count == counts[i] && (int)rig_entry(&r, a, 0)->attempt == attempts[i]);
    }
    rig_take(&r, w, 4);
    CHECK(!rig_action(&r, QUEUE_GRANT));
    rig_close(&r);
}

TEST(leases_end_and_tokens_go_stale)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "noop", NULL, 0);
    const uint64_t b = rig_ready(&r, 0, "b", 2, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t old = rig_take_one(&r, a);
    rig_tick(&r, 9999);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 0, 1, 0, 0, 0));
    rig_beat(&r, a, &old, 0, 0); /* the workers live, but nobody names the token */
    rig_beat(&r, b, &old, 0, 0);
    CHECK(queue_next_deadline_ms(r.queue) == r.now_ms + 1);
    rig_tick(&r, 1);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 1, 0, 0, 0, 0) && rig_count(&r, QUEUE_GONE) == 0);
    rig_beat(&r, a, &old, 1, 0.5);
    CHECK(rig_entry(&r, rig_action(&r, QUEUE_VERDICTS), 0)->verdict == VERDICT_ABORT);
    CHECK(rig_report(&r, a, old, FAILURE_NONE, 3) == COMMIT_STALE);
    const uint64_t young = rig_take_one(&r, b);
    CHECK(young > old);
    CHECK(rig_report(&r, a, old, FAILURE_NONE, 3) == COMMIT_STALE);
    rig_beat(&r, a, &young, 1, 0.5); /* not a's */
    CHECK(rig_entry(&r, rig_action(&r, QUEUE_VERDICTS), 0)->verdict == VERDICT_ABORT);
    CHECK(rig_report(&r, b, young, FAILURE_NONE, 3) == COMMIT_COMMITTED);
    CHECK(rig_report(&r, a, old, FAILURE_NONE, 3) == COMMIT_STALE);
    CHECK(rig_report(&r, a, 12345, FAILURE_NONE, 3) == COMMIT_STALE);
    CHECK(rig_report(&r, a, 0, FAILURE_NONE, 3) == COMMIT_STALE);
    rig_close(&r);
}

TEST(a_lease_that_always_ends_makes_the_item_dead)
{
    struct rig r;
    struct wire_buffer b = {0};
    struct message_outcome m = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    rig_open(&r, NULL);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 1});
    for (int i = 0; i < 3; i++) {
        const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
        CHECK(rig_take_one(&r, w));
        rig_tick(&r, 10000);
        CHECK(rig_count(&r, QUEUE_GONE) == 1);
    }
    CHECK(counts_are(&r, job, JOB_DONE, 0, 0, 0, 1, 0));
    CHECK_OK(queue_page(r.queue, &(struct message_watch){.job = job}, &b, &count, &next));
    struct wire_list list = wire_list_of(&b, count);
    CHECK(wire_next(&list, &outcome_schema, &m) && m.failure == FAILURE_STALE && m.message.bytes > 0);
    wire_free(&b);
    rig_close(&r);
}

TEST(returned_items_keep_their_count)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4, .max_attempts = 1});
    for (int round = 0; round < 5; round++) {
        uint64_t tokens[4];
        rig_take(&r, w, 4);
        const struct queue_action *a = rig_action(&r, QUEUE_GRANT);
        REQUIRE(a && a->count == 4);
        for (int i = 0; i < 4; i++) {
            tokens[i] = rig_entry(&r, a, (size_t)i)->token;
            CHECK(rig_entry(&r, a, (size_t)i)->attempt == 1);
        }
        rig_return(&r, w, tokens, 4);
        CHECK(counts_are(&r, job, JOB_ACTIVE, 4, 0, 0, 0, 0) && rig_show(&r, job).attempts == 0);
        CHECK(rig_report(&r, w, tokens[0], FAILURE_NONE, 0) == COMMIT_STALE);
        rig_return(&r, w, tokens, 4);
    }
    /* LEAVE gives back as well; an item that was tried before stays one that was tried. */
    const uint64_t job2 = rig_submit(&r, (struct rig_job){.items = 1, .priority = 1});
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_DEVICE, 0) == COMMIT_COMMITTED);
    CHECK(rig_take_one(&r, w) && rig_take_one(&r, w));
    rig_leave(&r, w);
    CHECK(rig_count(&r, QUEUE_GONE) == 1);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 4, 0, 0, 0, 0) && rig_show(&r, job2).attempts == 1);
    rig_take(&r, w, 1);
    CHECK(rig_refused(&r) == ERROR_SESSION);
    const uint64_t other = rig_ready(&r, 0, "w", 2, "noop", NULL, 0);
    CHECK(rig_take_one(&r, other) && rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->attempt == 2);
    rig_close(&r);
}

TEST(cancel_open_queued_leased_and_done)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "noop", NULL, 0);
    const uint64_t b = rig_ready(&r, 0, "b", 2, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 6, .open = true});
    const uint64_t done = rig_take_one(&r, a);
    CHECK(rig_report(&r, a, done, FAILURE_NONE, 1) == COMMIT_COMMITTED);
    rig_take(&r, a, 2);
    const uint64_t held = rig_take_one(&r, b);
    CHECK(counts_are(&r, job, JOB_OPEN, 2, 3, 1, 0, 0));
    CHECK(rig_cancel(&r, job) == 0);
    CHECK(rig_count(&r, QUEUE_ABORT) == 2 && rig_action(&r, QUEUE_ABORT)->count == 2);
    CHECK(rig_count(&r, QUEUE_CHANGED) == 1);
    CHECK(counts_are(&r, job, JOB_CANCELLED, 0, 0, 1, 0, 5) && rig_show(&r, job).commits == 1);
    CHECK(rig_report(&r, b, held, FAILURE_NONE, 1) == COMMIT_STALE);
    rig_beat(&r, b, &held, 1, 0);
    CHECK(rig_entry(&r, rig_action(&r, QUEUE_VERDICTS), 0)->verdict == VERDICT_ABORT);
    CHECK(rig_cancel(&r, job) == 0 && rig_count(&r, QUEUE_CHANGED) == 0);
    CHECK(rig_add(&r, job, 6, 1, false) == ERROR_STATE);
    CHECK(rig_add(&r, job, 0, 6, true) == 0 && counts_are(&r, job, JOB_CANCELLED, 0, 0, 1, 0, 5));
    rig_take(&r, a, 1);
    CHECK(!rig_action(&r, QUEUE_GRANT));
    CHECK(rig_cancel(&r, 77) == ERROR_NOT_FOUND);
    const uint64_t empty = rig_submit(&r, (struct rig_job){.items = 0});
    CHECK(counts_are(&r, empty, JOB_DONE, 0, 0, 0, 0, 0) && rig_cancel(&r, empty) == 0);
    CHECK(counts_are(&r, empty, JOB_DONE, 0, 0, 0, 0, 0));
    rig_close(&r);
}

TEST(add_repeated_gap_and_sealed)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 2, .open = true});
    static const struct {
        uint64_t first;
        uint32_t items;
        bool sealed;
        int error;
        int known; /* afterwards */
    } cases[] = {
        {2, 3, false, 0, 5},
        {2, 3, false, 0, 5},
        {0, 5, false, 0, 5},
        {6, 1, false, ERROR_STATE, 5},
        {4, 3, false, ERROR_STATE, 5},
        {UINT64_MAX, 1, false, ERROR_STATE, 5},
        {0, 2, true, 0, 5}, /* not all: stays open */
        {5, 1, true, 0, 6},
        {5, 1, true, 0, 6},
        {6, 0, true, 0, 6},
        {6, 1, false, ERROR_STATE, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(rig_add(&r, job, cases[i].first, cases[i].items, cases[i].sealed) == cases[i].error);
        CHECK((int)rig_show(&r, job).items == cases[i].known);
        CHECK(rig_show(&r, job).state == (cases[i].known == 6 ? JOB_ACTIVE : JOB_OPEN));
    }
    CHECK(rig_add(&r, 99, 0, 1, false) == ERROR_NOT_FOUND);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t open = rig_submit(&r, (struct rig_job){.items = 1, .open = true, .priority = 1});
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 1) == COMMIT_COMMITTED);
    CHECK(rig_show(&r, open).state == JOB_OPEN);
    CHECK(rig_add(&r, open, 1, 0, true) == 0 && rig_show(&r, open).state == JOB_DONE);
    rig_close(&r);
}

TEST(a_take_waits_until_there_is_something)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "one two", NULL, 0);
    const uint64_t b = rig_ready(&r, 0, "b", 2, "two", NULL, 0);
    CHECK(!rig_take_one(&r, a) && !rig_take_one(&r, b));
    rig_take(&r, a, 3); /* replaces, and goes to the end of the line */
    rig_submit(&r, (struct rig_job){.items = 1, .kind = "two"});
    CHECK(rig_count(&r, QUEUE_GRANT) == 1 && rig_action(&r, QUEUE_GRANT)->worker == b);
    rig_submit(&r, (struct rig_job){.items = 9, .kind = "one"});
    REQUIRE(rig_count(&r, QUEUE_GRANT) == 1);
    CHECK(rig_action(&r, QUEUE_GRANT)->worker == a && rig_action(&r, QUEUE_GRANT)->count == 3);
    rig_submit(&r, (struct rig_job){.items = 9, .kind = "two"});
    CHECK(rig_count(&r, QUEUE_GRANT) == 0);
    rig_take(&r, b, 0); /* asks for nothing: no longer waits */
    CHECK(rig_count(&r, QUEUE_GRANT) == 0);
    CHECK(rig_take_one(&r, b));
    rig_close(&r);
}

TEST(ready_resumes_what_is_still_good)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "w", 7, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 4});
    uint64_t held[4] = {rig_take_one(&r, a), rig_take_one(&r, a), 12345, rig_take_one(&r, a)};
    CHECK(rig_report(&r, a, held[1], FAILURE_NONE, 0) == COMMIT_COMMITTED);
    /* Another process takes over a token; the old worker keeps the rest. */
    const uint64_t b = rig_ready(&r, 0, "w", 8, "noop", held, 3);
    const struct queue_action *e = rig_action(&r, QUEUE_ENGAGED);
    REQUIRE(e && b != a);
    CHECK(e->count == 1 && rig_entry(&r, e, 0)->token == held[0]);
    CHECK(rig_report(&r, b, held[0], FAILURE_NONE, 0) == COMMIT_COMMITTED);
    /* The same process on a new connection is the same worker. */
    CHECK(rig_ready(&r, 0, "w", 7, "noop", &held[3], 1) == a);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 1, 1, 2, 0, 0));
    /* A READY on its own connection that names nothing: what it had is queued again. */
    rig_take(&r, a, 1);
    CHECK(rig_ready(&r, a, "w", 7, "other", NULL, 0) == a);
    CHECK(counts_are(&r, job, JOB_ACTIVE, 2, 0, 2, 0, 0));
    /* Twice the same token in one list. */
    const uint64_t token = rig_take_one(&r, b);
    const uint64_t twice[] = {token, token};
    CHECK(rig_ready(&r, b, "w", 8, "noop noop", twice, 2) == b);
    CHECK(rig_action(&r, QUEUE_ENGAGED)->count == 1);
    rig_close(&r);
}

TEST(a_worker_gets_what_it_crashed_on_only_when_alone)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t a = rig_ready(&r, 0, "a", 1, "noop", NULL, 0);
    const uint64_t b = rig_ready(&r, 0, "b", 2, "noop", NULL, 0);
    const uint64_t c = rig_ready(&r, 0, "c", 3, "other", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 1, .max_attempts = 9});
    CHECK(rig_report(&r, a, rig_take_one(&r, a), FAILURE_CRASH, 0) == COMMIT_COMMITTED);
    CHECK(!rig_take_one(&r, a)); /* waits: b is there */
    const uint64_t token = rig_take_one(&r, b);
    CHECK(token);
    CHECK(rig_report(&r, b, token, FAILURE_CRASH, 0) == COMMIT_COMMITTED);
    /* Both have crashed: whoever waits may have it. */
    const struct queue_action *grant = rig_action(&r, QUEUE_GRANT);
    REQUIRE(grant && grant->worker == a);
    CHECK(rig_report(&r, a, rig_entry(&r, grant, 0)->token, FAILURE_CRASH, 0) == COMMIT_COMMITTED);
    const uint64_t d = rig_ready(&r, 0, "d", 4, "noop", NULL, 0);
    CHECK(!rig_take_one(&r, a) && !rig_take_one(&r, b) && !rig_take_one(&r, c));
    CHECK(rig_report(&r, d, rig_take_one(&r, d), FAILURE_TRANSIENT, 0) == COMMIT_COMMITTED);
    CHECK(!rig_action(&r, QUEUE_GRANT)); /* d may have it again, the others not */
    rig_leave(&r, d);
    CHECK(rig_count(&r, QUEUE_GRANT) == 1); /* now they may */
    rig_close(&r);
}

TEST(sessions_take_their_jobs_along)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const struct rig_job jobs[] = {
        {.items = 2, .session = 5, .cancel_on_disconnect = true},
        {.items = 2, .session = 5},
        {.items = 2, .session = 5, .open = true},
        {.items = 2, .session = 6, .open = true},
        {.items = 0, .session = 5, .cancel_on_disconnect = true},
    };
    for (int i = 0; i < 5; i++)
        rig_submit(&r, jobs[i]);
    rig_take(&r, w, 1);
    rig_session_gone(&r, 5);
    CHECK(rig_count(&r, QUEUE_ABORT) == 1 && rig_count(&r, QUEUE_CHANGED) == 2);
    static const int states[] = {JOB_CANCELLED, JOB_ACTIVE, JOB_CANCELLED, JOB_OPEN, JOB_DONE};
    for (int i = 0; i < 5; i++)
        CHECK((int)rig_show(&r, (uint64_t)i + 1).state == states[i]);
    rig_session_gone(&r, 99);
    rig_close(&r);
}
