/* overlap - overlap-add of frames in order: what the CPU twins of istft share. Room-internal. */
#ifndef OVERLAP_H
#define OVERLAP_H
#include "stft.h"

#include <float.h>
#include <string.h>

struct overlap {
    int64_t window, hop;
    int64_t from; /* sample of y that sum[0] belongs to; negative in the padding */
    float *out;
    int64_t samples;      /* of out */
    double *sum, *norm;   /* [window] */
    const float *squares; /* [window] of the window */
};

static inline void overlap_begin(struct overlap *o, const struct frame_params *p, float *out, int64_t samples)
{
    o->window = p->window_samples;
    o->hop = p->hop_samples;
    o->from = -frame_pad(p);
    o->out = out;
    o->samples = samples;
    memset(o->sum, 0, (size_t)o->window * sizeof *o->sum);
    memset(o->norm, 0, (size_t)o->window * sizeof *o->norm);
    memset(out, 0, (size_t)samples * sizeof *out);
}

/* The first n sums are complete: they become samples, and the rest moves down. */
static inline void overlap_finish(struct overlap *o, int64_t n)
{
    const int64_t lo = o->from < 0 ? -o->from : 0, hi = o->from + n < o->samples ? n : o->samples - o->from;
    for (int64_t i = lo; i < hi; i++)
        o->out[o->from + i] = (float)(o->norm[i] > FLT_MIN ? o->sum[i] / o->norm[i] : o->sum[i]);
    memmove(o->sum, o->sum + n, (size_t)(o->window - n) * sizeof *o->sum);
    memmove(o->norm, o->norm + n, (size_t)(o->window - n) * sizeof *o->norm);
    memset(o->sum + o->window - n, 0, (size_t)n * sizeof *o->sum);
    memset(o->norm + o->window - n, 0, (size_t)n * sizeof *o->norm);
}

/* One windowed frame; those after it begin a hop later. */
static inline void overlap_add(struct overlap *o, const float *frame)
{
    for (int64_t i = 0; i < o->window; i++) {
        o->sum[i] += frame[i];
        o->norm[i] += o->squares[i];
    }
    overlap_finish(o, o->hop < o->window ? o->hop : o->window);
    o->from += o->hop;
}

static inline void overlap_end(struct overlap *o)
{
    overlap_finish(o, o->window);
}

#endif
