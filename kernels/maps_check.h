/* maps_check - what the fronts of operations on maps ask of a view. Room-internal.
 *
 *   errors   STATUS_SHAPE: a size or a stride out of its range, or positions of a written view that share memory;
 *            STATUS_ARGUMENT: items, and no memory. The message names the operation and the view */
#ifndef MAPS_CHECK_H
#define MAPS_CHECK_H
#include "maps.h"
#include "status.h"

enum { CHANNELS_MOST = 65536, PACKED_ALIGN = 64 };

int maps_check(const char *op, const char *name, const struct maps *m, bool written) MUST_USE;

/* Whether b has a's items, height and width, and `channels` of them. */
int maps_check_shape(const char *op, const char *name, const struct maps *a, const struct maps *b,
                     int64_t channels) MUST_USE;

/* Whether n rows of `length` floats in each of `items` items lie apart, or are at least within reach when only read. */
bool maps_strides_fit(int64_t items, int64_t item_stride, int64_t n, int64_t stride, int64_t length, bool written);

/* Of packed weights, from a row of ops.h: bytes that the next weights may lie behind. */
static inline size_t packed_bytes(size_t floats)
{
    return (floats * sizeof(float) + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
}

int packed_check(const char *op, const float *packed) MUST_USE;

#endif
