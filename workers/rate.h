/* rate - changes the sample rate of a mono signal that comes block by block, in bounded memory.
 *
 *   method    the polyphase row of kernels/, bit-equal for any cut into blocks; or libsamplerate's sinc converters, for
 *             comparison
 *   length    ceil(N * rate_out / rate_in) samples of N, with either
 *   errors    STATUS_ARGUMENT for a ratio that the method does not do, STATUS_NOMEM, STATUS_INTERNAL */
#ifndef RATE_H
#define RATE_H
#include "ops.h"

enum rate_method { RATE_POLYPHASE, RATE_SRC_BEST, RATE_SRC_MEDIUM, RATE_SRC_FAST };

/* "polyphase", "src-best", "src-medium", "src-fast" */
int rate_method_parse(const char *name, enum rate_method *out) MUST_USE;

struct rate {
    struct exec *exec; /* borrowed */
    struct resample_params p;
    void *src;     /* libsamplerate's state, or NULL */
    float *in;     /* samples that are still needed */
    int64_t start; /* of in[0] */
    int64_t samples, capacity;
    int64_t next; /* sample of the output */
};

int rate_open(struct rate *r, struct exec *ex, int64_t rate_in, int64_t rate_out, enum rate_method method,
              int64_t most) MUST_USE; /* most: samples per block */
void rate_close(struct rate *r);

/* Samples that a block of n may give at most, those that rate_feed needs room for included. */
int64_t rate_room(const struct rate *r, int64_t n);

/* Takes n samples, the last ones when `last`, and gives *got in out. */
int rate_feed(struct rate *r, const float *x, int64_t n, bool last, float *out, int64_t *got) MUST_USE;

#endif
