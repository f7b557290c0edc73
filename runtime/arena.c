#include "arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void arena_init(struct arena *a, void *block, size_t bytes)
{
    *a = (struct arena){.base = block, .bytes = bytes};
}

int arena_create(struct arena *a, size_t bytes)
{
    *a = (struct arena){0};
    const size_t rounded = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (rounded < bytes)
        return fail(STATUS_NOMEM, "arena: %zu bytes", bytes);
    /* Large blocks on huge pages where the system gives them: page faults cost more than the arithmetic. */
    const bool huge = rounded >= 2 * HUGE_PAGE;
    void *block = aligned_alloc(huge ? HUGE_PAGE : ARENA_ALIGN, rounded ? rounded : ARENA_ALIGN);
    if (!block)
        return fail(STATUS_NOMEM, "arena: %zu bytes", bytes);
    if (huge)
        madvise(block, rounded, MADV_HUGEPAGE); /* only advice */
    *a = (struct arena){.base = block, .bytes = rounded, .own = 1};
    return STATUS_OK;
}

void arena_destroy(struct arena *a)
{
    if (a->own)
        free(a->base);
    *a = (struct arena){0};
}

int arena_alloc(struct arena *a, size_t bytes, void *out)
{
    a->calls++;
    if (a->fail_at && a->calls == a->fail_at)
        return fail(STATUS_NOMEM, "arena: allocation %ld failed on purpose", a->calls);
    const uintptr_t top = (uintptr_t)a->base + a->used;
    const size_t skip = (size_t)((ARENA_ALIGN - top % ARENA_ALIGN) % ARENA_ALIGN);
    if (skip > a->bytes - a->used || bytes > a->bytes - a->used - skip)
        return fail(STATUS_NOMEM, "arena: %zu bytes wanted, %zu of %zu free", bytes, a->bytes - a->used, a->bytes);
    void *p = a->base + a->used + skip;
    a->used += skip + bytes;
    if (a->used > a->high)
        a->high = a->used;
    memcpy(out, &p, sizeof p);
    return STATUS_OK;
}

size_t arena_mark(const struct arena *a)
{
    return a->used;
}

void arena_reset(struct arena *a, size_t mark)
{
    a->used = mark;
}
