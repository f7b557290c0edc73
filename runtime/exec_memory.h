/* exec_memory - memory that the operations of an exec work on: the host's on the CPU, else its device's.
 *
 *   ownership    allocate and release are a pair; release before the exec (on a device: the last exec on it) is
 *                destroyed. On the CPU the exec may be gone by then
 *   order        put and get wait: what was given may be reused, what was got is there. What the exec's stream has been
 *                told before is done before
 *   errors       STATUS_NOMEM; on a device those of device.h
 *   threads      those of the exec */
#ifndef EXEC_MEMORY_H
#define EXEC_MEMORY_H
#include "exec.h"

struct exec_memory {
    void *data;            /* aligned as arenas are; NULL: none */
    struct device *device; /* NULL: the host's */
    const struct device_api *api;
};

int exec_memory_allocate(struct exec *ex, size_t bytes, struct exec_memory *out) MUST_USE;
void exec_memory_release(struct exec_memory *m);

/* From and to memory of the host. */
int exec_memory_put(struct exec *ex, void *to, const void *from, size_t bytes) MUST_USE;
int exec_memory_get(struct exec *ex, void *to, const void *from, size_t bytes) MUST_USE;

#endif
