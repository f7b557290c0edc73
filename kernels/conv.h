/* conv - convolution of maps, and with a 1x1 kernel the linear layer, with what follows it done in the same pass.
 *
 *   equation     u[b,i,j,o] = bias[o] + sum_{p<kernel_h} sum_{q<kernel_w} sum_{c<in} w[o,c,p,q] *
 *                             x[b, i + p*dilation_h - pad_h, j*stride_w + q*dilation_w - pad_w, c]
 *                v = u; GELU: u*(1 + erf(u/sqrt(2)))/2; GLU: u[o]/(1 + exp(-u[out/2 + o])) for o < out/2
 *                y[b,i,j,o] = v*scale[o] + add[b,i,j,o]
 *                Rows outside x count as zeros, and so do positions outside a row: those are read from its margins
 *   shapes       x maps [B][H][W][in] in; y maps [B][H][W'][out, or out/2 with GLU] out; scale [channels of y] or NULL;
 *                add maps of y's shape or NULL, its strides may be 0. y may be add. W' is the caller's: all taps of its
 *                positions lie in the row and its margins
 *   weights      [out][in][kernel_h][kernel_w] and bias [out] (or NULL), as PyTorch has them, packed once by conv_pack:
 *                the packed form is the backend's own
 *   precision    of what is multiplied: w and x are rounded to it, sums are in f32, and bias, activation, scale and add
 *                are not rounded. F32: not rounded. TF32: 10 bits of mantissa, halves away from zero; BF16: bfloat16,
 *                halves to even; these two ask for a device with tensor cores, and the CPU multiplies in f32 all the
 *                same: finer than asked for
 *   device       packed weights are made by conv_pack in host memory; the caller copies them to the device, on 64
 *                bytes. All that maps, packed and scale point to is the device's
 *   limits       1 <= kernel <= 16 each; at most 16 rows of taps or, when dilated along the width, taps;
 *                1 <= stride, dilation <= 16; channels 1 to 65536
 *   not finite   goes where the sums take it
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_UNSUPPORTED: a precision that the device has not (y untouched);
 *                STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 <= 2e-6 against oracle_conv in double, asserted in test_conv.c; sums are in f32. TF32 and
 *                BF16: <= 1e-5 (100 dB) against the oracle of rounded w and x
 *   source       torch.nn.Conv2d, torch.nn.functional.gelu (erf), glu */
#ifndef CONV_H
#define CONV_H
#include "maps.h"
#include "precision.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum activation { ACTIVATION_NONE = 0, ACTIVATION_GELU = 1, ACTIVATION_GLU = 2 };
enum { CONV_TAPS_MOST = 16 };

struct conv_params {
    int64_t in, out; /* channels; out before GLU halves it */
    int64_t kernel_h, kernel_w;
    int64_t stride_w;
    int64_t dilation_h, dilation_w;
    int64_t pad_h, pad_w;
    enum activation activation;
    enum precision precision;
};

/* A linear layer, or a 1x1 convolution. */
static inline struct conv_params conv_linear(int64_t in, int64_t out, enum activation activation)
{
    return (struct conv_params){in, out, 1, 1, 1, 1, 1, 0, 0, activation, PRECISION_F32};
}

/* Bytes of packed weights, 64-byte aligned; packing them. */
size_t conv_pack_bytes(const struct exec *ex, const struct conv_params *p);
int conv_pack(struct exec *ex, const struct conv_params *p, const float *weight, const float *bias,
              float *packed) MUST_USE;

/* Front: validates, then calls the twin of ex's backend. */
int conv(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x, const float *scale,
         const struct maps *add, const struct maps *y) MUST_USE;

size_t conv_pack_bytes_cpu(const struct conv_params *p);
void conv_pack_cpu(const struct conv_params *p, const float *weight, const float *bias, float *packed);
int conv_cpu(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
             const float *scale, const struct maps *add, const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
