/* Copying a journal, and making it smaller. A copy gets its name last: a folder with data.mdb has all of it. */
#include "journal_tools.h"
#include "journal_look.h"
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_FOLDER "compacted" /* in the journal's own */

/* ---- one copy ---- */

struct copying {
    char from[JOURNAL_FOLDER_MOST], to[JOURNAL_FOLDER_MOST];
    unsigned flags;
    bool alone; /* nobody writes it */
    bool makes; /* the folder to copy to, or finds it empty */
    bool made, began;
};

static int make_empty(const char *folder, bool *made)
{
    *made = mkdir(folder, 0700) == 0;
    DIR *const d = *made || errno == EEXIST ? opendir(folder) : NULL;
    if (!d)
        return fail(STATUS_IO, "%s: %s", folder, strerror(errno));
    int names = 0;
    for (const struct dirent *e; (e = readdir(d));)
        names += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return names ? fail(STATUS_ARGUMENT, "%s is not empty: a copy needs a folder of its own", folder) : STATUS_OK;
}

static int write_copy(void *context)
{
    struct copying *const c = context;
    char path[JOURNAL_FOLDER_MOST + 16];
    struct journal_lmdb *j = NULL;
    snprintf(path, sizeof path, "%s/data.mdb.part", c->to);
    int code = journal_look_open(c->from, c->alone, &j); /* before a folder is made for it */
    if (!code && c->makes)
        code = make_empty(c->to, &c->made);
    if (code) {
        journal_lmdb_close(&j);
        return code;
    }
    c->began = true;
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int e = fd < 0 ? errno : mdb_env_copyfd2(j->env, fd, c->flags);
    e = !e && fsync(fd) ? errno : e;
    if (fd >= 0 && close(fd) && !e)
        e = errno;
    if (e)
        code = fail(STATUS_IO, "%s: %s", path, mdb_strerror(e));
    journal_lmdb_close(&j);
    return code;
}

/* The name of a folder that was made lies in the one above. */
static int sync_parent(const char *folder)
{
    char path[JOURNAL_FOLDER_MOST + 16];
    snprintf(path, sizeof path, "%s/..", folder);
    return paths_sync(path);
}

static int copy(struct copying *c, const char *from, const char *to, struct journal_check *out)
{
    char part[JOURNAL_FOLDER_MOST + 16], path[JOURNAL_FOLDER_MOST + 16];
    int ended_by;
    if (strlen(from) >= sizeof c->from || strlen(to) >= sizeof c->to)
        return fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(from) + strlen(to));
    snprintf(c->from, sizeof c->from, "%s", from);
    snprintf(c->to, sizeof c->to, "%s", to);
    snprintf(part, sizeof part, "%s/data.mdb.part", to);
    snprintf(path, sizeof path, "%s/data.mdb", to);
    int code = journal_look_guarded(write_copy, c, sizeof *c, &ended_by);
    if (!code && rename(part, path))
        code = fail(STATUS_IO, "%s: %s", path, strerror(errno));
    code = code ? code : paths_sync(to);
    code = code || !c->made ? code : sync_parent(to);
    if (code && c->began)
        unlink(part);
    if (code && c->made)
        rmdir(to);
    return code ? code : journal_look_check(to, true, out);
}

int journal_backup(const char *folder, const char *to, struct journal_check *out)
{
    return copy(&(struct copying){.makes = true}, folder, to, out);
}

/* ---- compacting ---- */

static void path_in(const struct journal_compact *c, const char *name, char out[JOURNAL_FOLDER_MOST + 64])
{
    snprintf(out, JOURNAL_FOLDER_MOST + 64, "%s/%s", c->folder, name);
}

static void sweep(const struct journal_compact *c)
{
    static const char *const names[] = {COPY_FOLDER "/data.mdb.part", COPY_FOLDER "/data.mdb", COPY_FOLDER};
    char path[JOURNAL_FOLDER_MOST + 64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_in(c, names[i], path);
        (void)remove(path);
    }
}

/* One is there, and this program knows its version. */
static int try_to_open(void *context)
{
    struct journal_lmdb *j = NULL;
    const int code = journal_look_open(((struct journal_compact *)context)->folder, false, &j);
    journal_lmdb_close(&j);
    return code;
}

/* As the scheduler's own lock, but nothing is made in a folder without a journal. */
int journal_compact_begin(struct journal_compact *c, const char *folder)
{
    char path[JOURNAL_FOLDER_MOST + 64];
    struct stat st;
    int ended_by;
    *c = (struct journal_compact){.lock = -1, .data = -1};
    if (strlen(folder) >= sizeof c->folder)
        return fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    snprintf(c->folder, sizeof c->folder, "%s", folder);
    const int code = journal_look_guarded(try_to_open, c, sizeof *c, &ended_by);
    if (code)
        return code == STATUS_DAMAGED ? fail(STATUS_DAMAGED, "journal %s is damaged: it stays as it is", folder) : code;
    path_in(c, "lock", path);
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock < 0)
        return fail(STATUS_IO, "journal %s: %s", path, strerror(errno));
    if (flock(c->lock, LOCK_EX | LOCK_NB))
        return fail(STATUS_BUSY, "journal %s: a scheduler runs on it; end it first", folder);
    path_in(c, "data.mdb", path);
    c->data = open(path, O_RDONLY | O_CLOEXEC);
    if (c->data < 0 || fstat(c->data, &st))
        return fail(STATUS_IO, "journal %s: %s", path, strerror(errno));
    c->bytes_before = (uint64_t)st.st_size;
    sweep(c);
    return STATUS_OK;
}

int journal_compact_copy(struct journal_compact *c, struct journal_check *out)
{
    char to[JOURNAL_FOLDER_MOST + 64], path[JOURNAL_FOLDER_MOST + 64];
    struct stat st;
    int code = journal_look_check(c->folder, true, out);
    if (!code && out->damages)
        code = fail(STATUS_DAMAGED, "journal %s is damaged: it stays as it is", c->folder);
    path_in(c, COPY_FOLDER, to);
    if (!code && mkdir(to, 0700))
        code = fail(STATUS_IO, "%s: %s", to, strerror(errno));
    code = code ? code : copy(&(struct copying){.flags = MDB_CP_COMPACT, .alone = true}, c->folder, to, out);
    if (!code && out->damages)
        code = fail(STATUS_DAMAGED, "journal %s: its copy is damaged: it stays as it is", c->folder);
    path_in(c, COPY_FOLDER "/data.mdb", path);
    if (!code && stat(path, &st))
        code = fail(STATUS_IO, "%s: %s", path, strerror(errno));
    if (!code)
        c->bytes_after = (uint64_t)st.st_size;
    return code;
}

/* The numbers of transactions begin anew in the copy. LMDB's lock file remembers the old ones for as long as any
 * process has it open; so nobody may read now (they share the lock on data.mdb), and a new file stands beside the new
 * data. */
int journal_compact_swap(struct journal_compact *c)
{
    char from[JOURNAL_FOLDER_MOST + 64], to[JOURNAL_FOLDER_MOST + 64], lock[JOURNAL_FOLDER_MOST + 64];
    path_in(c, COPY_FOLDER "/data.mdb", from);
    path_in(c, "data.mdb", to);
    path_in(c, "lock.mdb", lock);
    if (flock(c->data, LOCK_EX | LOCK_NB))
        return fail(STATUS_BUSY, "journal %s: a check or a copy reads it; try again when that has ended", c->folder);
    if ((unlink(lock) && errno != ENOENT) || rename(from, to))
        return fail(STATUS_IO, "journal %s: %s", to, strerror(errno));
    return paths_sync(c->folder);
}

void journal_compact_end(struct journal_compact *c)
{
    if (c->data >= 0) {
        sweep(c);
        close(c->data);
    }
    if (c->lock >= 0)
        close(c->lock);
    c->lock = c->data = -1;
}

int journal_compact(const char *folder, struct journal_compact *c, struct journal_check *out)
{
    *out = (struct journal_check){.damages = 0};
    int code = journal_compact_begin(c, folder);
    code = code ? code : journal_compact_copy(c, out);
    code = code ? code : journal_compact_swap(c);
    journal_compact_end(c);
    return code;
}
