#include "objects.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

