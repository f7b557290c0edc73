/* What a core can do at best: independent multiply-adds in registers, of the widest vectors that the processor has. */
#include "bench.h"

#ifdef __x86_64__
#include <immintrin.h>

enum { TURNS = 20000000 };

__attribute__((target("avx512f"))) static double wide(void)
{
    __m512 a[12];
    const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
    for (int i = 0; i < 12; i++)
        a[i] = _mm512_set1_ps((float)i);
    const double began = bench_now();
    for (int t = 0; t < TURNS; t++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm512_fmadd_ps(a[i], x, y);
    const double seconds = bench_now() - began;
    for (int i = 1; i < 12; i++)
        a[0] = _mm512_add_ps(a[0], a[i]);
    return _mm512_reduce_add_ps(a[0]) > 0 ? 2.0 * 16 * 12 * TURNS / seconds : 0;
}

__attribute__((target("avx2,fma"))) static double narrow(void)
{
    __m256 a[12];
    const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    for (int i = 0; i < 12; i++)
        a[i] = _mm256_set1_ps((float)i);
    const double began = bench_now();
    for (int t = 0; t < TURNS; t++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm256_fmadd_ps(a[i], x, y);
    const double seconds = bench_now() - began;
    for (int i = 1; i < 12; i++)
        a[0] = _mm256_add_ps(a[0], a[i]);
    return a[0][0] > 0 ? 2.0 * 8 * 12 * TURNS / seconds : 0;
}

double machine_flops(void);

double machine_flops(void)
{
    return isa_supported(ISA_AVX512) ? wide() : isa_supported(ISA_AVX2) ? narrow() : 0;
}
#else
double machine_flops(void);

double machine_flops(void)
{
    return 0; /* unknown: no limit is printed */
}
#endif
