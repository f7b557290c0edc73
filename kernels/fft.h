/* fft - discrete Fourier transform of one real frame, in double, for every size. Room-internal; the CPU twins use it.
 *
 *   equation     out[f] = sum_{i<n} in[i] * exp(-2*pi*j*f*i/n) for f = 0 .. n/2 (rounded down); no scaling
 *   method       even n: one complex transform of n/2; odd n: one of n. Sizes made of 2, 3 and 5: Stockham passes of
 *                radix 4, 2, 3, 5. Others: Bluestein's convolution through a power of two
 *   shapes       in [n] f64; out [n/2 + 1]; work fft_work_bytes(n), 64-byte aligned; none overlap
 *   limits       2 <= n <= 65536
 *   ownership    the caller owns plan and work; a plan holds pointers into itself and must stay where it was made
 *   errors       fft_plan_init: STATUS_ARGUMENT for other n
 *   determinism  bitwise
 *   accuracy     relative L2 <= 1e-13 against oracle_dft in long double; asserted in test_fft.c
 *   source       Stockham autosort as in Van Loan, Computational Frameworks for the FFT, 1.7; Bluestein 1970 */
#ifndef FFT_H
#define FFT_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct fft_complex {
    double re, im;
};

enum { FFT_LEAST = 2, FFT_MOST = 65536, FFT_PASSES_MOST = 17 };

/* A complex transform of a size made of 2, 3 and 5. */
struct fft_passes {
    int64_t n;
    int32_t count;
    int32_t radix[FFT_PASSES_MOST];
    struct fft_complex *twiddle; /* n - 1 at most: pass after pass, (radix - 1) for each p < n_pass / radix */
};

struct fft_plan {
    int64_t n;                  /* of the real input */
    int64_t half;               /* size of the complex transform: n/2 for even n, n for odd n */
    struct fft_passes passes;   /* of size half, or of Bluestein's convolution */
    struct fft_complex *split;  /* [half/2 + 1] exp(-2*pi*j*k/n), even n only */
    struct fft_complex *chirp;  /* [half] exp(-pi*j*k^2/half), Bluestein only, else NULL */
    struct fft_complex *filter; /* [passes.n] transform of the conjugate chirp, divided by passes.n */
};

size_t fft_plan_bytes(int64_t n);
int fft_plan_init(void *plan, int64_t n) MUST_USE;
size_t fft_work_bytes(int64_t n);
void fft_real_forward(const struct fft_plan *plan, const double *in, struct fft_complex *out, void *work);

/* out[i] = sum_{f<n} X[f] * exp(2*pi*j*f*i/n) with X[n-f] = conj(X[f]), from in [n/2 + 1]: n times what was
 * transformed. The imaginary parts of X[0] and, for even n, X[n/2] are not looked at. */
void fft_real_inverse(const struct fft_plan *plan, const struct fft_complex *in, double *out, void *work);

#ifdef __cplusplus
}
#endif
#endif
