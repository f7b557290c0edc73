/* conv2d_pack: weights lie where those of the same products lie on the host, bit by bit. */
#include "conv_operands.h"

#include <string.h>

/* Whether weights are packed where they lie as those of the same products are on the host, PyTorch's [out][in][taps];
 * of conv_transpose, whose input is y. Each way has its scalar form, though. */
static bool packs_alike(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way)
{
    const int64_t taps = p->kernel_h * p->kernel_w, weights = conv2d_weights(p);
    const bool forward = way == CONV2D_FORWARD;
    const struct conv_params wide = {.in = p->in,
                                     .out = p->out,
                                     .kernel_h = p->kernel_h,
                                     .kernel_w = p->kernel_w,
                                     .stride_w = 1,
                                     .dilation_h = 1,
                                     .dilation_w = 1,
                                     .precision = p->precision};
    const struct conv_transpose_params back = {p->out, p->in, p->stride_w, ACTIVATION_NONE, p->precision};
    const size_t bytes = conv2d_pack_bytes(ex, p, way),
                 other = forward ? conv_pack_bytes(ex, &wide) : conv_transpose_pack_bytes(ex, &back);
    uint64_t seed = 5;
    float *const w = noise_of(&seed, weights, 1), *const bias = noise_of(&seed, p->in + p->out, 1);
    float *const turned = malloc((size_t)weights * sizeof *turned), *const got = packed_of(bytes);
    float *const want = packed_of(other);
    REQUIRE(turned && other > 0);
    for (int64_t i = 0; i < weights; i++) {
        const int64_t tap = i / p->out / p->in, c = i / p->out % p->in, o = i % p->out;
        turned[(o * p->in + c) * taps + tap] = w[i];
    }
    memset(got, 0, bytes);
    memset(want, 0, other);
    CHECK_OK(forward ? conv_pack(ex, &wide, turned, bias, want) : conv_transpose_pack(ex, &back, turned, bias, want));
    struct device_batch b = device_batch(ex);
    float *const packed = device_aligned(&b, got, bytes, true);
    const float *const from = device_aligned(&b, w, (size_t)weights * sizeof *w, false);
    const float *const biases = device_aligned(&b, bias, (size_t)(p->in + p->out) * sizeof *bias, false);
    CHECK_OK(device_done(&b, conv2d_pack(ex, p, way, from, biases, packed)));
    const bool alike = compare_bits(got, want, bytes < other ? bytes : other); /* zeros may lie behind */
    free(w);
    free(bias);
    free(turned);
    free(got);
    free(want);
    return alike;
}

TEST(conv2d_packs_as_the_host_does)
{
    struct exec *ex = subject_exec();
    const bool scalar = subject_backend() == BACKEND_CPU && subject_isa() == ISA_SCALAR;
    bool alike = true;
    for (int i = PRECISION_F32; i <= PRECISION_BF16 && !scalar; i++) {
        const enum precision precision = (enum precision)i;
        alike &= packs_alike(ex, &(struct conv2d_params){1, 32, 4, 4, 1, 1, 0, 0, precision}, CONV2D_FORWARD);
        alike &= packs_alike(ex, &(struct conv2d_params){7, 70, 3, 5, 1, 1, 0, 0, precision}, CONV2D_FORWARD);
        alike &= packs_alike(ex, &(struct conv2d_params){5, 19, 1, 8, 1, 4, 0, 2, precision}, CONV2D_DATA);
        alike &= packs_alike(ex, &(struct conv2d_params){12, 3, 1, 8, 1, 4, 0, 2, precision}, CONV2D_DATA);
    }
    if (!scalar)
        printf("    conv2d_pack: worst %.1e\n", alike ? 0.0 : 1.0);
    CHECK(alike);
    exec_destroy(&ex);
}
