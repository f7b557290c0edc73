#include "attention.h"

#include "maps_check.h"
#include "ops.h"

enum { WIDTH_MOST = 256, HEADS_MOST = 256 };
static const int64_t TOKENS_MOST = INT64_C(1) << 31;

static int check_tokens(const struct attention_params *p, const char *name, const struct tokens *t, bool written)
{
    const int64_t length = p->heads * p->width;
    if (t->items < 0 || t->items > TOKENS_MOST || t->count < 1 || t->count > TOKENS_MOST)
        return fail(STATUS_SHAPE, "attention: %s has %lld items of %lld tokens", name, (long long)t->items,
                    (long long)t->count);
    if (t->stride < length || !maps_strides_fit(t->items, t->item_stride, t->count, t->stride, length, written))
        return fail(STATUS_SHAPE, "attention: %s has tokens %lld and items %lld floats apart, a token has %lld", name,
                    (long long)t->stride, (long long)t->item_stride, (long long)length);
    if (t->items > 0 && !t->data)
        return fail(STATUS_ARGUMENT, "attention: no buffer for %s", name);
    return STATUS_OK;
}

static int check(const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                 const struct tokens *v, const struct tokens *y)
{
    if (p->width < 1 || p->width > WIDTH_MOST || p->heads < 1 || p->heads > HEADS_MOST)
        return fail(STATUS_ARGUMENT, "attention: %lld heads of %lld channels, allowed 1 to %d and 1 to %d",
                    (long long)p->heads, (long long)p->width, HEADS_MOST, WIDTH_MOST);
    int code = check_tokens(p, "q", q, false);
    code = code ? code : check_tokens(p, "k", k, false);
    code = code ? code : check_tokens(p, "v", v, false);
    code = code ? code : check_tokens(p, "y", y, true);
    if (code)
        return code;
    if (k->items != q->items || v->items != q->items || y->items != q->items || v->count != k->count ||
        y->count != q->count)
        return fail(STATUS_SHAPE, "attention: %lld x %lld queries, %lld x %lld keys, %lld x %lld values, %lld x %lld y",
                    (long long)q->items, (long long)q->count, (long long)k->items, (long long)k->count,
                    (long long)v->items, (long long)v->count, (long long)y->items, (long long)y->count);
    if (y->items > 0 && (y->data == q->data || y->data == k->data || y->data == v->data))
        return fail(STATUS_ARGUMENT, "attention: y is one of what it is made from");
    return STATUS_OK;
}

size_t attention_work_bytes(const struct exec *ex, const struct attention_params *p, int64_t keys)
{
    return exec_ops(ex)->attention_work_bytes ? exec_ops(ex)->attention_work_bytes(ex, p, keys) : 0;
}

int attention(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
              const struct tokens *v, const struct tokens *y)
{
    const int code = check(p, q, k, v, y);
    if (code || y->items == 0)
        return code;
    return OPS_CALL(ex, attention, ex, p, q, k, v, y);
}
