/* conv_transpose - transposed convolution along the width with a kernel of twice the stride, trimmed to its middle.
 *
 *   equation     u[b,i,n,o] = bias[o] + sum over j, q with j*stride + q - stride/2 = n of
 *                             sum_c w[c,o,q] * x[b,i,j,c], q < 2*stride; y = u or GELU(u), + add[b,i,n,o]
 *   shapes       x maps [B][H][W][in] with margins, in; y maps [B][H][W'][out] out, 1 <= W' <= W*stride; add maps of
 *                y's shape or NULL
 *   weights      [in][out][2*stride] and bias [out] (or NULL), as PyTorch has them, packed by conv_transpose_pack
 *   precision, device  as conv's (conv.h)
 *   limits       stride 1 to 16; channels 1 to 65536; no GLU
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_UNSUPPORTED as conv's (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 <= 2e-6 against oracle_conv_transpose, asserted in test_conv.c
 *   source       torch.nn.ConvTranspose1d and 2d; demucs 4.1.0 HDecLayer for the trim */
#ifndef CONV_TRANSPOSE_H
#define CONV_TRANSPOSE_H
#include "conv.h"
#ifdef __cplusplus
extern "C" {
#endif

struct conv_transpose_params {
    int64_t in, out, stride;
    enum activation activation;
    enum precision precision;
};

size_t conv_transpose_pack_bytes(const struct exec *ex, const struct conv_transpose_params *p);
int conv_transpose_pack(struct exec *ex, const struct conv_transpose_params *p, const float *weight, const float *bias,
                        float *packed) MUST_USE;

/* Front: validates, then calls the twin of ex's backend. */
int conv_transpose(struct exec *ex, const struct conv_transpose_params *p, const float *packed, const struct maps *x,
                   const struct maps *add, const struct maps *y) MUST_USE;

size_t conv_transpose_pack_bytes_cpu(const struct conv_transpose_params *p);
void conv_transpose_pack_cpu(const struct conv_transpose_params *p, const float *weight, const float *bias,
                             float *packed);
int conv_transpose_cpu(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                       const struct maps *x, const struct maps *add, const struct maps *y);

#ifdef __cplusplus
}
#endif
#endif
