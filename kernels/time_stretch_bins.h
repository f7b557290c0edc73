/* time_stretch_bins - some bins of a row through all of its frames, for the scalar twin and, compiled for their
 * vectors, the others. Room-internal. */
#ifndef TIME_STRETCH_BINS_H
#define TIME_STRETCH_BINS_H
#include "time_stretch.h"

#include <stddef.h>

enum { STRETCH_BINS = 64 };

struct stretch_bins {
    double magnitude[STRETCH_BINS], re[STRETCH_BINS], im[STRETCH_BINS]; /* re, im: of length 1 */
};

struct stretch_call {
    const double *rate;
    const struct ragged *x, *y;
    int64_t blocks; /* of a row */
};

static inline struct stretch_call stretch_call_of(const double *rate, const struct ragged *x, const struct ragged *y)
{
    return (struct stretch_call){rate, x, y, (x->channels + STRETCH_BINS - 1) / STRETCH_BINS};
}

/* x NULL: a frame behind the last. */
static inline void stretch_read(const float *x, int64_t count, struct stretch_bins *c)
{
    static const float none[2 * STRETCH_BINS];
    x = x ? x : none;
    for (int64_t f = 0; f < count; f++) {
        const double re = x[2 * f], im = x[2 * f + 1], m = sqrt(re * re + im * im);
        c->magnitude[f] = m;
        c->re[f] = m == 0 ? 1 : re / m;
        c->im[f] = m == 0 ? 0 : im / m;
    }
}

/* A frame of y, and the phases of the next. */
static inline void stretch_step(const struct stretch_bins *a, const struct stretch_bins *b, double part, int64_t count,
                                double *re, double *im, float *y)
{
    for (int64_t f = 0; f < count; f++) {
        const double m = (1 - part) * a->magnitude[f] + part * b->magnitude[f], u = re[f], v = im[f];
        const double turn_re = b->re[f] * a->re[f] + b->im[f] * a->im[f];
        const double turn_im = b->im[f] * a->re[f] - b->re[f] * a->im[f];
        y[2 * f] = (float)(m * u);
        y[2 * f + 1] = (float)(m * v);
        re[f] = u * turn_re - v * turn_im;
        im[f] = u * turn_im + v * turn_re;
    }
}

static int stretch_some(void *context, int64_t turn)
{
    const struct stretch_call *const k = context;
    const int64_t b = turn / k->blocks, first = turn % k->blocks * STRETCH_BINS, bins = k->x->channels;
    const int64_t count = bins - first < STRETCH_BINS ? bins - first : STRETCH_BINS;
    const int64_t frames = ragged_length(k->x, b), results = ragged_length(k->y, b);
    const float *const x = (const float *)k->x->data + (k->x->offset[b] * bins + first) * 2;
    float *const y = (float *)k->y->data + (k->y->offset[b] * bins + first) * 2;
    struct stretch_bins held[2], *a = &held[0], *next = &held[1];
    double re[STRETCH_BINS], im[STRETCH_BINS];
    int64_t at = -2; /* the frame that a holds */
    for (int64_t t = 0; t < results; t++) {
        const double s = (double)t * k->rate[b];
        const int64_t i = (int64_t)s;
        if (i == at + 1) {
            struct stretch_bins *const old = a;
            a = next;
            next = old;
        } else if (i != at) {
            stretch_read(i < frames ? x + i * bins * 2 : NULL, count, a);
        }
        if (i != at)
            stretch_read(i + 1 < frames ? x + (i + 1) * bins * 2 : NULL, count, next);
        at = i;
        for (int64_t f = 0; f < count && t == 0; f++) {
            re[f] = a->re[f];
            im[f] = a->im[f];
        }
        stretch_step(a, next, s - (double)i, count, re, im, y + t * bins * 2);
    }
    return STATUS_OK;
}

#endif
