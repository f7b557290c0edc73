#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int output_file_open(struct output_file *f, uint64_t token)
{
    const char *slash = strrchr(f->path, '/');
    if (f->path[0] != '/' || !slash)
        return fail(STATUS_ARGUMENT, "cannot write %s: the path is not absolute", f->path);
    struct stat s;
    if (stat(f->path, &s) == 0 && S_ISDIR(s.st_mode))
        return fail(STATUS_ARGUMENT, "cannot write %s: it is a directory", f->path);
    if (asprintf(&f->temporary, "%.*s/.%.64s.%d-%llu.part", (int)(slash - f->path), f->path, slash + 1, (int)getpid(),
                 (unsigned long long)token) < 0) {
        f->temporary = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s/", (int)(slash - f->path), f->path);
    f->fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0666); /* gone with us if we are killed */
    f->nameless = f->fd >= 0;
    if (!f->nameless) /* not every file system has that */
        f->fd = open(f->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (f->fd >= 0)
        return STATUS_OK;
    const int e = errno;
    free(f->temporary);
    f->temporary = NULL;
    return fail(e == ENOSPC || e == EIO ? STATUS_IO : STATUS_ARGUMENT, "cannot write %s: %s", f->path, strerror(e));
}

static void close_it(struct output_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

int output_file_settle(struct output_file *f)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", f->fd);
    const bool failed = f->nameless && linkat(AT_FDCWD, link, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW);
    close_it(f);
    if (failed || rename(f->temporary, f->path))
        return fail(STATUS_IO, "cannot write %s: %s", f->path, strerror(errno));
    free(f->temporary);
    f->temporary = NULL;
    return STATUS_OK;
}

void output_file_drop(struct output_file *f)
{
    close_it(f);
    if (f->temporary)
        unlink(f->temporary);
    free(f->temporary);
    f->temporary = NULL;
}
