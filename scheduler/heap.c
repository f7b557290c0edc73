#include "heap.h"

#include <stdint.h>

static void put(struct heap *h, size_t position, void *element)
{
    h->slots[position] = element;
    h->moved(element, position);
}

/* Moves an element towards the root until its parent is not behind it; says where it ends. */
static size_t rise(struct heap *h, size_t at)
{
    void *element = h->slots[at];
    while (at > 0 && h->is_before(element, h->slots[(at - 1) / 2])) {
        put(h, at, h->slots[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(h, at, element);
    return at;
}

static void sink(struct heap *h, size_t at)
{
    void *element = h->slots[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->is_before(h->slots[child + 1], h->slots[child]))
            child++;
        if (!h->is_before(h->slots[child], element))
            break;
        put(h, at, h->slots[child]);
        at = child;
    }
    put(h, at, element);
}

int heap_reserve(struct heap *h, size_t more)
{
    if (more <= h->capacity - h->count)
        return STATUS_OK;
    size_t capacity = h->capacity ? 2 * h->capacity : 16;
    if (capacity < h->count + more)
        capacity = h->count + more;
    void **grown = memory_resize(h->memory, h->slots, capacity * sizeof *grown);
    if (!grown)
        return fail(STATUS_NOMEM, "heap of %zu", capacity);
    h->slots = grown;
    h->capacity = capacity;
    return STATUS_OK;
}

int heap_insert(struct heap *h, void *element)
{
    const int code = heap_reserve(h, 1);
    if (code)
        return code;
    h->slots[h->count++] = element;
    rise(h, h->count - 1);
    return STATUS_OK;
}

void *heap_first(const struct heap *h)
{
    return h->count ? h->slots[0] : NULL;
}

void heap_update(struct heap *h, size_t position)
{
    sink(h, rise(h, position));
}

void *heap_remove(struct heap *h, size_t position)
{
    void *element = h->slots[position];
    void *last = h->slots[--h->count];
    if (position < h->count) {
        h->slots[position] = last;
        heap_update(h, position);
    }
    h->moved(element, HEAP_NONE);
    return element;
}

void heap_free(struct heap *h)
{
    memory_free(h->memory, h->slots);
    h->slots = NULL;
    h->count = h->capacity = 0;
}
