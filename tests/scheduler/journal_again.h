/* journal_again - a queue on the journal in the folder "queue", and another made of what that kept. */
#ifndef JOURNAL_AGAIN_H
#define JOURNAL_AGAIN_H
#include "journal_lmdb.h"
#include "rig.h"

struct journal_lmdb *journal_again_open(void);

/* A rig whose queue is what the journal kept, with a later epoch; at 5,000,000 ms of wall time. */
void journal_again_restore(struct rig *r, struct journal_lmdb *j, uint64_t epoch, struct journal_loaded *loaded);
void journal_again_commit(struct rig *r);

/* Whether both queues tell the same of a job, its items, its outcomes and its checkpoints; or neither has it. */
bool journal_again_same_job(struct rig *a, struct rig *b, uint64_t job);

#endif
