#include "conv2d.h"

#include "maps_check.h"
#include "ops.h"

enum { STRIDE_MOST = 16 };

static int check_params(const struct conv2d_params *p)
{
    const int64_t kernel[2] = {p->kernel_h, p->kernel_w}, stride[2] = {p->stride_h, p->stride_w};
    const int64_t pad[2] = {p->pad_h, p->pad_w};
    if (p->in < 1 || p->in > CHANNELS_MOST || p->out < 1 || p->out > CHANNELS_MOST)
        return fail(STATUS_ARGUMENT, "conv2d: %lld channels to %lld, allowed 1 to %d", (long long)p->in,
                    (long long)p->out, CHANNELS_MOST);
    for (int i = 0; i < 2; i++) {
        if (kernel[i] < 1 || kernel[i] > CONV2D_KERNEL_MOST || stride[i] < 1 || stride[i] > STRIDE_MOST)
            return fail(STATUS_ARGUMENT, "conv2d: kernel %lld, stride %lld, allowed 1 to 16", (long long)kernel[i],
                        (long long)stride[i]);
        if (stride[i] > kernel[i] || pad[i] < 0 || pad[i] >= kernel[i])
            return fail(STATUS_ARGUMENT, "conv2d: kernel %lld, stride %lld, padding %lld: both are at most the kernel",
                        (long long)kernel[i], (long long)stride[i], (long long)pad[i]);
    }
    if (p->precision < PRECISION_F32 || p->precision > PRECISION_BF16)
        return fail(STATUS_ARGUMENT, "conv2d: no precision %d", (int)p->precision);
    return STATUS_OK;
}

static int check_row(const char *name, const struct maps *m, int64_t first, int64_t last)
{
    const bool margins = maps_has_margins(m);
    if (first < (margins ? -MAPS_BEFORE : 0) || last > m->width - 1 + (margins ? MAPS_AFTER : 0))
        return fail(STATUS_SHAPE, "conv2d: positions %lld to %lld of %s are wanted, and its rows have %lld, %s margins",
                    (long long)first, (long long)last, name, (long long)m->width, margins ? "with" : "without");
    return STATUS_OK;
}

/* What forward and the weight gradient read of x. */
static int check_reach(const struct conv2d_params *p, const struct maps *x, const struct maps *y)
{
    return check_row("x", x, -p->pad_w, (y->width - 1) * p->stride_w + p->kernel_w - 1 - p->pad_w);
}

static int check_maps(const struct conv2d_params *p, const struct maps *x, const struct maps *y, bool forward,
                      bool written)
{
    int code = check_params(p);
    code = code ? code : maps_check("conv2d", "x", x, written && !forward);
    code = code ? code : maps_check("conv2d", "y", y, written && forward);
    if (!code && (x->channels != p->in || y->channels != p->out))
        code = fail(STATUS_SHAPE, "conv2d: x has %lld channels and y %lld, the weights %lld and %lld",
                    (long long)x->channels, (long long)y->channels, (long long)p->in, (long long)p->out);
    if (!code && x->items != y->items)
        code = fail(STATUS_SHAPE, "conv2d: x has %lld items, y %lld", (long long)x->items, (long long)y->items);
    if (!code && x->items > 0 && x->data == y->data)
        code = fail(STATUS_ARGUMENT, "conv2d: y is x");
    return code;
}

size_t conv2d_pack_bytes(const struct exec *ex, const struct conv2d_params *p, enum conv2d_way way)
{
    return exec_ops(ex)->conv2d_pack_bytes ? exec_ops(ex)->conv2d_pack_bytes(p, way) : 0;
}

int conv2d_pack(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                const float *bias, float *packed)
{
    int code = check_params(p);
    code = code ? code : packed_check("conv2d_pack", packed);
    if (!code && !weight)
        code = fail(STATUS_ARGUMENT, "conv2d_pack: no weights");
    if (!code && way != CONV2D_FORWARD && way != CONV2D_DATA)
        code = fail(STATUS_ARGUMENT, "conv2d_pack: no way %d", (int)way);
    return code ? code : OPS_CALL(ex, conv2d_pack, ex, p, way, weight, bias, packed);
}

int conv2d(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
           const struct maps *y)
{
    int code = check_maps(p, x, y, true, true);
    code = code ? code : packed_check("conv2d", packed);
    code = code ? code : check_reach(p, x, y);
    return code || y->items == 0 ? code : OPS_CALL(ex, conv2d, ex, p, packed, x, y);
}

int conv2d_data(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                const struct maps *x)
{
    int code = check_maps(p, x, y, false, true);
    code = code ? code : packed_check("conv2d_data", packed);
    if (!code) /* the first group and the last */
        code = check_row("y", y, 1 - (p->kernel_w + p->stride_w - 1) / p->stride_w,
                         (x->width - 1 + p->pad_w) / p->stride_w);
    return code || x->items == 0 ? code : OPS_CALL(ex, conv2d_data, ex, p, packed, y, x);
}

size_t conv2d_work_bytes(const struct exec *ex, const struct conv2d_params *p, const struct maps *y)
{
    const size_t threads = exec_backend(ex) == BACKEND_CPU ? (size_t)exec_threads(ex) * CONV2D_THREAD_BYTES : 0;
    return exec_ops(ex)->conv2d_work_bytes ? threads + exec_ops(ex)->conv2d_work_bytes(p, y) : 0;
}

int conv2d_weight(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                  float *gradient)
{
    int code = check_maps(p, x, y, true, false);
    code = code ? code : check_reach(p, x, y);
    if (!code && !gradient)
        code = fail(STATUS_ARGUMENT, "conv2d_weight: no gradient");
    return code ? code : OPS_CALL(ex, conv2d_weight, ex, p, x, y, gradient);
}
