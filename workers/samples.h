/* samples - a file's signal as an array, as it is decoded: mixed down or every channel, at the rate that is asked for.
 *
 *   array     float32 [samples], or [samples, channels] of a file with several, behind a .npy header (npy.h)
 *   values    those of mixdown and resample over the whole file, to the last bit, wherever blocks end
 *   memory    a few blocks, whatever the file's length
 *   errors    those of source.h and rate.h: STATUS_FORMAT for a sample that is NaN or infinite; STATUS_ARGUMENT where
 *             the change of rate leaves float32's range; STATUS_IO, STATUS_NOMEM */
#ifndef SAMPLES_H
#define SAMPLES_H
#include "job.h"

struct samples_wish {
    bool each_channel;
    int64_t rate_hz; /* 0: the file's own */
    enum rate_method method;
};

/* Into j's array. *channels, *samples: the array's. */
int samples_write(struct job *j, struct audio *a, const struct samples_wish *wish, int64_t *channels,
                  int64_t *samples) MUST_USE;

#endif
