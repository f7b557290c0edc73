/* poly - the polynomial that fits each frame's magnitudes best: output SPECTRAL_POLY of spectral.h.
 *
 *   equation     y[t] = the coefficients c of sum_i c[i] * f_hz^(order - i) for which the sum over f of squared
 *                differences to |X[t,f]| is least; the highest power first. By dot products with polynomials that are
 *                orthonormal on the bins, turned into powers of Hz at the end
 *   shapes       y ragged [B][T_b][order + 1] f32; the rest as spectral.h
 *   units        of |X| per Hz^(order - i)
 *   limits       0 <= order <= 8, order < F; 0 < rate <= 1e9
 *   accuracy     each coefficient's error <= 1e-5 of its scale against oracle_poly, its scale being the norm of the
 *                magnitudes times that of its row of the pseudoinverse, or 2^-126 where that is more; asserted in
 *                test_spectral.c
 *   source       librosa 0.11 feature.poly_features, numpy.polyfit
 */
#ifndef POLY_H
#define POLY_H
#include "spectral.h"
#ifdef __cplusplus
extern "C" {
#endif

struct spectral_frame;

enum { POLY_ORDER_MOST = 8 };

struct poly_plan {
    int64_t order, bins;
    const float *basis;                                           /* [order + 1][bins] orthonormal polynomials */
    double powers[(POLY_ORDER_MOST + 1) * (POLY_ORDER_MOST + 1)]; /* [i][j]: of basis j in coefficient i */
};

struct poly_key { /* no padding: keys compare byte by byte */
    int64_t n_fft;
    double rate_hz;
    int64_t order;
};

size_t poly_plan_bytes(const void *key);
int poly_plan_init(void *plan, const void *key);

int poly_check(const struct spectral_params *p) MUST_USE;
void poly_frame(const struct spectral_frame *f, float *out); /* scalar twin, one frame */

/* The coefficients from the dot products with the basis; the CPU's twins. */
void poly_finish(const struct poly_plan *plan, const double *dots, float *out);

#ifdef __cplusplus
}
#endif
#endif
