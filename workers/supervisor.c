#include "supervisor.h"

#include "log.h"
#include "store_care.h"
#include "supervisor_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { POOL_THREADS = 2, SILENCE_BEATS = 5, BEAT_DEFAULT_MS = 1000, IDLE_MS = 1000, BUSY_MS = 50, CARE_MS = 10000 };
#define RESERVE_BYTES (UINT64_C(64) << 20)

int64_t supervisor_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void supervisor_enqueue(struct supervisor *s, struct item *it, bool first)
{
    it->queued = true;
    if (first) {
        it->next = s->queue;
        s->queue = it;
        if (!it->next)
            s->queue_tail = &it->next;
        return;
    }
    it->next = NULL;
    *s->queue_tail = it;
    s->queue_tail = &it->next;
}

/* An equal file that is being computed now, or was and is not committed yet. */
static struct item *find_leader(struct supervisor *s, const struct item *of)
{
    EACH_ITEM (s, l, it)
        if (it != of && !it->leader && !it->aborted && !it->code && l->stores && !l->force && item_same_work(it, of) &&
            (it->over ? it->put_record
                      : it->queued || it->stage == STAGE_RUNNING || it->stage == STAGE_FINISHING ||
                            it->stage == STAGE_OVER)) /* the pool has set that, and gives it back soon */
            return it;
    return NULL;
}

/* After prepare: serve it from an equal one, wait for that, or queue it for the child. */
static void route(struct supervisor *s, struct item *it)
{
    struct item *leader = it->lease->task == TASK_NOOP || it->lease->force ? NULL : find_leader(s, it);
    if (!leader) {
        supervisor_enqueue(s, it, false);
        return;
    }
    it->leader = leader;
    if (!leader->over)
        return; /* moved on when the leader is over */
    it->stage = STAGE_FINISHING;
    it->work.run = item_follow;
    pool_submit(s->pool, &it->work);
}

static void release_followers(struct supervisor *s, struct item *leader)
{
    EACH_ITEM (s, l, it) {
        if (it->leader != leader || it->stage != STAGE_WAITING)
            continue;
        if (leader->put_record && !leader->code) {
            it->work.run = item_follow;
            pool_submit(s->pool, &it->work);
            it->stage = STAGE_FINISHING;
        } else { /* it failed, or was taken back: everyone for himself */
            it->leader = NULL;
            route(s, it);
        }
    }
}

/* A lease whose records others still wait to read stays until they have. */
static bool is_followed(struct supervisor *s, const struct lease *lease)
{
    EACH_ITEM (s, l, it)
        if (it->leader && it->leader->lease == lease && l != lease && it->stage != STAGE_OVER)
            return true;
    return false;
}

void supervisor_item_over(struct supervisor *s, struct item *it)
{
    struct lease *l = it->lease;
    it->over = true;
    it->progress = 1;
    release_followers(s, it);
    if (--l->left > 0)
        return;
    bool writes = false;
    for (size_t i = 0; i < l->count; i++)
        writes |= l->items[i].put_record || l->items[i].put_stat;
    l->committing = true;
    l->work.run = lease_commit;
    if (writes)
        pool_submit(s->pool, &l->work);
    else
        uplink_report(s, l);
}

static void drop_reported(struct supervisor *s)
{
    for (struct lease **at = &s->leases; *at;) {
        struct lease *l = *at;
        if (!l->reported || is_followed(s, l)) {
            at = &l->next;
            continue;
        }
        for (struct lease *other = s->leases; other; other = other->next)
            for (size_t i = 0; i < other->count; i++)
                if (other->items[i].leader && other->items[i].leader->lease == l)
                    other->items[i].leader = NULL;
        *at = l->next;
        lease_destroy(&l);
    }
}

/* Pool work: the oldest records go when the store is over its limit. */
static void care_for_store(struct pool_work *w)
{
    const struct care *c = (const struct care *)((const char *)w - offsetof(struct care, work));
    struct store_pruned gone;
    if (store_keep_within(c->store, c->objects, c->limit_bytes, &gone))
        log_error("the store could not be kept within its limit: %s", status_message());
    else if (gone.records)
        log_info("store limit: %llu records and %llu objects removed, %.1f MiB are left",
                 (unsigned long long)gone.records, (unsigned long long)gone.objects, (double)gone.left_bytes / 1048576);
}

static void start_care(struct supervisor *s)
{
    struct care *c = &s->care;
    const int64_t now = supervisor_now_ms();
    if (!c->limit_bytes || !c->due || c->runs || now < c->next_ms)
        return;
    c->next_ms = now + CARE_MS;
    c->due = false;
    c->runs = true;
    c->work.run = care_for_store;
    pool_submit(s->pool, &c->work);
}

static void take_finished(struct supervisor *s)
{
    struct pool_work *w;
    while ((w = pool_finished(s->pool))) {
        if (w->run == care_for_store) {
            s->care.runs = false;
            continue;
        }
        if (w->run == lease_commit) {
            s->care.due = true;
            uplink_report(s, (struct lease *)((char *)w - offsetof(struct lease, work)));
            continue;
        }
        struct item *it = (struct item *)((char *)w - offsetof(struct item, work));
        if (it->stage == STAGE_WAITING && it->aborted) {
            it->stage = STAGE_OVER;
            item_release(it);
        }
        if (it->stage == STAGE_OVER)
            supervisor_item_over(s, it);
        else
            route(s, it);
    }
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD)
            s->stop = true;
}

static void timers(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    if (now >= s->next_beat_ms) {
        s->next_beat_ms = now + s->beat_ms;
        if (s->engaged && now - s->heard_ms > SILENCE_BEATS * s->beat_ms) {
            log_warn("the scheduler is silent");
            s->engaged = false;
        }
        if (s->engaged)
            uplink_beat(s);
        else if (now - s->ready_ms >= s->beat_ms)
            uplink_ready(s);
        uplink_resend(s);
    }
    child_side_watch(s);
    start_care(s);
}

static int loop(struct supervisor *s)
{
    uplink_ready(s);
    while (!s->stop) {
        zmq_pollitem_t polled[4] = {{s->socket, 0, ZMQ_POLLIN, 0},
                                    {NULL, pool_event_fd(s->pool), ZMQ_POLLIN, 0},
                                    {NULL, s->signal_fd, ZMQ_POLLIN, 0},
                                    {NULL, s->child.socket, ZMQ_POLLIN, 0}};
        if (zmq_poll(polled, 4, s->running ? BUSY_MS : IDLE_MS / 4) < 0 && errno != EINTR)
            return fail(STATUS_IO, "poll: %s", zmq_strerror(errno));
        on_signal(s);
        uplink_receive(s);
        child_side_receive(s);
        take_finished(s);
        child_side_dispatch(s);
        drop_reported(s);
        uplink_take(s);
        timers(s);
    }
    return s->child.pid > 0 ? STATUS_OK : fail(STATUS_IO, "no compute child");
}

static int open_signals(struct supervisor *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) || (s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        return fail(STATUS_IO, "signalfd: %s", strerror(errno));
    return STATUS_OK;
}

/* Each leased item may hold a few descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void shut(struct supervisor *s)
{
    uplink_leave(s);
    s->places.closing = true; /* hashing what waits could take minutes */
    pool_destroy(&s->pool);
    child_end(&s->child, NULL, 0);
    while (s->leases) {
        struct lease *l = s->leases;
        s->leases = l->next;
        lease_destroy(&l);
    }
    store_close(&s->places.store);
    if (s->socket) {
        const int linger = 200; /* let LEAVE get out */
        zmq_setsockopt(s->socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_close(s->socket);
    }
    if (s->zmq)
        zmq_ctx_term(s->zmq);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}

static void name_decoders(struct supervisor *s)
{
    char text[512];
    struct stat program = {0};
    if (s->ffmpeg)
        stat(s->ffmpeg, &program);
    snprintf(text, sizeof text, "%s %s %lld", WAVEMILL_VERSION, s->ffmpeg ? s->ffmpeg : "",
             (long long)program.st_mtim.tv_sec);
    hash_short(text, strlen(text), s->places.decoders);
}

int supervisor_run(const struct supervisor_options *options)
{
    static char ffmpeg[4096];
    struct supervisor s = {.options = options,
                           .signal_fd = -1,
                           .child = {.socket = -1},
                           .beat_ms = BEAT_DEFAULT_MS,
                           .credits = (uint32_t)options->threads,
                           .most_running = 2 * options->threads};
    s.queue_tail = &s.queue;
    s.places.features = options->features;
    s.places.objects = options->objects;
    s.places.reserve_bytes = options->reserve_bytes ? options->reserve_bytes : RESERVE_BYTES;
    s.heard_ms = supervisor_now_ms();
    s.ffmpeg = ffmpeg_find(ffmpeg, sizeof ffmpeg) == STATUS_OK ? ffmpeg : NULL;
    name_decoders(&s);
    raise_descriptor_limit();
    int code = open_signals(&s);
    if (!code)
        code = child_side_start(&s); /* first: it gets ready while we do */
    if (!code && !(s.zmq = zmq_ctx_new()))
        code = fail(STATUS_NOMEM, "zmq: %s", zmq_strerror(errno));
    if (!code)
        code = channel_open(s.zmq, ZMQ_DEALER, &s.socket);
    if (!code && zmq_connect(s.socket, options->worker_socket))
        code = fail(STATUS_IO, "cannot connect to %s: %s", options->worker_socket, zmq_strerror(errno));
    if (!code)
        code = store_open(options->features, &(struct store_options){0}, &s.places.store);
    if (!code)
        code = pool_create(POOL_THREADS, &s.pool);
    s.care.store = s.places.store;
    s.care.objects = options->objects;
    s.care.limit_bytes = options->store_limit_bytes;
    if (!code)
        code = loop(&s);
    shut(&s);
    return code;
}
