/* journal_tools - looking after a journal on disk: checking it, copying it, making it smaller.
 *
 * Each looks at the file in a child process, because a file whose pages are damaged can end the process that maps it;
 * to the caller that is one more finding.
 *
 *   beside a scheduler   a check and a copy read one moment's state, and hold nobody up; pages that become free
 *                        meanwhile are used again only afterwards. To compact takes the writer's lock
 *   changes              a check makes nothing in a folder without a journal; with one, LMDB may make its lock file.
 *                        A folder that cannot be written is read without LMDB's lock, if no scheduler has the journal
 *   threads              of the process: one, as with every fork
 *   errors               STATUS_NOT_FOUND: no journal is there; STATUS_FORMAT: something else is; STATUS_VERSION: a
 *                        later version wrote it; STATUS_BUSY: somebody has it; STATUS_ARGUMENT: the folder to copy
 *                        to is in use; STATUS_IO, STATUS_NOMEM, STATUS_UNSUPPORTED as journal_lmdb_open. Damage
 *                        that was found is no error of journal_fsck: see struct journal_check. */
#ifndef JOURNAL_TOOLS_H
#define JOURNAL_TOOLS_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOURNAL_DAMAGE_MOST = 256, JOURNAL_REASON_MOST = 256 };

struct journal_damage {
    uint64_t job;    /* 0: of the journal as a whole */
    char record[40]; /* "item 3" */
    char reason[JOURNAL_REASON_MOST];
};

struct journal_check {
    uint64_t jobs, items, outcomes; /* kept */
    uint64_t removed_jobs;          /* whose records still have to go */
    uint64_t records;               /* of all kinds */
    uint64_t bytes, pages, free_pages;
    uint64_t damaged_jobs; /* among those in list */
    uint64_t damages;      /* found; 0: the journal is sound */
    struct journal_damage list[JOURNAL_DAMAGE_MOST];
};

/* Every record by itself, their order, and whether a scheduler would take them all. */
int journal_fsck(const char *folder, struct journal_check *out) MUST_USE;

/* A copy in the folder `to`, which is made, or is empty; on disk and checked when this returns. A damaged copy stays,
 * and *out says what it has. */
int journal_backup(const char *folder, const char *to, struct journal_check *out) MUST_USE;

/* ---- compacting, step by step: wherever it ends, the folder has the old journal or the new one ---- */

struct journal_compact {
    char folder[4096];
    int lock, data; /* descriptors: the writer's lock; data.mdb, which no check or copy may read meanwhile */
    uint64_t bytes_before, bytes_after;
};

int journal_compact_begin(struct journal_compact *c, const char *folder) MUST_USE; /* locks; sweeps what was left */
/* A checked copy beside it, on disk; STATUS_DAMAGED where *out has damage. */
int journal_compact_copy(struct journal_compact *c, struct journal_check *out) MUST_USE;
int journal_compact_swap(struct journal_compact *c) MUST_USE; /* puts it in its place */
void journal_compact_end(struct journal_compact *c);          /* sweeps, unlocks; also after an error */

/* All of them. */
int journal_compact(const char *folder, struct journal_compact *c, struct journal_check *out) MUST_USE;

/* ---- the program's options: prints, and gives the exit status ---- */

enum {
    JOURNAL_EXIT_SOUND = 0,
    JOURNAL_EXIT_DAMAGED = 1,
    JOURNAL_EXIT_USAGE = 2,
    JOURNAL_EXIT_BUSY = 3,
    JOURNAL_EXIT_FAILED = 5
};

int journal_main_fsck(const char *folder, bool json);
int journal_main_backup(const char *folder, const char *to, bool json);
int journal_main_compact(const char *folder, bool json);

#endif
