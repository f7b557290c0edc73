#include "after.h"

#include "shape.h"

enum { EVENTS_MOST = 12, TOKENS_MOST = 8 };

struct after {
    struct queue *queue;
    struct queue_actions actions;
    struct wire_buffer body;
    int64_t now_ms, unix_ms;
    uint64_t worker;
    uint64_t tokens[TOKENS_MOST]; /* the last that were granted; none of them twice */
    uint32_t token_count;
};

static void apply(struct after *a, struct queue_event e)
{
    e.unix_ms = a->unix_ms;
    queue_actions_clear(&a->actions);
    FUZZ_CHECK(queue_apply(a->queue, a->now_ms, &e, &a->actions) == STATUS_OK);
    FUZZ_CHECK(queue_check(a->queue) == STATUS_OK);
    for (size_t i = 0; i < a->actions.count; i++) {
        const struct queue_action *const action = &a->actions.list[i];
        if (action->type == QUEUE_ENGAGED)
            a->worker = action->worker;
        for (size_t k = 0; action->type == QUEUE_GRANT && k < action->count; k++)
            a->tokens[a->token_count++ % TOKENS_MOST] = a->actions.entries[action->first + k].token;
    }
}

static void ready(struct after *a, uint64_t held)
{
    struct wire_buffer kinds = {0}, tokens = {0};
    FUZZ_CHECK(wire_append_str(&kinds, "noop") == STATUS_OK && wire_append_uint(&tokens, held) == STATUS_OK);
    const struct message_ready m = {
        .name = wire_str("w"), .pid = 7, .kinds = wire_list_of(&kinds, 1), .held = wire_list_of(&tokens, 1)};
    apply(a, (struct queue_event){.type = QUEUE_READY, .ready = &m});
    wire_free(&kinds);
    wire_free(&tokens);
}

static void report(struct after *a, uint64_t token, uint64_t failure)
{
    a->body.bytes = 0;
    const struct message_report_entry entry = {.token = token, .failure = failure, .result = wire_str("r")};
    FUZZ_CHECK(wire_encode(&report_entry_schema, &entry, &a->body) == STATUS_OK);
    const struct message_report m = {wire_list_of(&a->body, 1)};
    apply(a, (struct queue_event){.type = QUEUE_REPORT, .worker = a->worker, .report = &m});
}

/* What people change of a job, and a checkpoint. */
static void change(struct after *a, uint8_t what, uint8_t number)
{
    static const uint8_t object[LIMIT_OBJECT];
    switch (what % 5) {
    case 0:
        apply(a, (struct queue_event){.type = QUEUE_RETRY, .retry = &(struct message_retry){.job = number}});
        return;
    case 1:
        apply(a, (struct queue_event){.type = QUEUE_PAUSE, .job = &(struct message_job_ref){number}});
        return;
    case 2:
        apply(a, (struct queue_event){.type = QUEUE_RESUME, .job = &(struct message_job_ref){number}});
        return;
    case 3:
        apply(a, (struct queue_event){.type = QUEUE_PRIORITY,
                                      .priority = &(struct message_priority){number % 8, number / 8 - 16}});
        return;
    default:
        apply(a,
              (struct queue_event){.type = QUEUE_CHECKPOINT,
                                   .worker = a->worker,
                                   .checkpoint = &(struct message_checkpoint){.token = a->tokens[number % TOKENS_MOST],
                                                                              .object = {object, sizeof object},
                                                                              .progress = number / 255.0}});
    }
}

static void pass(struct after *a, int64_t ms)
{
    a->now_ms += ms;
    a->unix_ms += ms;
    apply(a, (struct queue_event){.type = QUEUE_TICK});
}

static void event(struct after *a, struct fuzz_input *in)
{
    const uint8_t what = fuzz_byte(in), number = fuzz_byte(in);
    if (what >= 192) {
        change(a, what, number);
        return;
    }
    switch (what % 6) {
    case 0:
        apply(a, (struct queue_event){.type = QUEUE_TAKE,
                                      .worker = a->worker,
                                      .take = &(struct message_take){.credits = 1 + number % 5}});
        return;
    case 1:
        report(a, a->tokens[number % TOKENS_MOST], what / 6 % 8);
        return;
    case 2:
        apply(a, (struct queue_event){.type = QUEUE_CANCEL, .job = &(struct message_job_ref){number}});
        return;
    case 3:
        pass(a, number * 100);
        return;
    case 4:
        ready(a, a->tokens[number % TOKENS_MOST]);
        return;
    default:
        pass(a, QUEUE_KEEP_MS);
    }
}

bool after_restore(struct journal *journal, uint64_t epoch, int64_t now_ms, int64_t unix_ms, struct fuzz_input *in)
{
    struct after a = {.now_ms = now_ms, .unix_ms = unix_ms};
    struct journal_loaded loaded;
    FUZZ_CHECK(queue_create(&(struct queue_options){.epoch = epoch, .lease_ms = 10000, .journal = journal}, &a.queue) ==
               STATUS_OK);
    const bool whole = queue_restore(a.queue, now_ms, unix_ms, &loaded) == STATUS_OK;
    if (whole) {
        FUZZ_CHECK(queue_check(a.queue) == STATUS_OK);
        ready(&a, (epoch - 1) << 40 | fuzz_byte(in));
        for (int i = 0; i < EVENTS_MOST && in->left; i++)
            event(&a, in);
    }
    wire_free(&a.body);
    queue_actions_free(&a.actions, a.queue);
    queue_destroy(&a.queue);
    return whole;
}
