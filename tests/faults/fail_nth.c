/* fail_nth - LD_PRELOAD: the WAVEMILL_FAIL_AT-th of the calls that write or sync a file named data.mdb fails with EIO.
 * Nothing else fails, before or after it. The moment it does, the file WAVEMILL_FAIL_MARK appears. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool is_journal(int fd)
{
    static const char name[] = "/data.mdb";
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path);
    return n >= (ssize_t)sizeof name - 1 && memcmp(path + n - (sizeof name - 1), name, sizeof name - 1) == 0;
}

static bool fails(int fd)
{
    static long calls;
    const char *const at = getenv("WAVEMILL_FAIL_AT"), *const mark = getenv("WAVEMILL_FAIL_MARK");
    if (!at || !mark || !is_journal(fd) || __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) != strtol(at, NULL, 10))
        return false;
    const int made = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made < 0)
        abort(); /* the test would wait for a failure that it cannot see */
    close(made);
    errno = EIO;
    return true;
}

/* The call that this one stands before. */
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    return fails(fd) ? -1 : REAL(pwrite)(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
    return fails(fd) ? -1 : REAL(pwrite64)(fd, data, bytes, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return fails(fd) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return fails(fd) ? -1 : REAL(pwritev)(fd, parts, count, at);
}

int fdatasync(int fd)
{
    return fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return fails(fd) ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t bytes)
{
    return fails(fd) ? -1 : REAL(ftruncate)(fd, bytes);
}
