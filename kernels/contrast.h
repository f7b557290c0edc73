/* contrast - peaks and valleys of octave bands of each frame: output SPECTRAL_CONTRAST of spectral.h.
 *
 *   equation     bands k = 0 .. K, K = bands: [0, fmin], [fmin, 2*fmin] .. [2^(K-1)*fmin, 2^K*fmin]. A band above the
 *                first also has the bin before its first, the topmost all bins above it, and all but the topmost lose
 *                their last. Of the magnitudes of its bins in rising order, n = max(1, rint(quantile * bins before
 *                that loss)) at the end make the peak, n at the beginning the valley, both as 10*log10(max(1e-10,
 *                mean)). The contrast is their difference, after both were clipped 80 dB below the maximum over all
 *                frames and bands: contrast_finish, a second pass, since a piece cannot know that maximum
 *   shapes       y ragged [B][T_b][2*(K + 1)] f32: peaks [K + 1], then valleys [K + 1]; the rest as spectral.h
 *   units        dB
 *   limits       1 <= bands <= 32; fmin > 0; 0 < quantile < 1. A band whose lower edge is rate/2 or more, or that has
 *                no bin, is NaN (librosa refuses the call)
 *   accuracy     turned back into magnitudes, error <= 5e-7 of the norm of the frame's magnitudes plus 2e-6 of the
 *                value against oracle_contrast; asserted in test_spectral.c
 *   source       librosa 0.11 feature.spectral_contrast (fmin 200, 6 bands, quantile 0.02, linear False)
 */
#ifndef CONTRAST_H
#define CONTRAST_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

enum { CONTRAST_BANDS_MOST = 32 };

struct contrast_band {
    int64_t first, count; /* bins; count 0: no such band */
    int64_t take;         /* bins that make the peak, and the valley */
};

struct contrast_plan {
    int64_t bands; /* K + 1 */
    int64_t most;  /* bins of the largest */
    struct contrast_band band[CONTRAST_BANDS_MOST + 1];
};

struct contrast_key { /* no padding: keys compare byte by byte */
    int64_t n_fft;
    double rate_hz;
    int64_t bands;
    double fmin_hz, quantile;
};

size_t contrast_plan_bytes(const void *key);
int contrast_plan_init(void *plan, const void *key);
struct contrast_key contrast_key(const struct spectral_params *p);

int contrast_check(const struct spectral_params *p) MUST_USE;
void contrast_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

/* One frame of peaks and valleys [2*bands] -> contrast [bands], with the clips that the maxima over all frames give. */
static inline void contrast_finish(const float *edges, int64_t bands, float peak_floor_db, float valley_floor_db,
                                   float *out)
{
    for (int64_t k = 0; k < bands; k++) {
        const float peak = edges[k] < peak_floor_db ? peak_floor_db : edges[k];
        const float valley = edges[bands + k] < valley_floor_db ? valley_floor_db : edges[bands + k];
        out[k] = peak - valley;
    }
}

#ifdef __cplusplus
}
#endif
#endif
