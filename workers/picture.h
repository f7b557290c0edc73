/* picture - a log-mel picture of a whole signal in a fixed number of columns, whatever its length.
 *
 *   equation     mean power of each band over the frames of a column, in dB below the picture's maximum: 255 is the
 *                maximum, 0 is PICTURE_RANGE_DB and more below it, or silence
 *   columns      frames are gathered in up to twice as many columns as are wanted; when these are full, each two become
 *                one. At the end they are spread over the columns that were wanted: fewer frames are repeated
 *   memory       2 * columns * bands doubles
 *   errors       STATUS_NOMEM */
#ifndef PICTURE_H
#define PICTURE_H
#include "status.h"

#include <stdint.h>

enum { PICTURE_RANGE_DB = 80 };

struct picture {
    double *sums; /* [2 * columns][bands] */
    int64_t columns, bands;
    int64_t every;   /* frames of a column */
    int64_t full;    /* columns that have them */
    int64_t partial; /* frames of the next one */
};

int picture_open(struct picture *p, int64_t columns, int64_t bands) MUST_USE;
void picture_close(struct picture *p);

/* power: [frames][bands], those that come next. */
void picture_add(struct picture *p, const float *power, int64_t frames);

/* out: [bands][columns], the lowest band first. */
void picture_finish(const struct picture *p, uint8_t *out);

#endif
