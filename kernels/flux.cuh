/* flux - the CUDA twin of flux.h, for the kernels of the spectral row: each says where the frame before is to be found.
 */
#ifndef FLUX_CUH
#define FLUX_CUH
#include "spectral_measures.cuh"

/* A bin's part of the sum, from its energies in the two frames. */
static __device__ __forceinline__ float flux_part(float energy, float before)
{
    const float change = sqrtf(energy) - sqrtf(before);
    return change * change;
}

/* sum: over the bins, in every thread of the frame; not looked at for frame t = 0 of its row, which has none before.
 * bad: one of the two is not finite. */
static __device__ __forceinline__ float flux_of(const struct spectra *s, int64_t row, int64_t t, float sum, bool bad)
{
    if (t == 0)
        return bad || !piece_of(s->f.piece, row).first ? NAN : 0;
    return bad ? NAN : sqrtf(sum);
}

#endif
