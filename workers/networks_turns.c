/* Turns on the exec that all share, and what runs in them: segments that wait for the same network, together. */
#include "networks_state.h"

#include "log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE = 320 };

/* What a turn may take, of more than one segment. Where one keeps all threads busy for long, more gain nothing
 * (measured: full size, two threads: 1.0 times as fast; small networks 1.2). */
static const double TURN_S = 2;

/* A segment that a song's thread waits for. */
struct wish {
    const struct htdemucs *net;
    struct htdemucs_segment segment;
    bool taken, done;
    int code;
    char message[MESSAGE];
    struct wish *next;
};

void networks_wait(struct networks *n, pthread_cond_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_cond_timedwait(what, &n->lock, &until);
}

struct exec *networks_exec(struct networks *n)
{
    return n->exec;
}

void networks_enter_turn(struct networks *n)
{
    while (n->turn)
        pthread_cond_wait(&n->turned, &n->lock);
    n->turn = true;
}

void networks_leave_turn(struct networks *n)
{
    n->turn = false;
    pthread_cond_broadcast(&n->turned);
}

struct exec *networks_begin_turn(struct networks *n)
{
    pthread_mutex_lock(&n->lock);
    networks_enter_turn(n);
    pthread_mutex_unlock(&n->lock);
    return n->exec;
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

/* What waits for the same network, `own` among it, as many as memory and TURN_S allow. */
static int gather(struct networks *n, struct wish *own, struct wish *batch[HTDEMUCS_SEGMENTS_MOST])
{
    const struct htdemucs_config *const c = htdemucs_config(own->net);
    int count = 1, most = n->segment_s > 0 ? (int)fmin(TURN_S / n->segment_s, HTDEMUCS_SEGMENTS_MOST) : 1;
    most = n->most && n->most < most ? n->most : most;
    batch[0] = own;
    for (struct wish *w = n->wishes; w && count < most; w = w->next)
        if (w != own && !w->taken && w->net == own->net)
            batch[count++] = w;
    while (count > 1 && networks_bytes(n, htdemucs_room_bytes(c, count)) > n->limit)
        count--;
    for (int i = 0; i < count; i++)
        batch[i]->taken = true;
    return count;
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

/* In a turn, without the lock, as the next two. */
static int run_together(struct networks *n, struct wish *const batch[], int count)
{
    struct htdemucs_segment segments[HTDEMUCS_SEGMENTS_MOST];
    for (int i = 0; i < count; i++)
        segments[i] = batch[i]->segment;
    const int code = enter_room(n, batch[0]->net, count);
    return code ? code : htdemucs_run(batch[0]->net, n->exec, n->room, segments, count);
}

static void run_one_by_one(struct networks *n, struct wish *const batch[], int count)
{
    pthread_mutex_lock(&n->lock);
    n->most = count / 2;
    log_warn("networks take at most %d segments at once from now on: %s", n->most, status_message());
    pthread_mutex_unlock(&n->lock);
    for (int i = 0; i < count; i++) {
        batch[i]->code = run_together(n, &batch[i], 1);
        if (batch[i]->code)
            snprintf(batch[i]->message, MESSAGE, "%s", status_message());
    }
}

static void run_batch(struct networks *n, struct wish *const batch[], int count)
{
    const int code = run_together(n, batch, count);
    if (code == STATUS_NOMEM && count > 1) {
        run_one_by_one(n, batch, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        batch[i]->code = code;
        if (code)
            snprintf(batch[i]->message, MESSAGE, "%s", status_message());
    }
}

static void remove_wish(struct networks *n, const struct wish *gone)
{
    struct wish **at = &n->wishes;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
}

/* Runs own, and what can go with it; whoever waits for the others hears of it. With the lock, and gives it back for as
 * long as it computes. */
static void lead(struct networks *n, struct wish *own)
{
    struct wish *batch[HTDEMUCS_SEGMENTS_MOST];
    networks_enter_turn(n);
    const int count = gather(n, own, batch);
    pthread_mutex_unlock(&n->lock);
    const double began = now_s();
    run_batch(n, batch, count);
    const double took = now_s() - began;
    pthread_mutex_lock(&n->lock);
    n->segment_s = took / count;
    for (int i = 0; i < count; i++)
        batch[i]->done = true;
    networks_leave_turn(n);
}

static int run(void *context, const struct htdemucs *net, struct htdemucs_segment segment,
               const struct demucs_alive *alive)
{
    struct networks *const n = networks_holder(context, net);
    struct wish own = {.net = net, .segment = segment}, **at = &n->wishes;
    pthread_mutex_lock(&n->lock);
    while (*at)
        at = &(*at)->next;
    *at = &own;
    while (!own.done) {
        if (!n->turn && !own.taken) {
            lead(n, &own);
            continue;
        }
        networks_wait(n, &n->turned);
        if (!own.done && alive->tell) {
            pthread_mutex_unlock(&n->lock);
            alive->tell(alive->context);
            pthread_mutex_lock(&n->lock);
        }
    }
    remove_wish(n, &own);
    pthread_mutex_unlock(&n->lock);
    return own.code ? fail((enum status)own.code, "%s", own.message) : STATUS_OK;
}

static void give_back(void *context, const struct htdemucs *net)
{
    networks_release(context, net);
}

struct demucs_runner networks_runner(struct networks *n)
{
    return (struct demucs_runner){run, give_back, n};
}
