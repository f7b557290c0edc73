/* Objects of the scheduler: bytes that travel by their hash. */
#include "hash.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3, BLOCK = 1 << 20 };

static int interrupted(void)
{
    return fail(STATUS_CANCELLED, "interrupted");
}

/* As hash_file, but a session does not end meanwhile. */
static int know(struct client *c, int fd, struct hash *name, uint64_t *bytes)
{
    uint8_t *block = malloc(BLOCK);
    struct hash_stream *h = hash_begin();
    int code = block && h ? STATUS_OK : fail(STATUS_NOMEM, "client: out of memory");
    *bytes = 0;
    for (ssize_t n = 1; !code && n != 0;) {
        n = pread(fd, block, BLOCK, (off_t)*bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = fail(STATUS_IO, "cannot read: %s", strerror(errno));
        else if (c->options.interrupted && *c->options.interrupted)
            code = interrupted();
        if (n <= 0 || code)
            continue;
        hash_feed(h, block, (size_t)n);
        *bytes += (uint64_t)n;
        session_keep(c);
    }
    hash_end(&h, code ? NULL : name);
    free(block);
    return code;
}

static int put(struct client *c, const struct message_put *m, struct message_stored *out)
{
    const struct question q = {MESSAGE_PUT, MESSAGE_STORED, &put_schema, &stored_schema, m, 0};
    return session_ask(c, &q, out);
}

/* From where the scheduler has it to its end. */
static int send_bytes(struct client *c, int fd, const struct hash *name, uint64_t size, uint8_t *block)
{
    struct message_put m = {.object = {name->bytes, HASH_BYTES}, .size = size};
    struct message_stored s;
    int code = put(c, &m, &s);
    while (!code && !s.whole) {
        const uint64_t left = s.offset < size ? size - s.offset : 0;
        const size_t want = left < LIMIT_CHUNK ? (size_t)left : LIMIT_CHUNK;
        const ssize_t n = pread(fd, block, want, (off_t)s.offset);
        if (n < 0 || (size_t)n != want || want == 0)
            return fail(STATUS_IO, "it changed while it was sent");
        m.offset = s.offset;
        m.data = (struct wire_slice){block, (uint32_t)want};
        code = put(c, &m, &s);
    }
    return code;
}

static int put_open(struct client *c, int fd, struct hash *name)
{
    uint64_t size;
    int code = know(c, fd, name, &size);
    uint8_t *block = malloc(LIMIT_CHUNK);
    if (!code && !block)
        code = fail(STATUS_NOMEM, "client: out of memory");
    /* ERROR state: somebody else's bytes under this name, or a scheduler that has begun anew. Ask again where it is. */
    for (int i = 0; i < TRIES && !code; i++) {
        code = send_bytes(c, fd, name, size, block);
        if (code != STATUS_ARGUMENT)
            break;
        code = i + 1 < TRIES ? STATUS_OK : code;
    }
    free(block);
    return code;
}

int client_put_file(struct client *c, const char *path, uint8_t hash[32])
{
    struct hash name;
    struct stat s;
    c->refusal = 0;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s", path, strerror(errno));
    int code = fstat(fd, &s) || !S_ISREG(s.st_mode) ? fail(STATUS_FORMAT, "%s: not a regular file", path) : STATUS_OK;
    if (!code)
        code = status_context(put_open(c, fd, &name), "%s", path);
    close(fd);
    if (!code)
        memcpy(hash, name.bytes, sizeof name.bytes);
    return code;
}

static int write_all(int fd, struct wire_slice data)
{
    for (uint32_t done = 0; done < data.bytes;) {
        const ssize_t n = write(fd, data.data + done, data.bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "cannot write: %s", strerror(errno));
        done += (uint32_t)n;
    }
    return STATUS_OK;
}

int client_get_object(struct client *c, const uint8_t hash[32], int fd)
{
    struct message_get m = {.object = {hash, HASH_BYTES}, .bytes = LIMIT_CHUNK};
    struct message_chunk answer = {0};
    const struct question q = {MESSAGE_GET, MESSAGE_CHUNK, &get_schema, &chunk_schema, &m, 0};
    struct hash found;
    struct hash_stream *h = hash_begin();
    c->refusal = 0;
    int code = h ? STATUS_OK : fail(STATUS_NOMEM, "client: out of memory");
    do {
        if (!code)
            code = session_ask(c, &q, &answer);
        if (!code && (answer.offset != m.offset || (answer.data.bytes == 0 && m.offset < answer.size)))
            code = fail(STATUS_FORMAT, "scheduler: a piece of an object that was not asked for");
        if (code)
            break;
        hash_feed(h, answer.data.data, answer.data.bytes);
        code = write_all(fd, answer.data);
        m.offset += answer.data.bytes;
    } while (!code && m.offset < answer.size);
    hash_end(&h, &found);
    if (!code && memcmp(found.bytes, hash, HASH_BYTES) != 0)
        code = fail(STATUS_DAMAGED, "scheduler: an object whose bytes are not those of its name");
    return code;
}
