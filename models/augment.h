/* augment - a training signal changed at random: what is drawn follows from a seed, the epoch and the item's number,
 * and the result from what is drawn.
 *
 *   order        crop, pitch, stretch, compress, gain, polarity, noise, mute; each with its chance. The crop takes as
 *                much of the signal as the result will need at the speed that was drawn
 *   pitch        stretch_pitch, in half semitones: each pitch has a filter that stays in exec
 *   stretch      stretch_signal
 *   compress     a soft knee of 6 dB around a threshold (dB relative to 1.0): with L the largest sample of the next
 *                11 ms, looked for each ms, and over = L - threshold, gain in dB goes to (1/ratio - 1) * (0 below -3,
 *                (over + 3)^2/12, over from 3 on), down with 2.5 ms and up with 100 ms, for both channels
 *   gain         times 10^(dB/20)
 *   polarity     times -1
 *   noise        white and Gaussian, the same power in each channel, so many dB below the signal's mean power; none
 *                under silence
 *   mute         1 to `mutes` spans of zeros, which may overlap and are cut at the end
 *   crop         p->samples from a place at random. A signal that is shorter stays whole, its last 10 ms (or all of it)
 *                fade out, and zeros follow. 0 samples: no crop
 *   numbers      Philox 4x32-10 (philox.h) under the seed, counter high epoch*2^32 + item; low counts blocks of draws
 *                from 0 on, each taking its own whether its chance was met or not, and blocks of noise from 2^63 on
 *   shapes       x [n][channels] in, y [augment_samples()][channels] out; host memory; x and y do not overlap
 *   units        full scale 1.0
 *   limits       1 or 2 channels; rate 1000 to 384000 Hz; those of stretch.h for what is stretched; epoch, item < 2^32;
 *                0 <= chances <= 1; ranges rise within: pitch -24 to 24, rates 1/4 to 4, noise 0 to 120, gain -60 to
 *                60, threshold -80 to 0, ratio 1 to 20, mute 0 to 60 s; 0 to AUGMENT_MUTES spans
 *   errors       STATUS_ARGUMENT, also of a sample in the crop that is not finite; STATUS_SHAPE, STATUS_NOMEM; those of a
 *                device. Samples outside of the crop are never touched, so that hours cost no more than seconds.
 *                After an error y is undefined
 *   determinism  equal bits on one backend and ISA, whatever the threads, and in any order of items
 *   source       Giannoulis, Massberg and Reiss 2012 for the compressor */
#ifndef AUGMENT_H
#define AUGMENT_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec;

enum augment_kind {
    AUGMENT_PITCH = 0,
    AUGMENT_STRETCH = 1,
    AUGMENT_COMPRESS = 2,
    AUGMENT_GAIN = 3,
    AUGMENT_POLARITY = 4,
    AUGMENT_NOISE = 5,
    AUGMENT_MUTE = 6,
    AUGMENT_KINDS = 7
};

enum { AUGMENT_MUTES = 4 };

struct augment_range {
    double least, most;
};

struct augment_params {
    double chance[AUGMENT_KINDS]; /* 0: never, 1: always */
    struct augment_range semitones, rate, threshold_db, ratio, gain_db, noise_db, mute_s;
    int32_t mutes;   /* most of them */
    int64_t samples; /* of the result; 0: what comes out */
};

/* Everything that was drawn. Numbers of a kind that is not on are those of no change. */
struct augment_drawn {
    uint64_t seed, epoch, item;
    bool on[AUGMENT_KINDS];
    double semitones, rate, threshold_db, ratio, gain_db, noise_db;
    int32_t mutes;
    double mute_at[AUGMENT_MUTES]; /* part of what is there, 0 to 1 */
    double mute_s[AUGMENT_MUTES];
    double crop; /* part of the places where a crop may begin */
    int64_t samples;
};

/* Nothing happens by these, within sensible ranges. */
struct augment_params augment_defaults(void);

int augment_draw(const struct augment_params *p, uint64_t seed, uint64_t epoch, uint64_t item,
                 struct augment_drawn *out) MUST_USE;

/* What was drawn as one line of JSON without its end; STATUS_SHAPE where it does not fit. 2048 bytes are enough. */
int augment_text(const struct augment_drawn *d, char *out, size_t bytes) MUST_USE;

/* Samples of the result. */
int64_t augment_samples(const struct augment_drawn *d, int64_t n);

int augment(struct exec *ex, const struct augment_drawn *d, double rate_hz, int channels, int64_t n, const float *x,
            float *y) MUST_USE;

#endif
