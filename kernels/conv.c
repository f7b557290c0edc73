#include "conv.h"

#include "maps_check.h"
#include "ops.h"

enum { PAD_MOST = 240 }; /* of the longest kernel at the widest dilation */

static int check_params(const struct conv_params *p)
{
    if (p->in < 1 || p->in > CHANNELS_MOST || p->out < 1 || p->out > CHANNELS_MOST)
        return fail(STATUS_ARGUMENT, "conv: %lld channels to %lld, allowed 1 to %d", (long long)p->in,
                    (long long)p->out, CHANNELS_MOST);
    if (p->kernel_h < 1 || p->kernel_h > CONV_TAPS_MOST || p->kernel_w < 1 || p->kernel_w > CONV_TAPS_MOST)
        return fail(STATUS_ARGUMENT, "conv: kernel of %lld x %lld, allowed 1 to %d each", (long long)p->kernel_h,
                    (long long)p->kernel_w, CONV_TAPS_MOST);
    if (p->stride_w < 1 || p->stride_w > 16 || p->dilation_h < 1 || p->dilation_h > 16 || p->dilation_w < 1 ||
        p->dilation_w > 16)
        return fail(STATUS_ARGUMENT, "conv: stride %lld, dilation %lld x %lld, allowed 1 to 16", (long long)p->stride_w,
                    (long long)p->dilation_h, (long long)p->dilation_w);
    if (p->dilation_w > 1 && p->kernel_h * p->kernel_w > CONV_TAPS_MOST)
        return fail(STATUS_ARGUMENT, "conv: kernel of %lld x %lld dilated along the width, allowed %d taps",
                    (long long)p->kernel_h, (long long)p->kernel_w, CONV_TAPS_MOST);
    if (p->pad_h < 0 || p->pad_h > PAD_MOST || p->pad_w < 0 || p->pad_w > PAD_MOST)
        return fail(STATUS_ARGUMENT, "conv: padding of %lld x %lld, allowed 0 to %d", (long long)p->pad_h,
                    (long long)p->pad_w, PAD_MOST);
    if (p->activation < ACTIVATION_NONE || p->activation > ACTIVATION_GLU)
        return fail(STATUS_ARGUMENT, "conv: no activation %d", (int)p->activation);
    if (p->precision < PRECISION_F32 || p->precision > PRECISION_BF16)
        return fail(STATUS_ARGUMENT, "conv: no precision %d", (int)p->precision);
    if (p->activation == ACTIVATION_GLU && p->out % 2 != 0)
        return fail(STATUS_ARGUMENT, "conv: GLU halves the channels, and there are %lld", (long long)p->out);
    return STATUS_OK;
}

/* Whether every tap of every position of y lies in its row or the margins. */
static int check_reach(const struct conv_params *p, const struct maps *x, const struct maps *y)
{
    const bool margins = maps_has_margins(x);
    const int64_t first = -p->pad_w, before = margins ? MAPS_BEFORE : 0, after = margins ? MAPS_AFTER : 0;
    const int64_t last = (y->width - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w - p->pad_w;
    if (first < -before || last > x->width - 1 + after)
        return fail(STATUS_SHAPE,
                    "conv: %lld positions need %lld to %lld of a row of %lld with %lld before it and %lld behind it",
                    (long long)y->width, (long long)first, (long long)last, (long long)x->width, (long long)before,
                    (long long)after);
    return STATUS_OK;
}

static int check(const struct conv_params *p, const float *packed, const struct maps *x, const struct maps *add,
                 const struct maps *y)
{
    struct maps want = *x;
    want.width = y->width;
    int code = check_params(p);
    code = code ? code : packed_check("conv", packed);
    code = code ? code : maps_check("conv", "x", x, false);
    code = code ? code : maps_check("conv", "y", y, true);
    if (!code && x->channels != p->in)
        code =
            fail(STATUS_SHAPE, "conv: x has %lld channels, the weights %lld", (long long)x->channels, (long long)p->in);
    code = code ? code : maps_check_shape("conv", "y", &want, y, p->activation == ACTIVATION_GLU ? p->out / 2 : p->out);
    code = code ? code : check_reach(p, x, y);
    code = code || !add ? code : maps_check("conv", "add", add, false);
    code = code || !add ? code : maps_check_shape("conv", "add", y, add, y->channels);
    if (!code && y->items > 0 && y->data == x->data)
        code = fail(STATUS_ARGUMENT, "conv: y is x");
    return code;
}

size_t conv_pack_bytes(const struct exec *ex, const struct conv_params *p)
{
    return exec_ops(ex)->conv_pack_bytes ? exec_ops(ex)->conv_pack_bytes(p) : 0;
}

int conv_pack(struct exec *ex, const struct conv_params *p, const float *weight, const float *bias, float *packed)
{
    int code = check_params(p);
    code = code ? code : packed_check("conv_pack", packed);
    if (!code && !weight)
        code = fail(STATUS_ARGUMENT, "conv_pack: no weights");
    if (!code && !exec_ops(ex)->conv_pack)
        code = ops_missing(ex, "conv_pack");
    if (!code)
        exec_ops(ex)->conv_pack(p, weight, bias, packed);
    return code;
}

int conv(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x, const float *scale,
         const struct maps *add, const struct maps *y)
{
    const int code = check(p, packed, x, add, y);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, conv, ex, p, packed, x, scale, add, y);
}
