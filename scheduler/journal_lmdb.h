/* journal_lmdb - the journal on disk, in LMDB: a group is one transaction, which is durable when commit returns.
 *
 *   layout       keys of 13 bytes, big-endian: job u64 | part u8 | number u32; so a job's records are neighbours, in
 *                the order in which load tells them. Values: JOURNAL_VERSION u8 | CRC-32C u32 of key and map |
 *                MessagePack map by the tables in journal_stored.h. Job 0 holds the journal's own: version and
 *                largest job number
 *   damage       a record whose checksum or map is wrong is left where it is; its job is left out and logged. Nothing
 *                is deleted and nothing is passed on
 *   removal      records of a removed job go bit by bit with the commits that follow, so that none takes long
 *   power cut    leaves all groups whose commit has returned, and of the next one all or nothing. A new file is whole
 *                before it has its name, folders are synced, and an opened file is synced before it is read: what a
 *                killed process wrote may have been in the kernel's cache only
 *   one writer   a lock on the folder's file `lock`, held until journal_lmdb_close
 *   errors       STATUS_BUSY: another scheduler has it; STATUS_VERSION: written by a later version; STATUS_IO: the
 *                folder is missing, read-only or full; STATUS_UNSUPPORTED: it is on a network; STATUS_NOMEM */
#ifndef JOURNAL_LMDB_H
#define JOURNAL_LMDB_H
#include "journal.h"

struct journal_lmdb;

/* Makes the folder (mode 0700) if it is not there; its parent must be. */
int journal_lmdb_open(const char *folder, struct journal_lmdb **out) MUST_USE;
void journal_lmdb_close(struct journal_lmdb **j);
struct journal *journal_lmdb_base(struct journal_lmdb *j);

#endif
