#include "store.h"

#include "log.h"
#include "paths.h"
#include "store_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STORE_LAYOUT = 1, MAP_BYTES = 64 << 20 };

int store_lmdb_fail(const struct store *s, int error, const char *what)
{
    return fail(error == MDB_NOTFOUND ? STATUS_NOT_FOUND : STATUS_IO, "store %s: %s: %s", s->folder, what,
                mdb_strerror(error));
}

/* Begins a transaction with the growth lock held for reading; another process may have grown the map. */
int store_begin(struct store *s, bool write, MDB_txn **txn)
{
    for (int i = 0; i < 2; i++) {
        pthread_rwlock_rdlock(&s->growth);
        const int e = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, txn);
        if (e == 0)
            return STATUS_OK;
        pthread_rwlock_unlock(&s->growth);
        if (e != MDB_MAP_RESIZED)
            return store_lmdb_fail(s, e, "begin");
        pthread_rwlock_wrlock(&s->growth);
        const int r = mdb_env_set_mapsize(s->env, 0);
        pthread_rwlock_unlock(&s->growth);
        if (r)
            return store_lmdb_fail(s, r, "take over a new map size");
    }
    return fail(STATUS_BUSY, "store %s: its map keeps growing", s->folder);
}

void store_end(struct store *s, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&s->growth);
}

int store_grow(struct store *s)
{
    MDB_envinfo info;
    pthread_rwlock_wrlock(&s->growth);
    mdb_env_info(s->env, &info);
    const int e = mdb_env_set_mapsize(s->env, info.me_mapsize * 2);
    pthread_rwlock_unlock(&s->growth);
    log_info("store: map grown to %zu MiB", info.me_mapsize * 2 >> 20);
    return e ? store_lmdb_fail(s, e, "grow the map") : STATUS_OK;
}

static int open_tables(struct store *s)
{
    MDB_txn *txn = NULL;
    int code = store_begin(s, !s->read_only, &txn);
    if (code)
        return code;
    const unsigned flags = s->read_only ? 0 : MDB_CREATE;
    MDB_val key = {6, "layout"}, value;
    uint32_t layout = STORE_LAYOUT;
    int e = mdb_dbi_open(txn, "feature", flags, &s->feature);
    e = e ? e : mdb_dbi_open(txn, "stat", flags, &s->stat);
    e = e ? e : mdb_dbi_open(txn, "quarantine", flags, &s->quarantine);
    e = e ? e : mdb_dbi_open(txn, "meta", flags, &s->meta);
    if (!e && (e = mdb_get(txn, s->meta, &key, &value)) == MDB_NOTFOUND && !s->read_only) {
        value = (MDB_val){sizeof layout, &layout};
        e = mdb_put(txn, s->meta, &key, &value, 0);
    } else if (!e) {
        memcpy(&layout, value.mv_data, value.mv_size < sizeof layout ? value.mv_size : sizeof layout);
    }
    if (e || layout != STORE_LAYOUT) {
        store_end(s, txn);
        return e ? store_lmdb_fail(s, e, "open its tables")
                 : fail(STATUS_VERSION, "store %s has layout %u, this program knows %d", s->folder, layout,
                        STORE_LAYOUT);
    }
    e = mdb_txn_commit(txn);
    pthread_rwlock_unlock(&s->growth);
    return e ? store_lmdb_fail(s, e, "open its tables") : STATUS_OK;
}

int store_open(const char *folder, const struct store_options *options, struct store **out)
{
    int code = paths_refuse_network("store", folder);
    if (code)
        return code;
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "store: out of memory");
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    s->read_only = options->read_only;
    pthread_rwlock_init(&s->growth, NULL);
    int e = mdb_env_create(&s->env);
    e = e ? e : mdb_env_set_maxdbs(s->env, 8);
    e = e ? e : mdb_env_set_mapsize(s->env, options->map_bytes ? options->map_bytes : MAP_BYTES);
    /* NOTLS: a reader slot belongs to the transaction, not to the thread, so that many short reads cost no slots. */
    e = e ? e : mdb_env_open(s->env, folder, MDB_NOTLS | (s->read_only ? MDB_RDONLY : 0), 0600);
    int dead = 0;
    e = e ? e : mdb_reader_check(s->env, &dead);
    code = e ? store_lmdb_fail(s, e, "open") : open_tables(s);
    if (code) {
        store_close(&s);
        return code;
    }
    if (dead)
        log_info("store: %d readers of dead processes removed", dead);
    *out = s;
    return STATUS_OK;
}

void store_close(struct store **store)
{
    struct store *s = *store;
    if (!s)
        return;
    if (s->env)
        mdb_env_close(s->env);
    pthread_rwlock_destroy(&s->growth);
    free(s);
    *store = NULL;
}

void store_key_bytes(const struct store_key *k, unsigned char out[KEY_BYTES])
{
    memcpy(out, k->file.bytes, HASH_BYTES);
    out[HASH_BYTES] = (unsigned char)(k->kind >> 8); /* big-endian: neighbours sort by kind */
    out[HASH_BYTES + 1] = (unsigned char)k->kind;
    memcpy(out + HASH_BYTES + 2, k->params, sizeof k->params);
}

static unsigned key_kind(const unsigned char raw[KEY_BYTES])
{
    return (unsigned)raw[HASH_BYTES] << 8 | raw[HASH_BYTES + 1];
}

static void stat_key(const struct stat *f, unsigned char out[STAT_KEY_BYTES])
{
    const uint64_t part[5] = {f->st_dev, f->st_ino, (uint64_t)f->st_size,
                              (uint64_t)f->st_mtim.tv_sec * 1000000000u + (uint64_t)f->st_mtim.tv_nsec,
                              (uint64_t)f->st_ctim.tv_sec * 1000000000u + (uint64_t)f->st_ctim.tv_nsec};
    memcpy(out, part, STAT_KEY_BYTES);
}

static uint32_t stat_crc(const void *key, const void *hash)
{
    return crc32c(crc32c(0, key, STAT_KEY_BYTES), hash, HASH_BYTES);
}

bool store_stat_is_sound(const MDB_val *key, const MDB_val *value)
{
    uint32_t crc;
    if (key->mv_size != STAT_KEY_BYTES || value->mv_size != STAT_VALUE_BYTES)
        return false;
    memcpy(&crc, (char *)value->mv_data + HASH_BYTES, sizeof crc);
    return crc == stat_crc(key->mv_data, value->mv_data);
}

int store_find_stat(struct store *s, const struct stat *file, struct hash *out)
{
    unsigned char raw[STAT_KEY_BYTES];
    stat_key(file, raw);
    MDB_txn *txn = NULL;
    int code = store_begin(s, false, &txn);
    if (code)
        return code;
    MDB_val key = {sizeof raw, raw}, value;
    const int e = mdb_get(txn, s->stat, &key, &value);
    if (e)
        code = e == MDB_NOTFOUND ? STATUS_NOT_FOUND : store_lmdb_fail(s, e, "read");
    else if (!store_stat_is_sound(&key, &value)) /* the next hash of the file overwrites it */
        code = fail(STATUS_DAMAGED, "store: a stat entry fails its checksum");
    else
        memcpy(out->bytes, value.mv_data, HASH_BYTES);
    store_end(s, txn);
    return code;
}

/* One try to move an entry to quarantine: STATUS_OK with LMDB's error, which may be that the map is full. */
static int move_entry(struct store *s, MDB_dbi table, MDB_val key, MDB_val to, int *error)
{
    MDB_txn *txn = NULL;
    const int code = store_begin(s, true, &txn);
    if (code)
        return code;
    MDB_val value;
    int e = mdb_get(txn, table, &key, &value);
    if (!e) {
        void *copy = malloc(value.mv_size ? value.mv_size : 1);
        if (!copy) {
            store_end(s, txn);
            return fail(STATUS_NOMEM, "store: out of memory");
        }
        memcpy(copy, value.mv_data, value.mv_size);
        MDB_val kept = {value.mv_size, copy};
        e = mdb_put(txn, s->quarantine, &to, &kept, 0);
        e = e ? e : mdb_del(txn, table, &key, NULL);
        free(copy);
    }
    if (e && e != MDB_NOTFOUND) {
        store_end(s, txn);
    } else {
        e = mdb_txn_commit(txn);
        pthread_rwlock_unlock(&s->growth);
    }
    *error = e;
    return STATUS_OK;
}

/* Moves a record to quarantine: key there = time found | key here. */
static int quarantine(struct store *s, MDB_dbi table, const void *key_data, size_t bytes)
{
    if (s->read_only)
        return STATUS_OK;
    unsigned char moved[8 + KEY_BYTES] = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    memcpy(moved, &ns, 8);
    memcpy(moved + 8, key_data, bytes < KEY_BYTES ? bytes : KEY_BYTES);
    const MDB_val key = {bytes, (void *)(uintptr_t)key_data};
    const MDB_val to = {8 + (bytes < KEY_BYTES ? bytes : KEY_BYTES), moved};
    for (int tries = 0; tries < COMMIT_TRIES; tries++) {
        int e = 0, code = move_entry(s, table, key, to, &e);
        if (code || !e)
            return code;
        if ((code = e == MDB_MAP_FULL ? store_grow(s) : store_lmdb_fail(s, e, "quarantine")))
            return code;
    }
    return fail(STATUS_NOMEM, "store %s: no room", s->folder);
}

int store_get(struct store *s, const struct store_key *k, struct store_value *out)
{
    unsigned char raw[KEY_BYTES];
    store_key_bytes(k, raw);
    MDB_txn *txn = NULL;
    int code = store_begin(s, false, &txn);
    if (code)
        return code;
    MDB_val key = {sizeof raw, raw}, value;
    *out = (struct store_value){0};
    const int e = mdb_get(txn, s->feature, &key, &value);
    if (e) {
        code = e == MDB_NOTFOUND ? STATUS_NOT_FOUND : store_lmdb_fail(s, e, "read");
    } else if (!(out->bytes = malloc(value.mv_size ? value.mv_size : 1))) {
        code = fail(STATUS_NOMEM, "store: out of memory");
    } else {
        memcpy(out->bytes, value.mv_data, value.mv_size);
        code = record_decode(out->bytes, value.mv_size, &out->record);
        if (!code && out->record.kind != k->kind)
            code = fail(STATUS_DAMAGED, "store: a record of kind %u under a key of kind %u", out->record.kind, k->kind);
    }
    store_end(s, txn);
    if (code)
        store_release(out);
    if (code == STATUS_DAMAGED) {
        char hex[HASH_HEX];
        hash_hex(&k->file, hex);
        log_warn("store: record %s of file %.16s is damaged: quarantined, it will be computed again",
                 feature_name((enum feature_kind)k->kind), hex);
        const int moved = quarantine(s, s->feature, raw, sizeof raw);
        code = moved ? moved : fail(STATUS_DAMAGED, "store: a damaged record was quarantined");
    }
    return code;
}

void store_release(struct store_value *v)
{
    free(v->bytes);
    *v = (struct store_value){0};
}

static int put_one(struct store *s, MDB_txn *txn, const struct store_put *p)
{
    int e = 0;
    if (p->has_record) {
        unsigned char raw[KEY_BYTES];
        store_key_bytes(&p->key, raw);
        MDB_val key = {sizeof raw, raw}, value = {p->record_bytes, (void *)(uintptr_t)p->record};
        e = mdb_put(txn, s->feature, &key, &value, 0);
    }
    if (!e && p->has_stat) {
        unsigned char raw[STAT_KEY_BYTES], entry[STAT_VALUE_BYTES];
        stat_key(&p->stat, raw);
        memcpy(entry, p->file.bytes, HASH_BYTES);
        const uint32_t crc = stat_crc(raw, entry);
        memcpy(entry + HASH_BYTES, &crc, sizeof crc);
        MDB_val key = {sizeof raw, raw}, value = {sizeof entry, entry};
        e = mdb_put(txn, s->stat, &key, &value, 0);
    }
    return e;
}

int store_commit(struct store *s, const struct store_put *puts, size_t count)
{
    for (int tries = 0; tries < COMMIT_TRIES; tries++) {
        MDB_txn *txn = NULL;
        int code = store_begin(s, true, &txn);
        if (code)
            return code;
        int e = 0;
        for (size_t i = 0; i < count && !e; i++)
            e = put_one(s, txn, &puts[i]);
        if (e) {
            store_end(s, txn);
        } else {
            e = mdb_txn_commit(txn);
            pthread_rwlock_unlock(&s->growth);
        }
        if (e == 0)
            return STATUS_OK;
        if (e != MDB_MAP_FULL)
            return store_lmdb_fail(s, e, "write");
        if ((code = store_grow(s)))
            return code;
    }
    return fail(STATUS_NOMEM, "store %s: no room", s->folder);
}

int store_stats(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){0};
    MDB_txn *txn = NULL;
    int code = store_begin(s, false, &txn);
    if (code)
        return code;
    MDB_stat st;
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    out->map_bytes = info.me_mapsize;
    mdb_stat(txn, s->stat, &st);
    out->stats = st.ms_entries;
    out->disk_bytes = (info.me_last_pgno + 1) * st.ms_psize;
    mdb_stat(txn, s->quarantine, &st);
    out->quarantined = st.ms_entries;
    MDB_cursor *c = NULL;
    MDB_val key, value;
    unsigned char last[HASH_BYTES] = {0};
    int e = mdb_cursor_open(txn, s->feature, &c);
    while (!e && (e = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        if (key.mv_size != KEY_BYTES)
            continue;
        const unsigned char *k = key.mv_data;
        const unsigned kind = key_kind(k);
        out->files += out->records == 0 || memcmp(last, k, HASH_BYTES) != 0;
        memcpy(last, k, HASH_BYTES);
        out->records++;
        out->record_bytes += value.mv_size;
        out->by_kind[kind < FEATURE_KINDS ? kind : 0]++;
        out->bytes_by_kind[kind < FEATURE_KINDS ? kind : 0] += value.mv_size;
    }
    if (c)
        mdb_cursor_close(c);
    if (e && e != MDB_NOTFOUND)
        code = store_lmdb_fail(s, e, "read");
    store_end(s, txn);
    return code;
}

/* ---- fsck ---- */

struct bad_key {
    struct bad_key *next;
    bool of_stat;
    size_t bytes;
    unsigned char data[];
};

static int note_bad(struct bad_key **list, const MDB_val *key, bool of_stat)
{
    struct bad_key *b = malloc(sizeof *b + key->mv_size);
    if (!b)
        return fail(STATUS_NOMEM, "store: out of memory");
    *b = (struct bad_key){.next = *list, .of_stat = of_stat, .bytes = key->mv_size};
    memcpy(b->data, key->mv_data, key->mv_size);
    *list = b;
    return STATUS_OK;
}

static int check_table(struct store *s, MDB_txn *txn, bool of_stat, struct bad_key **bad, struct store_check *out,
                       void (*report)(void *context, const char *line), void *context)
{
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int code = STATUS_OK;
    int e = mdb_cursor_open(txn, of_stat ? s->stat : s->feature, &c);
    while (!e && !code && (e = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        struct record r;
        char line[256], hex[HASH_HEX] = "?";
        int found = STATUS_OK;
        if (of_stat) {
            out->stats++;
            found = store_stat_is_sound(&key, &value) ? STATUS_OK : fail(STATUS_DAMAGED, "fails its checksum");
        } else {
            out->records++;
            found = key.mv_size == KEY_BYTES ? record_decode(value.mv_data, value.mv_size, &r)
                                             : fail(STATUS_DAMAGED, "a key of %zu bytes", key.mv_size);
            if (key.mv_size == KEY_BYTES)
                hash_hex(key.mv_data, hex);
            if (!found && r.kind != key_kind(key.mv_data))
                found =
                    fail(STATUS_DAMAGED, "a record of kind %u under a key of kind %u", r.kind, key_kind(key.mv_data));
        }
        if (found != STATUS_DAMAGED)
            continue;
        out->damaged++;
        snprintf(line, sizeof line, "%s %.16s: %s", of_stat ? "stat entry" : "record of file", hex, status_message());
        report(context, line);
        code = note_bad(bad, &key, of_stat);
    }
    if (c)
        mdb_cursor_close(c);
    return code ? code : e == MDB_NOTFOUND ? STATUS_OK : store_lmdb_fail(s, e, "read");
}

int store_fsck(struct store *s, void (*report)(void *context, const char *line), void *context, struct store_check *out)
{
    *out = (struct store_check){0};
    struct bad_key *bad = NULL;
    MDB_txn *txn = NULL;
    int code = store_begin(s, false, &txn);
    if (code)
        return code;
    code = check_table(s, txn, false, &bad, out, report, context);
    if (!code)
        code = check_table(s, txn, true, &bad, out, report, context);
    store_end(s, txn);
    while (bad) {
        struct bad_key *b = bad;
        bad = b->next;
        if (!code && !s->read_only && !(code = quarantine(s, b->of_stat ? s->stat : s->feature, b->data, b->bytes)))
            out->quarantined++;
        free(b);
    }
    return code;
}
