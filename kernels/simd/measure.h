/* measure - what the spectral row measures on LANES spectra at once. Room-internal; one function per output, its
 * equation is in the output's header. power and magnitude are [bins] vectors, one frame per lane. */
#ifndef MEASURE_H
#define MEASURE_H
#include "contrast.h"
#include "mel.h"
#include "poly.h"
#include "simd.h"
#include "spectral.h"

/* Sums run over blocks of this many bins, then over blocks: the error grows with the root of both. */
enum { BLOCK_BINS = 32 };

/* Sums over the bins of each spectrum. */
struct survey {
    vf weight; /* of magnitudes */
    vf norm;   /* the same, but 1 for silence */
    vf bin;    /* their mean bin */
    vf energy; /* of powers, none below 1e-10 */
    vf log2s;  /* of their logarithms */
};

struct measure {
    const struct spectral_params *p;
    const struct spectral_plans *plans;
    int64_t bins;
    const vf *power, *magnitude;
    struct survey survey; /* for centroid, bandwidth, rolloff and flatness */
};

/* v in decibels of power, exactly -100 for 1e-10 and below. */
INLINE vf vf_decibels(vf v)
{
    const vf least = vf_set(1e-10f), floored = vf_max(v, least);
    return vf_select(vf_less(least, floored), vf_log2(floored) * 3.01029995664f, vf_set(-100));
}

void SIMD(measure_power)(const struct measure *m, double power, vf *out); /* |X|^power [bins] */
void SIMD(measure_mel)(const struct measure *m, const vf *energy, vf *out);
struct survey SIMD(measure_survey)(const struct measure *m, vf *magnitude); /* writes the magnitudes [bins] */
vf SIMD(measure_centroid)(const struct measure *m);
vf SIMD(measure_bandwidth)(const struct measure *m);
vf SIMD(measure_rolloff)(const struct measure *m);
vf SIMD(measure_flatness)(const struct measure *m);
void SIMD(measure_contrast)(const struct measure *m, vf *out);
vf SIMD(measure_flux)(const struct measure *m, const float *previous); /* previous [bins]: the frame before lane 0 */
void SIMD(measure_poly)(const struct measure *m, vf *out);

#endif
