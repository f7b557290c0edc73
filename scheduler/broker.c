#include "broker_state.h"
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { DEFAULT_LEASE_MS = 10000, DEFAULT_BEAT_MS = 1000, DEFAULT_SESSION_MS = 5000, REPLIES_PER_EVENT = 4 };

int64_t broker_unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- life ---- */

static int bind_socket(struct broker *b, void **socket, const char *path)
{
    char address[RUNDIR_PATH + 8];
    const int code = channel_open(b->context, ZMQ_ROUTER, socket);
    if (code)
        return code;
    snprintf(address, sizeof address, "ipc://%s", path);
    const mode_t before = umask(0177); /* the file appears with mode 0600 */
    const int failed = zmq_bind(*socket, address);
    umask(before);
    return failed ? fail(STATUS_IO, "%s: %s", address, zmq_strerror(errno)) : STATUS_OK;
}

/* Sessions with a key may come back: each has the usual time to. Without a place for it a session is over. */
static int expect_sessions(struct broker *b)
{
    int code = STATUS_OK;
    for (uint64_t s = 0; !code && (s = queue_session_after(b->queue, s)) != 0;) {
        struct channel_peer nobody = {.bytes = 1 + sizeof s};
        struct peer *p;
        nobody.id[0] = 0xff; /* ZeroMQ's own begin with 0 */
        memcpy(nobody.id + 1, &s, sizeof s);
        if (peers_add(&b->clients, &nobody, s, b->now_ms, &p))
            code = broker_apply(b, &(struct queue_event){.type = QUEUE_SESSION_GONE, .session = s}, NULL, 0);
    }
    return code;
}

/* What the journal kept, and what has ended with the process before. */
static int restore(struct broker *b)
{
    struct journal_loaded loaded;
    b->now_ms = clock_ms();
    int code = queue_restore(b->queue, b->now_ms, broker_unix_ms(), &loaded);
    code = code ? code : rundir_raise_epoch(&b->rundir, queue_epoch(b->queue));
    b->now_ms = clock_ms(); /* reading takes time, which leases and sessions must not lose */
    if (!code)
        queue_begin(b->queue, b->now_ms);
    code = code ? code : expect_sessions(b);
    if (!code && b->options.journal)
        code = b->options.journal->commit(b->options.journal);
    if (!code && (loaded.jobs || loaded.damaged))
        log_info("%llu jobs from the journal, %llu damaged ones left out", (unsigned long long)loaded.jobs,
                 (unsigned long long)loaded.damaged);
    return code;
}

static int open_all(struct broker *b)
{
    struct queue_options queue = {.lease_ms = b->options.lease_ms, .journal = b->options.journal};
    int code = rundir_open(b->options.run_dir, broker_unix_ms(), &b->rundir);
    if (code)
        return code;
    queue.epoch = b->rundir.epoch;
    code = queue_create(&queue, &b->queue);
    code = code ? code : restore(b);
    if (code)
        return code;
    b->context = zmq_ctx_new();
    if (!b->context)
        return fail(STATUS_IO, "zmq context: %s", zmq_strerror(errno));
    code = bind_socket(b, &b->client, b->rundir.client);
    code = code ? code : bind_socket(b, &b->worker, b->rundir.worker);
    code = code ? code : tcp_open(b);
    return code ? code : objects_start(b);
}

int broker_create(const struct broker_options *options, struct broker **out)
{
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return fail(STATUS_NOMEM, "broker");
    b->options = *options;
    b->rundir.folder = b->rundir.lock = b->start_lock = -1;
    if (b->options.lease_ms == 0)
        b->options.lease_ms = DEFAULT_LEASE_MS;
    if (b->options.beat_ms == 0)
        b->options.beat_ms = DEFAULT_BEAT_MS;
    if (b->options.session_timeout_ms == 0)
        b->options.session_timeout_ms = DEFAULT_SESSION_MS;
    watch_init(b);
    const int code = open_all(b);
    if (code) {
        broker_destroy(&b);
        return code;
    }
    b->commit_by_ms = INT64_MAX;
    b->started_ms = b->now_ms = b->alone_since_ms = clock_ms();
    *out = b;
    return STATUS_OK;
}

void broker_destroy(struct broker **out)
{
    struct broker *b = *out;
    if (!b)
        return;
    if (b->rundir.lock >= 0)
        rundir_remove_sockets(&b->rundir);
    objects_stop(b);
    if (b->monitor)
        zmq_close(b->monitor);
    if (b->client)
        zmq_close(b->client);
    if (b->worker)
        zmq_close(b->worker);
    if (b->context)
        zmq_ctx_term(b->context);
    while (b->lost) {
        struct lost *l = b->lost;
        b->lost = l->next;
        wire_free(&l->tokens);
        free(l);
    }
    watch_free(b);
    logs_free(b);
    peers_free(&b->clients);
    peers_free(&b->workers);
    free(b->replies);
    free(b->actions.list);
    free(b->actions.entries);
    queue_destroy(&b->queue);
    rundir_close(&b->rundir);
    if (b->start_lock >= 0)
        rundir_start_unlock(b->start_lock);
    free(b);
    *out = NULL;
}

uint64_t broker_epoch(const struct broker *b)
{
    return b->rundir.epoch;
}

void broker_counts(const struct broker *b, struct broker_counts *out)
{
    *out = b->counts;
    out->sessions = b->clients.count;
    out->workers = b->workers.count;
    out->watches = b->watches.count;
}

/* ---- events ---- */

/* Without memory for the reply: an answer or an ABORT is lost as on a broken connection, a GRANT is taken back. */
static void route_reply(struct broker *b, size_t action, bool to_worker, const struct channel_peer *to, uint32_t seq)
{
    const struct queue_action *a = &b->actions.list[action];
    if (to && reply_reserve(b, 1) == STATUS_OK)
        reply_add(b, REPLY_ACTION, to_worker, to, seq)->action = action;
    else if (a->type == QUEUE_GRANT)
        reply_lost(b, a);
}

static void route(struct broker *b, size_t action, bool to_worker, const struct channel_peer *from, uint32_t seq)
{
    const struct queue_action *a = &b->actions.list[action];
    struct peer *worker = a->worker ? peers_numbered(&b->workers, a->worker) : NULL;
    switch (a->type) {
    case QUEUE_CHANGED:
        watch_changed(b, a->job);
        break;
    case QUEUE_BLAMED:
        log_warn("worker %llu is quarantined: three items crashed on it and on no other",
                 (unsigned long long)a->worker);
        break;
    case QUEUE_GONE:
        if (worker)
            peers_remove(&b->workers, worker);
        break;
    case QUEUE_GRANT:
        route_reply(b, action, true, worker ? &worker->id : NULL, worker ? worker->take_seq : 0);
        break;
    case QUEUE_ABORT:
        route_reply(b, action, true, worker ? &worker->id : NULL, 0);
        break;
    default:
        route_reply(b, action, to_worker, from, seq);
    }
}

int broker_apply(struct broker *b, const struct queue_event *e, const struct channel_peer *from, uint32_t seq)
{
    struct queue_event event = *e;
    const size_t first = b->actions.count;
    event.unix_ms = broker_unix_ms();
    int code = reply_reserve(b, REPLIES_PER_EVENT + b->workers.count);
    if (!code)
        code = queue_apply(b->queue, b->now_ms, &event, &b->actions);
    for (size_t i = first; i < b->actions.count; i++)
        route(b, i, e->type >= QUEUE_READY, from, seq);
    b->counts.events++;
    return code;
}

void broker_end_session(struct broker *b, struct peer *p)
{
    const struct queue_event e = {.type = QUEUE_SESSION_GONE, .session = p->number};
    if (broker_apply(b, &e, NULL, 0)) {
        peers_touch(&b->clients, p, b->now_ms); /* no memory: again after another time-out */
        return;
    }
    watch_forget(b, p->number);
    peers_remove(&b->clients, p);
    if (b->clients.count == 0)
        b->alone_since_ms = b->now_ms;
}

/* ---- one turn ---- */

/* One message from a socket; false: none was there. */
static bool receive(struct broker *b, void *socket)
{
    struct packet p;
    const bool is_worker = socket == b->worker;
    const int code = channel_receive(socket, &p);
    if (code == STATUS_TIMEOUT)
        return false;
    b->now_ms = clock_ms();
    if (reply_reserve(b, REPLIES_PER_EVENT)) {
        packet_release(&p);
        return true; /* no memory for any answer: as if it had been lost */
    }
    if (code) {
        b->counts.bad_messages++;
        if (p.peer.bytes)
            reply_error(b, is_worker, &p.peer, p.header.seq, p.other_version ? ERROR_VERSION : ERROR_BODY,
                        p.other_version ? "this scheduler speaks version 1" : "not three frames of this protocol");
        return true;
    }
    if (is_worker)
        worker_message(b, &p);
    else
        client_message(b, &p);
    packet_release(&p);
    return true;
}

/* Messages that wait, both sockets by turns; true: nothing is left. */
static bool drain(struct broker *b)
{
    const int64_t end = clock_ms() + GROUP_MS;
    bool any = true;
    for (int n = 0; any && n < GROUP_EVENTS && b->now_ms <= end; n += 2) {
        any = receive(b, b->worker);
        any |= receive(b, b->client);
    }
    return !any;
}

/* Leases, workers and sessions end only when no message waits that may keep them alive: after the process stood still,
 * those are read first. Under lasting load that rule gives way. */
static void pass_time(struct broker *b, bool drained)
{
    b->now_ms = clock_ms();
    if (!drained && ++b->postponed < TICK_POSTPONED)
        return;
    b->postponed = 0;
    if (queue_next_deadline_ms(b->queue) <= b->now_ms &&
        broker_apply(b, &(struct queue_event){.type = QUEUE_TICK}, NULL, 0))
        log_error("out of memory; trying again");
    tcp_work(b);
    while (b->clients.oldest && b->now_ms - b->clients.oldest->heard_ms >= b->options.session_timeout_ms)
        broker_end_session(b, b->clients.oldest);
}

static int64_t next_deadline(const struct broker *b)
{
    int64_t at = queue_next_deadline_ms(b->queue);
    const int64_t others[] = {objects_next_ms(b), tcp_next_ms(b)};
    for (int i = 0; i < 2; i++)
        at = others[i] < at ? others[i] : at;
    const struct watch *w = heap_first(&b->watches);
    if (w && w->until_ms < at)
        at = w->until_ms;
    if (b->commit_by_ms < at)
        at = b->commit_by_ms;
    const struct peer *p = b->clients.oldest;
    if (p && p->heard_ms + b->options.session_timeout_ms < at)
        at = p->heard_ms + b->options.session_timeout_ms;
    if (!p && b->options.linger_ms >= 0 && b->alone_since_ms + b->options.linger_ms < at)
        at = b->alone_since_ms + b->options.linger_ms;
    return at;
}

static int wait_for_work(struct broker *b, int64_t wait_ms, bool *stop)
{
    zmq_pollitem_t items[] = {{.socket = b->worker, .events = ZMQ_POLLIN},
                              {.socket = b->client, .events = ZMQ_POLLIN},
                              {.socket = b->monitor, .events = ZMQ_POLLIN},
                              {.fd = b->options.stop_fd, .events = ZMQ_POLLIN}};
    const int64_t left = next_deadline(b) - clock_ms();
    if (left < wait_ms)
        wait_ms = left > 0 ? left : 0;
    if (b->reply_count)
        wait_ms = 0;
    const int n = zmq_poll(items, b->options.stop_fd >= 0 ? 4 : 3, wait_ms > INT_MAX ? INT_MAX : (long)wait_ms);
    if (n < 0 && errno != EINTR)
        return fail(STATUS_IO, "zmq poll: %s", zmq_strerror(errno));
    *stop = n > 0 && b->options.stop_fd >= 0 && (items[3].revents & ZMQ_POLLIN);
    return STATUS_OK;
}

/* Commits the group, unless it can wait for another: grants, which are only sent again when they are lost. */
static int commit(struct broker *b)
{
    struct journal *const j = b->options.journal;
    if (!j)
        return STATUS_OK;
    if (j->can_wait && j->can_wait(j) && b->now_ms < b->commit_by_ms) {
        if (b->commit_by_ms == INT64_MAX)
            b->commit_by_ms = b->now_ms + DEFER_MS;
        return STATUS_OK;
    }
    b->commit_by_ms = INT64_MAX;
    return j->commit(j);
}

static int work(struct broker *b)
{
    pass_time(b, drain(b));
    objects_work(b);
    b->counts.groups++;
    const int code = commit(b);
    if (code)
        return code;
    reply_flush(b);
    watch_flush(b);
    return STATUS_OK;
}

/* Nobody is there: may the process end? Only under the lock that clients hold while they start, and which is kept until
 * the scheduler's own is given back: whoever looks next finds all of it or nothing. */
static int try_to_end(struct broker *b, bool *over)
{
    int fd = -1;
    int code = rundir_start_lock(&b->rundir, &fd);
    if (code == STATUS_BUSY) {
        b->alone_since_ms = b->now_ms;
        return STATUS_OK;
    }
    if (code)
        return code;
    code = work(b); /* what waited on the sockets */
    *over = b->clients.count == 0;
    if (*over)
        b->start_lock = fd;
    else
        rundir_start_unlock(fd);
    return code;
}

int broker_turn(struct broker *b, int64_t wait_ms, bool *over)
{
    *over = false;
    int code = wait_for_work(b, wait_ms, over);
    if (code || *over)
        return code;
    code = work(b);
    if (!code && b->options.linger_ms >= 0 && b->clients.count == 0 &&
        b->now_ms - b->alone_since_ms >= b->options.linger_ms)
        code = try_to_end(b, over);
    return code;
}

int broker_run(struct broker *b)
{
    bool over = false;
    int code = STATUS_OK;
    while (!over && !code)
        code = broker_turn(b, INT_MAX, &over);
    if (!code && b->options.journal) /* grants that were to be committed with something else */
        code = b->options.journal->commit(b->options.journal);
    return code;
}
