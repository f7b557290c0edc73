#include "objects.h"

#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void objects_path(const char *folder, const struct hash *h, char *out, size_t capacity)
{
    char hex[HASH_HEX];
    hash_hex(h, hex);
    snprintf(out, capacity, "%s/%.2s/%s", folder, hex, hex);
}

static int copy_range(int from_fd, uint64_t from, uint64_t bytes, int to_fd)
{
    enum { BLOCK = 256 << 10 };
    unsigned char *block = malloc(BLOCK);
    if (!block)
        return fail(STATUS_NOMEM, "objects: out of memory");
    int code = STATUS_OK;
    for (uint64_t at = 0; at < bytes && !code;) {
        const uint64_t want = bytes - at < BLOCK ? bytes - at : BLOCK;
        const ssize_t n = pread(from_fd, block, want, (off_t)(from + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            code = fail(STATUS_IO, "objects: cannot read: %s", n ? strerror(errno) : "file ends early");
        else if (write(to_fd, block, (size_t)n) != n)
            code = fail(STATUS_IO, "objects: cannot write: %s", strerror(errno));
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(block);
    return code;
}

int objects_touch(const char *folder, const struct hash *h)
{
    char path[PATHS_MAX + 128];
    objects_path(folder, h, path, sizeof path);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0)
        return STATUS_OK;
    return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "objects: %s: %s", path, strerror(errno));
}

int objects_put_aside(const char *folder, const struct hash *h)
{
    char path[PATHS_MAX + 128], aside[PATHS_MAX + 144];
    objects_path(folder, h, path, sizeof path);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    return rename(path, aside) ? fail(STATUS_IO, "objects: %s: %s", aside, strerror(errno)) : STATUS_OK;
}

/* An object of that name is there: *sound when its bytes are right; otherwise it is put aside, never deleted. */
static int look_at_twin(const char *folder, const struct hash *h, bool *sound)
{
    int fd = -1;
    uint64_t bytes = 0;
    const int code = objects_open(folder, h, true, &fd, &bytes);
    *sound = code == STATUS_OK;
    if (*sound)
        close(fd);
    return code == STATUS_DAMAGED ? objects_put_aside(folder, h) : code;
}

static int settle(const char *folder, const char *temporary, int fd, struct hash *h)
{
    char path[PATHS_MAX + 128], parent[PATHS_MAX + 128];
    bool sound = false;
    int code = hash_file(fd, h, NULL);
    if (code)
        return code;
    objects_path(folder, h, path, sizeof path);
    if (access(path, F_OK) == 0 && (code = look_at_twin(folder, h, &sound)))
        return code;
    /* Young again, so that nobody collects it before the record that names it is there; one that cannot be touched has
     * just been collected. */
    if (sound && utimensat(AT_FDCWD, path, NULL, 0) == 0)
        return unlink(temporary) ? fail(STATUS_IO, "objects: %s: %s", temporary, strerror(errno)) : STATUS_OK;
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    if (mkdir(parent, 0700) && errno != EEXIST)
        return fail(STATUS_IO, "objects: cannot make %s: %s", parent, strerror(errno));
    if (fsync(fd) || rename(temporary, path))
        return fail(STATUS_IO, "objects: cannot write %s: %s", path, strerror(errno));
    return status_context(paths_sync(parent), "objects");
}

int objects_put_file(const char *folder, int fd, uint64_t from, uint64_t bytes, struct hash *out)
{
    char temporary[PATHS_MAX + 64];
    snprintf(temporary, sizeof temporary, "%s/.new-XXXXXX", folder);
    const int to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return fail(STATUS_IO, "objects: cannot write in %s: %s", folder, strerror(errno));
    int code = copy_range(fd, from, bytes, to);
    if (!code)
        code = settle(folder, temporary, to, out);
    close(to);
    if (code)
        unlink(temporary);
    return code;
}

int objects_open(const char *folder, const struct hash *h, bool verify, int *fd, uint64_t *bytes)
{
    char path[PATHS_MAX + 128];
    objects_path(folder, h, path, sizeof path);
    const int f = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (f < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "objects: %s: %s", path, strerror(errno));
    struct stat s;
    int code = fstat(f, &s) ? fail(STATUS_IO, "objects: %s: %s", path, strerror(errno)) : STATUS_OK;
    struct hash found;
    if (!code && verify && !(code = hash_file(f, &found, NULL)) && memcmp(&found, h, sizeof found) != 0)
        code = fail(STATUS_DAMAGED, "objects: %s does not hold what its name says", path);
    if (code) {
        close(f);
        return code;
    }
    *fd = f;
    *bytes = (uint64_t)s.st_size;
    return STATUS_OK;
}

static int walk_one(const char *folder, const char *name, bool verify,
                    int (*visit)(void *context, const struct hash *h, uint64_t bytes, bool damaged), void *context)
{
    struct hash h;
    if (hash_parse(name, &h))
        return STATUS_OK; /* not an object of ours */
    int fd = -1;
    uint64_t bytes = 0;
    int code = objects_open(folder, &h, verify, &fd, &bytes);
    if (!code)
        close(fd);
    if (code && code != STATUS_DAMAGED)
        return code;
    return visit(context, &h, bytes, code == STATUS_DAMAGED);
}

int objects_walk(const char *folder, bool verify,
                 int (*visit)(void *context, const struct hash *h, uint64_t bytes, bool damaged), void *context)
{
    int code = STATUS_OK;
    for (int i = 0; i < 256 && !code; i++) {
        char path[PATHS_MAX + 32];
        snprintf(path, sizeof path, "%s/%02x", folder, i);
        DIR *d = opendir(path);
        if (!d)
            continue;
        for (struct dirent *e; !code && (e = readdir(d));)
            code = walk_one(folder, e->d_name, verify, visit, context);
        closedir(d);
    }
    return code;
}
