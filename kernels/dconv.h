/* dconv - one residual branch of Demucs: a narrow dilated convolution, two norms, two activations, in place.
 *
 *   equation     for each signal s of x (along = ALONG_HEIGHT: one for each item and position of the width;
 *                ALONG_WIDTH: one for each item and row), n its samples of C channels, h = hidden:
 *                a = GELU(N1(w1 * s + bias1)), the convolution of 3 taps with the dilation d and d zeros on each side
 *                g = N2(w2 a + bias2), 2C channels;  x += scale * g[:C]/(1 + exp(-g[C:]))
 *                N(u) = (u - mean(u))/sqrt(var(u) + 1e-5) * gain + shift, mean and biased variance over the whole
 *                signal and all its channels
 *   device       as conv's (conv.h); always in f32
 *   shapes       x maps [B][H][W][C] in and out, with margins for ALONG_WIDTH; weights as below
 *   limits       1 <= hidden <= 1024, dilation 1 or 2; C 1 to 8192
 *   ownership    borrows all; scratch of dconv_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (x untouched); STATUS_DEVICE (x undefined)
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other items
 *   accuracy     relative L2 of what is added <= 5e-6 against oracle_dconv; asserted in test_dconv.c
 *   source       demucs 4.1.0 DConv (GroupNorm with one group, LayerScale) */
#ifndef DCONV_H
#define DCONV_H
#include "conv.h"
#ifdef __cplusplus
extern "C" {
#endif

enum along { ALONG_HEIGHT = 0, ALONG_WIDTH = 1 };

struct dconv_params {
    int64_t channels, hidden, dilation;
    enum along along;
};

/* As PyTorch has them. */
struct dconv_weights {
    const float *conv1, *bias1; /* [hidden][channels][3], [hidden] */
    const float *gain1, *shift1;
    const float *conv2, *bias2; /* [2*channels][hidden], [2*channels] */
    const float *gain2, *shift2;
    const float *scale; /* [channels] */
};

size_t dconv_pack_bytes(const struct exec *ex, const struct dconv_params *p);
int dconv_pack(struct exec *ex, const struct dconv_params *p, const struct dconv_weights *w, float *packed) MUST_USE;
size_t dconv_work_bytes(const struct exec *ex, const struct dconv_params *p, const struct maps *x);

/* Front: validates, then calls the twin of ex's backend. */
int dconv(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x) MUST_USE;

size_t dconv_pack_bytes_cpu(const struct dconv_params *p);
void dconv_pack_cpu(const struct dconv_params *p, const struct dconv_weights *w, float *packed);
size_t dconv_work_bytes_cpu(const struct dconv_params *p, const struct maps *x);
int dconv_cpu(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x);

#ifdef __cplusplus
}
#endif
#endif
