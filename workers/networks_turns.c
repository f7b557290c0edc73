/* Turns on the exec that all share, and what runs in them: segments that wait for the same network, together. */
#include "networks_state.h"

#include "log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE = 320, PASS_WAITS = 2 };

/* What a turn may take, of more than one segment. Where one keeps all threads busy for long, more gain nothing
 * (measured: full size, two threads: 1.0 times as fast; small networks 1.2). */
static const double TURN_S = 2;

/* Segments of one song that a device is asked for at once, and of one run there: more fill no device better. */
enum { TOGETHER_MOST = 8 };

/* A segment that a song's thread waits for. */
struct wish {
    const struct htdemucs *net;
    struct htdemucs_segment segment;
    bool taken, done;
    int code;
    char message[MESSAGE];
    struct wish *next;
};

/* Who waits says so soon enough for others to make room within a second. */
static const long ALIVE_NS = 250000000, SECOND_NS = 1000000000;

void networks_wait(struct networks *n, pthread_cond_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ALIVE_NS;
    until.tv_sec += until.tv_nsec / SECOND_NS;
    until.tv_nsec %= SECOND_NS;
    pthread_cond_timedwait(what, &n->lock, &until);
}

struct exec *networks_exec(struct networks *n)
{
    return n->exec;
}

/* For a while, or until something has turned; then a sign of life, without the lock. */
static void wait_alive(struct networks *n, const struct demucs_alive *alive)
{
    networks_wait(n, &n->turned);
    if (!alive || !alive->tell)
        return;
    pthread_mutex_unlock(&n->lock);
    alive->tell(alive->context);
    pthread_mutex_lock(&n->lock);
}

void networks_enter_turn(struct networks *n, const struct demucs_alive *alive)
{
    n->waiting++;
    while (n->turn)
        wait_alive(n, alive);
    n->waiting--;
    n->turn = true;
    n->turns++;
}

void networks_enter_turn_alone(struct networks *n)
{
    networks_enter_turn(n, NULL);
    while (n->flights > 0) /* nothing begins meanwhile */
        pthread_cond_wait(&n->turned, &n->lock);
}

void networks_leave_turn(struct networks *n)
{
    n->turn = false;
    pthread_cond_broadcast(&n->turned);
}

struct exec *networks_begin_turn(struct networks *n, const struct demucs_alive *alive)
{
    pthread_mutex_lock(&n->lock);
    networks_enter_turn(n, alive);
    pthread_mutex_unlock(&n->lock);
    return n->exec;
}

/* Who takes the next turn at once would have them all: those that wait take longer to wake. */
void networks_pass_turn(struct networks *n, const struct demucs_alive *alive)
{
    pthread_mutex_lock(&n->lock);
    const uint64_t seen = n->turns;
    networks_leave_turn(n);
    for (int i = 0; i < PASS_WAITS && n->waiting && n->turns == seen; i++) /* until it is theirs, and over */
        networks_wait(n, &n->turned);
    networks_enter_turn(n, alive);
    pthread_mutex_unlock(&n->lock);
}

void networks_end_turn(struct networks *n)
{
    pthread_mutex_lock(&n->lock);
    networks_leave_turn(n);
    pthread_mutex_unlock(&n->lock);
}

/* ---- batches ---- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What runs together: begun by a thread that has a wish in it, and finished by the same. */
struct batch {
    struct wish *wish[HTDEMUCS_SEGMENTS_MOST];
    int count, which;
    double began;
};

/* How many of the segments that wait for a network run now, 0: none, as the room must be another for them and is in
 * use. On a device not all that wait at first: while they run the others are copied in. */
static int choose(const struct networks *n, const struct htdemucs *net)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    const struct wish *oldest = n->wishes;
    while (oldest && oldest->taken)
        oldest = oldest->next;
    if (n->flights && oldest && oldest->net != net)
        return 0; /* else those of one network, always with a run in flight, would keep it from the room */
    int waiting = 0, count = n->segment_s > 0 ? (int)fmin(TURN_S / n->segment_s, HTDEMUCS_SEGMENTS_MOST) : 1;
    for (const struct wish *w = n->wishes; w; w = w->next)
        waiting += !w->taken && w->net == net;
    if (n->loader && n->flights == 0)
        waiting = (waiting + 1) / 2;
    count = waiting < count ? waiting : count;
    count = n->loader && count > TOGETHER_MOST ? TOGETHER_MOST : count;
    count = n->most && n->most < count ? n->most : count;
    while (count > 1 && networks_bytes(n, htdemucs_room_bytes(c, count)) > n->limit)
        count--;
    count = count > 1 ? count : 1;
    return n->flights == 0 || htdemucs_room_suits(n->room, net, count) ? count : 0;
}

/* `own` and what came first of the others. */
static void gather(struct networks *n, struct wish *own, int count, struct batch *b)
{
    *b = (struct batch){.wish = {own}, .count = 1};
    for (struct wish *w = n->wishes; w && b->count < count; w = w->next)
        if (w != own && !w->taken && w->net == own->net)
            b->wish[b->count++] = w;
    for (int i = 0; i < b->count; i++)
        b->wish[i]->taken = true;
    while (n->flying[b->which])
        b->which++;
    n->flying[b->which] = true;
    n->flights++;
}

/* In a turn, without the lock. */
static int enter_room(struct networks *n, const struct htdemucs *net, int segments)
{
    pthread_mutex_lock(&n->lock);
    int code = networks_make_room(n, net, segments);
    while (code == STATUS_NOMEM && n->loader && networks_let_go(n))
        code = networks_make_room(n, net, segments);
    pthread_mutex_unlock(&n->lock);
    return code;
}

/* In a turn, without the lock, as the next three. */
static int begin_some(struct networks *n, struct wish *const wish[], int count, int which)
{
    struct htdemucs_segment segments[HTDEMUCS_SEGMENTS_MOST];
    for (int i = 0; i < count; i++)
        segments[i] = wish[i]->segment;
    const int code = enter_room(n, wish[0]->net, count);
    return code ? code : htdemucs_begin(wish[0]->net, n->exec, n->room, which, segments, count);
}

static void tell(struct wish *w, int code)
{
    w->code = code;
    if (code)
        snprintf(w->message, MESSAGE, "%s", status_message());
}

static void run_one_by_one(struct networks *n, const struct batch *b)
{
    pthread_mutex_lock(&n->lock);
    n->most = b->count / 2;
    log_warn("networks take at most %d segments at once from now on: %s", n->most, status_message());
    pthread_mutex_unlock(&n->lock);
    for (int i = 0; i < b->count; i++) {
        const int code = begin_some(n, &b->wish[i], 1, b->which);
        tell(b->wish[i], code ? code : htdemucs_finish(n->room, b->which));
    }
}

/* Whether it flies: it is to be finished then; else it has ended, and its wishes have their codes. */
static bool begin_batch(struct networks *n, const struct batch *b)
{
    const int code = begin_some(n, b->wish, b->count, b->which);
    if (!code)
        return true;
    if (code == STATUS_NOMEM && b->count > 1)
        run_one_by_one(n, b);
    else
        for (int i = 0; i < b->count; i++)
            tell(b->wish[i], code);
    return false;
}

static void remove_wish(struct networks *n, const struct wish *gone)
{
    struct wish **at = &n->wishes;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
}

/* Whoever waits for them hears of it. With the lock, as what follows. */
static void end_batch(struct networks *n, const struct batch *b)
{
    const double now = now_s(), from = b->began > n->finished_s ? b->began : n->finished_s;
    n->segment_s = (now - from) / b->count;
    n->finished_s = now;
    for (int i = 0; i < b->count; i++)
        b->wish[i]->done = true;
    n->flying[b->which] = false;
    n->flights--;
    pthread_cond_broadcast(&n->turned);
}

/* Gives the lock back while it waits. */
static void finish_batch(struct networks *n, const struct batch *b)
{
    pthread_mutex_unlock(&n->lock);
    const int code = htdemucs_finish(n->room, b->which);
    for (int i = 0; i < b->count; i++)
        tell(b->wish[i], code);
    pthread_mutex_lock(&n->lock);
    end_batch(n, b);
}

/* Begins own, and what can go with it: gives the lock back for as long as that takes, on the CPU until all is done.
 * Whether it flies now. */
static bool lead(struct networks *n, struct wish *own, int count, struct batch *b)
{
    networks_enter_turn(n, NULL); /* nobody has one: the lock was not given back since that was seen */
    gather(n, own, count, b);
    pthread_mutex_unlock(&n->lock);
    b->began = now_s();
    const bool flies = begin_batch(n, b);
    pthread_mutex_lock(&n->lock);
    if (!flies)
        end_batch(n, b);
    else if (!n->loader)
        finish_batch(n, b);
    networks_leave_turn(n);
    return flies && n->loader;
}

/* The first that nobody has taken; NULL: there is none. */
static struct wish *untaken(struct wish *own, int count)
{
    for (int i = 0; i < count; i++)
        if (!own[i].taken)
            return &own[i];
    return NULL;
}

static bool all_done(const struct wish *own, int count)
{
    for (int i = 0; i < count; i++)
        if (!own[i].done)
            return false;
    return true;
}

/* Until all are done: begins what can begin, finishes what it has begun, or waits for others. Each batch that it begins
 * has a wish of its own in it, so none is left over. */
static void see_to(struct networks *n, struct wish *own, int count, const struct demucs_alive *alive)
{
    struct batch mine[HTDEMUCS_RUNS_MOST];
    int flights = 0; /* of mine, the one that was begun first in front */
    while (!all_done(own, count)) {
        struct wish *const next = n->turn || n->flights == HTDEMUCS_RUNS_MOST ? NULL : untaken(own, count);
        const int together = next ? choose(n, next->net) : 0;
        if (together) {
            flights += lead(n, next, together, &mine[flights]);
        } else if (flights > 0) {
            finish_batch(n, &mine[0]);
            memmove(mine, mine + 1, (size_t)--flights * sizeof *mine);
        } else {
            const bool wants = untaken(own, count) != NULL;
            n->waiting += wants;
            networks_wait(n, &n->turned);
            n->waiting -= wants;
            if (!all_done(own, count) && alive->tell) {
                pthread_mutex_unlock(&n->lock);
                alive->tell(alive->context);
                pthread_mutex_lock(&n->lock);
            }
        }
    }
}

static int run(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
               const struct demucs_alive *alive)
{
    struct networks *const n = networks_holder(context, net);
    struct wish own[HTDEMUCS_SEGMENTS_MOST], **at = &n->wishes;
    const struct wish *failed = NULL;
    pthread_mutex_lock(&n->lock);
    while (*at)
        at = &(*at)->next;
    for (int i = 0; i < count; i++) {
        own[i] = (struct wish){.net = net, .segment = segments[i]};
        *at = &own[i];
        at = &own[i].next;
    }
    see_to(n, own, count, alive);
    for (int i = 0; i < count; i++) {
        remove_wish(n, &own[i]);
        failed = own[i].code && !failed ? &own[i] : failed;
    }
    pthread_mutex_unlock(&n->lock);
    return failed ? fail((enum status)failed->code, "%s", failed->message) : STATUS_OK;
}

/* What fits into the room, and keeps a song waiting for two turns at most. A device has two runs of a song in flight
 * from the beginning; how many segments are in each hangs on how long the last ones took. */
static int together(void *context, const struct htdemucs *net)
{
    struct networks *const n = networks_holder(context, net);
    if (!n->loader)
        return 1;
    pthread_mutex_lock(&n->lock);
    int count =
        n->segment_s > 0 ? (int)fmin(HTDEMUCS_RUNS_MOST * TURN_S / n->segment_s, TOGETHER_MOST) : HTDEMUCS_RUNS_MOST;
    while (count > 1 && networks_bytes(n, htdemucs_room_bytes(htdemucs_config(net), (count + 1) / 2)) > n->limit)
        count--;
    pthread_mutex_unlock(&n->lock);
    return count;
}

static void give_back(void *context, const struct htdemucs *net)
{
    networks_release(context, net);
}

struct demucs_runner networks_runner(struct networks *n)
{
    return (struct demucs_runner){
        .run = run, .most = n->device ? TOGETHER_MOST : 1, .together = together, .give_back = give_back, .context = n};
}
