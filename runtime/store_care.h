/* store_care - what a store that grows needs: records and objects that are removed, and how much room there is.
 *
 *   size       bytes of all record values plus bytes of all objects. LMDB's file itself never shrinks; the pages of
 *              what was removed are written again
 *   records    a damaged one is left to store_fsck; one of another version counts as the oldest of all
 *   objects    one that no record names is removed when it was written more than an hour ago, because a worker may be
 *              about to commit a record that names it; at once, when the records that named it were removed by the
 *              same call and nobody has written it since
 *   at once    several processes may work on the store meanwhile: a record that was made again since it was looked at
 *              stays, and one whose object went is computed again when it is asked for
 *   errors     STATUS_IO with the reason: what was removed until then is gone, all else is whole; STATUS_NOMEM */
#ifndef STORE_CARE_H
#define STORE_CARE_H
#include "store.h"

enum { STORE_YOUNG_S = 3600 };

/* Which records go; conditions are alternatives. */
struct store_prune {
    uint64_t before_unix_ms; /* those made before; 0: none */
    bool unused;  /* stat entries that a later one of the same device and inode supersedes; then the records of files
                     that  no stat entry names any more */
    bool to_size; /* the oldest, until the size is at most to_bytes; nothing when it is at most over_bytes already */
    uint64_t to_bytes, over_bytes;
    bool dry_run; /* only count */
};

struct store_pruned {
    uint64_t records, record_bytes, stats, objects, object_bytes;
    uint64_t left_bytes; /* the size afterwards */
};

int store_prune(struct store *s, const char *objects, const struct store_prune *what,
                struct store_pruned *out) MUST_USE;

/* Removes objects that no record names, and what killed writers left half-written; both only when they are older than
 * STORE_YOUNG_S. */
int store_gc(struct store *s, const char *objects, bool dry_run, struct store_pruned *out) MUST_USE;

/* Down to 90 % of limit_bytes when the size is above it; cheap when it is far below. */
int store_keep_within(struct store *s, const char *objects, uint64_t limit_bytes, struct store_pruned *out) MUST_USE;

/* Bytes that an ordinary user can still write to the file system of a folder; STATUS_IO. */
int store_room(const char *folder, uint64_t *bytes) MUST_USE;

/* "500M": bytes, or with K, M, G, T powers of 1024. STATUS_ARGUMENT. */
int store_parse_size(const char *text, uint64_t *out) MUST_USE;

#endif
