/* The queue's core under any sequence of events whose messages keep their tables' rules.
 *
 *   input        steps: kind of event u8 (above 127: the message's bytes are raw, behind their length u8), milliseconds
 *                that pass, and what the message is made of (shape.h)
 *   properties   after each event queue_check holds; actions name workers, jobs and tokens of this queue; answers are
 *                given once; what is waiting has a deadline, which a tick puts behind it; nothing leaks */
#include "queue.h"
#include "shape.h"

#include <string.h>

enum { STEPS_MOST = 200, WORKERS_MOST = 4, SPACE = 1024 };

static const struct {
    enum queue_event_type type;
    const struct wire_schema *schema; /* NULL: no message */
} events[] = {
    {QUEUE_TAKE, &take_schema},
    {QUEUE_SUBMIT, &submit_schema},
    {QUEUE_READY, &ready_schema},
    {QUEUE_ADD, &add_schema},
    {QUEUE_CANCEL, &job_ref_schema},
    {QUEUE_BEAT, &beat_schema},
    {QUEUE_REPORT, &report_schema},
    {QUEUE_RETURN, &returned_schema},
    {QUEUE_LEAVE, NULL},
    {QUEUE_HEARD, NULL},
    {QUEUE_SESSION_GONE, NULL},
    {QUEUE_TICK, NULL},
    {QUEUE_RETRY, &retry_schema},
    {QUEUE_PAUSE, &job_ref_schema}, /* or RESUME */
    {QUEUE_PRIORITY, &priority_schema},
    {QUEUE_CHECKPOINT, &checkpoint_schema},
};
enum { EVENTS = sizeof events / sizeof *events };

struct world {
    struct queue *queue;
    struct queue_actions actions;
    struct journal_memory journal;
    struct shape_pool pool;
    struct wire_buffer body;
    uint64_t workers[WORKERS_MOST];
    uint32_t worker_count; /* of all that were engaged */
    int64_t now_ms;
    uint32_t reached; /* enum reach */
};

/* What seeds are for: one that no longer gets there is not accepted. */
enum reach {
    REACH_REOPENED = 1,
    REACH_PAUSED = 2,
    REACH_RESUMED = 4,
    REACH_EXPIRED = 8,
    REACH_SAVED = 16,
    REACH_KNOWN = 32,
    REACH_MOVED = 64, /* to another priority */
    REACH_TRIED_AGAIN = 128,
    REACH_WAVES = 256,
    REACH_SECOND_WAVE = 512,
    REACH_FIRST_AGAIN = 1024,
    REACH_GIVEN_BACK = 2048 /* for a pause */
};
static uint32_t wanted;
static uint32_t *noted; /* of the world that runs */

static void put(struct journal *j, const struct journal_record *r)
{
    *noted |= r->type == JOURNAL_REOPENED ? REACH_REOPENED : 0;
    *noted |= r->type == JOURNAL_JOB && r->submitted.wave ? REACH_WAVES : 0;
    if (r->type == JOURNAL_GRANTED && (*noted & REACH_WAVES))
        *noted |= r->index ? REACH_SECOND_WAVE : *noted & REACH_SECOND_WAVE ? REACH_FIRST_AGAIN : 0;
    *noted |= r->type == JOURNAL_CHECKPOINT ? REACH_SAVED : 0;
    if (r->type == JOURNAL_QUEUED && (*noted & REACH_PAUSED) && (*noted & REACH_SAVED))
        *noted |= REACH_GIVEN_BACK;
    *noted |= r->type == JOURNAL_OUTCOME && r->outcome.failure == FAILURE_TIMEOUT ? REACH_EXPIRED : 0;
    if (r->type == JOURNAL_CONTROL) {
        *noted |= r->control.paused ? REACH_PAUSED : *noted & REACH_PAUSED ? REACH_RESUMED : 0;
        *noted |= r->control.priority ? REACH_MOVED : 0;
    }
    if (r->type == JOURNAL_GRANTED && (*noted & REACH_REOPENED))
        *noted |= REACH_TRIED_AGAIN;
    ((struct journal_memory *)j)->records++;
}

static bool decode_raw(const struct wire_schema *schema, struct fuzz_input *in, void *message)
{
    const struct wire_slice s = fuzz_slice(in, fuzz_byte(in));
    return wire_decode(schema, s.data, s.bytes, message) == STATUS_OK;
}

static void look_at(struct world *w, const struct queue_action *a)
{
    FUZZ_CHECK(a->type <= QUEUE_BLAMED);
    if (a->type == QUEUE_ENGAGED)
        w->workers[w->worker_count++ % WORKERS_MOST] = a->worker;
    if (a->type == QUEUE_ACCEPTED && a->known)
        w->reached |= REACH_KNOWN;
    if (a->type == QUEUE_ACCEPTED || a->type == QUEUE_REFUSED || a->type == QUEUE_CHANGED)
        return;
    if (a->type != QUEUE_GONE)
        FUZZ_CHECK(a->first + a->count <= w->actions.entry_count);
    for (size_t i = 0; a->type == QUEUE_GRANT && i < a->count; i++) {
        const struct queue_entry *const e = &w->actions.entries[a->first + i];
        struct message_lease item;
        FUZZ_CHECK(queue_item(w->queue, e->job, e->index, &item) == STATUS_OK && e->attempt >= 1 && e->token);
        shape_note(&w->pool, e->token);
    }
}

static void look(struct world *w)
{
    int answers = 0;
    for (size_t i = 0; i < w->actions.count; i++) {
        const enum queue_action_type type = w->actions.list[i].type;
        answers += type == QUEUE_REFUSED || type == QUEUE_ACCEPTED || type == QUEUE_ENGAGED || type == QUEUE_COMMITS ||
                   type == QUEUE_SAVED;
        look_at(w, &w->actions.list[i]);
    }
    FUZZ_CHECK(answers <= 1);
    FUZZ_CHECK(queue_check(w->queue) == STATUS_OK);
    struct queue_stats stats;
    queue_stats(w->queue, &stats);
    FUZZ_CHECK(!stats.leased || queue_next_deadline_ms(w->queue) < INT64_MAX);
}

/* What the queries say of any job is a message by its table. */
static void ask(struct world *w, uint64_t job)
{
    struct message_job m;
    struct wire_buffer b = {0};
    uint32_t count = 0;
    uint64_t next = 0;
    bool more = false;
    if (queue_show(w->queue, job, &m) == STATUS_OK) {
        FUZZ_CHECK(m.items == m.queued + m.leased + m.done + m.dead + m.cancelled && m.state <= JOB_CANCELLED);
        FUZZ_CHECK(queue_page(w->queue, &(struct message_watch){.job = job, .with_path = true}, &b, &count, &next) ==
                   STATUS_OK);
        struct wire_list list = wire_list_of(&b, count);
        struct message_outcome o;
        while (list.count)
            FUZZ_CHECK(wire_next(&list, &outcome_schema, &o) && o.index < m.items);
        FUZZ_CHECK(count == m.commits && m.commits >= m.done + m.dead);
        b.bytes = 0;
    }
    FUZZ_CHECK(queue_list(w->queue, &(struct message_list){0}, &b, &count, &more) == STATUS_OK);
    struct wire_list jobs = wire_list_of(&b, count);
    while (jobs.count)
        FUZZ_CHECK(wire_next(&jobs, &job_schema, &m));
    wire_free(&b);
}

/* What rings without effect would ring for ever. What a tick ends may let a few others ring at the same time. */
static void tick_again(struct world *w)
{
    const struct queue_event e = {.type = QUEUE_TICK, .unix_ms = 1000000 + w->now_ms};
    for (int i = 0; i < 4 && queue_next_deadline_ms(w->queue) <= w->now_ms; i++) {
        queue_actions_clear(&w->actions);
        FUZZ_CHECK(queue_apply(w->queue, w->now_ms, &e, &w->actions) == STATUS_OK);
        look(w);
    }
    FUZZ_CHECK(queue_next_deadline_ms(w->queue) > w->now_ms);
}

static void step(struct world *w, struct fuzz_input *in)
{
    _Alignas(16) char message[SPACE];
    const uint8_t kind = fuzz_byte(in), passes = fuzz_byte(in);
    const struct wire_schema *const schema = events[kind % 16 % EVENTS].schema;
    struct queue_event e = {.type = events[kind % 16 % EVENTS].type, .unix_ms = 1000000 + w->now_ms};
    const uint8_t who = fuzz_byte(in);
    e.session = 1 + who % 3;
    e.worker = w->worker_count && who < 250
                   ? w->workers[who % (w->worker_count < WORKERS_MOST ? w->worker_count : WORKERS_MOST)]
                   : who;
    if (e.type == QUEUE_READY && who < 128)
        e.worker = 0;
    if (e.type == QUEUE_PAUSE && who % 2)
        e.type = QUEUE_RESUME;
    w->now_ms += passes < 128 ? passes : passes < 250 ? (passes - 127) * 100 : (passes - 249) * 800000;
    if (schema && kind < 128)
        shape_message(schema, in, &w->pool, &w->body, message);
    else if (schema && !decode_raw(schema, in, message))
        return;
    e.submit = schema ? (const void *)message : NULL; /* any of the union's pointers */
    queue_actions_clear(&w->actions);
    FUZZ_CHECK(queue_apply(w->queue, w->now_ms, &e, &w->actions) == STATUS_OK);
    look(w);
    if (e.type == QUEUE_TICK)
        tick_again(w);
    if (kind & 16)
        ask(w, who % 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct world w = {.now_ms = 1000};
    journal_memory_init(&w.journal);
    w.journal.journal.put = put;
    noted = &w.reached;
    FUZZ_CHECK(queue_create(&(struct queue_options){.epoch = 1, .lease_ms = 10000, .journal = &w.journal.journal},
                            &w.queue) == STATUS_OK);
    for (int i = 0; i < STEPS_MOST && in.left; i++)
        step(&w, &in);
    struct queue_stats stats;
    queue_stats(w.queue, &stats);
    if (stats.items && (w.reached & wanted) == wanted)
        fuzz_accept();
    noted = NULL;
    wire_free(&w.body);
    queue_actions_free(&w.actions, w.queue);
    queue_destroy(&w.queue);
    return 0;
}

/* ---- seeds, of the steps' bytes ---- */

#define READY 2, 0, 0, 4, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0 /* "v", for noop and analyze */
#define TAKE(credits) 0, 0, 0, credits, 0, 0
#define TICK_AFTER(passes) 11, passes, 0
#define REPORT(token, failure) 6, 0, 0, 1, token, 200, failure, 0, 0, 0
#define RETURN(token) 7, 0, 0, 1, token
#define RETRY_ALL 12, 0, 0, 1, 0
#define PAUSE 13, 0, 0, 1
#define RESUME 13, 0, 1, 1
#define LOWER 14, 0, 0, 1, 5, 1 /* PRIORITY -5 */
#define BYTES_8 1, 2, 3, 4, 5, 6, 7, 8
#define CHECKPOINT(token) 15, 0, 0, token, 212, BYTES_8, BYTES_8, BYTES_8, BYTES_8, 200, 1
#define SHOW 16, 0, 1, 1, 0, 0 /* TAKE, and job 1 is asked for */
/* SUBMIT of noop, sealed; key, start, deadline, backoff, attempt, stall, device, wave follow: one of the four below.
 */
#define SUBMIT_ONE(attempts) 1, 0, 0, 0, 0, 0, 0, 0, 200, attempts, 200, 1, 0, 0, 0, 200, 1
#define SUBMIT_FOUR 1, 0, 0, 0, 0, 0, 0, 0, 0, 200, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1
#define PLAIN 0, 0, 0, 0, 0, 0, 0, 0
#define KEYED 200, 3, 0, 0, 0, 0, 0, 0, 0
#define OVER 0, 0, 200, 1, 0, 0, 0, 0, 0 /* its deadline */
#define WAVES_OF_ONE 0, 0, 0, 0, 0, 0, 0, 200, 1

static void seed_with_noise(const char *name)
{
    static const uint8_t begin[] = {READY, SUBMIT_FOUR, PLAIN, TAKE(3)};
    uint8_t input[sizeof begin + 400];
    memcpy(input, begin, sizeof begin);
    fuzz_noise(name, input + sizeof begin, sizeof input - sizeof begin);
    fuzz_seed(name, input, sizeof input);
}

static void seed(const char *name, uint32_t reaches, const uint8_t *input, size_t bytes)
{
    wanted = reaches;
    fuzz_seed(name, input, bytes);
    wanted = 0;
}

void fuzz_seeds(void)
{
    /* One attempt, whose lease ends by time; the worker comes again and asks for it. */
    static const uint8_t lapse[] = {READY, SUBMIT_ONE(1), PLAIN, TAKE(1), TICK_AFTER(250), READY, TAKE(1), SHOW};
    /* Dead, tried again, done. */
    static const uint8_t retry[] = {READY,     SUBMIT_ONE(1), PLAIN,        TAKE(1), REPORT(0, FAILURE_INPUT),
                                    RETRY_ALL, TAKE(1),       REPORT(1, 0), SHOW};
    /* Nothing is granted until RESUME; another priority meanwhile. */
    static const uint8_t pause[] = {READY, SUBMIT_FOUR, PLAIN, PAUSE, TAKE(2), LOWER, RESUME, TAKE(2), SHOW};
    /* Twice under one key, then other content under it. */
    static const uint8_t key[] = {READY, SUBMIT_ONE(2), KEYED, SUBMIT_ONE(2), KEYED, SUBMIT_ONE(3), KEYED, SHOW};
    /* Over at once: one item is leased, three are queued; RETRY takes the deadline away. */
    static const uint8_t deadline[] = {READY, SUBMIT_FOUR, OVER, TAKE(1), TICK_AFTER(1), RETRY_ALL, TAKE(4), SHOW};
    /* The lease ends; it is granted again with what it saved. */
    static const uint8_t checkpoint[] = {READY,           SUBMIT_ONE(3), PLAIN,   TAKE(1), CHECKPOINT(0),
                                         TICK_AFTER(250), READY,         TAKE(1), SHOW};
    /* What has saved is paused, given back, and goes on after. */
    static const uint8_t back[] = {READY, SUBMIT_FOUR, PLAIN,  TAKE(1), CHECKPOINT(0),
                                   PAUSE, RETURN(0),   RESUME, TAKE(4), SHOW};
    /* One item at a time; the first is dead and tried again while the second is leased. */
    static const uint8_t waves[] = {READY,   SUBMIT_FOUR, WAVES_OF_ONE, TAKE(4),      REPORT(0, FAILURE_INPUT),
                                    TAKE(4), RETRY_ALL,   TAKE(4),      REPORT(1, 0), REPORT(2, 0),
                                    SHOW};
    static const char *const noise[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        seed_with_noise(noise[i]);
    seed("lapse", 0, lapse, sizeof lapse);
    seed("retry", REACH_REOPENED | REACH_TRIED_AGAIN, retry, sizeof retry);
    seed("pause", REACH_PAUSED | REACH_RESUMED | REACH_MOVED, pause, sizeof pause);
    seed("key", REACH_KNOWN, key, sizeof key);
    seed("deadline", REACH_EXPIRED | REACH_REOPENED | REACH_TRIED_AGAIN, deadline, sizeof deadline);
    seed("checkpoint", REACH_SAVED, checkpoint, sizeof checkpoint);
    seed("back", REACH_GIVEN_BACK | REACH_RESUMED, back, sizeof back);
    seed("waves", REACH_WAVES | REACH_SECOND_WAVE | REACH_FIRST_AGAIN, waves, sizeof waves);
}
