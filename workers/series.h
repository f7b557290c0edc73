/* series - values per frame of a whole file, several features side by side, in bounded memory.
 *
 *   growth    up to SERIES_FRAMES frames are kept. Longer files keep every second, then every fourth .. block of
 *             SERIES_BLOCK frames: `every` says which; the statistics are then over those blocks
 *   errors    STATUS_NOMEM */
#ifndef SERIES_H
#define SERIES_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SERIES_MOST = 16, SERIES_FRAMES = 1 << 19, SERIES_BLOCK = 64 };

struct series {
    int32_t width[SERIES_MOST]; /* values per frame; 0: not kept */
    float *values[SERIES_MOST]; /* [frames][width] */
    int64_t frames;             /* kept */
    int64_t seen;               /* of the file */
    int64_t every;              /* blocks of SERIES_BLOCK frames of which one is kept */
    int64_t capacity;
};

void series_open(struct series *s, const int32_t width[SERIES_MOST]);
void series_close(struct series *s);

/* Room for `frames` more frames, behind what is kept. */
int series_reserve(struct series *s, int64_t frames) MUST_USE;

/* Where frame `behind` behind the last one that is kept is to be written. */
static inline float *series_place(const struct series *s, int i, int64_t behind)
{
    return s->values[i] + (s->frames + behind) * s->width[i];
}

/* Takes over what was written at series_place: drops `skip` frames, then keeps of the `frames` next ones what is due.
 */
void series_commit(struct series *s, int64_t skip, int64_t frames);

#endif
