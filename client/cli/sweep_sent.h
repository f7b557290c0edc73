/* sweep_sent - what a sweep by any worker has sent: SWEEP_FOLDER/sent.json. A round is a job of the scheduler under a
 * key, and stands here before it is sent: whoever sends the same again, after an interrupt or a kill, gets the same
 * job.
 *
 *   trust        it may be anything: it is checked, and refused with the reason
 *   errors       STATUS_NOT_FOUND, STATUS_DAMAGED, STATUS_IO, STATUS_NOMEM */
#ifndef SWEEP_SENT_H
#define SWEEP_SENT_H
#include "sweep_plan.h"

struct sweep_sent {
    struct sweep_pack {
        char preset[LIMIT_FEATURE_NAME + 1];
        uint8_t object[LIMIT_OBJECT];
    } pack[SWEEP_PRESETS_MOST]; /* the sounds that it was begun with, of each preset */
    int packs;
    char key[LIMIT_KEY + 1]; /* of the job; "": none yet */
    int64_t round;
    uint64_t booked_bytes; /* what the job books of a device's memory: under one key always the same */
    size_t count;
    int64_t trial[HALVING_TRIALS_MOST]; /* that of each item */
};

int sweep_sent_read(const char *folder, const struct halving *h, struct sweep_sent *out) MUST_USE;
int sweep_sent_write(const char *folder, const struct sweep_sent *s) MUST_USE;

#endif
