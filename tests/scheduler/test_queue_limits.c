/* Limits, keeping, queries, and what happens when memory ends. */
#include "rig.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

TEST(finished_jobs_are_kept_for_an_hour)
{
    struct rig r;
    struct message_job m = {0};
    rig_open(&r, NULL);
    CHECK(queue_next_deadline_ms(r.queue) == INT64_MAX);
    const uint64_t first = rig_submit(&r, (struct rig_job){.items = 0});
    CHECK(queue_next_deadline_ms(r.queue) == r.now_ms + QUEUE_KEEP_MS);
    rig_tick(&r, QUEUE_KEEP_MS - 1);
    CHECK_OK(queue_show(r.queue, first, &m));
    rig_tick(&r, 1);
    CHECK_CODE(queue_show(r.queue, first, &m), STATUS_NOT_FOUND);
    rig_close(&r);
}

TEST(or_until_a_thousand_later_ones_have_finished)
{
    struct rig r;
    struct message_job m = {0};
    struct queue_stats stats;
    rig_open(&r, NULL);
    r.unchecked = true;
    const uint64_t unfinished = rig_submit(&r, (struct rig_job){.items = 1});
    const uint64_t first = rig_submit(&r, (struct rig_job){.items = 0});
    for (int i = 0; i < 999; i++)
        rig_submit(&r, (struct rig_job){.items = 0});
    CHECK_OK(queue_show(r.queue, first, &m));
    rig_submit(&r, (struct rig_job){.items = 0});
    CHECK_CODE(queue_show(r.queue, first, &m), STATUS_NOT_FOUND);
    CHECK_OK(queue_show(r.queue, first + 1, &m));
    CHECK_OK(queue_show(r.queue, unfinished, &m));
    queue_stats(r.queue, &stats);
    CHECK(stats.kept == 1001 && stats.jobs == 1 && stats.queued == 1);
    CHECK_OK(queue_check(r.queue));
    rig_close(&r);
}

TEST(large_jobs_are_given_back_bit_by_bit)
{
    struct rig r;
    struct queue_stats stats;
    rig_open(&r, NULL);
    r.unchecked = true;
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 10000});
    rig_take(&r, w, 4096);
    const uint64_t token = rig_entry(&r, rig_action(&r, QUEUE_GRANT), 0)->token;
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 8) == COMMIT_COMMITTED);
    rig_cancel(&r, job);
    rig_tick(&r, QUEUE_KEEP_MS);
    int events = 0;
    for (queue_stats(r.queue, &stats); stats.items; queue_stats(r.queue, &stats)) {
        CHECK(queue_next_deadline_ms(r.queue) <= r.now_ms);
        rig_tick(&r, 0);
        CHECK_OK(queue_check(r.queue));
        REQUIRE(events++ < 20);
    }
    CHECK(events >= 4 && stats.kept == 0);
    CHECK(queue_next_deadline_ms(r.queue) == INT64_MAX); /* the worker has gone as well */
    rig_close(&r);
}

TEST(caps_on_jobs_items_kinds_and_workers)
{
    struct rig r;
    char name[40];
    rig_open(&r, NULL);
    r.unchecked = true;
    for (int i = 0; i < QUEUE_JOBS_MAX; i++)
        CHECK(rig_submit(&r, (struct rig_job){.items = 1}));
    CHECK(!rig_submit(&r, (struct rig_job){.items = 1}) && rig_refused(&r) == ERROR_BUSY);
    CHECK(rig_cancel(&r, 1) == 0 && rig_submit(&r, (struct rig_job){.items = 1}));
    rig_close(&r);

    rig_open(&r, NULL);
    r.unchecked = true;
    const uint64_t job = rig_submit(&r, (struct rig_job){.open = true});
    for (uint64_t n = 0; n < QUEUE_ITEMS_MAX; n += 500000)
        CHECK(rig_add(&r, job, n, 500000, false) == 0);
    CHECK(rig_add(&r, job, QUEUE_ITEMS_MAX, 1, false) == ERROR_BUSY);
    CHECK(!rig_submit(&r, (struct rig_job){.items = 1}) && rig_refused(&r) == ERROR_BUSY);
    CHECK(rig_submit(&r, (struct rig_job){.items = 0}));
    rig_close(&r);

    rig_open(&r, NULL);
    r.unchecked = true;
    for (int i = 0; i < QUEUE_KEEP_JOBS; i++) {
        snprintf(name, sizeof name, "kind%d", i);
        CHECK(rig_submit(&r, (struct rig_job){.kind = name}));
    }
    char kinds[400] = "";
    for (int i = QUEUE_KEEP_JOBS; i < QUEUE_KINDS_MAX; i++)
        snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "kind%d ", i);
    const uint64_t w = rig_ready(&r, 0, "w", 1, kinds, NULL, 0);
    CHECK(w && !rig_submit(&r, (struct rig_job){.kind = "one more"}) && r.code == STATUS_NOMEM);
    CHECK(!rig_ready(&r, 0, "w", 1, "kind1 and another", NULL, 0) && r.code == STATUS_NOMEM);
    CHECK(!rig_ready(&r, w, "w", 1, "kind1 and another", NULL, 0) && r.code == STATUS_NOMEM);
    for (int i = 1; i < QUEUE_WORKERS_MAX; i++)
        CHECK(rig_ready(&r, 0, "w", 1, "kind1", NULL, 0));
    CHECK(!rig_ready(&r, 0, "w", 1, "kind1", NULL, 0) && rig_refused(&r) == ERROR_BUSY);
    CHECK_OK(queue_check(r.queue));
    rig_close(&r);
}

TEST(a_grant_fits_one_message)
{
    struct rig r;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 1000, .path_bytes = LIMIT_PATH});
    uint32_t left = 1000;
    while (left) {
        rig_take(&r, w, 4096);
        const struct queue_action *a = rig_action(&r, QUEUE_GRANT);
        REQUIRE(a && a->count <= left);
        CHECK(a->count * (LIMIT_PATH + 32) < WIRE_BODY_MAX && (a->count > 200 || a->count == left));
        left -= (uint32_t)a->count;
    }
    rig_close(&r);
}

TEST(lists_go_on_by_id)
{
    struct rig r;
    struct wire_buffer b = {0};
    uint32_t count = 0;
    bool more = false;
    struct message_job m = {0};
    rig_open(&r, NULL);
    r.unchecked = true;
    for (int i = 0; i < 1200; i++)
        rig_submit(&r, (struct rig_job){.items = i % 2 ? 0 : 1, .kind = "k"});
    static const struct {
        uint64_t after, limit;
        uint32_t count;
        uint64_t first;
        bool more;
    } cases[] = {{0, 0, 100, 1, true},        {5, 3, 3, 6, true},     {1190, 0, 10, 1191, false},
                 {0, 5000, 1000, 1, true},    {1200, 0, 0, 0, false}, {1000, 200, 200, 1001, false},
                 {UINT64_MAX, 0, 0, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b.bytes = 0;
        CHECK_OK(queue_list(r.queue, &(struct message_list){.after = cases[i].after, .limit = cases[i].limit}, &b,
                            &count, &more));
        CHECK(count == cases[i].count && more == cases[i].more);
        struct wire_list list = wire_list_of(&b, count);
        if (count)
            CHECK(wire_next(&list, &job_schema, &m) && m.job == cases[i].first && m.kind.bytes == 1);
    }
    wire_free(&b);
    rig_close(&r);
}

TEST(workers_are_named)
{
    struct rig r;
    struct wire_buffer b = {0};
    struct message_worker m = {0};
    uint32_t count = 0;
    rig_open(&r, NULL);
    const uint64_t w = rig_ready(&r, 0, "host/cpu", 42, "noop", NULL, 0);
    rig_ready(&r, 0, "other", 43, "noop", NULL, 0);
    rig_submit(&r, (struct rig_job){.items = 3});
    CHECK(rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 0) == COMMIT_COMMITTED);
    rig_take(&r, w, 2);
    CHECK_OK(queue_workers(r.queue, &b, &count));
    struct wire_list list = wire_list_of(&b, count);
    CHECK(count == 2 && wire_next(&list, &worker_schema, &m));
    CHECK(m.worker == w && m.pid == 42 && m.threads == 2 && m.leased == 2 && m.committed == 1 && m.name.bytes == 8);
    wire_free(&b);
    rig_close(&r);
}

TEST(events_of_nobody_are_refused)
{
    struct rig r;
    const uint64_t token = 5;
    rig_open(&r, NULL);
    rig_take(&r, 9, 1);
    CHECK(rig_refused(&r) == ERROR_SESSION);
    rig_beat(&r, 9, &token, 1, 0);
    CHECK(rig_refused(&r) == ERROR_SESSION);
    CHECK(rig_report(&r, 9, token, FAILURE_NONE, 0) == 0 && rig_refused(&r) == ERROR_SESSION);
    rig_return(&r, 9, &token, 1);
    CHECK(rig_refused(&r) == ERROR_SESSION);
    rig_leave(&r, 9);
    CHECK(rig_refused(&r) == ERROR_SESSION);
    rig_apply(&r, &(struct queue_event){.type = QUEUE_HEARD, .worker = 9});
    CHECK(rig_refused(&r) == ERROR_SESSION);
    CHECK(!rig_submit(&r, (struct rig_job){.items = 1}) == 0);
    char longest[101];
    memset(longest, 'k', sizeof longest - 1);
    longest[100] = '\0';
    CHECK(rig_ready(&r, 0, "w", 1, longest, NULL, 0)); /* no job can have such a kind */
    struct message_grant spec = {0};
    struct message_lease item = {0};
    CHECK_OK(queue_spec(r.queue, 1, &spec));
    CHECK(spec.kind.bytes == 4 && spec.params.bytes == 6);
    CHECK_OK(queue_item(r.queue, 1, 0, &item));
    CHECK_CODE(queue_item(r.queue, 1, 1, &item), STATUS_NOT_FOUND);
    CHECK_CODE(queue_spec(r.queue, 2, &spec), STATUS_NOT_FOUND);
    rig_close(&r);
    struct queue *q = NULL;
    CHECK_CODE(queue_create(&(struct queue_options){.lease_ms = 0}, &q), STATUS_ARGUMENT);
    CHECK_CODE(queue_create(&(struct queue_options){.lease_ms = 1, .epoch = 1 << 23}, &q), STATUS_ARGUMENT);
    queue_destroy(&q);
}

/* ---- memory ---- */

struct scarce {
    long calls, fail_at; /* the call that fails, from 1; 0: none */
    bool for_good;       /* and all after it */
};

static void *scarce_resize(void *context, void *block, size_t bytes)
{
    struct scarce *s = context;
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    s->calls++;
    if (s->fail_at && (s->calls == s->fail_at || (s->for_good && s->calls > s->fail_at)))
        return NULL;
    return realloc(block, bytes);
}

/* A short life with a bit of everything. What was refused for want of memory is asked for again, as peers do. */
static bool live(struct rig *r)
{
    uint64_t job = 0, w = 0, v = 0, tokens[4] = {0};
    for (int i = 0; !job && i < 50; i++)
        job = rig_submit(r, (struct rig_job){.items = 40, .open = true, .path_bytes = 200});
    for (int i = 0; !w && i < 50; i++)
        w = rig_ready(r, 0, "w", 1, "noop more kinds", NULL, 0);
    for (int i = 0; !v && i < 50; i++)
        v = rig_ready(r, 0, "v", 2, "noop", NULL, 0);
    for (int i = 0; i < 50 && (rig_add(r, job, 40, 40, true) || r->code); i++)
        ;
    for (int round = 0; round < 500 && rig_show(r, job).state != JOB_DONE; round++) {
        uint32_t n = 0;
        rig_take(r, round & 1 ? w : v, 4);
        rig_tick(r, 10);
        rig_apply(r, &(struct queue_event){.type = QUEUE_HEARD, .worker = w});
        rig_take(r, round & 1 ? w : v, 4);
        for (size_t a = 0; a < r->actions.count; a++)
            if (r->actions.list[a].type == QUEUE_GRANT)
                for (n = 0; n < r->actions.list[a].count; n++)
                    tokens[n] = rig_entry(r, &r->actions.list[a], n)->token;
        for (uint32_t i = 0; i < n; i++)
            for (int again = 0; again < 50; again++)
                if (rig_report(r, round & 1 ? w : v, tokens[i], round % 7 ? FAILURE_NONE : FAILURE_CRASH, 300))
                    break;
        if (round % 11 == 0)
            rig_tick(r, r->options.lease_ms);
        for (int i = 0; i < 50 && !rig_ready(r, w, "w", 1, "noop", NULL, 0); i++)
            ;
        w = rig_action(r, QUEUE_ENGAGED)->worker;
        for (int i = 0; i < 50 && !rig_ready(r, v, "v", 2, "noop", NULL, 0); i++)
            ;
        v = rig_action(r, QUEUE_ENGAGED)->worker;
    }
    const bool done = rig_show(r, job).state == JOB_DONE;
    const uint64_t other = rig_submit(r, (struct rig_job){.items = 5, .session = 3, .cancel_on_disconnect = true});
    rig_take(r, w, 2);
    for (int i = 0; i < 50 && (rig_session_gone(r, 3), r->code); i++)
        ;
    return done && (!other || rig_show(r, other).state == JOB_CANCELLED);
}

TEST(every_failed_allocation_is_survived)
{
    struct scarce s = {0};
    struct queue_options options = {.epoch = 2, .memory = {scarce_resize, &s}};
    struct rig r;
    rig_open(&r, &options);
    CHECK(live(&r));
    rig_close(&r);
    const long calls = s.calls;
    CHECK(calls > 100);
    for (long n = 2; n <= calls; n++) { /* the first is the queue itself */
        s = (struct scarce){.fail_at = n};
        rig_open(&r, &options);
        const bool good = live(&r);
        if (!good)
            printf("    at allocation %ld of %ld\n", n, calls);
        REQUIRE(good);
        rig_close(&r);
    }
    struct queue *q = NULL;
    s = (struct scarce){.fail_at = 1};
    CHECK_CODE(queue_create(&(struct queue_options){.lease_ms = 1, .memory = options.memory}, &q), STATUS_NOMEM);
}

TEST(no_memory_at_all_for_a_while)
{
    struct scarce s = {0};
    const struct queue_options options = {.epoch = 2, .memory = {scarce_resize, &s}};
    struct rig r;
    rig_open(&r, &options);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    const uint64_t job = rig_submit(&r, (struct rig_job){.items = 3, .max_attempts = 1});
    const uint64_t token = rig_take_one(&r, w);
    s = (struct scarce){.fail_at = 1, .for_good = true};
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 5000) == 0); /* no answer: the worker sends it again */
    CHECK(rig_show(&r, job).leased == 1);
    rig_take(&r, w, 1);
    CHECK(!rig_action(&r, QUEUE_GRANT));
    CHECK(queue_next_deadline_ms(r.queue) == r.now_ms + 100);
    rig_tick(&r, 100);
    CHECK(!rig_action(&r, QUEUE_GRANT));
    s = (struct scarce){0};
    rig_tick(&r, 100);
    CHECK(rig_action(&r, QUEUE_GRANT));
    CHECK(rig_report(&r, w, token, FAILURE_NONE, 5000) == COMMIT_COMMITTED);
    s = (struct scarce){.fail_at = 1, .for_good = true};
    rig_tick(&r, 20000); /* the worker dies, and its item with it, without a byte of memory */
    CHECK(rig_show(&r, job).dead == 1);
    rig_close(&r);
}

TEST(the_journal_hears_of_everything_in_groups)
{
    struct journal_memory journal;
    journal_memory_init(&journal);
    const struct queue_options options = {.epoch = 2, .journal = &journal.journal};
    struct rig r;
    rig_open(&r, &options);
    const uint64_t w = rig_ready(&r, 0, "w", 1, "noop", NULL, 0);
    CHECK(journal.waiting == 0);
    rig_submit(&r, (struct rig_job){.items = 3});
    CHECK(journal.waiting == 1 + 3 + 1); /* job, items, sealed */
    CHECK_OK(journal.journal.commit(&journal.journal));
    CHECK(journal.waiting == 0 && journal.records == 5 && journal.commits == 1);
    const uint64_t token = rig_take_one(&r, w);
    CHECK(journal.waiting == 1);
    rig_report(&r, w, token, FAILURE_TRANSIENT, 0);
    CHECK(journal.waiting == 2);
    rig_report(&r, w, rig_take_one(&r, w), FAILURE_NONE, 0);
    CHECK(journal.waiting == 4);
    rig_cancel(&r, 1);
    CHECK(journal.waiting == 6); /* cancelled, finished */
    rig_tick(&r, QUEUE_KEEP_MS);
    CHECK(journal.waiting == 7);
    journal.fail_at = 2;
    CHECK_CODE(journal.journal.commit(&journal.journal), STATUS_IO);
    CHECK(journal.records == 5);
    CHECK_OK(journal.journal.commit(&journal.journal));
    rig_close(&r);
}
