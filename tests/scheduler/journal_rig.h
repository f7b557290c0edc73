/* journal_rig - journals on disk for tests: filled, read and written as bytes, and changed record by record. */
#ifndef JOURNAL_RIG_H
#define JOURNAL_RIG_H
#include "journal_stored.h"
#include "journal_tools.h"
#include "rig.h"

enum { JOURNAL_FILE_MOST = 4 << 20, JOURNAL_PAGE = 4096 };

extern uint8_t journal_file[JOURNAL_FILE_MOST]; /* data.mdb as it was read */
extern struct journal_check journal_found;      /* by the last check */

/* A queue on a journal, restored from it; close commits. */
struct journal_lmdb *journal_rig_open(struct rig *r, const char *folder);
void journal_rig_close(struct rig *r, struct journal_lmdb **j);

/* Four jobs, 21 items, 5 outcomes: job 1 has an item each done, leased, queued again and queued, and a result that
 * takes pages of its own; 2 is cancelled, 3 done, 4 waits. */
void journal_rig_fill(const char *folder);
size_t journal_rig_fill_compact(const char *folder); /* only pages in use, and read */

void journal_rig_path(const char *folder, const char *name, char out[256]);
size_t journal_rig_read(const char *folder); /* into journal_file */
void journal_rig_write(const char *folder, size_t bytes);

/* The environment itself, with a transaction. */
MDB_env *journal_rig_raw(const char *folder, unsigned flags, MDB_txn **txn, MDB_dbi *table);
uint32_t journal_rig_print(const char *folder); /* a number that stands for all records */

struct journal_change {
    uint64_t job;
    enum part part;
    uint32_t number;
    const struct wire_schema *schema; /* NULL: the record is deleted */
    const void *map;
    const char *reason; /* in what is found */
};

/* One record, with a checksum that fits. */
void journal_rig_change(const char *folder, const struct journal_change *c, uint8_t version);

#endif
