#include "queue_state.h"

int actions_reserve(struct queue *q, size_t actions, size_t entries)
{
    struct queue_actions *a = q->out;
    if (a->count + actions > a->capacity) {
        const size_t capacity = 2 * a->count + actions;
        struct queue_action *grown = memory_resize(&q->memory, a->list, capacity * sizeof *grown);
        if (!grown)
            return fail(STATUS_NOMEM, "%zu actions", capacity);
        a->list = grown;
        a->capacity = capacity;
    }
    if (a->entry_count + entries > a->entry_capacity) {
        const size_t capacity = 2 * a->entry_count + entries;
        struct queue_entry *grown = memory_resize(&q->memory, a->entries, capacity * sizeof *grown);
        if (!grown)
            return fail(STATUS_NOMEM, "%zu entries", capacity);
        a->entries = grown;
        a->entry_capacity = capacity;
    }
    return STATUS_OK;
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
