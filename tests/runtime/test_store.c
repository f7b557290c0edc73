#include "objects.h"
#include "store.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store *open_store(const char *folder, size_t map_bytes)
{
    struct store *s = NULL;
    mkdir(folder, 0700);
    CHECK_OK(store_open(folder, &(struct store_options){.map_bytes = map_bytes}, &s));
    REQUIRE(s);
    return s;
}

static struct store_key key_of(int n)
{
    struct store_key k = {.kind = FEATURE_MEL};
    hash_bytes(&n, sizeof n, &k.file);
    hash_short("p", 1, k.params);
    return k;
}

static int put(struct store *s, int n, size_t array_bytes)
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
        .has_record = true, .key = key_of(n), .record = bytes, .record_bytes = record_bytes(&r)};
    const int code = store_commit(s, &p, 1);
    free(bytes);
    free(array);
    return code;
}

static int get(struct store *s, int n, size_t want_bytes)
{
    struct store_value v;
    const struct store_key k = key_of(n);
    const int code = store_get(s, &k, &v);
    if (code)
        return code;
    CHECK(v.record.array_bytes == want_bytes &&
          ((const unsigned char *)v.record.array)[want_bytes - 1] == (unsigned char)n);
    CHECK(v.record.result_bytes == 1 && *(const char *)v.record.result == 'R');
    store_release(&v);
    return STATUS_OK;
}

TEST(record_round_trip_and_damage)
{
    struct record r = {.kind = 3,
                       .backend = 1,
                       .isa = 2,
                       .dtype = 3,
                       .place = RECORD_OBJECT,
                       .made_unix_ms = 123456789012,
                       .bins = 1025,
                       .frames = 1ull << 40,
                       .result = "abc",
                       .result_bytes = 3,
                       .array_bytes = 77,
                       .code_version = "0.1.0",
                       .device = "cpu"},
                  got;
    memset(r.object.bytes, 9, sizeof r.object.bytes);
    unsigned char bytes[256], copy[256];
    const size_t n = record_bytes(&r);
    CHECK(n == RECORD_HEADER_BYTES + 3 + HASH_BYTES);
    record_encode(&r, bytes);
    CHECK_OK(record_decode(bytes, n, &got));
    CHECK(got.kind == 3 && got.backend == 1 && got.isa == 2 && got.dtype == 3 && got.bins == 1025 &&
          got.frames == 1ull << 40 && got.made_unix_ms == 123456789012 && got.array_bytes == 77);
    CHECK(memcmp(&got.object, &r.object, sizeof r.object) == 0 && memcmp(got.result, "abc", 3) == 0);
    CHECK(strcmp(got.device, "cpu") == 0 && strcmp(got.code_version, "0.1.0") == 0);
    for (size_t i = 0; i < n; i++) { /* every byte counts */
        memcpy(copy, bytes, n);
        copy[i] ^= 0x40;
        const int code = record_decode(copy, n, &got);
        CHECK(code == STATUS_DAMAGED || code == STATUS_VERSION ||
              (i == 6 || i == 7)); /* the kind is the key's affair */
    }
    for (size_t i = 0; i < n; i++)
        CHECK_CODE(record_decode(bytes, i, &got), STATUS_DAMAGED);
    memcpy(copy, bytes, n);
    copy[4] = 2; /* a later version, with a sound checksum */
    CHECK_CODE(record_decode(copy, n, &got), STATUS_VERSION);
    enum feature_kind kind;
    CHECK_OK(feature_parse("logmel", &kind));
    CHECK(kind == FEATURE_LOGMEL && strcmp(feature_name(FEATURE_ZCR), "zcr") == 0);
    CHECK_CODE(feature_parse("summary", &kind), STATUS_ARGUMENT);
    CHECK_CODE(feature_parse("chroma", &kind), STATUS_ARGUMENT);
    CHECK(strcmp(feature_name((enum feature_kind)99), "unknown") == 0);
}

TEST(what_is_put_is_got)
{
    struct store *s = open_store("f", 0);
    CHECK_CODE(get(s, 1, 8), STATUS_NOT_FOUND);
    CHECK_OK(put(s, 1, 8));
    CHECK_OK(get(s, 1, 8));
    CHECK_OK(put(s, 1, 16));
    CHECK_OK(get(s, 1, 16));
    store_close(&s);
    s = open_store("f", 0);
    CHECK_OK(get(s, 1, 16));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 1 && st.files == 1 && st.by_kind[FEATURE_MEL] == 1 && st.quarantined == 0 && st.disk_bytes > 0);
    store_close(&s);
    store_close(&s);
    CHECK_OK(store_open("f", &(struct store_options){.read_only = true}, &s));
    CHECK_OK(get(s, 1, 16));
    CHECK(put(s, 2, 8) != STATUS_OK);
    store_close(&s);
    CHECK_CODE(store_open("missing", &(struct store_options){0}, &s), STATUS_IO);
    mkdir("empty", 0700);
    CHECK(store_open("empty", &(struct store_options){.read_only = true}, &s) != STATUS_OK);
}

TEST(stats_find_files)
{
    struct store *s = open_store("f", 0);
    struct stat st;
    struct hash h;
    CHECK(stat(".", &st) == 0);
    CHECK_CODE(store_find_stat(s, &st, &h), STATUS_NOT_FOUND);
    struct store_put p = {.has_stat = true, .stat = st};
    memset(p.file.bytes, 5, HASH_BYTES);
    CHECK_OK(store_commit(s, &p, 1));
    CHECK_OK(store_find_stat(s, &st, &h));
    CHECK(memcmp(&h, &p.file, sizeof h) == 0);
    struct stat other = st;
    other.st_ino++;
    CHECK_CODE(store_find_stat(s, &other, &h), STATUS_NOT_FOUND);
    other = st;
    other.st_ctim.tv_nsec ^= 1;
    CHECK_CODE(store_find_stat(s, &other, &h), STATUS_NOT_FOUND);
    other = st;
    other.st_size++;
    CHECK_CODE(store_find_stat(s, &other, &h), STATUS_NOT_FOUND);
    store_close(&s);
}

TEST(map_grows)
{
    enum { MEGABYTE = 1 << 20 };
    struct store *s = open_store("f", 1 << 20);
    for (int i = 0; i < 12; i++)
        CHECK_OK(put(s, i, MEGABYTE - 200));
    for (int i = 0; i < 12; i++)
        CHECK_OK(get(s, i, MEGABYTE - 200));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.map_bytes >= 12 * MEGABYTE && st.records == 12);
    store_close(&s);
}

/* Two processes write at once; each sees the map grow under it. */
TEST(two_processes_share_it)
{
    enum { EACH = 30, BYTES = 200000 };
    mkdir("f", 0700);
    pid_t pids[2];
    for (int p = 0; p < 2; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            struct store *s = open_store("f", 1 << 20);
            int bad = 0;
            for (int i = 0; i < EACH; i++)
                bad |= put(s, 100 * p + i, BYTES) != STATUS_OK;
            store_close(&s);
            _exit(bad);
        }
    }
    for (int p = 0; p < 2; p++) {
        int state = 1;
        waitpid(pids[p], &state, 0);
        CHECK(state == 0);
    }
    struct store *s = open_store("f", 0);
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < EACH; i++)
            CHECK_OK(get(s, 100 * p + i, BYTES));
    store_close(&s);
}

/* Changes one byte of a value, behind the store's back. */
static void damage(const char *table, size_t at)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    MDB_cursor *c = NULL;
    MDB_val key = {0}, value = {0};
    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 && mdb_env_open(env, "f", 0, 0600) == 0);
    CHECK(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, table, 0, &dbi) == 0);
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

static void count_line(void *context, const char *line)
{
    CHECK(strlen(line) > 10);
    ++*(int *)context;
}

TEST(damage_is_found_quarantined_and_not_served)
{
    struct store *s = open_store("f", 0);
    CHECK_OK(put(s, 1, 64));
    store_close(&s);
    damage("feature", 120);
    s = open_store("f", 0);
    CHECK_CODE(get(s, 1, 64), STATUS_DAMAGED);
    CHECK_CODE(get(s, 1, 64), STATUS_NOT_FOUND);
    CHECK_OK(put(s, 1, 64));
    CHECK_OK(get(s, 1, 64));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.quarantined == 1);
    store_close(&s);

    damage("feature", 20);
    struct stat file;
    CHECK(stat(".", &file) == 0);
    s = open_store("f", 0);
    const struct store_put p = {.has_stat = true, .stat = file};
    CHECK_OK(store_commit(s, &p, 1));
    store_close(&s);
    damage("stat", 3);
    s = open_store("f", 0);
    struct hash h;
    CHECK_CODE(store_find_stat(s, &file, &h), STATUS_DAMAGED);
    struct store_check check;
    int lines = 0;
    CHECK_OK(store_fsck(s, count_line, &lines, &check));
    CHECK(check.damaged == 2 && check.quarantined == 2 && lines == 2);
    CHECK_OK(store_fsck(s, count_line, &lines, &check));
    CHECK(check.damaged == 0 && lines == 2);
    store_close(&s);
}

TEST(a_later_layout_is_refused)
{
    struct store *s = open_store("f", 0);
    store_close(&s);
    damage("meta", 1);
    CHECK_CODE(store_open("f", &(struct store_options){0}, &s), STATUS_VERSION);
}

TEST(readers_of_the_dead_are_removed)
{
    struct store *s = open_store("f", 0);
    CHECK_OK(put(s, 1, 64));
    store_close(&s);
    const pid_t pid = fork();
    if (pid == 0) {
        MDB_env *env;
        MDB_txn *txn;
        if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, 8) || mdb_env_open(env, "f", 0, 0600) ||
            mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
            _exit(1);
        raise(SIGKILL);
    }
    int state;
    waitpid(pid, &state, 0);
    CHECK(WIFSIGNALED(state));
    s = open_store("f", 0);
    CHECK_OK(put(s, 2, 64));
    store_close(&s);
}

struct seen {
    int count, damaged;
    struct hash last;
};

static int see(void *context, const struct hash *h, uint64_t bytes, bool damaged)
{
    struct seen *s = context;
    s->count++;
    s->damaged += damaged;
    s->last = *h;
    return bytes == 5 || damaged ? STATUS_OK : STATUS_INTERNAL;
}

static int see_hash(void *context, const struct hash *h)
{
    return see(context, h, 5, false);
}

TEST(objects_are_kept_by_content)
{
    mkdir("o", 0700);
    const int fd = open("in", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, "..hello..", 9) == 9);
    struct hash h, again;
    CHECK_OK(objects_put_file("o", fd, 2, 5, &h));
    CHECK_OK(objects_put_file("o", fd, 2, 5, &again));
    char hex[HASH_HEX], path[256];
    hash_hex(&h, hex);
    CHECK(strcmp(hex, "324dcf027dd4a30a932c441f365a25e86b173defa4b8e58948253471b81b72cf") == 0); /* b2sum -l 256 */
    CHECK(memcmp(&h, &again, sizeof h) == 0);
    struct seen seen = {0};
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.count == 1 && seen.damaged == 0);
    int got;
    uint64_t bytes;
    CHECK_OK(objects_open("o", &h, true, &got, &bytes));
    CHECK(bytes == 5);
    close(got);
    snprintf(path, sizeof path, "o/%.2s/%s", hex, hex);
    const int bad = open(path, O_WRONLY);
    CHECK(pwrite(bad, "J", 1, 0) == 1);
    close(bad);
    CHECK_CODE(objects_open("o", &h, true, &got, &bytes), STATUS_DAMAGED);
    CHECK_OK(objects_open("o", &h, false, &got, &bytes));
    close(got);
    seen = (struct seen){0};
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.damaged == 1);
    memset(&h, 1, sizeof h);
    CHECK_CODE(objects_open("o", &h, true, &got, &bytes), STATUS_NOT_FOUND);
    CHECK_CODE(objects_put_file("o", fd, 2, 500, &h), STATUS_IO); /* shorter than was said */
    CHECK_CODE(objects_put_file("nowhere", fd, 0, 5, &h), STATUS_IO);
    close(fd);
}

TEST(each_object_of_the_store)
{
    struct store *s = open_store("f", 0);
    struct record r = {.kind = FEATURE_STFT, .place = RECORD_OBJECT, .array_bytes = 5};
    memset(r.object.bytes, 3, HASH_BYTES);
    unsigned char bytes[256];
    record_encode(&r, bytes);
    const struct store_put p = {
        .has_record = true, .key = key_of(1), .record = bytes, .record_bytes = record_bytes(&r)};
    CHECK_OK(store_commit(s, &p, 1));
    CHECK_OK(put(s, 2, 8));
    struct seen seen = {0};
    CHECK_OK(store_each_object(s, see_hash, &seen));
    CHECK(seen.count == 1 && seen.last.bytes[0] == 3);
    struct store_value v;
    CHECK_CODE(store_get(s, &p.key, &v), STATUS_DAMAGED); /* a record of another kind than its key */
    store_close(&s);
}
