#include "queue_state.h"

/* Room for `more` behind `count` elements; NULL: none, else the block that now holds them. */
static void *reserve(const struct memory *m, void *block, size_t *capacity, size_t count, size_t more, size_t bytes)
{
    if (block && count + more <= *capacity)
        return block;
    const size_t wanted = 2 * count + more;
    void *grown = memory_resize(m, block, wanted * bytes);
    if (grown)
        *capacity = wanted;
    return grown;
}

int actions_reserve(struct queue *q, size_t actions, size_t entries)
{
    struct queue_actions *a = q->out;
    void *list = reserve(&q->memory, a->list, &a->capacity, a->count, actions, sizeof *a->list);
    a->list = list ? list : a->list;
    void *more = reserve(&q->memory, a->entries, &a->entry_capacity, a->entry_count, entries, sizeof *a->entries);
    a->entries = more ? more : a->entries;
    return list && more ? STATUS_OK : fail(STATUS_NOMEM, "%zu actions, %zu entries", actions, entries);
}

struct queue_action *actions_add(struct queue *q, enum queue_action_type type)
{
    struct queue_action *a = &q->out->list[q->out->count++];
    *a = (struct queue_action){.type = type, .first = q->out->entry_count};
    return a;
}

void actions_entry(struct queue *q, struct queue_action *a, struct queue_entry entry)
{
    q->out->entries[q->out->entry_count++] = entry;
    a->count++;
}

void actions_refuse(struct queue *q, enum wire_error error, const char *text)
{
    struct queue_action *a = actions_add(q, QUEUE_REFUSED);
    a->error = error;
    a->text = text;
}

void queue_actions_clear(struct queue_actions *a)
{
    a->count = a->entry_count = 0;
}

void queue_actions_free(struct queue_actions *a, const struct queue *q)
{
    memory_free(&q->memory, a->list);
    memory_free(&q->memory, a->entries);
    *a = (struct queue_actions){0};
}
