/* simd_avx2 - the vectors of simd.h for AVX2 and FMA: 8 lanes, 16 registers. */
#ifndef SIMD_AVX2_H
#define SIMD_AVX2_H

enum { LANES = 8 };
#define SIMD(name) name##_avx2

typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));
typedef uint32_t vu __attribute__((vector_size(32))); /* wraps around */
typedef double vd __attribute__((vector_size(32)));
typedef vf vmask; /* all bits of a lane set, or none */

INLINE vf vf_set(float x)
{
    return (vf)_mm256_set1_ps(x);
}

INLINE vf vf_max(vf a, vf b)
{
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}

INLINE vf vf_min(vf a, vf b)
{
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
}

INLINE vf vf_sqrt(vf a)
{
    return (vf)_mm256_sqrt_ps((__m256)a);
}

INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}

INLINE vf vf_of_int(vi a)
{
    return (vf)_mm256_cvtepi32_ps((__m256i)a);
}

INLINE vmask vf_less(vf a, vf b)
{
    return (vmask)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ);
}

INLINE vmask vf_at_least(vf a, vf b)
{
    return (vmask)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ);
}

/* a where the mask is set, else b. */
INLINE vf vf_select(vmask m, vf a, vf b)
{
    return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m);
}

/* a + b where the mask is set, else a. */
INLINE vf vf_add_where(vmask m, vf a, vf b)
{
    return a + (vf)((vi)b & (vi)m);
}

INLINE vi vi_min(vi a, vi b)
{
    return (vi)_mm256_min_epi32((__m256i)a, (__m256i)b);
}

INLINE vi vi_max(vi a, vi b)
{
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
}

INLINE vu vu_min(vu a, vu b)
{
    return (vu)_mm256_min_epu32((__m256i)a, (__m256i)b);
}

/* 64-bit products of the even lanes, the low word first. */
INLINE vu vu_products(vu a, vu b)
{
    return (vu)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}

/* The lanes of a and b in turn: those of the lower halves, and of the upper ones. */
INLINE void vu_zip(vu a, vu b, vu *low, vu *high)
{
    const __m256i even = _mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
    const __m256i odd = _mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
    *low = (vu)_mm256_permute2x128_si256(even, odd, 0x20);
    *high = (vu)_mm256_permute2x128_si256(even, odd, 0x31);
}

/* Without signs. */
INLINE vmask vu_less(vu a, vu b)
{
    return (vmask)_mm256_cmpgt_epi32((__m256i)(b ^ 0x80000000u), (__m256i)(a ^ 0x80000000u));
}

INLINE vmask vi_less(vi a, vi b)
{
    return (vmask)_mm256_cmpgt_epi32((__m256i)b, (__m256i)a);
}

INLINE vi vi_select(vmask m, vi a, vi b)
{
    return (vi)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)m);
}

INLINE vi vi_set(int32_t x)
{
    return (vi)_mm256_set1_epi32(x);
}

/* a + 1 where the mask is set, else a. */
INLINE vi vi_count(vmask m, vi a)
{
    return a - (vi)m;
}

/* Whole numbers of a, towards zero. */
INLINE vi vi_of(vf a)
{
    return (vi)_mm256_cvttps_epi32((__m256)a);
}

/* All bits of the first n lanes. */
INLINE __m256i vi_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

/* The first n floats, zeros behind them; nothing else is touched. */
INLINE vf vf_load_part(const float *p, int64_t n)
{
    return (vf)_mm256_maskload_ps(p, vi_first(n));
}

INLINE void vf_store_part(float *p, vf v, int64_t n)
{
    _mm256_maskstore_ps(p, vi_first(n), (__m256)v);
}

/* LANES/2 floats as doubles. */
INLINE vd vd_load(const float *p)
{
    return (vd)_mm256_cvtps_pd(_mm_loadu_ps(p));
}

/* The sums over the lanes of four vectors. */
INLINE void vf_totals(vf a, vf b, vf c, vf d, float out[4])
{
    const __m256 ab = _mm256_hadd_ps((__m256)a, (__m256)b), cd = _mm256_hadd_ps((__m256)c, (__m256)d);
    const __m256 abcd = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}

/* Past the caches; p on a whole vector. */
INLINE void vf_store_streaming(float *p, vf v)
{
    _mm256_stream_ps(p, (__m256)v);
}

/* Bit l is lane l. */
INLINE uint32_t vmask_bits(vmask m)
{
    return (uint32_t)_mm256_movemask_ps((__m256)m);
}

/* Lane l of the result is lane l - 1 of v; lane 0 is that of first. */
INLINE vf vf_shift_in(vf v, vf first)
{
    const __m256 turned = _mm256_permutevar8x32_ps((__m256)v, _mm256_set_epi32(6, 5, 4, 3, 2, 1, 0, 0));
    return (vf)_mm256_blend_ps(turned, (__m256)first, 1);
}

/* r[i] lane j becomes r[j] lane i. */
INLINE void vf_transpose(vf r[LANES])
{
    __m256 pair[8], four[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        pair[2 * i] = _mm256_unpacklo_ps((__m256)r[2 * i], (__m256)r[2 * i + 1]);
        pair[2 * i + 1] = _mm256_unpackhi_ps((__m256)r[2 * i], (__m256)r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
        four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = (vf)_mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        r[i + 4] = (vf)_mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
    }
}

#endif
