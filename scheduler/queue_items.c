#include "queue_state.h"

#include <string.h>

enum { SPEC_HEAD = 5, OUTCOME_HEAD = 5 };

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

static int outcome_write(struct queue *q, struct job *j, struct wire_slice message, struct wire_slice result,
                         const uint8_t **out)
{
    *out = NULL;
    if (message.bytes == 0 && result.bytes == 0)
        return STATUS_OK;
    uint8_t *at = blocks_take(&j->blocks, &q->memory, OUTCOME_HEAD + message.bytes + result.bytes);
    if (!at)
        return fail(STATUS_NOMEM, "result of %u bytes", result.bytes);
    *out = at;
    const uint8_t head[OUTCOME_HEAD] = {(uint8_t)message.bytes, (uint8_t)(message.bytes >> 8), (uint8_t)result.bytes,
                                        (uint8_t)(result.bytes >> 8), (uint8_t)(result.bytes >> 16)};
    memcpy(at, head, sizeof head);
    if (message.bytes)
        memcpy(at + OUTCOME_HEAD, message.data, message.bytes);
    if (result.bytes)
        memcpy(at + OUTCOME_HEAD + message.bytes, result.data, result.bytes);
    return STATUS_OK;
}

void item_outcome(const struct item *item, struct wire_slice *message, struct wire_slice *result)
{
    const uint8_t *at = item->outcome;
    *message = *result = (struct wire_slice){0};
    if (!at)
        return;
    message->bytes = (uint32_t)(at[0] | at[1] << 8);
    result->bytes = (uint32_t)(at[2] | at[3] << 8 | at[4] << 16);
    message->data = at + OUTCOME_HEAD;
    result->data = message->data + message->bytes;
}

int item_keep(struct queue *q, struct job *j, struct item *item, struct wire_slice message, struct wire_slice result)
{
    return outcome_write(q, j, message, result, &item->outcome);
}

/* ---- adding ---- */

/* Room for `more` items, and for as many outcomes, so that a commit never has to ask for it. */
static int reserve_items(struct queue *q, struct job *j, uint32_t more)
{
    const uint32_t wanted = j->item_count + more;
    if (wanted <= j->item_capacity)
        return STATUS_OK;
    const uint32_t grown = j->item_capacity + j->item_capacity / 4;
    const uint32_t capacity = wanted > grown ? wanted : grown;
    struct item *items = memory_resize(&q->memory, j->items, capacity * sizeof *items);
    if (!items)
        return fail(STATUS_NOMEM, "%u items", capacity);
    j->items = items;
    uint32_t *order = memory_resize(&q->memory, j->order, capacity * sizeof *order);
    if (!order)
        return fail(STATUS_NOMEM, "%u items", capacity);
    j->order = order;
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
    chain_append(j, item->attempts == 0 ? &j->again : item->crashed[0] ? &j->crashed : &j->retry, index);
}

void item_requeue(struct queue *q, struct job *j, uint32_t index)
{
    struct item *item = &j->items[index];
    if (item->state == ITEM_LEASED)
        item_unlease(q, item);
    item->state = ITEM_QUEUED;
    item_chain(j, index);
    j->queued++;
    kind_update(j);
    queue_record(
        q, &(struct journal_record){
               .type = JOURNAL_QUEUED, .job = j->id, .index = index, .attempts = item->attempts, .token = item->token});
}

int item_end(struct queue *q, struct job *j, uint32_t index, enum item_state state, enum failure_class failure,
             struct wire_slice message, struct wire_slice result)
{
    struct item *item = &j->items[index];
    const uint8_t *outcome;
    const int code = outcome_write(q, j, message, result, &outcome);
    if (code)
        return code;
    item_unlease(q, item);
    item->outcome = outcome;
    item->state = (uint8_t)state;
    item->failure = (uint8_t)failure;
    const uint32_t number = j->done + j->dead;
    j->order[number] = index;
    if (state == ITEM_DONE)
        j->done++;
    else
        j->dead++;
    queue_record(q, &(struct journal_record){.type = JOURNAL_OUTCOME,
                                             .job = j->id,
                                             .index = index,
                                             .attempts = item->attempts,
                                             .token = item->token,
                                             .number = number,
                                             .outcome = {state, failure, message, result}});
    job_changed(q, j);
    job_settle(q, j);
    return STATUS_OK;
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
    const struct wire_slice none = {0};
    item->settled = false;
    if (item->attempts < j->max_attempts)
        item_requeue(q, j, index);
    else if (item_end(q, j, index, ITEM_DEAD, FAILURE_STALE, wire_str("its lease ended, each time it was tried"), none))
        (void)!item_end(q, j, index, ITEM_DEAD, FAILURE_STALE, none, none); /* without text it needs no memory */
}
