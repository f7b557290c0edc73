/* driver - libwavemill behind a line of JSON: reads {"do": operation, arguments ..} from stdin, prints what it gave.
 * driver.py is the same for the Python client; test_conformance.py says what both must answer. */
#include "client.h"
#include "kinds.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ITEMS_MOST = 20000, WAIT_MS = 500 };

static struct client *client;

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static void put(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

static void put_text(json_t *o, const char *name, struct wire_slice s)
{
    json_object_set_new(o, name, json_stringn(s.bytes ? (const char *)s.data : "", s.bytes));
}

static uint64_t moment(const json_t *o, const char *name)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return json_object_get(o, name) ? (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + number(o, name)
                                    : 0;
}

static json_t *job_json(const struct message_job *j)
{
    json_t *const o = json_object();
    put(o, "job", j->job);
    json_object_set_new(o, "state", json_string(job_state_name(j->state)));
    put_text(o, "kind", j->kind);
    put_text(o, "name", j->name);
    json_object_set_new(o, "priority", json_integer(j->priority));
    json_object_set_new(o, "paused", json_boolean(j->paused));
    put(o, "items", j->items);
    put(o, "queued", j->queued);
    put(o, "leased", j->leased);
    put(o, "waiting", j->waiting);
    put(o, "done", j->done);
    put(o, "dead", j->dead);
    put(o, "cancelled", j->cancelled);
    put(o, "finished_ms", j->finished_unix_ms);
    put(o, "took_ms", j->finished_unix_ms ? j->finished_unix_ms - j->submitted_unix_ms : 0);
    return o;
}

static json_t *outcome_json(const struct message_outcome *m)
{
    json_t *const o = json_object();
    put(o, "index", m->index);
    json_object_set_new(o, "state", json_string(item_state_name(m->state)));
    json_object_set_new(o, "failure", json_string(failure_name((int)m->failure)));
    put(o, "attempts", m->attempts);
    put_text(o, "path", m->path);
    json_object_set_new(o, "retried", json_boolean(m->retried));
    return o;
}

/* ---- operations: each fills *out ---- */

/* `count` items with the actions {"3": 1}, or those of `paths`. */
static size_t make_items(const json_t *a, struct client_item *items, struct wire_buffer *buffers)
{
    const json_t *const actions = json_object_get(a, "actions"), *const paths = json_object_get(a, "paths");
    const size_t count = paths ? json_array_size(paths) : number(a, "count");
    const char *name;
    json_t *value;
    for (size_t i = 0; i < count && i < ITEMS_MOST; i++)
        items[i] = (struct client_item){.path = json_string_value(json_array_get(paths, i))};
    json_object_foreach((json_t *)actions, name, value)
    {
        const size_t i = strtoull(name, NULL, 10);
        const struct kind_noop_item item = {.action = (uint64_t)json_integer_value(value)};
        if (i < count && i < ITEMS_MOST && !wire_encode(&kind_noop_item_schema, &item, &buffers[i]))
            items[i].params = (struct wire_slice){buffers[i].data, (uint32_t)buffers[i].bytes};
    }
    return count < ITEMS_MOST ? count : ITEMS_MOST;
}

static int send_job(const json_t *a, json_t *out, const struct client_item *items, size_t count)
{
    struct wire_buffer params = {0};
    const struct kind_noop_params p = {.sleep_ms = number(a, "sleep_ms")};
    const char *const key = text(a, "key"), *const kind = text(a, "kind");
    struct message_accepted accepted;
    int code = wire_encode(&kind_noop_params_schema, &p, &params);
    const struct client_job job = {.kind = kind ? kind : KIND_NOOP,
                                   .name = text(a, "name"),
                                   .params = {params.data, kind ? 0 : (uint32_t)params.bytes},
                                   .priority = json_integer_value(json_object_get(a, "priority")),
                                   .max_attempts = number(a, "max_attempts"),
                                   .key = wire_str(key),
                                   .start_unix_ms = moment(a, "start_in_ms"),
                                   .deadline_unix_ms = moment(a, "deadline_in_ms"),
                                   .backoff_ms = number(a, "backoff_ms"),
                                   .attempt_ms = number(a, "attempt_ms"),
                                   .stall_ms = number(a, "stall_ms"),
                                   .wave = number(a, "wave")};
    uint64_t id = 0;
    const bool open = json_is_true(json_object_get(a, "open"));
    if (!code && open) {
        code = client_submit(client, &job, &id);
        put(out, "job", id);
    } else if (!code && !(code = client_submit_items(client, &job, items, count, &accepted))) {
        put(out, "job", accepted.job);
        put(out, "items", accepted.items);
        json_object_set_new(out, "known", json_boolean(accepted.known));
    }
    wire_free(&params);
    return code;
}

static int with_items(const json_t *a, json_t *out, bool is_add)
{
    struct client_item *const items = calloc(ITEMS_MOST, sizeof *items);
    struct wire_buffer *const buffers = calloc(ITEMS_MOST, sizeof *buffers);
    int code = items && buffers ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    const size_t count = code ? 0 : make_items(a, items, buffers);
    if (!code)
        code = is_add ? client_add(client, number(a, "job"), items, count) : send_job(a, out, items, count);
    for (size_t i = 0; buffers && i < ITEMS_MOST; i++)
        wire_free(&buffers[i]);
    free(buffers);
    free(items);
    return code;
}

static int submit(const json_t *a, json_t *out)
{
    return with_items(a, out, false);
}

static int add(const json_t *a, json_t *out)
{
    return with_items(a, out, true);
}

static int seal(const json_t *a, json_t *out)
{
    (void)out;
    return client_seal(client, number(a, "job"));
}

/* One page; `to_end`: all of them. */
static int watch(const json_t *a, json_t *out)
{
    const bool dead_only = json_is_true(json_object_get(a, "dead_only"));
    const bool to_end = json_is_true(json_object_get(a, "to_end"));
    const int64_t wait_ms = to_end ? WAIT_MS : (int64_t)number(a, "wait_ms");
    json_t *const outcomes = json_array();
    uint64_t cursor = number(a, "cursor");
    bool over = false;
    int code;
    json_object_set_new(out, "outcomes", outcomes);
    do {
        struct client_page page;
        struct message_outcome o;
        code = (dead_only ? client_watch_dead : client_watch_paths)(client, number(a, "job"), cursor, wait_ms, &page);
        if (code)
            return code;
        while (client_next(&page, &o))
            json_array_append_new(outcomes, outcome_json(&o));
        cursor = page.cursor;
        over = page.over;
        client_page_release(&page);
    } while (to_end && !over);
    put(out, "cursor", cursor);
    json_object_set_new(out, "over", json_boolean(over));
    return STATUS_OK;
}

static int steer(const json_t *a, json_t *out)
{
    const char *const what = text(a, "do");
    const uint64_t id = number(a, "job");
    struct message_job j;
    const int code = strcmp(what, "show") == 0     ? client_show(client, id, &j)
                     : strcmp(what, "cancel") == 0 ? client_cancel(client, id, &j)
                     : strcmp(what, "pause") == 0  ? client_pause(client, id, &j)
                     : strcmp(what, "resume") == 0
                         ? client_resume(client, id, &j)
                         : client_priority(client, id, json_integer_value(json_object_get(a, "priority")), &j);
    if (!code) {
        json_t *const state = job_json(&j);
        json_object_update(out, state);
        json_decref(state);
    }
    return code;
}

static int retry(const json_t *a, json_t *out)
{
    const json_t *const list = json_object_get(a, "indexes");
    uint64_t indexes[64];
    const size_t count = json_array_size(list) < 64 ? json_array_size(list) : 64;
    struct message_job j;
    for (size_t i = 0; i < count; i++)
        indexes[i] = (uint64_t)json_integer_value(json_array_get(list, i));
    const int code = client_retry(client, number(a, "job"), indexes, count, &j);
    if (!code) {
        json_t *const state = job_json(&j);
        json_object_update(out, state);
        json_decref(state);
    }
    return code;
}

static int logs(const json_t *a, json_t *out)
{
    struct message_lines m;
    struct message_line l;
    const int code = client_logs(client, number(a, "job"), number(a, "cursor"), &m);
    if (code)
        return code;
    json_t *const lines = json_array();
    while (wire_next(&m.lines, &line_schema, &l)) {
        json_t *const line = json_object();
        put(line, "index", l.index);
        put_text(line, "text", l.text);
        json_array_append_new(lines, line);
    }
    json_object_set_new(out, "lines", lines);
    put(out, "cursor", m.cursor);
    put(out, "lost", m.lost);
    return STATUS_OK;
}

static int list(const json_t *a, json_t *out)
{
    const struct client_filter filter = {number(a, "phases"), text(a, "kind"), text(a, "name")};
    struct message_jobs page;
    struct message_job j;
    const int code = client_list(client, &filter, number(a, "after"), number(a, "limit"), &page);
    if (code)
        return code;
    json_t *const ids = json_array();
    while (wire_next(&page.jobs, &job_schema, &j))
        json_array_append_new(ids, json_integer((json_int_t)j.job));
    json_object_set_new(out, "jobs", ids);
    json_object_set_new(out, "more", json_boolean(page.more));
    return STATUS_OK;
}

/* Another session, under the same home. */
static int again(const json_t *a, json_t *out)
{
    (void)out;
    client_close(&client);
    return client_open(&(struct client_options){.name = "conformance", .restart_ms = (int64_t)number(a, "restart_ms")},
                       &client);
}

static const struct {
    const char *name;
    int (*run)(const json_t *a, json_t *out);
} operations[] = {{"submit", submit}, {"add", add},     {"seal", seal},    {"watch", watch},    {"show", steer},
                  {"cancel", steer},  {"pause", steer}, {"resume", steer}, {"priority", steer}, {"retry", retry},
                  {"logs", logs},     {"list", list},   {"connect", again}};

static const char *refusal(int code)
{
    const enum wire_error e = client ? client_refusal(client) : 0;
    if (e)
        return wire_error_name(e);
    return code == STATUS_ARGUMENT                              ? "argument"
           : code == STATUS_NOT_FOUND || code == STATUS_TIMEOUT ? "no_scheduler"
                                                                : "other";
}

static json_t *answer(const json_t *a)
{
    const char *const what = text(a, "do");
    json_t *const out = json_object();
    for (size_t i = 0; what && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(operations[i].name, what) != 0)
            continue;
        const int code = operations[i].run(a, out);
        if (code) {
            json_object_clear(out);
            json_object_set_new(out, "error", json_string(refusal(code)));
            fprintf(stderr, "%s: %s\n", what, status_message());
        }
        return out;
    }
    json_object_set_new(out, "error", json_string("no such operation"));
    return out;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *const a = json_loads(line, 0, NULL), *const out = answer(a);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(a);
        json_decref(out);
    }
    free(line);
    client_close(&client);
    return 0;
}
