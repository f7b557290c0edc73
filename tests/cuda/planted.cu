/* planted TOOL [right] - one error for each check of compute-sanitizer, or the same kernel without it: tools/gpu-check
 * believes a check only where it tells the two apart. A program of its own, since an error may cost it the device. */
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>

enum { THREADS = 64 };

static __global__ void memcheck_kernel(bool wrong, const float *, float *y)
{
    y[threadIdx.x + (wrong ? THREADS : 0)] = 1;
}

static __global__ void racecheck_kernel(bool wrong, const float *, float *y)
{
    __shared__ float tile[THREADS];
    tile[threadIdx.x] = (float)threadIdx.x;
    if (!wrong)
        __syncthreads();
    y[threadIdx.x] = tile[(threadIdx.x + 32) % THREADS];
}

/* x has been written in its first half only. */
static __global__ void initcheck_kernel(bool wrong, const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x + (wrong ? THREADS : 0)];
}

/* Half a warp waits where the other half does not come by. */
static __global__ void synccheck_kernel(bool wrong, const float *, float *y)
{
    if (!wrong || threadIdx.x % 32 < 16)
        __syncthreads();
    y[threadIdx.x] = 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *tool;
        void (*kernel)(bool, const float *, float *);
    } kernels[] = {{"memcheck", memcheck_kernel},
                   {"racecheck", racecheck_kernel},
                   {"initcheck", initcheck_kernel},
                   {"synccheck", synccheck_kernel}};
    const bool wrong = argc < 3 || std::strcmp(argv[2], "right") != 0;
    float *x = nullptr, *y = nullptr;
    cudaError_t e = cudaMalloc(&x, 2 * THREADS * sizeof *x);
    e = e ? e : cudaMalloc(&y, THREADS * sizeof *y);
    e = e ? e : cudaMemset(x, 0, THREADS * sizeof *x);
    for (const auto &k : kernels)
        if (argc > 1 && std::strcmp(argv[1], k.tool) == 0 && !e) {
            k.kernel<<<1, THREADS>>>(wrong, x, y);
            e = cudaDeviceSynchronize();
        }
    cudaFree(x);
    cudaFree(y);
    if (e)
        std::fprintf(stderr, "planted: %s\n", cudaGetErrorString(e));
    return e ? 1 : 0;
}
