/* istft - what both of its CUDA ways share: the kernels' parameters, and the division by the windows' squares. */
#ifndef ISTFT_CUH
#define ISTFT_CUH
#include "istft.h"
#include "spectral.cuh"
#include "tiles.cuh"

#include <float.h>

struct inverse {
    const float *x;
    float *y;
    const int64_t *x_offset, *y_offset;
    int64_t rows, n, hop, pad;
    const float *window, *twiddle, *split;
};

/* The first frame that reaches place `at` or lies behind it; places count from the first frame's beginning. */
static __host__ __device__ inline int64_t frame_reaching(int64_t at, int64_t n, int64_t hop)
{
    return at < n ? 0 : (at - n) / hop + 1;
}

/* The sum of frames at a place, over the sum of their squared windows: added with what the additions lose, since a
 * short hop has thousands. */
static __device__ inline float divided(const struct inverse *s, float sum, int64_t at, int64_t frames)
{
    const int64_t last = at / s->hop < frames - 1 ? at / s->hop : frames - 1;
    float norm = 0, rest = 0;
    for (int64_t t = frame_reaching(at, s->n, s->hop); t <= last; t++) {
        const float w = s->window[at - t * s->hop], square = w * w;
        const float more = norm + square, taken = more - norm;
        rest += (norm - (more - taken)) + (square - taken);
        norm = more;
    }
    norm += rest;
    return norm > FLT_MIN ? sum / norm : sum;
}

int istft_by_cufft(struct exec *ex, const struct inverse *s, const struct ragged *x, const struct ragged *y);
size_t istft_cufft_work_bytes(int64_t n);

#endif
