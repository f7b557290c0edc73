#include "rig.h"
#include "test.h"

#include <string.h>

void rig_open(struct rig *r, const struct queue_options *options)
{
    *r = (struct rig){.now_ms = 1000};
    r->options = options ? *options : (struct queue_options){.epoch = 1};
    if (!r->options.lease_ms)
        r->options.lease_ms = 10000;
    REQUIRE(queue_create(&r->options, &r->queue) == STATUS_OK);
}

void rig_close(struct rig *r)
{
    queue_actions_free(&r->actions, r->queue);
    queue_destroy(&r->queue);
}

/* What it makes the queue say comes behind what was said before. */
static int apply_more(struct rig *r, const struct queue_event *e)
{
    struct queue_event event = *e;
    event.unix_ms = r->now_ms + RIG_WALL_MS + r->wall_jump_ms;
    r->code = queue_apply(r->queue, r->now_ms, &event, &r->actions);
    if (!r->unchecked && queue_check(r->queue)) {
        test_report(false, status_where(), 0, "after event %d: %s", (int)e->type, status_message());
        test_stop();
    }
    return r->code;
}

int rig_apply(struct rig *r, const struct queue_event *e)
{
    queue_actions_clear(&r->actions);
    return apply_more(r, e);
}

const struct queue_action *rig_action(const struct rig *r, enum queue_action_type type)
{
    for (size_t i = 0; i < r->actions.count; i++)
        if (r->actions.list[i].type == type)
            return &r->actions.list[i];
    return NULL;
}

int rig_count(const struct rig *r, enum queue_action_type type)
{
    int n = 0;
    for (size_t i = 0; i < r->actions.count; i++)
        n += r->actions.list[i].type == type;
    return n;
}

const struct queue_entry *rig_entry(const struct rig *r, const struct queue_action *a, size_t i)
{
    return &r->actions.entries[a->first + i];
}

int rig_refused(const struct rig *r)
{
    const struct queue_action *a = rig_action(r, QUEUE_REFUSED);
    return a ? (int)a->error : 0;
}

static struct wire_list items_of(struct wire_buffer *b, uint64_t first, uint32_t count, uint32_t path_bytes)
{
    char path[LIMIT_PATH + 1];
    for (uint32_t i = 0; i < count; i++) {
        memset(path, 'p', sizeof path);
        const int n = snprintf(path, sizeof path, "/music/%08llu", (unsigned long long)first + i);
        const struct message_item m = {.path = {(const uint8_t *)path, path_bytes ? path_bytes : (uint32_t)n}};
        REQUIRE(wire_encode(&item_schema, &m, b) == STATUS_OK);
    }
    return wire_list_of(b, count);
}

uint64_t rig_submit(struct rig *r, struct rig_job job)
{
    struct wire_buffer items = {0};
    const struct message_submit m = {.kind = wire_str(job.kind ? job.kind : "noop"),
                                     .name = wire_str("name"),
                                     .priority = job.priority,
                                     .max_attempts = job.max_attempts,
                                     .backoff_ms = job.backoff_ms ? job.backoff_ms : 1,
                                     .key = wire_str(job.key),
                                     .start_unix_ms = job.start_unix_ms,
                                     .deadline_unix_ms = job.deadline_unix_ms,
                                     .attempt_ms = job.attempt_ms,
                                     .stall_ms = job.stall_ms,
                                     .device_bytes = job.device_bytes,
                                     .wave = job.wave,
                                     .params = job.params ? wire_str(job.params) : wire_str("params"),
                                     .cancel_on_disconnect = job.cancel_on_disconnect,
                                     .sealed = !job.open,
                                     .items = items_of(&items, 0, job.items, job.path_bytes)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_SUBMIT, .session = job.session ? job.session : 1, .submit = &m});
    wire_free(&items);
    const struct queue_action *a = rig_action(r, QUEUE_ACCEPTED);
    return a ? a->job : 0;
}

int rig_add(struct rig *r, uint64_t job, uint64_t first, uint32_t count, bool sealed)
{
    struct wire_buffer items = {0};
    const struct message_add m = {
        .job = job, .first = first, .sealed = sealed, .items = items_of(&items, first, count, 0)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_ADD, .session = 1, .add = &m});
    wire_free(&items);
    return rig_refused(r);
}

int rig_cancel(struct rig *r, uint64_t job)
{
    rig_apply(r, &(struct queue_event){.type = QUEUE_CANCEL, .job = &(struct message_job_ref){job}});
    return rig_refused(r);
}

static struct wire_list tokens_of(struct wire_buffer *b, const uint64_t *tokens, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        REQUIRE(wire_append_uint(b, tokens[i]) == STATUS_OK);
    return wire_list_of(b, count);
}

int rig_retry(struct rig *r, uint64_t job, const uint64_t *indexes, uint32_t count)
{
    struct wire_buffer b = {0};
    const struct message_retry m = {job, tokens_of(&b, indexes, count)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_RETRY, .retry = &m});
    wire_free(&b);
    return rig_refused(r);
}

int rig_control(struct rig *r, enum queue_event_type type, uint64_t job)
{
    rig_apply(r, &(struct queue_event){.type = type, .job = &(struct message_job_ref){job}});
    return rig_refused(r);
}

int rig_priority(struct rig *r, uint64_t job, int priority)
{
    const struct message_priority m = {job, priority};
    rig_apply(r, &(struct queue_event){.type = QUEUE_PRIORITY, .priority = &m});
    return rig_refused(r);
}

int rig_checkpoint(struct rig *r, uint64_t worker, uint64_t token, uint8_t name, double progress)
{
    uint8_t object[LIMIT_OBJECT];
    memset(object, name, sizeof object);
    const struct message_checkpoint m = {token, {object, sizeof object}, progress};
    rig_apply(r, &(struct queue_event){.type = QUEUE_CHECKPOINT, .worker = worker, .checkpoint = &m});
    const struct queue_action *a = rig_action(r, QUEUE_SAVED);
    return a ? rig_entry(r, a, 0)->verdict : 0;
}

void rig_session_gone(struct rig *r, uint64_t session)
{
    rig_apply(r, &(struct queue_event){.type = QUEUE_SESSION_GONE, .session = session});
}

void rig_tick(struct rig *r, int64_t ms)
{
    r->now_ms += ms;
    rig_apply(r, &(struct queue_event){.type = QUEUE_TICK});
}

uint64_t rig_ready(struct rig *r, uint64_t worker, const char *name, uint64_t pid, const char *kinds,
                   const uint64_t *held, uint32_t held_count)
{
    struct wire_buffer names = {0}, tokens = {0};
    uint32_t count = 0;
    char text[400], *rest = text;
    snprintf(text, sizeof text, "%s", kinds);
    for (char *one; (one = strtok_r(rest, " ", &rest)); count++)
        REQUIRE(wire_append_str(&names, one) == STATUS_OK);
    const struct message_ready m = {.name = wire_str(name),
                                    .pid = pid,
                                    .device = wire_str("cpu"),
                                    .threads = 2,
                                    .kinds = wire_list_of(&names, count),
                                    .held = tokens_of(&tokens, held, held_count)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_READY, .worker = worker, .ready = &m});
    wire_free(&names);
    wire_free(&tokens);
    const struct queue_action *a = rig_action(r, QUEUE_ENGAGED);
    return a ? a->worker : 0;
}

uint64_t rig_ready_on(struct rig *r, const char *name, uint64_t pid, const char *device, uint64_t bytes)
{
    struct wire_buffer kinds = {0};
    REQUIRE(wire_append_str(&kinds, "noop") == STATUS_OK);
    const struct message_ready m = {.name = wire_str(name),
                                    .pid = pid,
                                    .kinds = wire_list_of(&kinds, 1),
                                    .device_id = wire_str(device),
                                    .device_bytes = bytes};
    rig_apply(r, &(struct queue_event){.type = QUEUE_READY, .ready = &m});
    wire_free(&kinds);
    const struct queue_action *a = rig_action(r, QUEUE_ENGAGED);
    return a ? a->worker : 0;
}

void rig_take(struct rig *r, uint64_t worker, uint32_t credits)
{
    rig_apply(r, &(struct queue_event){
                     .type = QUEUE_TAKE, .worker = worker, .take = &(struct message_take){.credits = credits}});
}

uint64_t rig_take_one(struct rig *r, uint64_t worker)
{
    rig_take(r, worker, 1);
    const struct queue_action *a = rig_action(r, QUEUE_GRANT);
    return a && a->worker == worker ? rig_entry(r, a, 0)->token : 0;
}

void rig_beat(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count, double progress)
{
    struct wire_buffer b = {0};
    for (uint32_t i = 0; i < count; i++)
        REQUIRE(wire_encode(&beat_entry_schema, &(struct message_beat_entry){.token = tokens[i], .progress = progress},
                            &b) == STATUS_OK);
    const struct message_beat m = {wire_list_of(&b, count)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_BEAT, .worker = worker, .beat = &m});
    wire_free(&b);
}

int rig_report(struct rig *r, uint64_t worker, uint64_t token, enum failure_class failure, uint32_t result_bytes)
{
    static const uint8_t result[LIMIT_RESULT] = {7, 7, 7};
    struct wire_buffer b = {0};
    const struct message_report_entry entry = {.token = token,
                                               .failure = failure,
                                               .message = wire_str(failure ? "it failed" : ""),
                                               .result = {result, result_bytes}};
    REQUIRE(wire_encode(&report_entry_schema, &entry, &b) == STATUS_OK);
    const struct message_report m = {wire_list_of(&b, 1)};
    uint64_t job;
    uint32_t index, attempt = 0;
    rig_apply(r, &(struct queue_event){.type = QUEUE_REPORT, .worker = worker, .report = &m});
    wire_free(&b);
    if (failure && !r->code && !r->waits && queue_token(r->queue, token, &job, &index, &attempt) &&
        rig_show(r, job).waiting) {
        r->now_ms += INT64_C(1) << (attempt < 9 ? attempt : 9); /* over its backoff, which begins with 1 ms */
        apply_more(r, &(struct queue_event){.type = QUEUE_TICK});
    }
    const struct queue_action *a = rig_action(r, QUEUE_COMMITS);
    return a && a->count ? rig_entry(r, a, 0)->verdict : 0;
}

void rig_return(struct rig *r, uint64_t worker, const uint64_t *tokens, uint32_t count)
{
    struct wire_buffer b = {0};
    const struct message_returned m = {tokens_of(&b, tokens, count)};
    rig_apply(r, &(struct queue_event){.type = QUEUE_RETURN, .worker = worker, .returned = &m});
    wire_free(&b);
}

void rig_leave(struct rig *r, uint64_t worker)
{
    rig_apply(r, &(struct queue_event){.type = QUEUE_LEAVE, .worker = worker});
}

struct message_job rig_show(const struct rig *r, uint64_t job)
{
    struct message_job m = {0};
    CHECK_OK(queue_show(r->queue, job, &m));
    return m;
}
