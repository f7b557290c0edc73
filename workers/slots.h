/* slots - a file that always holds a whole state: two places that are written in turn.
 *
 *   layout       a page of two headers of 64 bytes: magic "WMSL" | version u32 | number u64, the higher is the newer |
 *                where its bytes begin u64 | their count u64 | CRC-32C u32 of them | zeros | CRC-32C u32 of the header;
 *                then the places
 *   order        bytes, flushed, then their header, flushed: a write that is cut short, by a kill, a crash or a full
 *                disk, leaves the other place as it was
 *   ownership    the descriptor is the caller's; what is read is malloc'ed
 *   errors       STATUS_NOT_FOUND: there is no whole state; STATUS_IO: the system refuses, or the disk is full;
 *                STATUS_NOMEM */
#ifndef SLOTS_H
#define SLOTS_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

int slots_read(int fd, void **out, size_t *bytes) MUST_USE;
int slots_write(int fd, const void *state, size_t bytes) MUST_USE;

#endif
