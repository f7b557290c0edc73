/* butterflies - what the forward and the inverse of transform.h share: complex vectors, butterflies of radix 2, 3, 4, 5
 * and 8 on them, and a pass of them through memory. For those two files alone. */
#ifndef BUTTERFLIES_H
#define BUTTERFLIES_H
#include "simd.h"

struct vc {
    vf re, im;
};

INLINE struct vc add(struct vc a, struct vc b)
{
    return (struct vc){a.re + b.re, a.im + b.im};
}

INLINE struct vc sub(struct vc a, struct vc b)
{
    return (struct vc){a.re - b.re, a.im - b.im};
}

INLINE struct vc minus_j(struct vc a) /* a * -j */
{
    return (struct vc){a.im, -a.re};
}

/* a * w, w one complex number for all lanes. */
INLINE struct vc turned(struct vc a, const float *w)
{
    return (struct vc){a.re * w[0] - a.im * w[1], a.re * w[1] + a.im * w[0]};
}

INLINE void butterfly2(struct vc v[])
{
    const struct vc a = v[0], b = v[1];
    v[0] = add(a, b);
    v[1] = sub(a, b);
}

INLINE void butterfly3(struct vc v[])
{
    const float sin60 = 0.86602540378443864676f;
    const struct vc sum = add(v[1], v[2]), side = minus_j(sub(v[1], v[2]));
    const struct vc mid = {v[0].re - sum.re * 0.5f, v[0].im - sum.im * 0.5f};
    const struct vc s = {side.re * sin60, side.im * sin60};
    v[0] = add(v[0], sum);
    v[1] = add(mid, s);
    v[2] = sub(mid, s);
}

INLINE void butterfly4(struct vc v[])
{
    const struct vc ac = add(v[0], v[2]), bd = add(v[1], v[3]);
    const struct vc ac_ = sub(v[0], v[2]), bd_ = minus_j(sub(v[1], v[3]));
    v[0] = add(ac, bd);
    v[1] = add(ac_, bd_);
    v[2] = sub(ac, bd);
    v[3] = sub(ac_, bd_);
}

INLINE void butterfly5(struct vc v[])
{
    const float c1 = 0.30901699437494742410f, s1 = 0.95105651629515357212f;
    const float c2 = -0.80901699437494742410f, s2 = 0.58778525229247312917f;
    const struct vc p = add(v[1], v[4]), q = add(v[2], v[3]);
    const struct vc d = minus_j(sub(v[1], v[4])), e = minus_j(sub(v[2], v[3]));
    const struct vc a = {v[0].re + c1 * p.re + c2 * q.re, v[0].im + c1 * p.im + c2 * q.im};
    const struct vc b = {v[0].re + c2 * p.re + c1 * q.re, v[0].im + c2 * p.im + c1 * q.im};
    const struct vc f = {s1 * d.re + s2 * e.re, s1 * d.im + s2 * e.im};
    const struct vc g = {s2 * d.re - s1 * e.re, s2 * d.im - s1 * e.im};
    v[0] = add(v[0], add(p, q));
    v[1] = add(a, f);
    v[2] = add(b, g);
    v[3] = sub(b, g);
    v[4] = sub(a, f);
}

INLINE void butterfly8(struct vc v[])
{
    const float r = 0.70710678118654752440f;
    struct vc even[4] = {v[0], v[2], v[4], v[6]}, odd[4] = {v[1], v[3], v[5], v[7]};
    butterfly4(even);
    butterfly4(odd);
    const struct vc o1 = {(odd[1].re + odd[1].im) * r, (odd[1].im - odd[1].re) * r};
    const struct vc o2 = minus_j(odd[2]);
    const struct vc o3 = {(odd[3].im - odd[3].re) * r, (odd[3].re + odd[3].im) * -r};
    v[0] = add(even[0], odd[0]);
    v[1] = add(even[1], o1);
    v[2] = add(even[2], o2);
    v[3] = add(even[3], o3);
    v[4] = sub(even[0], odd[0]);
    v[5] = sub(even[1], o1);
    v[6] = sub(even[2], o2);
    v[7] = sub(even[3], o3);
}

INLINE void butterfly(const int radix, struct vc v[])
{
    if (radix == 2)
        butterfly2(v);
    else if (radix == 3)
        butterfly3(v);
    else if (radix == 4)
        butterfly4(v);
    else if (radix == 5)
        butterfly5(v);
    else
        butterfly8(v);
}

/* One pass between the first and the last: x[q + s*(p + m*k)] -> y[q + s*(radix*p + k)]. */
INLINE void pass(const int radix, int64_t m, int64_t s, const float *w, const struct vc *x, struct vc *y)
{
    for (int64_t p = 0; p < m; p++, w += 2 * (radix - 1))
        for (int64_t q = 0; q < s; q++) {
            struct vc v[8];
#pragma GCC unroll 8
            for (int k = 0; k < radix; k++)
                v[k] = x[q + s * (p + m * k)];
            butterfly(radix, v);
            y[q + s * (radix * p)] = v[0];
#pragma GCC unroll 8
            for (int k = 1; k < radix; k++)
                y[q + s * (radix * p + k)] = turned(v[k], w + 2 * (k - 1));
        }
}

static inline void any_pass(int radix, int64_t m, int64_t s, const float *w, const struct vc *x, struct vc *y)
{
    switch (radix) {
    case 2:
        pass(2, m, s, w, x, y);
        break;
    case 3:
        pass(3, m, s, w, x, y);
        break;
    case 4:
        pass(4, m, s, w, x, y);
        break;
    case 5:
        pass(5, m, s, w, x, y);
        break;
    default:
        pass(8, m, s, w, x, y);
    }
}

#endif
