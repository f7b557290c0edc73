#include "objects_spool.h"

#include "objects.h"
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_BLOCK = 256 << 10 };

struct objects_spool {
    int fd;
    struct hash name;
    uint64_t size, offset;
    struct hash_stream *hash;
    char folder[PATHS_MAX], path[PATHS_MAX + 64];
};

int objects_spool_begin(const char *folder, const struct hash *name, uint64_t size, struct objects_spool **out)
{
    struct objects_spool *s = calloc(1, sizeof *s);
    if (!s || !(s->hash = hash_begin())) {
        free(s);
        return fail(STATUS_NOMEM, "objects: out of memory");
    }
    s->name = *name;
    s->size = size;
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    snprintf(s->path, sizeof s->path, "%s/spool", folder);
    const int code = paths_make(s->path);
    const size_t n = strlen(s->path);
    snprintf(s->path + n, sizeof s->path - n, "/new-XXXXXX");
    s->fd = code ? -1 : mkostemp(s->path, O_CLOEXEC);
    if (s->fd < 0) {
        hash_end(&s->hash, NULL);
        const int failed = code ? code : fail(STATUS_IO, "objects: cannot write %s: %s", s->path, strerror(errno));
        free(s);
        return failed;
    }
    *out = s;
    return STATUS_OK;
}

uint64_t objects_spool_offset(const struct objects_spool *s)
{
    return s->offset;
}

int objects_spool_write(struct objects_spool *s, const void *data, size_t bytes)
{
    if (bytes > s->size - s->offset)
        return fail(STATUS_ARGUMENT, "objects: more than the %llu bytes that were announced",
                    (unsigned long long)s->size);
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(s->fd, (const char *)data + done, bytes - done, (off_t)(s->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "objects: cannot write %s: %s", s->path, strerror(errno));
        done += (size_t)n;
    }
    hash_feed(s->hash, data, bytes);
    /* The disk begins now, so that there is little to wait for at the end; where that is not possible, nothing is lost.
     */
    const int ignored = sync_file_range(s->fd, (off_t)s->offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
    (void)ignored;
    s->offset += bytes;
    return STATUS_OK;
}

static int name_it(struct objects_spool *s, bool durable)
{
    char path[PATHS_MAX + 128], parent[PATHS_MAX + 128];
    objects_path(s->folder, &s->name, path, sizeof path);
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    const bool made = mkdir(parent, 0700) == 0;
    if (!made && errno != EEXIST)
        return fail(STATUS_IO, "objects: cannot make %s: %s", parent, strerror(errno));
    if ((durable && fdatasync(s->fd)) || rename(s->path, path))
        return fail(STATUS_IO, "objects: cannot write %s: %s", path, strerror(errno));
    const int code = durable ? status_context(paths_sync(parent), "objects") : STATUS_OK;
    return code || !durable || !made ? code : status_context(paths_sync(s->folder), "objects");
}

static int settle(struct objects_spool *s, bool durable)
{
    struct hash found;
    if (s->offset != s->size)
        return fail(STATUS_FORMAT, "objects: %llu bytes, not %llu", (unsigned long long)s->offset,
                    (unsigned long long)s->size);
    hash_end(&s->hash, &found);
    if (memcmp(&found, &s->name, sizeof found) != 0)
        return fail(STATUS_FORMAT, "objects: the bytes are not those of the name");
    return name_it(s, durable);
}

int objects_spool_finish(struct objects_spool **spool, bool durable)
{
    const int code = settle(*spool, durable);
    objects_spool_drop(spool);
    return code;
}

void objects_spool_drop(struct objects_spool **spool)
{
    struct objects_spool *s = *spool;
    if (!s)
        return;
    close(s->fd);
    unlink(s->path); /* fails when it has its name */
    hash_end(&s->hash, NULL);
    free(s);
    *spool = NULL;
}

void objects_spool_clear(const char *folder, int64_t older_s)
{
    char path[PATHS_MAX + 16];
    snprintf(path, sizeof path, "%s/spool", folder);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat s;
        if (strncmp(e->d_name, "new-", 4) == 0 && fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
            time(NULL) - s.st_mtim.tv_sec >= older_s)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

struct objects_check {
    int fd;
    struct hash name;
    struct hash_stream *hash;
    uint64_t at;
    uint8_t block[CHECK_BLOCK];
};

int objects_check_begin(const char *folder, const struct hash *name, struct objects_check **out)
{
    uint64_t bytes;
    int fd = -1;
    const int code = objects_open(folder, name, false, &fd, &bytes);
    if (code)
        return code;
    struct objects_check *c = malloc(sizeof *c);
    struct hash_stream *hash = hash_begin();
    if (!c || !hash) {
        close(fd);
        free(c);
        hash_end(&hash, NULL);
        return fail(STATUS_NOMEM, "objects: out of memory");
    }
    c->fd = fd;
    c->name = *name;
    c->hash = hash;
    c->at = 0;
    *out = c;
    return STATUS_OK;
}

int objects_check_step(struct objects_check *c, size_t bytes, bool *over)
{
    *over = false;
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pread(c->fd, c->block, sizeof c->block, (off_t)c->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(STATUS_IO, "objects: cannot read: %s", strerror(errno));
        if (n == 0) {
            struct hash found;
            hash_end(&c->hash, &found);
            *over = memcmp(&found, &c->name, sizeof found) == 0;
            return *over ? STATUS_OK : fail(STATUS_DAMAGED, "objects: one does not hold what its name says");
        }
        hash_feed(c->hash, c->block, (size_t)n);
        c->at += (uint64_t)n;
        done += (size_t)n;
    }
    return STATUS_OK;
}

void objects_check_end(struct objects_check **check)
{
    struct objects_check *c = *check;
    if (!c)
        return;
    close(c->fd);
    hash_end(&c->hash, NULL);
    free(c);
    *check = NULL;
}
