/* What is removed from a store, what is not, and what happens when the disk is full meanwhile. */
#include "objects.h"
#include "paths.h"
#include "store_care.h"
#include "store_rig.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Record n, made at made_ms; with an object instead of an array where `object` is not NULL. */
static void put(struct store *s, int n, uint64_t made_ms, size_t array_bytes, const struct hash *object)
{
    unsigned char *array = calloc(1, array_bytes + 1);
    struct record r = {.kind = FEATURE_MEL,
                       .made_unix_ms = made_ms,
                       .place = object ? RECORD_OBJECT : RECORD_INLINE,
                       .array = array,
                       .array_bytes = array_bytes,
                       .bins = 1,
                       .frames = array_bytes / 4};
    if (object)
        r.object = *object;
    unsigned char *bytes = malloc(record_bytes(&r));
    record_encode(&r, bytes);
    const struct store_put p = {
        .has_record = true, .key = rig_key(n), .record = bytes, .record_bytes = record_bytes(&r)};
    CHECK_OK(store_commit(s, &p, 1));
    free(bytes);
    free(array);
}

static bool has(struct store *s, int n)
{
    struct store_value v;
    const struct store_key k = rig_key(n);
    const int code = store_get(s, &k, &v);
    if (code == STATUS_OK)
        store_release(&v);
    return code == STATUS_OK;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* An object of `bytes` bytes of n, written age_s ago. */
static struct hash object(int n, size_t bytes, int age_s)
{
    struct hash h = {0};
    char path[PATHS_MAX], hex[HASH_HEX];
    char *block = malloc(bytes);
    memset(block, n, bytes);
    mkdir("o", 0700);
    const int fd = open("source", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, block, bytes) == (ssize_t)bytes);
    CHECK_OK(objects_put_file("o", fd, 0, bytes, &h));
    close(fd);
    free(block);
    hash_hex(&h, hex);
    snprintf(path, sizeof path, "o/%.2s/%s", hex, hex);
    const time_t then = time(NULL) - age_s;
    const struct timespec times[2] = {{then, 0}, {then, 0}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
    return h;
}

static bool has_object(const struct hash *h)
{
    int fd = -1;
    uint64_t bytes;
    if (objects_open("o", h, true, &fd, &bytes))
        return false;
    close(fd);
    return true;
}

TEST(the_old_ones_go)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    for (int i = 0; i < 600; i++) /* several transactions */
        put(s, i, 1000 + (uint64_t)i, 100, NULL);
    const struct store_prune dry = {.before_unix_ms = 1500, .dry_run = true};
    CHECK_OK(store_prune(s, "o", &dry, &done));
    CHECK(done.records == 500 && has(s, 0) && done.left_bytes == 100 * (RECORD_HEADER_BYTES + 100));
    const struct store_prune old = {.before_unix_ms = 1500};
    CHECK_OK(store_prune(s, "o", &old, &done));
    CHECK(done.records == 500 && done.record_bytes == 500 * (RECORD_HEADER_BYTES + 100) && done.objects == 0);
    CHECK(done.left_bytes == 100 * (RECORD_HEADER_BYTES + 100));
    CHECK(!has(s, 499) && has(s, 500) && has(s, 599));
    CHECK_OK(store_prune(s, "o", &old, &done));
    CHECK(done.records == 0);
    store_close(&s);
}

TEST(down_to_a_size)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    const uint64_t each = RECORD_HEADER_BYTES + 1000, now = now_ms();
    const struct hash large = object(1, 50000, 7200);
    for (int i = 0; i < 10; i++)
        put(s, i, now - 100000 + (uint64_t)i, 1000, NULL);
    put(s, 10, now - 7200000, 50000, &large); /* the oldest, and its object */
    struct store_prune what = {.to_size = true, .to_bytes = 10 * each, .over_bytes = 1000000};
    CHECK_OK(store_prune(s, "o", &what, &done));
    CHECK(done.records == 0); /* it is not over */
    what.over_bytes = 10 * each;
    CHECK_OK(store_prune(s, "o", &what, &done));
    CHECK(done.records == 1 && done.objects == 1 && done.object_bytes == 50000 && done.left_bytes == 10 * each);
    CHECK(!has(s, 10) && !has_object(&large) && has(s, 0));
    CHECK_OK(store_keep_within(s, "o", 1 << 20, &done));
    CHECK(done.records == 0);
    CHECK_OK(store_keep_within(s, "o", 9 * each, &done)); /* 8.1 of them */
    CHECK(done.records == 2 && !has(s, 1) && has(s, 2) && done.left_bytes == 8 * each);
    store_close(&s);
}

static void know(struct store *s, const struct stat *file, int n)
{
    const struct store_put p = {.has_stat = true, .stat = *file, .file = rig_key(n).file};
    CHECK_OK(store_commit(s, &p, 1));
}

TEST(the_unused_go)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    struct stat file = {.st_dev = 1, .st_ino = 7, .st_size = 10, .st_mtim = {100, 0}, .st_ctim = {100, 0}};
    struct hash h;
    for (int i = 0; i < 4; i++)
        put(s, i, 1, 10, NULL);
    know(s, &file, 0);
    struct stat later = file, other = file;
    later.st_ctim.tv_sec = 200;
    know(s, &later, 1);
    other.st_ino = 8;
    know(s, &other, 2); /* 3: never known */
    const struct store_prune what = {.unused = true};
    CHECK_OK(store_prune(s, "o", &what, &done));
    CHECK(done.records == 2 && done.stats == 1);
    CHECK(!has(s, 0) && has(s, 1) && has(s, 2) && !has(s, 3));
    CHECK_CODE(store_find_stat(s, &file, &h), STATUS_NOT_FOUND);
    CHECK_OK(store_find_stat(s, &later, &h));
    store_close(&s);
}

TEST(gc_spares_the_young_and_the_named)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    const struct hash young = object(1, 1000, 60), named = object(2, 2000, 7200), loose = object(3, 3000, 7200);
    put(s, 1, 1, 2000, &named);
    const int left = open("o/.new-abcdef", O_WRONLY | O_CREAT, 0600);
    CHECK(write(left, "half", 4) == 4);
    close(left);
    CHECK_OK(store_gc(s, "o", true, &done));
    CHECK(done.objects == 1 && done.object_bytes == 3000 && has_object(&loose));
    CHECK_OK(store_gc(s, "o", false, &done));
    CHECK(done.objects == 1 && !has_object(&loose) && has_object(&young) && has_object(&named));
    CHECK(access("o/.new-abcdef", F_OK) == 0); /* young too */
    const struct timespec old[2] = {{1, 0}, {1, 0}};
    CHECK(utimensat(AT_FDCWD, "o/.new-abcdef", old, 0) == 0);
    CHECK_OK(store_gc(s, "o", false, &done));
    CHECK(done.objects == 1 && done.object_bytes == 4 && access("o/.new-abcdef", F_OK) != 0);
    object(4, 100, 7200);
    const struct hash again = object(4, 100, 0); /* written again: young again */
    CHECK_OK(store_gc(s, "o", false, &done));
    CHECK(done.objects == 0 && has_object(&again));
    store_close(&s);
}

TEST(objects_that_records_share)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    const uint64_t now = now_ms();
    const struct hash shared = object(1, 1000, 0);
    put(s, 1, now - 9000, 1000, &shared);
    put(s, 2, now - 1000, 1000, &shared);
    const struct store_prune first = {.before_unix_ms = now - 5000}, both = {.before_unix_ms = now};
    CHECK_OK(store_prune(s, "o", &first, &done));
    CHECK(done.records == 1 && done.objects == 0 && has_object(&shared));
    CHECK_OK(store_prune(s, "o", &both, &done)); /* young, but its own records are gone */
    CHECK(done.records == 1 && done.objects == 1 && !has_object(&shared));
    const struct hash wanted = object(2, 1000, 0); /* written long after its record: somebody is about to commit */
    put(s, 3, now - 30000, 1000, &wanted);
    CHECK_OK(store_prune(s, "o", &both, &done));
    CHECK(done.records == 1 && done.objects == 0 && has_object(&wanted));
    store_close(&s);
}

TEST(walks_every_record)
{
    struct store *s = rig_open("f", 0);
    struct store_pruned done;
    const struct store_prune all = {.before_unix_ms = 2};
    for (int i = 0; i < 3; i++)
        put(s, i, 1, 300, NULL);
    store_close(&s);
    rig_damage("feature", 100);
    s = rig_open("f", 0);
    CHECK_OK(store_prune(s, "o", &all, &done)); /* array bytes are not looked at */
    CHECK(done.records == 3 && done.left_bytes == 0);
    put(s, 1, 1, 300, NULL);
    store_close(&s);
    rig_damage("feature", 0);
    s = rig_open("f", 0);
    CHECK_OK(store_prune(s, "o", &all, &done)); /* without its header: for fsck */
    CHECK(done.records == 0 && done.left_bytes == RECORD_HEADER_BYTES + 300);
    store_close(&s);
}

/* No page of the file can be written any more: nothing is removed, and all is there afterwards. */
TEST(a_full_disk_loses_nothing)
{
    struct store *s = rig_open("f", 0);
    for (int i = 0; i < 300; i++)
        put(s, i, 1 + (uint64_t)(i >= 150), 3000, NULL);
    store_close(&s);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        struct store_pruned done;
        const struct rlimit limit = {8192, 8192};
        const struct store_prune old = {.before_unix_ms = 2};
        signal(SIGXFSZ, SIG_IGN);
        int code = store_open("f", &(struct store_options){0}, &s);
        setrlimit(RLIMIT_FSIZE, &limit);
        code = code ? code : store_prune(s, "o", &old, &done);
        store_close(&s);
        _exit(code == STATUS_IO && done.records == 0 && strstr(status_message(), "store f") ? 0 : 1);
    }
    int state = 1;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    CHECK(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    struct store_check check;
    struct store_pruned done;
    s = rig_open("f", 0);
    CHECK_OK(store_fsck(s, NULL, NULL, &check));
    CHECK(check.records == 300 && check.damaged == 0);
    const struct store_prune old = {.before_unix_ms = 2};
    CHECK_OK(store_prune(s, "o", &old, &done));
    CHECK(done.records == 150);
    store_close(&s);
}

TEST(sizes_as_text)
{
    uint64_t n = 0;
    CHECK(store_parse_size("0", &n) == STATUS_OK && n == 0);
    CHECK(store_parse_size("500M", &n) == STATUS_OK && n == 500 << 20);
    CHECK(store_parse_size("1.5K", &n) == STATUS_OK && n == 1536);
    CHECK(store_parse_size("2G", &n) == STATUS_OK && n == UINT64_C(2) << 30);
    static const char *const bad[] = {"", "M", "-1", "5X", "5MB", "nan", "1e30", "inf"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_CODE(store_parse_size(bad[i], &n), STATUS_ARGUMENT);
    CHECK(store_room(".", &n) == STATUS_OK && n > 0);
    CHECK_CODE(store_room("nowhere", &n), STATUS_IO);
}
