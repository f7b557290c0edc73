/* journal_space - room on the journal's disk: new jobs are refused before it is full, so that what runs can end.
 *
 * A file `reserve` in the journal's folder holds space that nothing else can take. While there is room for the reserve
 * twice, jobs are taken; below that, new jobs and items are refused and everything else goes on. When less than a
 * quarter of the reserve is left besides the reserve itself, the file is emptied before the group is committed, so that
 * the commit has its room. When there is room again the reserve is made again and new jobs are taken.
 *
 *   size      64 MiB, or an eighth of the file system if that is less
 *   cost      one statvfs a commit at most, and not more often than every 50 ms while there is room
 *   map       the same refusal when four fifths of LMDB's map are in use; free pages inside the file do not count
 *   limits    a file system that gives no blocks for posix_fallocate (compression, quotas) keeps no reserve: the
 *             refusals then come at the same free space
 *   threads   those of the journal */
#ifndef JOURNAL_SPACE_H
#define JOURNAL_SPACE_H
#include "status.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>

enum { JOURNAL_SPACE_PATH = 4096 + 16 };

struct journal_space {
    char folder[JOURNAL_SPACE_PATH];
    int fd;                 /* of the reserve; -1: it cannot be opened */
    uint64_t reserve_bytes; /* what the reserve has when it is there */
    uint64_t free_bytes;    /* besides the reserve, when it was looked at last */
    uint64_t group_bytes;   /* put, and not committed */
    uint64_t put_bytes;     /* put since it was looked at: these may have taken room */
    int64_t looked_ms, map_looked_ms;
    bool is_held; /* the reserve is there */
    bool is_low;  /* no new jobs */
    bool is_map_full;
    bool has_looked; /* in this group */
    bool has_warned; /* that the reserve cannot be made */

    int (*statvfs)(const char *path, struct statvfs *out); /* a test's own disk */
};

/* Looks, and gives the reserve up where the disk is full already: before the environment is opened. A reserve that
 * cannot be made is logged, and no error. */
void journal_space_open(struct journal_space *s, const char *folder);
void journal_space_close(struct journal_space *s); /* the reserve stays */

void journal_space_put(struct journal_space *s, size_t bytes);       /* a record of the group */
void journal_space_commit(struct journal_space *s);                  /* before the group is committed */
void journal_space_committed(struct journal_space *s, MDB_env *env); /* after it, without a transaction */
bool journal_space_is_full(struct journal_space *s);                 /* take no new jobs */

/* Pages of the file that hold nothing; an error of LMDB. */
int journal_space_free_pages(MDB_txn *reading, uint64_t *pages);

#endif
