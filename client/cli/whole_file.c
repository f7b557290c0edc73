#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *from, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "%s", strerror(errno));
        from += n;
        bytes -= (size_t)n;
    }
    return fsync(fd) ? fail(STATUS_IO, "%s", strerror(errno)) : STATUS_OK;
}

/* As open(2) would have made it: mkstemp gives a file that only its owner may read. */
static void give_mode(int fd)
{
    const mode_t mask = umask(0);
    umask(mask);
    const int ignored = fchmod(fd, 0666 & ~mask);
    (void)ignored;
}

int whole_file_write(const char *path, const void *data, size_t bytes)
{
    char *part = NULL;
    if (asprintf(&part, "%s.XXXXXX", path) < 0)
        return fail(STATUS_NOMEM, "cannot write %.200s: out of memory", path);
    const int fd = mkstemp(part);
    int code = fd < 0 ? fail(STATUS_IO, "%s", strerror(errno)) : write_all(fd, data, bytes);
    if (!code)
        give_mode(fd);
    if (fd >= 0 && close(fd) && !code)
        code = fail(STATUS_IO, "%s", strerror(errno));
    if (!code && rename(part, path))
        code = fail(STATUS_IO, "%s", strerror(errno));
    if (code && fd >= 0)
        unlink(part);
    free(part);
    return status_context(code, "cannot write %s", path);
}
