#include "store_care.h"

#include "store_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 256,          /* removals per transaction: others need not wait long for theirs */
    SETTLED_MS = 5000,    /* an object is written so long after its record's date at most, or by somebody else */
    UNTOUCHED_MS = 60000, /* written by somebody else: his record is there by then */
    NO_OBJECT = -1
};

struct entry {
    unsigned char key[KEY_BYTES];
    bool gone, is_damaged, has_object;
    uint64_t made_ms, bytes;
    int64_t object; /* index of the object that it names, or NO_OBJECT */
    struct hash name;
};

struct object {
    struct hash name;
    uint64_t bytes;
    int64_t written_ms;
    uint64_t users;   /* records that name it and are not gone */
    bool orphaned;    /* by records that are gone */
    uint64_t made_ms; /* of the latest of them */
};

struct known {       /* a stat entry */
    uint64_t key[5]; /* device, inode, size, mtime, ctime */
    struct hash file;
    bool gone;
};

struct list {
    void *data;
    size_t count, capacity, item_bytes;
};

/* All that is in the store, as it was when it was looked at. */
struct inventory {
    struct list entries, objects, known;
    uint64_t bytes;
};

static void *add(struct list *l, size_t item_bytes)
{
    if (l->count == l->capacity) {
        const size_t capacity = l->capacity ? 2 * l->capacity : 64;
        void *more = realloc(l->data, capacity * item_bytes);
        if (!more) {
            fail(STATUS_NOMEM, "store: out of memory");
            return NULL;
        }
        l->data = more;
        l->capacity = capacity;
        l->item_bytes = item_bytes;
    }
    void *place = (char *)l->data + l->count++ * item_bytes;
    memset(place, 0, item_bytes);
    return place;
}

static void forget(struct inventory *v)
{
    free(v->entries.data);
    free(v->objects.data);
    free(v->known.data);
    *v = (struct inventory){0};
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t written_ms(const struct stat *s)
{
    return (int64_t)s->st_mtim.tv_sec * 1000 + s->st_mtim.tv_nsec / 1000000;
}

/* ---- the inventory ---- */

static int note_entry(void *context, const MDB_val *key, const MDB_val *value)
{
    struct inventory *v = context;
    struct record r;
    v->bytes += value->mv_size;
    if (key->mv_size != KEY_BYTES)
        return STATUS_OK;
    struct entry *e = add(&v->entries, sizeof *e);
    if (!e)
        return STATUS_NOMEM;
    memcpy(e->key, key->mv_data, KEY_BYTES);
    e->bytes = value->mv_size;
    e->object = NO_OBJECT;
    const int code = record_peek(value->mv_data, value->mv_size, &r);
    e->is_damaged = code && code != STATUS_VERSION;
    if (!code) {
        e->made_ms = r.made_unix_ms;
        e->has_object = r.place == RECORD_OBJECT;
        e->name = e->has_object ? r.object : e->name;
    }
    return STATUS_OK;
}

static int note_known(void *context, const MDB_val *key, const MDB_val *value)
{
    if (!store_stat_is_sound(key, value))
        return STATUS_OK;
    struct known *k = add(context, sizeof *k);
    if (!k)
        return STATUS_NOMEM;
    memcpy(k->key, key->mv_data, STAT_KEY_BYTES);
    memcpy(k->file.bytes, value->mv_data, HASH_BYTES);
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return memcmp(((const struct object *)a)->name.bytes, ((const struct object *)b)->name.bytes, HASH_BYTES);
}

static struct object *find_object(const struct list *objects, const struct hash *name)
{
    const struct object wanted = {.name = *name};
    return objects->count ? bsearch(&wanted, objects->data, objects->count, sizeof wanted, by_name) : NULL;
}

/* The objects of one of the 256 folders. */
static int note_objects(struct inventory *v, const char *path)
{
    DIR *d = opendir(path);
    int code = STATUS_OK;
    if (!d)
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "objects: %s: %s", path, strerror(errno));
    for (struct dirent *f; !code && (f = readdir(d));) {
        struct hash name;
        struct stat s;
        if (hash_parse(f->d_name, &name) || fstatat(dirfd(d), f->d_name, &s, AT_SYMLINK_NOFOLLOW))
            continue; /* not an object, or gone meanwhile */
        struct object *o = add(&v->objects, sizeof *o);
        if (!o) {
            code = STATUS_NOMEM;
            break;
        }
        o->name = name;
        o->bytes = (uint64_t)s.st_size;
        o->written_ms = written_ms(&s);
        v->bytes += o->bytes;
    }
    closedir(d);
    return code;
}

static int list_objects(struct inventory *v, const char *folder)
{
    int code = STATUS_OK;
    for (int i = 0; i < 256 && !code; i++) {
        char path[PATHS_MAX + 32];
        snprintf(path, sizeof path, "%s/%02x", folder, i);
        code = note_objects(v, path);
    }
    if (!code && v->objects.count)
        qsort(v->objects.data, v->objects.count, sizeof(struct object), by_name);
    return code;
}

/* Objects first: one that is written while we look has a record that we see, or is young. */
static int look(struct store *s, const char *folder, struct inventory *v)
{
    int code = list_objects(v, folder);
    if (!code)
        code = store_each(s, s->feature, note_entry, v);
    struct entry *const e = v->entries.data;
    struct object *const objects = v->objects.data;
    for (size_t i = 0; i < v->entries.count && !code; i++) {
        struct object *o = e[i].has_object ? find_object(&v->objects, &e[i].name) : NULL;
        e[i].object = o ? o - objects : NO_OBJECT;
        if (o)
            o->users++;
    }
    return code;
}

/* ---- what goes ---- */

static void strike(struct inventory *v, struct entry *e)
{
    if (e->gone || e->is_damaged)
        return;
    e->gone = true;
    v->bytes -= e->bytes;
    struct object *const objects = v->objects.data;
    if (e->object == NO_OBJECT || !objects)
        return;
    struct object *o = &objects[e->object];
    o->users--;
    o->orphaned = true;
    o->made_ms = e->made_ms > o->made_ms ? e->made_ms : o->made_ms;
}

/* May it go, once no record names it? */
static bool is_free(const struct object *o, bool orphaned, uint64_t made_ms)
{
    const int64_t age = now_ms() - o->written_ms;
    return age >= STORE_YOUNG_S * INT64_C(1000) ||
           (orphaned && (o->written_ms <= (int64_t)made_ms + SETTLED_MS || age >= UNTOUCHED_MS));
}

static int by_file_and_time(const void *a, const void *b)
{
    const struct known *x = a, *y = b;
    static const int order[] = {0, 1, 4, 3, 2};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (x->key[order[i]] != y->key[order[i]])
            return x->key[order[i]] < y->key[order[i]] ? -1 : 1;
    return 0;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

static int strike_unused(struct store *s, struct inventory *v)
{
    int code = store_each(s, s->stat, note_known, &v->known);
    if (code)
        return code;
    struct known *const k = v->known.data;
    const size_t n = v->known.count;
    struct hash *live = malloc((n ? n : 1) * sizeof *live);
    size_t lives = 0;
    if (!live)
        return fail(STATUS_NOMEM, "store: out of memory");
    if (n)
        qsort(k, n, sizeof *k, by_file_and_time);
    for (size_t i = 0; i < n; i++) {
        k[i].gone = i + 1 < n && k[i].key[0] == k[i + 1].key[0] && k[i].key[1] == k[i + 1].key[1];
        if (!k[i].gone)
            live[lives++] = k[i].file;
    }
    qsort(live, lives, sizeof *live, by_hash);
    struct entry *const e = v->entries.data;
    for (size_t i = 0; i < v->entries.count; i++)
        if (!bsearch(e[i].key, live, lives, sizeof *live, by_hash)) /* a key begins with the file's hash */
            strike(v, &e[i]);
    free(live);
    return STATUS_OK;
}

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->made_ms < y->made_ms ? -1 : x->made_ms > y->made_ms;
}

static void strike_oldest(struct inventory *v, uint64_t to_bytes)
{
    struct entry *const e = v->entries.data;
    uint64_t bytes = v->bytes;
    for (size_t i = 0; i < v->objects.count; i++) { /* what goes already */
        const struct object *o = (struct object *)v->objects.data + i;
        bytes -= o->users == 0 && is_free(o, o->orphaned, o->made_ms) ? o->bytes : 0;
    }
    if (v->entries.count)
        qsort(e, v->entries.count, sizeof *e, by_age);
    for (size_t i = 0; i < v->entries.count && bytes > to_bytes; i++) {
        if (e[i].gone || e[i].is_damaged)
            continue;
        const struct object *o = e[i].object == NO_OBJECT ? NULL : (struct object *)v->objects.data + e[i].object;
        if (o && !is_free(o, true, e[i].made_ms))
            continue; /* somebody needs its object just now: nothing to gain */
        strike(v, &e[i]);
        bytes -= e[i].bytes + (o && o->users == 0 ? o->bytes : 0);
    }
}

static int plan(struct store *s, const struct store_prune *what, struct inventory *v)
{
    struct entry *const e = v->entries.data;
    const bool shrinks = what->to_size && v->bytes > what->over_bytes;
    for (size_t i = 0; i < v->entries.count && what->before_unix_ms; i++)
        if (e[i].made_ms < what->before_unix_ms)
            strike(v, &e[i]);
    const int code = what->unused ? strike_unused(s, v) : STATUS_OK;
    if (!code && shrinks)
        strike_oldest(v, what->to_bytes);
    return code;
}

/* ---- removing ---- */

/* Deletes a record that is still the one that was looked at. */
static int delete_entry(struct store *s, MDB_txn *txn, const struct entry *e, struct store_pruned *done)
{
    MDB_val key = {KEY_BYTES, (void *)(uintptr_t)e->key}, value;
    struct record r = {0};
    int error = mdb_get(txn, s->feature, &key, &value);
    if (error)
        return error == MDB_NOTFOUND ? 0 : error;
    const int code = record_peek(value.mv_data, value.mv_size, &r);
    if ((code && code != STATUS_VERSION) || (code ? 0 : r.made_unix_ms) != e->made_ms)
        return 0;
    error = mdb_del(txn, s->feature, &key, NULL);
    done->records += !error;
    done->record_bytes += error ? 0 : e->bytes;
    return error;
}

static int delete_known(struct store *s, MDB_txn *txn, const struct known *k, struct store_pruned *done)
{
    MDB_val key = {STAT_KEY_BYTES, (void *)(uintptr_t)k->key};
    const int error = mdb_del(txn, s->stat, &key, NULL);
    done->stats += !error;
    return error == MDB_NOTFOUND ? 0 : error;
}

/* One transaction: up to BATCH of what is gone, from *at (records, then stat entries) on. */
static int delete_batch(struct store *s, const struct inventory *v, size_t *at, struct store_pruned *out)
{
    const struct entry *e = v->entries.data;
    const struct known *k = v->known.data;
    const size_t records = v->entries.count, all = records + v->known.count;
    for (int tries = 0; tries < COMMIT_TRIES; tries++) {
        struct store_pruned done = *out;
        MDB_txn *txn = NULL;
        int code = store_begin(s, true, &txn), error = 0, n = 0;
        if (code)
            return code;
        size_t i = *at;
        for (; i < all && n < BATCH && !error; i++) {
            if (i < records ? !e[i].gone : !k[i - records].gone)
                continue;
            n++;
            error = i < records ? delete_entry(s, txn, &e[i], &done) : delete_known(s, txn, &k[i - records], &done);
        }
        if (error || n == 0) {
            store_end(s, txn);
        } else {
            error = mdb_txn_commit(txn);
            pthread_rwlock_unlock(&s->growth);
        }
        if (!error) {
            *at = i;
            *out = done;
            return STATUS_OK;
        }
        if ((code = error == MDB_MAP_FULL ? store_grow(s) : store_lmdb_fail(s, error, "remove")))
            return code;
    }
    return fail(STATUS_NOMEM, "store %s: no room", s->folder);
}

static void count_only(const struct inventory *v, struct store_pruned *out)
{
    const struct entry *e = v->entries.data;
    const struct known *k = v->known.data;
    for (size_t i = 0; i < v->entries.count; i++) {
        out->records += e[i].gone;
        out->record_bytes += e[i].gone ? e[i].bytes : 0;
    }
    for (size_t i = 0; i < v->known.count; i++)
        out->stats += k[i].gone;
}

/* Removes the objects that no record names. `before`: the inventory whose records have been removed, or NULL. */
static int sweep(const char *folder, struct inventory *now, const struct inventory *before, bool dry_run,
                 struct store_pruned *out)
{
    struct object *const objects = now->objects.data;
    for (size_t i = 0; i < now->objects.count; i++) {
        struct object *o = &objects[i];
        const struct object *old = before ? find_object(&before->objects, &o->name) : NULL;
        char path[PATHS_MAX + 128], hex[HASH_HEX];
        struct stat s;
        if (o->users || !is_free(o, old && old->orphaned, old ? old->made_ms : 0))
            continue;
        hash_hex(&o->name, hex);
        snprintf(path, sizeof path, "%s/%.2s/%s", folder, hex, hex);
        if (!dry_run) { /* a worker that writes it again touches it */
            if (lstat(path, &s) || written_ms(&s) != o->written_ms)
                continue;
            if (unlink(path) && errno != ENOENT)
                return fail(STATUS_IO, "objects: cannot remove %s: %s", path, strerror(errno));
        }
        out->objects++;
        out->object_bytes += o->bytes;
        now->bytes -= o->bytes;
    }
    return STATUS_OK;
}

/* Files of writers that were killed before they could rename or remove them. */
static int sweep_leftovers(const char *folder, bool dry_run, struct store_pruned *out)
{
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "objects: %s: %s", folder, strerror(errno));
    for (struct dirent *f; (f = readdir(d));) {
        struct stat s;
        if (strncmp(f->d_name, ".new-", 5) != 0 || fstatat(dirfd(d), f->d_name, &s, AT_SYMLINK_NOFOLLOW) ||
            now_ms() - written_ms(&s) < STORE_YOUNG_S * INT64_C(1000))
            continue;
        if (dry_run || unlinkat(dirfd(d), f->d_name, 0) == 0) {
            out->objects++;
            out->object_bytes += (uint64_t)s.st_size;
        }
    }
    closedir(d);
    return STATUS_OK;
}

int store_gc(struct store *s, const char *objects, bool dry_run, struct store_pruned *out)
{
    struct inventory v = {0};
    *out = (struct store_pruned){0};
    int code = look(s, objects, &v);
    if (!code)
        code = sweep(objects, &v, NULL, dry_run, out);
    if (!code)
        code = sweep_leftovers(objects, dry_run, out);
    out->left_bytes = v.bytes;
    forget(&v);
    return code;
}

int store_prune(struct store *s, const char *objects, const struct store_prune *what, struct store_pruned *out)
{
    struct inventory v = {0}, after = {0};
    *out = (struct store_pruned){0};
    int code = look(s, objects, &v);
    if (!code)
        code = plan(s, what, &v);
    if (!code && what->dry_run) {
        count_only(&v, out);
        code = sweep(objects, &v, &v, true, out);
        out->left_bytes = v.bytes;
    }
    for (size_t at = 0; !code && !what->dry_run && at < v.entries.count + v.known.count;)
        code = delete_batch(s, &v, &at, out);
    if (!code && !what->dry_run && !(code = look(s, objects, &after))) {
        code = sweep(objects, &after, &v, false, out);
        out->left_bytes = after.bytes;
    }
    if (!code)
        code = sweep_leftovers(objects, what->dry_run, out);
    forget(&v);
    forget(&after);
    return code;
}

int store_keep_within(struct store *s, const char *objects, uint64_t limit_bytes, struct store_pruned *out)
{
    *out = (struct store_pruned){0};
    struct inventory v = {0};
    MDB_txn *txn = NULL;
    MDB_stat st = {0};
    int code = list_objects(&v, objects);
    if (!code)
        code = store_begin(s, false, &txn);
    if (!code) { /* whole pages: never less than what is in them */
        mdb_stat(txn, s->feature, &st);
        store_end(s, txn);
    }
    const uint64_t most = v.bytes + (st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize;
    forget(&v);
    if (code || most <= limit_bytes)
        return code;
    const struct store_prune what = {
        .to_size = true, .to_bytes = limit_bytes - limit_bytes / 10, .over_bytes = limit_bytes};
    return store_prune(s, objects, &what, out);
}
