#include "store_state.h"

#include <string.h>

int store_each(struct store *s, MDB_dbi table, int (*visit)(void *context, const MDB_val *key, const MDB_val *value),
               void *context)
{
    MDB_txn *txn = NULL;
    int code = store_begin(s, false, &txn);
    if (code)
        return code;
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int e = mdb_cursor_open(txn, table, &c);
    while (!e && !code && (e = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0)
        code = visit(context, &key, &value);
    if (c)
        mdb_cursor_close(c);
    if (!code && e && e != MDB_NOTFOUND)
        code = store_lmdb_fail(s, e, "read");
    store_end(s, txn);
    return code;
}

struct object_visit {
    int (*visit)(void *context, const struct hash *h);
    void *context;
};

static int visit_object(void *context, const MDB_val *key, const MDB_val *value)
{
    const struct object_visit *v = context;
    struct record r;
    (void)key;
    if (record_decode(value->mv_data, value->mv_size, &r) || r.place != RECORD_OBJECT)
        return STATUS_OK;
    return v->visit(v->context, &r.object);
}

int store_each_object(struct store *s, int (*visit)(void *context, const struct hash *h), void *context)
{
    return store_each(s, s->feature, visit_object, &(struct object_visit){visit, context});
}

struct record_visit {
    int (*visit)(void *context, const struct store_key *key, const struct record *r);
    void *context;
};

static int visit_record(void *context, const MDB_val *key, const MDB_val *value)
{
    const struct record_visit *v = context;
    const unsigned char *raw = key->mv_data;
    struct record r;
    struct store_key k;
    if (key->mv_size != KEY_BYTES || record_decode(value->mv_data, value->mv_size, &r))
        return STATUS_OK;
    memcpy(k.file.bytes, raw, HASH_BYTES);
    k.kind = (uint16_t)(raw[HASH_BYTES] << 8 | raw[HASH_BYTES + 1]);
    memcpy(k.params, raw + HASH_BYTES + 2, sizeof k.params);
    return k.kind == r.kind ? v->visit(v->context, &k, &r) : STATUS_OK;
}

int store_each_record(struct store *s, int (*visit)(void *context, const struct store_key *key, const struct record *r),
                      void *context)
{
    return store_each(s, s->feature, visit_record, &(struct record_visit){visit, context});
}
