#include "objects.h"
#include "objects_spool.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int put_text(const char *text, struct hash *out)
{
    const int fd = open("in", O_RDWR | O_CREAT | O_TRUNC, 0600);
    const size_t n = strlen(text);
    CHECK(write(fd, text, n) == (ssize_t)n);
    const int code = objects_put_file("o", fd, 0, n, out);
    close(fd);
    return code;
}

static const char *path_of(const struct hash *h)
{
    static char path[128];
    char hex[HASH_HEX];
    hash_hex(h, hex);
    snprintf(path, sizeof path, "o/%.2s/%s", hex, hex);
    return path;
}

/* Names in the folder that are not objects: what put_file leaves behind must be none. */
static int leftovers(void)
{
    FILE *list = popen("find o -name '.new-*' | wc -l", "r"); /* NOLINT(cert-env33-c): the command is ours */
    int n = -1;
    CHECK(fscanf(list, "%d", &n) == 1); /* NOLINT(cert-err34-c): wc's output */
    pclose(list);
    return n;
}

TEST(sizes)
{
    static const struct {
        uint64_t from, bytes;
        int code;
    } cases[] = {{0, 0, STATUS_OK},       {0, 1, STATUS_OK},           {0, 262144, STATUS_OK}, /* a block */
                 {0, 262145, STATUS_OK},  {300000, 300000, STATUS_OK}, {1000000, 0, STATUS_OK},
                 {0, 1000001, STATUS_IO}, /* more than there is */
                 {2000000, 1, STATUS_IO}};
    mkdir("o", 0700);
    static unsigned char all[1000000];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)test_random(&seed);
    const int fd = open("in", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, all, sizeof all) == sizeof all);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct hash h, want;
        uint64_t bytes = 1;
        int got = -1;
        CHECK_CODE(objects_put_file("o", fd, cases[c].from, cases[c].bytes, &h), cases[c].code);
        CHECK(leftovers() == 0);
        if (cases[c].code)
            continue;
        hash_bytes(all + cases[c].from, cases[c].bytes, &want);
        CHECK(memcmp(&h, &want, sizeof h) == 0);
        CHECK_OK(objects_open("o", &h, true, &got, &bytes));
        CHECK(bytes == cases[c].bytes);
        close(got);
    }
    close(fd);
}

/* An object that was damaged is whole again when its contents are put again; the damaged bytes are not thrown away. */
TEST(putting_again_mends)
{
    mkdir("o", 0700);
    struct hash h, again;
    int fd = -1;
    uint64_t bytes = 0;
    CHECK_OK(put_text("hello", &h));
    const int bad = open(path_of(&h), O_WRONLY);
    CHECK(pwrite(bad, "J", 1, 0) == 1);
    close(bad);
    CHECK_CODE(objects_open("o", &h, true, &fd, &bytes), STATUS_DAMAGED);
    CHECK_OK(put_text("hello", &again));
    CHECK(memcmp(&h, &again, sizeof h) == 0 && leftovers() == 0);
    CHECK_OK(objects_open("o", &h, true, &fd, &bytes));
    CHECK(bytes == 5);
    close(fd);
    struct seen seen = {0};
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.count == 1 && seen.damaged == 0);
    CHECK(truncate(path_of(&h), 2) == 0);
    CHECK_OK(put_text("hello", &again));
    CHECK_OK(objects_open("o", &h, true, &fd, &bytes));
    CHECK(bytes == 5);
    close(fd);
}

static int stop(void *context, const struct hash *h, uint64_t bytes, bool damaged)
{
    (void)h, (void)bytes, (void)damaged;
    ++*(int *)context;
    return STATUS_CANCELLED;
}

TEST(walks)
{
    struct hash h;
    struct seen seen = {0};
    CHECK_OK(objects_walk("nowhere", true, see, &seen)); /* no folder: no objects */
    mkdir("o", 0700);
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.count == 0);
    static const char *const five[] = {"aaaaa", "bbbbb", "ccccc", "ddddd"};
    for (size_t i = 0; i < 4; i++)
        CHECK_OK(put_text(five[i], &h));
    CHECK(close(open("o/stray", O_CREAT | O_WRONLY, 0600)) == 0); /* neither of these is ours */
    mkdir("o/00", 0700);
    CHECK(close(open("o/00/notes.txt", O_CREAT | O_WRONLY, 0600)) == 0);
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.count == 4 && seen.damaged == 0);
    int calls = 0;
    CHECK_CODE(objects_walk("o", false, stop, &calls), STATUS_CANCELLED);
    CHECK(calls == 1);
    CHECK(truncate(path_of(&h), 3) == 0);
    seen = (struct seen){0};
    CHECK_CODE(objects_walk("o", false, see, &seen), STATUS_INTERNAL); /* unverified: only its size tells */
    seen = (struct seen){0};
    CHECK_OK(objects_walk("o", true, see, &seen));
    CHECK(seen.count == 4 && seen.damaged == 1);
    CHECK(unlink(path_of(&h)) == 0 && symlink("/etc/hostname", path_of(&h)) == 0); /* no link is followed */
    int fd = -1;
    uint64_t bytes;
    CHECK_CODE(objects_open("o", &h, false, &fd, &bytes), STATUS_IO);
    CHECK(fd == -1);
}

/* A disk without room, by way of the limit on a file's size. */
TEST(no_room)
{
    mkdir("o", 0700);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    struct hash h;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const int fd = open("in", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(ftruncate(fd, 400000) == 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){300000, before.rlim_max}) == 0);
    CHECK_CODE(objects_put_file("o", fd, 0, 400000, &h), STATUS_IO);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(leftovers() == 0);
    CHECK_OK(objects_put_file("o", fd, 0, 400000, &h));
    close(fd);
}

/* As a user without rights: root is asked to step down for the length of the test. */
TEST(a_folder_without_rights)
{
    struct hash h;
    int fd = -1;
    uint64_t bytes;
    mkdir("o", 0700);
    CHECK_OK(put_text("hello", &h));
    const int in = open("in", O_RDONLY);
    CHECK(chmod(".", 0755) == 0 && chmod(path_of(&h), 0) == 0);
    const bool root = geteuid() == 0;
    if (root)
        CHECK(chown("o", 65534, (gid_t)-1) == 0 && seteuid(65534) == 0);
    CHECK_CODE(objects_open("o", &h, false, &fd, &bytes), STATUS_IO);
    CHECK(chmod("o", 0500) == 0);
    CHECK_CODE(objects_put_file("o", in, 0, 3, &h), STATUS_IO);
    CHECK(strstr(status_message(), "cannot write in o"));
    CHECK(chmod("o", 0700) == 0);
    if (root)
        CHECK(seteuid(0) == 0);
    close(in);
}

/* Where a folder of objects should be lies a file; where an object should be lies a folder. */
TEST(things_in_the_way)
{
    struct hash h, same;
    int fd = -1;
    uint64_t bytes;
    mkdir("o", 0700);
    CHECK_OK(put_text("hello", &h));
    char folder[8];
    snprintf(folder, sizeof folder, "%.4s", path_of(&h));
    CHECK(unlink(path_of(&h)) == 0 && rmdir(folder) == 0);
    CHECK(close(open(folder, O_CREAT | O_WRONLY, 0600)) == 0);
    CHECK_CODE(put_text("hello", &same), STATUS_IO);
    CHECK(leftovers() == 0);
    CHECK(unlink(folder) == 0 && mkdir(folder, 0700) == 0 && mkdir(path_of(&h), 0700) == 0);
    CHECK_CODE(objects_open("o", &h, true, &fd, &bytes), STATUS_IO);
    CHECK(fd == -1);
}

/* ---- in pieces ---- */

TEST(an_object_that_comes_in_pieces)
{
    static const struct {
        const char *first, *second; /* of "hello world" */
        uint64_t size;
        int written, finished; /* codes: of the second piece, of the end */
    } cases[] = {
        {"hello ", "world", 11, STATUS_OK, STATUS_OK},
        {"hello ", "worlD", 11, STATUS_OK, STATUS_FORMAT},    /* other bytes */
        {"hello ", "worl", 11, STATUS_OK, STATUS_FORMAT},     /* too few */
        {"hello ", "world!", 11, STATUS_ARGUMENT, STATUS_OK}, /* too many: nothing of them is written */
        {"hello ", "world", 12, STATUS_OK, STATUS_FORMAT},    /* fewer than were announced */
    };
    struct hash name;
    hash_bytes("hello world", 11, &name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[8], path[128], hex[HASH_HEX];
        struct objects_spool *s = NULL;
        snprintf(folder, sizeof folder, "s%zu", i);
        hash_hex(&name, hex);
        snprintf(path, sizeof path, "%s/%.2s/%s", folder, hex, hex);
        CHECK_OK(objects_spool_begin(folder, &name, cases[i].size, &s));
        CHECK_OK(objects_spool_write(s, cases[i].first, strlen(cases[i].first)));
        CHECK(objects_spool_offset(s) == 6 && access(path, F_OK) != 0);
        CHECK_CODE(objects_spool_write(s, cases[i].second, strlen(cases[i].second)), cases[i].written);
        if (cases[i].written) {
            CHECK(objects_spool_offset(s) == 6);
            CHECK_OK(objects_spool_write(s, "world", 5));
        }
        CHECK_CODE(objects_spool_finish(&s, i % 2), cases[i].finished);
        int fd = -1;
        uint64_t bytes = 0;
        CHECK(s == NULL);
        CHECK_CODE(objects_open(folder, &name, true, &fd, &bytes), cases[i].finished ? STATUS_NOT_FOUND : STATUS_OK);
        if (fd >= 0)
            close(fd);
        snprintf(path, sizeof path, "%s/spool", folder);
        CHECK(rmdir(path) == 0); /* empty */
    }
}

TEST(an_object_that_is_looked_at_in_pieces)
{
    struct hash name;
    struct objects_check *c = NULL;
    bool over = true;
    mkdir("o", 0700);
    CHECK_OK(put_text("hello world", &name));
    CHECK_OK(objects_check_begin("o", &name, &c));
    CHECK_OK(objects_check_step(c, 1, &over));
    CHECK(!over);
    CHECK_OK(objects_check_step(c, 1, &over));
    CHECK(over);
    objects_check_end(&c);
    const int fd = open(path_of(&name), O_WRONLY);
    CHECK(pwrite(fd, "w", 1, 0) == 1 && close(fd) == 0);
    CHECK_OK(objects_check_begin("o", &name, &c));
    CHECK_CODE(objects_check_step(c, 100, &over), STATUS_DAMAGED);
    CHECK(!over);
    objects_check_end(&c);
    CHECK_OK(objects_put_aside("o", &name));
    CHECK_CODE(objects_check_begin("o", &name, &c), STATUS_NOT_FOUND);
    CHECK_CODE(objects_touch("o", &name), STATUS_NOT_FOUND);
}

TEST(what_killed_writers_left_goes)
{
    struct objects_spool *s = NULL;
    struct hash name = {{1}};
    CHECK_OK(objects_spool_begin("k", &name, 5, &s));
    objects_spool_clear("k", 3600);
    CHECK(rmdir("k/spool") != 0); /* young: it may be in use */
    objects_spool_clear("k", 0);
    CHECK(rmdir("k/spool") == 0);
    objects_spool_drop(&s);
}
