/* poly - the CUDA twin of poly.h, for the kernels of the spectral row. */
#ifndef POLY_CUH
#define POLY_CUH
#include "poly.h"
#include "spectral_measures.cuh"

/* Dot products with the basis, by the T threads of each of the block's frames: into dots [frames of the block][terms].
 * All threads of the block take part. Those of a frame that is not finite are NaN. */
static __device__ __forceinline__ void poly_dots(const struct spectra *s, const struct measured *m, const int T,
                                                 bool bad, float *dots)
{
    for (int i = 0; i < s->poly_terms; i++) {
        const float *const basis = s->poly_basis + (int64_t)i * m->bins;
        float sum = 0;
        for (int k = m->j; k < m->bins; k += T)
            sum += basis[k] * sqrtf(m->energies[k]);
        sum = frame_sum(T, sum, m->scratch);
        if (m->j == 0)
            dots[(int)threadIdx.x / T * s->poly_terms + i] = bad ? NAN : sum;
    }
    __syncthreads();
}

/* The coefficients of frames [first, count) of the block, y those of its frame 0; in double, since the powers of Hz lie
 * far apart. */
static __device__ __forceinline__ void poly_write(const struct spectra *s, const float *dots, int first, int count,
                                                  float *y)
{
    const int terms = s->poly_terms;
    for (int at = first * terms + (int)threadIdx.x; at < count * terms; at += (int)blockDim.x) {
        const float *const dot = dots + at / terms * terms;
        const double *const power = s->poly_powers + at % terms * terms;
        double sum = 0;
        for (int j = 0; j < terms; j++)
            sum += power[j] * (double)dot[j];
        y[at] = (float)sum;
    }
}

#endif
