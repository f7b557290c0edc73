/* network - functions that networks apply to vectors: exponential, sigmoid, GELU. Room-internal. */
#ifndef NETWORK_H
#define NETWORK_H
#include "simd.h"

/* exp(x), relative error 2e-7; below -87.3 nearly 0, never a subnormal; above 88.7 as at 88.7; NaN stays NaN.
 * x = n*ln 2 + r with |r| <= ln(2)/2, a polynomial of degree 6 for r (fitted at Chebyshev nodes, 7e-9), n into the
 * exponent. */
INLINE vf vf_exp(vf x)
{
    const vf clamped = vf_min(vf_set(88.37f), vf_max(vf_set(-87.3f), x)); /* a NaN takes the bound, and is put back */
    const vf magic = vf_set(12582912.0f);                                 /* 1.5*2^23: rounds to whole numbers */
    const vf shifted = clamped * 1.44269504f + magic;
    const vf n = shifted - magic;
    const vf r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    vf e = r * 1.39457282e-3f + 8.37269315e-3f;
    e = e * r + 4.16662646e-2f;
    e = e * r + 1.66664473e-1f;
    e = e * r + 0.5f;
    e = e * r + 1;
    e = e * r + 1;
    const vf scaled = (vf)((vi)e + ((vi)shifted << 23));
    return vf_select(vf_at_least(x, x), scaled, x);
}

INLINE vf vf_sigmoid(vf x)
{
    return 1 / (1 + vf_exp(-x));
}

/* x * (1 + erf(x/sqrt(2)))/2. With z = |x|/sqrt(2): erfc(z) = t*P(t)*exp(-z^2), t = 1/(1 + 0.42 z), the form of
 * Abramowitz and Stegun 7.1.26 with P of degree 9, fitted at Chebyshev nodes to 7e-9. The small side is never taken as
 * a difference, so that its relative error is small too. */
INLINE vf vf_gelu(vf x)
{
    const vf z = vf_abs(x) * 0.70710678f;
    const vf t = 1 / (1 + z * 0.42f);
    vf p = t * -0.041826725f + 0.23436898f;
    p = p * t - 0.49507654f;
    p = p * t + 0.44816408f;
    p = p * t - 0.20630445f;
    p = p * t + 0.21845667f;
    p = p * t + 0.14843868f;
    p = p * t + 0.22023162f;
    p = p * t + 0.23657234f;
    p = p * t + 0.23697534f;
    const vf half = p * t * vf_exp(-z * z) * 0.5f; /* erfc(z)/2 */
    return x * vf_select(vf_less(x, vf_set(0)), half, 1 - half);
}

#endif
