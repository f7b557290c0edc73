#include "pack.h"

#include "paths.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "samples are little-endian, and used where they lie");

enum { CRC_AT = PACK_HEADER_BYTES - 4, NAME_MOST = 200 };
static const char MAGIC[4] = "WMPK";

static void put(uint8_t **at, uint64_t v, int width)
{
    for (int i = 0; i < width; i++)
        *(*at)++ = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t **at, int width)
{
    uint64_t v = 0;
    for (int i = 0; i < width; i++)
        v |= (uint64_t) * (*at)++ << 8 * i;
    return v;
}

static bool is_zero(const uint8_t *p, size_t bytes)
{
    while (bytes > 0 && *p == 0)
        p++, bytes--;
    return bytes == 0;
}

/* The first that is no number, or count. */
static uint64_t first_not_finite(const float *x, uint64_t count)
{
    uint64_t i = 0;
    while (i < count && isfinite(x[i]))
        i++;
    return i;
}

int pack_check_item(const struct pack_item *item)
{
    const size_t bytes = strlen(item->label);
    if (bytes >= PACK_LABEL)
        return fail(STATUS_ARGUMENT, "the label '%.24s..' has %zu bytes, allowed %d", item->label, bytes,
                    PACK_LABEL - 1);
    if (!wire_is_utf8(item->label, bytes))
        return fail(STATUS_ARGUMENT, "the label is not UTF-8");
    if (item->part != PACK_TRAIN && item->part != PACK_VALIDATION)
        return fail(STATUS_ARGUMENT, "part %d: there are training and validation", (int)item->part);
    return STATUS_OK;
}

/* ---- writing ---- */

struct pack_writer {
    char path[PATHS_MAX], temporary[PATHS_MAX + 32];
    int fd;
    uint32_t rate_hz;
    uint8_t *table;
    size_t count, capacity;
    uint64_t end; /* of the samples so far */
};

static int cannot_write(const struct pack_writer *w)
{
    return fail(errno == ENOMEM ? STATUS_NOMEM : STATUS_IO, "cannot write %.*s: %s", NAME_MOST, w->path,
                strerror(errno));
}

int pack_create(const char *path, int64_t rate_hz, struct pack_writer **out)
{
    if (rate_hz < 1 || rate_hz > PACK_RATE_MOST)
        return fail(STATUS_ARGUMENT, "%.*s: %" PRId64 " Hz, allowed 1 to %d", NAME_MOST, path, rate_hz, PACK_RATE_MOST);
    const char *const slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash + 1 - path) : 0;
    if (strlen(path) >= PATHS_MAX)
        return fail(STATUS_ARGUMENT, "%.*s..: the path is too long", NAME_MOST, path);
    struct pack_writer *w = calloc(1, sizeof *w);
    if (!w)
        return fail(STATUS_NOMEM, "%.*s: out of memory", NAME_MOST, path);
    w->rate_hz = (uint32_t)rate_hz;
    w->end = PACK_HEADER_BYTES;
    snprintf(w->path, sizeof w->path, "%s", path);
    snprintf(w->temporary, sizeof w->temporary, "%.*s.%.*s.XXXXXX.part", folder, path, NAME_MOST, path + folder);
    w->fd = mkostemps(w->temporary, strlen(".part"), O_CLOEXEC);
    if (w->fd < 0) {
        const int code = cannot_write(w);
        free(w);
        return code;
    }
    *out = w;
    return STATUS_OK;
}

static int write_at(const struct pack_writer *w, const void *data, uint64_t bytes, uint64_t at)
{
    for (uint64_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(w->fd, (const char *)data + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cannot_write(w);
        done += (uint64_t)n;
    }
    return STATUS_OK;
}

static int check_room(struct pack_writer *w, uint64_t count)
{
    const uint64_t table = (w->count + 1) * (uint64_t)PACK_ENTRY_BYTES;
    if (count == 0)
        return fail(STATUS_ARGUMENT, "%.*s: an entry without samples", NAME_MOST, w->path);
    if (w->count == PACK_ENTRIES_MOST)
        return fail(STATUS_ARGUMENT, "%.*s: more than %d entries", NAME_MOST, w->path, PACK_ENTRIES_MOST);
    if (w->end + table > PACK_BYTES_MOST || count > (PACK_BYTES_MOST - w->end - table) / sizeof(float))
        return fail(STATUS_ARGUMENT, "%.*s: %" PRIu64 " samples more are over 64 GiB", NAME_MOST, w->path, count);
    if (w->count < w->capacity)
        return STATUS_OK;
    const size_t capacity = w->capacity ? 2 * w->capacity : 64;
    uint8_t *const table_now = realloc(w->table, capacity * PACK_ENTRY_BYTES);
    if (!table_now)
        return fail(STATUS_NOMEM, "%.*s: out of memory", NAME_MOST, w->path);
    w->table = table_now;
    w->capacity = capacity;
    return STATUS_OK;
}

int pack_add(struct pack_writer *w, const struct pack_item *item, const float *samples, uint64_t count)
{
    const uint64_t bytes = count * sizeof *samples;
    int code = check_room(w, count);
    code = code ? code : status_context(pack_check_item(item), "%.*s", NAME_MOST, w->path);
    if (code)
        return code;
    const uint64_t bad = first_not_finite(samples, count);
    if (bad < count)
        return fail(STATUS_FORMAT, "%.*s: sample %" PRIu64 " is not a finite number", NAME_MOST, w->path, bad);
    if ((code = write_at(w, samples, bytes, w->end)))
        return code;
    uint8_t *at = w->table + w->count * PACK_ENTRY_BYTES;
    memset(at, 0, PACK_ENTRY_BYTES);
    memcpy(at, item->file.bytes, HASH_BYTES);
    memcpy(at + HASH_BYTES, item->label, strlen(item->label));
    at += HASH_BYTES + PACK_LABEL;
    put(&at, count, 8);
    put(&at, w->end, 8);
    put(&at, crc32c(0, samples, bytes), 4);
    put(&at, item->part, 1);
    w->count++;
    w->end += bytes;
    return STATUS_OK;
}

static int write_header(const struct pack_writer *w)
{
    const uint64_t table = w->count * (uint64_t)PACK_ENTRY_BYTES;
    uint8_t header[PACK_HEADER_BYTES] = {0}, *at = header;
    memcpy(at, MAGIC, sizeof MAGIC);
    at += sizeof MAGIC;
    put(&at, PACK_VERSION, 4);
    put(&at, w->rate_hz, 4);
    put(&at, w->count, 4);
    put(&at, w->end, 8);
    put(&at, w->end + table, 8);
    at = header + CRC_AT;
    put(&at, crc32c(crc32c(0, header, CRC_AT), w->table, table), 4);
    int code = write_at(w, w->table, table, w->end);
    code = code ? code : write_at(w, header, sizeof header, 0);
    if (!code && (ftruncate(w->fd, (off_t)(w->end + table)) || fsync(w->fd)))
        code = cannot_write(w);
    return code;
}

void pack_abandon(struct pack_writer **writer)
{
    struct pack_writer *const w = *writer;
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    unlink(w->temporary);
    free(w->table);
    free(w);
    *writer = NULL;
}

int pack_finish(struct pack_writer **writer)
{
    struct pack_writer *const w = *writer;
    int code = w->count ? write_header(w) : fail(STATUS_ARGUMENT, "%.*s: no entries", NAME_MOST, w->path);
    if (!code && rename(w->temporary, w->path))
        code = cannot_write(w);
    if (!code) {
        char *const slash = strrchr(w->path, '/');
        if (slash)
            *slash = '\0';
        code = paths_sync(!slash ? "." : slash == w->path ? "/" : w->path);
    }
    pack_abandon(writer); /* of a file that has its name: the temporary one is not there any more */
    return code;
}

/* ---- reading ---- */

struct pack {
    const uint8_t *map;
    uint64_t bytes, table_at;
    uint32_t rate_hz;
    struct pack_entry *entries;
    size_t count;
    char name[NAME_MOST + 1];
};

static int check_size(const struct pack *p)
{
    if (p->bytes > PACK_BYTES_MOST)
        return fail(STATUS_DAMAGED, "%s: %" PRIu64 " bytes, a pack has at most 64 GiB", p->name, p->bytes);
    if (p->bytes < PACK_HEADER_BYTES)
        return fail(STATUS_DAMAGED, "%s: %" PRIu64 " bytes, too short for a pack", p->name, p->bytes);
    return STATUS_OK;
}

static int map_file(int fd, struct pack *p)
{
    struct stat s;
    if (fstat(fd, &s))
        return fail(STATUS_IO, "cannot read %s: %s", p->name, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return fail(STATUS_DAMAGED, "%s: not a file", p->name);
    p->bytes = (uint64_t)s.st_size;
    const int code = check_size(p);
    if (code)
        return code;
    void *const map = mmap(NULL, p->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return fail(errno == ENOMEM ? STATUS_NOMEM : STATUS_IO, "cannot read %s: %s", p->name, strerror(errno));
    p->map = map;
    return STATUS_OK;
}

static int read_header(struct pack *p)
{
    const uint8_t *at = p->map + sizeof MAGIC;
    if (memcmp(p->map, MAGIC, sizeof MAGIC) != 0)
        return fail(STATUS_DAMAGED, "%s: not a pack", p->name);
    const uint64_t version = get(&at, 4);
    if (version != PACK_VERSION)
        return fail(STATUS_VERSION, "%s: a pack of version %" PRIu64 ", this program has %d", p->name, version,
                    PACK_VERSION);
    p->rate_hz = (uint32_t)get(&at, 4);
    p->count = (size_t)get(&at, 4);
    p->table_at = get(&at, 8);
    const uint64_t bytes = get(&at, 8), table = p->count * (uint64_t)PACK_ENTRY_BYTES;
    if (bytes != p->bytes)
        return fail(STATUS_DAMAGED, "%s: it has %" PRIu64 " bytes, its header says %" PRIu64, p->name, p->bytes, bytes);
    if (p->count < 1 || p->count > PACK_ENTRIES_MOST || table > bytes - PACK_HEADER_BYTES ||
        p->table_at != bytes - table)
        return fail(STATUS_DAMAGED, "%s: a table of %zu entries at byte %" PRIu64 " of %" PRIu64, p->name, p->count,
                    p->table_at, bytes);
    const uint8_t *crc_at = p->map + CRC_AT;
    if (crc32c(crc32c(0, p->map, CRC_AT), p->map + p->table_at, table) != get(&crc_at, 4))
        return fail(STATUS_DAMAGED, "%s: the checksum of its table is wrong", p->name);
    if (p->rate_hz < 1 || p->rate_hz > PACK_RATE_MOST)
        return fail(STATUS_DAMAGED, "%s: %" PRIu32 " Hz", p->name, p->rate_hz);
    return is_zero(at, (size_t)(p->map + CRC_AT - at))
               ? STATUS_OK
               : fail(STATUS_DAMAGED, "%s: bytes of its header that mean nothing are not 0", p->name);
}

/* Entries lie one behind the other and fill the room up to the table: none overlaps, nothing is hidden. */
static int read_entry(const struct pack *p, size_t i, uint64_t *end)
{
    struct pack_entry *const e = &p->entries[i];
    const uint8_t *const from = p->map + p->table_at + i * (uint64_t)PACK_ENTRY_BYTES;
    const uint8_t *at = from + HASH_BYTES + PACK_LABEL;
    memcpy(e->file.bytes, from, HASH_BYTES);
    memcpy(e->label, from + HASH_BYTES, PACK_LABEL);
    const size_t label = strnlen(e->label, PACK_LABEL);
    if (label == PACK_LABEL || !is_zero((uint8_t *)e->label + label, PACK_LABEL - label) ||
        !wire_is_utf8(e->label, label))
        return fail(STATUS_DAMAGED, "%s: entry %zu: its label is not one", p->name, i);
    e->count = get(&at, 8);
    const uint64_t offset = get(&at, 8);
    e->crc = (uint32_t)get(&at, 4);
    const uint64_t part = get(&at, 1);
    if (offset != *end)
        return fail(STATUS_DAMAGED, "%s: entry %zu begins at byte %" PRIu64 ", not %" PRIu64, p->name, i, offset, *end);
    if (e->count < 1 || e->count > (p->table_at - offset) / sizeof(float))
        return fail(STATUS_DAMAGED, "%s: entry %zu has %" PRIu64 " samples, there is room for %" PRIu64, p->name, i,
                    e->count, (p->table_at - offset) / sizeof(float));
    if (part > PACK_VALIDATION || !is_zero(at, (size_t)(from + PACK_ENTRY_BYTES - at)))
        return fail(STATUS_DAMAGED, "%s: entry %zu: bytes that mean nothing are not 0, or part %" PRIu64, p->name, i,
                    part);
    e->part = (enum pack_part)part;
    e->samples = (const float *)(const void *)(p->map + offset);
    *end = offset + e->count * sizeof(float);
    return STATUS_OK;
}

static int read_table(struct pack *p)
{
    uint64_t end = PACK_HEADER_BYTES;
    int code = STATUS_OK;
    p->entries = malloc(p->count * sizeof *p->entries);
    if (!p->entries)
        return fail(STATUS_NOMEM, "%s: out of memory", p->name);
    for (size_t i = 0; i < p->count && !code; i++)
        code = read_entry(p, i, &end);
    if (!code && end != p->table_at)
        code = fail(STATUS_DAMAGED, "%s: %" PRIu64 " bytes before its table belong to no entry", p->name,
                    p->table_at - end);
    return code;
}

int pack_open(int fd, const char *name, struct pack **out)
{
    struct pack *p = calloc(1, sizeof *p);
    if (!p)
        return fail(STATUS_NOMEM, "%.*s: out of memory", NAME_MOST, name);
    snprintf(p->name, sizeof p->name, "%s", name);
    int code = map_file(fd, p);
    code = code ? code : read_header(p);
    code = code ? code : read_table(p);
    if (code)
        pack_close(&p);
    else
        *out = p;
    return code;
}

void pack_close(struct pack **pack)
{
    struct pack *const p = *pack;
    if (!p)
        return;
    if (p->map)
        munmap((void *)(uintptr_t)p->map, p->bytes);
    free(p->entries);
    free(p);
    *pack = NULL;
}

int64_t pack_rate_hz(const struct pack *p)
{
    return p->rate_hz;
}

size_t pack_count(const struct pack *p)
{
    return p->count;
}

const struct pack_entry *pack_at(const struct pack *p, size_t i)
{
    return &p->entries[i];
}

int pack_check(const struct pack *p, size_t i)
{
    const struct pack_entry *const e = &p->entries[i];
    if (crc32c(0, e->samples, e->count * sizeof *e->samples) != e->crc)
        return fail(STATUS_DAMAGED, "%s: entry %zu: the checksum of its samples is wrong", p->name, i);
    const uint64_t bad = first_not_finite(e->samples, e->count);
    return bad == e->count
               ? STATUS_OK
               : fail(STATUS_DAMAGED, "%s: entry %zu: sample %" PRIu64 " is not a finite number", p->name, i, bad);
}
