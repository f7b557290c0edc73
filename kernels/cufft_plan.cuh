/* cufft_plan - transforms of real signals by cuFFT, for the sizes that fft.cuh does not cover: a plan in exec's cache.
 */
#ifndef CUFFT_PLAN_CUH
#define CUFFT_PLAN_CUH
#include "exec.h"

#include <cufft.h>

struct cufft_key { /* no padding: keys compare byte by byte */
    int64_t n, batch;
    int64_t type; /* CUFFT_R2C or CUFFT_C2R */
};

struct cufft_plan {
    cufftHandle handle;
};

extern "C" const struct plan_kind cufft_plan_kind; /* struct cufft_key; STATUS_NOMEM, STATUS_INTERNAL */

#endif
