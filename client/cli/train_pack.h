/* train_pack - the pack of a dataset's sounds at one rate (runtime/pack.h), which training reads as an object.
 *
 *   place        HOME/datasets/DATASET/packs/RATE.pack. What it is made of lies in packs/.making meanwhile, where a
 *                later call removes what a killed one left; packs/ is locked, so that of two at once one finds the
 *                other's pack
 *   work         one job of kind `features`, whose workers decode, mix down and change the rate. What the pack that is
 *                there has of the same bytes is taken from it, so that nothing is decoded twice; a pack that is whole
 *                already is left as it is
 *   order        that of the files, without those that cannot be had: equal lists give equal bytes
 *   failures     a file that cannot be read, has no samples, or is not what its hash says is left out, and named
 *                in `errors`
 *   errors       STATUS_FORMAT: none is left; STATUS_ARGUMENT: a name, label, rate or number that a pack cannot have;
 *                STATUS_CANCELLED: interrupted, or the job was cancelled; those of client.h, STATUS_IO, STATUS_NOMEM */
#ifndef TRAIN_PACK_H
#define TRAIN_PACK_H
#include "client.h"
#include "pack.h"
#include "progress.h"

struct train_pack_file {
    const char *path; /* absolute */
    struct hash hash; /* of its bytes */
    enum pack_part part;
    const char *label;
};

struct train_pack {
    struct client *client;     /* borrowed */
    struct progress *progress; /* borrowed; may be NULL */
    /* What train_pack_make says. */
    char **errors; /* [count]: why a file was left out; NULL where it was not */
    size_t count;
    size_t failed, decoded; /* files */
};

/* out: the pack's path. */
int train_pack_make(struct train_pack *t, const char *home, const char *dataset, const struct train_pack_file *files,
                    size_t count, int64_t rate_hz, char *out, size_t capacity) MUST_USE;
void train_pack_release(struct train_pack *t);

#endif
