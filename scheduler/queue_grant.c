/* Which item goes to whom. Nothing here can fail half-way: what memory does not allow is left for a later tick. */
#include "queue_state.h"

#include <string.h>

static bool has_crashed(const struct item *item, const struct worker *w)
{
    for (int i = 0; i < CRASHED_KEPT; i++)
        if (item->crashed[i] == (uint32_t)w->id)
            return true;
    return false;
}

/* A worker gets an item that it crashed on only when there is no live worker with that kind that did not. */
static bool may_try(const struct queue *q, const struct job *j, const struct item *item, const struct worker *w)
{
    if (!has_crashed(item, w))
        return true;
    uint32_t crashed = 0;
    for (int i = 0; i < CRASHED_KEPT && item->crashed[i]; i++) {
        const struct worker *other = worker_find(q, item->crashed[i]);
        crashed += other && kind_is_of(j->kind, other);
    }
    return crashed >= j->kind->live;
}

static uint32_t chain_take_after(struct job *j, struct chain *c, uint32_t before)
{
    uint32_t *link = before ? &j->items[before - 1].next : &c->first;
    const uint32_t taken = *link;
    *link = j->items[taken - 1].next;
    if (c->last == taken)
        c->last = before;
    return taken;
}

/* Takes the first item of the crashed chain that the worker may try: index + 1, or 0. With `look` only looks. */
static uint32_t crashed_take(const struct queue *q, struct job *j, const struct worker *w, bool look)
{
    uint32_t before = 0, at = j->crashed.first;
    for (int i = 0; at && i < SCAN_MAX; i++) {
        if (may_try(q, j, &j->items[at - 1], w))
            return look ? at : chain_take_after(j, &j->crashed, before);
        before = at;
        at = j->items[at - 1].next;
    }
    return 0;
}

static bool has_new(const struct job *j)
{
    return j->again.first || wave_has_fresh(j);
}

static bool has_tried(const struct queue *q, struct job *j, const struct worker *w)
{
    return j->retry.first || crashed_take(q, j, w, true);
}

static uint32_t take_new(struct job *j)
{
    return j->again.first ? chain_take_after(j, &j->again, 0) : ++j->fresh;
}

static size_t grant_bytes(const struct item *item)
{
    struct message_item m;
    item_spec(item, &m);
    return 64 + m.path.bytes + m.object.bytes + m.params.bytes;
}

/* The item is the worker's, under the token that it has. */
void lease_begin(struct queue *q, struct worker *w, struct job *j, uint32_t index, struct lease *l)
{
    struct item *item = &j->items[index];
    item->state = ITEM_LEASED;
    item->settled = false;
    item->lease = l;
    *l = (struct lease){.timer = {.type = TIMER_LEASE},
                        .job = j,
                        .worker = w,
                        .next = w->leases,
                        .begun_ms = q->now_ms,
                        .moved_ms = q->now_ms,
                        .token = item->token,
                        .index = index};
    times_arm_lease(q, l);
    device_book(l);
    if (w->leases)
        w->leases->previous = l;
    w->leases = l;
    w->leased++;
    j->leased++;
    j->queued--;
    (void)!heap_insert(&q->timers, l); /* reserved */
}

/* Leases the item; lease and table places are there already. */
static void lease_item(struct queue *q, struct worker *w, struct job *j, uint32_t index, struct lease *l)
{
    struct item *item = &j->items[index];
    tokens_remove(&q->tokens, item->token);
    item->token = q->epoch << 40 | ++q->counter;
    tokens_put(&q->tokens, item->token, j, index);
    item->attempts++;
    j->attempts++;
    lease_begin(q, w, j, index, l);
    queue_record(
        q,
        &(struct journal_record){
            .type = JOURNAL_GRANTED, .job = j->id, .index = index, .attempts = item->attempts, .token = item->token});
}

/* Index + 1 of the next item of this grant, 0: no more. Items that were tried before come alone. */
static uint32_t next_item(const struct queue *q, struct job *j, struct worker *w, bool tried)
{
    if (!tried)
        return has_new(j) ? take_new(j) : 0;
    return j->retry.first ? chain_take_after(j, &j->retry, 0) : crashed_take(q, j, w, false);
}

struct granting {
    struct worker *worker;
    struct queue_action *action; /* NULL: nothing yet */
    size_t bytes;
    uint32_t left; /* credits */
};

static void grant_some(struct queue *q, struct granting *g, struct job *j, bool tried)
{
    uint32_t most = tried ? 1 : g->left < j->queued ? g->left : j->queued;
    most = device_fits(g->worker, j, most);
    if (actions_reserve(q, 1, most) || heap_reserve(&q->timers, most) || tokens_reserve(&q->tokens, most))
        q->starved = true;
    for (uint32_t n = 0; n < most && !q->starved && g->bytes < GRANT_BYTES; n++) {
        struct lease *l = memory_resize(&q->memory, NULL, sizeof *l);
        const uint32_t at = l ? next_item(q, j, g->worker, tried) : 0;
        if (!at) {
            q->starved |= !l;
            memory_free(&q->memory, l);
            break;
        }
        if (!g->action) {
            g->action = actions_add(q, QUEUE_GRANT);
            g->action->job = j->id;
            g->action->worker = g->worker->id;
        }
        lease_item(q, g->worker, j, at - 1, l);
        g->bytes += grant_bytes(&j->items[at - 1]);
        g->left--;
        actions_entry(q, g->action,
                      (struct queue_entry){
                          .token = l->token, .job = j->id, .index = at - 1, .attempt = j->items[at - 1].attempts});
    }
    kind_update(j);
}

/* Another job that may go out with `first`: ready, as important, with the same parameters, and with something new. */
static struct job *next_of_group(const struct job *first, const struct worker *w)
{
    const struct kind *k = first->kind;
    uint32_t scanned = 0;
    for (uint32_t r = 0; r < k->ready_count && scanned < GROUP_SCAN; r++) {
        struct job *j = k->ready[r];
        if (j->priority < first->priority)
            break;
        scanned++;
        if (j != first && j->priority == first->priority && j->group == first->group &&
            j->params.bytes == first->params.bytes && has_new(j) && device_fits(w, j, 1) &&
            (j->params.bytes == 0 || memcmp(j->params.data, first->params.data, j->params.bytes) == 0))
            return j;
    }
    return NULL;
}

static void grant_items(struct queue *q, struct worker *w, struct job *j)
{
    const bool tried = has_tried(q, j, w) && (j->retry_first || !has_new(j));
    struct granting g = {.worker = w, .bytes = 256 + j->params.bytes, .left = w->credits};
    grant_some(q, &g, j, tried);
    if (!g.action)
        return;
    j->retry_first = !tried;
    for (struct job *other = j; !tried && g.left && !q->starved && g.bytes < GRANT_BYTES;) {
        other = next_of_group(j, w);
        if (!other)
            break;
        const uint32_t before = g.left;
        grant_some(q, &g, other, false);
        if (g.left == before)
            break;
    }
    worker_unpark(q, w);
}

static bool can_grant(const struct queue *q, struct job *j, const struct worker *w)
{
    return device_fits(w, j, 1) && (has_new(j) || has_tried(q, j, w));
}

/* A worker that three items crashed on is passed over as long as another of the kind is there. */
static bool is_passed_over(const struct queue *q, const struct kind *k, const struct worker *w)
{
    if (w->blamed_count < BLAMED_KEPT)
        return false;
    for (uint32_t i = 0; i < q->worker_count; i++)
        if (q->workers[i]->blamed_count < BLAMED_KEPT && kind_is_of(k, q->workers[i]))
            return true;
    return false;
}

/* Answers the TAKE of a waiting worker from the best job it can have something of. */
static void grant_worker(struct queue *q, struct worker *w)
{
    struct job *best = NULL;
    for (uint32_t i = 0; i < w->kind_count; i++) {
        const struct kind *k = w->kinds[i];
        if (is_passed_over(q, k, w))
            continue;
        for (uint32_t r = 0; r < k->ready_count; r++) {
            struct job *j = k->ready[r];
            const bool behind =
                best && (best->priority > j->priority || (best->priority == j->priority && best->id < j->id));
            if (behind || (w->urgent && j->priority <= w->above))
                break;
            if (can_grant(q, j, w)) {
                best = j;
                break;
            }
        }
    }
    if (best)
        grant_items(q, w, best);
}

static void grant_waiting(struct queue *q, bool urgent)
{
    for (uint32_t i = 0; i < q->kind_count; i++) {
        const struct kind *k = q->kinds[i];
        struct worker *after;
        for (struct worker *w = q->first_waiting; w && k->waiting && k->ready_count; w = after) {
            after = w->after;
            if (w->urgent == urgent && kind_is_of(k, w))
                grant_worker(q, w);
        }
    }
}

/* Those that have room first: nobody gives up what it does as long as another has nothing to do. */
void grant_all(struct queue *q)
{
    q->starved = false;
    grant_waiting(q, false);
    grant_waiting(q, true);
}
