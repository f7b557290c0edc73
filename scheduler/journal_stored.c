#include "journal_stored.h"

#include "hash.h"

#include <errno.h>
#include <sys/statvfs.h>

enum { LEAST_FREE = 64 << 10 };

#define STORED_SCHEMA(name, table) WIRE_SCHEMA(name##_schema, struct name, table, #name)

STORED_TABLES(STORED_SCHEMA)

struct journal_job journal_job_of(const struct stored_job *m)
{
    return (struct journal_job){.kind = m->kind,
                                .name = m->name,
                                .params = m->params,
                                .priority = m->priority,
                                .max_attempts = m->max_attempts,
                                .submitted_unix_ms = m->submitted_unix_ms,
                                .cancel_on_disconnect = m->cancel_on_disconnect,
                                .session = m->session,
                                .key = m->key,
                                .content = m->content,
                                .start_unix_ms = m->start_unix_ms,
                                .deadline_unix_ms = m->deadline_unix_ms,
                                .backoff_ms = m->backoff_ms,
                                .attempt_ms = m->attempt_ms,
                                .stall_ms = m->stall_ms,
                                .device_bytes = m->device_bytes,
                                .wave = m->wave};
}

/* LMDB calls a write that was cut short an input/output error. */
static bool is_full(const char *folder)
{
    struct statvfs fs;
    return statvfs(folder, &fs) == 0 && fs.f_bavail * fs.f_frsize < LEAST_FREE;
}

int journal_lmdb_fail(const struct journal_lmdb *j, int error, const char *what)
{
    if (error == ENOSPC || (error == EIO && is_full(j->folder)))
        return fail(STATUS_IO, "journal %s: %s: no space is left on its disk", j->folder, what);
    return fail(error == ENOMEM ? STATUS_NOMEM : STATUS_IO, "journal %s: %s: %s", j->folder, what, mdb_strerror(error));
}

void journal_key(uint64_t job, enum part part, uint32_t number, uint8_t out[JOURNAL_KEY_BYTES])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(job >> (56 - 8 * i));
    out[8] = (uint8_t)part;
    for (int i = 0; i < 4; i++)
        out[9 + i] = (uint8_t)(number >> (24 - 8 * i));
}

uint64_t journal_key_job(const MDB_val *key)
{
    const uint8_t *const at = key->mv_data;
    uint64_t job = 0;
    for (size_t i = 0; i < 8; i++)
        job = job << 8 | (i < key->mv_size ? at[i] : 0);
    return job;
}

uint32_t journal_key_number(const uint8_t *key)
{
    return (uint32_t)key[9] << 24 | (uint32_t)key[10] << 16 | (uint32_t)key[11] << 8 | key[12];
}

uint32_t journal_checksum(const uint8_t key[JOURNAL_KEY_BYTES], const uint8_t *map, size_t bytes)
{
    return crc32c(crc32c(0, key, JOURNAL_KEY_BYTES), map, bytes);
}

/* The map behind a value's head; STATUS_VERSION, STATUS_DAMAGED. */
int journal_value(const MDB_val *key, const MDB_val *value, struct wire_slice *map)
{
    const uint8_t *const at = value->mv_data;
    if (key->mv_size != JOURNAL_KEY_BYTES || value->mv_size < JOURNAL_HEAD_BYTES)
        return fail(STATUS_DAMAGED, "a record of %zu bytes under a key of %zu", value->mv_size, key->mv_size);
    const uint32_t crc = (uint32_t)at[1] | (uint32_t)at[2] << 8 | (uint32_t)at[3] << 16 | (uint32_t)at[4] << 24;
    *map = (struct wire_slice){at + JOURNAL_HEAD_BYTES, (uint32_t)(value->mv_size - JOURNAL_HEAD_BYTES)};
    if (journal_checksum(key->mv_data, map->data, map->bytes) != crc)
        return fail(STATUS_DAMAGED, "its checksum does not fit");
    if (at[0] > JOURNAL_VERSION)
        return fail(STATUS_VERSION, "written by version %u, this program knows %d", at[0], JOURNAL_VERSION);
    return STATUS_OK;
}
