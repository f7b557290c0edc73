/* objects - content-addressed files: objects/HH/HASH holds the bytes whose BLAKE2b-256 is HASH.
 *
 * Written beside their place, flushed, then renamed: a name never stands for half a file. Equal contents are kept once;
 * one that is found damaged then is put aside as HASH.damaged and written anew.
 *   errors    STATUS_IO with the system's reason; STATUS_NOT_FOUND; STATUS_DAMAGED when the bytes do not match the name
 */
#ifndef OBJECTS_H
#define OBJECTS_H
#include "hash.h"

#include <stdbool.h>

/* Copies [from, from + bytes) of fd into the objects folder. */
int objects_put_file(const char *folder, int fd, uint64_t from, uint64_t bytes, struct hash *out) MUST_USE;

/* An open, read-only descriptor; with `verify` the bytes have been checked against the hash. */
int objects_open(const char *folder, const struct hash *h, bool verify, int *fd, uint64_t *bytes) MUST_USE;

/* Where it lies, or would. */
void objects_path(const char *folder, const struct hash *h, char *out, size_t capacity);

/* Marks it as used now. STATUS_NOT_FOUND. */
int objects_touch(const char *folder, const struct hash *h) MUST_USE;

/* Renames one whose bytes are not what its name says to HASH.damaged: never deleted, never found again. */
int objects_put_aside(const char *folder, const struct hash *h) MUST_USE;

/* Calls visit(context, hash, bytes, damaged) for each object; `verify` reads them all. Stops at the first code not 0.
 */
int objects_walk(const char *folder, bool verify,
                 int (*visit)(void *context, const struct hash *h, uint64_t bytes, bool damaged),
                 void *context) MUST_USE;

#endif
