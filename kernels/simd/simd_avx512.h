/* simd_avx512 - the vectors of simd.h for AVX-512 F and DQ: 16 lanes, 32 registers. */
#ifndef SIMD_AVX512_H
#define SIMD_AVX512_H

enum { LANES = 16 };
#define SIMD(name) name##_avx512

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64))); /* wraps around */
typedef double vd __attribute__((vector_size(64)));
typedef __mmask16 vmask;

INLINE vf vf_set(float x)
{
    return (vf)_mm512_set1_ps(x);
}

INLINE vf vf_max(vf a, vf b)
{
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}

INLINE vf vf_min(vf a, vf b)
{
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
}

INLINE vf vf_sqrt(vf a)
{
    return (vf)_mm512_sqrt_ps((__m512)a);
}

INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}

INLINE vf vf_of_int(vi a)
{
    return (vf)_mm512_cvtepi32_ps((__m512i)a);
}

INLINE vmask vf_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
}

INLINE vmask vf_at_least(vf a, vf b)
{
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ);
}

/* a where the mask is set, else b. */
INLINE vf vf_select(vmask m, vf a, vf b)
{
    return (vf)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a);
}

/* a + b where the mask is set, else a. */
INLINE vf vf_add_where(vmask m, vf a, vf b)
{
    return (vf)_mm512_mask_add_ps((__m512)a, m, (__m512)a, (__m512)b);
}

INLINE vi vi_min(vi a, vi b)
{
    return (vi)_mm512_min_epi32((__m512i)a, (__m512i)b);
}

INLINE vi vi_max(vi a, vi b)
{
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
}

INLINE vu vu_min(vu a, vu b)
{
    return (vu)_mm512_min_epu32((__m512i)a, (__m512i)b);
}

/* 64-bit products of the even lanes, the low word first. */
INLINE vu vu_products(vu a, vu b)
{
    return (vu)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

/* The lanes of a and b in turn: those of the lower halves, and of the upper ones. */
INLINE void vu_zip(vu a, vu b, vu *low, vu *high)
{
    const __m512i lower = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i upper = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    *low = (vu)_mm512_permutex2var_epi32((__m512i)a, lower, (__m512i)b);
    *high = (vu)_mm512_permutex2var_epi32((__m512i)a, upper, (__m512i)b);
}

/* Without signs. */
INLINE vmask vu_less(vu a, vu b)
{
    return _mm512_cmplt_epu32_mask((__m512i)a, (__m512i)b);
}

INLINE vmask vi_less(vi a, vi b)
{
    return _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b);
}

INLINE vi vi_select(vmask m, vi a, vi b)
{
    return (vi)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a);
}

INLINE vi vi_set(int32_t x)
{
    return (vi)_mm512_set1_epi32(x);
}

/* a + 1 where the mask is set, else a. */
INLINE vi vi_count(vmask m, vi a)
{
    return (vi)_mm512_mask_add_epi32((__m512i)a, m, (__m512i)a, _mm512_set1_epi32(1));
}

/* Whole numbers of a, towards zero. */
INLINE vi vi_of(vf a)
{
    return (vi)_mm512_cvttps_epi32((__m512)a);
}

/* The first n floats, zeros behind them; nothing else is touched. */
INLINE vf vf_load_part(const float *p, int64_t n)
{
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1), p);
}

INLINE void vf_store_part(float *p, vf v, int64_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1), (__m512)v);
}

/* LANES/2 floats as doubles. */
INLINE vd vd_load(const float *p)
{
    return (vd)_mm512_cvtps_pd(_mm256_loadu_ps(p));
}

/* The sums over the lanes of four vectors. */
INLINE void vf_totals(vf a, vf b, vf c, vf d, float out[4])
{
#define HALF(v) _mm256_add_ps(_mm512_castps512_ps256((__m512)(v)), _mm512_extractf32x8_ps((__m512)(v), 1))
    const __m256 ab = _mm256_hadd_ps(HALF(a), HALF(b)), cd = _mm256_hadd_ps(HALF(c), HALF(d));
#undef HALF
    const __m256 abcd = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}

/* Past the caches; p on a whole vector. */
INLINE void vf_store_streaming(float *p, vf v)
{
    _mm512_stream_ps(p, (__m512)v);
}

/* Bit l is lane l. */
INLINE uint32_t vmask_bits(vmask m)
{
    return m;
}

/* Lane l of the result is lane l - 1 of v; lane 0 is that of first. */
INLINE vf vf_shift_in(vf v, vf first)
{
    const __m512i index = _mm512_set_epi32(14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 16);
    return (vf)_mm512_permutex2var_ps((__m512)v, index, (__m512)first);
}

/* r[i] lane j becomes r[j] lane i: four rounds of interleaving row i with row i + 8. */
INLINE void vf_transpose(vf r[LANES])
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    vf t[LANES];
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            t[2 * i] = (vf)_mm512_permutex2var_ps((__m512)r[i], low, (__m512)r[i + LANES / 2]);
            t[2 * i + 1] = (vf)_mm512_permutex2var_ps((__m512)r[i], high, (__m512)r[i + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            r[i] = t[i];
    }
}

#endif
