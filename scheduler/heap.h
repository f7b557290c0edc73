/* heap - a binary heap of pointers whose elements know their place, so that any of them can be moved or removed in
 * logarithmic time.
 *
 *   ownership    borrows the elements; heap_free gives back the heap's own array
 *   errors       STATUS_NOMEM, the heap is then unchanged; after heap_reserve(n) the next n inserts cannot fail
 *   source       the idea of both callbacks is beanstalkd's heap.c */
#ifndef HEAP_H
#define HEAP_H
#include "memory.h"
#include "status.h"

#include <stdbool.h>

#define HEAP_NONE SIZE_MAX /* the position of an element that is in no heap */

struct heap {
    bool (*is_before)(const void *a, const void *b);
    void (*moved)(void *element, size_t position); /* told of every new position, HEAP_NONE when it was removed */
    const struct memory *memory;
    void **slots;
    size_t count, capacity;
};

int heap_reserve(struct heap *h, size_t more) MUST_USE;
int heap_insert(struct heap *h, void *element) MUST_USE;
void *heap_first(const struct heap *h);            /* NULL when empty */
void heap_update(struct heap *h, size_t position); /* the element there has changed its order */
void *heap_remove(struct heap *h, size_t position);
void heap_free(struct heap *h);

#endif
