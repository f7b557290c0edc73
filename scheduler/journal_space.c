#include "journal_space.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    RESERVE_MOST = 64 << 20,
    RESERVE_SHARE = 8, /* of the file system */
    LOOK_MS = 50,
    MAP_LOOK_MS = 1000,
    WRITTEN_PER_PUT = 2 /* a record's own bytes, and as many for the pages around it */
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Free besides the reserve, when all that was put takes new room. */
static uint64_t left(const struct journal_space *s)
{
    const uint64_t taken = WRITTEN_PER_PUT * s->put_bytes;
    return s->free_bytes > taken ? s->free_bytes - taken : 0;
}

/* A little more must be free again than was when it became low: the state must not flicker. */
static bool is_short(const struct journal_space *s)
{
    const uint64_t room = left(s) + (s->is_held ? s->reserve_bytes : 0);
    return room < 2 * s->reserve_bytes + (s->is_low ? s->reserve_bytes / 8 : 0);
}

static void give_up(struct journal_space *s)
{
    if (ftruncate(s->fd, 0)) {
        log_error("journal %s: its reserve cannot be emptied: %s", s->folder, strerror(errno));
        return;
    }
    fsync(s->fd); /* some file systems lend freed blocks again only after this; if it fails, the commit says more */
    s->is_held = false;
    s->free_bytes += s->reserve_bytes;
    log_warn("journal %s: the disk is all but full; the reserve of %" PRIu64 " KiB is given up for what runs",
             s->folder, s->reserve_bytes >> 10);
}

static void open_reserve(struct journal_space *s)
{
    char path[JOURNAL_SPACE_PATH + 16];
    snprintf(path, sizeof path, "%s/reserve", s->folder);
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void make(struct journal_space *s)
{
    if (s->fd < 0)
        open_reserve(s);
    const int e = s->fd < 0 ? errno : posix_fallocate(s->fd, 0, (off_t)s->reserve_bytes);
    if (e) {
        if (s->fd >= 0 && ftruncate(s->fd, 0))
            log_error("journal %s: its reserve cannot be emptied: %s", s->folder, strerror(errno));
        if (!s->has_warned)
            log_warn("journal %s: no reserve of %" PRIu64 " KiB can be made: %s", s->folder, s->reserve_bytes >> 10,
                     strerror(e));
        s->has_warned = true;
        return;
    }
    s->is_held = true;
    s->has_warned = false;
    s->free_bytes -= s->free_bytes < s->reserve_bytes ? s->free_bytes : s->reserve_bytes;
}

/* When the system does not say, what was known last holds. */
static void look(struct journal_space *s)
{
    struct statvfs fs;
    s->looked_ms = now_ms();
    s->has_looked = true;
    if (s->statvfs(s->folder, &fs))
        return;
    s->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    s->put_bytes = s->group_bytes;
    const bool was_low = s->is_low;
    s->is_low = is_short(s);
    if (s->is_low && !was_low)
        log_warn("journal %s: %" PRIu64 " KiB are left on its disk: no new jobs are taken", s->folder,
                 s->free_bytes >> 10);
    if (s->is_held && left(s) < s->reserve_bytes / 4)
        give_up(s);
    if (!s->is_held && !s->is_low)
        make(s);
    if (!s->is_low && was_low)
        log_info("journal %s: there is room on its disk again: new jobs are taken", s->folder);
}

void journal_space_open(struct journal_space *s, const char *folder)
{
    struct statvfs fs;
    struct stat st;
    s->fd = -1;
    if (!s->statvfs)
        s->statvfs = statvfs;
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    if (s->statvfs(folder, &fs) == 0)
        s->reserve_bytes = (uint64_t)fs.f_blocks * fs.f_frsize / RESERVE_SHARE;
    if (s->reserve_bytes > RESERVE_MOST)
        s->reserve_bytes = RESERVE_MOST;
    open_reserve(s);
    if (s->fd >= 0 && fstat(s->fd, &st) == 0 && st.st_size > 0) {
        s->is_held = (uint64_t)st.st_size == s->reserve_bytes && (uint64_t)st.st_blocks * 512 >= s->reserve_bytes;
        if (!s->is_held && ftruncate(s->fd, 0)) /* cut off, or the disk has another size now */
            log_error("journal %s: its reserve cannot be emptied: %s", folder, strerror(errno));
    }
    look(s);
    s->has_looked = false;
}

void journal_space_close(struct journal_space *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void journal_space_put(struct journal_space *s, size_t bytes)
{
    s->group_bytes += bytes;
    s->put_bytes += bytes;
}

void journal_space_commit(struct journal_space *s)
{
    if (!s->has_looked && (is_short(s) || now_ms() - s->looked_ms >= LOOK_MS))
        look(s);
    s->has_looked = false;
}

void journal_space_committed(struct journal_space *s, MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn;
    uint64_t free_pages = 0;
    s->group_bytes = 0;
    if (mdb_env_info(env, &info) || mdb_env_stat(env, &stat))
        return;
    const uint64_t pages = info.me_last_pgno + 1, most = info.me_mapsize / stat.ms_psize / 5 * 4;
    if (pages < most) {
        s->is_map_full = false;
        return;
    }
    const int64_t now = now_ms();
    if (now - s->map_looked_ms < MAP_LOOK_MS || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
        return;
    s->map_looked_ms = now;
    const int e = journal_space_free_pages(txn, &free_pages);
    mdb_txn_abort(txn);
    if (!e && s->is_map_full != (pages - free_pages >= most))
        log_warn("journal %s: %" PRIu64 " of its %zu MiB are in use: new jobs are %s", s->folder,
                 (pages - free_pages) * stat.ms_psize >> 20, info.me_mapsize >> 20,
                 s->is_map_full ? "taken again" : "refused");
    s->is_map_full = !e && pages - free_pages >= most;
}

bool journal_space_is_full(struct journal_space *s)
{
    if (s->is_low && !s->has_looked)
        look(s);
    return s->is_low || is_short(s) || s->is_map_full;
}

/* The free pages are a table of LMDB's own: lists of page numbers, each led by its length. */
int journal_space_free_pages(MDB_txn *reading, uint64_t *pages)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int e = mdb_cursor_open(reading, 0, &cursor);
    if (e)
        return e;
    *pages = 0;
    while (!(e = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        size_t count;
        if (value.mv_size < sizeof count)
            break;
        memcpy(&count, value.mv_data, sizeof count);
        *pages += count;
    }
    mdb_cursor_close(cursor);
    return !e ? MDB_CORRUPTED : e == MDB_NOTFOUND ? 0 : e;
}
