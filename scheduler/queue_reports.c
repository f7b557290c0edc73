/* What workers say of the items they hold: BEAT, REPORT, CHECKPOINT, RETURN. */
#include "queue_state.h"

#include <math.h>
#include <string.h>

struct lease *lease_of(const struct queue *q, uint64_t token)
{
    const struct token_place *p = tokens_find(&q->tokens, token);
    struct job *j = p ? p->job : NULL;
    return j && j->items[p->index].state == ITEM_LEASED ? j->items[p->index].lease : NULL;
}

static void note_progress(const struct queue *q, struct lease *l, double progress)
{
    if (isnan(progress))
        return;
    const double part = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    const uint32_t now = (uint32_t)(part * PROGRESS_ONE);
    if (now > l->best) { /* back and forth is no progress */
        l->best = now;
        l->moved_ms = q->now_ms;
    }
    l->job->progress -= l->progress;
    l->progress = now;
    l->job->progress += l->progress;
}

static void lease_extend(struct queue *q, struct lease *l)
{
    times_arm_lease(q, l);
    heap_update(&q->timers, l->timer.position);
}

/* A worker that did not hear of a pause hears of it here. */
static enum lease_verdict verdict_of(const struct lease *l, bool good)
{
    if (!good)
        return VERDICT_ABORT;
    return l->job->paused && l->job->items[l->index].saved ? VERDICT_YIELD : VERDICT_EXTEND;
}

int report_beat(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    struct wire_list entries = e->beat->entries;
    struct message_beat_entry m;
    const int code = w ? actions_reserve(q, 1, entries.count) : STATUS_OK;
    if (code || !w)
        return code;
    struct queue_action *a = actions_add(q, QUEUE_VERDICTS);
    a->worker = w->id;
    while (wire_next(&entries, &beat_entry_schema, &m)) {
        struct lease *l = lease_of(q, m.token);
        const bool good = l && l->worker == w;
        if (good) {
            note_progress(q, l, m.progress);
            lease_extend(q, l);
        }
        actions_entry(q, a, (struct queue_entry){.token = m.token, .verdict = verdict_of(l, good)});
    }
    return STATUS_OK;
}

int report_return(struct queue *q, const struct queue_event *e)
{
    struct worker *w = worker_of(q, e);
    struct wire_list tokens = e->returned->tokens;
    uint64_t token;
    while (w && wire_next_uint(&tokens, &token)) {
        struct lease *l = lease_of(q, token);
        if (l && l->worker == w)
            item_give_back(q, l);
    }
    return STATUS_OK;
}

/* ---- crashes: the item's fault, or the worker's ---- */

static void note_crash(struct item *item, uint32_t worker)
{
    int i = 0;
    while (i < CRASHED_KEPT - 1 && item->crashed[i] != worker)
        i++;
    memmove(item->crashed + 1, item->crashed, (size_t)i * sizeof item->crashed[0]);
    item->crashed[0] = worker;
}

static void unblame(struct worker *w, uint64_t job, uint32_t index)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->blamed_count; i++)
        if (w->blamed[i].job != job || w->blamed[i].index != index)
            w->blamed[kept++] = w->blamed[i];
    w->blamed_count = kept;
}

/* An item that crashes on one worker only speaks against the worker, one that crashes on two against itself. */
static void blame(struct queue *q, struct worker *w, const struct job *j, uint32_t index)
{
    const struct item *item = &j->items[index];
    bool elsewhere = false;
    for (int i = 0; i < CRASHED_KEPT && item->crashed[i]; i++) {
        struct worker *other = worker_find(q, item->crashed[i]);
        if (item->crashed[i] == (uint32_t)w->id)
            continue;
        elsewhere = true;
        if (other)
            unblame(other, j->id, index);
    }
    if (w->blamed_count == BLAMED_KEPT && !elsewhere)
        return; /* said already */
    unblame(w, j->id, index);
    if (elsewhere)
        return;
    w->blamed[w->blamed_count].job = j->id;
    w->blamed[w->blamed_count++].index = index;
    if (w->blamed_count == BLAMED_KEPT)
        actions_add(q, QUEUE_BLAMED)->worker = w->id;
}

/* ---- outcomes ---- */

static bool is_final(const struct job *j, const struct item *item, uint64_t failure)
{
    switch (failure) {
    case FAILURE_RESOURCE:
    case FAILURE_TRANSIENT:
    case FAILURE_DEVICE:
    case FAILURE_CRASH:
        return item->attempts >= j->max_attempts || j->expired;
    default:
        return true;
    }
}

/* 0: memory ran out, and the worker will send it again. */
static int commit(struct queue *q, const struct message_report_entry *m)
{
    const struct token_place *p = tokens_find(&q->tokens, m->token);
    struct job *j = p ? p->job : NULL;
    struct item *item = j ? &j->items[p->index] : NULL;
    if (!item || item->state != ITEM_LEASED)
        return item && item->settled ? COMMIT_DUPLICATE : COMMIT_STALE;
    const uint32_t index = p->index;
    struct worker *w = item->lease->worker;
    const uint64_t failure = m->failure < FAILURE_STALE ? m->failure : FAILURE_INTERNAL;
    if (failure == FAILURE_CRASH) {
        note_crash(item, (uint32_t)w->id);
        blame(q, w, j, index);
    }
    if (is_final(j, item, failure)) {
        const struct journal_outcome o = {.state = failure ? ITEM_DEAD : ITEM_DONE,
                                          .failure = failure,
                                          .message = m->message,
                                          .result = m->result,
                                          .log = failure ? m->log : (struct wire_slice){0}};
        if (item_end(q, j, index, &o))
            return 0;
    } else {
        item_try_later(q, j, index);
    }
    item->settled = true;
    w->committed++;
    return COMMIT_COMMITTED;
}

int report_outcomes(struct queue *q, const struct queue_event *e)
{
    const struct worker *w = worker_of(q, e);
    struct wire_list entries = e->report->entries;
    struct message_report_entry m;
    const int code = w ? actions_reserve(q, 1, entries.count) : STATUS_OK;
    if (code || !w)
        return code;
    const size_t at = q->out->count;
    actions_add(q, QUEUE_COMMITS)->worker = w->id;
    while (wire_next(&entries, &report_entry_schema, &m)) {
        const int verdict = commit(q, &m);
        if (verdict)
            actions_entry(q, &q->out->list[at], (struct queue_entry){.token = m.token, .verdict = verdict});
    }
    return STATUS_OK;
}

/* An attempt that got further than any before is the first of what is left: however often a long item is interrupted,
 * only attempts that bring nothing use it up. */
static void count_anew(struct queue *q, struct job *j, uint32_t index)
{
    struct item *const item = &j->items[index];
    if (item->attempts < 2)
        return;
    j->attempts -= item->attempts - 1u;
    item->attempts = 1;
    for (int i = 0; item->crashed[1] && i < CRASHED_KEPT && item->crashed[i]; i++) {
        struct worker *const w = worker_find(q, item->crashed[i]); /* on two it spoke against itself */
        if (w)
            unblame(w, j->id, index);
    }
    memset(item->crashed, 0, sizeof item->crashed);
    queue_record(q, &(struct journal_record){
                        .type = JOURNAL_GRANTED, .job = j->id, .index = index, .attempts = 1, .token = item->token});
}

int report_checkpoint(struct queue *q, const struct queue_event *e)
{
    const struct message_checkpoint *m = e->checkpoint;
    const struct worker *w = worker_of(q, e);
    int code = w ? actions_reserve(q, 2, 2) : STATUS_OK;
    if (code || !w)
        return code;
    if (m->object.bytes != LIMIT_OBJECT) {
        actions_refuse(q, ERROR_BODY, "an object's name has 32 bytes");
        return STATUS_OK;
    }
    struct lease *l = lease_of(q, m->token);
    if (l && l->worker == w) {
        const struct journal_checkpoint c = {m->object, isnan(m->progress) ? 0 : m->progress};
        struct item *const item = &l->job->items[l->index];
        const double most = item_saved_most(item);
        code = item_save(q, l->job, item, &c);
        if (code)
            return code;
        note_progress(q, l, m->progress);
        lease_extend(q, l);
        queue_record(
            q,
            &(struct journal_record){
                .type = JOURNAL_CHECKPOINT, .job = l->job->id, .index = l->index, .token = m->token, .checkpoint = c});
        if (c.progress > most)
            count_anew(q, l->job, l->index);
    } else {
        l = NULL;
    }
    struct queue_action *a = actions_add(q, QUEUE_SAVED);
    a->worker = w->id;
    actions_entry(q, a, (struct queue_entry){.token = m->token, .verdict = l ? COMMIT_COMMITTED : COMMIT_STALE});
    if (l && l->job->paused) { /* it began before the pause, and can stop now */
        struct queue_action *const back = actions_add(q, QUEUE_ABORT);
        back->worker = w->id;
        actions_entry(q, back, (struct queue_entry){.token = m->token, .index = l->index, .verdict = VERDICT_YIELD});
    }
    return STATUS_OK;
}
