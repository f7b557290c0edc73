/* simd - vectors of LANES floats, the same names for every instruction set. Room-internal.
 *
 * Every .c file of this folder is compiled once per instruction set, with SIMD_AVX2 or SIMD_AVX512 defined and the
 * compiler told that it may use it; ops_cpu() picks a table at run time. What such a file exports is named
 * SIMD(name): name_avx2, name_avx512. Arithmetic operators work on vf directly; here is what has no operator. */
#ifndef SIMD_H
#define SIMD_H
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(SIMD_AVX512)
#include "simd_avx512.h"
#elif defined(SIMD_AVX2)
#include "simd_avx2.h"
#else
#error "compile this folder with SIMD_AVX2 or SIMD_AVX512"
#endif

typedef vf vf_unaligned __attribute__((aligned(4)));

INLINE vf vf_load(const float *p)
{
    return *(const vf_unaligned *)p;
}

INLINE void vf_store(float *p, vf v)
{
    *(vf_unaligned *)p = v;
}

/* Copies n floats past the caches. */
INLINE void vf_stream(float *to, const float *from, int64_t n)
{
    int64_t i = (int64_t)(-(uintptr_t)to / sizeof(float) % LANES);
    i = i < n ? i : n;
    memcpy(to, from, (size_t)i * sizeof *to);
    for (; i + LANES <= n; i += LANES)
        vf_store_streaming(to + i, vf_load(from + i));
    memcpy(to + i, from + i, (size_t)(n - i) * sizeof *to);
}

/* After the last of them, before another thread may read. */
INLINE void vf_stream_end(void)
{
    _mm_sfence();
}

/* Sum over the lanes, always in the same order. */
INLINE float vf_total(vf v)
{
    float all[LANES];
    vf_store(all, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            all[i] += all[i + half];
    return all[0];
}

INLINE double vd_total(vd v)
{
    double sum = 0;
    for (int i = 0; i < LANES / 2; i++)
        sum += v[i];
    return sum;
}

/* log2(v) for normal positive v, to about 1e-7 + 1e-7*|log2(v)|: v = 2^e * m with m in [sqrt(1/2), sqrt(2)), and
 * log2(m) from the series of atanh((m - 1)/(m + 1)), cut where the next term is below 1e-9. */
INLINE vf vf_log2(vf v)
{
    const vi bits = (vi)v - 0x3f3504f3; /* of sqrt(1/2) */
    const vi exponent = bits >> 23;
    const vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
    const vf z = (m - 1) / (m + 1), z2 = z * z;
    vf series = z2 * 0.22222222f + 0.28571429f; /* 2/9, 2/7 */
    series = series * z2 + 0.4f;
    series = series * z2 + 0.66666667f;
    const vf ln = z * (z2 * series) + z * 2;
    return ln * 1.44269504f + vf_of_int(exponent);
}

#endif
