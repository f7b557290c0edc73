/* device_math - vector types and the functions that CUDA has and <cmath> has not. */
#ifndef EMULATOR_DEVICE_MATH_H
#define EMULATOR_DEVICE_MATH_H
#include <cmath>
#include <cstdint>
#include <cstring>

struct alignas(8) float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

static inline float2 make_float2(float x, float y)
{
    return float2{x, y};
}

static inline float4 make_float4(float x, float y, float z, float w)
{
    return float4{x, y, z, w};
}

/* One access of 8 bytes, as the device makes it; plain assignment would be one per member here. */
typedef std::uint64_t emulator_bytes8 __attribute__((may_alias));

static inline float2 load2(const float *p)
{
    const emulator_bytes8 bits = *(const emulator_bytes8 *)p;
    float2 v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

static inline void store2(float *p, float2 v)
{
    emulator_bytes8 bits;
    std::memcpy(&bits, &v, sizeof bits);
    *(emulator_bytes8 *)p = bits;
}

typedef unsigned __int128 emulator_bytes16 __attribute__((may_alias));

static inline float4 load4(const float *p)
{
    const emulator_bytes16 bits = *(const emulator_bytes16 *)p;
    float4 v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

static inline void store4(float *p, float4 v)
{
    emulator_bytes16 bits;
    std::memcpy(&bits, &v, sizeof bits);
    *(emulator_bytes16 *)p = bits;
}

/* Blocks run one after the other and threads only switch where they wait; the build that counts takes them for neither
 * reads nor writes. */
static inline int atomicAdd(int *at, int value)
{
    return (int)__atomic_fetch_add((std::uint32_t *)at, (std::uint32_t)value, __ATOMIC_RELAXED);
}

static inline int atomicMax(int *at, int value)
{
    const int old = (int)__atomic_load_n((std::uint32_t *)at, __ATOMIC_RELAXED);
    if (value > old)
        __atomic_store_n((std::uint32_t *)at, (std::uint32_t)value, __ATOMIC_RELAXED);
    return old;
}

static inline float __ldg(const float *p)
{
    return *p;
}

static inline int __clz(unsigned x)
{
    return x ? __builtin_clz(x) : 32;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline float __int_as_float(int i)
{
    float f;
    std::memcpy(&f, &i, sizeof f);
    return f;
}

static inline int __float_as_int(float f)
{
    int i;
    std::memcpy(&i, &f, sizeof i);
    return i;
}

/* Rounded, and never joined with a sum: so is every product here. */
static inline double __dmul_rn(double a, double b)
{
    return a * b;
}

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

static inline int max(int a, int b)
{
    return a > b ? a : b;
}

#endif
