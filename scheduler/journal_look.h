/* journal_look - reading a journal that somebody else may write: for journal_*.c only.
 *
 *   lock      a reader shares the lock on data.mdb, which who compacts has alone
 *   errors    as journal_tools.h says */
#ifndef JOURNAL_LOOK_H
#define JOURNAL_LOOK_H
#include "journal_stored.h"
#include "journal_tools.h"

/* `alone`: the caller knows that nobody writes it; LMDB's lock file is then left out. Close with journal_lmdb_close. */
int journal_look_open(const char *folder, bool alone, struct journal_lmdb **out) MUST_USE;

/* Calls work(context) in a child; what it leaves in *context, of `bytes`, and its status message come back. *ended_by
 * is the signal that ended the child: STATUS_DAMAGED if it is one of bad memory; 0: its result is returned. */
int journal_look_guarded(int (*work)(void *context), void *context, size_t bytes, int *ended_by) MUST_USE;

int journal_look_check(const char *folder, bool alone, struct journal_check *out) MUST_USE; /* journal_fsck.c */

#endif
