/* cufft - the calls of cuFFT that Wavemill makes, in double precision on the host. */
#ifndef EMULATOR_CUFFT_H
#define EMULATOR_CUFFT_H
#include "cuda_runtime.h"

enum cufftResult { CUFFT_SUCCESS = 0, CUFFT_INVALID_PLAN = 1, CUFFT_ALLOC_FAILED = 2, CUFFT_INVALID_SIZE = 8 };
enum cufftType { CUFFT_R2C = 0x2a, CUFFT_C2R = 0x2c };
typedef int cufftHandle;
typedef float2 cufftComplex;

cufftResult cufftPlan1d(cufftHandle *out, int n, cufftType type, int batch);
cufftResult cufftDestroy(cufftHandle handle);
cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream);
cufftResult cufftExecR2C(cufftHandle handle, float *in, cufftComplex *out);
cufftResult cufftExecC2R(cufftHandle handle, cufftComplex *in, float *out); /* and spoils its input */

#endif
