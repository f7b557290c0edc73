/* spool - the file in which a separation keeps what does not fit in memory: the mixture, and the signals that come out.
 *
 *   layout       64 bytes of which the first 16 are drawn by lot: they tell whose file it is; the mixture [frames][2];
 *                then the signals [frames][outputs][2]; all native f32
 *   ownership    the descriptor is borrowed
 *   errors       STATUS_IO: the system refuses (a full disk is one), or the file ends too soon */
#ifndef SPOOL_H
#define SPOOL_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SPOOL_NAME = 16, SPOOL_HEADER = 64 };

struct spool {
    int fd, outputs;
    int64_t frames; /* of the mixture; known once it is there */
    uint8_t name[SPOOL_NAME];
};

/* Does the file hold `name` and the first `emitted` frames of signals? Then it is as it was left, and opened. */
bool spool_reopen(struct spool *s, int fd, int outputs, const uint8_t name[SPOOL_NAME], int64_t frames,
                  int64_t emitted);

/* Empties the file and gives it a name. */
int spool_begin(struct spool *s, int fd, int outputs) MUST_USE;

/* Forgets all signals from frame `emitted` on. */
int spool_cut(struct spool *s, int64_t emitted) MUST_USE;

int spool_put_mixture(const struct spool *s, int64_t at, const float *x, int64_t frames) MUST_USE;
int spool_get_mixture(const struct spool *s, int64_t at, float *x, int64_t frames) MUST_USE;
int spool_put(const struct spool *s, int64_t at, const float *y, int64_t frames) MUST_USE;
int spool_get(const struct spool *s, int64_t at, float *y, int64_t frames) MUST_USE;

/* What was written is on the disk. */
int spool_sync(const struct spool *s) MUST_USE;

#endif
