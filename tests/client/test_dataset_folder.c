/* The folder of datasets: copies that are what was looked at, names that are given once all is there, what is swept. */
#include "dataset_verbs.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

volatile sig_atomic_t cli_interrupted; /* main.c has the command's */

static char here[PATHS_MAX];

static void write_text(const char *path, const char *text)
{
    FILE *const f = fopen(path, "w");
    REQUIRE(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool is_there(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0;
}

/* A dataset of one file with this text, in its hidden folder. */
static struct dataset *begin(const char *text)
{
    struct dataset *const d = calloc(1, sizeof *d);
    REQUIRE(d && getcwd(here, sizeof here));
    d->files = calloc(1, sizeof *d->files);
    REQUIRE(d->files);
    d->count = 1;
    snprintf(d->name, sizeof d->name, "d");
    struct dataset_file *const f = d->files;
    *f = (struct dataset_file){.name = strdup("a"),
                               .label = strdup(""),
                               .codec = strdup(""),
                               .warning = strdup(""),
                               .bytes = strlen(text),
                               .rate_hz = 8000,
                               .channels = 1};
    hash_bytes(text, strlen(text), &f->hash);
    CHECK_OK(dataset_begin(here, d));
    return d;
}

static int lock(void)
{
    int fd = -1;
    REQUIRE(getcwd(here, sizeof here));
    CHECK_OK(dataset_lock(here, &fd));
    REQUIRE(fd >= 0);
    return fd;
}

TEST(a_copy_is_what_was_looked_at)
{
    const int fd = lock();
    struct dataset *d = begin("sound");
    char copy[PATHS_MAX + 128];
    CHECK_OK(dataset_path(d, 0, copy, sizeof copy));
    write_text("source", "sounD");
    CHECK_CODE(dataset_keep(d, d->files, "source"), STATUS_FORMAT);
    CHECK(strstr(status_message(), "changed") && !is_there(copy));
    CHECK_CODE(dataset_keep(d, d->files, "nothing"), STATUS_NOT_FOUND);
    CHECK_CODE(dataset_keep(d, d->files, "."), STATUS_FORMAT);
    CHECK(!is_there(copy));
    write_text("source", "sound");
    cli_interrupted = 1;
    CHECK_CODE(dataset_keep(d, d->files, "source"), STATUS_CANCELLED);
    cli_interrupted = 0;
    CHECK_OK(dataset_keep(d, d->files, "source"));
    CHECK(is_there(copy));
    CHECK_CODE(dataset_keep(d, d->files, "source"), STATUS_IO); /* once */
    dataset_abandon(d);
    CHECK(!is_there(d->folder));
    dataset_close(&d);
    close(fd);
}

TEST(a_name_is_given_once)
{
    const int fd = lock();
    struct dataset *first = begin("one"), *second = begin("another"), *back = NULL;
    char hidden[PATHS_MAX];
    write_text("one", "one");
    write_text("another", "another");
    CHECK_OK(dataset_keep(first, first->files, "one"));
    CHECK_OK(dataset_keep(second, second->files, "another"));
    CHECK_OK(dataset_settle(here, first, false));
    CHECK(strstr(first->folder, "/datasets/d"));
    dataset_abandon(first); /* it has its name: nothing happens */
    CHECK_OK(dataset_open(here, "d", &back));
    CHECK(back && back->files[0].bytes == 3);
    dataset_close(&back);
    CHECK_CODE(dataset_settle(here, second, false), STATUS_BUSY);
    memcpy(hidden, second->folder, sizeof hidden);
    dataset_abandon(second);
    CHECK(!is_there(hidden));
    CHECK_OK(dataset_begin(here, second));
    CHECK_OK(dataset_keep(second, second->files, "another"));
    memcpy(hidden, second->folder, sizeof hidden);
    CHECK_OK(dataset_settle(here, second, true));
    CHECK(!is_there(hidden)); /* nor is the old one left there */
    CHECK_OK(dataset_open(here, "d", &back));
    CHECK(back && back->files[0].bytes == 7);
    dataset_close(&back);
    close(fd);
    CHECK_OK(dataset_remove(here, "d"));
    CHECK(!is_there("datasets/d"));
    CHECK_CODE(dataset_remove(here, "d"), STATUS_IO);
    dataset_close(&first);
    dataset_close(&second);
}

TEST(who_locks_sweeps)
{
    close(lock());
    write_text("precious", "x");
    REQUIRE(mkdir("outside", 0700) == 0);
    write_text("outside/kept", "x");
    REQUIRE(mkdir("datasets/.new-abcdef", 0700) == 0 && mkdir("datasets/.new-abcdef/files", 0700) == 0);
    write_text("datasets/.new-abcdef/files/half", "x");
    write_text("datasets/.new-abcdef/dataset.json", "{");
    REQUIRE(symlink("../../outside", "datasets/.new-abcdef/link") == 0);
    REQUIRE(symlink("../../precious", "datasets/.new-abcdef/files/link") == 0);
    REQUIRE(mkdir("datasets/.old-ghijkl", 0700) == 0 && mkdir("datasets/d", 0700) == 0);
    REQUIRE(symlink("../outside", "datasets/.old-mnopqr") == 0);
    close(lock());
    CHECK(!is_there("datasets/.old-mnopqr"));
    CHECK(!is_there("datasets/.new-abcdef") && !is_there("datasets/.old-ghijkl") && is_there("datasets/d"));
    CHECK(is_there("outside/kept") && is_there("precious")); /* links are not followed */
}

static void join(void *context, const char *name)
{
    snprintf((char *)context + strlen(context), 64 - strlen(context), "%s ", name);
}

TEST(names_come_in_order)
{
    char all[64] = "";
    CHECK_OK(dataset_each(".", join, all)); /* there is no folder yet */
    CHECK(!*all);
    close(lock());
    REQUIRE(mkdir("datasets/b", 0700) == 0 && mkdir("datasets/a", 0700) == 0 && mkdir("datasets/no name", 0700) == 0);
    CHECK_OK(dataset_each(".", join, all));
    CHECK(strcmp(all, "a b ") == 0);
}
