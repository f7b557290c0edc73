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

enum {
    POOL_THREADS = 2,
    SILENCE_BEATS = 5,
    BEAT_DEFAULT_MS = 1000,
    IDLE_MS = 1000,
    BUSY_MS = 50,
    LINES_MS = 50, /* between beats whose entries are full of lines */
    PART_MS = 500,
    CARE_MS = 10000,
    DRAIN_MS = 2000,
    SWEEP_MS = 3600 * 1000
};
#define RESERVE_BYTES (UINT64_C(64) << 20)

int64_t supervisor_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The more important, then the older. */
void supervisor_enqueue(struct supervisor *s, struct item *it, bool first)
{
    struct item **at = &s->queue;
    const int64_t ahead = it->priority + (first ? 1 : 0);
    while (*at && (*at)->priority >= ahead)
        at = &(*at)->next;
    it->queued = true;
    it->next = *at;
    *at = it;
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

void supervisor_submit(struct supervisor *s, struct item *it)
{
    it->with_pool = true;
    pool_submit(s->pool, &it->work);
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
    supervisor_submit(s, it);
}

static void release_followers(struct supervisor *s, struct item *leader)
{
    EACH_ITEM (s, l, it) {
        if (it->leader != leader || it->stage != STAGE_WAITING)
            continue;
        if (leader->put_record && !leader->code) {
            it->work.run = item_follow;
            it->stage = STAGE_FINISHING; /* first: from then on the pool moves it */
            supervisor_submit(s, it);
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

/* Stores and reports what of the lease has ended since the last time. */
static void settle(struct supervisor *s, struct lease *l)
{
    bool writes = false, any = false;
    if (l->committing)
        return; /* the rest follows when that part is reported */
    for (size_t i = 0; i < l->count; i++) {
        struct item *it = &l->items[i];
        it->committing = it->over && !it->reported;
        any |= it->committing;
        writes |= it->committing && (it->put_record || it->put_stat);
    }
    if (!any)
        return;
    l->committing = true;
    l->work.run = lease_commit;
    if (writes)
        pool_submit(s->pool, &l->work);
    else
        uplink_report(s, l);
}

/* What has ended does not wait long for what goes on: others watch, a deadline may come, and what is not committed is
 * lost with this process. */
static void settle_parts(struct supervisor *s, int64_t now)
{
    for (struct lease *l = s->leases; l; l = l->next)
        if (l->left && (s->drain_until_ms || now - l->told_ms >= PART_MS))
            settle(s, l);
}

void supervisor_item_over(struct supervisor *s, struct item *it)
{
    struct lease *l = it->lease;
    it->over = true;
    it->progress = 1;
    if (it->ffmpeg_said[0])
        item_log_add(&it->log, it->ffmpeg_said, strlen(it->ffmpeg_said));
    release_followers(s, it);
    if (it->yields)
        uplink_returned(s, it);
    if (--l->left == 0)
        settle(s, l);
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
        if (saving_is_work(w)) {
            saving_hashed(w);
            continue;
        }
        if (handed_is_work(w)) {
            handed_written(s, w);
            continue;
        }
        if (w == &s->sweep)
            continue;
        if (w->run == lease_commit) {
            s->care.due = true;
            struct lease *l = (struct lease *)((char *)w - offsetof(struct lease, work));
            uplink_report(s, l);
            if (!l->left)
                settle(s, l); /* what has ended meanwhile */
            continue;
        }
        struct item *it = (struct item *)((char *)w - offsetof(struct item, work));
        it->with_pool = false;
        if ((it->stage == STAGE_WAITING || it->stage == STAGE_FETCHING) && it->aborted) {
            it->stage = STAGE_OVER;
            item_release(it);
        }
        if (it->stage == STAGE_OVER)
            supervisor_item_over(s, it);
        else if (it->stage == STAGE_WAITING) /* else transfers_work sees it */
            route(s, it);
    }
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD) {
            s->stop = s->drain_until_ms != 0 || !s->engaged;
            s->drain_until_ms = supervisor_now_ms() + DRAIN_MS;
            if (!s->stop)
                uplink_return(s);
        }
}

/* The end, when there is nothing left to wait for. */
static void drain(struct supervisor *s)
{
    if (s->drain_until_ms && ((!s->leases && !s->reports) || supervisor_now_ms() >= s->drain_until_ms))
        s->stop = true;
}

/* Over tcp the way to the scheduler may be what is lost: it lets the leases end, and others have the items. A local one
 * is dead when it is silent, and takes the leases up again when it is back. */
static void mind_leases(struct supervisor *s, int64_t now)
{
    if (!s->places.is_remote || !s->lease_ms || !s->leases || now - s->heard_ms < s->lease_ms - s->beat_ms)
        return;
    log_warn("the scheduler has been silent for almost as long as leases last: what was leased is dropped");
    uplink_drop_all(s);
    s->lease_ms = 0;
}

static void sweep_fetched(struct pool_work *w)
{
    const struct supervisor *s = (const struct supervisor *)((const char *)w - offsetof(struct supervisor, sweep));
    fetched_sweep(s->places.fetched);
}

static void timers(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    const bool lines = s->engaged && s->says_much && now - s->beat_at_ms >= LINES_MS;
    if (lines && now < s->next_beat_ms)
        uplink_beat(s);
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
    mind_leases(s, now);
    settle_parts(s, now);
    if (s->places.is_remote && now >= s->next_sweep_ms) {
        s->next_sweep_ms = now + SWEEP_MS;
        s->sweep.run = sweep_fetched;
        pool_submit(s->pool, &s->sweep);
    }
    child_side_watch(s);
    start_care(s);
}

static int loop(struct supervisor *s)
{
    uplink_ready(s);
    while (!s->stop) {
        zmq_pollitem_t polled[5] = {{s->socket, 0, ZMQ_POLLIN, 0},
                                    {NULL, pool_event_fd(s->pool), ZMQ_POLLIN, 0},
                                    {NULL, s->signal_fd, ZMQ_POLLIN, 0},
                                    {NULL, s->child.socket, ZMQ_POLLIN, 0},
                                    {NULL, s->child.log, ZMQ_POLLIN, 0}};
        if (zmq_poll(polled, s->child.log >= 0 ? 5 : 4, s->running ? BUSY_MS : IDLE_MS / 4) < 0 && errno != EINTR)
            return fail(STATUS_IO, "poll: %s", zmq_strerror(errno));
        on_signal(s);
        uplink_receive(s);
        child_side_logs(s);
        child_side_receive(s);
        take_finished(s);
        transfers_work(s);
        child_side_dispatch(s);
        child_side_make_room(s);
        drop_reported(s);
        uplink_take(s);
        timers(s);
        drain(s);
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
    transfers_end(s);
    handed_end(s);
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
                           .child = {.socket = -1, .log = -1},
                           .beat_ms = BEAT_DEFAULT_MS,
                           .credits = (uint32_t)options->threads,
                           .most_running = 2 * options->threads};
    s.places.features = options->features;
    s.places.home = options->home;
    s.places.objects = options->objects;
    s.places.fetched = options->fetched;
    s.places.is_remote = strncmp(options->worker_socket, "tcp:", 4) == 0;
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
