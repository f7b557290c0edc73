/* device_cuda - what the module's own files share of the device: CUDA's types are allowed here. */
#ifndef DEVICE_CUDA_H
#define DEVICE_CUDA_H
#include "device.h"

#include <cuda_runtime.h>

/* The host, as the module was given it. */
extern "C" const struct host_api *device_host;
extern "C" const struct device_api device_api_cuda;

/* STATUS_OK, or the status of an error with `what` in front of its message. */
int device_failed(cudaError_t e, const char *what);

/* The CUDA stream that the operations of ex run in; one launch more is counted. */
cudaStream_t device_launch_stream(const struct exec *ex);

/* What a launch has come to: STATUS_OK, or its failure with the operation's name in front. */
int device_launched(const char *op);

/* After cudaFuncSetAttribute for dynamic shared memory; STATUS_UNSUPPORTED where the device has less. */
int device_shared_allowed(const char *op, cudaError_t e);

/* Whether the build has code for a compute capability (10 * major + minor), and its targets' names. */
bool device_supported(int capability);
const char *device_targets(void);

#endif
