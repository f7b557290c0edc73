#include "slots.h"

#include "hash.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 2, SLOTS_VERSION = 1, PAGE = 4096 };
static const uint64_t STATE_MOST = UINT64_C(16) << 30;

struct slot {
    char magic[4];
    uint32_t version;
    uint64_t number, at, bytes;
    uint32_t crc;
    uint8_t zeros[64 - 4 - 4 - 24 - 4 - 4];
    uint32_t header_crc;
};
_Static_assert(sizeof(struct slot) == 64, "as it lies in the file");

static int write_all(int fd, const void *data, size_t bytes, uint64_t at)
{
    const uint8_t *from = data;
    const size_t all = bytes;
    while (bytes > 0) {
        const ssize_t n = pwrite(fd, from, bytes < 1 << 30 ? bytes : 1 << 30, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "a state of %zu bytes cannot be kept: %s", all, strerror(errno));
        from += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return STATUS_OK;
}

static bool read_all(int fd, void *data, size_t bytes, uint64_t at)
{
    uint8_t *to = data;
    while (bytes > 0) {
        const ssize_t n = pread(fd, to, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

static int flush(int fd)
{
    return fdatasync(fd) ? fail(STATUS_IO, "a state cannot be kept: %s", strerror(errno)) : STATUS_OK;
}

static uint32_t header_crc(const struct slot *s)
{
    return crc32c(0, s, offsetof(struct slot, header_crc));
}

/* Headers that say something of this file; the others get number 0. */
static void read_headers(int fd, struct slot slot[SLOTS])
{
    struct stat s;
    const uint64_t size = fstat(fd, &s) ? 0 : (uint64_t)s.st_size;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *const h = &slot[i];
        if (!read_all(fd, h, sizeof *h, (uint64_t)i * sizeof *h) || memcmp(h->magic, "WMSL", 4) != 0 ||
            h->version != SLOTS_VERSION || h->header_crc != header_crc(h) || h->at < PAGE || h->at > size ||
            h->bytes > size - h->at || h->bytes == 0)
            *h = (struct slot){.number = 0};
    }
}

static int read_slot(int fd, const struct slot *h, void **out, size_t *bytes)
{
    void *const state = h->bytes <= STATE_MOST ? malloc(h->bytes) : NULL;
    if (!state)
        return fail(STATUS_NOMEM, "a state of %llu bytes", (unsigned long long)h->bytes);
    if (!read_all(fd, state, h->bytes, h->at) || crc32c(0, state, h->bytes) != h->crc) {
        free(state);
        return fail(STATUS_DAMAGED, "no state in it is whole: bytes were altered");
    }
    *out = state;
    *bytes = h->bytes;
    return STATUS_OK;
}

int slots_read(int fd, void **out, size_t *bytes)
{
    struct slot slot[SLOTS];
    read_headers(fd, slot);
    const int newer = slot[1].number > slot[0].number;
    struct stat s;
    const bool empty = fstat(fd, &s) || s.st_size == 0;
    int code = empty ? fail(STATUS_NOT_FOUND, "there is no state") : fail(STATUS_DAMAGED, "no state in it is whole");
    for (int i = 0; i < SLOTS && code == STATUS_DAMAGED; i++) {
        const struct slot *const h = &slot[i ? !newer : newer];
        if (h->number)
            code = read_slot(fd, h, out, bytes);
    }
    return code;
}

/* Where `bytes` lie apart from what the other place holds. */
static uint64_t place_beside(const struct slot *other, uint64_t bytes)
{
    if (!other->number || other->at >= PAGE + bytes)
        return PAGE;
    return (other->at + other->bytes + PAGE - 1) / PAGE * PAGE;
}

int slots_write(int fd, const void *state, size_t bytes)
{
    struct slot slot[SLOTS];
    read_headers(fd, slot);
    const int older = slot[1].number <= slot[0].number;
    const struct slot *const other = &slot[!older];
    struct slot h = {.magic = "WMSL",
                     .version = SLOTS_VERSION,
                     .number = other->number + 1,
                     .at = place_beside(other, bytes),
                     .bytes = bytes,
                     .crc = crc32c(0, state, bytes)};
    h.header_crc = header_crc(&h);
    int code = write_all(fd, state, bytes, h.at);
    code = code ? code : flush(fd);
    code = code ? code : write_all(fd, &h, sizeof h, (uint64_t)older * sizeof h);
    return code ? code : flush(fd);
}
