/* framed - one warp per frame of a ragged batch: which samples are the frame's. */
#ifndef FRAMED_CUH
#define FRAMED_CUH
#include "device.cuh"
#include "frames.h"

enum { FRAMED_FRAMES = 8, FRAMED_THREADS = 32 * FRAMED_FRAMES };

/* A batch as kernels take it. */
struct framed {
    struct frame_params p;
    const void *x;
    int dtype;
    const int64_t *x_offset, *y_offset;
    const struct piece *piece;
    int64_t rows, frames;
};

static inline struct framed framed_of(const struct frame_params *p, const struct ragged *x, const struct ragged *y)
{
    struct framed f;
    f.p = *p;
    f.x = x->data;
    f.dtype = (int)x->dtype;
    f.x_offset = x->offset_device;
    f.y_offset = y->offset_device;
    f.piece = x->piece_device;
    f.rows = x->rows;
    f.frames = y->total;
    return f;
}

static inline unsigned framed_blocks(const struct ragged *y) /* below 2^31 by the fronts' limit of 2^34 frames */
{
    return (unsigned)((y->total + FRAMED_FRAMES - 1) / FRAMED_FRAMES);
}

struct framed_span {
    int64_t frame;  /* of the batch; -1: this warp has none */
    int64_t row;    /* sample of the batch that the frame's row begins with */
    int64_t lo, hi; /* the frame's samples, counted from there, cut to the row */
};

static __device__ inline struct framed_span framed_span(const struct framed *f)
{
    struct framed_span s;
    s.frame = (int64_t)blockIdx.x * FRAMED_FRAMES + threadIdx.x / 32;
    if (s.frame >= f->frames) {
        s.frame = -1;
        return s;
    }
    const int64_t b = row_of(f->y_offset, f->rows, s.frame);
    const int64_t samples = f->x_offset[b + 1] - f->x_offset[b];
    const int64_t from = frame_from(&f->p, piece_of(f->piece, b)) + (s.frame - f->y_offset[b]) * f->p.hop_samples;
    s.row = f->x_offset[b];
    s.lo = from < 0 ? 0 : from;
    s.hi = from + f->p.window_samples < samples ? from + f->p.window_samples : samples;
    return s;
}

#endif
