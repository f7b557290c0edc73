/* maps.cuh - what kernels on maps share: rows by their number, four values at once where addresses allow, units of work
 * that no grid is too small for. Views go to kernels by value. */
#ifndef MAPS_CUH
#define MAPS_CUH
#include "device.cuh"
#include "maps.h"

/* Blocks for so many units: a block goes on in steps of gridDim.x where they are more than a grid holds. */
static inline unsigned device_grid(int64_t units)
{
    return (unsigned)(units < INT32_MAX ? units : INT32_MAX);
}

/* n / by, the remainder in *rest; 64 bits only where they are needed, which is nowhere in practice. */
static __device__ inline int64_t divided(int64_t n, int64_t by, int64_t *rest)
{
    if (((uint64_t)n | (uint64_t)by) >> 32 == 0) {
        const unsigned whole = (unsigned)n / (unsigned)by;
        *rest = (unsigned)n - whole * (unsigned)by;
        return whole;
    }
    *rest = n % by;
    return n / by;
}

/* Whether every fourth float of each row lies on `bytes`. */
static inline bool floats_on(const void *data, int64_t item_stride, int64_t row_stride, int64_t bytes)
{
    const int64_t floats = bytes / (int64_t)sizeof(float);
    return (uintptr_t)data % (uintptr_t)bytes == 0 && item_stride % floats == 0 && row_stride % floats == 0;
}

static inline bool maps_wide(const struct maps *m)
{
    return floats_on(m->data, m->item_stride, m->row_stride, 16);
}

/* The first `count` of four neighbours, zeros behind them. */
static __device__ inline float4 load_part4(const float *p, int64_t count, bool wide)
{
    if (wide && count >= 4)
        return load4(p);
    return make_float4(count > 0 ? p[0] : 0, count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, count > 3 ? p[3] : 0);
}

static __device__ inline void store_part4(float *p, float4 v, int64_t count, bool wide)
{
    if (wide && count >= 4) {
        store4(p, v);
        return;
    }
    if (count > 0)
        p[0] = v.x;
    if (count > 1)
        p[1] = v.y;
    if (count > 2)
        p[2] = v.z;
    if (count > 3)
        p[3] = v.w;
}

/* What a float does not hold of a mean in double, so that differences from both are exact enough. */
struct split {
    float high, low;
};

static __device__ inline struct split split_of(double v)
{
    struct split s;
    s.high = (float)v;
    s.low = (float)(v - (double)s.high);
    return s;
}

#endif
