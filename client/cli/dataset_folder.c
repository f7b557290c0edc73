/* The folder of datasets: new ones come under a hidden name and get theirs when they are whole. */
#include "dataset_verbs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BLOCK = 1 << 20 };

/* A file, or a folder and what is in it, so many folders deep; links are removed, never followed. */
static bool clear_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || depth == 0)
        return true; /* what is too deep is told by the folder above it, which is not empty */
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *const d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)clear_at(fd, e->d_name, depth - 1);
    }
    if (d)
        closedir(d);
    return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

static int clear(const char *folder)
{
    return clear_at(AT_FDCWD, folder, 2) ? STATUS_OK : fail(STATUS_IO, "cannot remove %s: %s", folder, strerror(errno));
}

int dataset_lock(const char *home, int *fd)
{
    char folder[PATHS_MAX + 16], path[PATHS_MAX + 300];
    snprintf(folder, sizeof folder, "%s/datasets", home);
    int code = paths_make(folder);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/.lock", folder);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0 || flock(*fd, LOCK_EX))
        code = fail(errno == EINTR ? STATUS_CANCELLED : STATUS_IO, "cannot lock %s: %s", path, strerror(errno));
    DIR *const d = code ? NULL : opendir(folder);
    for (struct dirent *e; d && !code && (e = readdir(d));)
        if (strncmp(e->d_name, ".new-", 5) == 0 || strncmp(e->d_name, ".old-", 5) == 0) {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            code = clear(path);
        }
    if (d)
        closedir(d);
    if (code && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return code;
}

int dataset_begin(const char *home, struct dataset *d)
{
    char files[PATHS_MAX + 16];
    const int n = snprintf(d->folder, sizeof d->folder, "%s/datasets/.new-XXXXXX", home);
    if (n >= (int)sizeof d->folder || !mkdtemp(d->folder)) {
        d->folder[0] = '\0';
        return fail(STATUS_IO, "cannot write in %.200s/datasets: %s", home, strerror(errno));
    }
    snprintf(files, sizeof files, "%s/files", d->folder);
    return d->keeps_paths || mkdir(files, 0700) == 0 ? STATUS_OK
                                                     : fail(STATUS_IO, "cannot make %s: %s", files, strerror(errno));
}

void dataset_abandon(struct dataset *d)
{
    if (strstr(d->folder, "/datasets/.new-") && clear(d->folder)) /* the next that locks the folder tries again */
        fprintf(stderr, "wavemill dataset: %s\n", status_message());
}

/* ---- copies ---- */

static int copy_bytes(int from, int to, char *block, struct hash_stream *h)
{
    for (;;) {
        const ssize_t n = read(from, block, COPY_BLOCK);
        if (cli_interrupted)
            return fail(STATUS_CANCELLED, "interrupted");
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(STATUS_FORMAT, "cannot read: %s", strerror(errno));
        if (n == 0)
            return STATUS_OK;
        hash_feed(h, block, (size_t)n);
        for (ssize_t done = 0, m; done<n; done += m> 0 ? m : 0)
            if ((m = write(to, block + done, (size_t)(n - done))) <= 0 && errno != EINTR)
                return fail(STATUS_IO, "cannot write the copy: %s", strerror(errno));
    }
}

static int copy_checked(const struct dataset_file *f, int from, int to)
{
    struct hash got;
    char *const block = malloc(COPY_BLOCK);
    struct hash_stream *h = block ? hash_begin() : NULL;
    int code = h ? copy_bytes(from, to, block, h) : fail(STATUS_NOMEM, "dataset: out of memory");
    if (h)
        hash_end(&h, &got);
    free(block);
    if (!code && memcmp(&got, &f->hash, sizeof got) != 0)
        code = fail(STATUS_FORMAT, "it changed after it was looked at");
    if (!code && fsync(to))
        code = fail(STATUS_IO, "cannot write the copy: %s", strerror(errno));
    return code;
}

int dataset_keep(const struct dataset *d, const struct dataset_file *f, const char *from)
{
    char path[PATHS_MAX + 96], hex[HASH_HEX];
    hash_hex(&f->hash, hex);
    snprintf(path, sizeof path, "%s/files/%s", d->folder, hex);
    const int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in < 0)
        return fail(STATUS_NOT_FOUND, "cannot open: %s", strerror(errno));
    const int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int code = out < 0 ? fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno)) : copy_checked(f, in, out);
    close(in);
    if (out >= 0)
        close(out);
    if (code)
        unlink(path);
    return code;
}

/* ---- names ---- */

static int write_manifest(const struct dataset *d)
{
    char path[PATHS_MAX + 16];
    snprintf(path, sizeof path, "%s/dataset.json", d->folder);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int code = fd < 0 ? fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno)) : dataset_write(d, fd);
    if (!code && fsync(fd))
        code = fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return code;
}

int dataset_settle(const char *home, struct dataset *d, bool replace)
{
    char folder[PATHS_MAX + 16], path[PATHS_MAX + 128];
    snprintf(folder, sizeof folder, "%s/datasets", home);
    snprintf(path, sizeof path, "%s/%s", folder, d->name);
    int code = write_manifest(d);
    if (!code && !d->keeps_paths) {
        char files[PATHS_MAX + 16];
        snprintf(files, sizeof files, "%s/files", d->folder);
        code = paths_sync(files);
    }
    code = code ? code : paths_sync(d->folder);
    if (code)
        return code;
    const bool swaps = replace && access(path, F_OK) == 0;
    if (renameat2(AT_FDCWD, d->folder, AT_FDCWD, path, swaps ? RENAME_EXCHANGE : 0))
        return errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
                   ? fail(STATUS_BUSY, "there is one already; --replace makes it anew")
                   : fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    code = paths_sync(folder);
    if (swaps)
        dataset_abandon(d); /* under the hidden name lies the old one now */
    memcpy(d->folder, path, strlen(path) + 1 < sizeof d->folder ? strlen(path) + 1 : 1);
    return code;
}

int dataset_remove(const char *home, const char *name)
{
    char folder[PATHS_MAX + 16], path[PATHS_MAX + 128], aside[PATHS_MAX + 32];
    int lock = -1;
    int code = dataset_lock(home, &lock);
    if (code)
        return code;
    snprintf(folder, sizeof folder, "%s/datasets", home);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(aside, sizeof aside, "%s/.old-XXXXXX", folder);
    if (!mkdtemp(aside) || rename(path, aside)) /* onto an empty folder, which it replaces */
        code = fail(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    code = code ? code : paths_sync(folder);
    code = code ? code : clear(aside);
    close(lock);
    return code;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

int dataset_each(const char *home, void (*visit)(void *context, const char *name), void *context)
{
    char path[PATHS_MAX + 16], (*names)[DATASET_NAME_MOST + 1] = NULL;
    size_t count = 0;
    int code = STATUS_OK;
    snprintf(path, sizeof path, "%s/datasets", home);
    DIR *const d = opendir(path);
    if (!d)
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "%s: %s", path, strerror(errno));
    for (struct dirent *e; !code && (e = readdir(d));) {
        if (!dataset_is_name(e->d_name))
            continue;
        void *const more = realloc(names, (count + 1) * sizeof *names);
        code = more ? STATUS_OK : fail(STATUS_NOMEM, "dataset: out of memory");
        names = more ? more : names;
        if (more)
            snprintf(names[count++], sizeof *names, "%s", e->d_name);
    }
    closedir(d);
    if (count)
        qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count && !code; i++)
        visit(context, names[i]);
    free(names);
    return code;
}
