/* mixture - the first pass of a separation: the file as two channels at the model's rate, in the spool, and what is to
 * be known of it before the second pass.
 *
 *   channels     one is doubled, of more than two the first two are taken
 *   rate         the file's own, or changed by rate.h's polyphase row
 *   mean, std    of the mono mean over all frames, std with n - 1 as torch.std; 0 for a single frame
 *   errors       STATUS_FORMAT for a sample of those channels that is NaN or infinite, with its number, and those of
 *                audio.h; STATUS_IO, STATUS_NOMEM */
#ifndef MIXTURE_H
#define MIXTURE_H
#include "job.h"
#include "spool.h"

struct mixture {
    int64_t rate_hz, frames;
    double mean, std;
    float peak; /* of both channels */
};

/* rate_hz 0: the file's own. s->frames is set to the mixture's. */
int mixture_make(struct job *j, struct audio *a, int64_t rate_hz, struct spool *s, struct mixture *out) MUST_USE;

#endif
