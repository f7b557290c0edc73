/* ragged - a batch of rows of different length in one buffer: row b is elements offset[b] .. offset[b+1] - 1. */
#ifndef RAGGED_H
#define RAGGED_H
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

enum dtype {
    DTYPE_F32 = 0,
    DTYPE_I16 = 1,
    DTYPE_I24 = 2,
    DTYPE_C64 = 3, /* complex of two f32: real, imaginary */
};

/* A row may be part of a longer signal. Padding belongs to the signal's ends only. */
struct piece {
    int64_t start; /* sample of the signal that the row begins with */
    bool first, last;
};

struct ragged {
    void *data; /* borrowed; in the memory of the exec that uses it */
    enum dtype dtype;
    int32_t channels;                 /* interleaved; an element is one frame of all channels */
    const int64_t *offset;            /* [rows + 1], always host memory; non-decreasing, offset[0] = 0 */
    const struct piece *piece;        /* [rows], host; NULL: every row is a whole signal */
    const int64_t *offset_device;     /* the same for kernels; NULL on the CPU */
    const struct piece *piece_device; /* the same for kernels; NULL on the CPU, or with piece */
    int64_t rows;                     /* B */
    int64_t total;                    /* = offset[rows] */
};

static inline int64_t ragged_length(const struct ragged *r, int64_t b)
{
    return r->offset[b + 1] - r->offset[b];
}

/* The piece that row b is, a whole signal included. */
static inline HOST_DEVICE struct piece piece_of(const struct piece *pieces, int64_t b)
{
    const struct piece whole = {0, true, true};
    return pieces ? pieces[b] : whole;
}

#endif
