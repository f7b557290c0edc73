#include "spool.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIXTURE_BYTES = 2 * sizeof(float) };

static int64_t signals_at(const struct spool *s, int64_t frame)
{
    return SPOOL_HEADER + s->frames * MIXTURE_BYTES + frame * s->outputs * MIXTURE_BYTES;
}

static int put(int fd, const void *data, size_t bytes, int64_t at)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "cannot write what is separated so far: %s", n < 0 ? strerror(errno) : "no room");
        done += (size_t)n;
    }
    return STATUS_OK;
}

static int get(int fd, void *data, size_t bytes, int64_t at)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pread(fd, (char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "cannot read what is separated so far: %s", n < 0 ? strerror(errno) : "it is cut");
        done += (size_t)n;
    }
    return STATUS_OK;
}

bool spool_reopen(struct spool *s, int fd, int outputs, const uint8_t name[SPOOL_NAME], int64_t frames, int64_t emitted)
{
    struct stat now;
    *s = (struct spool){.fd = fd, .outputs = outputs, .frames = frames};
    return pread(fd, s->name, SPOOL_NAME, 0) == SPOOL_NAME && memcmp(s->name, name, SPOOL_NAME) == 0 &&
           fstat(fd, &now) == 0 && now.st_size >= signals_at(s, emitted);
}

int spool_begin(struct spool *s, int fd, int outputs)
{
    *s = (struct spool){.fd = fd, .outputs = outputs};
    if (getrandom(s->name, SPOOL_NAME, 0) != SPOOL_NAME || ftruncate(fd, 0))
        return fail(STATUS_IO, "cannot begin a spool: %s", strerror(errno));
    return put(fd, s->name, SPOOL_NAME, 0);
}

int spool_cut(struct spool *s, int64_t emitted)
{
    return ftruncate(s->fd, (off_t)signals_at(s, emitted))
               ? fail(STATUS_IO, "cannot cut what is separated so far: %s", strerror(errno))
               : STATUS_OK;
}

int spool_put_mixture(const struct spool *s, int64_t at, const float *x, int64_t frames)
{
    return put(s->fd, x, (size_t)frames * MIXTURE_BYTES, SPOOL_HEADER + at * MIXTURE_BYTES);
}

int spool_get_mixture(const struct spool *s, int64_t at, float *x, int64_t frames)
{
    return get(s->fd, x, (size_t)frames * MIXTURE_BYTES, SPOOL_HEADER + at * MIXTURE_BYTES);
}

int spool_put(const struct spool *s, int64_t at, const float *y, int64_t frames)
{
    return put(s->fd, y, (size_t)frames * (size_t)s->outputs * MIXTURE_BYTES, signals_at(s, at));
}

int spool_get(const struct spool *s, int64_t at, float *y, int64_t frames)
{
    return get(s->fd, y, (size_t)frames * (size_t)s->outputs * MIXTURE_BYTES, signals_at(s, at));
}

int spool_sync(const struct spool *s)
{
    return fdatasync(s->fd) ? fail(STATUS_IO, "cannot keep what is separated so far: %s", strerror(errno)) : STATUS_OK;
}
