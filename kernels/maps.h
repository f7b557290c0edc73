/* maps - what a network's operations work on: B items of H x W positions with C channels each, channels last.
 *
 * A view: the caller owns the memory, which is that of the exec: a device's for what runs on one. Positions of a row
 * lie side by side, so that a convolution along the width reads the taps of one output as one run of memory. A view
 * with margins has MAPS_BEFORE positions before each row and MAPS_AFTER behind it that hold zeros: padding is memory
 * then, not a case in a loop. Operations write no margins.
 *
 * A signal over time alone has H = 1; a matrix of tokens has W = 1 or H = 1, as it suits. */
#ifndef MAPS_H
#define MAPS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAPS_BEFORE = 2, MAPS_AFTER = 5 };

struct maps {
    float *data; /* position (0, 0) of the first item */
    int64_t items, height, width, channels;
    int64_t item_stride, row_stride; /* floats; rows may repeat (0) in what is only read */
};

static inline int64_t maps_row_floats(int64_t width, int64_t channels, bool margins)
{
    return (width + (margins ? MAPS_BEFORE + MAPS_AFTER : 0)) * channels;
}

static inline size_t maps_bytes(int64_t items, int64_t height, int64_t width, int64_t channels, bool margins)
{
    return (size_t)(items * height * maps_row_floats(width, channels, margins)) * sizeof(float);
}

/* A view of memory of maps_bytes(). */
static inline struct maps maps_of(float *memory, int64_t items, int64_t height, int64_t width, int64_t channels,
                                  bool margins)
{
    const int64_t row = maps_row_floats(width, channels, margins);
    return (struct maps){.data = memory + (margins ? MAPS_BEFORE * channels : 0),
                         .items = items,
                         .height = height,
                         .width = width,
                         .channels = channels,
                         .item_stride = height * row,
                         .row_stride = row};
}

/* N positions in one row, without margins. */
static inline struct maps maps_tokens(float *memory, int64_t items, int64_t tokens, int64_t channels)
{
    return maps_of(memory, items, 1, tokens, channels, false);
}

static inline bool maps_has_margins(const struct maps *m)
{
    return m->row_stride >= maps_row_floats(m->width, m->channels, true);
}

static inline float *maps_row(const struct maps *m, int64_t item, int64_t row)
{
    return m->data + item * m->item_stride + row * m->row_stride;
}

#endif
