/* store - the feature store: records by contents, parameters and feature, in LMDB; files known by their stat.
 *
 *   feature     BLAKE2b-256 of the file's bytes | kind u16 | 16-byte hash of parameters and feature version -> record
 *   stat        (device, inode, size, mtime, ctime) -> BLAKE2b-256: a rescan reads no bytes
 *   quarantine  damaged records, with the key and the time they were found: never served, never deleted
 *
 *   processes   several may have it open; LMDB on a network file system is refused (STATUS_UNSUPPORTED), as is opening
 *               it twice in one process (the caller's duty)
 *   threads     all calls may be made from any thread
 *   growth      the map doubles when it is full, whoever filled it
 *   errors      STATUS_NOT_FOUND; STATUS_DAMAGED (after moving the record to quarantine where the store is writable);
 *               STATUS_IO with LMDB's reason; STATUS_VERSION for a store of a later layout */
#ifndef STORE_H
#define STORE_H
#include "hash.h"
#include "record.h"

#include <stdbool.h>
#include <sys/stat.h>

struct store;

struct store_options {
    bool read_only;
    size_t map_bytes; /* first size of the map; 0: 64 MiB */
};

struct store_key {
    struct hash file;
    uint16_t kind;
    uint8_t params[16];
};

int store_open(const char *folder, const struct store_options *options, struct store **out) MUST_USE;
void store_close(struct store **s);

int store_find_stat(struct store *s, const struct stat *file, struct hash *out) MUST_USE;

/* The record's bytes, decoded; release with store_release. */
struct store_value {
    void *bytes;
    struct record record; /* points into bytes */
};
int store_get(struct store *s, const struct store_key *key, struct store_value *out) MUST_USE;
void store_release(struct store_value *v);

/* What one lease brings: all of it or nothing becomes visible, durably. */
struct store_put {
    bool has_record, has_stat;
    struct store_key key;
    const void *record; /* record_encode'd */
    size_t record_bytes;
    struct stat stat;
    struct hash file;
};
int store_commit(struct store *s, const struct store_put *puts, size_t count) MUST_USE;

struct store_stats {
    uint64_t records, stats, quarantined, files;
    uint64_t record_bytes; /* of values */
    uint64_t disk_bytes;   /* of the data file */
    uint64_t map_bytes;
    uint64_t by_kind[FEATURE_KINDS], bytes_by_kind[FEATURE_KINDS];
};
int store_stats(struct store *s, struct store_stats *out) MUST_USE;

/* Checks every record and stat entry. Damaged ones go to quarantine (unless the store is read-only) and each is told to
 * `report` with a one-line description. */
struct store_check {
    uint64_t records, stats, damaged, quarantined;
};
int store_fsck(struct store *s, void (*report)(void *context, const char *line), void *context,
               struct store_check *out) MUST_USE;

/* Calls visit for the object hash of each record that has one. */
int store_each_object(struct store *s, int (*visit)(void *context, const struct hash *h), void *context) MUST_USE;

/* Calls visit for each record that is sound, in order of file and kind; the record points into the store and is valid
 * during the call, which must not write to the store. Stops at the first code not 0. */
int store_each_record(struct store *s, int (*visit)(void *context, const struct store_key *key, const struct record *r),
                      void *context) MUST_USE;

#endif
