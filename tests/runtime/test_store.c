#include "store_rig.h"
#include "test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(what_is_put_is_got)
{
    struct store *s = rig_open("f", 0);
    CHECK_CODE(rig_get(s, 1, 8), STATUS_NOT_FOUND);
    CHECK_OK(rig_put(s, 1, 8));
    CHECK_OK(rig_get(s, 1, 8));
    CHECK_OK(rig_put(s, 1, 16));
    CHECK_OK(rig_get(s, 1, 16));
    store_close(&s);
    s = rig_open("f", 0);
    CHECK_OK(rig_get(s, 1, 16));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.records == 1 && st.files == 1 && st.by_kind[FEATURE_MEL] == 1 && st.quarantined == 0 && st.disk_bytes > 0);
    store_close(&s);
    store_close(&s);
    CHECK_OK(store_open("f", &(struct store_options){.read_only = true}, &s));
    CHECK_OK(rig_get(s, 1, 16));
    CHECK(rig_put(s, 2, 8) != STATUS_OK);
    store_close(&s);
    CHECK_CODE(store_open("missing", &(struct store_options){0}, &s), STATUS_IO);
    mkdir("empty", 0700);
    CHECK(store_open("empty", &(struct store_options){.read_only = true}, &s) != STATUS_OK);
}

TEST(stats_find_files)
{
    struct store *s = rig_open("f", 0);
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
    struct store *s = rig_open("f", 1 << 20);
    for (int i = 0; i < 12; i++)
        CHECK_OK(rig_put(s, i, MEGABYTE - 200));
    for (int i = 0; i < 12; i++)
        CHECK_OK(rig_get(s, i, MEGABYTE - 200));
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
            struct store *s = rig_open("f", 1 << 20);
            int bad = 0;
            for (int i = 0; i < EACH; i++)
                bad |= rig_put(s, 100 * p + i, BYTES) != STATUS_OK;
            store_close(&s);
            _exit(bad);
        }
    }
    for (int p = 0; p < 2; p++) {
        int state = 1;
        waitpid(pids[p], &state, 0);
        CHECK(state == 0);
    }
    struct store *s = rig_open("f", 0);
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < EACH; i++)
            CHECK_OK(rig_get(s, 100 * p + i, BYTES));
    store_close(&s);
}

static void count_line(void *context, const char *line)
{
    CHECK(strlen(line) > 10);
    ++*(int *)context;
}

TEST(damage_is_found_quarantined_and_not_served)
{
    struct store *s = rig_open("f", 0);
    CHECK_OK(rig_put(s, 1, 64));
    store_close(&s);
    rig_damage("feature", 120);
    s = rig_open("f", 0);
    CHECK_CODE(rig_get(s, 1, 64), STATUS_DAMAGED);
    CHECK_CODE(rig_get(s, 1, 64), STATUS_NOT_FOUND);
    CHECK_OK(rig_put(s, 1, 64));
    CHECK_OK(rig_get(s, 1, 64));
    struct store_stats st;
    CHECK_OK(store_stats(s, &st));
    CHECK(st.quarantined == 1);
    store_close(&s);

    rig_damage("feature", 20);
    struct stat file;
    CHECK(stat(".", &file) == 0);
    s = rig_open("f", 0);
    const struct store_put p = {.has_stat = true, .stat = file};
    CHECK_OK(store_commit(s, &p, 1));
    store_close(&s);
    rig_damage("stat", 3);
    s = rig_open("f", 0);
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
    struct store *s = rig_open("f", 0);
    store_close(&s);
    rig_damage("meta", 1);
    CHECK_CODE(store_open("f", &(struct store_options){0}, &s), STATUS_VERSION);
}

struct seen {
    int count;
    struct hash last;
};

static int see_hash(void *context, const struct hash *h)
{
    struct seen *s = context;
    s->last = *h;
    return ++s->count < 3 ? STATUS_OK : STATUS_CANCELLED;
}

TEST(each_object_of_the_store)
{
    struct store *s = rig_open("f", 0);
    struct record r = {.kind = FEATURE_STFT, .place = RECORD_OBJECT, .array_bytes = 5};
    memset(r.object.bytes, 3, HASH_BYTES);
    unsigned char bytes[256];
    record_encode(&r, bytes);
    const struct store_put p = {
        .has_record = true, .key = rig_key(1), .record = bytes, .record_bytes = record_bytes(&r)};
    CHECK_OK(store_commit(s, &p, 1));
    CHECK_OK(rig_put(s, 2, 8));
    struct seen seen = {0};
    CHECK_OK(store_each_object(s, see_hash, &seen));
    CHECK(seen.count == 1 && seen.last.bytes[0] == 3);
    struct store_value v;
    CHECK_CODE(store_get(s, &p.key, &v), STATUS_DAMAGED); /* a record of another kind than its key */
    store_close(&s);
}
