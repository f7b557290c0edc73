/* demucs_split - a whole signal through networks of the Demucs family: segments that overlap, weighed by
 * triangles.
 *
 *   equation     x' = (x - mean)/(deviation + 1e-8). With c = chunk and the stride floor((1 - overlap)*c), chunk k
 *                takes frames k*stride to k*stride + c - 1 of the signal while k*stride lies in it; the last ones
 *                may be shorter: by m frames, then it begins m/2 (rounded down) frames earlier, surrounded by real
 *                samples where there are some, else zeros, and as much is cut off its stems again. Zeros fill the
 *                network's segment. y[n] = sum_k w[n-k*stride]*S_k[n] / sum_k w[n-k*stride], w[i] = min(i+1,
 *                c-i)/ceil(c/2); for a short chunk the first of these weights. Then y*(deviation + 1e-8) + mean
 *   shifts       with `shifts` > 0 the signal is put behind 22050 - r zeros, r drawn from 0 to 22050 for each of
 *                them by the seed, its stems are taken from there, and the mean over the shifts is the result
 *   batches      as many chunks as the bag's runner wants together run at once, of one shift; fewer at the end
 *   memory       per shift a few segments of samples and stems, and some more samples for each chunk that runs with
 *                another; for each of these a segment and its stems. Whatever the signal's length; the networks' own
 *                comes on top
 *   ownership    the bag's networks are borrowed until the separation ends. separation.h says the rest
 *   errors       STATUS_ARGUMENT; those of demucs_bag.h
 *   determinism  bitwise for one set of parameters, wherever the signal is cut and however many chunks run at once;
 *                state that was saved goes on with the same bits, also with another number of them
 *   accuracy     >= 110 dB against demucs.apply.apply_model of demucs 4.1.0, asserted in
 *                tests/models/test_htdemucs.py
 *   source       demucs 4.1.0 apply.py, api.py */
#ifndef DEMUCS_SPLIT_H
#define DEMUCS_SPLIT_H
#include "demucs_bag.h"
#include "separation.h"

enum { DEMUCS_SHIFTS_MOST = 64, DEMUCS_SHIFT_FRAMES = 22050 };

struct demucs_split_params {
    struct demucs_bag bag;
    double overlap; /* 0 to 0.99 */
    int64_t chunk;  /* frames, at most the networks' segment; 0: that */
    int shifts;
    uint64_t seed;
    float mean, deviation; /* of the mono mix of the whole signal; deviation unbiased */
};

/* Gives the bag's networks back in the end, unless it fails. */
int demucs_split_create(const struct demucs_split_params *p, separation_emit emit, void *context,
                        struct separation **out) MUST_USE;

/* How many times networks run for a signal of so many frames. */
int64_t demucs_split_runs(const struct demucs_split_params *p, int64_t frames);

#endif
