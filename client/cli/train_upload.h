/* train_upload - a training by any worker: the pack of sounds goes to the scheduler as an object, states are
 * checkpoints of the queue, and the model comes back as objects.
 *
 * The job is the scheduler's, not this command's: it goes on when this ends, and whoever sends the same under the same
 * key gets the same job again. So the key stands in LIBRARY_BEGUN before anything is sent, and there is no moment in
 * which a training could be lost or begun twice. One that failed for good is tried again from its beginning, since the
 * queue keeps no checkpoint of what is dead; one that was cancelled, or that the scheduler has forgotten, is begun
 * anew. All of that is said. */
#ifndef TRAIN_UPLOAD_H
#define TRAIN_UPLOAD_H
#include "cli.h"
#include "train_begun.h"

struct train_upload {
    const char *model, *folder;
    struct train_begun *begun; /* its item without `out`, and with the preset */
    bool detach, resume;
};

/* A key for LIBRARY_BEGUN. */
int train_upload_key(char key[LIMIT_KEY + 1]) MUST_USE;

/* b: its one file is the pack; show and during as ever. Returns an exit code. */
int train_upload_run(struct batch *b, const struct train_upload *u);

#endif
