#include "limits.cuh"

#include <math.h>

enum { THREADS = 256, CHAINS = 8 };

int limits_failed(cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return STATUS_OK;
    return fail(e == cudaErrorMemoryAllocation ? STATUS_NOMEM : STATUS_DEVICE, "%s: %s", what, cudaGetErrorString(e));
}

int stopwatch_open(struct stopwatch *w)
{
    w->from = w->to = NULL;
    const int code = limits_failed(cudaEventCreateWithFlags(&w->from, cudaEventDefault), "event");
    return code ? code : limits_failed(cudaEventCreateWithFlags(&w->to, cudaEventDefault), "event");
}

void stopwatch_close(struct stopwatch *w)
{
    if (w->from)
        cudaEventDestroy(w->from);
    if (w->to)
        cudaEventDestroy(w->to);
}

int stopwatch_start(struct stopwatch *w, cudaStream_t stream)
{
    return limits_failed(cudaEventRecord(w->from, stream), "event");
}

int stopwatch_stop(struct stopwatch *w, cudaStream_t stream, double *seconds)
{
    float ms = 0;
    int code = limits_failed(cudaEventRecord(w->to, stream), "event");
    code = code ? code : limits_failed(cudaEventSynchronize(w->to), "baseline");
    code = code ? code : limits_failed(cudaEventElapsedTime(&ms, w->from, w->to), "event");
    *seconds = 1e-3 * ms;
    return code;
}

/* Chains that do not wait for each other, in registers. What is stored never happens, which the compiler cannot know.
 * occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, 8) flops_kernel(int turns, float x, float y, float *out)
{
    float a[CHAINS], sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        a[i] = (float)(threadIdx.x + (unsigned)i);
    for (int t = 0; t < turns; t++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            a[i] = fmaf(a[i], x, y);
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sum += a[i];
    if (sum == -1.0f)
        out[threadIdx.x] = sum;
}

struct measured { /* what both rates need */
    cudaStream_t stream;
    struct stopwatch watch;
    void *memory[2];
};

static int measured_open(struct measured *m, uint64_t bytes)
{
    m->stream = NULL;
    m->watch.from = m->watch.to = NULL;
    m->memory[0] = m->memory[1] = NULL;
    int code = limits_failed(cudaStreamCreateWithFlags(&m->stream, cudaStreamNonBlocking), "stream");
    code = code ? code : stopwatch_open(&m->watch);
    for (int i = 0; i < 2 && !code; i++) {
        code = limits_failed(cudaMalloc(&m->memory[i], bytes), "memory");
        code = code ? code : limits_failed(cudaMemsetAsync(m->memory[i], i, bytes, m->stream), "memory");
    }
    return code;
}

static void measured_close(struct measured *m)
{
    for (int i = 0; i < 2; i++)
        if (m->memory[i])
            cudaFree(m->memory[i]);
    stopwatch_close(&m->watch);
    if (m->stream)
        cudaStreamDestroy(m->stream);
}

/* The best of all rounds: it is a limit. The first one warms up. */
int limits_copy_rate(uint64_t bytes, int rounds, double *bytes_per_second)
{
    struct measured m;
    double best = INFINITY, seconds = 0;
    int code = measured_open(&m, bytes);
    for (int r = 0; r <= rounds && !code; r++) {
        code = stopwatch_start(&m.watch, m.stream);
        code = code
                   ? code
                   : limits_failed(cudaMemcpyAsync(m.memory[1], m.memory[0], bytes, cudaMemcpyDeviceToDevice, m.stream),
                                   "copy within the device");
        code = code ? code : stopwatch_stop(&m.watch, m.stream, &seconds);
        best = r > 0 && seconds < best ? seconds : best;
    }
    measured_close(&m);
    *bytes_per_second = 2 * (double)bytes / best;
    return code;
}

int limits_flop_rate(int blocks, int turns, int rounds, double *flops_per_second)
{
    struct measured m;
    double best = INFINITY, seconds = 0;
    int code = measured_open(&m, THREADS * sizeof(float));
    for (int r = 0; r <= rounds && !code; r++) {
        code = stopwatch_start(&m.watch, m.stream);
        LAUNCH(flops_kernel, (unsigned)blocks, THREADS, 0, m.stream, turns, 0.999f, 0.001f, (float *)m.memory[0]);
        code = code ? code : limits_failed(cudaGetLastError(), "multiply-adds");
        code = code ? code : stopwatch_stop(&m.watch, m.stream, &seconds);
        best = r > 0 && seconds < best ? seconds : best;
    }
    measured_close(&m);
    *flops_per_second = 2 * (double)(CHAINS * THREADS) * blocks * turns / best;
    return code;
}
