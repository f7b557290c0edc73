/* demucs_pack - several short signals side by side in one segment of a network: many in the time of one. Approximate:
 * a network hears all of its segment, so a signal's stems depend on what lies beside it.
 *
 *   equation     x'_k = (x_k - mean_k)/(deviation_k + 1e-8), each by its own. With n signals of f frames together and
 *                g = floor((segment - f)/n), signal k begins at frame floor(g/2) + sum_{j<k} (frames_j + g) of the
 *                segment, zeros are between; its stems are cut out from there, times deviation_k + 1e-8, plus mean_k.
 *                One alone lies where demucs_split puts it, and has the same stems
 *   limits       a signal is at most half a segment, and neighbours have a DEMUCS_PACK_GAPS-th of one between them
 *   shapes       x [frames][2] f32 in; stems [frames][stems][2] f32 out; those that are not wanted: 0
 *   errors       STATUS_ARGUMENT: they do not fit; STATUS_NOMEM; those of the bag. Stems are undefined then
 *   determinism  bitwise for the same signals in the same order
 *   accuracy     of one alone >= 110 dB against demucs_split; of several it depends on network and signals: the SNR
 *                against demucs_split is measured by who asks for it (wavemill separate --pack-check) */
#ifndef DEMUCS_PACK_H
#define DEMUCS_PACK_H
#include "demucs_bag.h"

/* A quarter of a second, of the 7.8 of the published networks. */
enum { DEMUCS_PACK_GAPS = 32 };

struct demucs_clip {
    const float *x;
    int64_t frames;
    float mean, deviation; /* of the mono mix; deviation unbiased */
    float *stems;
};

/* How many of them, from the first on, go into one segment: 0 when the first is longer than half of one. */
int demucs_pack_fit(const struct demucs_bag *b, const struct demucs_clip *clips, int count);

int demucs_pack_run(const struct demucs_bag *b, const struct demucs_clip *clips, int count) MUST_USE;

#endif
