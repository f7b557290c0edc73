/* separated - what is done with stems as they come: the signals that are to be written are made of them, measured
 * and put into the spool; at the end each is encoded into its file.
 *
 *   measures     peak and RMS over both channels, of the signal as it came, before any clipping is prevented.
 *                si_sdr_db = 10 * log10(|a*m|^2 / |s - a*m|^2), a = <s,m> / |m|^2: scale-invariant ratio of the
 *                signal s to what is not in the mixture m, both channels as one vector; within +-120, NaN where s
 *                or m is silence
 *   residual     RMS of the mixture minus the sum of all stems, also of those that are not written; stems of
 *                networks that did not run, because none of theirs is written, count as silence
 *   verdict      "silent": RMS below -100 dBFS; "clipped": samples were cut off where they were written, which clip
 *                mode rescale never does; else "ok"
 *   errors       STATUS_FORMAT: a stem is not finite; STATUS_IO, STATUS_NOMEM; those of audio_write.h
 *   determinism  bitwise, however the stems are cut into blocks, and when another attempt goes on */
#ifndef SEPARATED_H
#define SEPARATED_H
#include "audio_write.h"
#include "networks.h"
#include "plan.h"
#include "spool.h"

enum { SEPARATED_FRAMES = 4, SEPARATED_LANES = 2 * SEPARATED_FRAMES };

/* All that is known of the signals so far: plain numbers, for a checkpoint. Lane 2*(frame mod 4) + channel has its own
 * sums, so that they do not wait for each other and blocks may be cut anywhere. */
struct separated_sums {
    struct {
        double square[SEPARATED_LANES], with_mixture[SEPARATED_LANES];
        float peak[SEPARATED_LANES];
    } output[BAG_STEMS_MOST];
    double mixture_square[SEPARATED_LANES], residual_square[SEPARATED_LANES];
};

struct separated {
    const struct plan *plan;
    const struct spool *spool;
    int64_t emitted;
    struct separated_sums sums;
    float *mixture, *signals; /* of one block */
};

/* Borrows plan and spool. */
int separated_open(struct separated *s, const struct plan *plan, const struct spool *spool) MUST_USE;
void separated_close(struct separated *s);

/* The next frames: stems [frames][plan->stems][2]. */
int separated_take(struct separated *s, const float *stems, int64_t frames) MUST_USE;

/* Encodes all signals, side by side in turns of the threads. fds [outputs]; progress is called now and then with the
 * part that is done; NULL: nobody asks. */
int separated_encode(struct separated *s, const struct separate_settings *settings, int64_t rate_hz, const int *fds,
                     struct networks *threads, void (*progress)(void *context, double part), void *context) MUST_USE;

struct separated_measures {
    double peak, rms, si_sdr_db;
    const char *verdict;
};
void separated_measure(const struct separated *s, int output, const struct separate_settings *settings,
                       struct separated_measures *out);
double separated_residual(const struct separated *s);

#endif
