#include "journal_look.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- opening ---- */

static void put_nothing(struct journal *j, const struct journal_record *r)
{
    (void)j;
    (void)r;
}

static int commit_nothing(struct journal *j)
{
    (void)j;
    return STATUS_OK;
}

/* Opens and shares data.mdb. Nothing is made. */
static int hold_data(struct journal_lmdb *j)
{
    char path[JOURNAL_FOLDER_MOST + 16];
    struct stat held, named;
    snprintf(path, sizeof path, "%s/data.mdb", j->folder);
    j->lock = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (j->lock < 0)
        return errno == ENOENT || errno == ENOTDIR ? fail(STATUS_NOT_FOUND, "%s: there is no journal", j->folder)
                                                   : fail(STATUS_IO, "journal %s: %s", j->folder, strerror(errno));
    if (fstat(j->lock, &held) || !S_ISREG(held.st_mode) || held.st_size == 0)
        return fail(STATUS_FORMAT, "%s: this is not a journal", j->folder);
    if (flock(j->lock, LOCK_SH | LOCK_NB) || stat(path, &named) || named.st_ino != held.st_ino)
        return fail(STATUS_BUSY, "journal %s: it is being compacted", j->folder);
    return STATUS_OK;
}

/* One of the file's two first pages has LMDB's mark, though LMDB does not take it. */
static bool has_mark(const struct journal_lmdb *j)
{
    const uint32_t mark = 0xbeefc0de;
    uint32_t found = 0;
    for (int page = 0; page < 2 && found != mark; page++)
        if (pread(j->lock, &found, sizeof found, page * sysconf(_SC_PAGESIZE) + 16) != sizeof found)
            found = 0;
    return found == mark;
}

/* Another's tables, or a later version; what is damaged is for the check to say. */
static int refuse_foreign(struct journal_lmdb *j, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    const int e = mdb_cursor_open(txn, j->table, &cursor);
    if (e)
        return journal_lmdb_fail(j, e, "read");
    bool is_foreign = !mdb_cursor_get(cursor, &key, &value, MDB_FIRST) && key.mv_size != JOURNAL_KEY_BYTES;
    is_foreign &= !mdb_cursor_get(cursor, &key, &value, MDB_LAST) && key.mv_size != JOURNAL_KEY_BYTES;
    mdb_cursor_close(cursor);
    if (is_foreign)
        return fail(STATUS_FORMAT, "%s: this is not a journal", j->folder);
    return journal_read_own(j, txn) == STATUS_VERSION ? STATUS_VERSION : STATUS_OK;
}

static int open_env(struct journal_lmdb *j, unsigned flags)
{
    MDB_txn *txn = NULL;
    int e = mdb_env_create(&j->env);
    e = e ? e : mdb_env_set_mapsize(j->env, JOURNAL_MAP_BYTES);
    e = e ? e : mdb_env_open(j->env, j->folder, MDB_RDONLY | flags, 0600);
    if (e == EACCES || e == EROFS || e == EPERM)
        return e;
    e = e ? e : mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn);
    e = e ? e : mdb_dbi_open(txn, NULL, 0, &j->table);
    const int code = e ? STATUS_OK : refuse_foreign(j, txn);
    if (!e)
        e = mdb_txn_commit(txn); /* only then the table's handle stays */
    else if (txn)
        mdb_txn_abort(txn);
    if (e == MDB_INVALID || e == MDB_VERSION_MISMATCH)
        return has_mark(j) && e == MDB_INVALID ? fail(STATUS_DAMAGED, "the first pages of the file are damaged")
                                               : fail(STATUS_FORMAT, "%s: this is not a journal", j->folder);
    return e ? journal_lmdb_fail(j, e, "open") : code;
}

/* LMDB's lock file cannot be written. A scheduler that runs has the writer's lock; without that file none has run. */
static int open_unlocked(struct journal_lmdb *j)
{
    char path[JOURNAL_FOLDER_MOST + 16];
    mdb_env_close(j->env);
    j->env = NULL;
    snprintf(path, sizeof path, "%s/lock", j->folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return fail(STATUS_IO, "journal %s: %s", path, strerror(errno));
    const bool is_written = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB);
    if (fd >= 0 && !is_written)
        j->space.fd = fd; /* kept with it: closed with the journal */
    else if (fd >= 0)
        close(fd);
    if (is_written)
        return fail(STATUS_BUSY, "journal %s: a scheduler writes it, and this user cannot read beside it", j->folder);
    const int e = open_env(j, MDB_NOLOCK);
    return e > 0 ? journal_lmdb_fail(j, e, "open") : e;
}

int journal_look_open(const char *folder, bool alone, struct journal_lmdb **out)
{
    struct journal_lmdb *j = calloc(1, sizeof *j);
    if (!j)
        return fail(STATUS_NOMEM, "journal");
    j->journal = (struct journal){.put = put_nothing, .commit = commit_nothing, .load = journal_load};
    j->lock = j->space.fd = -1;
    snprintf(j->folder, sizeof j->folder, "%s", folder);
    int code = strlen(folder) < JOURNAL_FOLDER_MOST
                   ? STATUS_OK
                   : fail(STATUS_ARGUMENT, "journal: a path of %zu bytes", strlen(folder));
    code = code ? code : hold_data(j);
    code = code || alone ? code : paths_refuse_network("journal", folder);
    code = code ? code : open_env(j, alone ? MDB_NOLOCK : 0);
    if (code > 0)
        code = open_unlocked(j);
    if (code)
        journal_lmdb_close(&j);
    else
        *out = j;
    return code;
}

/* ---- guarding ---- */

struct guarded {
    int code;
    bool has_ended; /* by itself */
    char message[512];
    char context[] __attribute__((aligned(16)));
};

static bool is_of_pages(int number)
{
    return number == SIGBUS || number == SIGSEGV || number == SIGABRT || number == SIGFPE || number == SIGILL;
}

int journal_look_guarded(int (*work)(void *context), void *context, size_t bytes, int *ended_by)
{
    int state = 0;
    const size_t all = sizeof(struct guarded) + bytes;
    struct guarded *const g = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g == MAP_FAILED)
        return fail(STATUS_NOMEM, "journal: %zu bytes", all);
    memcpy(g->context, context, bytes);
    fflush(NULL); /* or the child would write what waits in the buffers, too */
    const pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        g->code = work(g->context);
        snprintf(g->message, sizeof g->message, "%s", status_message());
        g->has_ended = true;
        _exit(0);
    }
    while (child > 0 && waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    memcpy(context, g->context, bytes);
    *ended_by = child <= 0 || g->has_ended ? 0 : WIFSIGNALED(state) ? WTERMSIG(state) : SIGSEGV; /* a sanitizer exits */
    const int code = child < 0                ? fail(STATUS_NOMEM, "journal: fork: %s", strerror(errno))
                     : *ended_by == SIGKILL   ? fail(STATUS_NOMEM, "journal: reading it was killed")
                     : is_of_pages(*ended_by) ? fail(STATUS_DAMAGED, "reading it ended with %s", strsignal(*ended_by))
                     : *ended_by              ? fail(STATUS_CANCELLED, "journal: %s", strsignal(*ended_by))
                     : g->code != 0           ? fail(g->code, "%s", g->message)
                                              : STATUS_OK;
    munmap(g, all);
    return code;
}
