/* limits - what the device can do at best, for the shares that are printed; and timing by events. */
#ifndef LIMITS_CUH
#define LIMITS_CUH
#include "device.cuh"

/* Two events around work in a stream. */
struct stopwatch {
    cudaEvent_t from, to;
};

int stopwatch_open(struct stopwatch *w);
void stopwatch_close(struct stopwatch *w);
int stopwatch_start(struct stopwatch *w, cudaStream_t stream);
int stopwatch_stop(struct stopwatch *w, cudaStream_t stream, double *seconds); /* waits */

int limits_copy_rate(uint64_t bytes, int rounds, double *bytes_per_second);
int limits_flop_rate(int blocks, int turns, int rounds, double *flops_per_second);

/* STATUS_OK, or STATUS_DEVICE with CUDA's words: the library has no device_api, so no finer classes. */
int limits_failed(cudaError_t e, const char *what);

#endif
