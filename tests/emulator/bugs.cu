/* Planted bugs: one kernel per mistake that the emulator must catch, each also in its right form, which must pass. */
#include "bugs.h"

#include "cuda_runtime.h"

/* The neighbour's value, through shared memory. */
static __global__ void missing_barrier_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64);
    tile[threadIdx.x] = (float)threadIdx.x;
    if (!bug)
        __syncthreads();
    y[threadIdx.x] = tile[(threadIdx.x + 32) % 64];
}

static __global__ void divergent_barrier_kernel(bool bug, float *y)
{
    if (bug && threadIdx.x < 32) {
        y[threadIdx.x] = 1;
        __syncthreads();
    } else {
        y[threadIdx.x] = 2;
        __syncthreads();
    }
}

static __global__ void exited_before_barrier_kernel(bool bug, float *y)
{
    if (bug && threadIdx.x == 63)
        return;
    __syncthreads();
    y[threadIdx.x] = 1;
}

static __global__ void divergent_collective_kernel(bool bug, float *y)
{
    float v = (float)threadIdx.x;
    if (bug && threadIdx.x % 2)
        v += __shfl_xor_sync(0xffffffffu, v, 2);
    else
        v += __shfl_xor_sync(0xffffffffu, v, 1);
    y[threadIdx.x] = v;
}

static __global__ void partial_collective_kernel(bool bug, float *y)
{
    const unsigned mask = bug ? 0xffffffffu : 0xffffu;
    float v = 1;
    if (threadIdx.x < 16)
        v = __shfl_down_sync(mask, v, 1, 16);
    __syncthreads();
    y[threadIdx.x] = v;
}

static __global__ void exited_lane_kernel(bool bug, float *y)
{
    if (bug && threadIdx.x == 5)
        return;
    const unsigned votes = __ballot_sync(0xffffffffu, threadIdx.x > 3);
    y[threadIdx.x] = (float)votes;
}

static __global__ void unnamed_lane_kernel(bool bug, float *y)
{
    y[threadIdx.x] = (float)__any_sync(bug ? 0xfffffffeu : 0xffffffffu, threadIdx.x == 0);
}

static __global__ void inactive_source_kernel(bool bug, float *y)
{
    float v = (float)threadIdx.x;
    if (threadIdx.x < 16)
        v = __shfl_sync(0xffffu, v, bug ? 20 : 7);
    y[threadIdx.x] = v;
}

static __global__ void unwritten_shared_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64);
    if (!bug || threadIdx.x != 9)
        tile[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

static __global__ void past_shared_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64);
    tile[threadIdx.x + (bug ? 1 : 0)] = 1;
    y[threadIdx.x] = 1;
}

static __global__ void past_global_kernel(bool bug, float *y)
{
    y[threadIdx.x + (bug ? 1 : 0)] = 1;
}

static __global__ void read_past_global_kernel(bool bug, const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x + (bug ? 1 : 0)];
}

static __global__ void missing_wait_kernel(bool bug, const float *x, float *y)
{
    SHARED(float, tile, 64);
    copy_async(&tile[threadIdx.x], &x[threadIdx.x], 4);
    copy_async_commit();
    if (!bug)
        copy_async_wait(0);
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
    copy_async_wait(0);
}

static __global__ void warp_race_kernel(bool bug, float *y)
{
    SHARED(float, total, 2);
    if (threadIdx.x % 32 == 0)
        total[bug ? 0 : threadIdx.x / 32] = (float)threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = total[bug ? 0 : threadIdx.x / 32];
}

/* Lanes of one warp run in any order as well. */
static __global__ void lane_race_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64);
    tile[threadIdx.x] = (float)threadIdx.x;
    if (!bug)
        __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

static __global__ void read_then_write_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64);
    tile[threadIdx.x] = 1;
    __syncthreads();
    const float v = tile[63 - threadIdx.x];
    if (!bug)
        __syncthreads();
    tile[threadIdx.x] = v + 1;
    y[threadIdx.x] = v;
}

static __global__ void misaligned_kernel(bool bug, const float *x, float *y)
{
    const float2 v = load2(x + (bug ? 1 : 0));
    y[threadIdx.x] = v.x + v.y;
}

static __global__ void uncoalesced_kernel(bool bug, const float *x, float *y)
{
    y[threadIdx.x] = x[bug ? threadIdx.x % 32 * 33 : threadIdx.x];
}

static __global__ void bank_conflict_kernel(bool bug, float *y)
{
    SHARED(float, tile, 64 * 33);
    tile[threadIdx.x * (bug ? 32 : 33)] = 1;
    y[threadIdx.x] = 1;
}

enum { THREADS = 64, X_FLOATS = 2048 };

static bool launch(const char *name, bool bug, unsigned threads, cudaStream_t stream, const float *x,
                   const float *x_exact, float *y)
{
    const struct {
        const char *name;
        int takes; /* 0: y, 1: x and y */
        void (*writes)(bool, float *);
        void (*reads)(bool, const float *, float *);
    } kernels[] = {
        {"missing_barrier", 0, missing_barrier_kernel, nullptr},
        {"divergent_barrier", 0, divergent_barrier_kernel, nullptr},
        {"exited_before_barrier", 0, exited_before_barrier_kernel, nullptr},
        {"divergent_collective", 0, divergent_collective_kernel, nullptr},
        {"partial_collective", 0, partial_collective_kernel, nullptr},
        {"exited_lane", 0, exited_lane_kernel, nullptr},
        {"unnamed_lane", 0, unnamed_lane_kernel, nullptr},
        {"inactive_source", 0, inactive_source_kernel, nullptr},
        {"unwritten_shared", 0, unwritten_shared_kernel, nullptr},
        {"past_shared", 0, past_shared_kernel, nullptr},
        {"past_global", 0, past_global_kernel, nullptr},
        {"read_past_global", 2, nullptr, read_past_global_kernel},
        {"missing_wait", 1, nullptr, missing_wait_kernel},
        {"warp_race", 0, warp_race_kernel, nullptr},
        {"lane_race", 0, lane_race_kernel, nullptr},
        {"read_then_write", 0, read_then_write_kernel, nullptr},
        {"misaligned", 1, nullptr, misaligned_kernel},
        {"uncoalesced", 1, nullptr, uncoalesced_kernel},
        {"bank_conflict", 0, bank_conflict_kernel, nullptr},
    };
    for (const auto &k : kernels)
        if (std::strcmp(k.name, name) == 0) {
            if (k.takes)
                emulator_launch_kernel(name, k.reads, 1, threads, 0, stream, bug, k.takes == 2 ? x_exact : x, y);
            else
                emulator_launch_kernel(name, k.writes, 1, threads, 0, stream, bug, y);
            return true;
        }
    return false;
}

bool bug_run(const char *name, bool bug)
{
    cudaStream_t stream = nullptr;
    float *x = nullptr, *x_exact = nullptr, *y = nullptr;
    const unsigned threads = std::strcmp(name, "exited_lane") && std::strcmp(name, "unnamed_lane") ? THREADS : 32;
    bool known =
        cudaStreamCreateWithFlags(&stream, 0) == cudaSuccess && cudaMalloc(&x, X_FLOATS * sizeof *x) == cudaSuccess &&
        cudaMalloc(&x_exact, threads * sizeof *x) == cudaSuccess && cudaMalloc(&y, threads * sizeof *y) == cudaSuccess;
    cudaMemsetAsync(x, 0, X_FLOATS * sizeof *x, stream);
    cudaMemsetAsync(x_exact, 0, threads * sizeof *x, stream);
    known = known && launch(name, bug, threads, stream, x, x_exact, y) && cudaStreamSynchronize(stream) == cudaSuccess;
    cudaFree(x);
    cudaFree(x_exact);
    cudaFree(y);
    cudaStreamDestroy(stream);
    return known;
}
