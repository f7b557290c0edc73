#include "conv_transpose.h"

#include "maps_check.h"
#include "ops.h"

static int check_params(const struct conv_transpose_params *p)
{
    if (p->in < 1 || p->in > CHANNELS_MOST || p->out < 1 || p->out > CHANNELS_MOST || p->stride < 1 || p->stride > 16)
        return fail(STATUS_ARGUMENT, "conv_transpose: %lld channels to %lld, stride %lld, allowed 1 to %d and 1 to 16",
                    (long long)p->in, (long long)p->out, (long long)p->stride, CHANNELS_MOST);
    if (p->activation != ACTIVATION_NONE && p->activation != ACTIVATION_GELU)
        return fail(STATUS_ARGUMENT, "conv_transpose: activation %d, allowed none and GELU", (int)p->activation);
    if (p->precision < PRECISION_F32 || p->precision > PRECISION_BF16)
        return fail(STATUS_ARGUMENT, "conv_transpose: no precision %d", (int)p->precision);
    return STATUS_OK;
}

static int check_width(const struct conv_transpose_params *p, const struct maps *x, const struct maps *y)
{
    if (!maps_has_margins(x))
        return fail(STATUS_SHAPE, "conv_transpose: x has no margins");
    if (y->width > x->width * p->stride)
        return fail(STATUS_SHAPE, "conv_transpose: %lld positions of %lld with stride %lld, allowed %lld",
                    (long long)y->width, (long long)x->width, (long long)p->stride, (long long)(x->width * p->stride));
    return STATUS_OK;
}

static int check(const struct conv_transpose_params *p, const float *packed, const struct maps *x,
                 const struct maps *add, const struct maps *y)
{
    struct maps want = *x;
    want.width = y->width;
    int code = check_params(p);
    code = code ? code : packed_check("conv_transpose", packed);
    code = code ? code : maps_check("conv_transpose", "x", x, false);
    code = code ? code : maps_check("conv_transpose", "y", y, true);
    if (!code && x->channels != p->in)
        code = fail(STATUS_SHAPE, "conv_transpose: x has %lld channels, the weights %lld", (long long)x->channels,
                    (long long)p->in);
    code = code ? code : maps_check_shape("conv_transpose", "y", &want, y, p->out);
    code = code ? code : check_width(p, x, y);
    code = code || !add ? code : maps_check("conv_transpose", "add", add, false);
    code = code || !add ? code : maps_check_shape("conv_transpose", "add", y, add, y->channels);
    if (!code && y->items > 0 && y->data == x->data)
        code = fail(STATUS_ARGUMENT, "conv_transpose: y is x");
    return code;
}

size_t conv_transpose_pack_bytes(const struct exec *ex, const struct conv_transpose_params *p)
{
    return exec_ops(ex)->conv_transpose_pack_bytes ? exec_ops(ex)->conv_transpose_pack_bytes(p) : 0;
}

int conv_transpose_pack(struct exec *ex, const struct conv_transpose_params *p, const float *weight, const float *bias,
                        float *packed)
{
    int code = check_params(p);
    code = code ? code : packed_check("conv_transpose_pack", packed);
    if (!code && !weight)
        code = fail(STATUS_ARGUMENT, "conv_transpose_pack: no weights");
    if (!code && !exec_ops(ex)->conv_transpose_pack)
        code = ops_missing(ex, "conv_transpose_pack");
    if (!code)
        exec_ops(ex)->conv_transpose_pack(p, weight, bias, packed);
    return code;
}

int conv_transpose(struct exec *ex, const struct conv_transpose_params *p, const float *packed, const struct maps *x,
                   const struct maps *add, const struct maps *y)
{
    const int code = check(p, packed, x, add, y);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, conv_transpose, ex, p, packed, x, add, y);
}
