/* source - a file's decoded audio, a block at a time, for one or several streams.
 *
 *   errors    those of audio.h; STATUS_NOMEM */
#ifndef SOURCE_H
#define SOURCE_H
#include "audio.h"
#include "exec.h"
#include "level.h"

#include <stdbool.h>

enum { SOURCE_MIX = -1 };               /* in place of a channel's number: the mean of all */
enum { SOURCE_BLOCK_SAMPLES = 262144 }; /* what suits the CPU's caches */

struct source {
    double seconds;      /* spent in decoding */
    struct audio *audio; /* borrowed */
    struct exec *exec;   /* borrowed */
    float *block;        /* [got][channels] */
    int64_t block_frames;
    int64_t got;   /* frames of the block; 0 when ended */
    int64_t start; /* frame of the file that the block begins with */
    bool ended;
};

/* block_samples: of all channels, decoded at once. rate_hz: what the audio's rate will be changed to, which blocks are
 * sized for; 0: nothing. */
int source_open(struct source *s, struct exec *ex, struct audio *audio, int64_t block_samples,
                int64_t rate_hz) MUST_USE;
void source_close(struct source *s);

/* The next block, or the end. */
int source_read(struct source *s) MUST_USE;

/* The block's mono mean, or one channel of it, into out [got], and its level; STATUS_FORMAT for a sample that is NaN or
 * infinite, with its number in the file. */
int source_copy(const struct source *s, int channel, float *out, struct level *l) MUST_USE;

#endif
