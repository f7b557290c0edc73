/* fft - the complex transform of H points that T = H/16 threads of a block compute together, 16 points in the registers
 * of each; H = 32 to 4096. Frames of a block run beside each other, each with a buffer of its own.
 *
 *   method    Stockham's, radix 16 as long as it goes, then what is left (2 to 16) without twiddles. Thread j holds
 *             points j + T*i, i < 16, before and after. Between passes the points go through shared memory
 *   conflicts point n of a frame lies at n ^ (n/16 mod 16): each pass writes with a stride of 16 and reads with a
 *             stride of 1, and both then touch 16 different pairs of banks per half-warp. Frames of fewer than 16
 *             threads lie T points apart beyond H, so that the frames of a half-warp do not meet either
 *   twiddles  of a pass over lengths L: w^(k*p), w = exp(-2*pi*j/L), p < L/16, for k = 1, 2, 3, 4, 8, 12 in rows of
 *             L/16, so that neighbouring threads read neighbours; the other nine are products of two of these
 *
 * H is a constant wherever these functions are called, so loops unroll and points stay in registers. */
#ifndef FFT_CUH
#define FFT_CUH
#include "device.cuh"

enum { FFT_POINTS = 16 }; /* per thread */

#define FFT_THREADS(H) ((H) / FFT_POINTS)
#define FFT_STRIDE(H) ((H) + (FFT_THREADS(H) < 16 ? FFT_THREADS(H) : 0)) /* points between frames in shared memory */

/* Complex numbers of the twiddles of all passes. */
static inline int64_t fft_twiddles(int64_t half)
{
    int64_t n = 0;
    for (; half > FFT_POINTS; half /= FFT_POINTS)
        n += 6 * (half / FFT_POINTS);
    return n;
}

static __device__ __forceinline__ float2 fft_add(float2 a, float2 b)
{
    return make_float2(a.x + b.x, a.y + b.y);
}

static __device__ __forceinline__ float2 fft_sub(float2 a, float2 b)
{
    return make_float2(a.x - b.x, a.y - b.y);
}

static __device__ __forceinline__ float2 fft_mul(float2 a, float2 b)
{
    return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

static __device__ __forceinline__ float2 fft_minus_j(float2 a) /* a * -j */
{
    return make_float2(a.y, -a.x);
}

static __device__ __forceinline__ void fft_butterfly2(float2 *a, float2 *b)
{
    const float2 sum = fft_add(*a, *b);
    *b = fft_sub(*a, *b);
    *a = sum;
}

static __device__ __forceinline__ void fft_butterfly4(float2 *a, float2 *b, float2 *c, float2 *d)
{
    const float2 ac = fft_add(*a, *c), ac_ = fft_sub(*a, *c);
    const float2 bd = fft_add(*b, *d), bd_ = fft_minus_j(fft_sub(*b, *d));
    *a = fft_add(ac, bd);
    *b = fft_add(ac_, bd_);
    *c = fft_sub(ac, bd);
    *d = fft_sub(ac_, bd_);
}

/* v[at + k*step], k < 8. */
static __device__ __forceinline__ void fft_butterfly8(float2 *v, const int at, const int step)
{
    const float r = 0.70710678118654752440f;
    fft_butterfly4(&v[at], &v[at + 2 * step], &v[at + 4 * step], &v[at + 6 * step]);
    fft_butterfly4(&v[at + step], &v[at + 3 * step], &v[at + 5 * step], &v[at + 7 * step]);
    const float2 e0 = v[at], e1 = v[at + 2 * step], e2 = v[at + 4 * step], e3 = v[at + 6 * step];
    const float2 o0 = v[at + step], o1 = v[at + 3 * step], o2 = v[at + 5 * step], o3 = v[at + 7 * step];
    const float2 p1 = make_float2((o1.x + o1.y) * r, (o1.y - o1.x) * r), p2 = fft_minus_j(o2);
    const float2 p3 = make_float2((o3.y - o3.x) * r, (o3.x + o3.y) * -r);
    v[at] = fft_add(e0, o0);
    v[at + step] = fft_add(e1, p1);
    v[at + 2 * step] = fft_add(e2, p2);
    v[at + 3 * step] = fft_add(e3, p3);
    v[at + 4 * step] = fft_sub(e0, o0);
    v[at + 5 * step] = fft_sub(e1, p1);
    v[at + 6 * step] = fft_sub(e2, p2);
    v[at + 7 * step] = fft_sub(e3, p3);
}

/* Four times four: columns, turns by powers of exp(-2*pi*j/16), rows. */
static __device__ __forceinline__ void fft_butterfly16(float2 *v)
{
    const float c = 0.92387953251128675613f, s = 0.38268343236508977173f, r = 0.70710678118654752440f;
#pragma unroll
    for (int j = 0; j < 4; j++)
        fft_butterfly4(&v[j], &v[j + 4], &v[j + 8], &v[j + 12]);
    v[5] = fft_mul(v[5], make_float2(c, -s));
    v[6] = fft_mul(v[6], make_float2(r, -r));
    v[7] = fft_mul(v[7], make_float2(s, -c));
    v[9] = fft_mul(v[9], make_float2(r, -r));
    v[10] = fft_minus_j(v[10]);
    v[11] = fft_mul(v[11], make_float2(-r, -r));
    v[13] = fft_mul(v[13], make_float2(s, -c));
    v[14] = fft_mul(v[14], make_float2(-r, -r));
    v[15] = fft_mul(v[15], make_float2(-c, s));
#pragma unroll
    for (int k = 0; k < 4; k++)
        fft_butterfly4(&v[4 * k], &v[4 * k + 1], &v[4 * k + 2], &v[4 * k + 3]);
        /* v[4k + m] is point k + 4m */
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
        for (int m = k + 1; m < 4; m++) {
            const float2 t = v[4 * k + m];
            v[4 * k + m] = v[4 * m + k];
            v[4 * m + k] = t;
        }
}

static __device__ __forceinline__ int fft_place(int n)
{
    return n ^ (n >> 4 & 15);
}

/* Turns what a pass over lengths 16*m leaves in thread p of m; w: the pass's rows. */
static __device__ __forceinline__ void fft_turn(float2 *v, const float *w, const int m, int p)
{
    const float2 w1 = load2(w + 2 * p), w2 = load2(w + 2 * (m + p)), w3 = load2(w + 2 * (2 * m + p));
#pragma unroll
    for (int k = 4; k < 16; k += 4) {
        const float2 w4 = load2(w + 2 * ((2 + k / 4) * m + p));
        v[k] = fft_mul(v[k], w4);
        v[k + 1] = fft_mul(v[k + 1], fft_mul(w4, w1));
        v[k + 2] = fft_mul(v[k + 2], fft_mul(w4, w2));
        v[k + 3] = fft_mul(v[k + 3], fft_mul(w4, w3));
    }
    v[1] = fft_mul(v[1], w1);
    v[2] = fft_mul(v[2], w2);
    v[3] = fft_mul(v[3], w3);
}

/* What a pass of radix 16 over points s apart has made goes to its new places; every thread takes its next points. */
static __device__ __forceinline__ void fft_exchange(float2 *v, const int H, const int s, int j, float *buffer)
{
    const int q = j % s, p = j / s;
#pragma unroll
    for (int k = 0; k < 16; k++)
        store2(buffer + 2 * fft_place(q + s * (16 * p + k)), v[k]);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; i++)
        v[i] = load2(buffer + 2 * fft_place(j + FFT_THREADS(H) * i));
    __syncthreads(); /* the next exchange may write */
}

/* The last pass, radix 2 to 16, from points H/radix apart: in place. */
static __device__ __forceinline__ void fft_last(float2 *v, const int radix)
{
    if (radix == 16)
        fft_butterfly16(v);
#pragma unroll
    for (int u = 0; u < 16 / radix; u++) {
        if (radix == 8)
            fft_butterfly8(v, u, 2);
        if (radix == 4)
            fft_butterfly4(&v[u], &v[u + 4], &v[u + 8], &v[u + 12]);
        if (radix == 2)
            fft_butterfly2(&v[u], &v[u + 8]);
    }
}

/* v: points j + T*i of the frame, in and out. buffer: FFT_STRIDE(H) points of the frame. All threads of the block take
 * part. */
static __device__ __forceinline__ void fft_block(float2 *v, const int H, int j, const float *twiddle, float *buffer)
{
    fft_butterfly16(v);
    fft_turn(v, twiddle, H / 16, j);
    fft_exchange(v, H, 1, j, buffer);
    if (H <= 256) {
        fft_last(v, H / 16);
        return;
    }
    fft_butterfly16(v);
    fft_turn(v, twiddle + 2 * 6 * (H / 16), H / 256, j / 16);
    fft_exchange(v, H, 16, j, buffer);
    fft_last(v, H / 256);
}

#endif
