/* objects_spool - objects that come, or are looked at, in pieces: beside the folder's objects, under no name that
 * anybody would find, until all bytes are there and are what the name says.
 *
 *   place      FOLDER/spool/ holds what is not whole; a process that is killed leaves it there (objects_spool_clear)
 *   cost       a piece is written without waiting for the disk, which is only told to begin; the one flush is in
 *              objects_spool_finish. Hashes are made as the bytes come: nothing is read twice
 *   errors     STATUS_FORMAT: the bytes are not what the name says; STATUS_DAMAGED: the same of an object that is
 *              stored; STATUS_ARGUMENT: more bytes than were announced; STATUS_IO; STATUS_NOMEM; STATUS_NOT_FOUND
 *   threads    one at a time for each struct */
#ifndef OBJECTS_SPOOL_H
#define OBJECTS_SPOOL_H
#include "hash.h"

#include <stdbool.h>

struct objects_spool;

/* Makes the folders that it needs. */
int objects_spool_begin(const char *folder, const struct hash *name, uint64_t size,
                        struct objects_spool **out) MUST_USE;
int objects_spool_write(struct objects_spool *s, const void *data, size_t bytes) MUST_USE;
uint64_t objects_spool_offset(const struct objects_spool *s); /* bytes written so far */

/* All bytes are there: checks, flushes when `durable`, and gives the object its name. Frees in any case. */
int objects_spool_finish(struct objects_spool **s, bool durable) MUST_USE;
void objects_spool_drop(struct objects_spool **s);

/* Removes what was left half-written for more than older_s seconds. */
void objects_spool_clear(const char *folder, int64_t older_s);

/* ---- is a stored object what its name says? Looked at bit by bit ---- */

struct objects_check;
int objects_check_begin(const char *folder, const struct hash *name, struct objects_check **out) MUST_USE;
/* Reads at most `bytes` more; *over when all is read and sound. */
int objects_check_step(struct objects_check *c, size_t bytes, bool *over) MUST_USE;
void objects_check_end(struct objects_check **c);

#endif
