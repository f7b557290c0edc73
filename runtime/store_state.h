/* store_state - what the files of the store share: store.c (tables, reads, commits), store_walk.c (walks),
 * store_care.c (what is removed). */
#ifndef STORE_STATE_H
#define STORE_STATE_H
#include "paths.h"
#include "store.h"

#include <lmdb.h>
#include <pthread.h>

enum {
    KEY_BYTES = HASH_BYTES + 2 + 16,
    STAT_KEY_BYTES = 5 * 8,
    STAT_VALUE_BYTES = HASH_BYTES + 4, /* hash, CRC-32C of key and hash */
    COMMIT_TRIES = 40                  /* doublings of the map */
};

struct store {
    MDB_env *env;
    MDB_dbi feature, stat, quarantine, meta;
    bool read_only;
    char folder[PATHS_MAX];
    pthread_rwlock_t growth; /* read: a transaction is open; write: the map is being resized */
};

/* Begins a transaction with the growth lock held for reading; another process may have grown the map. */
int store_begin(struct store *s, bool write, MDB_txn **txn) MUST_USE;
void store_end(struct store *s, MDB_txn *txn); /* aborts it, lets the lock go */
int store_grow(struct store *s) MUST_USE;

/* Records "store FOLDER: what: LMDB's reason"; STATUS_NOT_FOUND or STATUS_IO. */
int store_lmdb_fail(const struct store *s, int error, const char *what);

void store_key_bytes(const struct store_key *k, unsigned char out[KEY_BYTES]);
bool store_stat_is_sound(const MDB_val *key, const MDB_val *value);

/* Calls visit for each entry of a table, in order of keys, within one transaction. */
int store_each(struct store *s, MDB_dbi table, int (*visit)(void *context, const MDB_val *key, const MDB_val *value),
               void *context) MUST_USE;

#endif
