/* conv2d - convolution of maps with strides along both axes, for training: forward, and its gradients.
 *
 *   equation     forward          y[b,i,j,o] = bias[o] + sum over p, q, c of
 *                                 w[p,q,c,o] * x[b, i*stride_h + p - pad_h, j*stride_w + q - pad_w, c]
 *                data gradient    x[b,r,s,c] = bias[c] + sum over i, j, o with p = r + pad_h - i*stride_h and
 *                                 q = s + pad_w - j*stride_w in the kernel of w[p,q,c,o] * y[b,i,j,o]: forward
 *                                 transposed, so that it is the transposed convolution as well
 *                weight gradient  w[p,q,c,o] = sum over b, i, j of
 *                                 x[b, i*stride_h + p - pad_h, j*stride_w + q - pad_w, c] * y[b,i,j,o]
 *                Rows outside x or y count as zeros, and so do positions outside a row: those are read from its margins
 *   shapes       x maps [B][H][W][in], y maps [B][H'][W'][out]: what goes in and what comes out of forward, and the
 *                other way round for the data gradient. H', W' are the caller's. A linear layer is a kernel of 1 x 1
 *   weights      w [kernel_h][kernel_w][in][out], bias [out] or, of the data gradient, [in], or NULL; all in the
 *                memory of the exec. conv2d_pack lays them out for one of the two ways; as weights change with each
 *                step, it is an operation like the others, and may be recorded
 *   precision    of what is multiplied, as conv's (conv.h); gradients are summed in f32, in parts
 *   limits       kernel 1 to 16, stride 1 to 16, no longer than the kernel; padding 0 to kernel - 1; channels 1 to
 *                65536. All taps of forward lie in x's rows and margins, and all positions that the data gradient
 *                takes in y's: kernel_w at most MAPS_BEFORE + 1 strides
 *   ownership    borrows all; conv2d_work_bytes() of the exec's arena, for y of the call, are taken and given back; on
 *                the CPU they hold CONV2D_THREAD_BYTES for each thread
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM, STATUS_UNSUPPORTED: a precision that the device has not
 *                (nothing written); STATUS_DEVICE (output undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads; forward and data gradient whatever the other
 *                items
 *   accuracy     relative L2 <= 2e-6 against oracle_conv2d in double, asserted in test_conv2d.c; TF32 and BF16 <= 1e-5
 *                against the oracle of rounded factors. The vector twins on the CPU multiply kernels of 4 x 4 with
 *                strides of 2 and 32 channels or more in tiles of 4 x 4 outputs (simd/winograd.h): 9e-7 in place of
 *                3e-7, and what is not finite reaches all outputs of its tiles, of its own item only
 *   source       torch.nn.functional.conv2d, conv_transpose2d, torch.nn.grad.conv2d_weight; Lavin and Gray, Fast
 *                Algorithms for Convolutional Neural Networks, 2016 */
#ifndef CONV2D_H
#define CONV2D_H
#include "maps.h"
#include "precision.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum { CONV2D_KERNEL_MOST = 16, CONV2D_THREAD_BYTES = 2 << 20 };

enum conv2d_way { CONV2D_FORWARD = 0, CONV2D_DATA = 1 };

struct conv2d_params {
    int64_t in, out;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    enum precision precision;
};

static inline struct conv2d_params conv2d_linear(int64_t in, int64_t out)
{
    return (struct conv2d_params){in, out, 1, 1, 1, 1, 0, 0, PRECISION_F32};
}

static inline int64_t conv2d_weights(const struct conv2d_params *p)
{
    return p->kernel_h * p->kernel_w * p->in * p->out;
}

/* Fronts: validate, then call the twin of ex's backend. packed: 64-byte aligned. */
size_t conv2d_pack_bytes(const struct exec *ex, const struct conv2d_params *p, enum conv2d_way way);
int conv2d_pack(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                const float *bias, float *packed) MUST_USE;
int conv2d(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
           const struct maps *y) MUST_USE;
int conv2d_data(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                const struct maps *x) MUST_USE;
size_t conv2d_work_bytes(const struct exec *ex, const struct conv2d_params *p, const struct maps *y);
int conv2d_weight(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                  float *gradient) MUST_USE;

size_t conv2d_pack_bytes_cpu(const struct conv2d_params *p, enum conv2d_way way);
int conv2d_pack_cpu(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                    const float *bias, float *packed);
int conv2d_cpu(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
               const struct maps *y);
int conv2d_data_cpu(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                    const struct maps *x);
size_t conv2d_work_bytes_cpu(const struct conv2d_params *p, const struct maps *y);
int conv2d_weight_cpu(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                      float *gradient);

#ifdef __cplusplus
}
#endif
#endif
