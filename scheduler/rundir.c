#include "rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCH_START_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

uint64_t rundir_epoch_at(int64_t unix_ms)
{
    return unix_ms > EPOCH_START_MS ? (uint64_t)(unix_ms - EPOCH_START_MS) >> 16 : 0;
}

/* Makes the folders of a path that are missing, each for us alone. */
static int make_folders(const char *path)
{
    char part[4096];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return fail(STATUS_ARGUMENT, "run folder: a name of %zu bytes", n);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) && errno != EEXIST && errno != EISDIR)
            return fail(STATUS_IO, "run folder %s: %s", part, strerror(errno));
    }
    return STATUS_OK;
}

/* Whoever can write to the folder above could exchange ours. */
static int check_above(const char *path)
{
    char above[4096];
    snprintf(above, sizeof above, "%s", path);
    char *cut = strrchr(above, '/');
    if (!cut)
        snprintf(above, sizeof above, ".");
    else
        cut[cut == above] = '\0';
    struct stat s;
    if (stat(above, &s))
        return fail(STATUS_IO, "%s: %s", above, strerror(errno));
    if ((s.st_uid != geteuid() && s.st_uid != 0) || ((s.st_mode & 022) && !(s.st_mode & S_ISVTX)))
        return fail(STATUS_ARGUMENT, "%s: others may change what is in it", above);
    return STATUS_OK;
}

static int open_folder(const char *given, int *folder)
{
    char path[4096];
    struct stat s;
    int code = make_folders(given);
    if (code)
        return code;
    size_t n = (size_t)snprintf(path, sizeof path, "%s", given);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0'; /* lstat follows a link that ends with a slash */
    code = check_above(path);
    if (code)
        return code;
    if (lstat(path, &s))
        return fail(STATUS_IO, "run folder %s: %s", path, strerror(errno));
    if (!S_ISDIR(s.st_mode) || s.st_uid != geteuid() || (s.st_mode & 077))
        return fail(STATUS_ARGUMENT, "run folder %s: must be a folder (no link) that is ours alone, mode 0700", path);
    *folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *folder >= 0 ? STATUS_OK : fail(STATUS_IO, "run folder %s: %s", path, strerror(errno));
}

static int lock_file(int folder, const char *name, int *out)
{
    const int fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(STATUS_IO, "%s: %s", name, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        const int reason = errno;
        if (reason == EWOULDBLOCK) {
            *out = fd; /* to read who holds it */
            return STATUS_BUSY;
        }
        close(fd);
        return fail(STATUS_IO, "%s: %s", name, strerror(reason));
    }
    *out = fd;
    return STATUS_OK;
}

static void read_lock(int fd, unsigned long long *pid, unsigned long long *epoch)
{
    char text[64] = {0};
    *pid = *epoch = 0;
    if (pread(fd, text, sizeof text - 1, 0) <= 0)
        return;
    char *end;
    *pid = strtoull(text, &end, 10);
    *epoch = strtoull(end, NULL, 10);
}

static int write_lock(const struct rundir *r)
{
    char text[64];
    const int n = snprintf(text, sizeof text, "%ld\n%" PRIu64 "\n", (long)getpid(), r->epoch);
    if (ftruncate(r->lock, 0) || pwrite(r->lock, text, (size_t)n, 0) != n)
        return fail(STATUS_IO, "scheduler.lock: %s", strerror(errno));
    return STATUS_OK;
}

static int take_lock(struct rundir *r, int64_t unix_ms)
{
    unsigned long long pid, last;
    const int code = lock_file(r->folder, "scheduler.lock", &r->lock);
    if (code == STATUS_BUSY) {
        read_lock(r->lock, &pid, &last);
        close(r->lock);
        r->lock = -1;
        return fail(STATUS_BUSY, "a scheduler runs here already, process %llu", pid);
    }
    if (code)
        return code;
    read_lock(r->lock, &pid, &last);
    if (last >= RUNDIR_EPOCHS - 1)
        return fail(STATUS_DAMAGED, "scheduler.lock names the epoch %llu, which no scheduler can have had: remove it",
                    last);
    r->epoch = rundir_epoch_at(unix_ms);
    if (r->epoch <= last)
        r->epoch = last + 1;
    return write_lock(r);
}

int rundir_raise_epoch(struct rundir *r, uint64_t epoch)
{
    if (epoch <= r->epoch)
        return STATUS_OK;
    r->epoch = epoch;
    return write_lock(r);
}

static int remove_stale(const struct rundir *r, const char *name)
{
    struct stat s;
    if (fstatat(r->folder, name, &s, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "%s: %s", name, strerror(errno));
    if (!S_ISSOCK(s.st_mode))
        return fail(STATUS_ARGUMENT, "%s: in the way, and no socket", name);
    return unlinkat(r->folder, name, 0) ? fail(STATUS_IO, "%s: %s", name, strerror(errno)) : STATUS_OK;
}

int rundir_open(const char *path, int64_t unix_ms, struct rundir *out)
{
    struct rundir r = {.folder = -1, .lock = -1};
    const int client = snprintf(r.client, sizeof r.client, "%s/client.sock", path);
    const int worker = snprintf(r.worker, sizeof r.worker, "%s/worker.sock", path);
    if (client >= RUNDIR_PATH || worker >= RUNDIR_PATH)
        return fail(STATUS_ARGUMENT, "run folder %s: too long, socket paths end at %d bytes", path, RUNDIR_PATH - 1);
    int code = open_folder(path, &r.folder);
    if (!code)
        code = take_lock(&r, unix_ms);
    if (!code)
        code = remove_stale(&r, "client.sock");
    if (!code)
        code = remove_stale(&r, "worker.sock");
    if (code) {
        rundir_close(&r);
        return code;
    }
    *out = r;
    return STATUS_OK;
}

void rundir_close(struct rundir *r)
{
    if (r->lock >= 0)
        close(r->lock);
    if (r->folder >= 0)
        close(r->folder);
    r->lock = r->folder = -1;
}

void rundir_remove_sockets(struct rundir *r)
{
    unlinkat(r->folder, "client.sock", 0);
    unlinkat(r->folder, "worker.sock", 0);
}

int rundir_start_lock(const struct rundir *r, int *fd)
{
    const int code = lock_file(r->folder, "start.lock", fd);
    if (code == STATUS_BUSY)
        close(*fd);
    return code;
}

void rundir_start_unlock(int fd)
{
    close(fd);
}
