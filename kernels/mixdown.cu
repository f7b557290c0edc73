/* mixdown on CUDA, in the order of numpy's sum. Up to seven channels are one chain: a thread per sample. From eight on
 * there are eight chains: eight lanes per sample, which read eight neighbours at a time. Bound by memory. */
#include "mixdown.h"

#include "device.cuh"

enum { THREADS = 256, CHAINS = 8 };

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    mixdown_few(const float *x, int channels, int64_t samples, float *y)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= samples)
        return;
    const float *const v = x + i * channels;
    float sum = 0;
    for (int c = 0; c < channels; c++)
        sum += v[c];
    y[i] = channels == 1 ? v[0] : sum / (float)channels;
}

/* Up to 128 values: the chains, then what is left over. All lanes of the sample get the sum. */
static __device__ inline float sum_of_1(const float *v, int n, int lane)
{
    float sum = v[lane];
    int i = CHAINS;
    for (; i < n - n % CHAINS; i += CHAINS)
        sum += v[i + lane];
    for (int d = 1; d < CHAINS; d *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, d);
    for (; i < n; i++)
        sum += v[i];
    return sum;
}

/* Halves, as deep as 1024 values can need: 1024, 519, 267, 141, below 128. */
#define HALVES(name, deeper) \
    static __device__ inline float name(const float *v, int n, int lane) \
    { \
        const int half = n / 2 / CHAINS * CHAINS; \
        if (n <= 128) \
            return sum_of_1(v, n, lane); \
        return deeper(v, half, lane) + deeper(v + half, n - half, lane); \
    }
HALVES(sum_of_2, sum_of_1)
HALVES(sum_of_4, sum_of_2)
HALVES(sum_of_8, sum_of_4)
HALVES(sum_of_16, sum_of_8)

static unsigned blocks_of(int64_t samples, int64_t per_block)
{
    return (unsigned)((samples + per_block - 1) / per_block);
}

/* occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 8))
    mixdown_many(const float *x, int channels, int64_t samples, float *y)
{
    const int64_t i = (int64_t)blockIdx.x * (THREADS / CHAINS) + threadIdx.x / CHAINS;
    const int lane = (int)threadIdx.x % CHAINS;
    const int64_t read = i < samples ? i : samples - 1; /* all lanes take part in the shuffles */
    const float sum = 0.0f + sum_of_16(x + read * channels, channels, lane);
    if (lane == 0 && i < samples)
        y[i] = sum / (float)channels;
}

extern "C" int mixdown_cuda(struct exec *ex, const struct ragged *x, struct ragged *y)
{
    const cudaStream_t stream = device_launch_stream(ex);
    const float *const in = (const float *)x->data;
    if (x->total == 0)
        return STATUS_OK;
    if (x->channels < CHAINS)
        LAUNCH(mixdown_few, blocks_of(x->total, THREADS), THREADS, 0, stream, in, (int)x->channels, x->total,
               (float *)y->data);
    else
        LAUNCH(mixdown_many, blocks_of(x->total, THREADS / CHAINS), THREADS, 0, stream, in, (int)x->channels, x->total,
               (float *)y->data);
    return device_launched("mixdown");
}
