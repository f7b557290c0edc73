#include "store_rig.h"

#include "test.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

struct store *rig_open(const char *folder, size_t map_bytes)
{
    struct store *s = NULL;
    mkdir(folder, 0700);
    CHECK_OK(store_open(folder, &(struct store_options){.map_bytes = map_bytes}, &s));
    REQUIRE(s);
    return s;
}

struct store_key rig_key(int n)
{
    struct store_key k = {.kind = FEATURE_MEL};
    hash_bytes(&n, sizeof n, &k.file);
    hash_short("p", 1, k.params);
    return k;
}

int rig_put(struct store *s, int n, size_t array_bytes)
{
    unsigned char *array = calloc(1, array_bytes);
    memset(array, n, array_bytes);
    const struct record r = {.kind = FEATURE_MEL,
                             .place = RECORD_INLINE,
                             .result = "R",
                             .result_bytes = 1,
                             .array = array,
                             .array_bytes = array_bytes,
                             .bins = 1,
                             .frames = array_bytes / 4,
                             .code_version = "1"};
    unsigned char *bytes = malloc(record_bytes(&r));
    record_encode(&r, bytes);
    const struct store_put p = {
        .has_record = true, .key = rig_key(n), .record = bytes, .record_bytes = record_bytes(&r)};
    const int code = store_commit(s, &p, 1);
    free(bytes);
    free(array);
    return code;
}

int rig_get(struct store *s, int n, size_t want_bytes)
{
    struct store_value v;
    const struct store_key k = rig_key(n);
    const int code = store_get(s, &k, &v);
    if (code)
        return code;
    CHECK(v.record.array_bytes == want_bytes &&
          ((const unsigned char *)v.record.array)[want_bytes - 1] == (unsigned char)n);
    CHECK(v.record.result_bytes == 1 && *(const char *)v.record.result == 'R');
    store_release(&v);
    return STATUS_OK;
}

/* A write transaction of LMDB's own on one table of the store. */
static MDB_txn *reach_in(const char *table, MDB_env **env, MDB_dbi *dbi)
{
    MDB_txn *txn = NULL;
    CHECK(mdb_env_create(env) == 0 && mdb_env_set_maxdbs(*env, 8) == 0 && mdb_env_set_mapsize(*env, 64 << 20) == 0);
    CHECK(mdb_env_open(*env, "f", 0, 0600) == 0 && mdb_txn_begin(*env, NULL, 0, &txn) == 0);
    REQUIRE(txn && mdb_dbi_open(txn, table, MDB_CREATE, dbi) == 0);
    return txn;
}

void rig_damage(const char *table, size_t at)
{
    MDB_env *env = NULL;
    MDB_dbi dbi = 0;
    MDB_cursor *c = NULL;
    MDB_val key = {0}, value = {0};
    MDB_txn *txn = reach_in(table, &env, &dbi);
    CHECK(mdb_cursor_open(txn, dbi, &c) == 0 && mdb_cursor_get(c, &key, &value, MDB_FIRST) == 0);
    REQUIRE(value.mv_size > at);
    unsigned char *bent = malloc(value.mv_size);
    memcpy(bent, value.mv_data, value.mv_size);
    bent[at] ^= 1;
    MDB_val to = {value.mv_size, bent};
    CHECK(mdb_cursor_put(c, &key, &to, MDB_CURRENT) == 0);
    mdb_cursor_close(c);
    CHECK(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    free(bent);
}

void rig_insert(const char *table, const void *key, size_t key_bytes, const void *value, size_t value_bytes)
{
    MDB_env *env = NULL;
    MDB_dbi dbi = 0;
    MDB_txn *txn = reach_in(table, &env, &dbi);
    MDB_val k = {key_bytes, (void *)(uintptr_t)key}, v = {value_bytes, (void *)(uintptr_t)value};
    CHECK(mdb_put(txn, dbi, &k, &v, 0) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}
