#include "queue_state.h"

#include <string.h>

enum { SPEC_HEAD = 5, OUTCOME_HEAD = 7 };

/* ---- bytes of an item ---- */

static const uint8_t *spec_write(struct queue *q, struct job *j, const struct message_item *m)
{
    uint8_t *at = blocks_take(&j->blocks, &q->memory, SPEC_HEAD + m->path.bytes + m->object.bytes + m->params.bytes);
    if (!at)
        return NULL;
    const uint8_t *start = at;
    const uint8_t head[SPEC_HEAD] = {(uint8_t)m->path.bytes, (uint8_t)(m->path.bytes >> 8), (uint8_t)m->object.bytes,
                                     (uint8_t)m->params.bytes, (uint8_t)(m->params.bytes >> 8)};
    memcpy(at, head, sizeof head);
    at += sizeof head;
    const struct wire_slice parts[] = {m->path, m->object, m->params};
    for (int i = 0; i < 3; i++)
        if (parts[i].bytes) {
            memcpy(at, parts[i].data, parts[i].bytes);
            at += parts[i].bytes;
        }
    return start;
}

void item_spec(const struct item *item, struct message_item *out)
{
    const uint8_t *at = item->spec;
    out->path.bytes = (uint32_t)(at[0] | at[1] << 8);
    out->object.bytes = at[2];
    out->params.bytes = (uint32_t)(at[3] | at[4] << 8);
    out->path.data = at + SPEC_HEAD;
    out->object.data = out->path.data + out->path.bytes;
    out->params.data = out->object.data + out->object.bytes;
}

int item_keep(struct queue *q, struct job *j, struct item *item, const struct journal_outcome *o)
{
    const struct wire_slice parts[] = {o->message, o->result, o->log};
    const uint32_t bytes = o->message.bytes + o->result.bytes + o->log.bytes;
    uint8_t *at = bytes ? blocks_take(&j->blocks, &q->memory, OUTCOME_HEAD + (size_t)bytes) : NULL;
    if (bytes && !at)
        return fail(STATUS_NOMEM, "result of %u bytes", o->result.bytes);
    item->outcome = at;
    if (!bytes)
        return STATUS_OK;
    const uint8_t head[OUTCOME_HEAD] = {(uint8_t)o->message.bytes,        (uint8_t)(o->message.bytes >> 8),
                                        (uint8_t)o->result.bytes,         (uint8_t)(o->result.bytes >> 8),
                                        (uint8_t)(o->result.bytes >> 16), (uint8_t)o->log.bytes,
                                        (uint8_t)(o->log.bytes >> 8)};
    memcpy(at, head, sizeof head);
    at += sizeof head;
    for (int i = 0; i < 3; i++)
        if (parts[i].bytes) {
            memcpy(at, parts[i].data, parts[i].bytes);
            at += parts[i].bytes;
        }
    return STATUS_OK;
}

void item_outcome(const struct item *item, struct journal_outcome *out)
{
    const uint8_t *at = item->outcome;
    *out = (struct journal_outcome){.state = item->state, .failure = item->failure};
    if (!at)
        return;
    out->message.bytes = (uint32_t)(at[0] | at[1] << 8);
    out->result.bytes = (uint32_t)(at[2] | at[3] << 8 | at[4] << 16);
    out->log.bytes = (uint32_t)(at[5] | at[6] << 8);
    out->message.data = at + OUTCOME_HEAD;
    out->result.data = out->message.data + out->message.bytes;
    out->log.data = out->result.data + out->result.bytes;
}

/* A later checkpoint takes the place of an earlier one. */
int item_save(struct queue *q, struct job *j, struct item *item, const struct journal_checkpoint *c)
{
    if (!item->saved)
        item->saved = blocks_take(&j->blocks, &q->memory, SAVED_BYTES);
    if (!item->saved)
        return fail(STATUS_NOMEM, "checkpoint");
    memcpy(item->saved, c->object.data, LIMIT_OBJECT);
    memcpy(item->saved + LIMIT_OBJECT, &c->progress, sizeof c->progress);
    return STATUS_OK;
}

/* ---- adding ---- */

/* Room for so many outcomes beyond those that there are and those that its items will have. */
int item_reserve_order(struct queue *q, struct job *j, uint32_t outcomes)
{
    const uint64_t wanted = (uint64_t)j->commits + j->item_count - j->done - j->dead + outcomes;
    if (wanted <= j->order_capacity)
        return STATUS_OK;
    const uint64_t grown = j->order_capacity + (uint64_t)j->order_capacity / 4;
    const uint64_t capacity = wanted > grown ? wanted : grown;
    uint32_t *order = capacity < ORDER_RETRIED ? memory_resize(&q->memory, j->order, capacity * sizeof *order) : NULL;
    if (!order)
        return fail(STATUS_NOMEM, "%llu outcomes", (unsigned long long)capacity);
    j->order = order;
    j->order_capacity = (uint32_t)capacity;
    return STATUS_OK;
}

/* Room for `more` items, and for as many outcomes, so that a commit never has to ask for it. */
static int reserve_items(struct queue *q, struct job *j, uint32_t more)
{
    const uint32_t wanted = j->item_count + more;
    const int code = item_reserve_order(q, j, more);
    if (code || wanted <= j->item_capacity)
        return code;
    const uint32_t grown = j->item_capacity + j->item_capacity / 4;
    const uint32_t capacity = wanted > grown ? wanted : grown;
    struct item *items = memory_resize(&q->memory, j->items, capacity * sizeof *items);
    if (!items)
        return fail(STATUS_NOMEM, "%u items", capacity);
    j->items = items;
    j->item_capacity = capacity;
    return STATUS_OK;
}

static int append(struct queue *q, struct job *j, uint32_t at, const struct message_item *m)
{
    struct item *item = &j->items[at];
    *item = (struct item){.spec = spec_write(q, j, m)};
    return item->spec ? STATUS_OK : fail(STATUS_NOMEM, "path of %u bytes", m->path.bytes);
}

static void appended(struct queue *q, struct job *j, uint32_t count)
{
    j->queued += count;
    q->item_count += count;
    j->item_count += count;
}

int item_append_one(struct queue *q, struct job *j, const struct message_item *m)
{
    int code = reserve_items(q, j, 1);
    code = code ? code : append(q, j, j->item_count, m);
    if (!code)
        appended(q, j, 1);
    return code;
}

/* All of the list or, when memory runs out, none. */
int item_append(struct queue *q, struct job *j, struct wire_list list)
{
    int code = reserve_items(q, j, list.count);
    if (code)
        return code;
    uint32_t count = 0;
    struct message_item m;
    while (!code && wire_next(&list, &item_schema, &m))
        code = append(q, j, j->item_count + count++, &m);
    if (!code)
        appended(q, j, count);
    return code;
}

int item_state(const struct job *j, const struct item *item)
{
    return j->state == JOB_CANCELLED && item->state == ITEM_QUEUED ? ITEM_CANCELLED : item->state;
}

/* ---- the way of a leased item ---- */

static void lease_destroy(struct queue *q, struct lease *l)
{
    struct worker *w = l->worker;
    device_free(l);
    heap_remove(&q->timers, l->timer.position);
    if (l->previous)
        l->previous->next = l->next;
    else
        w->leases = l->next;
    if (l->next)
        l->next->previous = l->previous;
    w->leased--;
    l->job->leased--;
    l->job->progress -= l->progress;
    memory_free(&q->memory, l);
}

void item_unlease(struct queue *q, struct item *item)
{
    lease_destroy(q, item->lease);
    item->next = 0;
}

static void chain_append(struct job *j, struct chain *c, uint32_t index)
{
    j->items[index].next = 0;
    if (c->last)
        j->items[c->last - 1].next = index + 1;
    else
        c->first = index + 1;
    c->last = index + 1;
}

void item_chain(struct job *j, uint32_t index)
{
    const struct item *item = &j->items[index];
    if (index < wave_end(j)) /* else when its wave opens */
        chain_append(j, item->attempts == 0 ? &j->again : item->crashed[0] ? &j->crashed : &j->retry, index);
}

static void requeued(struct queue *q, struct job *j, uint32_t index)
{
    const struct item *item = &j->items[index];
    j->queued++;
    kind_update(j);
    queue_record(
        q, &(struct journal_record){
               .type = JOURNAL_QUEUED, .job = j->id, .index = index, .attempts = item->attempts, .token = item->token});
}

void item_requeue(struct queue *q, struct job *j, uint32_t index)
{
    struct item *item = &j->items[index];
    if (item->state == ITEM_LEASED)
        item_unlease(q, item);
    item->state = ITEM_QUEUED;
    if (j->expired)
        times_missed(q, j, index);
    else
        item_chain(j, index);
    requeued(q, j, index);
}

void item_try_later(struct queue *q, struct job *j, uint32_t index)
{
    item_unlease(q, &j->items[index]);
    j->items[index].state = ITEM_QUEUED;
    if (j->expired || !times_wait(q, j, index))
        item_requeue(q, j, index);
    else
        requeued(q, j, index);
}

/* Takes the item out of where it is. One that is in a chain may only be ended when the chains have been let go of. */
static void leave(struct queue *q, struct job *j, struct item *item)
{
    if (item->state == ITEM_LEASED) {
        item_unlease(q, item);
        return;
    }
    if (item->waits)
        times_wait_end(q, item->wait);
    item->waits = false;
    item->next = 0;
    j->queued--;
}

int item_end(struct queue *q, struct job *j, uint32_t index, const struct journal_outcome *o)
{
    struct item *item = &j->items[index];
    const int code = item_keep(q, j, item, o);
    if (code)
        return code;
    leave(q, j, item);
    item->state = (uint8_t)o->state;
    item->failure = (uint8_t)o->failure;
    const uint32_t number = j->commits++;
    j->order[number] = index;
    if (o->state == ITEM_DONE)
        j->done++;
    else
        j->dead++;
    queue_record(q, &(struct journal_record){.type = JOURNAL_OUTCOME,
                                             .job = j->id,
                                             .index = index,
                                             .attempts = item->attempts,
                                             .token = item->token,
                                             .number = number,
                                             .outcome = *o});
    wave_item_over(j, index);
    job_changed(q, j);
    job_settle(q, j);
    return STATUS_OK;
}

void item_end_silently(struct queue *q, struct job *j, uint32_t index, enum failure_class failure, const char *text)
{
    struct journal_outcome o = {.state = ITEM_DEAD, .failure = failure, .message = wire_str(text)};
    if (item_end(q, j, index, &o) == STATUS_OK)
        return;
    o.message = (struct wire_slice){0};
    (void)!item_end(q, j, index, &o); /* without text it needs no memory */
}

void item_give_back(struct queue *q, struct lease *l)
{
    struct job *j = l->job;
    struct item *item = &j->items[l->index];
    item->attempts--;
    j->attempts--;
    item->settled = false;
    item_requeue(q, j, l->index);
}

void item_lapse(struct queue *q, struct lease *l)
{
    struct job *j = l->job;
    const uint32_t index = l->index;
    struct item *item = &j->items[index];
    item->settled = false;
    if (item->attempts < j->max_attempts)
        item_requeue(q, j, index);
    else
        item_end_silently(q, j, index, FAILURE_STALE, "its lease ended, each time it was tried");
}
