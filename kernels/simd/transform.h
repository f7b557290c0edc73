/* transform - real Fourier transforms of LANES frames at once, one frame per lane. Room-internal.
 *
 *   equation     X[f] of stft.h for each lane l, from its frame of n samples and the plan's window
 *   shapes       frame[l] [n] f32, any alignment; spectrum [n/2 + 1][2] vectors, real then imaginary;
 *                power [n/2 + 1] vectors of re^2 + im^2; work transform_work_bytes(n), on 64 bytes
 *   method       half the size by packing neighbours into a complex number; Stockham passes of radix 8, 4, 2, 3, 5;
 *                the first reads and transposes the samples, the last takes the packed spectrum apart, so that the data
 *                crosses the cache once per pass. Twiddles are shared by all lanes. Odd sizes and those with another
 *                prime factor go through the double transform of fft.h, lane by lane
 *   not finite   bit l of the result is set when frame l holds a NaN or an infinity; its values are then undefined
 *   determinism  a lane's result does not depend on the other lanes
 *   accuracy     relative L2 of a frame <= 4e-7 */
#ifndef TRANSFORM_H
#define TRANSFORM_H
#include "fft.h"
#include "simd.h"
#include "stft.h"

struct transform_plan {
    int64_t n, half;
    int32_t passes;
    int32_t radix[FFT_PASSES_MOST];
    const float *window;                      /* [n] */
    const float *twiddle;                     /* of all passes but the last: [m][radix - 1][2] each */
    const float *split;                       /* [half/2 + 1][2]: exp(-2*pi*j*k/n) */
    const struct spectrum_plan *lane_by_lane; /* the double transform; NULL when the passes do */
};

size_t SIMD(transform_work_bytes)(int64_t n);

uint32_t SIMD(transform_spectrum)(const struct transform_plan *p, const float *const frame[LANES], vf *spectrum,
                                  void *work);
/* Frames of n samples, before the window, times half the size, from bins[l] [n/2 + 1][2]: frame [LANES][n]. */
void SIMD(transform_inverse)(const struct transform_plan *p, const float *const bins[LANES], float *frame, void *work);
uint32_t SIMD(transform_power)(const struct transform_plan *p, const float *const frame[LANES], vf *power, void *work);

#endif
