/* separate_pack - the short ones of a command's files, several to a segment of the network: a job of its own before
 * the job for all others. */
#ifndef SEPARATE_PACK_H
#define SEPARATE_PACK_H
#include "cli.h"
#include "separate_tracks.h"

struct separate_packing {
    const struct common *common;
    const struct kind_separate_params *params;
    const char *folder;    /* OUT, absolute */
    int outputs, networks; /* signals that are written; files of weights */
    uint64_t device_bytes; /* that an item wants */
    bool check;            /* measures how near they come to the exact way */
    const struct walk *files;
    const struct separate_track *tracks; /* [files] */
};

/* Prints what was made, as separate_show does, and says which: packed [files]. What was left out is for the exact way,
 * which also says what is wrong with it. Returns an exit code: EXIT_DONE, or what ended it. */
int separate_pack(const struct separate_packing *p, bool *packed);

#endif
