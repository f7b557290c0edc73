/* device - what the .cu files share: launches, shared memory, wide accesses, asynchronous copies, reductions, the row
 * of a frame, plans in device memory, errors. Everything that the emulator has to do differently has its name here. */
#ifndef DEVICE_CUH
#define DEVICE_CUH
#include "arena.h"
#include "device_cuda.h"
#include "exec.h"
#include "ragged.h"
#include "status.h"

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __CUDACC__
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define SHARED(type, name, count) __shared__ type name[count]
#define SHARED_DYNAMIC(type, name) extern __shared__ __align__(16) type name[]

static __device__ inline float2 load2(const float *p)
{
    return *(const float2 *)p;
}

static __device__ inline void store2(float *p, float2 v)
{
    *(float2 *)p = v;
}

static __device__ inline float4 load4(const float *p)
{
    return *(const float4 *)p;
}

static __device__ inline void store4(float *p, float4 v)
{
    *(float4 *)p = v;
}

/* 4, 8 or 16 bytes, a constant, aligned to as many, from device to shared memory without registers in between: there
 * when the thread has waited for their group. Targets before sm_80 copy at once. */
static __device__ inline void copy_async(void *shared, const void *global, const int bytes)
{
#if __CUDA_ARCH__ >= 800
    const unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    if (bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(global) : "memory");
    else if (bytes == 8)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8;\n" ::"r"(to), "l"(global) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(to), "l"(global) : "memory");
#else
    for (int i = 0; i < bytes; i += 4)
        *(float *)((char *)shared + i) = *(const float *)((const char *)global + i);
#endif
}

/* Ends a group of copies. */
static __device__ inline void copy_async_commit(void)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

/* Tensor cores, a warp together: c [16][8] += a [16][K] b [K][8], in the fragments of PTX's mma.sync m16n8k8 (tf32)
 * and m16n8k16 (bf16). From sm_80 on; the host asks device_has_mma() before it launches what calls them. */
static __device__ __forceinline__ void mma_tf32(float c[4], const unsigned a[4], const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
}

static __device__ __forceinline__ void mma_bf16(float c[4], const unsigned a[4], const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
}

/* Rounded to 10 bits of mantissa, halves away from zero. */
static __device__ __forceinline__ unsigned tf32_of(float x)
{
    unsigned bits = 0;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
#endif
    return bits;
}

/* Two of 7 bits of mantissa, halves to even, `low` in the lower half. */
static __device__ __forceinline__ unsigned bf16_pair(float low, float high)
{
    unsigned bits = 0;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(bits) : "f"(high), "f"(low));
#endif
    return bits;
}

/* Waits until at most groups_left of the latest groups are on their way. A macro: the instruction wants a constant. */
#if __CUDA_ARCH__ >= 800
#define copy_async_wait(groups_left) asm volatile("cp.async.wait_group %0;\n" ::"n"(groups_left) : "memory")
#else
#define copy_async_wait(groups_left) ((void)(groups_left))
#endif
#endif

/* Blocks per multiprocessor to ask registers for: as many as wished, or as many threads as the target holds. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define DEVICE_THREADS 1024
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ > 800 && __CUDA_ARCH__ < 900
#define DEVICE_THREADS 1536
#else
#define DEVICE_THREADS 2048
#endif
#define DEVICE_BLOCKS(threads, wished) ((wished) * (threads) <= DEVICE_THREADS ? (wished) : DEVICE_THREADS / (threads))

/* Loads stay on their side of this line. */
#define DEVICE_KEEP_ORDER() asm volatile("" ::: "memory")

/* threadIdx.x, as if it changed from one round of a loop to the next: addresses that follow from it are computed anew
 * in each, where the compiler would keep them all in registers. */
static __device__ __forceinline__ unsigned device_thread_anew(void)
{
    unsigned thread = threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}

/* Lets a kernel have that much dynamic shared memory; STATUS_UNSUPPORTED where the device has less. */
#define device_allow_shared(op, kernel, bytes) \
    device_shared_allowed(op, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes)))

/* STATUS_UNSUPPORTED where the device has no tensor cores for TF32 and bfloat16. */
static inline int device_has_mma(const char *op)
{
    int device = 0, major = 0;
    const cudaError_t found = cudaGetDevice(&device);
    const cudaError_t e = found ? found : cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (e != cudaSuccess)
        return device_failed(e, op);
    return major >= 8 ? (int)STATUS_OK : fail(STATUS_UNSUPPORTED, "%s: this GPU multiplies in f32 alone", op);
}

/* How every plan in device memory begins. The rest is reached by offsets from the plan's own address. */
struct device_plan {
    const void *device; /* where its copy lies; set by exec_plan */
};

/* The row that element i belongs to: the last one whose offset is <= i. Empty rows are never returned. */
static __device__ inline int64_t row_of(const int64_t *offset, int64_t rows, int64_t i)
{
    int64_t lo = 0, hi = rows;
    while (hi - lo > 1) {
        const int64_t mid = (lo + hi) / 2;
        if (offset[mid] <= i)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Sample i of a mono signal, full scale 1: f32 as it is, 16 bits, or 24 packed into three bytes. */
static __device__ inline float sample_of(const void *x, int dtype, int64_t i)
{
    if (dtype == DTYPE_I16)
        return (float)((const int16_t *)x)[i] * (1.0f / 32768);
    if (dtype == DTYPE_I24) {
        const unsigned char *const p = (const unsigned char *)x + 3 * i;
        const int high = (int)(signed char)p[2];
        return (float)(high * 65536 + (int)p[1] * 256 + (int)p[0]) * (1.0f / 8388608);
    }
    return ((const float *)x)[i];
}

/* Sum over the 32 lanes of a full warp; every lane gets the result. */
static __device__ inline float warp_sum(float v)
{
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

static __device__ inline int warp_max(int v)
{
    for (int d = 16; d > 0; d /= 2) {
        const int other = __shfl_xor_sync(0xffffffffu, v, d);
        v = other > v ? other : v;
    }
    return v;
}

#endif
