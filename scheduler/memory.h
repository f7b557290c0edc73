/* memory - where the queue's memory comes from: realloc, or a test's own function that fails when it likes.
 *
 *   errors    NULL means out of memory; the old block is then still valid, as with realloc */
#ifndef MEMORY_H
#define MEMORY_H
#include <stddef.h>
#include <stdlib.h>

struct memory {
    void *(*resize)(void *context, void *block, size_t bytes); /* NULL: realloc; bytes = 0 frees and returns NULL */
    void *context;
};

static inline void memory_free(const struct memory *m, void *block)
{
    if (m->resize)
        m->resize(m->context, block, 0);
    else
        free(block);
}

static inline void *memory_resize(const struct memory *m, void *block, size_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    return m->resize ? m->resize(m->context, block, bytes) : realloc(block, bytes);
}

#endif
