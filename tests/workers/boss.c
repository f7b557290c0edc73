#include "boss.h"

#include "log.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t boss_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void boss_init(struct boss *b)
{
    static char address[128], folder[96], compute[4096];
    *b = (struct boss){.epoch = 7, .next_token = (UINT64_C(7) << 40) + 1, .beat_ms = 200};
    REQUIRE(getcwd(folder, sizeof folder));
    snprintf(address, sizeof address, "ipc://%s/w.sock", folder);
    snprintf(compute, sizeof compute, "%s", test_bin("wavemill-compute"));
    CHECK(mkdir("features", 0700) == 0 && mkdir("objects", 0700) == 0);
    b->options = (struct supervisor_options){.worker_socket = address,
                                             .features = "features",
                                             .objects = "objects",
                                             .fetched = "objects/queue",
                                             .compute = compute,
                                             .threads = 4,
                                             .memory_bytes = (size_t)1 << 30,
                                             .stall_ms = 60000};
}

void boss_start(struct boss *b)
{
    fflush(stdout);
    b->pid = fork(); /* before there is a context */
    if (b->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that ends early leaves nobody behind */
        log_init("supervisor", LOG_ERROR_);
        const int code = supervisor_run(&b->options);
        fflush(stdout);
        exit(code ? 5 : 0); /* the leak check runs */
    }
    b->context = zmq_ctx_new();
    REQUIRE(b->pid > 0 && b->context && channel_open(b->context, ZMQ_ROUTER, &b->socket) == STATUS_OK);
    REQUIRE(zmq_bind(b->socket, b->options.worker_socket) == 0);
}

void boss_send(struct boss *b, enum message_type type, uint32_t seq, const struct wire_schema *schema, const void *body)
{
    const int code = channel_send(b->socket, &b->peer, type, seq, schema, body);
    if (code != STATUS_BUSY || !b->stopped)
        CHECK_CODE(code, STATUS_OK);
}

static int copy_tokens(struct wire_list list, uint64_t out[BOSS_TOKENS])
{
    int n = 0;
    while (n < BOSS_TOKENS && wire_next_uint(&list, &out[n]))
        n++;
    return n;
}

static void on_ready(struct boss *b, const struct packet *p)
{
    struct message_ready m;
    REQUIRE(packet_decode(p, &ready_schema, &m) == STATUS_OK);
    b->readies++;
    b->peer = p->peer;
    b->held_count = copy_tokens(m.held, b->held);
    wire_copy(m.name, b->name, sizeof b->name);
    wire_copy(m.device, b->device, sizeof b->device);
    wire_copy(m.device_id, b->device_id, sizeof b->device_id);
    b->device_bytes = m.device_bytes;
    b->kinds = (int)m.kinds.count;
    b->take_waits = false;
    if (b->mute)
        return;
    const struct message_engaged e = {.epoch = b->epoch,
                                      .worker = 1,
                                      .lease_ms = b->lease_ms ? b->lease_ms : 10000,
                                      .beat_ms = b->beat_ms,
                                      .version = wire_str("test"),
                                      .resumed = b->forget ? (struct wire_list){0} : m.held};
    boss_send(b, MESSAGE_ENGAGED, p->header.seq, &engaged_schema, &e);
    b->forget = false;
}

static void on_beat(struct boss *b, const struct packet *p)
{
    struct message_beat m;
    struct message_beat_entry e;
    struct wire_buffer list = {0};
    REQUIRE(packet_decode(p, &beat_schema, &m) == STATUS_OK);
    b->beat_seq = p->header.seq;
    b->beaten_count = 0;
    uint32_t count = 0;
    while (wire_next(&m.entries, &beat_entry_schema, &e)) {
        if (e.log.bytes) {
            CHECK(e.log.bytes <= LIMIT_LOG && wire_is_utf8(e.log.data, e.log.bytes));
            const int n = snprintf(b->log + b->log_bytes, sizeof b->log - b->log_bytes, "%llu:%.*s",
                                   (unsigned long long)e.token, (int)e.log.bytes, (const char *)e.log.data);
            b->log_bytes += (size_t)n < sizeof b->log - b->log_bytes ? (size_t)n : 0;
        }
        if (b->beaten_count < BOSS_TOKENS)
            b->beaten[b->beaten_count++] = e.token;
        count += wire_encode(&verdict_schema, &(struct message_verdict){.token = e.token, .verdict = VERDICT_EXTEND},
                             &list) == STATUS_OK;
    }
    if (!b->mute)
        boss_send(b, MESSAGE_VERDICTS, p->header.seq, &verdicts_schema,
                  &(struct message_verdicts){wire_list_of(&list, count)});
    wire_free(&list);
}

static void note_outcome(struct boss *b, const struct message_report_entry *e)
{
    struct outcome *o = NULL;
    for (int i = 0; i < b->outcome_count; i++)
        if (b->outcomes[i].token == e->token)
            o = &b->outcomes[i];
    if (!o) {
        REQUIRE(b->outcome_count < BOSS_OUTCOMES);
        o = &b->outcomes[b->outcome_count++];
    }
    REQUIRE(e->result.bytes <= sizeof o->result);
    o->token = e->token;
    o->failure = e->failure;
    wire_copy(e->log, o->log, sizeof o->log);
    wire_copy(e->message, o->message, sizeof o->message);
    o->result_bytes = e->result.bytes;
    if (e->result.bytes)
        memcpy(o->result, e->result.data, e->result.bytes);
    o->reports++;
}

static void on_report(struct boss *b, const struct packet *p)
{
    struct message_report m;
    struct message_report_entry e;
    struct wire_buffer list = {0};
    uint32_t count = 0;
    const int code = packet_decode(p, &report_schema, &m);
    CHECK_OK(code);
    if (code) {
        boss_error(b, p->header.seq, ERROR_BODY);
        return;
    }
    b->reports++;
    b->report_seq = p->header.seq;
    while (wire_next(&m.entries, &report_entry_schema, &e)) {
        note_outcome(b, &e);
        if (!b->committed_most || count < (uint32_t)b->committed_most)
            count += wire_encode(&verdict_schema,
                                 &(struct message_verdict){.token = e.token, .verdict = COMMIT_COMMITTED}, &list) == 0;
    }
    if (!b->mute && !b->keep_commits)
        boss_send(b, MESSAGE_COMMITS, p->header.seq, &verdicts_schema,
                  &(struct message_verdicts){wire_list_of(&list, count)});
    wire_free(&list);
}

static int serve(struct boss *b)
{
    struct packet p;
    const int code = channel_receive(b->socket, &p);
    if (code == STATUS_TIMEOUT)
        return 0;
    CHECK_OK(code);
    struct message_take take;
    struct message_returned returned;
    switch (p.header.type) {
    case MESSAGE_READY:
        on_ready(b, &p);
        break;
    case MESSAGE_BEAT:
        on_beat(b, &p);
        break;
    case MESSAGE_PING:
        if (!b->mute)
            boss_send(b, MESSAGE_PONG, p.header.seq, &empty_schema, &(struct message_empty){0});
        break;
    case MESSAGE_TAKE:
        CHECK_OK(packet_decode(&p, &take_schema, &take));
        b->takes++;
        b->take_waits = true;
        b->credits = take.credits;
        b->take_urgent = take.urgent;
        b->take_above = take.above;
        break;
    case MESSAGE_REPORT:
        on_report(b, &p);
        break;
    case MESSAGE_LEAVE:
        b->left = true;
        break;
    case MESSAGE_RETURN:
        CHECK_OK(packet_decode(&p, &returned_schema, &returned));
        b->returned_count = copy_tokens(returned.tokens, b->returned);
        break;
    default:
        if (!boss_serves_objects(b, &p))
            test_report(false, __FILE__, __LINE__, "message of type %d", p.header.type);
    }
    packet_release(&p);
    return p.header.type;
}

static bool has_ended(const struct boss *b)
{
    siginfo_t info = {0};
    return b->pid > 0 && waitid(P_PID, (id_t)b->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

/* True when `done` says so; false when time is up or there is nobody to wait for. */
static bool serve_until(struct boss *b, bool (*done)(const struct boss *b, int type, int wanted), int wanted,
                        int wait_ms)
{
    const int64_t end = boss_clock_ms() + wait_ms;
    if (done(b, 0, wanted))
        return true;
    for (int64_t left = wait_ms; left > 0; left = end - boss_clock_ms()) {
        zmq_pollitem_t item = {b->socket, 0, ZMQ_POLLIN, 0};
        zmq_poll(&item, 1, left < 20 ? (long)left : 20);
        for (int type; (type = serve(b));)
            if (done(b, type, wanted))
                return true;
        if (has_ended(b) && !zmq_poll(&item, 1, 500))
            break;
    }
    return false;
}

static bool is_type(const struct boss *b, int type, int wanted)
{
    (void)b;
    return type && type == wanted;
}

static bool has_outcomes(const struct boss *b, int type, int wanted)
{
    (void)type;
    return b->outcome_count >= wanted;
}

static bool has_take(const struct boss *b, int type, int wanted)
{
    (void)type, (void)wanted;
    return b->take_waits;
}

bool boss_wait(struct boss *b, int type, int wait_ms)
{
    return serve_until(b, is_type, type, wait_ms);
}

bool boss_wait_outcomes(struct boss *b, int count, int wait_ms)
{
    return serve_until(b, has_outcomes, count, wait_ms);
}

void boss_send_grant(struct boss *b, const struct message_grant *grant)
{
    REQUIRE(serve_until(b, has_take, 0, BOSS_PATIENCE_MS));
    b->take_waits = false;
    boss_send(b, MESSAGE_GRANT, 0, &grant_schema, grant);
}

static void encode_item(const struct boss_item *item, bool is_noop, struct wire_buffer *params)
{
    if (is_noop)
        CHECK_OK(wire_encode(&kind_noop_item_schema,
                             &(struct kind_noop_item){.action = item->action, .payload = wire_str(item->payload)},
                             params));
    else if (item->out)
        CHECK_OK(wire_encode(&kind_features_item_schema, &(struct kind_features_item){wire_str(item->out)}, params));
}

uint64_t boss_grant(struct boss *b, const char *kind, const struct wire_schema *params_schema, const void *params,
                    const struct boss_item *items, int count)
{
    struct wire_buffer leases = {0}, job = {0};
    const uint64_t first = b->next_token;
    if (params_schema)
        CHECK_OK(wire_encode(params_schema, params, &job));
    for (int i = 0; i < count; i++) {
        struct wire_buffer own = {0};
        encode_item(&items[i], strcmp(kind, KIND_NOOP) == 0, &own);
        const struct message_lease l = {.index = (uint64_t)i,
                                        .token = b->next_token++,
                                        .attempt = items[i].attempt ? items[i].attempt : 1,
                                        .path = wire_str(items[i].path),
                                        .job = items[i].job,
                                        .object = {items[i].object, items[i].object ? LIMIT_OBJECT : 0},
                                        .checkpoint = {items[i].checkpoint, items[i].checkpoint ? LIMIT_OBJECT : 0},
                                        .progress = items[i].progress,
                                        .params = {own.data, (uint32_t)own.bytes}};
        CHECK_OK(wire_encode(&lease_schema, &l, &leases));
        wire_free(&own);
    }
    boss_send_grant(b, &(struct message_grant){.job = 1,
                                               .kind = wire_str(kind),
                                               .params = {job.data, (uint32_t)job.bytes},
                                               .leases = wire_list_of(&leases, (uint32_t)count),
                                               .priority = b->priority});
    wire_free(&leases);
    wire_free(&job);
    return first;
}

uint64_t boss_noop(struct boss *b, uint64_t sleep_ms, const struct boss_item *items, int count)
{
    return boss_grant(b, KIND_NOOP, &kind_noop_params_schema, &(struct kind_noop_params){.sleep_ms = sleep_ms}, items,
                      count);
}

static void send_verdict(struct boss *b, uint64_t token, enum lease_verdict verdict, int64_t priority)
{
    struct wire_buffer list = {0};
    CHECK_OK(wire_encode(&verdict_schema,
                         &(struct message_verdict){.token = token, .verdict = verdict, .priority = priority}, &list));
    boss_send(b, MESSAGE_VERDICTS, 0, &verdicts_schema, &(struct message_verdicts){wire_list_of(&list, 1)});
    wire_free(&list);
}

void boss_abort(struct boss *b, uint64_t token)
{
    send_verdict(b, token, VERDICT_ABORT, 0);
}

void boss_yield(struct boss *b, uint64_t token)
{
    send_verdict(b, token, VERDICT_YIELD, 0);
}

void boss_error(struct boss *b, uint32_t seq, enum wire_error code)
{
    CHECK_OK(channel_send_error(b->socket, &b->peer, seq, code, "as the test wants it"));
}

const struct outcome *boss_outcome(const struct boss *b, uint64_t token)
{
    for (int i = 0; i < b->outcome_count; i++)
        if (b->outcomes[i].token == token)
            return &b->outcomes[i];
    return NULL;
}

bool boss_holds(const uint64_t *tokens, int count, uint64_t token)
{
    for (int i = 0; i < count; i++)
        if (tokens[i] == token)
            return true;
    return false;
}

pid_t boss_compute(const struct boss *b)
{
    pid_t pid = 0;
    for (int i = 0; i < BOSS_PATIENCE_MS / 10 && pid == 0; i++) { /* there may be none for a moment, between two */
        char path[64], text[64] = {0};
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)b->pid, (int)b->pid);
        FILE *f = fopen(path, "r");
        if (f && fgets(text, sizeof text, f))
            pid = (pid_t)strtol(text, NULL, 10);
        if (f)
            fclose(f);
        if (pid == 0)
            usleep(10000);
    }
    return pid;
}

int boss_exit_code(struct boss *b, int wait_ms)
{
    int state = 0;
    const int64_t end = boss_clock_ms() + wait_ms;
    while (boss_clock_ms() < end) {
        if (waitpid(b->pid, &state, WNOHANG) == b->pid) {
            b->pid = 0;
            return WIFSIGNALED(state) ? -WTERMSIG(state) : WEXITSTATUS(state);
        }
        boss_wait(b, 0, 10);
    }
    return 1000;
}

void boss_close(struct boss *b)
{
    if (b->pid > 0) {
        kill(b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
    }
    zmq_close(b->socket);
    zmq_ctx_term(b->context);
    for (int i = 0; i < b->object_count; i++)
        free(b->objects[i].data);
}

void boss_stop(struct boss *b)
{
    const pid_t compute = boss_compute(b);
    CHECK(compute > 0);
    b->stopped = true;
    kill(b->pid, SIGTERM);
    const int code = boss_exit_code(b, BOSS_PATIENCE_MS);
    test_report(code == 0, __FILE__, __LINE__, "the supervisor ended with %d", code);
    boss_wait(b, MESSAGE_LEAVE, b->left ? 0 : b->mute ? 300 : BOSS_PATIENCE_MS);
    CHECK(b->left || b->mute);
    CHECK(kill(compute, 0) == -1 && errno == ESRCH);
    boss_close(b);
}

void boss_prefer(struct boss *b, uint64_t token, int64_t priority)
{
    send_verdict(b, token, VERDICT_PRIORITY, priority);
}
