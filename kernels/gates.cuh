/* gates - the activations of the networks, for the device. */
#ifndef GATES_CUH
#define GATES_CUH
#include "device.cuh"

/* The small side is never a difference, so that its relative error is small too. */
static __device__ __forceinline__ float gate_gelu(float u)
{
    return 0.5f * u * erfcf(-0.70710678f * u);
}

static __device__ __forceinline__ float gate_sigmoid(float u)
{
    return 1.0f / (1.0f + expf(-u));
}

#endif
