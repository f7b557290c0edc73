/* sweep_upload - a sweep by any worker: each round is a job of kind `train_objects`, and this command says who is in
 * it.
 *
 * Sounds, states and models travel as objects of the scheduler. The state that a trial pauses with is named in its
 * result, which is kept in the sweep's folder (sweep_records.h), and goes to whichever worker has its next round; one
 * that the scheduler has no more costs time, since that trial begins anew. At the end the models of the best are
 * fetched, and the table is made here (sweep_end.h). So no worker sees the folder, and who goes on hangs on the same
 * scores as in a sweep that the workers drive.
 *
 * A round's job is the scheduler's: it goes on when this command ends, and is waited for by the next (sweep_sent.h).
 * One that was cancelled, or that the scheduler has forgotten, is sent again, of those trials that have no record; one
 * that failed in a round that is over stays out of it. The priority is set when the job is there, since another one in
 * what is sent under a key would make another job of it. */
#ifndef SWEEP_UPLOAD_H
#define SWEEP_UPLOAD_H
#include "cli.h"
#include "sweep_items.h"

struct sweep_upload {
    const struct common *common;
    struct sweep_plan *plan;
    const struct sweep_target *target;
    const struct sweep_items *items;
    uint64_t device_bytes; /* that the largest trial wants */
    bool resume;
};

/* To the finished table, which it does not show. Returns an exit code. */
int sweep_upload_run(const struct sweep_upload *u);

#endif
