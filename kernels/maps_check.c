#include "maps_check.h"

static const int64_t COUNT_MOST = INT64_C(1) << 31;
static const double FLOATS_MOST = 17592186044416.0; /* 2^44: no product below leaves int64_t */

bool maps_strides_fit(int64_t items, int64_t item_stride, int64_t n, int64_t stride, int64_t length, bool written)
{
    if (stride < 0 || item_stride < 0 || (double)n * (double)stride > FLOATS_MOST ||
        (double)items * (double)item_stride > FLOATS_MOST)
        return false;
    if (!written)
        return true;
    /* Rows of an item lie together, or items of a row do. */
    const bool rows_inside = (n == 1 || stride >= length) && (items < 2 || item_stride >= (n - 1) * stride + length);
    const bool items_inside =
        (items < 2 || item_stride >= length) && (n == 1 || stride >= (items - 1) * item_stride + length);
    return rows_inside || items_inside;
}

int maps_check(const char *op, const char *name, const struct maps *m, bool written)
{
    if (m->items < 0 || m->items > COUNT_MOST || m->height < 1 || m->height > COUNT_MOST || m->width < 1 ||
        m->width > COUNT_MOST || m->channels < 1 || m->channels > CHANNELS_MOST ||
        (double)m->items * (double)m->height * (double)m->width * (double)m->channels > FLOATS_MOST)
        return fail(STATUS_SHAPE, "%s: %s has %lld items of %lld x %lld positions with %lld channels", op, name,
                    (long long)m->items, (long long)m->height, (long long)m->width, (long long)m->channels);
    if (!maps_strides_fit(m->items, m->item_stride, m->height, m->row_stride, m->width * m->channels, written))
        return fail(STATUS_SHAPE, "%s: %s has rows %lld and items %lld floats apart, %lld x %lld floats in an item", op,
                    name, (long long)m->row_stride, (long long)m->item_stride, (long long)m->height,
                    (long long)(m->width * m->channels));
    if (m->items > 0 && !m->data)
        return fail(STATUS_ARGUMENT, "%s: no buffer for %s", op, name);
    return STATUS_OK;
}

int maps_check_shape(const char *op, const char *name, const struct maps *a, const struct maps *b, int64_t channels)
{
    if (b->items == a->items && b->height == a->height && b->width == a->width && b->channels == channels)
        return STATUS_OK;
    return fail(STATUS_SHAPE, "%s: %s is %lld x %lld x %lld x %lld, wanted %lld x %lld x %lld x %lld", op, name,
                (long long)b->items, (long long)b->height, (long long)b->width, (long long)b->channels,
                (long long)a->items, (long long)a->height, (long long)a->width, (long long)channels);
}

int packed_check(const char *op, const float *packed)
{
    if (!packed || (uintptr_t)packed % PACKED_ALIGN != 0)
        return fail(STATUS_ARGUMENT, "%s: packed weights at %p, wanted memory on 64 bytes", op, (const void *)packed);
    return STATUS_OK;
}
