#include "dconv.h"

#include "maps_check.h"
#include "ops.h"

enum { HIDDEN_MOST = 1024, DCONV_CHANNELS_MOST = 8192 };

static int check_params(const struct dconv_params *p)
{
    if (p->channels < 1 || p->channels > DCONV_CHANNELS_MOST || p->hidden < 1 || p->hidden > HIDDEN_MOST)
        return fail(STATUS_ARGUMENT, "dconv: %lld channels, %lld hidden, allowed 1 to %d and 1 to %d",
                    (long long)p->channels, (long long)p->hidden, DCONV_CHANNELS_MOST, HIDDEN_MOST);
    if (p->dilation < 1 || p->dilation > 2)
        return fail(STATUS_ARGUMENT, "dconv: dilation %lld, allowed 1 and 2", (long long)p->dilation);
    if (p->along != ALONG_HEIGHT && p->along != ALONG_WIDTH)
        return fail(STATUS_ARGUMENT, "dconv: no axis %d", (int)p->along);
    return STATUS_OK;
}

size_t dconv_pack_bytes(const struct exec *ex, const struct dconv_params *p)
{
    return exec_ops(ex)->dconv_pack_bytes ? exec_ops(ex)->dconv_pack_bytes(p) : 0;
}

int dconv_pack(struct exec *ex, const struct dconv_params *p, const struct dconv_weights *w, float *packed)
{
    int code = check_params(p);
    code = code ? code : packed_check("dconv_pack", packed);
    if (!code && (!w->conv1 || !w->bias1 || !w->gain1 || !w->shift1 || !w->conv2 || !w->bias2 || !w->gain2 ||
                  !w->shift2 || !w->scale))
        code = fail(STATUS_ARGUMENT, "dconv_pack: weights are missing");
    if (!code && !exec_ops(ex)->dconv_pack)
        code = ops_missing(ex, "dconv_pack");
    if (!code)
        exec_ops(ex)->dconv_pack(p, w, packed);
    return code;
}

size_t dconv_work_bytes(const struct exec *ex, const struct dconv_params *p, const struct maps *x)
{
    return exec_ops(ex)->dconv_work_bytes ? exec_ops(ex)->dconv_work_bytes(p, x) : 0;
}

int dconv(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x)
{
    int code = check_params(p);
    code = code ? code : packed_check("dconv", packed);
    code = code ? code : maps_check("dconv", "x", x, true);
    if (!code && x->channels != p->channels)
        code = fail(STATUS_SHAPE, "dconv: x has %lld channels, the weights %lld", (long long)x->channels,
                    (long long)p->channels);
    if (!code && p->along == ALONG_WIDTH && !maps_has_margins(x))
        code = fail(STATUS_SHAPE, "dconv: x has no margins, and the convolution is along the width");
    if (code || x->items == 0)
        return code;
    return OPS_CALL(ex, dconv, ex, p, packed, x);
}
