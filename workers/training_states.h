/* training_states - where a training keeps what it goes on from: in a file of two places in its folder (slots.h), or,
 * for one that has no folder, as checkpoints of the queue, which any worker gets.
 *
 *   how often    in a folder 0.5 to 5 s apart, so that writing takes a fiftieth of the time; a checkpoint every 5 s at most,
 *                and not before so many seconds as it has MiB, since it goes over the network and onto the scheduler's
 *                disk. The first state, before the first step, always, and whatever is asked for so
 *   attempts     a state in a folder is told to the queue too, by a checkpoint of some bytes: an attempt that got
 *                further than all before is counted as the first (PROTOCOL.md section 4)
 *   sizes        20 bytes for each parameter: 6 MB of preset tiny, 90 of small, 340 of medium. As a checkpoint at most
 *                STATE_CHECKPOINT_MOST, since three of them are in memory at times
 *   errors       read: those of slots.h; keep: STATUS_ARGUMENT for one that is too large. Any other that cannot be kept
 *                is said in the log and costs time if this process dies, never the training: the one before it stays
 *   ownership    the task's descriptors are the task's; what is read is malloc'ed. The last checkpoint is held until
 *                training_states_close, so that whoever begins again within the attempt goes on from there */
#ifndef TRAINING_STATES_H
#define TRAINING_STATES_H
#include "job.h"

#define STATE_CHECKPOINT_MOST ((size_t)1 << 30)

struct training_states {
    struct job *job;
    int slots;                /* -1: checkpoints */
    int saved;                /* the last checkpoint of this attempt; -1: none yet */
    int64_t kept_ms, took_ms; /* the last one: when, and for how long */
};

struct training_states training_states_of(struct job *j);
void training_states_close(struct training_states *s);

/* The newest that is whole: what this attempt has kept, or else what an earlier one has left. STATUS_NOT_FOUND: there
 * is none. */
int training_states_read(const struct training_states *s, void **state, size_t *bytes) MUST_USE;

int training_states_keep(struct training_states *s, const void *state, size_t bytes, double progress,
                         bool always) MUST_USE;

/* Is a state that vae_fit has refused (its hook) with this code as good as none? One of other settings in a folder is
 * not: it is somebody's. A checkpoint belongs to this item alone, so it can only be of another kind of processor. */
bool training_states_begins_anew(const struct training_states *s, int code);

#endif
